"""What a server says bit by bit, for `async for`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")

FULL = 1 << 20
"""Octets that wait to be taken, above which the server is not read if nobody else needs it."""

ITEM = 1 << 10
"""Octets that an item counts for beside its `weight`."""


class Stream(Generic[T]):
    """An async iterator. It ends with what the command ends with: when that was refused, the refusal is raised then.

    Leave it before its end by `aclose`, or use it by `async with`: what still comes is thrown away then.

    :param flow: called when `isFull` may have changed.
    """

    def __init__(self, flow: Callable[[], None], weight: Callable[[T], int] = lambda item: 0) -> None:
        self._flow = flow
        self._weight = weight
        self._items: deque[tuple[T, int]] = deque()
        self._size = 0
        self._waiting: Deferred[None] | None = None
        self._isClosed = False
        self._isOver = False
        self._error: Exception | None = None

    @property
    def isFull(self) -> bool:
        """Whether enough waits to be taken."""
        return self._size > FULL

    def push(self, item: T) -> None:
        """One more."""
        if self._isClosed:
            return
        weight = self._weight(item) + ITEM
        self._items.append((item, weight))
        self._size += weight
        self._wake()
        self._flow()

    def finish(self, error: Exception | None = None) -> None:
        """No more. What came before is given first."""
        self._isOver, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._isOver or self._isClosed:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            assert self._waiting is None, "one taker at a time"
            self._waiting = Deferred()
            await self._waiting
        item, weight = self._items.popleft()
        self._size -= weight
        self._flow()
        return item

    async def aclose(self) -> None:
        """Take no more."""
        self._isClosed, self._error = True, None
        self._items.clear()
        self._size = 0
        self._wake()
        self._flow()

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
