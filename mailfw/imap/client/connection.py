"""Octets and responses on a Twisted transport: what goes out waits where a literal must, what comes in is cut and read."""

from __future__ import annotations

import enum
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPullProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.imap.grammar.answers import Answer, parse
from mailfw.imap.grammar.framing import OutOfStep, ResponseLimits, ResponseReader
from mailfw.imap.grammar.requests import Pieces
from mailfw.net.tls import channelBinding, tlsOf
from mailfw.values import MessageSource

PIECE = 65536
"""Octets that are written at a time."""

INFLATED = 1 << 20
"""Octets that are inflated at a time: a few octets may stand for very many."""


class _Turn(enum.Enum):
    WAIT = "the server must say that it wants the literal"
    END = "the command is over"


@define(eq=False)
class Outgoing:
    """A command that is being sent."""

    pieces: Iterator[bytes | _Turn]


@implementer(IHandshakeListener, IPullProducer)
class Connection(Protocol):
    """One connection to a server.

    :param clock: for `timeout`, the seconds that a server may be silent while something is expected of it.
    :ivar take: is given every answer, in order.
    :ivar ended: is told once, when the connection is gone or given up, why.
    :ivar isExpecting: something is expected of the server.
    :ivar isUTF8: names are UTF-8 from now on.
    :ivar literalLimit: octets of a literal that the server takes without being asked; -1: of any.
    """

    def __init__(self, clock: IReactorTime, timeout: float = 300.0, limits: ResponseLimits | None = None) -> None:
        self.take: Callable[[Answer], None] = lambda answer: None
        self.ended: Callable[[Exception], None] = lambda error: None
        self.isExpecting: Callable[[], bool] = lambda: False
        self.isUTF8 = False
        self.literalLimit = 0
        self.isTLS = False
        self._clock = clock
        self._timeout = timeout
        self._limits = limits
        self._reader = ResponseReader(limits)
        self._isReading = False
        self._timer: IDelayedCall | None = None
        self._lost: Exception | None = None
        self._queue: deque[Outgoing] = deque()
        self._isAwaitingContinuation = False
        self._isProducing = False
        self._handshake: Deferred[None] | None = None
        self._gone: Deferred[None] = Deferred()
        self._inflater: Any = None  # zlib has no name for the type
        self._deflater: Any = None
        self._isPaused = False

    @property
    def lost(self) -> Exception | None:
        """Why there is no connection any more."""
        return self._lost

    # --- Sending -----------------------------------------------------------------------------------------------------

    def send(self, tag: bytes, pieces: Pieces) -> Outgoing:
        """Send a command, after those before it. Literals wait until the server wants them, where it must be asked."""
        outgoing = Outgoing(self._spelled(tag, pieces))
        if self._lost is None:
            self._queue.append(outgoing)
            self._pump()
            self.watch()
        return outgoing

    def sendLine(self, line: bytes) -> None:
        """A line that is no command, now: it answers a continuation request."""
        self._write(line + b"\r\n")
        self.watch()

    def _spelled(self, tag: bytes, pieces: Pieces) -> Iterator[bytes | _Turn]:
        yield tag + b" "
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            isAsked = self.literalLimit != -1 and piece.size > self.literalLimit
            yield b"{%d}\r\n" % piece.size if isAsked else b"{%d+}\r\n" % piece.size
            if isAsked:
                yield _Turn.WAIT
            yield from self._octets(piece)
        yield b"\r\n"

    def _octets(self, source: MessageSource) -> Iterator[bytes]:
        return iter((source.data,)) if not source.path and source.size <= PIECE else source.chunks(PIECE)

    def _pump(self) -> None:
        """Write what may be written now; what is large, as the transport takes it."""
        held: list[bytes] = []
        size = 0
        while self._queue and not self._isAwaitingContinuation and self._lost is None and size < PIECE:
            try:
                piece = next(self._queue[0].pieces, _Turn.END)
            except (OSError, EOFError, ValueError) as error:  # half a command cannot be taken back
                self.end(ConnectionError(f"the command cannot be said: {error}"))
                return
            if piece is _Turn.END:
                self._queue.popleft()
            elif piece is _Turn.WAIT:
                self._isAwaitingContinuation = True
            else:
                assert isinstance(piece, bytes)
                held.append(piece)
                size += len(piece)
        self._write(b"".join(held))
        self._produce(size >= PIECE)

    def _produce(self, isMore: bool) -> None:
        transport: Any = self.transport
        if isMore and not self._isProducing and self._lost is None:
            self._isProducing = True
            transport.registerProducer(self, False)
        elif not isMore and self._isProducing:
            self._isProducing = False
            transport.unregisterProducer()

    def resumeProducing(self) -> None:
        """Twisted's: the transport has sent what it had."""
        if self._isProducing:
            self._pump()

    def stopProducing(self) -> None:
        """Twisted's: it takes no more; that the connection is lost is told apart."""
        self._isProducing = False

    def _write(self, data: bytes) -> None:
        if self._lost is not None or not data:
            return
        if self._deflater is not None:
            data = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        transport: Any = self.transport
        transport.write(data)

    def goOn(self) -> bool:
        """The server wants what it was asked about; whether it was."""
        if not self._isAwaitingContinuation:
            return False
        self._isAwaitingContinuation = False
        self._pump()
        return True

    def abort(self, outgoing: Outgoing) -> None:
        """The server has answered a command; where it did so instead of asking for a literal, the rest is not sent."""
        if self._isAwaitingContinuation and self._queue[0] is outgoing:
            self._isAwaitingContinuation = False
            self._queue.popleft()
            self._pump()

    # --- Receiving ---------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Twisted's: octets have come."""
        if self._lost is not None:
            return
        if self._inflater is None:
            self._reader.feed(data)
            self._read()
        else:
            self._inflate(data)
        self.watch()

    def _inflate(self, data: bytes) -> None:
        while data and self._lost is None:
            try:
                plain = self._inflater.decompress(data, INFLATED)
            except zlib.error:
                self.end(ConnectionError("the server's compression makes no sense"))
                return
            data = self._inflater.unconsumed_tail
            self._reader.feed(plain)
            self._read()
            if self._inflater.eof:
                self.end(ConnectionError("the server has ended its compression"))

    def _read(self) -> None:
        if self._isReading:
            return
        self._isReading = True
        try:
            while self._lost is None and (response := self._reader.take()) is not None:
                self.take(parse(evolve(response, isUTF8=True) if self.isUTF8 else response))
        except OutOfStep as error:
            self.end(ConnectionError(str(error)))
        finally:
            self._isReading = False

    def pause(self, isPaused: bool) -> None:
        """Read nothing more for now, or go on."""
        if isPaused != self._isPaused and self._lost is None:
            self._isPaused = isPaused
            transport: Any = self.transport
            (transport.pauseProducing if isPaused else transport.resumeProducing)()
            self.watch()

    # --- TLS and compression -----------------------------------------------------------------------------------------

    def startTLS(self, options: IOpenSSLClientConnectionCreator) -> Deferred[None]:
        """Begin TLS now that the server has agreed; fires when the handshake is done.

        :raises ConnectionError: the server said something behind its agreement, in the clear.
        """
        if self._reader.rest:
            raise self.end(ConnectionError("the server spoke in the clear after it had agreed to TLS"))
        self._handshake = Deferred()
        transport: Any = self.transport
        transport.startTLS(options)
        self.watch()
        return self._handshake

    def handshakeCompleted(self) -> None:
        """Twisted's: TLS has begun."""
        self.isTLS = True
        if self._handshake is not None:
            handshake, self._handshake = self._handshake, None
            handshake.callback(None)

    @property
    def binding(self) -> tuple[str, bytes] | None:
        """What a login can be bound to: `tls-exporter` (RFC 9266), where there is TLS that has it."""
        tls = tlsOf(self.transport)
        data = channelBinding(tls, "tls-exporter") if tls is not None else None
        return None if data is None else ("tls-exporter", data)

    def compress(self) -> None:
        """DEFLATE in both directions from here on, now that the server has agreed (RFC 4978)."""
        rest = self._reader.rest
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        if rest:
            self._inflate(rest)

    def later(self, seconds: float, call: Callable[[], object]) -> Callable[[], None]:
        """Call something when so many seconds have passed, unless the connection is gone; → what cancels that."""
        timer = self._clock.callLater(seconds, lambda: call() if self._lost is None else None)
        return lambda: timer.cancel() if timer.active() else None

    # --- The end -----------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Twisted's: the connection is there. What is written is a whole turn, and waits for nothing (Nagle)."""
        if ITCPTransport.providedBy(self.transport):
            ITCPTransport(self.transport).setTcpNoDelay(True)
        self.watch()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted's: the connection is gone."""
        said = reason.getErrorMessage().strip(" .")
        self.end(ConnectionError(f"the connection was lost: {said}" if said else "the connection was lost"))
        if not self._gone.called:
            self._gone.callback(None)

    def end(self, error: Exception) -> Exception:
        """Close; whoever waits is told."""
        if self._lost is None:
            self._lost = error
            self._produce(isMore=False)
            self._queue.clear()
            transport: Any = self.transport
            transport.abortConnection()
            self.watch()
            handshake, self._handshake = self._handshake, None
            self.ended(error)
            if handshake is not None:
                handshake.errback(error)
        return error

    async def close(self, error: Exception) -> None:
        """`end`, and wait until nothing is left of it."""
        self.end(error)
        await self._gone

    def watch(self) -> None:
        """Begin to wait anew, while there is something to wait for that the server can send."""
        isWaiting = self._lost is None and not self._isPaused and (self.isExpecting() or self._handshake is not None)
        timer = self._timer if self._timer is not None and self._timer.active() else None
        if timer is not None and isWaiting:
            timer.reset(self._timeout)
        elif timer is not None:
            timer.cancel()
        elif isWaiting:
            self._timer = self._clock.callLater(self._timeout, self.end, ConnectionError("the server is silent"))
