"""IDLE: news as they happen (RFC 2177)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mailfw.imap.grammar.commands import Idle
from mailfw.imap.grammar.response import Reply, bad, ok

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def idle(session: Session, command: Idle) -> Reply | None:
    """RFC 2177. What the client does not know yet is told at once, whether or not a bell rang for it."""
    session.channel.write(b"+ idling\r\n")
    session.dialogue = Idling(session)
    if session.selected is not None:
        session.selected.isRung = True
    session.teller.rung()
    return None


class Idling:
    """A client in IDLE, until it says DONE. :ivar isOver: nothing more is told."""

    def __init__(self, session: Session) -> None:
        self.isOver = False
        self._session = session
        self._cancel: Callable[[], None] = lambda: None
        self._keepAlive()

    def _keepAlive(self) -> None:
        """Say something now and then, so that routers do not forget the connection, and a dead one is noticed."""
        self._cancel = self._session.channel.later(self._session.limits.idleKeepAlive, self._stillHere)

    def _stillHere(self) -> None:
        if not self._session.teller.isTelling:
            self._session.channel.write(ok("still here").render())
        self._keepAlive()

    async def line(self, line: bytes) -> None:
        """`DONE`; anything else is no command, and ends IDLE too. It is answered after the round under way."""
        self.ended()
        await self._session.teller.rest()
        await self._session.finish(ok("idle no more") if line.upper() == b"DONE" else bad("expected DONE"))

    def ended(self) -> None:
        """Tell nothing more."""
        self.isOver = True
        self._cancel()


HANDLERS: Mapping[type, Handler] = {Idle: idle}
