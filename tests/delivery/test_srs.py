"""Rewritten senders come back to whom they were, and to nobody else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.delivery.srs import DAYS, SRS
from mailfw.errors import NoSuchRecipient
from mailfw.values import Address

DAY = 86400.0


class Time:
    def __init__(self, now=1.79e9):
        self.now = now

    def __call__(self):
        return self.now


def srs(secret=b"s" * 32, domain="our.example", now=None):
    return SRS(secret, domain, now or Time())


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


@given(names)
def test_there_and_back(local):
    rewritten = srs().forward(Address(local, "example.com"))
    assert rewritten.domain == "our.example"
    assert srs().isOne(rewritten)
    assert srs().reverse(rewritten) == Address(local, "example.com")


@given(names)
def test_over_other_forwarders_bounces_go_to_the_first(local):
    first = srs(b"1" * 32, "first.example").forward(Address(local, "example.com"))
    second = srs(b"2" * 32, "second.example").forward(first)
    third = srs(b"3" * 32, "third.example").forward(second)
    assert second.local.startswith("SRS1=")
    assert third.local.startswith("SRS1=")
    assert srs(b"3" * 32, "third.example").reverse(third) == first
    assert srs(b"2" * 32, "second.example").reverse(second) == first
    assert srs(b"1" * 32, "first.example").reverse(first) == Address(local, "example.com")


def test_our_own_senders_stay():
    ours = Address("jane", "our.example")
    assert srs().forward(ours) is ours


def test_case_may_change_on_the_way():
    rewritten = srs().forward(Address("Jane.Doe", "example.com"))
    assert srs().reverse(Address(rewritten.local.lower(), "our.example")) == Address("jane.doe", "example.com")


def test_nobody_else_can_make_one():
    genuine = srs().forward(Address("jane", "example.com"))
    forged = [
        srs(b"x" * 32).forward(Address("jane", "example.com")),
        Address(genuine.local.replace("jane", "joe"), "our.example"),
        Address(genuine.local.replace("example.com", "example.net"), "our.example"),
        Address("SRS0=AAAAAAAA=AA=example.com=jane", "our.example"),
        Address("SRS1=AAAAAAAA=example.com==AAAA=AA=x=jane", "our.example"),
        Address("SRS0=jane", "our.example"),
        Address("jane", "our.example"),
    ]
    for address in forged:
        with pytest.raises(NoSuchRecipient):
            srs().reverse(address)
    assert not srs().isOne(Address("jane", "our.example"))
    assert not srs().isOne(Address(genuine.local, "example.net"))


def test_they_grow_old():
    now = Time()
    rewritten = srs(now=now).forward(Address("jane", "example.com"))
    now.now += DAYS * DAY
    assert srs(now=now).reverse(rewritten)
    now.now += DAY
    with pytest.raises(NoSuchRecipient):
        srs(now=now).reverse(rewritten)


def test_the_secret_is_made_once_and_only_ours(tmp_path):
    path = tmp_path / "srs.secret"
    rewritten = SRS.open(str(path), "our.example").forward(Address("jane", "example.com"))
    assert SRS.open(str(path), "our.example").reverse(rewritten) == Address("jane", "example.com")
    assert path.stat().st_mode & 0o777 == 0o600
    os.truncate(path, 3)
    with pytest.raises(ValueError, match="no secret"):
        SRS.open(str(path), "our.example")
