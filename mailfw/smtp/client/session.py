"""What a client says, and what a server's answers mean. Pure: octets come and go by a `Channel`."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import ceil
from typing import Any, NoReturn, Protocol

from attrs import evolve, frozen

from mailfw.errors import AuthenticationFailed, MessageTooLarge, NotSupported, Refusal, TemporaryRefusal, Unreachable
from mailfw.sasl.client import chooseMechanism
from mailfw.sasl.steps import ClientMechanism
from mailfw.sasl.wire import decodeBase64, encode
from mailfw.smtp import grammar
from mailfw.smtp.client.features import Features
from mailfw.smtp.data import DataEncoder
from mailfw.smtp.reply import Reply
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Recipient

PIECE = 65536
"""Octets of a message that are read at a time."""

WINDOW = 100
"""Commands that are sent ahead of their replies."""

RECIPIENTS = 1000
"""Recipients of one transaction, where the server says nothing (RFC 5321 §4.5.3.1.8 asks it to take 100)."""

UNASKED = "the server says more than it was asked"


class TLSFailed(Unreachable):
    """TLS could not be had as it was asked for; the connection is of no more use."""


class LoginFailed(Unreachable):
    """The server does not let us in. Temporary for the mail that waits: somebody can put it right."""


class Lost(Exception):
    """A channel has ended, by the server's doing or because it kept us waiting; the text says how."""


class OutOfStep(Lost):
    """The server's replies are not those to our commands: none of them can be relied on."""


@frozen
class Timeouts:
    """Seconds that a server may take (RFC 5321 §4.5.3.2). :ivar dataBlock: for each piece of a message."""

    greeting: float = 300.0
    command: float = 300.0
    tls: float = 60.0
    dataInitiation: float = 120.0
    dataBlock: float = 180.0
    dataTermination: float = 600.0
    quit: float = 5.0

    def capped(self, longest: float) -> Timeouts:
        """The same, none longer than that; but the end of a message keeps its time, for a message whose 250 comes too late
        is sent twice."""
        names = ("greeting", "command", "tls", "dataInitiation", "dataBlock", "quit")
        return evolve(self, **{name: min(getattr(self, name), longest) for name in names})


class Channel(Protocol):
    """A connection to a server, for a session. What waits raises `Lost` when the connection is gone, and replies are kept until
    they were asked for, also those that came before the end."""

    @property
    def isTLS(self) -> bool:
        """Whether what is said is under TLS."""

    @property
    def isAhead(self) -> bool:
        """Whether the server has said something, or begun to, that was not asked for yet."""

    def write(self, data: bytes) -> None:
        """Send octets."""

    def reply(self, seconds: float) -> Awaitable[Reply]:
        """The next reply."""

    def stream(self, pieces: Iterator[bytes], seconds: float) -> Awaitable[None]:
        """Send pieces, each when the one before it has left, within so many seconds."""

    def startTLS(self, options: Any, seconds: float) -> Awaitable[None]:
        """Begin TLS, and wait for the handshake. `options` are the transport's own business."""

    def close(self) -> None:
        """End it."""


class ClientSession:
    """One connection's conversation. One method at a time.

    :param hostname: what we call ourselves.
    :param host: what outcomes call the server.
    :ivar isOpen: whether another transaction can be tried.
    :ivar transactions: how many were begun.
    """

    def __init__(
        self,
        channel: Channel,
        hostname: str,
        *,
        host: str = "",
        isLMTP: bool = False,
        timeouts: Timeouts = Timeouts(),  # frozen
        now: Callable[[], float] = time.time,
    ) -> None:
        self.channel = channel
        self.host = host
        self.features = Features()
        self.isOpen = True
        self.transactions = 0
        self._hostname = hostname
        self._isLMTP = isLMTP
        self._timeouts = timeouts
        self._now = now
        self._domains: set[str] = set()  # that recipients were of
        self._isMidway = False  # a transaction was begun and not ended, so that RSET is needed

    # --- The beginning and the end -----------------------------------------------------------------------------------

    async def greet(self) -> None:
        """Wait for the greeting, and introduce ourselves: EHLO or, where the server knows only that, HELO (RFC 5321 §3.2).

        :raises Unreachable:
        """
        greeting = await self._reply(self._timeouts.greeting)
        if greeting.code // 100 != 2:
            self.giveUp(greeting)
        await self._hello()

    async def _hello(self) -> None:
        verb = "LHLO" if self._isLMTP else "EHLO"
        answer = await self._command(bytes(grammar.Hello(verb, self._hostname)))
        if answer.code // 100 == 5 and not self._isLMTP:
            answer = await self._command(bytes(grammar.Hello("HELO", self._hostname)))
            self.features = Features()
        else:
            self.features = Features.parse(answer.lines[1:])
        if answer.code // 100 != 2:
            self.giveUp(answer)

    async def startTLS(self, options: Any) -> None:
        """RFC 3207. What the server announced before is forgotten, and it is asked anew.

        :param options: for the channel; `clientTLS` makes them.
        :raises TLSFailed: it is not offered, refused, or fails. :raises Unreachable:
        """
        if "STARTTLS" not in self.features:
            self._close()
            raise TLSFailed("TLS is not offered", status="4.7.4", host=self.host)
        answer = await self._command(b"STARTTLS")
        if answer.code != 220:
            self._close()
            raise TLSFailed(answer.said, status="4.7.4", host=self.host)
        try:
            await self.channel.startTLS(options, self._timeouts.tls)
        except Lost as error:
            self._close()
            raise TLSFailed(f"TLS failed: {error}", status="4.7.5", host=self.host) from error
        self.features = Features()
        try:
            await self._hello()
        except Unreachable as error:
            if isinstance(error.__cause__, Lost):  # with TLS 1.3 a server that rejects the handshake is heard of only now
                raise TLSFailed(f"TLS failed: {error}", status="4.7.5", host=self.host) from error
            raise

    async def logIn(self, user: str, password: str, *, mayUsePlaintext: bool, binding: tuple[str, bytes] | None = None) -> None:
        """By the safest mechanism that the server offers (RFC 4954).

        :param mayUsePlaintext: the connection is one on which the password may be shown to the server.
        :raises LoginFailed: :raises Unreachable:
        """
        try:
            mechanism = chooseMechanism(
                self.features.mechanisms, user, password, mayUsePlaintext=mayUsePlaintext, binding=binding
            )
            answer = await self._authenticate(mechanism)
        except (NotSupported, AuthenticationFailed) as error:
            self._close()
            raise LoginFailed(str(error), status="4.7.0", host=self.host) from error
        if answer.code != 235 or not mechanism.isDone:
            self._close()
            said = answer.said if answer.code != 235 else "the server claims success before it has proved what it must"
            raise LoginFailed(said, status="4.7.8", host=self.host)

    async def _authenticate(self, mechanism: ClientMechanism) -> Reply:
        initial = mechanism.start()
        isSaid = initial is not None
        answer = await self._command(bytes(grammar.Auth(mechanism.name, initial)))
        while answer.code == 334:
            try:
                challenge = decodeBase64(answer.text.encode())
                response = mechanism.respond(challenge) if isSaid or initial is None else initial
            except (ValueError, AuthenticationFailed) as error:
                await self._command(b"*")
                raise AuthenticationFailed(str(error)) from error
            answer = await self._command(encode(response))
        return answer

    async def reset(self) -> None:
        """Forget a transaction that was begun (RFC 5321 §4.1.1.5); also a way to learn whether the server is still there.

        :raises Unreachable:
        """
        answer = await self._command(b"RSET")
        if answer.code // 100 != 2:
            self.giveUp(answer)
        self._isMidway = False

    async def quit(self) -> None:
        """Say goodbye, and close. Raises nothing: nobody waits for the answer."""
        if self.isOpen:
            self.channel.write(b"QUIT\r\n")
            try:
                await self.channel.reply(self._timeouts.quit)
            except Lost:
                pass
        self._close()

    def _close(self) -> None:
        self.isOpen = False
        self.channel.close()

    async def _reply(self, seconds: float) -> Reply:
        """:raises Unreachable: the connection is lost."""
        try:
            return await self.channel.reply(seconds)
        except Lost as error:
            self._close()
            raise Unreachable(str(error), status="4.4.2", host=self.host) from error

    async def _command(self, line: bytes) -> Reply:
        if self.isOpen:
            self._mustBeInStep()
            self.channel.write(line + b"\r\n")
        answer = await self._reply(self._timeouts.command)
        if answer.code == 421:
            self.giveUp(answer)
        return answer

    def _mustBeInStep(self) -> None:
        """A reply too many would be taken for that to the next command, the next one for that to the message.

        :raises Unreachable: there is one; a server that was about to end the connection says so in this way, too.
        """
        if self.channel.isAhead:
            self._close()
            raise Unreachable(UNASKED, status="4.5.0", host=self.host)

    def giveUp(self, answer: Reply) -> NoReturn:
        """The server will not have us. :raises Unreachable:"""
        self._close()
        isTemporary = answer.code // 100 != 5
        raise Unreachable(answer.said, isTemporary=isTemporary, status=_status(answer), host=self.host)

    # --- A message ---------------------------------------------------------------------------------------------------

    def fitting(self, recipients: Sequence[Recipient]) -> int:
        """How many of these, from the first on, go into one transaction (RFC 9422); at least one, unless the connection has had
        mail for as many domains as it may, which are counted for all of it."""
        most = min(len(recipients), self.features.limit("RCPTMAX") or RECIPIENTS)
        mostDomains = self.features.limit("RCPTDOMAINMAX")
        domains = set(self._domains)
        for number, recipient in enumerate(recipients[:most]):
            domains.add(recipient.address.domain)
            if mostDomains and len(domains) > mostDomains:
                return number
        return most

    @property
    def promisesTLS(self) -> bool:
        """Whether the server, which is spoken to under TLS, sees to it that the message stays under it (RFC 8689 §2)."""
        return self.channel.isTLS and "REQUIRETLS" in self.features

    @property
    def mayGoOn(self) -> bool:
        """Whether the server takes another transaction on this connection (RFC 9422 MAILMAX)."""
        return self.isOpen and not 0 < self.features.limit("MAILMAX") <= self.transactions

    async def send(self, envelope: Envelope, recipients: Sequence[Recipient], message: MessageSource) -> list[Outcome]:
        """One transaction; outcomes in the order of the recipients. Of whom nothing was said before the connection ended, and the
        server cannot have had all of the message, the refusal is an Unreachable.

        :raises Unreachable: the connection ended before the server said anything about it: nobody has the message.
        """
        unfit = self._unfit(envelope, message)
        unfits = [unfit or self._unfitAddress(recipient.address, envelope, "5.1.3") for recipient in recipients]
        fit = [recipient for recipient, outcome in zip(recipients, unfits, strict=True) if outcome is None]
        outcomes = iter(await self._transact(envelope, fit, message) if fit else ())
        return [outcome or next(outcomes) for outcome in unfits]

    async def _transact(self, envelope: Envelope, recipients: Sequence[Recipient], message: MessageSource) -> list[Outcome]:
        if self._isMidway:
            await self.reset()
        self.transactions += 1
        self._domains.update(recipient.address.domain for recipient in recipients)
        return await _Transaction(self, envelope, recipients, message).run()

    def _unfitAddress(self, address: Address, envelope: Envelope, status: str) -> Outcome | None:
        """Why an address cannot be said to this server. What no grammar of ours lets in may come from elsewhere; it never becomes
        a second command."""
        if grammar.parseMailbox(str(address)) is None and str(address).lower() != "postmaster":
            return self._failed(status, Refusal("this address cannot be sent to another system"))
        if not address.isASCII and not envelope.isSMTPUTF8:
            return self._failed("5.6.7", NotSupported("a UTF-8 address in a message that was not sent with SMTPUTF8"))
        return None

    def _unfit(self, envelope: Envelope, message: MessageSource) -> Outcome | None:
        """Why this server cannot be given this message at all."""
        if envelope.sender is not None and (unfit := self._unfitAddress(envelope.sender, envelope, "5.1.7")):
            return unfit
        if envelope.isSMTPUTF8 and "SMTPUTF8" not in self.features:
            return self._failed("5.6.7", NotSupported(f"{self.host} does not take internationalized mail"))
        if envelope.is8Bit and "8BITMIME" not in self.features:
            return self._failed("5.6.3", NotSupported(f"{self.host} does not take 8-bit mail"))
        if mustHaveTLS(envelope) and not self.promisesTLS:
            return self._failed("5.7.30", NotSupported(f"{self.host} does not promise TLS on the rest of the way"))
        if envelope.deliverBy and envelope.deliverBy.isReturned:
            seconds = ceil(envelope.deliverBy.time - self._now())
            if seconds <= 0:
                return self._failed("5.4.7", Refusal("the time in which it was to be delivered is over"))
            if seconds < self.features.minimumBy or ("DELIVERBY" not in self.features and not self._isLMTP):
                return self._failed("5.3.3", NotSupported(f"{self.host} does not return what cannot be delivered in time"))
        if 0 < self.features.size < message.size:
            return self._failed("5.3.4", MessageTooLarge(f"{self.host} takes no message over {self.features.size} octets"))
        return None

    def _failed(self, status: str, refusal: Refusal) -> Outcome:
        return Outcome(Fate.FAILED, refusal, refusal.text, status, self.host)

    def outcome(self, answer: Reply) -> Outcome:
        """What a reply means for the recipient that it is about."""
        if answer.code == 421:
            self._close()
        said = answer.said
        if answer.code // 100 == 2:
            return Outcome(Fate.DELIVERED, None, said, _status(answer), self.host, isReported="DSN" in self.features)
        words = f"{self.host} said: {said}"
        if answer.code // 100 == 5:
            return Outcome(Fate.FAILED, Refusal(words), said, _status(answer), self.host)
        if answer.code // 100 == 3:  # nothing was asked that could be answered so: whatever comes next means something else
            self._close()
            return self.lost(f"an answer out of place: {said}")
        return Outcome(Fate.DEFERRED, TemporaryRefusal(words), said, _status(answer), self.host)

    def lost(self, why: str) -> Outcome:
        """What the end of the connection means for a recipient that nothing was said about."""
        return Outcome(Fate.DEFERRED, TemporaryRefusal(f"{self.host}: {why}"), why, "4.4.2", self.host)


def mustHaveTLS(envelope: Envelope) -> bool:
    """Whether nobody may get it who does not promise that. What tells a sender of such a message asks for it, but is not kept
    from the sender where it cannot be had (RFC 8689 §4.2.1, §5)."""
    return envelope.requiresTLS and envelope.sender is not None


class _Transaction:
    """MAIL, RCPT, and the message (RFC 5321 §3.3, RFC 2920, RFC 3030)."""

    def __init__(
        self, session: ClientSession, envelope: Envelope, recipients: Sequence[Recipient], message: MessageSource
    ) -> None:
        self._session = session
        self._channel = session.channel
        self._features = session.features
        self._timeouts = session._timeouts
        self._recipients = recipients
        self._message = message
        self._outcomes: list[Outcome | None] = [None] * len(recipients)
        self._isChunked = "CHUNKING" in self._features
        self._commands = [self._mail(envelope), *map(self._rcpt, recipients)]
        if not self._isChunked:
            self._commands.append(b"DATA\r\n")
        self._window = WINDOW if "PIPELINING" in self._features else 1
        self._sent = 0
        self._answered = 0
        self._isEarly = False
        self._isGiven = False  # all of the message was sent, or may have been

    async def run(self) -> list[Outcome]:
        """:raises Unreachable: nothing was said about it."""
        try:
            if await self._begin():
                await self._sendMessage()
        except Lost as error:
            self._session._close()
            if not self._answered:
                raise Unreachable(str(error), status="4.4.2", host=self._session.host) from error
            if isinstance(error, OutOfStep):
                self._outcomes = [None] * len(self._outcomes)
            outcome = self._session.lost(str(error))
            if not self._isGiven:
                outcome = evolve(outcome, refusal=Unreachable(str(error), status="4.4.2", host=self._session.host))
            self._settleRest(outcome)
        return [outcome or self._session.lost("nothing was said of it") for outcome in self._outcomes]

    # --- The envelope

    def _mail(self, envelope: Envelope) -> bytes:
        parameters: list[tuple[str, str | None]] = []
        if "SIZE" in self._features:
            parameters.append(("SIZE", str(self._message.size)))
        if envelope.is8Bit:
            parameters.append(("BODY", "8BITMIME"))
        if envelope.isSMTPUTF8:
            parameters.append(("SMTPUTF8", None))
        if envelope.requiresTLS and self._session.promisesTLS:
            parameters.append(("REQUIRETLS", None))
        if "DSN" in self._features and envelope.returns.upper() in ("FULL", "HDRS"):
            parameters.append(("RET", envelope.returns.upper()))
        if "DSN" in self._features and envelope.envelopeId:
            parameters.append(("ENVID", xtext(envelope.envelopeId)))
        if "MT-PRIORITY" in self._features:  # 0 too, or the server may have a policy of its own (RFC 6710 §4.2)
            parameters.append(("MT-PRIORITY", str(envelope.priority)))
        if "DELIVERBY" in self._features and envelope.deliverBy is not None:
            by = envelope.deliverBy
            mode = ("R" if by.isReturned else "N") + ("T" if by.isTraced else "")
            parameters.append(("BY", f"{ceil(by.time - self._session._now())};{mode}"))
        return bytes(grammar.Mail(envelope.sender, tuple(parameters))) + b"\r\n"

    def _rcpt(self, recipient: Recipient) -> bytes:
        parameters: list[tuple[str, str | None]] = []
        if "DSN" in self._features:
            if recipient.notify:
                parameters.append(("NOTIFY", ",".join(sorted(recipient.notify)).upper()))
            original = recipient.original or originalOf(recipient.address)
            if _VALUE.fullmatch(original):
                parameters.append(("ORCPT", original))
        return bytes(grammar.Rcpt(recipient.address, tuple(parameters))) + b"\r\n"

    async def _begin(self) -> bool:
        """The envelope; whether the server now waits for the message."""
        answer = await self._answer(self._timeouts.command)
        if answer.code == 421:
            self._session.giveUp(answer)
        outcome = self._session.outcome(answer)
        if outcome.fate is not Fate.DELIVERED:
            self._settleRest(outcome)
            await self._readAhead()
            return False
        self._session._isMidway = True
        for number in range(len(self._recipients)):
            outcome = self._recipientOutcome(await self._answer(self._timeouts.command))
            if outcome.fate is not Fate.DELIVERED:
                self._outcomes[number] = outcome
        if None not in self._outcomes:
            await self._readAhead()
            return False
        if self._isChunked:
            return True
        answer = await self._answer(self._timeouts.dataInitiation)
        if answer.code == 354:
            return True
        if answer.code // 100 == 2:
            raise OutOfStep(f"an answer out of place: {answer.said}")
        self._settleRest(self._session.outcome(answer))
        return False

    def _recipientOutcome(self, answer: Reply) -> Outcome:
        """552 for one more recipient means what 452 means (RFC 5321 §4.5.3.1.10)."""
        if answer.code == 552 and answer.enhanced[1:] in ("", ".5.3"):
            answer = evolve(answer, code=452, enhanced="4.5.3")
        elif answer.code == 452 and not answer.enhanced:
            answer = evolve(answer, enhanced="4.5.3")
        return self._session.outcome(answer)

    async def _readAhead(self) -> None:
        """Take the answers to commands that were sent before it was known that there is nothing to send.

        A server that waits for a message then gets an empty one, for nobody (RFC 2920 §3.1).
        """
        isAsked = False
        while self._answered < self._sent and self._session.isOpen:
            isAsked = (await self._next(self._timeouts.command)).code == 354
        if isAsked:
            self._channel.write(b".\r\n")
            await self._channel.reply(self._timeouts.dataTermination)

    async def _answer(self, seconds: float) -> Reply:
        """The reply to the next command, which is sent when it was not yet, with those that may follow it."""
        if not self._session.isOpen:
            raise Lost("the server has closed")
        if self._answered == self._sent:
            if self._channel.isAhead:
                raise OutOfStep(UNASKED)
            ahead = self._commands[self._sent : self._sent + self._window]
            self._sent += len(ahead)
            self._channel.write(b"".join(ahead))
        return await self._next(seconds)

    async def _next(self, seconds: float) -> Reply:
        answer = await self._channel.reply(seconds)
        self._answered += 1
        return answer

    # --- The message

    async def _sendMessage(self) -> None:
        taken = [number for number, outcome in enumerate(self._outcomes) if outcome is None]
        try:
            await self._stream()
        except (OSError, EOFError) as error:  # our own file: what was sent of it is not a message
            self._session._close()
            raise Lost(f"the message cannot be read: {error}") from error
        except Lost:
            pass  # the server may have said why before it went
        answer = await self._channel.reply(self._timeouts.dataTermination)
        self._session._isMidway = False
        if self._isEarly:
            self._session._close()
            if answer.isPositive:
                raise OutOfStep(UNASKED)
        for number in taken:
            self._outcomes[number] = self._session.outcome(answer)
            if self._session._isLMTP and number != taken[-1]:
                answer = await self._channel.reply(self._timeouts.dataTermination)

    async def _stream(self) -> None:
        pieces = self._chunk() if self._isChunked else self._encoded()
        await self._channel.stream(self._watched(pieces), self._timeouts.dataBlock)

    def _watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same without the last one where there is an answer before that: a promise for what was not sent yet is none, and
        so nobody has the message."""
        held = next(pieces)
        for piece in pieces:
            yield held
            held = piece
        self._isEarly = self._channel.isAhead
        self._isGiven = not self._isEarly
        if self._isGiven:
            yield held

    # A small message leaves in one piece: a second one would wait for the server's word that it has the first.

    def _chunk(self) -> Iterator[bytes]:
        head = b"BDAT %d LAST\r\n" % self._message.size
        for piece in self._message.chunks(PIECE):
            yield head + piece
            head = b""
        if head:
            yield head

    def _encoded(self) -> Iterator[bytes]:
        encoder = DataEncoder()
        held = b""
        for piece in self._message.chunks(PIECE):
            if len(held) >= PIECE:
                yield held
                held = b""
            held += encoder.feed(piece)
        yield held + encoder.finish()

    def _settleRest(self, outcome: Outcome) -> None:
        self._outcomes = [known or outcome for known in self._outcomes]


def _status(answer: Reply) -> str:
    """RFC 3463, its class that of the reply, which is what counts (RFC 2034 §4)."""
    return f"{answer.code // 100}{answer.enhanced[1:] or '.0.0'}"


_VALUE = re.compile(r"[^\x00-\x20=\x7f]+")  # esmtp-value, RFC 5321 §4.1.2
_XCHAR = re.compile(r"[^!-*,-<>-~]")


def xtext(text: str) -> str:
    """`xtext = *( xchar / hexchar )` (RFC 3461 §4)."""
    return _XCHAR.sub(lambda match: "".join(f"+{octet:02X}" for octet in match[0].encode()), text)


def originalOf(address: Address) -> str:
    """ORCPT for a recipient whose sender gave none (RFC 3461 §4.2); empty where it would need UTF-8."""
    return f"rfc822;{xtext(str(address))}" if address.isASCII else ""
