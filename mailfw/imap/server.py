"""IMAP on a connection: lines and literals in, responses out, and the services `imap` and `imaps`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.imap.grammar.response import bad, bye
from mailfw.imap.grammar.tokens import CommandText
from mailfw.imap.reader import (
    LINE_LIMIT,
    LOGIN_LINE_LIMIT,
    MAX_COMMAND,
    MAX_LOGIN,
    CommandReader,
    Declined,
    Event,
    LiteralSink,
    OutOfStep,
    Ready,
    WantsLiteral,
)
from mailfw.imap.recent import Recency
from mailfw.imap.session import Session
from mailfw.imap.settings import Settings
from mailfw.interfaces import IMailService
from mailfw.net.connection import Connection, Listener
from mailfw.net.context import ServiceContext
from mailfw.net.factory import MailFactory
from mailfw.net.spool import Spool


class IMAPServer(Connection):
    """One IMAP connection.

    :cvar recency: what this process's sessions have told as \\Recent, on all listeners together.
    """

    lineLimit = lineTolerance = LINE_LIMIT
    protocol = "IMAP"
    recency = Recency()

    def __init__(self, context: ServiceContext, listener: Listener) -> None:
        super().__init__(context, listener)
        self._calls: set[IDelayedCall] = set()
        settings = context.protocols.get("imap", Settings())
        self._session = Session(
            self, context.store, context.logins, context.limits, context.hostname, settings, self.recency
        )
        self._reader = CommandReader(self.openSpool, self._session.objection)

    # --- What the session asks -------------------------------------------------------------------------------------

    async def breathe(self) -> None:
        """Let other connections have their turn."""
        await self.context.stretches.turn()

    def openSpool(self) -> Spool:
        return self.context.spool.open()

    def later(self, seconds: float, call: Callable[[], object]) -> Callable[[], None]:
        """Call after so many seconds, if the connection is there then. Returns what prevents it."""

        def due() -> None:
            self._calls.discard(delayed)
            if self.isOpen:
                call()

        def cancel() -> None:
            if delayed in self._calls:
                self._calls.discard(delayed)
                delayed.cancel()

        delayed: IDelayedCall = self.context.reactor.callLater(seconds, due)
        self._calls.add(delayed)
        return cancel

    def now(self) -> float:
        return self.context.now()

    @property
    def mailbox(self) -> str:
        """The selected one, with its account where that is another's."""
        selected = self._session.selected
        if selected is None:
            return ""
        owner = selected.account.owner if selected.account is not None else self.account
        return selected.name if owner == self.account else f"{selected.name} of {owner}"

    # --- What the connection asks ----------------------------------------------------------------------------------

    def greet(self) -> None:
        self.write(self._session.greeting())
        self._expectLine()

    def lineTooLong(self) -> None:
        self.write(bad("the line is too long", b"TOOBIG").render())
        self.write(bye("the line is too long"))

    def timedOut(self) -> None:
        self.write(bye("nothing was heard for too long"))

    def stopping(self) -> None:
        self.write(bye("the server is stopping, try again later", b"UNAVAILABLE"))

    def failed(self, failure: Failure) -> None:
        self._session.failed()
        self._reader.release()

    def connectionEnded(self) -> None:
        self._reader.release()
        ended = Deferred.fromCoroutine(self._session.closed())
        ended.addErrback(lambda failure: self.log.failure("ending a session failed", failure))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        calls, self._calls = self._calls, set()
        for call in calls:
            call.cancel()

    @classmethod
    def refusal(cls, text: str) -> bytes:
        return bye(text, b"LIMIT")

    # --- Lines and literals ----------------------------------------------------------------------------------------

    async def lineReceived(self, line: bytes) -> None:
        session = self._session
        if session.dialogue is not None:
            await session.dialogue.line(line)
        elif not await self._answered(self._reader.line(line)):
            return
        self._expectLine()

    async def longLineReceived(self, start: bytes, end: bytes) -> None:
        """What is nobody yet has long lines read past: nothing is remembered of them, and they are BAD like others."""
        dialogue = self._session.dialogue
        if dialogue is not None:
            await dialogue.line(b"*")
        elif not await self._answered(self._reader.longLine(start, end)):
            return
        self._expectLine()

    async def _answered(self, event: Event) -> bool:
        """Do what a line of a command asks for; → whether the next line begins a new one."""
        match event:
            case Ready(text):
                await self._run(text)
            case Declined(tag, reply):
                self._session.answer(tag, reply)
            case OutOfStep(text):
                self._session.end(text, b"TOOBIG")
            case WantsLiteral(prompt, sink):
                self._expectLiteral(prompt, sink)
                return False
        return True

    async def _run(self, text: CommandText) -> None:
        try:
            await self._session.handle(text)
        finally:
            self._reader.release()

    def _expectLiteral(self, prompt: bytes, sink: LiteralSink) -> None:
        if self._session.identity is not None:
            self.beginFlow()
            sink.progress = self.keepFlow
        if prompt:
            self.write(prompt)
        self.setSink(sink)

    def sinkDone(self, sink: Any) -> None:  # the LiteralSink that was set
        self._reader.literalDone(sink)
        if sink.failure is not None:
            self.log.error("a literal could not be spooled: {error}", error=sink.failure)

    def _expectLine(self) -> None:
        session, limits = self._session, self.context.limits
        self.state = "idle" if session.isIdling else session.state.value
        if session.identity is None:
            self.lineLimit, self._reader.commandSize, self._reader.messageSize = LOGIN_LINE_LIMIT, MAX_LOGIN, 0
            self.setLoginDeadline()
        else:
            self.account = session.identity.account
            self.lineLimit, self._reader.commandSize, self._reader.messageSize = LINE_LIMIT, MAX_COMMAND, limits.messageSize
            self.setDeadline(limits.idleTimeout)
        self._reader.isUTF8 = session.usesUTF8


@implementer(IMailService)
class IMAPService:
    """A listening service, as configuration names it."""

    def __init__(self, name: str, port: int, isTLS: bool) -> None:
        self.name = name
        self.port = port
        self.isTLS = isTLS

    def factory(self, context: ServiceContext) -> MailFactory:
        """Connections for one listener."""
        return MailFactory(IMAPServer, context, Listener(self.name, self.isTLS))


imap = IMAPService("imap", 143, isTLS=False)
imaps = IMAPService("imaps", 993, isTLS=True)
