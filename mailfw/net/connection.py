"""One client connection: octets in, lines and sinks out, one command at a time.

Invariants:

- Commands are handled strictly one after another. While one waits (its handler returned a coroutine that has not ended), further
  input is kept, at most `INPUT_HIGH_WATER` octets and one read; beyond that the connection is not read. So pipelining cannot
  reorder anything, and no client can make the server remember more than that.
- Nothing that came before TLS is ever seen after it: `startTLS` drops a connection with input behind the command.
- No client has the reactor for itself: after `BURST` steps others have their turns, whatever one read brought.
- Compressed input waits compressed, and is inflated no faster than it is handled.
- Output that the client does not read stops input first (`drain`, and the wait before each further command), and ends the
  connection after `Limits.writeTimeout`.
- `connectionEnded` is called exactly once, whatever way the connection ends, and never while a handler is running.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorThreads
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.net import tls
from mailfw.net.begun import begun
from mailfw.net.deadline import Deadline
from mailfw.net.deflate import BrokenStream, Deflate
from mailfw.net.lines import Lines, LongLine
from mailfw.net.output import Output
from mailfw.net.peer import peerOf
from mailfw.net.tap import Taps
from mailfw.values import Peer

if TYPE_CHECKING:
    from mailfw.net.context import ServiceContext

INPUT_HIGH_WATER = 65536
"""Octets of unread input, pipelined behind a command under way, above which the connection is not read."""

BURST = 100
"""Lines, or pieces of input for a sink, that are handled before others have their turns."""

INFLATED = 16384
"""Octets that are inflated at a time."""

DISCARD_LIMIT = 1 << 20
"""Octets that a client may still send after it was told that the connection is over."""

LINGER = 5.0
"""Seconds that a client has to read why it is cut off, and to close its side."""

Handled = Coroutine[Any, Any, None] | Deferred[None] | None
"""What a handler returns: nothing when it is done, or what to wait for."""

T = TypeVar("T")

_log = Logger("mailfw.net")
_counter = itertools.count(1)


class Sink(Protocol):
    """Takes input that is not lines: a message's data, a chunk, a literal."""

    def feed(self, data: bytes, /) -> bytes | None:
        """Take input. None: all taken, and more is wanted; bytes: it has had enough, and these are left over."""


@frozen
class Listener:
    """Which listener a connection came in by.

    :ivar service: the configuration's word: `smtp`, `imaps` …
    :ivar isTLS: TLS from the first octet.
    """

    service: str
    isTLS: bool = False


@implementer(IHandshakeListener)
class Connection(TwistedProtocol):
    """What SMTP, POP3 and IMAP servers have in common; a subclass says what lines mean.

    :cvar lineLimit: octets that a line may have, its end not counted.
    :cvar lineTolerance: octets of a longer line that are read past, with nothing kept but where it began and ended.
    :cvar protocol: what people call the protocol.
    :ivar id: names the connection in logs and in `sessions()`.
    :ivar account: whose session it is, once that is known.
    :ivar state: one word for people: what the session is at.
    :ivar taps: who listens; None: nobody.
    :ivar tally: what is counted of the service.
    """

    lineLimit = 4096
    lineTolerance = 0
    protocol = ""
    taps: Taps | None = None

    def __init__(self, context: ServiceContext, listener: Listener) -> None:
        self.context = context
        self.listener = listener
        self.id = f"{listener.service}-{next(_counter):x}"
        self.isTLS = listener.isTLS
        self.account = ""
        self.state = "connected"
        self.peer = Peer("")
        self.since = 0.0
        self.octetsIn = self.octetsOut = 0
        self.tally = context.tally.service(listener.service)
        module = type(self).__module__
        self.log = Logger(module.rpartition(".")[0] or module, source=self)
        self._lines = Lines()
        self._waiting: list[bytes] = []  # input that came while a command was under way
        self._waitingSize = 0
        self._sink: Sink | None = None
        self._isSinkNew = False  # one that wants no octets at all is done before any come
        self._isGreeted = False
        self._isBusy = False
        self._commandBegan = 0.0  # by `perf_counter`; 0: none waits
        self._isPaused = False
        self._isStopping = False
        self._isClosing = False
        self._isLost = False
        self._isEnded = False
        self._discarded = 0  # octets that came after we closed our side
        self._output = Output(self)
        self._deflate: Deflate | None = None
        self._ending: Deflate | None = None  # the client's end of it is still to come
        self._flushCall: IDelayedCall | None = None
        self._deadline = Deadline(context.reactor, self._deadlinePassed)
        self._cutOff = Deadline(context.reactor, self._cutOffPassed)  # for a client that does not take what is sent
        self._connectedAt = 0.0  # by the reactor's clock, as all deadlines
        self._flowSince, self._flowFrom = 0.0, 0
        self._pausing: Deferred[None] | None = None

    # --- What a subclass supplies ----------------------------------------------------------------------------------

    def greet(self) -> None:
        """Write the greeting."""

    def lineReceived(self, line: bytes) -> Handled:
        """A line, without its end. `lineEndedByCRLF` tells whether that was CRLF or LF alone."""
        raise NotImplementedError

    def sinkDone(self, sink: Sink) -> Handled:
        """The sink that `setSink` set has had enough."""
        raise NotImplementedError

    def lineTooLong(self) -> None:
        """A line is longer than `lineLimit` and `lineTolerance`: say so; the connection is closed then."""

    def longLineReceived(self, start: bytes, end: bytes) -> Handled:
        """A line that is longer than `lineLimit` and not than `lineTolerance` has been read past."""

    def timedOut(self) -> None:
        """The deadline passed: say so; the connection is closed then."""

    def stopping(self) -> None:
        """The server stops: say so; the connection is closed then. Never called while a command is under way."""

    def failed(self, failure: Failure) -> None:
        """A handler raised what it should not have; it has been logged. Say so in the protocol's words; the session goes on."""

    def connectionEnded(self) -> None:
        """The connection is gone: let go of what the session holds."""

    @classmethod
    def refusal(cls, text: str) -> bytes:
        """What a client is told that gets no session because of a limit."""
        return b""

    # --- What a subclass uses --------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send octets. Never blocks; whoever sends much awaits `drain` in between."""
        if not self._isLost:
            self.octetsOut += len(data)
            if self.taps is not None:
                self.taps.told(data)
            if self._deflate is not None:
                data = self._deflate.compress(data)
                self._flushCall = self._flushCall or self.context.reactor.callLater(0, self._flush)
            if data:
                self._transport.write(data)

    def _flush(self) -> None:
        """Nothing more is about to be written: send what is still held back."""
        call, self._flushCall = self._flushCall, None
        if call is None or self._deflate is None or self._isLost:
            return
        if call.active():
            call.cancel()
        self._transport.write(self._deflate.flush())

    async def drain(self) -> None:
        """Wait while the client does not read. Returns at once when the connection is lost: ask `isOpen` in long loops."""
        if self._output.isBlocked and not self._isLost:
            deferred: Deferred[None] = Deferred()
            self._output.waiting.append(deferred)
            await deferred

    @property
    def isOpen(self) -> bool:
        """Whether there is still somebody to talk to."""
        return not (self._isLost or self._isClosing)

    def setSink(self, sink: Sink) -> None:
        """Give all further input to `sink` until it has had enough; then `sinkDone` is called, and lines come again."""
        self._sink = sink
        self._isSinkNew = True

    @property
    def lineEndedByCRLF(self) -> bool:
        """Whether the last line ended in CRLF, not in LF alone."""
        return self._lines.isCRLF

    def hasInput(self) -> bool:
        """Whether the client has sent more than the commands handled so far."""
        isCompressed = self._deflate is not None and self._deflate.hasInput
        return bool(isCompressed or self._waiting or not self._lines.isEmpty)

    def hasEarlyInput(self) -> bool:
        """Whether the client talks before it was greeted: looks into the socket without taking anything from it."""
        if self.hasInput() or self.listener.isTLS:
            return self.hasInput()
        if getattr(self.transport, "hasEarlyInput", False):  # it came with a PROXY header
            return True
        handle = getattr(self.transport, "socket", None)
        if not isinstance(handle, socket.socket):
            return False
        try:
            return bool(handle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def startTLS(self) -> bool:
        """Begin TLS; the reply that invites the client to it has been written.

        Returns False, and drops the connection, when the client had already sent something behind its command: those octets
        could have been put there by somebody in the middle (RFC 3207 §4.2, and the STARTTLS injection of 2011).
        """
        if self.hasInput():
            self.log.warn("input behind STARTTLS in the clear: connection dropped")
            self.abort()
            return False
        self._transport.startTLS(self.context.tls)
        self.isTLS = True
        return True

    @property
    def isCompressed(self) -> bool:
        """Whether both sides speak DEFLATE."""
        return self._deflate is not None

    def startCompression(self) -> bool:
        """Speak DEFLATE from here on; the reply that invites the client to it has been written (RFC 4978 §3).

        Returns False, and drops the connection, when the client had already sent something behind its command: nobody could tell
        whether that was to be inflated.
        """
        if self.hasInput():
            self.log.warn("input behind COMPRESS: connection dropped")
            self.abort()
            return False
        self._deflate, self._ending = Deflate(), None
        return True

    def stopCompression(self) -> bool:
        """Send as it is what is written from here on; the client has ended its stream with the command, or does it now (RFC 8437
        §4.1). False, and the connection is dropped, when it goes on inside the stream."""
        deflate = self._deflate
        if deflate is None:
            return True
        self._flush()
        self._transport.write(deflate.finish())
        hasMore = not self._lines.isEmpty
        self._deflate, self._ending = None, deflate
        rest = self._behindEnd(b"")
        if hasMore:
            self.abort()
        if rest:
            self._wait(rest)
        return self.isOpen

    def _behindEnd(self, data: bytes) -> bytes:
        """What of the input comes after compression."""
        deflate = self._ending
        if deflate is None:
            return data
        try:
            rest = deflate.rest(data)
        except BrokenStream as error:
            self.log.info("compression does not end where it should: connection dropped: {error}", error=str(error))
            self.abort()
            return b""
        if rest is not None:
            self._ending = None
        return rest or b""

    def channelBinding(self, kind: str) -> bytes | None:
        """What a login can be bound to on this connection (RFC 5056): data of `tls-exporter` (RFC 9266) or
        `tls-server-end-point` (RFC 5929); None: there is none of that kind."""
        beneath = tls.tlsOf(self.transport)
        return tls.channelBinding(beneath, kind) if beneath is not None else None

    @property
    def peerCertificate(self) -> bytes | None:
        """The client's certificate, in DER, if it has shown one that an authority of ours issued."""
        beneath = tls.tlsOf(self.transport)
        return tls.verifiedCertificate(beneath) if beneath is not None else None

    @property
    def mailbox(self) -> str:
        """The mailbox that the session is in, for people; empty: none."""
        return ""

    @property
    def peerHost(self) -> str:
        """Where the client is, as logins know it."""
        return self.peer.host

    def mayUsePlaintext(self) -> bool:
        """Whether a password may come now."""
        return self.context.mayUsePlaintext(self)

    def mayStartTLS(self) -> bool:
        """Whether STARTTLS would do."""
        return self.context.tls is not None and not self.isTLS and self._deflate is None

    async def pause(self, seconds: float) -> None:
        """Wait; ends at once when the connection is lost."""
        if seconds > 0 and self.isOpen:
            self._pausing = deferLater(self.context.reactor, seconds)
            try:
                await self._pausing
            except CancelledError:
                pass
            finally:
                self._pausing = None

    async def think(self, work: Callable[[], T]) -> T:
        """Do in a thread what needs nothing but the processor, so that others have their turns; at once on a test's clock."""
        reactor = self.context.reactor
        if not IReactorThreads.providedBy(reactor):
            return work()
        result: T = await deferToThreadPool(reactor, reactor.getThreadPool(), work)
        return result

    @property
    def isTrustedProxy(self) -> bool:
        """Whether the peer may say for whom it speaks. Once it has, it is the client that is asked about: what comes through a
        proxy is not the proxy's word."""
        return self.peer in self.context.xclient

    def speakFor(self, peer: Peer) -> None:
        """The connection is that peer's from now on: limits and logs count it there."""
        self.peer = peer
        self.context.sessions.recount(self)

    def busyWith(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something before anything more of the client's is heard."""
        self._hold(work)

    def setDeadline(self, seconds: float | None) -> None:
        """Call `timedOut` after so many seconds unless this is called again before; None: no deadline."""
        self._deadline.set(None if self._isLost else seconds)

    def setLoginDeadline(self) -> None:
        """Call `timedOut` when the client has not logged in `Limits.loginTimeout` seconds after it came, whatever it says: else
        whoever says something now and then holds a connection for ever, and is nobody."""
        self.setDeadline(max(0.0, self._connectedAt + self.context.limits.loginTimeout - self.context.reactor.seconds()))

    def restartLogin(self) -> None:
        """The client is nobody again, and has as long to log in as if it had come now."""
        self.account = ""
        self._connectedAt = self.context.reactor.seconds()

    def beginFlow(self) -> None:
        """A message begins to come: its octets may neither stop nor trickle in for ever (`keepFlow`)."""
        self._flowSince, self._flowFrom = self.context.reactor.seconds(), self.octetsIn
        self.keepFlow()

    def keepFlow(self) -> None:
        """Some of it came: it may fall `Limits.dataTimeout` seconds behind `Limits.minimumRate`, and no more."""
        limits = self.context.limits
        since = self.context.reactor.seconds() - self._flowSince
        ahead = (self.octetsIn - self._flowFrom) / limits.minimumRate - since
        self.setDeadline(max(0.0, limits.dataTimeout + min(0.0, ahead)))

    def close(self) -> None:
        """Send what is left and close; a client that does not take it is cut off after `Limits.writeTimeout`."""
        if self._isLost or self._isClosing:
            return
        self._flush()
        self._isClosing = True
        self._deadline.set(None)
        self._forgetInput()
        self._cutOff.set(self.context.limits.writeTimeout)
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def hangUp(self) -> None:
        """Close on a client that may still be sending, so that it can read why.

        Closing a socket with unread input makes the kernel reset the connection, and the reset overtakes the last reply.
        So only our side is closed first; what still comes is thrown away, bounded by `DISCARD_LIMIT` and `LINGER`.
        """
        if self.isTLS or not hasattr(self.transport, "loseWriteConnection"):
            self.close()
        elif self.isOpen:
            self._flush()
            self._isClosing = True
            self._deadline.set(None)
            self._forgetInput()
            self._cutOff.set(LINGER)
            self._transport.unregisterProducer()
            self._transport.loseWriteConnection()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if not self._isLost:
            self._isClosing = True
            self._forgetInput()
            self._transport.abortConnection()

    def stop(self) -> None:
        """Say goodbye and close, after the command under way if there is one."""
        self._isStopping = True
        if not self._isBusy and not self._isLost and not self._isClosing:
            self.stopping()
            self.close()

    # --- Twisted's side --------------------------------------------------------------------------------------------

    @property
    def _transport(self) -> Any:
        # ITCPTransport, ISSLTransport or a Unix transport: what they share with startTLS has no interface of its own.
        return self.transport

    def connectionMade(self) -> None:
        self.peer = peerOf(self._transport.getPeer())
        self.since = self.context.now()
        self._connectedAt = self.context.reactor.seconds()
        if hasattr(self.transport, "setTcpNoDelay"):
            self._transport.setTcpNoDelay(True)
        self._transport.registerProducer(self._output, True)
        self.context.sessions.add(self)
        self.tally.begun += 1
        if tls.tlsOf(self.transport) is None:
            self.handshakeCompleted()
        else:
            self.setDeadline(self.context.limits.loginTimeout)

    def handshakeCompleted(self) -> None:
        """TLS is there, or nothing need be waited for. The greeting may say how to log in, which depends on what TLS says: a
        client that read there of no -PLUS would be taken for the victim of somebody in the middle (RFC 5802 §6)."""
        if not self._isGreeted:
            self._isGreeted = True
            self.greet()

    def dataReceived(self, data: bytes) -> None:
        self.octetsIn += len(data)
        if self._isClosing:
            self._discarded += len(data)
            if self._discarded > DISCARD_LIMIT:
                self._transport.abortConnection()
            return
        data = self._behindEnd(data)
        if self._isBusy or self._deflate is not None:
            self._wait(data)
            if self._isBusy:
                return
        else:
            self._lines.feed(data)
        self._process()

    def _wait(self, data: bytes) -> None:
        """Keep input for later, as it came."""
        if self._deflate is not None:
            self._deflate.feed(data)
        else:
            self._waiting.append(data)
        self._waitingSize += len(data)
        if self._waitingSize > INPUT_HIGH_WATER and not self._isPaused:
            self._isPaused = True
            self._transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._isLost = True
        self._isClosing = True
        self._deadline.cancel()
        self._cutOff.cancel()
        if self._flushCall is not None:
            self._flushCall.cancel()
            self._flushCall = None
        self._forgetInput()
        self.context.sessions.discard(self)
        self.tally.ended += 1
        self.tally.octetsIn += self.octetsIn
        self.tally.octetsOut += self.octetsOut
        self._output.resumeProducing()
        if self._pausing is not None:
            self._pausing.cancel()
        self._end()

    # --- The loop --------------------------------------------------------------------------------------------------

    def _process(self) -> None:
        steps = BURST
        while not self._isBusy and not self._isClosing:
            if self._isStopping:
                self.stop()
                return
            if self._output.isBlocked:
                self._hold(self.drain())
                return
            if not self._lines.hasMore and not self._takeWaiting() and not self._isSinkNew:
                return
            if not steps:
                self._hold(deferLater(self.context.reactor, 0))
                return
            steps -= 1
            self._next()

    def _next(self) -> None:
        """Take a step with the input there is: feed the sink, or handle a line."""
        if self._sink is not None:
            data = self._lines.take()
            self._isSinkNew = False
            rest = self._sink.feed(data)
            if self.taps is not None:
                self.taps.readPast(len(data) - len(rest or b""))
            if rest is not None:
                self._lines.feed(rest)
                sink, self._sink = self._sink, None
                self._handle(self.sinkDone, sink)
            return
        line = self._lines.next(self.lineLimit, self.lineTolerance)
        if isinstance(line, LongLine):
            self._passOver(line)
        elif line is not None:
            if self.taps is not None:
                self.taps.heard(line)
            began = perf_counter()
            self._handle(self.lineReceived, line)
            if self._isBusy:
                self._commandBegan = began
            else:
                self.tally.commands.add(perf_counter() - began)

    def _commandEnded(self) -> None:
        self.tally.commands.add(perf_counter() - self._commandBegan)
        self._commandBegan = 0.0

    def _passOver(self, line: LongLine) -> None:
        if self.taps is not None:
            self.taps.readPast(line.size)
        if line.size <= self.lineTolerance:
            self._handle(partial(self.longLineReceived, line.start), line.end)
        else:
            self.lineTooLong()
            self.hangUp()

    def _handle(self, handler: Any, argument: Any) -> None:
        try:
            handled: Handled = handler(argument)
        except Exception:
            self._fail(Failure())  # type: ignore[no-untyped-call]
            return
        if handled is not None:
            self._hold(handled)

    def _hold(self, handled: Coroutine[Any, Any, None] | Deferred[None]) -> None:
        self._isBusy = True
        try:
            deferred = handled if isinstance(handled, Deferred) else begun(handled)
        except Exception:
            self._isBusy = False
            self._fail(Failure())  # type: ignore[no-untyped-call]
            return
        if deferred is None:
            self._isBusy = False
        elif deferred.called and not deferred.paused:
            # Done without waiting: stay in the loop rather than recurse into it.
            deferred.addCallbacks(self._freed, self._freedByFailure)
        else:
            deferred.addCallbacks(self._freed, self._freedByFailure).addCallback(self._goOn)
            return
        if self._isLost:
            self._end()

    def _freed(self, _: object) -> None:
        self._isBusy = False
        if self._commandBegan:
            self._commandEnded()

    def _freedByFailure(self, failure: Failure) -> None:
        self._freed(None)
        self._fail(failure)

    def _goOn(self, _: object) -> None:
        if self._isLost:
            self._end()
        else:
            self._process()

    def _fail(self, failure: Failure) -> None:
        self.log.failure("a command failed", failure)
        if self.isOpen:
            try:
                self.failed(failure)
            except Exception:
                self.log.failure("answering for a failed command failed")
                self.abort()

    def _takeWaiting(self) -> bool:
        """Look at the input that came meanwhile; False when there is none."""
        if self._deflate is not None and not self._waiting:
            data = self._inflated(self._deflate)
        else:
            data = b"".join(self._waiting)
            self._waiting, self._waitingSize = [], 0
        if not data:
            return False
        self._lines.feed(data)
        if self._isPaused and self._waitingSize <= INPUT_HIGH_WATER:
            self._isPaused = False
            self._transport.resumeProducing()
        return True

    def _inflated(self, deflate: Deflate) -> bytes:
        """Some of the input that waits; nothing where none does, or where it is not what it should be."""
        try:
            data = deflate.take(INFLATED)
        except BrokenStream as error:
            self.log.info("input cannot be inflated: connection dropped: {error}", error=str(error))
            self.abort()
            return b""
        self._waitingSize = deflate.waiting
        return data

    def _forgetInput(self) -> None:
        self._lines.clear()
        self._sink, self._isSinkNew = None, False
        self._waiting, self._waitingSize = [], 0

    def _end(self) -> None:
        if not self._isBusy and not self._isEnded:
            self._isEnded = True
            try:
                self.connectionEnded()
            except Exception:
                self.log.failure("ending a session failed")

    # --- Deadlines and backpressure ----------------------------------------------------------------------------------

    def _deadlinePassed(self) -> None:
        if self._isClosing:
            return
        if self._isBusy:
            # A deadline is for the client. While we are the slow side it starts anew.
            self.setDeadline(60.0)
        else:
            self.timedOut()
            self.close()

    def outputBlocked(self) -> None:
        """The transport's buffer is full: the client has `Limits.writeTimeout` seconds to read some of it."""
        if self.isOpen:
            self._cutOff.set(self.context.limits.writeTimeout)

    def _cutOffPassed(self) -> None:
        if self._isClosing:
            self.abort()
        elif self._output.isBlocked:
            self.log.info("the client does not read: connection dropped")
            self.abort()
