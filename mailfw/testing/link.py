"""Two protocols joined in memory: what one writes the other receives, when `pump` says so, in pieces of any size.

    link = Link(client, server)
    link.pump()

TLS is pretended: it is under way once both ends have asked for it. A link can be cut after so many octets from the server.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHandshakeListener, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport)
class End:
    """One end's transport. :ivar output: octets that the other end has not received."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.output = bytearray()
        self.isClosed = False
        self.isPaused = False
        self.wantsTLS = False
        self.producer: Any = None
        self.isStreaming = True

    def write(self, data: bytes) -> None:
        if not self.isClosed:
            self.output += data

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.isClosed = True

    def abortConnection(self) -> None:
        self.output.clear()
        self.isClosed = True

    def getPeer(self) -> IAddress:
        return IPv4Address("TCP", "127.0.0.1", 25)

    def getHost(self) -> IAddress:
        return IPv4Address("TCP", "127.0.0.1", 40000)

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer, self.isStreaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None

    def startTLS(self, contextFactory: Any) -> None:
        self.wantsTLS = True


class Link:
    """:param piece: octets that are received at a time; 0: all that there are.
    :param cutAfter: octets from the server after which the connection is gone; None: never.
    :param failsTLS: handshakes fail.
    :ivar received: octets from the server that the client was given.
    :ivar isOver: the connection is gone.
    """

    def __init__(
        self, client: Protocol, server: Protocol, *, piece: int = 0, cutAfter: int | None = None, failsTLS: bool = False
    ) -> None:
        self.client, self.server = End(client), End(server)
        self.piece = piece
        self.cutAfter = cutAfter
        self.failsTLS = failsTLS
        self.received = 0
        self.isOver = False
        client.makeConnection(self.client)  # type: ignore[no-untyped-call]
        server.makeConnection(self.server)  # type: ignore[no-untyped-call]

    def pump(self) -> bool:
        """Let octets flow until nothing moves. → whether anything did."""
        isMoving = False
        while not self.isOver and (self._step(self.client, self.server) or self._step(self.server, self.client)):
            isMoving = True
            self._secure()
        if not self.isOver and (self.client.isClosed or self.server.isClosed):
            self.cut(ConnectionDone())
            isMoving = True
        return isMoving

    def _step(self, source: End, sink: End) -> bool:
        if source.producer is not None and not source.isStreaming and not source.output and not source.isClosed:
            source.producer.resumeProducing()
        if not source.output or sink.isPaused:
            return False
        data = bytes(source.output[: self.piece or None])
        del source.output[: len(data)]
        if source is self.server and self.cutAfter is not None:
            data = data[: self.cutAfter - self.received]
        if data and not sink.isClosed:
            sink.protocol.dataReceived(data)
        if source is self.server:
            self.received += len(data)
            if self.cutAfter is not None and self.received >= self.cutAfter:
                self.cut(ConnectionLost())
        return True

    def _secure(self) -> None:
        if not (self.client.wantsTLS and self.server.wantsTLS) or self.client.output or self.server.output:
            return
        self.client.wantsTLS = self.server.wantsTLS = False
        if self.failsTLS:
            self.cut(ConnectionLost("no shared cipher"))
            return
        for end in (self.client, self.server):
            if IHandshakeListener.providedBy(end.protocol):
                IHandshakeListener(end.protocol).handshakeCompleted()

    def cut(self, reason: Exception) -> None:
        """End the connection for both."""
        if not self.isOver:
            self.isOver = True
            for end in (self.client, self.server):
                end.isClosed = True
                end.protocol.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]
