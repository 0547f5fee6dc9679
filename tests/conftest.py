"""What every test is held to: it leaves nothing behind."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import LogEvent, globalLogPublisher

# A wall clock says nothing on a busy machine: that work is linear is measured where it is promised, by ratios.
TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mailfw", TIMELESS, derandomize=True)
settings.register_profile("prove", TIMELESS)
settings.load_profile("mailfw")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make prove` runs the long loops in full."""
    parser.addoption("--prove", action="store_true", help="run the loops marked `prove` in full, and other examples")


def pytest_configure(config: pytest.Config) -> None:
    """A run tries the examples of the run before it, so that what fails was broken meanwhile; whoever explores tries others."""
    if config.getoption("--prove"):
        settings.load_profile("prove")


PATIENCE = 20.0
"""Seconds after which what should be over by itself is taken for what was left behind."""


@pytest.fixture
def isProof(request: pytest.FixtureRequest) -> bool:
    """Whether a long loop is to run in full: `rounds = 50 if isProof else 2`."""
    return bool(request.config.getoption("--prove"))


def _selectables() -> set[Any]:
    """What the reactor watches, but for what it watches itself."""
    from twisted.internet import reactor

    watched: Any = reactor
    return {*watched.getReaders(), *watched.getWriters()} - watched._internalReaders


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("PoolThread-")}


def _busyThreads(known: set[threading.Thread]) -> list[str]:
    """Threads beside those known that do not end by themselves at once, and work in the reactor's pool."""
    names = []
    for thread in _threads() - known:
        thread.join(PATIENCE)  # a thread whose last act was to report its end may still be on its way out
        if thread.is_alive():
            names.append(thread.name)
    pool = getattr(sys.modules["twisted.internet.reactor"], "threadpool", None)
    end = time.monotonic() + PATIENCE  # work that has reported its result is counted as busy for a moment longer
    while pool is not None and pool._team.statistics().busyWorkerCount:
        if time.monotonic() > end:
            names.append("work in the reactor's thread pool")
            break
        time.sleep(0.001)
    return names


def _isUnhandled(event: LogEvent) -> bool:
    return event.get("log_namespace") == "twisted.internet.defer" and event.get("log_failure") is not None


class _Remains:
    """What was there before a test, and what is left after it."""

    def __init__(self) -> None:
        self.selectables = _selectables()
        self.threads = _threads()
        self.unhandled: list[LogEvent] = []

    def observe(self, event: LogEvent) -> None:
        if _isUnhandled(event):
            self.unhandled.append(event)

    def report(self) -> list[str]:
        from twisted.internet import reactor

        watched: Any = reactor
        left = [f"delayed call {call}" for call in watched.getDelayedCalls()]
        for call in watched.getDelayedCalls():
            call.cancel()
        for selectable in _selectables() - self.selectables:
            left.append(f"open {selectable!r}")
            watched.removeReader(selectable)
            watched.removeWriter(selectable)
        left += [f"thread {name}" for name in _busyThreads(self.threads)]
        return left + [f"unhandled: {event['log_failure'].getTraceback()}" for event in self.unhandled]


@pytest.fixture(autouse=True)
def nothingLeftBehind() -> Iterator[None]:
    """Fail a test that leaves delayed calls, open connections, threads at work, or failures that nobody looked at.

    Young garbage is collected after each test, so that a Deferred in a cycle speaks up in the test that made it.
    """
    remains = _Remains()
    globalLogPublisher.addObserver(remains.observe)
    yield
    gc.collect(1)
    globalLogPublisher.removeObserver(remains.observe)
    left = remains.report()
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Take back what pytest-twisted wraps around a hypothesis test, so that the next parameter set does not get it twice."""
    handle = getattr(pyfuncitem.obj, "hypothesis", None)
    inner = getattr(handle, "inner_test", None)
    try:
        return (yield)
    finally:
        if handle is not None:
            handle.inner_test = inner
