"""SMTP on a connection: lines and message octets in, replies out; and the services that listen: `smtp`, `submission` …"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from attrs import frozen
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.interfaces import IHooks, IMailService
from mailfw.net.connection import Connection, Listener
from mailfw.net.context import ServiceContext
from mailfw.net.factory import MailFactory
from mailfw.smtp.grammar import AUTH_LIMIT, COMMAND_LIMIT
from mailfw.smtp.reply import Reply, reply
from mailfw.smtp.role import LMTP, MTA, SUBMISSION
from mailfw.smtp.session import Expects, Session
from mailfw.values import Address, Envelope, Outcome

LOGGED = 100
"""Recipients that the line about a message names."""

REFUSALS = 20
"""Refusals of one session that have lines of their own, so that whoever guesses addresses does not fill the log."""


class SMTPServer(Connection):
    """One SMTP or LMTP connection; a subclass for each role."""

    lineLimit = AUTH_LIMIT
    protocol = "SMTP"
    role = MTA

    def __init__(self, context: ServiceContext, listener: Listener) -> None:
        super().__init__(context, listener)
        self._stopsAfterBody = False
        self._bodyEnded = 0.0  # by `perf_counter`
        self._refusals = 0
        self._session = Session(self, context, self.role)

    # --- What the session asks -------------------------------------------------------------------------------------

    @property
    def tlsName(self) -> str:
        """Version and cipher of TLS, `TLSv1.3 TLS_AES_256_GCM_SHA384`."""
        getHandle = getattr(self.transport, "getHandle", None)
        tls: Any = getHandle() if self.isTLS and getHandle is not None else None
        if not hasattr(tls, "get_protocol_version_name"):
            return "TLS" if self.isTLS else ""
        return f"{tls.get_protocol_version_name()} {tls.get_cipher_name() or ''}".rstrip()

    def faulted(self, what: str) -> None:
        """Log the exception being handled."""
        self.log.failure(what, session=self.id)

    def accepted(self, messageId: str, envelope: Envelope, names: Sequence[str], size: int, outcomes: Sequence[Outcome]) -> None:
        """Log what became of a message: the first line of its life, as `mailfw trace` tells it."""
        told = [f"<{name}> {_told(outcome)}" for name, outcome in zip(names[:LOGGED], outcomes, strict=False)]
        self.log.info(
            "message {messageId} from <{sender}>, {size} octets: {fates}",
            messageId=messageId,
            sender=str(envelope.sender or ""),
            size=size,
            fates=_listed(told, len(names)),
            session=self.id,
        )

    def refused(self, answer: Reply, sender: Address | None, names: Sequence[str] = ()) -> None:
        """Log that mail was not taken, and why, for `mailfw trace` too."""
        self._refusals += 1
        self.tally.refusals += 1
        if self._refusals <= REFUSALS:
            self.log.info(
                "refused from {peer}, <{sender}> to {recipients}: {said}",
                peer=self.peer.host,
                sender=str(sender or ""),
                recipients=_listed([f"<{name}>" for name in names[:LOGGED]], len(names)) or "nobody yet",
                said=answer.said,
                session=self.id,
            )

    def answered(self, answers: Sequence[Reply]) -> None:
        """Count a message by what its sender is told; of what several recipients are told, the best."""
        self.tally.taking.add(perf_counter() - self._bodyEnded)
        code = answers[0].code if len(answers) == 1 else min([answer.code for answer in answers], default=451)
        self.tally.messages["accepted" if code < 400 else "deferred" if code < 500 else "refused"] += 1

    # --- What the connection asks ----------------------------------------------------------------------------------

    def greet(self) -> None:
        if self.hasEarlyInput():
            self._say(reply(554, "", "you talk before you are greeted"))
            self.hangUp()
            return
        if self.context.hooks is not None:
            self.busyWith(self._admit(self.context.hooks))
            return
        self._say(self._session.greeting())
        self.setDeadline(self.context.limits.commandTimeout)

    async def _admit(self, hooks: IHooks) -> None:
        """Greet whom no hook turns away, and who has waited for it."""
        refused = await self._session.admit(hooks, self.listener.service)
        if refused is None and self.hasEarlyInput():
            refused = reply(554, "", "you talk before you are greeted")
        self._say(refused or self._session.greeting())
        if refused is None:
            self.setDeadline(self.context.limits.commandTimeout)
        else:
            self.hangUp()

    async def lineReceived(self, line: bytes) -> None:
        if len(line) > COMMAND_LIMIT and self._session.expects is Expects.COMMAND and line[:5].upper() != b"AUTH ":
            self.lineTooLong()
            self.hangUp()
            return
        answer = await self._session.received(line)
        self._answer(() if answer is None else (answer,))

    async def sinkDone(self, sink: object) -> None:
        self._bodyEnded = perf_counter()
        self._answer(await self._session.bodyReceived())

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self._session.expects is Expects.BODY:
            self.keepFlow()

    def lineTooLong(self) -> None:
        """RFC 5321 §4.5.3.1.4; the exchange of AUTH has a code of its own (RFC 4954 §4)."""
        self._say(reply(500, "5.5.6" if self._session.expects is Expects.RESPONSE else "5.5.2", "line too long"))

    def timedOut(self) -> None:
        self._say(reply(421, "4.4.2", "too slow"))

    def stopping(self) -> None:
        self._say(reply(421, "4.3.2", "the server stops, come back later"))

    def failed(self, failure: Failure) -> None:
        self._say(reply(451, "4.3.0", "something went wrong here, try again later"))
        self.setDeadline(self.context.limits.commandTimeout)

    def stop(self) -> None:
        """A message that is coming in is taken first; `Limits.stopTimeout` bounds that."""
        if self._session.expects is Expects.BODY and self.isOpen:
            self._stopsAfterBody = True
        else:
            super().stop()

    def connectionEnded(self) -> None:
        if self._refusals > REFUSALS:
            more = self._refusals - REFUSALS
            self.log.info("refused from {peer}: {more} more", peer=self.peer.host, more=more, session=self.id)
        self._session.end()

    @classmethod
    def refusal(cls, text: str) -> bytes:
        return reply(421, "4.7.0", text).encode()

    # --- Replies and what comes after them -------------------------------------------------------------------------

    def _say(self, answer: Reply) -> None:
        self.write(answer.encode(self._session.isUTF8))

    def _answer(self, answers: Sequence[Reply]) -> None:
        """Send the replies, all in one piece, and do what the session expects."""
        session = self._session
        if answers:
            self.write(b"".join([answer.encode(session.isUTF8) for answer in answers]))
        expects = session.expects
        self.state = session.stage
        if self._stopsAfterBody:
            self.stop()
        if expects is Expects.COMMAND or expects is Expects.RESPONSE:
            self.setDeadline(self.context.limits.commandTimeout)
            if session.identity is not None:
                self.account = session.identity.account
        elif expects is Expects.BODY:
            assert session.sink is not None
            self.setSink(session.sink)
            self.beginFlow()
        elif expects is Expects.NOTHING:
            self.hangUp()
        elif self.startTLS():
            session.end(isAnew=True)
            self.account = ""
            self._session = Session(self, self.context, self.role, session)
            self.setDeadline(self.context.limits.commandTimeout)


def _listed(told: list[str], count: int) -> str:
    """What is told of the first of so many."""
    return ", ".join([*told, *([f"and {count - len(told)} more"] if count > len(told) else [])])


def _told(outcome: Outcome) -> str:
    why = outcome.remark or str(outcome.refusal or "")
    return f"{outcome.fate.value} ({why})" if why else outcome.fate.value


class SubmissionServer(SMTPServer):
    """Mail from our own people."""

    role = SUBMISSION


class LMTPServer(SMTPServer):
    """Mail from a queue beside us."""

    role = LMTP
    protocol = "LMTP"


@implementer(IMailService)
@frozen
class SMTPService:
    """One of the roles as a listening service, as `[[listen]] service` names it."""

    name: str
    port: int
    isTLS: bool
    server: type[SMTPServer]

    def factory(self, context: ServiceContext) -> MailFactory:
        """Makes connections of that role for one listener."""
        return MailFactory(self.server, context, Listener(self.name, self.isTLS))


smtp = SMTPService("smtp", 25, isTLS=False, server=SMTPServer)
submission = SMTPService("submission", 587, isTLS=False, server=SubmissionServer)
submissions = SMTPService("submissions", 465, isTLS=True, server=SubmissionServer)
lmtp = SMTPService("lmtp", 24, isTLS=False, server=LMTPServer)
