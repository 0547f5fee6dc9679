"""The guard: how long a guesser waits, whom that leaves alone, and the line that fail2ban reads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from mailfw.auth.guard import LoginGuard, escape

FAIL2BAN = re.compile(r"login failed: user=<[^>]*> service=\S* peer=(?P<host>\S+) reason=")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return LoginGuard(clock.seconds, "example.org")


def fail(guard, user="mbrain", peer="192.0.2.1", times=1):
    for _ in range(times):
        guard.failed(user, "imap", peer, "wrong password or unknown user")


def test_oneUserWaitsLongerAndLonger(guard):
    waited = []
    for _ in range(9):
        waited.append(guard.delayFor("192.0.2.1", "mbrain"))
        fail(guard)
    assert waited == [0, 0, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("user", ["mbrain", "MBrain", "mbrain@example.org", "MBRAIN@EXAMPLE.ORG"])
def test_allSpellingsOfANameAreOne(guard, user):
    fail(guard, user, times=3)
    assert guard.delayFor("192.0.2.1", "mbrain@example.org") == 2


def test_othersAreLeftAlone(guard):
    fail(guard, times=5)
    assert guard.delayFor("192.0.2.1", "jsmith") == 0
    assert guard.delayFor("192.0.2.2", "mbrain") == 0
    assert guard.delayFor("192.0.2.1") == 0


def test_successForgetsThatUserAlone(guard):
    fail(guard, times=5)
    fail(guard, "jsmith", times=5)
    guard.succeeded("mbrain@example.org", "imap", "192.0.2.1")
    assert guard.delayFor("192.0.2.1", "mbrain") == 0
    assert guard.delayFor("192.0.2.1", "jsmith") == 8


def test_aQuarterOfAnHourForgets(guard, clock):
    fail(guard, times=5)
    clock.advance(899)
    assert guard.delayFor("192.0.2.1", "mbrain") == 8
    clock.advance(1)
    assert guard.delayFor("192.0.2.1", "mbrain") == 0


def test_whoTriesManyUsersWaitsForAll(guard):
    for number in range(13):
        fail(guard, f"user{number}")
    assert guard.delayFor("192.0.2.1") == 4
    assert guard.delayFor("192.0.2.1", "jsmith") == 4
    assert guard.delayFor("192.0.2.2", "jsmith") == 0
    guard.succeeded("user1@example.org", "imap", "192.0.2.1")
    assert guard.delayFor("192.0.2.1") == 4


def test_aForgottenTelephoneLocksNobodyElseOut(guard):
    fail(guard, times=1000)
    assert guard.delayFor("192.0.2.1", "jsmith") == 0


@pytest.mark.parametrize(
    ("one", "other", "isSame"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("127.0.0.1", "::1", True),
    ],
)
def test_networksAreCountedTogether(guard, one, other, isSame):
    fail(guard, peer=one, times=5)
    assert (guard.delayFor(other, "mbrain") > 0) == isSame


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "", "/run/mailfw.sock"])
def test_thisMachineSpeaksForManyUsers(guard, peer):
    for number in range(50):
        fail(guard, f"user{number}", peer)
    assert guard.delayFor(peer, "jsmith") == 0
    fail(guard, "user1", peer, times=2)
    assert guard.delayFor(peer, "user1") == 2


def test_theTableIsBounded(clock):
    guard = LoginGuard(clock.seconds, capacity=100)
    for number in range(1000):
        fail(guard, f"user{number}", f"192.0.2.{number % 250}")
    assert len(guard._failures) == 100


def test_theLine(guard, logged):
    guard.failed("mbrain", "imap", "192.0.2.1", "suspended")
    guard.failed("mbrain", "", "", "suspended")
    assert logged() == [
        "login failed: user=<mbrain> service=imap peer=192.0.2.1 reason=suspended",
        "login failed: user=<mbrain> service=- peer=- reason=suspended",
    ]


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("a b", r"a\x20b"),
        ("a\r\nb", r"a\x0d\x0ab"),
        ("jürgen", r"j\xfcrgen"),
        ("日本", r"\u65e5\u672c"),
        ("🐧", r"\U0001f427"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\\b", r"a\x5cb"),
        ("{user}", "{user}"),
        ("x" * 200, "x" * 128 + "..."),
    ],
)
def test_controlCharactersAreEscaped(guard, logged, user, shown):
    fail(guard, user)
    assert logged() == [f"login failed: user=<{shown}> service=imap peer=192.0.2.1 reason=wrong password or unknown user"]


def test_nobodyCanHaveAnotherBanned(guard, logged):
    fail(guard, "x> service=imap peer=198.51.100.7 reason=\nlogin failed: user=<y> service=imap peer=198.51.100.7 reason=")
    (line,) = logged()
    assert [found["host"] for found in FAIL2BAN.finditer(line)] == ["192.0.2.1"]


@given(st.text(max_size=60))
def test_whatIsShownIsPlain(user):
    assert re.fullmatch(r"[!-;=?-~]*", escape(user))
