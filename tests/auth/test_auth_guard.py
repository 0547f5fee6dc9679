"""The guard: how long a guesser waits, whom that leaves alone, and the line that fail2ban reads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.auth.guard import ROOM_HELD, LoginGuard, escape
from mailfw.errors import AuthenticationUnavailable
from mailfw.tally import Tally
from mailfw.values import Identity

FAIL2BAN = re.compile(r"login failed: user=<[^>]*> service=\S* peer=(?P<host>\S+) reason=")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return LoginGuard(clock, "example.org")


def fail(guard, user="mbrain", peer="192.0.2.1", times=1):
    for _ in range(times):
        guard.failed(user, "imap", peer, "wrong password or unknown user")


def succeed(guard, user="mbrain", peer="192.0.2.1"):
    guard.succeeded(Identity(f"{user}@example.org"), "imap", peer)


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


def test_loginsAreCountedByServiceWithoutNames(clock):
    tally = Tally()
    guard = LoginGuard(clock, "example.org", tally=tally)
    fail(guard, times=3)
    succeed(guard)
    assert tally.logins == {("imap", "failed"): 3, ("imap", "succeeded"): 1}


def test_othersAreLeftAlone(guard):
    fail(guard, times=5)
    assert guard.delayFor("192.0.2.1", "jsmith") == 0
    assert guard.delayFor("192.0.2.2", "mbrain") == 0
    assert guard.delayFor("192.0.2.1") == 0


def test_successForgetsThatUserAlone(guard):
    fail(guard, times=5)
    fail(guard, "jsmith", times=5)
    succeed(guard)
    assert guard.delayFor("192.0.2.1", "mbrain") == 0
    assert guard.delayFor("192.0.2.1", "jsmith") == 8


def test_theWaitBeginsWithTheLastFailure(guard, clock):
    fail(guard, times=5)
    for left in (8, 5, 2, 0, 0):
        assert guard.delayFor("192.0.2.1", "mbrain") == left
        clock.advance(3)
    fail(guard)
    assert guard.delayFor("192.0.2.1", "mbrain") == 16


def test_aQuarterOfAnHourForgets(guard, clock):
    fail(guard, times=5)
    clock.advance(899)
    fail(guard)
    assert guard.delayFor("192.0.2.1", "mbrain") == 16
    clock.advance(900)
    fail(guard)
    assert guard.delayFor("192.0.2.1", "mbrain") == 0


def test_whoTriesManyUsersWaitsForAll(guard):
    for number in range(13):
        fail(guard, f"user{number}")
    assert guard.delayFor("192.0.2.1", "jsmith") == 4
    assert guard.delayFor("192.0.2.2", "jsmith") == 0
    succeed(guard, "user1")
    assert guard.delayFor("192.0.2.1", "jsmith") == 4


def test_whoHasLoggedInFromThereWaitsOnlyForHimself(guard):
    succeed(guard, "jsmith")
    for number in range(13):
        fail(guard, f"user{number}")
    assert guard.delayFor("192.0.2.1", "jsmith") == 0
    assert guard.delayFor("192.0.2.1", "anna") == 4
    fail(guard, "jsmith", times=3)
    assert guard.delayFor("192.0.2.1", "jsmith") == 2


def test_whoGivesNoNameIsNotHeldBackForOthersWithoutOne(guard):
    fail(guard, "", times=100)
    assert guard.delayFor("192.0.2.1", "") == 0
    assert guard.delayFor("192.0.2.1", "mbrain") == 0


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
    guard = LoginGuard(clock, capacity=100)
    for number in range(1000):
        fail(guard, f"user{number}", f"192.0.2.{number % 250}")
    assert len(guard._failures) == 100


# --- In parallel ---


class Attempt:
    """A login that is judged as soon as it has its turn, or when `end` is called."""

    def __init__(self, guard, user="mbrain", peer="192.0.2.1", *, isRight=False, isSlow=False):
        self.guard, self.user, self.peer, self.isRight = guard, user, peer, isRight
        self.judging = Deferred()
        if not isSlow:
            self.end()
        self.state = "waiting"
        Deferred.fromCoroutine(self._run())

    def end(self):
        self.judging.callback(None)

    async def _run(self):
        try:
            turn = await self.guard.admit(self.user, self.peer)
        except AuthenticationUnavailable:
            self.state = "put off"
            return
        with turn:
            self.state = "judged"
            await self.judging
            if self.isRight:
                succeed(self.guard, self.user, self.peer)
            else:
                fail(self.guard, self.user, self.peer)


def states(attempts, state="judged"):
    return sum(attempt.state == state for attempt in attempts)


def test_guessesInParallelAreNoFasterThanOneByOne(guard, clock):
    attempts = [Attempt(guard, isSlow=True) for _ in range(10)]
    assert states(attempts) == 2
    for attempt in attempts:
        attempt.end()
    judged = []
    for _ in range(140):
        judged.append(states(attempts))
        clock.advance(1)
    # Two at once, then 1, 2, 4, 8, 16, 30 … seconds after the failure before.
    assert [judged.index(count) for count in range(2, 11)] == [0, 1, 3, 7, 15, 31, 61, 91, 121]
    assert not clock.getDelayedCalls()


def test_aMailProgramThatOpensManyConnectionsIsNotHeldBack(guard, clock):
    attempts = [Attempt(guard, isRight=True, isSlow=True) for _ in range(300)]
    assert states(attempts) == 2
    for attempt in attempts:
        attempt.end()
    assert states(attempts) == 300
    assert not clock.getDelayedCalls()
    assert not guard._turns._lines


def test_aLineBehindFailuresIsShort(guard, clock):
    attempts = [Attempt(guard, isSlow=True) for _ in range(200)]
    for attempt in attempts[:3]:
        attempt.end()
    assert (states(attempts, "waiting"), states(attempts, "judged")) == (ROOM_HELD, 2)
    assert states(attempts, "put off") == 200 - ROOM_HELD - 2
    assert Attempt(guard).state == "put off"
    for attempt in attempts[3:]:
        attempt.end()
    clock.pump([30] * ROOM_HELD)
    assert states(attempts, "waiting") == 0


def test_manyUsersInParallelFromOneNetwork(guard, clock):
    attempts = [Attempt(guard, f"user{number}", isSlow=True) for number in range(25)]
    assert states(attempts) == 10
    for attempt in attempts:
        attempt.end()
    assert states(attempts) == 11
    clock.advance(1)
    assert states(attempts) == 12
    clock.advance(1.5)
    assert states(attempts) == 12
    clock.advance(0.5)
    assert states(attempts) == 13
    assert Attempt(guard, "user1", "192.0.2.2").state == "judged"
    clock.pump([30] * 25)
    assert states(attempts, "waiting") == 0


def test_aKnownUserPassesTheGuesserBesideHim(guard, clock):
    succeed(guard, "jsmith")
    attempts = [Attempt(guard, f"user{number}") for number in range(25)]
    assert states(attempts, "waiting") > 0
    assert Attempt(guard, "jsmith", isRight=True).state == "judged"
    clock.pump([30] * 25)


def test_thisMachinesUsersDoNotWaitForEachOther(guard, clock):
    for number in range(50):
        fail(guard, f"user{number}", "127.0.0.1")
    slow = [Attempt(guard, f"user{number}", "127.0.0.1", isRight=True, isSlow=True) for number in range(100, 150)]
    assert states(slow) == 50
    for attempt in slow:
        attempt.end()
    assert not guard._turns._lines


@given(
    st.lists(
        st.tuples(st.sampled_from(["mbrain", "jsmith", "anna", ""]), st.booleans(), st.booleans(), st.floats(0, 40)), max_size=40
    )
)
def test_everybodyIsJudgedOrPutOffInTheEnd(script):
    clock = Clock()
    guard = LoginGuard(clock, "example.org")
    attempts = []
    for user, isRight, isSlow, seconds in script:
        attempts.append(Attempt(guard, user, isRight=isRight, isSlow=isSlow))
        clock.advance(seconds)
    for attempt in attempts:
        if not attempt.judging.called:
            attempt.end()
    clock.pump([30] * 45)
    assert states(attempts, "waiting") == 0
    assert not guard._turns._lines
    assert not clock.getDelayedCalls()


# --- The log ---


def test_aMasterIsNamed(guard, logged):
    fail(guard, "support", times=3)
    guard.succeeded(Identity("mbrain@example.org", authenticatedAs="support@example.org"), "imap", "192.0.2.1")
    assert logged()[-1] == "master login: user=<mbrain@example.org> master=<support@example.org> service=imap peer=192.0.2.1"
    assert guard.delayFor("192.0.2.1", "support") == 0


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
