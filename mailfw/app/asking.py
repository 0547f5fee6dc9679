"""Asking what may cost something, or never answer.

Invariants: nobody who stops waiting takes an answer away from others; what has not answered yet is not asked once more meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Shared(Generic[T]):
    """One answer for all who ask within some time.

    :param find: finds it out.
    :param fresh: seconds for which an answer is good.
    :param clock: IReactorTime.
    """

    def __init__(self, find: Callable[[], Coroutine[Any, Any, T]], fresh: float, clock: Any) -> None:
        self._find = find
        self._fresh = fresh
        self._clock = clock
        self._found: list[T] = []
        self._foundAt = 0.0
        self._isFinding = False
        self._waiting: list[Deferred[T]] = []

    async def get(self) -> T:
        """The answer. :raises Exception: what finding it out raised."""
        if self._found and self._clock.seconds() - self._foundAt < self._fresh:
            return self._found[0]
        waiting: Deferred[T] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if not self._isFinding:
            self._isFinding = True
            Deferred.fromCoroutine(self._find()).addBoth(self._tell)
        return await waiting

    def _tell(self, found: T | Failure) -> None:
        self._isFinding = False
        if not isinstance(found, Failure):
            self._found, self._foundAt = [found], self._clock.seconds()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(found)


class Patient:
    """Asks parts of a system, each of which may hang.

    :param seconds: for which each is waited for. :param clock: IReactorTime.
    """

    def __init__(self, seconds: float, clock: Any) -> None:
        self._seconds = seconds
        self._clock = clock
        self._underWay: set[str] = set()

    async def ask(self, part: str, ask: Callable[[], Awaitable[T]], silence: T) -> T:
        """What the part answers; `silence` where it does not in time, or owes an answer still. :raises Exception: its own."""
        if part in self._underWay:
            return silence
        self._underWay.add(part)

        async def asked() -> T:
            try:
                return await ask()
            finally:
                self._underWay.discard(part)

        first: Deferred[T] = Deferred()

        def pass_(result: T | Failure) -> None:
            if not first.called:
                first.callback(result)

        Deferred.fromCoroutine(asked()).addBoth(pass_)
        if first.called:
            return await first
        late = self._clock.callLater(self._seconds, first.callback, silence)
        try:
            return await first
        finally:
            if late.active():
                late.cancel()
