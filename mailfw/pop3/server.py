"""POP3 on a connection: lines in, answers out, and the services `pop3` and `pop3s`.

Invariants:

- A message is sent whole or the connection is cut: no client can take a part of it for all.
- At most one piece of a message or a listing is in memory; the next is asked for when the client has taken the last.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from attrs import frozen
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.errors import Refusal, Unavailable
from mailfw.interfaces import IMailService
from mailfw.net.connection import Connection, Listener
from mailfw.net.context import ServiceContext
from mailfw.net.factory import MailFactory
from mailfw.pop3.grammar import BadCommand, Code, Reply, challengeLine, err, parseCommand, parseResponse, refusalReply
from mailfw.pop3.maildrop import MaildropLeases
from mailfw.pop3.multiline import Stuffer
from mailfw.pop3.session import Answer, Challenge, Gone, POP3Session, State, Then

RESPONSE_LIMIT = 12288
"""Octets of a line that answers a challenge: a ticket may be longer than any command."""


class POP3Server(Connection):
    """One POP3 connection.

    :cvar leases: which maildrops this process's sessions hold, on all listeners together.
    """

    leases = MaildropLeases()
    protocol = "POP3"

    def __init__(self, context: ServiceContext, listener: Listener) -> None:
        super().__init__(context, listener)
        self._session = POP3Session(self, context.store, context.logins, self.leases, context.limits, context.hostname)

    # --- What the session asks -------------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        """Wait. :raises Gone: the client has not waited."""
        await super().pause(seconds)
        if not self.isOpen:
            raise Gone()

    @property
    def mailbox(self) -> str:
        """A maildrop is the INBOX."""
        return "INBOX" if self._session.state is State.TRANSACTION else ""

    # --- What the connection asks ----------------------------------------------------------------------------------

    def greet(self) -> None:
        self._say(self._session.greeting())
        self._expectCommand()

    def lineTooLong(self) -> None:
        self._say(err("line too long"))

    def timedOut(self) -> None:
        """RFC 1939 §3: the connection is closed without a word."""

    def stopping(self) -> None:
        self._say(err("server is stopping, try again later", Code.SYS_TEMP))

    def failed(self, failure: Failure) -> None:
        self._say(refusalReply(Unavailable()))
        self._expectCommand()
        if self._session.state is State.UPDATE:
            self.hangUp()

    def connectionEnded(self) -> None:
        self._session.close()

    @classmethod
    def refusal(cls, text: str) -> bytes:
        return err(text, Code.SYS_TEMP).line() + b"\r\n"

    # --- Commands and answers --------------------------------------------------------------------------------------

    async def lineReceived(self, line: bytes) -> None:
        session = self._session
        try:
            if session.isChallenging:
                answer = await session.respond(parseResponse(line))
            else:
                answer = await session.handle(parseCommand(line))
        except BadCommand as refusal:
            answer = await session.complain(refusal)
        if isinstance(answer, Challenge):
            self.write(challengeLine(answer.data) + b"\r\n")
        elif answer.body is None:
            self._say(answer.reply)
        else:
            await self._stream(answer.reply, answer.body)
        self._expectCommand()
        if isinstance(answer, Answer) and answer.then is not Then.GO_ON:
            self._follow(answer.then)

    def _follow(self, then: Then) -> None:
        if then is Then.CLOSE:
            self.hangUp()
        elif self.startTLS():
            self._session.secured()

    def _say(self, reply: Reply) -> None:
        self.write(reply.line() + b"\r\n")

    def _expectCommand(self) -> None:
        session = self._session
        self.lineLimit = RESPONSE_LIMIT if session.isChallenging else Connection.lineLimit
        self.state = session.state.value
        if session.identity is not None:
            self.account = session.identity.account
        if session.state is State.TRANSACTION:
            self.setDeadline(self.context.limits.pop3IdleTimeout)
        else:
            self.setLoginDeadline()

    async def _stream(self, reply: Reply, body: AsyncGenerator[bytes, None]) -> None:
        """Send a multi-line response as fast as the client takes it. The reply goes out with the first piece of the body."""
        stuffer, pending = Stuffer(), reply.line() + b"\r\n"
        try:
            async with aclosing(body):
                async for piece in body:
                    self.write(pending + stuffer.feed(piece))
                    pending = b""
                    await self.drain()
                    if not self.isOpen:
                        return
        except Exception as error:
            if not pending:
                self.log.failure("the rest of a response cannot be read: connection dropped")
                self.abort()
            elif isinstance(error, Refusal):
                self._say(refusalReply(error))
            else:
                raise
            return
        self.write(pending + stuffer.end())


@implementer(IMailService)
@frozen
class POP3Service:
    """POP3 as a listening service, as `[[listen]] service` names it."""

    name: str
    port: int
    isTLS: bool

    def factory(self, context: ServiceContext) -> MailFactory:
        """Makes POP3 connections for one listener."""
        return MailFactory(POP3Server, context, Listener(self.name, self.isTLS))


pop3 = POP3Service("pop3", 110, isTLS=False)
pop3s = POP3Service("pop3s", 995, isTLS=True)
