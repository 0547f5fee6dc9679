"""Makes connections for a listener, unless a limit is passed."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.net.connection import LINGER, Connection, Listener
from mailfw.net.context import ServiceContext
from mailfw.net.peer import peerOf

LINGERING = 20
"""Refused clients of one listener that may be there at once; further ones are cut off without a word."""

REFUSALS_LOGGED = 1.0
"""Seconds between two lines of the log about connections refused, so that a flood of them cannot fill the disk."""


class _Refused(Protocol):
    """Says why there is no session, and closes: with TLS only after the handshake, which a client may never begin."""

    def __init__(self, farewell: bytes, clock: IReactorTime, refused: set[_Refused]) -> None:
        self.farewell = farewell
        self._clock = clock
        self._refused = refused
        self._cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if len(self._refused) >= LINGERING:
            transport.abortConnection()
            return
        self._refused.add(self)
        self._cut = self._clock.callLater(LINGER, transport.abortConnection)
        transport.write(self.farewell)
        transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._refused.discard(self)
        if self._cut is not None and self._cut.active():
            self._cut.cancel()


class MailFactory(Factory):
    """Builds one kind of connection for one listener. :ivar refusing: why nobody gets a session now; empty: everybody may."""

    noisy = False
    log = Logger("mailfw.net")

    def __init__(self, connection: type[Connection], context: ServiceContext, listener: Listener) -> None:
        self.connection = connection
        self.context = context
        self.listener = listener
        self.refusing = ""
        self._refused: set[_Refused] = set()
        self._unlogged = 0
        self._loggedAt = -REFUSALS_LOGGED

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a polite refusal."""
        peer = peerOf(addr)
        reason = self.refusing or self.context.sessions.refuses(peer, self.context.limits)
        if reason:
            self.context.tally.service(self.listener.service).refused += 1
            self._log(reason, str(peer))
            return _Refused(self.connection.refusal(reason), self.context.reactor, self._refused)
        return self.connection(self.context, self.listener)

    def _log(self, reason: str, peer: str) -> None:
        now = self.context.reactor.seconds()
        if now - self._loggedAt < REFUSALS_LOGGED:
            self._unlogged += 1
            return
        self.log.info(
            "connection to {service} refused: {reason}: {peer} (and {more} more before)",
            reason=reason,
            peer=peer,
            service=self.listener.service,
            more=self._unlogged,
        )
        self._loggedAt, self._unlogged = now, 0
