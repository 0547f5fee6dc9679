"""Work on the reactor that is done in stretches: they take turns, so that everybody else has his turn soon, however many
connections have a stretch to do. A hundred sessions that hear of the same thousand changes are the case it is for.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred

TURN = 0.005
"""Seconds of stretches after which whatever else waits comes before the next."""


class Stretches:
    """One reactor's. :param reactor: IReactorTime."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._waiting: deque[Deferred[None]] = deque()

    async def turn(self) -> None:
        """Wait until the next stretch may be done."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            self._reactor.callLater(0, self._go)
        await waiting

    def _go(self) -> None:
        end = self._reactor.seconds() + TURN
        for _ in range(len(self._waiting)):
            # Stays in front meanwhile, so that whoever comes back for another stretch begins no second round.
            self._waiting[0].callback(None)
            self._waiting.popleft()
            if self._reactor.seconds() >= end:
                break
        if self._waiting:
            self._reactor.callLater(0, self._go)
