"""Whether a server can do its work, found out from parts that fail, hang, or are asked by many at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.app import readiness
from mailfw.app.asking import Patient, Shared
from mailfw.app.readiness import FRESH, PATIENCE, Disk, Readiness
from mailfw.errors import Unavailable
from mailfw.interfaces import IHealth
from mailfw.net.limits import Limits


@implementer(IHealth)
class Part:
    """:ivar answer: what `prove` comes to: an exception to raise, or something to wait for."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked = 0

    async def prove(self) -> None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            await self.answer

    async def health(self) -> list[Any]:
        return []


class Parts:
    """A server, as far as readiness looks at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.store, self.queue, self.accounts = Part(), Part(), Part()
        self.lookup: Any = None
        self.free = 1 << 40
        self.listener = SimpleNamespace(service="imap", binding="[::1]:143", port=object())
        monkeypatch.setattr(readiness, "disks", lambda paths: [Disk(path, self.free, 1 << 40) for path in paths])
        monkeypatch.setattr(readiness, "deferToThreadPool", lambda reactor, pool, work, *words: succeed(work(*words)))
        self.clock.getThreadPool = lambda: None  # type: ignore[attr-defined]
        system = SimpleNamespace(
            store=self.store, queue=self.queue, sources=[("accounts:", self.accounts)], hasAccount=self.hasAccount
        )
        self.server: Any = SimpleNamespace(
            running=True,
            system=system,
            listeners=[self.listener],
            configuration=SimpleNamespace(domains=["localhost"], netLimits=Limits),
            data=SimpleNamespace(path="/data"),
        )
        self.readiness = Readiness(self.server, self.clock)

    async def hasAccount(self, name: str) -> bool:
        if self.lookup is not None:
            raise self.lookup
        return False

    def ask(self) -> list[Any]:
        """What comes of asking, once it does."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.readiness.reasons()).addBoth(found.append)
        return found


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    return Parts(monkeypatch)


def test_aServerThatIsWellHasNoReasons(parts: Parts) -> None:
    assert parts.ask() == [[]]
    assert (parts.store.asked, parts.queue.asked, parts.accounts.asked) == (1, 1, 1)


def test_everythingThatIsWrongIsSaid(parts: Parts) -> None:
    parts.store.answer = Unavailable("no")
    parts.store.answer.__cause__ = OSError("disk I/O error")
    parts.queue.answer = Unavailable("the queue is away")
    parts.accounts.answer = ZeroDivisionError()
    parts.lookup = Unavailable("nobody home")
    parts.free = 3 << 20
    parts.listener.port = None
    assert parts.ask() == [
        [
            "imap does not listen on [::1]:143",
            "the store takes no change: disk I/O error",
            "the queue takes no change: the queue is away",
            "accounts: takes no change: ZeroDivisionError",
            "accounts cannot be looked up: nobody home",
            "the disk is full: 3 MiB are free at /data, less than a message may have",
        ]
    ]


def test_itLooksNowAndThenHoweverOftenItIsAsked(parts: Parts) -> None:
    for _ in range(10):
        assert parts.ask() == [[]]
    assert parts.store.asked == 1
    parts.store.answer = Unavailable("no")
    assert parts.ask() == [[]]
    parts.clock.advance(FRESH)
    assert parts.ask() == [["the store takes no change: no"]]
    assert parts.store.asked == 2


def test_whatHangsIsSaidToHangAndNotAskedAgain(parts: Parts) -> None:
    hanging: Deferred[None] = Deferred()
    parts.store.answer = hanging
    first, second = parts.ask(), parts.ask()
    parts.clock.advance(PATIENCE)
    assert first == second == [["the store does not answer"]]
    for _ in range(10):
        parts.clock.advance(FRESH)
        assert parts.ask() == [["the store does not answer"]]
    assert parts.store.asked == 1
    assert parts.queue.asked == 11
    hanging.callback(None)
    parts.store.answer = None
    parts.clock.advance(FRESH)
    assert parts.ask() == [[]]


def test_aServerThatStopsIsNotReadyAtOnce(parts: Parts) -> None:
    parts.ask()
    parts.server.running = False
    assert parts.ask() == [["the server is stopping"]]


def test_whoStopsWaitingTakesNothingFromOthers() -> None:
    clock, work = Clock(), Deferred[str]()

    async def find() -> str:
        return await work

    shared = Shared(find, 1.0, clock)
    found: list[Any] = []
    waiters = [Deferred.fromCoroutine(shared.get()) for _ in range(3)]
    for each in waiters:
        each.addBoth(found.append)
    waiters[0].cancel()
    assert [each.type for each in found] == [CancelledError]
    work.callback("there")
    assert found[1:] == ["there", "there"]


def test_whatCannotBeFoundOutIsSaidToAllAndTriedAgain() -> None:
    clock, asked = Clock(), 0

    async def find() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Unavailable
        return "there"

    shared = Shared(find, 1.0, clock)
    found: list[Any] = []
    for _ in range(2):
        Deferred.fromCoroutine(shared.get()).addBoth(found.append)
    assert found[0].type is Unavailable
    assert found[1] == "there"


def test_aPartsOwnFaultIsItsAnswer() -> None:
    patient, found = Patient(1.0, Clock()), []

    async def broken() -> str:
        raise Unavailable

    Deferred.fromCoroutine(patient.ask("a", broken, "silence")).addBoth(found.append)
    assert found[0].type is Unavailable
