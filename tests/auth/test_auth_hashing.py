"""Hashing for a reactor: what is remembered, for how long, and how many threads work at once."""

from __future__ import annotations

import threading

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from mailfw.auth import hashes, hashing
from mailfw.auth.hashing import Hasher, RightPasswords
from mailfw.auth.sharing import UnderWay
from mailfw.errors import AuthenticationUnavailable
from mailfw.testing.authenticator import resultOf

STORED = "{PLAIN}mailfw"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hasher(clock):
    return Hasher(clock, clock.seconds, isInline=True)


def test_aRightPasswordIsRememberedForMinutes(hasher, clock):
    for seconds, operations in ((0, 1), (599, 1), (2, 2), (1, 2)):
        clock.advance(seconds)
        assert resultOf(hasher.verify(STORED, "mailfw"))
        assert hasher.operations == operations


def test_rememberingDoesNotProlongItself(hasher, clock):
    for _ in range(7):
        resultOf(hasher.verify(STORED, "mailfw"))
        clock.advance(100)
    assert hasher.operations == 2


def test_aWrongPasswordIsNeverRemembered(hasher):
    for _ in range(3):
        assert not resultOf(hasher.verify(STORED, "wrong"))
    assert hasher.operations == 3


def test_anotherStoredValueIsAnotherMatter(hasher):
    resultOf(hasher.verify(STORED, "mailfw"))
    assert not resultOf(hasher.verify("{PLAIN}neu", "mailfw"))
    assert not resultOf(hasher.verify("{PLAIN}mail", "fw"))
    assert hasher.operations == 3


def test_memoryIsBoundedAndForgetsTheOldest(clock):
    right = RightPasswords(clock.seconds, seconds=600, capacity=3)
    for number in range(5):
        right.add(STORED, str(number))
        clock.advance(1)
    assert len(right) == 3
    assert [(STORED, str(number)) in right for number in range(5)] == [False, False, True, True, True]
    clock.advance(600)
    right.add(STORED, "new")
    assert len(right) == 1


def test_passwordsAreNotHeld(clock):
    right = RightPasswords(clock.seconds)
    right.add(STORED, "mailfw")
    assert "mailfw" not in repr(vars(right))


def test_pretendingIsWorkAndIsForgotten(hasher):
    for _ in range(2):
        resultOf(hasher.pretend("nobody", STORED, "mailfw"))
    resultOf(hasher.pretend("nobody", "", "mailfw"))
    assert hasher.operations == 3
    assert resultOf(hasher.verify(STORED, "mailfw"))
    assert hasher.operations == 4


def test_decoysAreSteadyAndSpread(hasher):
    chosen = [hasher.decoy(f"user{number}", 4) for number in range(100)]
    assert chosen == [hasher.decoy(f"user{number}", 4) for number in range(100)]
    assert set(chosen) == {0, 1, 2, 3}


def test_aDamagedValueFitsNothingAndIsSaidOnce(hasher, logged):
    for _ in range(3):
        assert not resultOf(hasher.verify("{WHIRLPOOL}secret", "mailfw"))
    assert logged() == ["a stored password cannot be checked: unknown password scheme {WHIRLPOOL}"]


@pytest_twisted.ensureDeferred
async def test_worksInThreadsFewAtATime(monkeypatch):
    hasher = Hasher(reactor, reactor.seconds, threads=2)
    lock, here, most = threading.Lock(), [0], [0]
    release = threading.Event()
    inside = threading.Semaphore(0)

    def verify(stored, password):
        assert threading.current_thread() is not threading.main_thread()
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        inside.release()
        release.wait(10)
        with lock:
            here[0] -= 1
        return True

    monkeypatch.setattr(hashes, "verify", verify)
    waiting = [Deferred.fromCoroutine(hasher.verify(STORED, str(number))) for number in range(6)]
    assert inside.acquire(timeout=120)
    assert inside.acquire(timeout=120)
    release.set()
    assert await gatherResults(waiting) == [True] * 6
    assert most[0] == 2


@pytest_twisted.ensureDeferred
async def test_tooManyWaitingArePutOff(monkeypatch):
    monkeypatch.setattr(hashing, "WAITING_LIMIT", 3)
    hasher = Hasher(reactor, reactor.seconds, threads=1)
    release = threading.Event()
    monkeypatch.setattr(hashes, "verify", lambda stored, password: release.wait(10))
    waiting = [Deferred.fromCoroutine(hasher.verify(STORED, str(number))) for number in range(4)]
    with pytest.raises(AuthenticationUnavailable):
        await hasher.verify(STORED, "one more")
    release.set()
    assert await gatherResults(waiting) == [True] * 4
    assert await hasher.verify(STORED, "one more")


@pytest_twisted.ensureDeferred
async def test_thoseWhoComeAtOnceShareTheWork(monkeypatch):
    hasher = Hasher(reactor, reactor.seconds)
    release = threading.Event()
    monkeypatch.setattr(hashes, "verify", lambda stored, password: release.wait(10) and password == "mailfw")
    right = [Deferred.fromCoroutine(hasher.verify(STORED, "mailfw")) for _ in range(5)]
    wrong = [Deferred.fromCoroutine(hasher.verify(STORED, "wrong")) for _ in range(5)]
    others = [Deferred.fromCoroutine(hasher.verify("{PLAIN}x", "mailfw")) for _ in range(5)]
    release.set()
    assert await gatherResults(right + wrong + others) == [True] * 5 + [False] * 5 + [True] * 5
    assert hasher.operations == 3
    assert not await hasher.verify(STORED, "wrong")
    assert hasher.operations == 4


@pytest_twisted.ensureDeferred
async def test_unknownUsersShareAsKnownOnesDo(monkeypatch):
    """Else whoever asks twice at once would see from the time which names are real."""
    hasher = Hasher(reactor, reactor.seconds)
    release = threading.Event()
    monkeypatch.setattr(hashes, "verify", lambda stored, password: release.wait(10))
    pretended = [("nobody", "mailfw"), ("nobody", "mailfw"), ("nobody", "wrong"), ("somebody", "mailfw")]
    waiting = [Deferred.fromCoroutine(hasher.pretend(user, STORED, password)) for user, password in pretended]
    waiting.append(Deferred.fromCoroutine(hasher.verify(STORED, "mailfw")))
    release.set()
    await gatherResults(waiting)
    assert hasher.operations == 4


@pytest_twisted.ensureDeferred
async def test_whatFailsFailsForAllWhoShare():
    sharing, under = UnderWay(), Deferred()
    waiting = [Deferred.fromCoroutine(sharing.share("key", lambda: under)) for _ in range(3)]
    under.errback(AuthenticationUnavailable())
    for each in waiting:
        with pytest.raises(AuthenticationUnavailable):
            await each
    again = Deferred()
    again.callback("new")
    assert await sharing.share("key", lambda: again) == "new"
