"""Blocking work for many accounts at once: what is asked for one account is done one after another, accounts in parallel.

So the file work of one account never overlaps, while the fsyncs of many do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from mailfw.errors import Unavailable
from mailfw.sql.sqlite import isSystemFault

T = TypeVar("T")
THREADS = 16

_Work = tuple[Deferred[Any], Callable[[], Any]]


class Strands:
    """Runs jobs in up to `THREADS` threads, or inline at once. For the reactor's thread."""

    log = Logger()

    def __init__(self, reactor: Any, isInline: bool) -> None:
        # reactor: IReactorFromThreads, an interface that is not typed upstream
        self._reactor = reactor
        self._isInline = isInline
        self._isClosed = False
        self._lock = threading.Condition()
        self._waiting: dict[str, deque[_Work]] = {}
        self._ready: SimpleQueue[str | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def run(self, strand: str, job: Callable[[], T]) -> Deferred[T]:
        """Do `job` after whatever was asked for this strand before."""
        if self._isClosed:
            return fail(Unavailable("the server is stopping"))
        if self._isInline:
            try:
                return succeed(job())
            except Exception as error:
                return fail(self._explained(error))
        waiting: Deferred[T] = Deferred()
        with self._lock:
            queue = self._waiting.get(strand)
            if queue is None:
                self._waiting[strand] = deque([(waiting, job)])
                self._ready.put(strand)
            else:
                queue.append((waiting, job))
        if len(self._threads) < min(THREADS, len(self._waiting)):
            self._threads.append(threading.Thread(target=self._work, name=f"files {len(self._threads) + 1}", daemon=True))
            self._threads[-1].start()
        return waiting

    def _work(self) -> None:
        while (strand := self._ready.get()) is not None:
            with self._lock:
                waiting, job = self._waiting[strand][0]
            try:
                value = job()
            except BaseException as error:  # a store is anybody's code: whatever it raises ends its job and not the thread
                self._reactor.callFromThread(waiting.errback, self._explained(error))
            else:
                self._reactor.callFromThread(waiting.callback, value)
            with self._lock:
                queue = self._waiting[strand]
                queue.popleft()
                if queue:
                    self._ready.put(strand)
                else:
                    del self._waiting[strand]
                    self._lock.notify_all()

    def _explained(self, error: BaseException) -> Exception:
        """Refusals and faults of ours as they are; the system's troubles as Unavailable; what would end a program as a fault."""
        if not isinstance(error, Exception):
            fault = RuntimeError(f"{type(error).__name__} where files were used")
            fault.__cause__ = error
            return fault
        if not isSystemFault(error):
            return error
        self.log.error("files could not be used: {error}", error=error)
        unavailable = Unavailable()
        unavailable.__cause__ = error
        return unavailable

    def close(self) -> Deferred[None]:
        """End the threads once all that was asked for is done."""
        self._isClosed = True
        if self._isInline:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        closer = threading.Thread(target=lambda: self._stop(stopped), name="files closer", daemon=True)

        def stopped() -> None:
            closer.join()
            closed.callback(None)

        closer.start()
        return closed

    def _stop(self, stopped: Callable[[], None]) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting)
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join()
        self._reactor.callFromThread(stopped)
