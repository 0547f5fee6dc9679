"""IDLE: news as they happen (RFC 2177)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredLock

from mailfw.errors import Refusal, UIDValidityChanged
from mailfw.imap.grammar.commands import Idle
from mailfw.imap.grammar.response import Reply, bad, ok

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def idle(session: Session, command: Idle) -> Reply | None:
    """RFC 2177. What the client does not know yet is told at once."""
    session.channel.write(b"+ idling\r\n")
    idling = Idling(session)
    session.dialogue = idling
    idling.rung()
    return None


class Idling:
    """A client in IDLE.

    Rings that come while news are being told are told of in one more round, however many they were; and the DONE of the
    client is answered after the round under way.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._telling = DeferredLock()
        self._isRung = False
        self._isOver = False
        self._cancel: Callable[[], None] = lambda: None
        self._keepAlive()

    def rung(self) -> None:
        """Something may have happened."""
        if not self._isRung and not self._isOver:
            self._isRung = True
            Deferred.fromCoroutine(self._tell())

    async def _tell(self) -> None:
        await self._telling.acquire()
        try:
            self._isRung = False
            if not self._isOver:
                await self._session.news(isAsked=True, mayExpunge=True)
                if code := self._session.modSeqCode():
                    self._session.channel.write(ok("that was all", code).render())
        except UIDValidityChanged:
            self._session.selectedIsGone()
        except Refusal as refusal:
            self._session.channel.log.warn("news could not be read in IDLE: {refusal}", refusal=refusal)
        except Exception:
            self._session.channel.log.failure("telling news in IDLE failed")
            self._session.end("internal error")
        finally:
            self._telling.release()

    def _keepAlive(self) -> None:
        """Say something now and then, so that routers do not forget the connection, and a dead one is noticed."""
        self._cancel = self._session.channel.later(self._session.limits.idleKeepAlive, self._stillHere)

    def _stillHere(self) -> None:
        self._session.channel.write(ok("still here").render())
        self._keepAlive()

    async def line(self, line: bytes) -> None:
        """`DONE`; anything else is no command, and ends IDLE too."""
        self.ended()
        await self._telling.acquire()
        self._telling.release()
        await self._session.finish(ok("idle no more") if line.upper() == b"DONE" else bad("expected DONE"))

    def ended(self) -> None:
        """Tell nothing more."""
        self._isOver = True
        self._cancel()


HANDLERS: Mapping[type, Handler] = {Idle: idle}
