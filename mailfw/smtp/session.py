"""What SMTP, submission and LMTP commands mean: one session's state and rules, without a transport.

The server gives it lines (`received`), looks at `expects` for what to do next, feeds `sink` with a message's octets where that is
wanted and calls `bodyReceived` when the sink has had enough. Invariants:

- After a reply of 250 to a message every recipient durably has it; a message that is not taken leaves nothing behind.
- `expects` is COMMAND whenever a reply did not ask for something else.
- A transaction ends in exactly one of commit and abort, and its spool is discarded then.
- What the client said before STARTTLS is forgotten: the server makes a new session.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve

from mailfw.errors import AuthenticationFailed, Refusal
from mailfw.interfaces import IDirectory, IHooks
from mailfw.sasl import wire
from mailfw.sasl.exchange import Exchange
from mailfw.sasl.steps import MalformedResponse
from mailfw.smtp import extension, inquiry
from mailfw.smtp.arrival import envelopeOf
from mailfw.smtp.channel import Channel
from mailfw.smtp.completion import Completion, inOrder
from mailfw.smtp.content import BoundedSink, Content, Sink
from mailfw.smtp.data import ChunkCounter, DataDecoder
from mailfw.smtp.grammar import (
    Auth,
    BadCommand,
    Bdat,
    Command,
    Data,
    Expn,
    Foreign,
    Hello,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTLS,
    Verb,
    Vrfy,
    Xclient,
    bad,
    parseCommand,
    parseResponse,
)
from mailfw.smtp.help import explain
from mailfw.smtp.patience import Patience
from mailfw.smtp.policy import Policy
from mailfw.smtp.proxied import proxied
from mailfw.smtp.reply import Reply, each, final, refusal, reply
from mailfw.smtp.role import Role
from mailfw.smtp.transaction import Transaction
from mailfw.stages import Client, Discard, Quarantine, Stage
from mailfw.values import Identity, MessageSource, Recipient

if TYPE_CHECKING:
    from mailfw.net.context import ServiceContext

_MISTAKES = frozenset({500, 501, 502, 503, 504, 530, 538, 555})


class Expects(enum.Enum):
    """What the server has to do after it sent the replies."""

    COMMAND = "command"  # read the next command
    RESPONSE = "login"  # read a line that answers an AUTH challenge
    BODY = "message"  # feed `sink`
    TLS = "TLS"  # begin TLS, then make a new session
    NOTHING = "end"  # close


class Session:
    """One client's session.

    :ivar expects: what comes next. :ivar sink: where a message's octets go while BODY is expected.
    :param before: the session that went on in the clear; hooks go on with this one.
    :ivar identity: who logged in. :ivar isUTF8: the client has said SMTPUTF8: it reads UTF-8 in replies.
    """

    def __init__(self, channel: Channel, context: ServiceContext, role: Role, before: Session | None = None) -> None:
        self.expects = Expects.COMMAND
        self.sink: Sink | None = None
        self.identity: Identity | None = None
        self.isUTF8 = False
        self.role = role
        self._channel = channel
        self._context = context
        self._hello: Hello | None = None
        self._policy: Policy | None = before._policy if before is not None else None
        if self._policy is not None:
            self._policy.knows(hello="", identity=None, tls=channel.tlsName)
        self._offer = extension.Offer(context.limits)
        self._transactions = 0
        self._exchange: Exchange | None = None
        self._mechanism = ""
        self._transaction: Transaction | None = None
        self._chunk = Bdat(0)
        self._chunkRefused: Reply | None = None
        self._isVerbose = False
        self._patience = Patience(channel, context.limits)

    @property
    def stage(self) -> str:
        """One word for people: what the session is at."""
        if self.expects is not Expects.COMMAND:
            return str(self.expects.value)
        if self._transaction is not None:
            return "envelope"
        return "ready" if self._hello is not None else "connected"

    def greeting(self) -> Reply:
        """The first line (RFC 5321 §4.2: host name first, no enhanced code)."""
        return reply(220, "", f"{self._context.hostname} {self.role.greeting} mailfw")

    async def admit(self, hooks: IHooks, service: str) -> Reply | None:
        """Hear hooks from now on; what they have against the client is answered in place of a greeting."""
        client = Client(self._channel.id, service, self._channel.peer, self._context.hostname, tls=self._channel.tlsName)
        self._policy = Policy(hooks, client)
        return await self._turnedAway()

    async def _turnedAway(self) -> Reply | None:
        """What hooks have against the client's being here: the greeting that says so is 554 or 421 (RFC 5321 §3.1, §3.8)."""
        assert self._policy is not None
        refused = await self._policy.ask(Stage.CONNECT)
        if refused is None:
            return None
        self.expects = Expects.NOTHING
        return evolve(refused, code=554 if refused.code >= 500 else 421)

    async def received(self, line: bytes) -> Reply | None:
        """A line came: a command, or a response to an AUTH challenge. None: the reply comes with the body's end."""
        command: Command | None = None
        try:
            answer: Reply | None
            if self.expects is Expects.RESPONSE:
                answer = await self._respond(line)
            else:
                command = parseCommand(line)
                answer = await self.handle(command)
        except BadCommand as error:
            answer = error.reply
            if self._policy is not None and answer.code == 500:
                said = line.decode("utf-8", "replace")
                answer = await self._ruling(Stage.UNKNOWN_COMMAND, argument=said) or answer
        except Refusal as error:
            answer = refusal(error)
        if answer is None or answer.isPositive:
            return answer
        self._tellOf(answer, command)
        return await self._bear(self._patience.mistake(answer)) if answer.code in _MISTAKES else answer

    def _tellOf(self, answer: Reply, command: Command | None) -> None:
        """Whoever asks why mail did not come finds it in the log."""
        transaction = self._transaction
        if isinstance(command, Mail):
            self._channel.refused(answer, command.sender)
        elif transaction is not None and isinstance(command, Rcpt):
            self._channel.refused(answer, transaction.envelope.sender, [str(command.recipient)])
        elif transaction is not None and transaction.recipients and isinstance(command, Data | Bdat):
            self._channel.refused(answer, transaction.envelope.sender, _names(transaction.recipients))

    async def handle(self, command: Command) -> Reply | None:
        """Carry out a command. :raises BadCommand: its reply says why not. :raises Refusal: why not."""
        return await self._HANDLERS[type(command)](self, command)

    def end(self, isAnew: bool = False) -> None:
        """The connection is gone, or begins anew under TLS."""
        self._abandon()
        if self._policy is not None and not isAnew:
            self._policy.tell(Stage.DISCONNECT)

    # --- Hooks -----------------------------------------------------------------------------------------------------

    async def _ruling(self, stage: Stage, transaction: Transaction | None = None, **facts: Any) -> Reply | None:
        """What hooks have against it; None: nothing, or there are none. (Callers look whether there is a policy, for this is not
        called for nothing on the way of every message.)"""
        assert self._policy is not None
        refused = await self._policy.ask(stage, transaction, **facts)
        return None if refused is None else self._heed(refused)

    def _heed(self, refused: Reply) -> Reply:
        """A hook's refusal, and perhaps the end of the session."""
        if self._policy is not None and self._policy.isOver:
            self.expects = Expects.NOTHING
        return refused

    # --- Mistakes --------------------------------------------------------------------------------------------------

    async def _bear(self, answering: Awaitable[Reply]) -> Reply:
        """What `Patience` says of an answer, and perhaps the end of the session."""
        answer = await answering
        if self._patience.isOver:
            self.expects = Expects.NOTHING
        return answer

    def _mustBeLast(self, name: str) -> None:
        """A command whose reply the client must wait for (RFC 2920 §3.1)."""
        if self._channel.hasInput():
            bad(503, "5.5.1", f"nothing may be pipelined behind {name}")

    def _afterHello(self) -> None:
        if self._hello is None:
            bad(503, "5.5.1", f"say {min(self.role.hellos)} first")

    # --- The session's own commands --------------------------------------------------------------------------------

    async def _greet(self, command: Hello) -> Reply:
        """RFC 5321 §4.1.1.1: the session is as if it began here; who logged in stays."""
        if command.verb not in self.role.hellos:
            bad(500, "5.5.1", f"this is {self.role.greeting}: say {' or '.join(sorted(self.role.hellos))}")
        if command.verb != "HELO":
            self._mustBeLast(command.verb)
        self._abandon()
        if self._policy is not None:
            self._policy.knows(hello=command.name)
            if (refused := await self._ruling(Stage.EHLO)) is not None:
                self._hello = None
                return refused
        self._hello = command
        channel, context = self._channel, self._context
        self._offer = extension.Offer(
            context.limits,
            context.now(),
            isTLS=channel.isTLS,
            canStartTLS=channel.mayStartTLS(),
            mechanisms=() if self.identity else self._mechanisms(channel.mayUsePlaintext()),
            isQueueing=context.router.isQueueing,
            isSubmission=self.role.requiresLogin,
            isTrusted=channel.isTrustedProxy,
        )
        if command.verb == "HELO":
            return reply(250, "", context.hostname)
        return reply(250, "", context.hostname, *extension.announced(self._offer))

    async def _reset(self, command: Rset) -> Reply:
        self._abandon()
        if self._policy is not None:
            self._policy.tell(Stage.RSET)
        return reply(250, "2.0.0", "forgotten")

    async def _noop(self, command: Noop) -> Reply:
        return reply(250, "2.0.0", "OK")

    async def _quit(self, command: Quit) -> Reply:
        self._abandon()
        if self._policy is not None:
            self._policy.tell(Stage.QUIT)
        self.expects = Expects.NOTHING
        return reply(221, "2.0.0", "good bye")

    async def _help(self, command: Help) -> Reply:
        return explain(command.topic, self.role.greeting)

    async def _verbose(self, command: Verb) -> Reply:
        self._isVerbose = command.isOn
        return reply(250, "2.0.0", "verbose" if command.isOn else "terse")

    async def _foreign(self, command: Foreign) -> Reply:
        """A web page that makes a browser talk to us gets no chance to say more."""
        self.expects = Expects.NOTHING
        return reply(421, "4.7.0", f"this is {self.role.greeting}, not HTTP")

    async def _startTLS(self, command: StartTLS) -> Reply:
        """RFC 3207 §4. Whether something stands behind the command is the connection's to see, when it begins TLS."""
        if self._channel.isTLS:
            bad(503, "5.5.1", "this is TLS already")
        if not self._channel.mayStartTLS():
            bad(502, "5.5.1", "there is no certificate here")
        if self._policy is not None and (refused := await self._ruling(Stage.STARTTLS)) is not None:
            return refused
        self._abandon()
        self.expects = Expects.TLS
        return reply(220, "2.0.0", "begin TLS")

    async def _xclient(self, command: Xclient) -> Reply:
        """Postfix's XCLIENT_README: from now on the session is that of somebody else, and begins anew.

        :raises AuthenticationFailed: there is no such account as LOGIN says.
        """
        channel = self._channel
        if not channel.isTrustedProxy:
            bad(550, "5.7.0", "you may not speak for others")
        if self._transaction is not None:
            bad(503, "5.5.1", "not while a message is under way")
        said = dict(command.attributes)
        peer = proxied(channel.peer, said)
        login, identity = said.get("LOGIN"), self.identity
        if "LOGIN" in said:
            identity = await self._context.logins.identityOf(login) if login else None
        channel.speakFor(peer)
        if self._policy is not None:
            self._policy.knows(peer=peer, identity=identity, hello="")
            if (refused := await self._turnedAway()) is not None:
                return refused
        self.identity, self._hello, self.isUTF8, self._transactions = identity, None, False, 0
        return self.greeting()

    # --- AUTH ------------------------------------------------------------------------------------------------------

    def _mechanisms(self, mayUsePlaintext: bool) -> tuple[str, ...]:
        if not self.role.offersLogin:
            return ()
        return self._context.logins.mechanisms(mayUsePlaintext, self._channel.channelBinding, self._channel.peerCertificate)

    async def _auth(self, command: Auth) -> Reply:
        """RFC 4954 §4."""
        self._afterHello()
        if self.identity is not None:
            bad(503, "5.5.1", "logged in already")
        if self._transaction is not None:
            bad(503, "5.5.1", "not while a message is under way")
        mayUsePlaintext = self._channel.mayUsePlaintext()
        if command.mechanism not in self._mechanisms(mayUsePlaintext):
            if command.mechanism in self._mechanisms(True):
                bad(538, "5.7.11", "say STARTTLS first: no passwords in the clear")
            bad(504, "5.5.4", "no such mechanism here")
        self._mustBeLast("AUTH")
        self._mechanism = command.mechanism
        self._exchange = self._context.logins.begin(
            command.mechanism,
            service=self.role.name,
            peer=self._channel.peer.host,
            mayUsePlaintext=mayUsePlaintext,
            binding=self._channel.channelBinding,
            certificate=self._channel.peerCertificate,
        )
        return await self._proceed(command.initial)

    async def _respond(self, line: bytes) -> Reply:
        self.expects = Expects.COMMAND
        try:
            data = parseResponse(line)
        except BadCommand:
            self._exchange = None
            raise
        if data is None:
            self._exchange = None
            return reply(501, "5.7.0", "cancelled")
        return await self._proceed(data)

    async def _proceed(self, data: bytes | None) -> Reply:
        """Take one step of the exchange. It is over unless this says otherwise."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        if data is not None:
            await self._channel.pause(self._context.logins.delayFor(self._channel.peer.host, exchange.user))
        try:
            step = await exchange.step(data)
        except MalformedResponse as error:
            return await self._bear(self._patience.failedLogin(reply(501, "5.5.2", error.text)))
        except AuthenticationFailed as error:
            return await self._bear(self._patience.failedLogin(refusal(error)))
        if isinstance(step, Identity):
            if self._policy is not None:
                self._policy.knows(identity=step)
                if (refused := await self._ruling(Stage.AUTH, argument=self._mechanism)) is not None:
                    self._policy.knows(identity=None)
                    return refused
            self.identity = step
            return reply(235, "2.7.0", "welcome")
        self._exchange = exchange
        self.expects = Expects.RESPONSE
        return reply(334, "", wire.encode(step).decode("ascii"))

    # --- The envelope ----------------------------------------------------------------------------------------------

    async def _mail(self, command: Mail) -> Reply:
        """RFC 5321 §4.1.1.2."""
        self._afterHello()
        if self._transaction is not None:
            bad(503, "5.5.1", "a message is under way; RSET forgets it")
        if self.role.requiresLogin and self.identity is None:
            bad(530, "5.7.0", "log in first")
        if self._transactions >= self._context.limits.transactions:
            self.expects = Expects.NOTHING
            return reply(421, "4.5.3", f"a session may have {self._context.limits.transactions} messages; begin another one")
        draft = extension.readMail(command.parameters, self._offer)
        self.isUTF8 = self.isUTF8 or draft.isSMTPUTF8
        if command.isUTF8 and not draft.isSMTPUTF8:
            return reply(550, "5.6.7", "an address in UTF-8 needs SMTPUTF8")
        if draft.size > self._context.limits.messageSize:
            return reply(552, "5.3.4", f"a message may have {self._context.limits.messageSize} octets")
        sender = command.sender
        if self.identity and sender and not await self._context.directory.owns(self.identity, sender):
            return reply(550, "5.7.1", f"<{sender}> is not an address of yours")
        isTrusted = self.identity is not None or self.role.isLMTP
        asked = envelopeOf(sender, draft, self.identity, self._context.limits, self._context.now(), isTrusted)
        envelope, isDiscarded = asked.envelope, False
        if self._policy is not None and self._policy.concerns(Stage.MAIL_FROM):
            decision = await self._policy.decide(Stage.MAIL_FROM, envelope=envelope)
            if (refused := self._policy.ruled(decision)) is not None:
                return self._heed(refused)
            isDiscarded = isinstance(decision.result, Discard)
            envelope = evolve(decision.event.envelope or envelope, isQuarantined=isinstance(decision.result, Quarantine))
        envelope = evolve(envelope, isAnsweredEach=self.role.isLMTP)
        delivery = self._context.router.begin(envelope, self._channel.peer)
        self._transaction = Transaction(
            envelope, delivery, isBinary=draft.isBinary, isDemoted=asked.isDemoted, isDiscarded=isDiscarded
        )
        self._transactions += 1
        return reply(250, "2.1.0", f"<{sender or ''}> sender OK")

    async def _rcpt(self, command: Rcpt) -> Reply:
        """RFC 5321 §4.1.1.3."""
        transaction = self._transaction
        if transaction is None or transaction.isChunked:
            bad(503, "5.5.1", "MAIL comes first" if transaction is None else "the message has begun")
        draft = extension.readRcpt(command.parameters, self._offer)
        address = command.recipient
        if command.isUTF8 and not transaction.envelope.isSMTPUTF8:
            return reply(550, "5.6.7", "an address in UTF-8 needs SMTPUTF8 after MAIL")
        if len(transaction.recipients) >= self._context.limits.recipients:
            return reply(452, "4.5.3", f"a message may have {self._context.limits.recipients} recipients")
        isNew = address.domain not in transaction.domains
        if isNew and len(transaction.domains) >= self._context.limits.recipientDomains:
            return reply(452, "4.5.3", f"a message may have recipients of {self._context.limits.recipientDomains} domains")
        recipient = Recipient(address, draft.notify, draft.original)
        try:
            await transaction.delivery.recipient(recipient)
        except Exception as error:
            if not isinstance(error, Refusal):
                self._channel.faulted("a recipient could not be looked up")
            transaction.hasRefused = True
            answer = refusal(error, f"<{address}> ")
            isStranger = self.identity is None and not self.role.isLMTP
            return await self._bear(self._patience.guess(answer)) if isStranger and answer.code >= 500 else answer
        if self._policy is not None and (refused := await self._ruling(Stage.RCPT_TO, transaction, recipient=recipient)):
            transaction.hasRefused = transaction.isStale = True
            return refused
        transaction.accept(recipient)
        return reply(250, "2.1.5", f"<{address}> recipient OK")

    # --- The message -----------------------------------------------------------------------------------------------

    def _ready(self) -> Transaction:
        """The transaction, if a message may follow now."""
        transaction = self._transaction
        if transaction is None:
            bad(503, "5.5.1", "MAIL and RCPT come first")
        if not transaction.recipients:
            if transaction.hasRefused and not self.role.isLMTP:
                bad(554, "5.5.1", "no valid recipients")
            bad(503, "5.5.1", "no valid recipients" if transaction.hasRefused else "RCPT comes first")
        if transaction.content is None:
            transaction.content = Content(
                self._context.spool,
                self._context.limits,
                self.role.normalizesLines,
                transaction.isBinary,
                lambda: self._channel.faulted("a message under way cannot be kept"),
            )
        return transaction

    async def _data(self, command: Data) -> Reply:
        """RFC 5321 §4.1.1.4."""
        transaction = self._ready()
        if transaction.isChunked:
            bad(503, "5.5.1", "the message has begun with BDAT")
        if transaction.isBinary:
            bad(503, "5.5.1", "a message in BINARYMIME comes by BDAT")
        self._mustWaitForData()
        if self._policy is not None:
            if (refused := await self._ruling(Stage.DATA, transaction)) is not None:
                return refused
            self._mustWaitForData()
        assert transaction.content is not None
        self._expectBody(DataDecoder(transaction.content.take), transaction.content)
        self._chunk = Bdat(0, isLast=True)
        return reply(354, "", "go on, end with <CRLF>.<CRLF>")

    def _mustWaitForData(self) -> None:
        """What stands behind DATA is a message that did not wait for leave; it is not to be taken for commands."""
        if self._channel.hasInput():
            self.expects = Expects.NOTHING
            bad(503, "5.5.1", "nothing may be pipelined behind DATA")

    async def _bdat(self, command: Bdat) -> Reply | None:
        """RFC 3030 §2. The octets follow whatever is said, so a refusal waits until they have gone by."""
        self._chunk, self._chunkRefused = command, None
        limit = 2 * self._context.limits.messageSize
        if command.size > limit:
            self._abandon()
            self.expects = Expects.NOTHING
            return reply(552, "5.3.4", f"a message may have {self._context.limits.messageSize} octets")
        try:
            transaction = self._ready()
            if self._policy is not None and not transaction.isChunked:
                refused = await self._ruling(Stage.DATA, transaction)
                if refused is not None:
                    self._abandon()  # the next chunk may be on its way, and is not the whole message
                    raise BadCommand(refused)
        except BadCommand as error:
            self._chunkRefused = error.reply
            self._expectBody(ChunkCounter(_ignore, command.size), None)
        else:
            transaction.isChunked = True
            assert transaction.content is not None
            self._expectBody(ChunkCounter(transaction.content.take, command.size), transaction.content)
        return None

    def _expectBody(self, sink: Sink, content: Content | None) -> None:
        self.expects = Expects.BODY
        self.sink = sink if content is None else BoundedSink(sink, content)

    async def bodyReceived(self) -> Sequence[Reply]:
        """The sink has had enough: all of DATA, or one chunk."""
        self.expects, self.sink = Expects.COMMAND, None
        if self._chunkRefused is not None:
            answer, self._chunkRefused = self._chunkRefused, None
            return [await self._bear(self._patience.mistake(answer))]
        transaction = self._transaction
        assert transaction is not None and transaction.content is not None
        content = transaction.content
        if content.isHopeless:
            self.expects = Expects.NOTHING
        if not self._chunk.isLast and not content.isTooLarge:
            return [reply(250, "2.0.0", f"{self._chunk.size} octets")]
        answers: Sequence[Reply] = ()
        try:
            answers = await self._finish(transaction, content)
        finally:
            self._abandon()
            self._channel.answered(answers)
        return answers

    async def _finish(self, transaction: Transaction, content: Content) -> Sequence[Reply]:
        asked = transaction.recipients
        found = content.finish()
        if isinstance(found, MessageSource) and content.mustBeEncoded:
            found = await self._channel.think(content.encode)
        if isinstance(found, Reply):
            return self._refused(found, transaction, asked)
        assert self._hello is not None
        messageId = f"{int(self._context.now()):x}-{secrets.token_hex(6)}"
        completion = Completion(self._channel, self._context, self.role, self._hello, self._policy, messageId)
        outcomes = await completion.run(transaction, content, found)
        if isinstance(outcomes, Reply):
            return self._refused(self._heed(outcomes), transaction, asked)
        recipients = transaction.recipients
        self._channel.accepted(messageId, transaction.envelope, _names(recipients), content.size, outcomes)
        if self.role.isLMTP:
            if recipients is not asked:
                outcomes = inOrder(recipients, outcomes, asked)
            return each(outcomes, _names(asked))
        answer = final(outcomes, _names(recipients), messageId, self._isVerbose)
        if answer.isPositive:
            self._patience.forgive()
            if transaction.isDemoted:  # RFC 6710 §4.1
                text = f"{transaction.envelope.priority} is the new priority; {answer.lines[-1]}"
                answer = evolve(answer, enhanced="2.3.6", lines=(*answer.lines[:-1], text))
        return [answer]

    def _refused(self, answer: Reply, transaction: Transaction, recipients: Sequence[Recipient]) -> list[Reply]:
        """One reply for the message, which LMTP gives to each recipient."""
        self._channel.refused(answer, transaction.envelope.sender, _names(recipients))
        return [answer] * (len(recipients) if self.role.isLMTP and self._chunk.isLast else 1)

    def _abandon(self) -> None:
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            transaction.abandon()

    # --- Asking about addresses ------------------------------------------------------------------------------------

    async def _verify(self, command: Vrfy) -> Reply:
        return await self._asked(command, inquiry.verify)

    async def _expand(self, command: Expn) -> Reply:
        return await self._asked(command, inquiry.expand)

    async def _asked(self, command: Vrfy | Expn, ask: Callable[[IDirectory, str, str], Awaitable[Reply]]) -> Reply:
        self.isUTF8 = self.isUTF8 or command.isSMTPUTF8
        isTold = self._context.inquiries == "always" or (self._context.inquiries == "login" and self.identity is not None)
        if not isTold:
            return inquiry.UNTOLD
        return await ask(self._context.directory, command.name, next(iter(self._context.domains), self._context.hostname))

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Awaitable[Reply | None]]]] = {
        Hello: _greet,
        Mail: _mail,
        Rcpt: _rcpt,
        Data: _data,
        Bdat: _bdat,
        Rset: _reset,
        Noop: _noop,
        Quit: _quit,
        Help: _help,
        Vrfy: _verify,
        Expn: _expand,
        Verb: _verbose,
        StartTLS: _startTLS,
        Auth: _auth,
        Xclient: _xclient,
        Foreign: _foreign,
    }


def _names(recipients: Sequence[Recipient]) -> list[str]:
    return [str(recipient.address) for recipient in recipients]


def _ignore(piece: bytes) -> None:
    """Octets that nobody wants."""
