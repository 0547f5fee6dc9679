"""Work that several ask for at once is done once: a password being hashed, a token being looked up, keys being fetched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class UnderWay(Generic[K, T]):
    """What is being worked on, by key. Nothing is remembered beyond the end of the work."""

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[T]]] = {}

    async def share(self, key: K, work: Callable[[], Awaitable[T]]) -> T:
        """What the work yields or raises; whoever asks with the same key meanwhile gets the same."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            result: Deferred[T] = Deferred()
            waiting.append(result)
            return await result
        waiting = self._waiting[key] = []
        try:
            outcome = await work()
        except Exception as error:
            del self._waiting[key]
            for each in waiting:
                each.errback(error)
            raise
        del self._waiting[key]
        for each in waiting:
            each.callback(outcome)
        return outcome
