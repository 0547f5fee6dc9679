"""Who is judged next: logins that come in parallel stand in line, so that guessing in parallel is no faster than one by one.

In a line are those that wait for each other. They go in the order in which they came, but nobody waits for a user who may
not go yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailfw.errors import AuthenticationUnavailable


@define(eq=False)
class Line:
    """Logins from one network. :ivar underWay: how many of each user's are being judged."""

    key: Hashable
    network: str
    underWay: Counter[str] = field(factory=Counter)
    waiting: list[tuple[str, Deferred[None]]] = field(factory=list)
    call: IDelayedCall | None = None
    isAdvancing: bool = False


class Rules(Protocol):
    """Who may go when."""

    def wait(self, user: str, line: Line) -> float:
        """Seconds until that user may be judged: 0 now; `math.inf`: not before another has been."""

    def room(self, user: str, line: Line) -> int:
        """The length of the line at which that user is put off."""


class Turns:
    """All lines. :param reactor: IReactorTime."""

    def __init__(self, reactor: IReactorTime, rules: Rules) -> None:
        self._reactor = reactor
        self._rules = rules
        self._lines: dict[Hashable, Line] = {}

    async def take(self, key: Hashable, network: str, user: str) -> AbstractContextManager[None]:
        """Wait for the turn of that user's login, which lasts until the context is left.

        :param key: of the line.
        :raises AuthenticationUnavailable: the line is too long.
        """
        line = self._lines.setdefault(key, Line(key, network))
        if line.waiting or self._rules.wait(user, line) > 0:
            turn: Deferred[None] = Deferred()
            line.waiting.append((user, turn))
            self._advance(line)
            await turn
        else:
            line.underWay[user] += 1
        return self._turn(user, line)

    @contextmanager
    def _turn(self, user: str, line: Line) -> Iterator[None]:
        try:
            yield
        finally:
            line.underWay[user] -= 1
            if not line.underWay[user]:
                del line.underWay[user]
            self._advance(line)

    def _advance(self, line: Line) -> None:
        """Let everybody go who may. Whoever has his turn may end it at once, and come here again: the loop sees to that."""
        if line.isAdvancing:
            return
        line.isAdvancing = True
        try:
            while (go := self._next(line)) is not None:
                go()
        finally:
            line.isAdvancing = False
        if not line.waiting and not line.underWay:
            self._lines.pop(line.key, None)

    def _next(self, line: Line) -> Callable[[], None] | None:
        """What is to be done now for somebody who waits; None: nothing, until a turn ends or the time has come."""
        soonest = math.inf
        rooms: dict[str, int] = {}  # of users who may not go yet
        for place, (user, turn) in enumerate(line.waiting):
            if user not in rooms:
                seconds = self._rules.wait(user, line)
                if seconds <= 0:
                    del line.waiting[place]
                    line.underWay[user] += 1
                    return partial(turn.callback, None)
                soonest = min(soonest, seconds)
                rooms[user] = self._rules.room(user, line)
            if place >= rooms[user]:
                del line.waiting[place]
                return partial(turn.errback, AuthenticationUnavailable())
        self._setAlarm(line, soonest)
        return None

    def _setAlarm(self, line: Line, seconds: float) -> None:
        if line.call is not None:
            line.call.cancel()
            line.call = None
        if seconds < math.inf:
            line.call = self._reactor.callLater(seconds, self._due, line)

    def _due(self, line: Line) -> None:
        line.call = None
        self._advance(line)
