"""The route of the queue on which functions get their mail, and what their results become.

Whatever a result sends or delivers is a consequence of its outcome: it is queued in the transaction that takes the message out of
the queue. So it happens once, however often the function was called.

Loops: what a function sends on has `Delivered-To` with the function's address; a message that comes back with it fails. An
answer is never sent to what nobody should answer, and says itself that it is one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from email import policy
from email.message import EmailMessage
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.code.loading import exceptionLine
from mailfw.code.results import Content, Defer, Deliver, Discard, Nonsense, Reject, Reply, Result, Send, oneLine, resultsOf
from mailfw.code.routing import Match, Route, Span, Table
from mailfw.code.running import Failed, Runner, Stopped
from mailfw.errors import MessageRefused, NoSuchRecipient, Refusal, RelayDenied, TemporaryRefusal, Unavailable
from mailfw.interfaces import IDelivery, IQueuedRoute
from mailfw.message import edit
from mailfw.message.header import headerEnd, values
from mailfw.message.source import headerOf
from mailfw.message.view import Message
from mailfw.values import Address, Consequence, Envelope, Fate, MessageSource, Outcome, Recipient, Resolution, Target

TIMEOUT = 60.0
"""Seconds that a call has of which nothing else is said."""

FAILED = "4.3.0"
LOOP = "5.4.6"

_log = Logger("mailfw.code")
_LARGEST_HEADER = 1 << 20


@frozen
class Surroundings:
    """What functions' results need of the system around them.

    :ivar resolve: where an address of ours leads to people, without functions.
    :ivar sendingOn: the sender with which something is sent on.
    :ivar mailboxName: the canonical name of a mailbox; raises a Refusal where none can have it.
    :ivar encodeFlags: raises a Refusal where no message can have one of them.
    :ivar seconds: what a span means, `"10m"` or a number; raises ValueError.
    :ivar firstDomain: of accounts that are named without one.
    :ivar lane: what lanes of functions begin with.
    """

    hostname: str
    firstDomain: str
    now: Callable[[], float]
    resolve: Callable[[Address], Awaitable[Resolution]]
    sendingOn: Callable[[Address | None], Address | None]
    mailboxName: Callable[[str], str]
    encodeFlags: Callable[[Iterable[str]], object]
    seconds: Callable[[Span], float]
    lane: str = "local:"


class Functions:
    """The functions of one configuration, each with its route.

    :param runner: outlives this.
    """

    def __init__(self, table: Table, runner: Runner, surroundings: Surroundings) -> None:
        self.table = table
        self.runner = runner
        self.surroundings = surroundings
        self.calls: set[Deferred[Any]] = set()
        self._routes: dict[str, FunctionRoute] = {}

    def find(self, address: Address) -> FunctionRoute | None:
        """The route of the function that the address belongs to."""
        match = self.table.find(address)
        if match is None:
            return None
        name = match.route.name
        if name not in self._routes:
            self._routes[name] = FunctionRoute(name, self)
        return self._routes[name]

    def most(self, lane: str) -> int:
        """How many calls there may be at a time of the function that a lane is of; 0: it is none's."""
        name = lane.removeprefix(self.surroundings.lane)
        return max((route.concurrency or 0 for route in self.table.routes if route.name == name and lane != name), default=0)

    async def close(self) -> None:
        """Cut off what is under way."""
        for call in list(self.calls):
            call.cancel()

    def tell(self, route: Route, message: Message, line: str) -> None:
        """Log that a function raised, being in its `except`: with the traceback once for a message, however often that is
        tried."""
        if not self.runner.isNews(message, line):
            self.note(route, message, line)
            return
        text = "function {function} failed with mail to {recipient}: {line}"
        _log.failure(text, function=route.name, recipient=message.recipient, line=line)

    def note(self, route: Route, message: Message, line: str) -> None:
        """Log what is wrong with a function, in a line."""
        text = "function {function} failed with mail to {recipient}: {line}"
        _log.error(text, function=route.name, recipient=message.recipient, line=line)


@implementer(IQueuedRoute)
class FunctionRoute:
    """Mail to one function."""

    def __init__(self, name: str, functions: Functions) -> None:
        self._name = name
        self._functions = functions

    def destination(self, domain: str) -> str:
        """The function has a lane of its own."""
        return self._functions.surroundings.lane + self._name

    def begin(self, envelope: Envelope) -> IDelivery:
        """A message that is in no queue: each time another."""
        return self.beginQueued(envelope, secrets.randbits(62), self._functions.surroundings.now())

    def beginQueued(self, envelope: Envelope, id: int, arrived: float) -> IDelivery:
        """A delivery to functions."""
        return _ToFunctions(envelope, id, arrived, self._functions)


@implementer(IDelivery)
class _ToFunctions:
    def __init__(self, envelope: Envelope, id: int, arrived: float, functions: Functions) -> None:
        self._envelope = envelope
        self._id = id
        self._arrived = arrived
        self._functions = functions
        self._recipients: list[tuple[Recipient, Match]] = []

    async def recipient(self, recipient: Recipient) -> None:
        """:raises Unavailable: the address is no function's any more; it goes another way when it is tried next."""
        match = self._functions.table.find(recipient.address)
        if match is None:
            raise Unavailable
        self._recipients.append((recipient, match))

    def abort(self) -> None:
        """Nothing was begun."""

    async def commit(self, message: MessageSource) -> list[Outcome]:
        return [await self._outcome(recipient, match, message) for recipient, match in self._recipients]

    async def _outcome(self, recipient: Recipient, match: Match, source: MessageSource) -> Outcome:
        """What becomes of the message for one recipient. Never raises."""
        route, message = match.route, self._message(recipient, match, source)
        if str(recipient.address).lower() in (each.strip().lower() for each in message.all("Delivered-To")):
            text = f"the message was sent by {recipient.address} itself: it goes round in a circle"
            return Outcome(Fate.FAILED, MessageRefused(text), text, LOOP)
        functions = self._functions
        try:
            seconds = functions.surroundings.seconds(TIMEOUT if route.timeout is None else route.timeout)
            returned = await functions.runner.call(match, message, seconds, functions.calls)
            outcome = await Meaning(message, self._envelope, recipient, functions.surroundings).of(resultsOf(returned))
        except Stopped:
            return Outcome(Fate.DEFERRED, Unavailable())
        except (Failed, Nonsense) as error:
            functions.note(route, message, str(error))
            return _failed(route, str(error))
        except (Exception, SystemExit) as error:
            line = exceptionLine(error, route.function.__code__.co_filename)
            functions.tell(route, message, line)
            return _failed(route, line)
        return evolve(outcome, detail=f"{route.name}: {outcome.detail or outcome.remark}")

    def _message(self, recipient: Recipient, match: Match, source: MessageSource) -> Message:
        envelope = self._envelope
        named = f"{self._id} {self._arrived!r} {recipient.address}".encode()
        return Message(
            source,
            str(envelope.sender or ""),
            (str(recipient.address),),
            id=hashlib.blake2b(named, digest_size=16).hexdigest(),
            tag=match.tag,
            account=envelope.identity.account if envelope.identity is not None else "",
            arrived=self._arrived,
        )


def _failed(route: Route, line: str) -> Outcome:
    """The sender, whom a delay is told of, learns nothing of what is in our programs."""
    error = Unavailable()
    return Outcome(Fate.DEFERRED, error, error.text, FAILED, detail=f"{route.name}: {line}")


class Meaning:
    """What results become: an outcome with its consequences.

    :param envelope: of the message, without its recipients.
    """

    def __init__(self, message: Message, envelope: Envelope, recipient: Recipient, surroundings: Surroundings) -> None:
        self._message = message
        self._envelope = envelope
        self._recipient = recipient
        self._around = surroundings
        self._made: dict[int, MessageSource] = {}  # what was made of each message that is sent, by its identity

    async def of(self, results: Sequence[Result]) -> Outcome:
        """:raises Nonsense: they mean nothing here. :raises Unavailable: it cannot be told now."""
        ways: dict[MessageSource, list[tuple[Envelope, Target | None]]] = {}
        told = []
        for result in results:
            if isinstance(result, Reject):
                return Outcome(Fate.FAILED, MessageRefused(result.words), result.words, result.status)
            if isinstance(result, Defer):
                return self._deferred(result)
            if isinstance(result, Discard):
                told.append(f"discarded{f' ({oneLine(result.reason)})' if result.reason else ''}")
                continue
            if isinstance(result, Deliver):
                source, found, said = await self._delivered(result)
            elif isinstance(result, Send):
                source, found, said = self._sent(result)
            else:
                source, found, said = self._replied(result)
            told.append(said)
            if found:
                ways.setdefault(source, []).extend(found)
        consequences = tuple(Consequence(source, tuple(found)) for source, found in ways.items())
        detail = ", ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else "") or "done"
        return Outcome(Fate.DELIVERED, remark="delivered", status="2.0.0", detail=detail, consequences=consequences)

    def _deferred(self, result: Defer) -> Outcome:
        try:
            after = 0.0 if result.after is None else max(1.0, self._around.seconds(result.after))
        except ValueError as error:
            raise Nonsense(f"it returns Defer(after={result.after!r}): {error}") from None
        said, why = Unavailable(), oneLine(result.text) or "deferred by the function"
        return Outcome(Fate.DEFERRED, said, said.text, FAILED, detail=why, after=after)

    async def _delivered(self, result: Deliver) -> tuple[MessageSource, list[tuple[Envelope, Target | None]], str]:
        address = self._account(result.account) if result.account else self._recipient.address
        try:
            mailbox = self._around.mailboxName(result.mailbox)
            self._around.encodeFlags(result.flags)  # or the store would refuse the message for good
            found = await self._around.resolve(address)
        except TemporaryRefusal:
            raise
        except Refusal as error:
            where = f'"{result.mailbox}" of {address}' if not isinstance(error, NoSuchRecipient | RelayDenied) else str(address)
            raise Nonsense(f"it delivers to {where}: {error}") from None
        source = self._message.source if result.message is None else self._content(result.message)
        base = self._based(source, self._envelope.sender)
        told = self._recipient.withoutSuccess
        ways: list[tuple[Envelope, Target | None]] = [
            (
                evolve(base, recipients=(evolve(told, address=address),)),
                evolve(target, mailbox=mailbox, flags=result.flags, detail=target.detail or self._message.tag),
            )
            for target in found.targets
        ]
        sender = self._around.sendingOn(self._envelope.sender)
        ways += [(evolve(base, sender=sender, recipients=(Recipient(to, told.notify),)), None) for to in found.forwards]
        return source, ways, f"to {address}{'' if mailbox == 'INBOX' else f' in {mailbox}'}"

    def _account(self, name: str) -> Address:
        try:
            return Address.parse(name if "@" in name else f"{name}@{self._around.firstDomain}")
        except ValueError as error:
            raise Nonsense(f"it delivers to nobody: {error}") from None

    def _sent(self, result: Send) -> tuple[MessageSource, list[tuple[Envelope, Target | None]], str]:
        own = self._envelope.sender
        sender = (
            self._around.sendingOn(own) if result.sender is None else self._parsed([result.sender])[0] if result.sender else None
        )
        recipients = tuple(
            Recipient(address, frozenset() if sender else frozenset(("never",))) for address in self._parsed(result.to)
        )
        if not recipients:
            raise Nonsense("it sends a message to nobody")
        source = self._content(result.message)
        marked = b"Delivered-To: %b\r\n" % str(self._recipient.address).encode()
        if not source.prefix.startswith(marked):
            source = self._made[id(result.message)] = source.withPrefix(marked)
        shown = f"{len(recipients)} addresses" if len(recipients) > 1 else str(recipients[0].address)
        return source, [(evolve(self._based(source, sender), recipients=recipients), None)], f"sent to {shown}"

    def _replied(self, result: Reply) -> tuple[MessageSource, list[tuple[Envelope, Target | None]], str]:
        if self._message.isAutomatic or self._envelope.sender is None:
            return self._message.source, [], "not answered, for no person wrote it"
        written = result.message
        if not isinstance(written, str | EmailMessage):
            raise Nonsense(f"it replies with {type(written).__name__}: a text or an EmailMessage is wanted")
        answer = self._message.reply(written) if isinstance(written, str) else written
        if "Auto-Submitted" not in answer:
            answer["Auto-Submitted"] = "auto-replied"
        sender = self._parsed([result.sender])[0] if result.sender else None
        source = self._content(answer)
        to = Recipient(self._envelope.sender, frozenset() if sender else frozenset(("never",)))
        return source, [(evolve(self._based(source, sender), recipients=(to,)), None)], f"answered {to.address}"

    def _parsed(self, texts: Iterable[str]) -> list[Address]:
        try:
            return [Address.parse(text) for text in texts]
        except (ValueError, AttributeError) as error:
            raise Nonsense(f"it sends to or from what is no address: {error}") from None

    def _based(self, source: MessageSource, sender: Address | None) -> Envelope:
        """An envelope without recipients, for that content."""
        if source is self._message.source:
            return evolve(self._envelope, sender=sender, recipients=(), deliverBy=None, releaseAt=0.0)
        header = headerOf(source)
        is8Bit = source.size > _LARGEST_HEADER or not source.read().isascii()
        return Envelope(sender, isSMTPUTF8=not header.isascii(), is8Bit=is8Bit)

    def _content(self, content: Content) -> MessageSource:
        """Octets with whole lines, a Date and a Message-ID; the same for the same message."""
        if isinstance(content, Message):
            return self._made.get(id(content), content.source)
        if id(content) not in self._made:
            self._made[id(content)] = MessageSource(self._finished(_octets(content)))
        return self._made[id(content)]

    def _finished(self, octets: bytes) -> bytes:
        end = headerEnd(octets)
        if values(octets[:end], b"received"):
            return octets  # it is not new
        messageId = f"{secrets.token_hex(12)}@{self._around.hostname}"
        return edit.submitted(octets[:end], self._around.now(), messageId) + octets[end:]


def _octets(content: EmailMessage | bytes) -> bytes:
    if isinstance(content, EmailMessage):
        head = "".join(str(value) for value in content.values())
        return content.as_bytes(policy=policy.SMTP if head.isascii() else policy.SMTPUTF8)
    if not isinstance(content, bytes | bytearray):
        raise Nonsense(f"it sends {type(content).__name__}: a message, an EmailMessage or octets are wanted")
    return bytes(content).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
