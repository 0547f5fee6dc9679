"""Threads for hooks, and other functions, that are no `async def`: a few, none of which can hold up the end of the process.

A function cannot be stopped from outside. One that never returns keeps its thread; the runner waits no longer than its
deadline, and the process does not wait for it at all.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")

MOST = 16
"""Threads, that is calls that can be under way at once."""

WAITING = 1000
"""Calls that may wait for a thread."""


class Busy(Exception):
    """Every thread is at work, and too many calls wait already."""


class Threads:
    """:param reactor: IReactorFromThreads; results come in its thread. Without that, everything is done at once (tests)."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Call it in a thread; not any more when the Deferred was cancelled before its turn. :raises Busy:"""
        if self._work.qsize() >= WAITING:
            raise Busy
        isGivenUp = threading.Event()
        done: Deferred[T] = Deferred(lambda _: isGivenUp.set())

        def task() -> None:
            if isGivenUp.is_set():
                return
            try:
                result: Any = work()
            except BaseException:
                result = Failure()  # type: ignore[no-untyped-call]
            if threading.current_thread() is asker:
                tell(result)
            else:
                self._reactor.callFromThread(tell, result)

        def tell(result: Any) -> None:
            if not done.called:  # nobody waits for it any more
                done.callback(result)

        asker = threading.current_thread()
        if not hasattr(self._reactor, "callFromThread"):
            task()
            return done
        self._work.put(task)
        with self._lock:
            isNeeded = self._idle < self._work.qsize() and self._threads < MOST
            self._threads += isNeeded
        if isNeeded:
            threading.Thread(target=self._live, name=f"hooks-{self._threads}", daemon=True).start()
        return done

    def close(self) -> None:
        """Let every thread end that is not at work."""
        for _ in range(self._threads):
            self._work.put(None)

    def _live(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            task = self._work.get()
            with self._lock:
                self._idle -= 1
            if task is None:
                return
            task()
