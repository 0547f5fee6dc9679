"""Makes connections for a listener, unless a limit is passed."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from mailfw.net.connection import Connection, Listener
from mailfw.net.context import ServiceContext
from mailfw.net.peer import peerOf


class _Refused(Protocol):
    """Says why there is no session, and closes."""

    def __init__(self, farewell: bytes) -> None:
        self.farewell = farewell

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self.farewell)
        transport.loseConnection()


class MailFactory(Factory):
    """Builds one kind of connection for one listener."""

    noisy = False
    log = Logger("mailfw.net")

    def __init__(self, connection: type[Connection], context: ServiceContext, listener: Listener) -> None:
        self.connection = connection
        self.context = context
        self.listener = listener

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a polite refusal."""
        peer = peerOf(addr)
        reason = self.context.sessions.refuses(peer, self.context.limits)
        if reason:
            self.log.info("connection refused: {reason}", reason=reason, peer=str(peer), service=self.listener.service)
            return _Refused(self.connection.refusal(reason))
        return self.connection(self.context, self.listener)
