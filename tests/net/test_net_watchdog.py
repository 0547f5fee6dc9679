"""Who holds the reactor: named while it lasts, counted once, and told from a process that stood still."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from mailfw.net import watchdog as module
from mailfw.net.watchdog import OUTSIDE, QUIET, UNSEEN, Watchdog, blamed


@pytest.mark.parametrize(
    "modules, who",
    [
        (["__main__", "twisted.internet.base", "mailfw.net.connection", "ledger.store", "json"], "store ledger"),
        (["twisted.internet.base", "requests.api", "urllib3.pool", "ledger.http"], "store ledger"),
        (["twisted.internet.base", "mailfw.smtp.server", "requests.api", "urllib3.pool", "ssl"], "module requests"),
        (["twisted.internet.base", "mailfw.smtp.server", "mailfw.storage.sqlite", "cryptography.x509", "re"], "mailfw.storage"),
        (["twisted.internet.base", "twisted.internet.epollreactor"], UNSEEN),
        ([], UNSEEN),
    ],
)
def test_whoseCodeItIs(modules: list[str], who: str) -> None:
    assert blamed(modules, lambda name: "store ledger" if name.partition(".")[0] == "ledger" else "") == who


class Held:
    """A watchdog on a clock of the test's; the reactor is that clock, and this thread its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.worked = 0.0
        monkeypatch.setattr(module.time, "process_time", lambda: self.worked)
        monkeypatch.setattr(module.threading, "Thread", lambda **_: self)
        self.said: list[str] = []
        self.dog = Watchdog(1.0, clock=self.clock.seconds, nameOf=lambda name: "the test" if name == __name__ else "")
        self.dog.start(self.clock)

    def start(self) -> None:
        """In place of the thread, which would look by itself."""

    def join(self, timeout: float) -> None:
        """Likewise."""

    def hold(self, seconds: float, work: float = 0.0, isSeen: bool = True) -> None:
        """Let so much time pass in which the reactor does not come round, and then let it."""
        due, self.clock.calls = self.clock.calls, []
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            if isSeen:
                self.dog.look()
        self.worked += work
        self.clock.calls = due
        self.clock.advance(0.0)

    def __call__(self, event: Any) -> None:
        if str(event.get("log_namespace")).startswith("mailfw.net.watchdog"):
            self.said.append(formatEvent(event))


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    globalLogPublisher.addObserver(held)
    yield held
    globalLogPublisher.removeObserver(held)
    held.dog.close()


def test_whatHoldsTheReactorIsNamedWithItsLineAndCountedOnce(held: Held) -> None:
    held.hold(3.0)
    assert held.dog.tally.stalls == {"the test": 1}
    assert held.said[0].startswith("the test has held the reactor for 1.")
    assert "test_net_watchdog.py" in "".join(held.said)
    assert held.said[-1].startswith("the test held the reactor for 2.8 s; it goes on now")
    assert sum(held.dog.tally.lags.counts) >= 1


def test_aReactorThatComesRoundIsLeftAlone(held: Held) -> None:
    for _ in range(100):
        held.clock.advance(0.1)
        held.dog.look()
    assert held.said == []
    assert held.dog.tally.stalls == {}
    assert sum(held.dog.tally.lags.counts) in (39, 40)


def test_aShortStallIsNone(held: Held) -> None:
    held.hold(0.9)
    assert held.said == []


def test_manyStallsAreAllCountedAndFewLogged(held: Held) -> None:
    for _ in range(6):
        held.hold(1.5)
    assert held.dog.tally.stalls == {"the test": 6}
    assert sum("does not let go" in line for line in held.said) == 1
    assert sum("goes on now" in line for line in held.said) == 1
    for _ in range(round(QUIET * 10)):
        held.clock.advance(0.1)
    held.hold(1.5)
    assert sum("does not let go" in line for line in held.said) == 2
    assert "and 5 more such times before" in held.said[-1]


def test_aStallThatLastsIsToldOfAgainEverMoreSeldom(held: Held) -> None:
    held.hold(30.0)
    assert held.dog.tally.stalls == {"the test": 1}
    assert sum("does not let go" in line for line in held.said) == 3


def test_aProcessThatStoodStillBlamesNobody(held: Held) -> None:
    held.hold(5.0, work=0.01, isSeen=False)
    assert held.dog.tally.stalls == {OUTSIDE: 1}
    assert "the whole process stood still" in held.said[0]


def test_whatWorkedUnseenIsCountedToo(held: Held) -> None:
    """Code in C that never lets another thread run."""
    held.hold(5.0, work=4.9, isSeen=False)
    assert held.dog.tally.stalls == {UNSEEN: 1}


@pytest.mark.parametrize("what, name", [("hook", "python:own.py:check"), ("function", "tickets.open")])
def test_aStepUnderWayIsNamedRatherThanWhatIsOnTheStack(held: Held, what: str, name: str) -> None:
    async def hook() -> None:
        held.hold(2.0)

    with pytest.raises(StopIteration):
        held.dog.watched(name, hook(), what).send(None)
    assert held.dog.tally.stalls == {f"{what} {name}": 1}
    assert any(line == f"{what} {name} held the reactor for 2.00 s" for line in held.said)


def test_nobodyLooksWithoutABound() -> None:
    dog = Watchdog(0.0)
    dog.start(Clock())
    before = threading.active_count()

    async def hook() -> None:
        pass

    with pytest.raises(StopIteration):
        dog.watched("a hook", hook()).send(None)
    assert threading.active_count() == before
    dog.close()
