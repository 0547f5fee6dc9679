"""What a value that is shown, and goes on showing, can do with the terminal of whoever looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from mailfw.app.shell.page import Line, Page


class Screen(Protocol):
    """:ivar width: columns. :ivar height: rows. :ivar isTerminal: somebody looks at it, and has keys.
    :ivar isBlocked: more was written than is read.
    """

    width: int
    height: int
    isTerminal: bool

    @property
    def isBlocked(self) -> bool: ...

    def write(self, line: Line, /) -> None:
        """Show a line below the others."""

    def picture(self, page: Page | None, /) -> None:
        """Show a page in place of everything; None: show again what was there before."""

    async def untilKey(self, seconds: float | None = None, /) -> bool:
        """Wait until a key is pressed, so many seconds at most; whether one was. Without a terminal there are no keys."""


class Live:
    """What is shown for as long as somebody looks."""

    async def run(self, screen: Screen) -> None:
        """Show it."""
        raise NotImplementedError


class Watch(Live):
    """A page that is made anew again and again, until a key is pressed; without a terminal, once.

    :param every: seconds.
    """

    def __init__(self, make: Callable[[], Awaitable[Page]], every: float = 1.0) -> None:
        self._make = make
        self._every = max(0.1, every)

    async def run(self, screen: Screen) -> None:
        """Show it until a key is pressed."""
        page = await self._make()
        if not screen.isTerminal:
            for line in page:
                screen.write(line)
            return
        try:
            while True:
                if not screen.isBlocked:
                    screen.picture(page)
                if await screen.untilKey(self._every):
                    return
                page = await self._make()
        finally:
            screen.picture(None)
