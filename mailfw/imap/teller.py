"""Telling a client what happened as it happens: in IDLE, and between commands where NOTIFY asks for it.

A bell only says that something may have happened. Rings that come while news are told are told of in one more round, however
many they were; a round waits for a client that does not read. So what a client is owed never takes memory.

Invariant: nothing is told while a command runs but by that command. A command that comes during a round waits for its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from mailfw.errors import Refusal, UIDValidityChanged

if TYPE_CHECKING:
    from mailfw.imap.session import Session


class Teller:
    """Tells one session's client.

    :ivar isTelling: a round is under way; what is written meanwhile by others may come into the middle of a literal.
    """

    __slots__ = ("_isRung", "_session", "_waiting", "isTelling")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._isRung = False
        self.isTelling = False
        self._waiting: list[Deferred[None]] | None = None

    def rung(self) -> None:
        """Something may have happened."""
        self._isRung = True
        self.go()

    def go(self) -> None:
        """Tell what happened, if anything did and it may be told now."""
        if self._isRung and not self.isTelling and self._session.mayTell:
            self.isTelling = True
            Deferred.fromCoroutine(self._tell())

    async def rest(self) -> None:
        """Wait for the end of the round under way."""
        if self.isTelling:
            ended: Deferred[None] = Deferred()
            self._waiting = [*(self._waiting or ()), ended]
            await ended

    async def _tell(self) -> None:
        session = self._session
        try:
            while self._isRung and session.mayTell:
                self._isRung = False
                await session.tellNow()
        except UIDValidityChanged:
            session.selectedIsGone()
        except Refusal as refusal:
            session.channel.log.warn("news could not be read: {refusal}", refusal=refusal)
        except Exception:
            if session.channel.isOpen:  # else its mailbox may have been left while it was told about it
                # What the client was told and what the view says may differ now.
                session.channel.log.failure("telling news failed")
                session.end("internal error")
        finally:
            self.isTelling = False
            waiting, self._waiting = self._waiting, None
            for ended in waiting or ():
                ended.callback(None)
