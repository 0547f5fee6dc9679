"""The client's half of POP3, on the same grammar.

    client = await endpoint.connect(Factory.forProtocol(lambda: POP3Client(reactor)))
    await client.greeting
    await client.startTLS(optionsForClientTLS(host))
    await client.logIn(user, password)
    for number, uidl in (await client.uniqueIds()).items():
        await client.retrieve(number, file.write)
    await client.quit()

Invariants:

- Commands may be called without waiting for each other: they are pipelined, and each gets its own response.
- Nothing that came before TLS is taken for an answer under TLS.
- A server can make the client remember a bounded line and a bounded listing; more than that, or silence, ends the connection.
- A refusal of the server's is raised as the class of `mailfw.errors` that its code means; the end of the connection, in
  the middle of whatever, as a `ConnectionError`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from mailfw.errors import AuthenticationFailed, NotSupported, Refusal
from mailfw.pop3 import grammar
from mailfw.pop3.grammar import Reply, parseChallenge, parseReply, refusalOf
from mailfw.pop3.multiline import Unstuffer
from mailfw.sasl.client import chooseMechanism
from mailfw.sasl.steps import ClientMechanism
from mailfw.sasl.wire import encode

LINE_LIMIT = 16384
"""Octets of a server's line; challenges are the longest."""

LISTING_LIMIT = 64 << 20
"""Octets of a response that is kept as a whole: a million unique ids, or the top of a message."""

COMMAND_LIMIT = 253
"""Octets of a command line that every server takes, without CRLF (RFC 2449 §4); what is longer waits for a challenge."""

Answer = Reply | bytes
"""A reply, or the octets of a challenge."""


@define
class _Expected:
    """A response that has not come whole.

    :ivar take: is given the lines of a multi-line response; None when a positive reply is all.
    """

    take: Callable[[bytes], object] | None
    answer: Deferred[Answer] = field(factory=Deferred)
    reply: Reply | None = None


class POP3Client(Protocol):
    """One connection to a server.

    :param clock: for `timeout`, the seconds that a server may be silent while something is expected of it.
    :ivar greeting: fires with the server's first reply.
    """

    def __init__(self, clock: IReactorTime, timeout: float = 120.0) -> None:
        self._clock = clock
        self._timeout = timeout
        self._timer: IDelayedCall | None = None
        self._input = b""  # what was not looked at yet
        self._isReading = False
        self._line: list[bytes] = []
        self._lineSize = 0
        self._body: Unstuffer | None = None
        self._expected: deque[_Expected] = deque()
        self._lost: Exception | None = None
        self.greeting: Deferred[Answer] = self._expect(None)

    # --- Commands ----------------------------------------------------------------------------------------------------

    async def capabilities(self) -> dict[str, tuple[str, ...]]:
        """What the server says it can do, by name, each with its parameters (RFC 2449 §5); empty when it has no CAPA."""
        try:
            lines = await self._lines(grammar.CAPA())
        except Refusal:
            return {}
        return {words[0].upper(): tuple(words[1:]) for line in lines if (words := line.split())}

    async def startTLS(self, options: IOpenSSLClientConnectionCreator) -> None:
        """RFC 2595 §4. :raises ConnectionError: the server said something behind its reply, in the clear."""
        await self.send(grammar.STLS())
        if self._input or self._line or self._expected:
            raise self._end(ConnectionError("the server spoke in the clear after it had agreed to TLS"))
        transport: Any = self.transport
        transport.startTLS(options)

    async def logIn(self, user: str, password: str) -> None:
        """USER and PASS. :raises AuthenticationFailed: :raises InUse:"""
        await self.send(grammar.User(user))
        await self.send(grammar.Pass(password))

    async def authenticate(self, mechanism: ClientMechanism) -> None:
        """RFC 5034. :raises AuthenticationFailed: by either side."""
        initial = mechanism.start()
        command = grammar.Auth(mechanism.name, initial)
        if len(command.line()) > COMMAND_LIMIT:
            command = grammar.Auth(mechanism.name)
        isSaid = command.initialResponse is not None or initial is None
        answer = await self._ask(command.line())
        while isinstance(answer, bytes):
            try:
                response = mechanism.respond(answer) if isSaid else initial or b""
            except AuthenticationFailed:
                await self._ask(b"*")
                raise
            isSaid = True
            answer = await self._ask(encode(response))
        if not answer.isOK:
            raise refusalOf(answer)
        if not mechanism.isDone:
            raise self._end(ConnectionError("the server claims success before it has proved what it must"))

    async def logInBest(self, user: str, password: str, mayUsePlaintext: bool) -> None:
        """By the safest way that the server offers.

        :param mayUsePlaintext: the connection is one on which the password may be shown to the server.
        :raises NotSupported: there is none.
        """
        offered = await self.capabilities()
        try:
            mechanism = chooseMechanism(offered.get("SASL", ()), user, password, mayUsePlaintext=mayUsePlaintext)
        except NotSupported:
            if not mayUsePlaintext:
                raise
            await self.logIn(user, password)
        else:
            await self.authenticate(mechanism)

    async def status(self) -> tuple[int, int]:
        """How many messages there are, and how many octets in all."""
        reply = await self.send(grammar.Stat())
        try:
            messages, octets = reply.text.split()[:2]
            return int(messages), int(octets)
        except ValueError:
            raise self._end(ConnectionError("the server's count makes no sense")) from None

    async def sizes(self) -> dict[int, int]:
        """Octets of each message, by number."""
        return {number: int(size) for number, size in (await self._listing(grammar.List())).items() if size.isdecimal()}

    async def uniqueIds(self) -> dict[int, str]:
        """The unique id of each message, by number."""
        return await self._listing(grammar.UIDL())

    async def retrieve(self, number: int, take: Callable[[bytes], object]) -> None:
        """Give a message's octets to `take`, in pieces. :raises ConnectionError: these were not all."""
        await self.send(grammar.Retr(number), take)

    async def top(self, number: int, lines: int) -> bytes:
        """A message's header and so many lines of its body."""
        return await self._gather(grammar.Top(number, lines))

    async def delete(self, number: int) -> None:
        """Mark a message deleted; `quit` deletes it."""
        await self.send(grammar.Dele(number))

    async def reset(self) -> None:
        """Take all marks away."""
        await self.send(grammar.Rset())

    async def noop(self) -> None:
        """Show that one is still there."""
        await self.send(grammar.Noop())

    async def quit(self) -> None:
        """Delete what is marked, and leave."""
        await self.send(grammar.Quit())
        self._end(ConnectionError("the session has ended"))

    async def send(self, command: grammar.Command, take: Callable[[bytes], object] | None = None) -> Reply:
        """Send a command and wait for its response.

        :param take: is given the lines of a multi-line response, dots undone, in pieces; None: it is a single line.
        :raises Refusal: the server's reply is negative.
        """
        answer = await self._ask(command.line(), take)
        if isinstance(answer, bytes):
            raise self._end(ConnectionError("the server challenges where there is nothing to prove"))
        if not answer.isOK:
            raise refusalOf(answer)
        return answer

    # --- Lines and responses -----------------------------------------------------------------------------------------

    async def _lines(self, command: grammar.Command) -> list[str]:
        return (await self._gather(command)).decode(errors="replace").split("\r\n")[:-1]

    async def _gather(self, command: grammar.Command) -> bytes:
        chunks: list[bytes] = []
        size = 0

        def take(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            chunks.append(piece)
            if size > LISTING_LIMIT:
                self._end(ConnectionError("the server's listing does not end"))

        await self.send(command, take)
        return b"".join(chunks)

    async def _listing(self, command: grammar.Command) -> dict[int, str]:
        """The second word of each line by the number that the line begins with; lines without these are passed over."""
        lines = [line.split() for line in await self._lines(command)]
        return {int(words[0]): words[1] for words in lines if len(words) > 1 and words[0].isdecimal()}

    def _ask(self, line: bytes, take: Callable[[bytes], object] | None = None) -> Deferred[Answer]:
        """:raises ValueError: the line would be more than one."""
        if any(octet in line for octet in b"\r\n\0"):
            raise ValueError("a command is one line")
        transport: Any = self.transport
        answer = self._expect(take)
        if self._lost is None:
            transport.write(line + b"\r\n")
        return answer

    def _expect(self, take: Callable[[bytes], object] | None) -> Deferred[Answer]:
        expected = _Expected(take)
        if self._lost is not None:
            expected.answer.errback(self._lost)
            return expected.answer
        self._expected.append(expected)
        self._watch()
        return expected.answer

    def dataReceived(self, data: bytes) -> None:
        """Twisted's: octets have come."""
        self._input += data
        if self._isReading:
            return
        self._isReading = True
        try:
            while self._input and self._lost is None:
                data, self._input = self._input, b""
                if self._body is None:
                    self._takeLine(data)
                else:
                    self._takeBody(data, self._body)
        finally:
            self._isReading = False
        self._watch()

    def _takeLine(self, data: bytes) -> None:
        line, end, self._input = data.partition(b"\n")
        self._line.append(line)
        self._lineSize += len(line)
        if self._lineSize > LINE_LIMIT:
            self._end(ConnectionError("the server's line is too long"))
        elif end:
            whole = b"".join(self._line).removesuffix(b"\r")
            self._line.clear()
            self._lineSize = 0
            self._lineReceived(whole)

    def _takeBody(self, data: bytes, body: Unstuffer) -> None:
        expected = self._expected[0]
        rest = body.feed(data)
        if (piece := body.take()) and expected.take is not None:
            expected.take(piece)
        if rest is not None and self._lost is None and expected.reply is not None:
            self._body, self._input = None, rest
            self._expected.popleft().answer.callback(expected.reply)

    def _lineReceived(self, line: bytes) -> None:
        try:
            challenge = parseChallenge(line)
            answer: Answer = parseReply(line) if challenge is None else challenge
        except (ValueError, grammar.BadCommand):
            self._end(ConnectionError("the server does not speak POP3"))
            return
        if not self._expected:
            self._end(ConnectionError("the server answers what was not asked"))
        elif isinstance(answer, Reply) and answer.isOK and self._expected[0].take is not None:
            self._expected[0].reply = answer
            self._body = Unstuffer()
        else:
            self._expected.popleft().answer.callback(answer)

    # --- The end -----------------------------------------------------------------------------------------------------

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted's: the connection is gone."""
        self._end(ConnectionError("the connection was lost"))

    def _end(self, error: Exception) -> Exception:
        """Close; whatever is expected fails."""
        if self._lost is None:
            self._lost = error
            expected, self._expected = self._expected, deque()
            self._watch()
            transport: Any = self.transport
            transport.loseConnection()
            for one in expected:
                one.answer.errback(error)
        return error

    def _watch(self) -> None:
        """Begin to wait anew, while there is something to wait for."""
        timer = self._timer if self._timer is not None and self._timer.active() else None
        if timer is not None and self._expected:
            timer.reset(self._timeout)
        elif timer is not None:
            timer.cancel()
        elif self._expected:
            self._timer = self._clock.callLater(self._timeout, self._end, ConnectionError("the server is silent"))
