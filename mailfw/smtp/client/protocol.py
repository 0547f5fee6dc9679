"""The channel of a client session on a Twisted transport."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPullProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.smtp.client.session import Lost
from mailfw.smtp.reply import Reply, ReplyParser

REPLY_LIMIT = 16384
"""Octets of one reply."""

REPLIES = 128
"""Replies that nobody asked for yet, above which the server is not read."""


@implementer(IHandshakeListener, IPullProducer)
class SMTPClient(Protocol):
    """One connection to a server. Only one method that waits may be under way at a time.

    :param clock: for deadlines.
    :ivar isTLS: from the handshake on.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.isTLS = False
        self._clock = clock
        self._parser = ReplyParser(REPLY_LIMIT)
        self._replies: deque[Reply] = deque()
        self._lost: Lost | None = None
        self._isPaused = False
        self._waiting: Deferred[Any] | None = None  # for a reply, the end of a stream, or a handshake
        self._timer: IDelayedCall | None = None
        self._isForReply = False
        self._pieces: Iterator[bytes] | None = None
        self._pieceSeconds = 0.0

    # --- Channel -----------------------------------------------------------------------------------------------------

    @property
    def isAhead(self) -> bool:
        """Whether there is a reply, or the beginning of one, that nobody asked for yet."""
        return bool(self._replies) or self._parser.hasRest

    def write(self, data: bytes) -> None:
        """Send octets; into nothing when the connection is gone."""
        if self._lost is None:
            transport: Any = self.transport
            transport.write(data)

    def reply(self, seconds: float) -> Deferred[Reply]:
        """The next reply. :raises Lost: there is none, and will be none."""
        if self._replies:
            answer = self._replies.popleft()
            self._flow()
            return succeed(answer)
        return self._wait(seconds, "no answer", isForReply=True)

    def stream(self, pieces: Iterator[bytes], seconds: float) -> Deferred[None]:
        """Send pieces as fast as the server takes them. Raises what reading them raises. :raises Lost:"""
        waiting = self._wait(seconds, "the message is not taken")
        if self._lost is None:
            self._pieces, self._pieceSeconds = pieces, seconds
            transport: Any = self.transport
            transport.registerProducer(self, False)
        return waiting

    def startTLS(self, options: Any, seconds: float) -> Deferred[None]:
        """Begin TLS. :raises Lost: the server spoke in the clear behind its agreement, or the handshake fails."""
        if self.isAhead:
            self._end("the server spoke in the clear after it had agreed to TLS")
        waiting: Deferred[None] = self._wait(seconds, "no handshake")
        if self._lost is None:
            transport: Any = self.transport
            transport.startTLS(options)
        return waiting

    def close(self) -> None:
        """End the connection."""
        self._end("closed")

    # --- Waiting -----------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float, silence: str, isForReply: bool = False) -> Deferred[Any]:
        if self._lost is not None:
            return fail(Lost(str(self._lost)))
        assert self._waiting is None, "one thing at a time"
        waiting: Deferred[Any] = Deferred()
        self._waiting, self._isForReply = waiting, isForReply
        self._timer = self._clock.callLater(seconds, self._end, f"timeout: {silence} within {seconds:.0f} seconds")
        return waiting

    def _settled(self) -> Deferred[Any] | None:
        """Whoever waits, no longer."""
        waiting, self._waiting = self._waiting, None
        if self._timer is not None:
            timer, self._timer = self._timer, None
            if timer.active():
                timer.cancel()
        return waiting

    def _end(self, why: str) -> None:
        """Close, and tell whoever waits."""
        if self._lost is not None:
            return
        self._lost = Lost(why)
        transport: Any = self.transport
        if self._pieces is not None:
            self._pieces = None
            transport.unregisterProducer()
        transport.abortConnection()
        waiting = self._settled()
        if waiting is not None:
            waiting.errback(Lost(why))

    # --- Twisted's ---------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The connection is there. What is written is a whole turn of the conversation, and waits for nothing (Nagle)."""
        if ITCPTransport.providedBy(self.transport):
            ITCPTransport(self.transport).setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Octets have come."""
        if self._lost is not None:
            return
        garbage = ""
        try:
            for line in data.splitlines(keepends=True):
                self._replies += self._parser.feed(line)
        except ValueError as error:  # replies before it stand
            garbage = f"garbage: {error}"
        if self._replies and self._waiting is not None and self._isForReply:
            answer = self._replies.popleft()
            waiting = self._settled()
            assert waiting is not None
            waiting.callback(answer)
        if garbage:
            self._end(garbage)
        self._flow()

    def _flow(self) -> None:
        """Read from the server only while what it says is asked for."""
        isFull = len(self._replies) > REPLIES
        if isFull != self._isPaused and self._lost is None:
            self._isPaused = isFull
            transport: Any = self.transport
            (transport.pauseProducing if isFull else transport.resumeProducing)()

    def handshakeCompleted(self) -> None:
        """TLS has begun."""
        self.isTLS = True
        if self._waiting is not None and not self._isForReply and self._pieces is None:
            waiting = self._settled()
            assert waiting is not None
            waiting.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        said = reason.getErrorMessage().strip(" .")
        self._end(f"the connection was lost: {said}" if said else "the connection was lost")

    def resumeProducing(self) -> None:
        """The transport has sent what it had, and takes the next piece."""
        pieces = self._pieces
        if pieces is None:
            return
        try:
            piece = next(pieces, None)
        except Exception as error:  # reading the message: the asker knows what that means
            self._finishStream(error)
            return
        if piece is None:
            self._finishStream(None)
            return
        if self._timer is not None:
            self._timer.reset(self._pieceSeconds)
        self.write(piece)

    def _finishStream(self, error: Exception | None) -> None:
        self._pieces = None
        transport: Any = self.transport
        transport.unregisterProducer()
        waiting = self._settled()
        if waiting is not None and error is not None:
            waiting.errback(error)
        elif waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The transport takes no more; that the connection is lost is told apart."""
        self._pieces = None
