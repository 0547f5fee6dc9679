"""Which account a user name means."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.values import accountName


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("mbrain", "mbrain@example.org"),
        ("MBrain@Example.NET", "mbrain@example.net"),
        (unicodedata.normalize("NFD", "Jürgen@bücher.example"), "jürgen@bücher.example"),
        ("a@b@example.net", "a@b@example.net"),
    ],
)
def test_canonicalNames(user, name):
    assert accountName(user, "Example.ORG") == name


@pytest.mark.parametrize("user", ["", "@", "a@", "@b", "a b", "a\tb", "a\0", "a\x85", "a\u202e", "\ud800", "x" * 321])
def test_namesThatNobodyHas(user):
    with pytest.raises(ValueError, match="cannot be the name"):
        accountName(user, "example.org")


@given(st.text(max_size=40))
def test_aCanonicalNameIsItsOwn(user):
    try:
        name = accountName(user, "example.org")
    except ValueError:
        return
    assert accountName(name, "other.example") == name == unicodedata.normalize("NFC", name)
