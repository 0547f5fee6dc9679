"""A connection in memory: a Twisted transport whose other end is a test."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.net.connection import Connection

OUTPUT_HIGH_WATER = 65536


@implementer(ITransport)
class MemoryTransport:
    """What a server wrote is in `output`; `take` is the client reading it.

    A client that does not read (`isReading` False) makes the producer pause above `OUTPUT_HIGH_WATER`, as a socket does. TLS is
    pretended: `startTLS` only notes that it was asked for.
    """

    def __init__(self, connection: Connection, peer: IAddress | None = None) -> None:
        self.connection = connection
        self.peer = peer or IPv4Address("TCP", "127.0.0.1", 54321)
        self.output = bytearray()
        self.isReading = True
        self.isClosed = False
        self.isWriteClosed = False
        self.isTLS = False
        self.isPaused = False
        self.producer: Any = None
        self._held: list[bytes] = []

    def connect(self) -> MemoryTransport:
        """Make the connection."""
        self.connection.makeConnection(self)  # type: ignore[no-untyped-call]
        return self

    # --- The client's side -----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """The client sends; while the server does not read, the network keeps it."""
        if self.isClosed:
            return
        if self.isPaused:
            self._held.append(data)
        else:
            self.connection.dataReceived(data)

    def take(self) -> bytes:
        """The client reads all that has come."""
        data = bytes(self.output)
        self.output.clear()
        if self.producer is not None and self.producer.isBlocked:
            self.producer.resumeProducing()
            data += self.take() if self.output else b""
        return data

    def hangUp(self) -> None:
        """The client goes away."""
        self._lose(ConnectionDone())

    # --- The server's side: ITransport, IConsumer, ITCPTransport ---------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.isClosed or self.isWriteClosed:
            return
        self.output += data
        if not self.isReading and self.producer is not None and len(self.output) > OUTPUT_HIGH_WATER:
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self._lose(ConnectionDone())

    def abortConnection(self) -> None:
        self._lose(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        self.isWriteClosed = True
        self._lose(ConnectionDone())

    def getPeer(self) -> IAddress:
        return self.peer

    def getHost(self) -> IAddress:
        return IPv4Address("TCP", "127.0.0.1", 25)

    def startTLS(self, contextFactory: Any) -> None:
        self.isTLS = True

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False
        while self._held and not self.isPaused:
            self.connection.dataReceived(self._held.pop(0))

    def _lose(self, reason: Exception) -> None:
        if not self.isClosed:
            self.isClosed = True
            self.connection.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]
