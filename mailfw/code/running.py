"""Calls functions, each within its time: plain ones in threads, `async def` in the reactor's, watched there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from mailfw.code.routing import Match, Route
from mailfw.hooks.deadline import Late, within
from mailfw.hooks.threads import Busy, Threads
from mailfw.message.view import Message
from mailfw.net.watchdog import Watchdog

T = TypeVar("T")

_TOLD = 1000


class Failed(Exception):
    """A function was not called, or has not returned in time; the text says why."""


class Stopped(Exception):
    """The function was cut off, because the server stops."""


class Runner:
    """One for all functions of a process.

    :param reactor: IReactorTime, and IReactorFromThreads; without the latter all is done at once (tests).
    :param watchdog: the process's; names functions that hold the reactor.
    """

    def __init__(self, reactor: Any, watchdog: Watchdog | None = None) -> None:
        self.reactor = reactor
        self._threads = Threads(reactor)
        self._watchdog = watchdog
        self._atWork: dict[tuple[str, str], int] = {}  # plain functions, by name and message: some were given up, and work on
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def isNews(self, message: Message, line: str) -> bool:
        """Whether this was not said of a message yet; from now on it was, whatever is reloaded meanwhile."""
        key = (message.id, line)
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > _TOLD:
            self._told.popitem(last=False)
        return True

    async def call(self, match: Match, message: Message, seconds: float, calls: set[Deferred[Any]]) -> Any:
        """What the function returns, or whatever it raises.

        :param calls: cancelling what is in it cuts off what is under way.
        :raises Failed: :raises Stopped:
        """
        route = match.route
        if self._atWork.get((route.name, message.id)):
            raise Failed(f"{route.name} is at work still on the message since an earlier attempt, which nothing can stop")
        try:
            if route.isAsync:
                await self._within(self._threads.run(message.prepare), seconds, calls)
                work = route.function(message, **match.values)
                watched = self._watchdog.watched(route.name, work, "function") if self._watchdog is not None else work
                calling = Deferred.fromCoroutine(watched)
            else:
                calling = self._threads.run(self._counted(route, message, lambda: route.function(message, **match.values)))
            return await self._within(calling, seconds, calls)
        except Late:
            raise Failed(f"{route.name} has not returned within {seconds:g} s") from None
        except Busy:
            raise Failed("all threads for functions are at work, and many calls wait already") from None

    async def _within(self, calling: Deferred[T], seconds: float, calls: set[Deferred[Any]]) -> T:
        def cutOff(cancelled: Deferred[T]) -> None:
            cancelled.errback(Stopped())
            calling.cancel()

        cut: Deferred[T] = Deferred(cutOff)

        def pass_(result: Any) -> None:
            if not cut.called:
                cut.callback(result)

        calling.addBoth(pass_)
        calls.add(cut)
        try:
            return await within(cut, seconds, self.reactor)
        finally:
            calls.discard(cut)

    def _counted(self, route: Route, message: Message, work: Callable[[], T]) -> Callable[[], T]:
        """The same work, known to be under way as long as its thread is at it. Each entry is changed by one thread at a time."""
        key = (route.name, message.id)

        def counted() -> T:
            self._atWork[key] = 1
            try:
                return work()
            finally:
                del self._atWork[key]

        return counted

    def close(self) -> None:
        """Let go of threads that are not at work."""
        self._threads.close()
