"""Work that is done again and again while a store is open: in rounds, one at a time, each in pieces."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger("mailfw.storage")


class Rounds:
    """:param what: the work, for the log. :param work: one round.
    :param interval: seconds between rounds; the first comes after the first of them.
    :param clock: IReactorTime, an interface that is not typed upstream.
    """

    def __init__(self, what: str, work: Callable[[], Coroutine[Any, Any, None]], interval: float, clock: Any) -> None:
        self._what = what
        self._work = work
        self._interval = interval
        self._loop = LoopingCall(self._round)
        self._loop.clock = clock
        self._running: Deferred[None] | None = None

    @property
    def isGoing(self) -> bool:
        """Whether there is time for more of a round; asked between its pieces."""
        return self._loop.running

    def start(self) -> None:
        """Begin."""
        ended = self._loop.start(self._interval, now=False)
        ended.addErrback(lambda failure: _log.failure("{what} ended", failure, what=self._what))

    async def stop(self) -> None:
        """End; a round that is under way comes to its end at its next piece."""
        if self._loop.running:
            self._loop.stop()
        if self._running is not None:
            await self._running

    def _round(self) -> Deferred[None]:
        self._running = Deferred.fromCoroutine(self._work())
        return self._running.addErrback(lambda failure: _log.failure("{what} failed", failure, what=self._what))
