"""How far a command has come that takes long (RFC 9585 INPROGRESS)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from mailfw.imap.grammar.response import ok

if TYPE_CHECKING:
    from mailfw.imap.session import Session

INTERVAL = 10.0
"""Seconds between two words about a command; most end before the first (RFC 9585 §4)."""


class Progress:
    """Tells the client about the command under way, until the `with` block that it belongs to is left.

    :ivar done: how many messages are dealt with.
    :param goal: how many there are to deal with; 0 where nobody can tell.
    """

    def __init__(self, session: Session, goal: int = 0) -> None:
        self.done = 0
        self._session = session
        self._goal = goal
        self._cancel: Callable[[], None] = lambda: None

    def __enter__(self) -> Progress:
        self._wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._cancel()

    def _wait(self) -> None:
        self._cancel = self._session.channel.later(INTERVAL, self._tell)

    def _tell(self) -> None:
        """`"INPROGRESS" SP "(" inprogress-tag SP inprogress-state ")"` (RFC 9585 §5)"""
        session = self._session
        state = b"%d %d" % (min(self.done, self._goal), self._goal) if self._goal else b"NIL NIL"
        session.channel.write(ok("still at it", b'INPROGRESS ("%b" %b)' % (session.tag, state)).render())
        self._wait()
