"""Where the reactor of a trap runs, and how a test's thread gets something done there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

T = TypeVar("T")

STARTING = 10.0
"""Seconds that a reactor has to start."""

_INSIDE = (
    "pytest-twisted has its reactor call this test, so nothing would ever arrive while it blocks: await whenReceived(…) in place "
    "of waitFor(…); a suite that is not about Twisted runs with `-p no:twisted`"
)


class Loop(Protocol):
    """A reactor that runs somewhere. :ivar reactor: has every interface that Twisted's reactors have."""

    reactor: Any

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Do it in the reactor's thread; what it returns or raises. Blocks the caller while it waits, but never the reactor."""

    def stop(self) -> None:
        """End what was begun for the trap."""


class ThreadLoop:
    """The reactor in a thread of its own; if somebody runs it in another thread already (crochet does), that one.

    :raises RuntimeError: the reactor cannot run any more.
    """

    def __init__(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self._thread: threading.Thread | None = None
        if not self.reactor.running:
            started = threading.Event()
            self.reactor.callWhenRunning(started.set)
            run = {"installSignalHandlers": False}
            self._thread = threading.Thread(target=self.reactor.run, kwargs=run, name="mailfw-trap", daemon=True)
            self._thread.start()
            if not started.wait(STARTING):
                raise RuntimeError("the reactor does not start: it has run in this process before, and cannot run twice")

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """From any thread but the reactor's."""
        do: Any = Deferred.fromCoroutine  # mypy cannot solve its annotation together with blockingCallFromThread's
        result: T = blockingCallFromThread(self.reactor, do, coroutine)
        return result

    def stop(self) -> None:
        """End the thread, if it is ours. A reactor cannot run twice: only at the end of the process's tests."""
        if self._thread is not None:
            self.reactor.callFromThread(self.reactor.stop)
            self._thread.join()


class TwistedLoop:
    """pytest-twisted's reactor, which is in the tests' own thread: it calls them, and fixtures can wait for it."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    @staticmethod
    def isThere() -> bool:
        """Whether pytest-twisted runs the reactor in this very thread."""
        return getattr(getattr(sys.modules.get("pytest_twisted"), "_instances", None), "gr_twisted", None) is not None

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """:raises RuntimeError: there is something to wait for, and the caller is itself run by the reactor."""
        import greenlet  # type: ignore[import-untyped]
        import pytest_twisted  # type: ignore[import-untyped]

        doing: Deferred[T] = Deferred.fromCoroutine(coroutine)
        if doing.called:
            return _now(doing)
        if greenlet.getcurrent() is pytest_twisted._instances.gr_twisted:
            doing.addErrback(lambda _: None)
            doing.cancel()
            raise RuntimeError(_INSIDE)
        result: T = pytest_twisted.blockon(doing)
        return result

    def stop(self) -> None:
        """It is pytest-twisted's."""


def _now(doing: Deferred[T]) -> T:
    """The result of what has one already. :raises Exception: what it failed with."""
    results: list[T] = []
    failures: list[Any] = []
    doing.addCallbacks(results.append, failures.append)
    for failure in failures:
        failure.raiseException()
    return results[0]
