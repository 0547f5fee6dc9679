"""What a client says outside of a selected mailbox, and what belongs to whom of what a server answers.

Commands are pipelined: whoever does not wait for one may give the next. An answer without a tag belongs to the first command
under way that asked for its kind, and changes the view of the selected mailbox, whoever it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from mailfw.errors import AuthenticationFailed, NotSupported
from mailfw.imap.client.connection import Connection, Outgoing
from mailfw.imap.client.failure import GarbledAnswer, refusalOf
from mailfw.imap.client.view import View
from mailfw.imap.grammar import commands, requests
from mailfw.imap.grammar.answers import (
    Answer,
    Capabilities,
    Continuation,
    Enabled,
    Garbled,
    Identification,
    ListedMailbox,
    MailboxCounters,
    Namespaces,
    Status,
)
from mailfw.imap.grammar.listing import ListMailboxes, Returned, Selection, Wanted
from mailfw.imap.grammar.mailboxes import Create, Delete, Namespace, Rename, StatusItem, Subscribe
from mailfw.imap.grammar.mailboxes import Status as StatusCommand
from mailfw.imap.grammar.names import encode as encodeName
from mailfw.imap.grammar.requests import Manner
from mailfw.imap.grammar.response import Condition
from mailfw.sasl.client import chooseMechanism
from mailfw.sasl.steps import ClientMechanism
from mailfw.sasl.wire import decodeBase64, encode
from mailfw.values import MessageSource

T = TypeVar("T")

LITERAL_MINUS = 4096
"""Octets of a literal that need no agreement where only LITERAL- is announced (RFC 7888 §5)."""

_NOT_IN_LINES = re.compile(rb"[\r\n\0]")

Taker = Callable[[Answer], bool]
"""Whether an answer is for this command, which has it then."""


def nothing(answer: Answer) -> bool:
    """Of a command that asks for no answer but its reply."""
    return False


@define(eq=False)
class Pending:
    """A command under way.

    :ivar take: asks for answers.
    :ivar goOn: is given what stands behind a `+` that is not about a literal.
    :ivar isFull: the answers are not taken as fast as they come.
    :ivar isIdle: it waits for nothing in particular.
    """

    take: Taker
    goOn: Callable[[bytes], None] | None = None
    isFull: Callable[[], bool] = lambda: False
    isIdle: bool = False
    reply: Deferred[Status] = field(factory=Deferred)
    garbled: Garbled | None = None
    outgoing: Outgoing | None = None


@frozen
class Appended:
    """Where a message has been put (RFC 4315 §3 APPENDUID)."""

    uidValidity: int
    uid: int


class IMAPClient:
    """A session with a server.

    :param connection: on a transport that is connected, or is about to be.
    :ivar capabilities: what the server has said last; nothing that it said before TLS or login counts.
    :ivar enabled: what `enable` has enabled.
    :ivar view: of the selected mailbox; None: there is none.
    :ivar listeners: each is called with every answer that no command had asked for, as the view has completed it.
    :ivar isAuthenticated: from login on, or from the greeting on.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.capabilities: frozenset[str] = frozenset()
        self.enabled: frozenset[str] = frozenset()
        self.view: View | None = None
        self.listeners: list[Callable[[Answer], None]] = []
        self.isAuthenticated = False
        self._opening: View | None = None
        self._pending: dict[bytes, Pending] = {}
        self._count = 0
        self._bye = ""
        self._greeting: Deferred[Status] = self._expect(b"*", Pending(nothing))
        connection.take = self._take
        connection.ended = self._ended
        connection.isExpecting = lambda: any(not pending.isIdle for pending in self._pending.values())

    # --- Commands of any kind ----------------------------------------------------------------------------------------

    async def perform(self, command: object, take: Taker = nothing) -> Status:
        """Send a command and wait for its reply.

        :param command: a value of `mailfw.imap.grammar`, or pieces as `requests` makes them.
        :param take: is asked about each answer that comes meanwhile, and returns whether that is for this command.
        :raises Refusal: the server's reply is NO or BAD, as the class that its code means.
        :raises ValueError: something in it cannot be said.
        :raises GarbledAnswer: some of what it said is not in the grammar.
        """
        return await self.begin(command, Pending(take))

    async def gather(self, command: object, kind: type[T]) -> list[T]:
        """Send a command; the answers of that kind that come before its reply."""
        found: list[T] = []

        def take(answer: Answer) -> bool:
            if isinstance(answer, kind):
                found.append(answer)
                return True
            return False

        await self.perform(command, take)
        return found

    async def begin(self, command: object, pending: Pending) -> Status:
        """`perform` for whoever wants to know more. :raises ValueError: the command cannot be said; nothing of it was."""
        pieces = tuple(command if isinstance(command, Iterator) else requests.command(command, self.manner))
        if any(isinstance(piece, bytes) and _NOT_IN_LINES.search(piece) for piece in pieces):
            raise ValueError("a command is one line")
        if self.connection.lost is not None:
            raise self.connection.lost
        if any(other.isIdle for other in self._pending.values()):
            raise RuntimeError("IDLE must be ended first")
        self._count += 1
        tag = b"%d" % self._count
        reply = self._expect(tag, pending)
        pending.outgoing = self.connection.send(tag, iter(pieces))
        self.flow()
        status = await reply
        if pending.garbled is not None:
            raise GarbledAnswer(f"{pending.garbled.why}: {pending.garbled.octets[:200]!r}")
        if status.condition is not Condition.OK:
            raise refusalOf(status)
        return status

    @property
    def nextTag(self) -> bytes:
        """Of the command that is begun next."""
        return b"%d" % (self._count + 1)

    @property
    def manner(self) -> Manner:
        """How names are written."""
        return Manner(isUTF8=not self.enabled.isdisjoint(("UTF8=ACCEPT", "IMAP4REV2")))

    def has(self, *capabilities: str) -> bool:
        """Whether the server has announced one of these."""
        return not self.capabilities.isdisjoint(capabilities)

    def _expect(self, tag: bytes, pending: Pending) -> Deferred[Status]:
        self._pending[tag] = pending
        return pending.reply

    def flow(self) -> None:
        """Read nothing while the only command under way has more than is taken from it."""
        full = len(self._pending) == 1 and next(iter(self._pending.values())).isFull()
        self.connection.pause(full)

    # --- What comes --------------------------------------------------------------------------------------------------

    def _take(self, answer: Answer) -> None:
        if isinstance(answer, Continuation):
            self._continue(answer)
        elif isinstance(answer, Status) and (answer.tag != b"*" or b"*" in self._pending):
            self._replied(answer)
        elif isinstance(answer, Garbled):
            for pending in self._pending.values():
                pending.garbled = answer
        else:
            self._told(answer)

    def _continue(self, answer: Continuation) -> None:
        if self.connection.goOn():
            return
        for pending in self._pending.values():
            if pending.goOn is not None:
                pending.goOn(answer.octets)
                return

    def _replied(self, status: Status) -> None:
        pending = self._pending.pop(status.tag, None)
        if pending is None:
            self.connection.end(ConnectionError("the server answers what was not asked"))
            return
        if pending.outgoing is not None:
            self.connection.abort(pending.outgoing)
        self._learn(status)
        if self.view is not None:
            self.view.apply(status)
        self.connection.watch()
        pending.reply.callback(status)
        self.flow()

    def _told(self, answer: Answer) -> None:
        if isinstance(answer, Status):
            self._learn(answer)
        elif isinstance(answer, Capabilities):
            self._announced(answer.words)
        elif isinstance(answer, Enabled):
            self.enabled |= answer.words
            self.connection.isUTF8 = self.manner.isUTF8
        if self.view is not None:
            answer = self.view.apply(answer)
        for pending in list(self._pending.values()):
            if pending.take(answer):
                return
        for listener in list(self.listeners):
            listener(answer)

    def _learn(self, status: Status) -> None:
        if status.code.name == b"CAPABILITY":
            self._announced(frozenset(word.upper() for word in status.code.words))
        elif status.code.name == b"CLOSED" and self._opening is not None:
            self.view, self._opening = self._opening, None
        if status.condition is Condition.BYE:
            self._bye = status.text

    def _announced(self, words: frozenset[str]) -> None:
        self.capabilities = words
        isFree = "LITERAL+" in words
        self.connection.literalLimit = -1 if isFree else LITERAL_MINUS if words & {"LITERAL-", "IMAP4REV2"} else 0

    def _ended(self, error: Exception) -> None:
        pending, self._pending = self._pending, {}
        if self._bye:
            error = ConnectionError(f"the server has ended the session: {self._bye}")
        for one in pending.values():
            one.reply.errback(error)

    # --- Any state ---------------------------------------------------------------------------------------------------

    async def greeted(self) -> None:
        """Wait for the greeting. :raises ConnectionError: the server does not want to talk to us."""
        status = await self._greeting
        if status.condition is not Condition.OK:
            raise self.connection.end(ConnectionError(f"the server turns us away: {status.text}"))
        self.isAuthenticated = status.isPreAuth

    def forget(self) -> None:
        """TLS begins: what was said so far could have been said by anybody."""
        self._announced(frozenset())

    async def capability(self) -> frozenset[str]:
        """Ask for `capabilities`."""
        await self.perform(commands.Capability())
        return self.capabilities

    async def identify(self, *fields: tuple[str, str | None]) -> dict[str, str | None]:
        """ID: say who we are; → what the server says of itself (RFC 2971)."""
        pairs = tuple((name.encode(), None if value is None else value.encode()) for name, value in fields)
        found = await self.gather(commands.Id(pairs), Identification)
        said = found[0].fields if found else ()
        return {_readable(name): None if value is None else _readable(value) for name, value in said}

    async def noop(self) -> None:
        """Let the server say what is new."""
        await self.perform(commands.Noop())

    async def logOut(self) -> None:
        """Leave, and close the connection."""
        try:
            await self.perform(commands.Logout())
        except ConnectionError:
            pass  # it was in more of a hurry
        await self.connection.close(ConnectionError("the session has ended"))

    # --- Logging in --------------------------------------------------------------------------------------------------

    async def logIn(self, user: str, password: str, mayUsePlaintext: bool | None = None) -> None:
        """By the safest way that the server offers.

        :param mayUsePlaintext: the connection is one on which the password may be shown to the server; None: under TLS.
        :raises AuthenticationFailed: :raises NotSupported: there is no way.
        """
        isOpen = self.connection.isTLS if mayUsePlaintext is None else mayUsePlaintext
        offered = [word.removeprefix("AUTH=") for word in await self._offered() if word.startswith("AUTH=")]
        binding = self.connection.binding
        try:
            mechanism = chooseMechanism(offered, user, password, mayUsePlaintext=isOpen, binding=binding)
        except NotSupported:
            if not isOpen or self.has("LOGINDISABLED"):
                raise
            await self.login(user, password)
        else:
            await self.authenticate(mechanism)

    async def _offered(self) -> frozenset[str]:
        return self.capabilities or await self.capability()

    async def login(self, user: str, password: str) -> None:
        """LOGIN, which shows the password. :raises AuthenticationFailed:"""
        await self._enter(commands.Login(user.encode(), password.encode()), Pending(nothing))

    async def authenticate(self, mechanism: ClientMechanism) -> None:
        """AUTHENTICATE (RFC 3501 §6.2.2, RFC 4959). :raises AuthenticationFailed: by either side."""
        initial = mechanism.start()
        isAtOnce = initial is not None and "SASL-IR" in await self._offered()
        exchange = _Exchange(self.connection, mechanism, None if isAtOnce else initial or b"", initial is None or isAtOnce)
        command = commands.Authenticate(mechanism.name, encode(initial or b"") if isAtOnce else None)
        try:
            await self._enter(command, Pending(nothing, goOn=exchange.respond))
        except Exception:
            if exchange.failure is not None:
                raise exchange.failure from None
            raise
        if not mechanism.isDone:
            raise self.connection.end(ConnectionError("the server claims success before it has proved what it must"))

    async def _enter(self, command: object, pending: Pending) -> None:
        """What was announced before counts no more, unless it is said again with the reply."""
        before, self.capabilities = self.capabilities, frozenset()
        try:
            await self.begin(command, pending)
        except Exception:
            self.capabilities = self.capabilities or before
            raise
        self.isAuthenticated = True
        if not self.capabilities:
            await self.capability()

    async def enable(self, *capabilities: str) -> frozenset[str]:
        """ENABLE (RFC 5161); → all that is enabled now."""
        await self.perform(commands.Enable(tuple(word.upper().encode("ascii") for word in capabilities)))
        return self.enabled

    async def compress(self) -> None:
        """COMPRESS=DEFLATE (RFC 4978)."""
        await self.perform(iter((b"COMPRESS DEFLATE",)))
        self.connection.compress()

    # --- Mailboxes ---------------------------------------------------------------------------------------------------

    async def namespaces(self) -> Namespaces:
        """NAMESPACE (RFC 2342)"""
        found = await self.gather(Namespace(), Namespaces)
        return found[0] if found else Namespaces()

    async def listMailboxes(
        self,
        *patterns: str,
        reference: str = "",
        selection: Iterable[Selection] = (),
        returns: Iterable[Returned] = (),
        status: Sequence[StatusItem] = (),
    ) -> tuple[list[ListedMailbox], dict[str, MailboxCounters]]:
        """LIST (RFC 3501 §6.3.8, RFC 5258, RFC 5819).

        :param patterns: names in which `%` and `*` stand for others; none: all mailboxes.
        :param status: counters wanted of each, where the server has LIST-STATUS.
        :returns: mailboxes, and their counters by name.
        """
        isUTF8 = self.manner.isUTF8
        wanted = Wanted(frozenset(returns), tuple(status))
        encoded = tuple(encodeName(pattern, isUTF8) for pattern in patterns or ("*",))
        command = ListMailboxes(encodeName(reference, isUTF8), encoded, selection=frozenset(selection), wanted=wanted)
        listed: list[ListedMailbox] = []
        counters: dict[str, MailboxCounters] = {}

        def take(answer: Answer) -> bool:
            if isinstance(answer, ListedMailbox) and not answer.isSubscription:
                listed.append(answer)
            elif isinstance(answer, MailboxCounters) and status:
                counters[answer.mailbox] = answer
            else:
                return False
            return True

        await self.perform(command, take)
        return listed, counters

    async def status(self, mailbox: str, *items: StatusItem) -> MailboxCounters:
        """STATUS. :raises NoSuchMailbox:"""
        found = await self.gather(StatusCommand(mailbox, items), MailboxCounters)
        return found[0] if found else MailboxCounters(mailbox)

    async def create(self, mailbox: str, *uses: str) -> None:
        r"""CREATE. :param uses: `\Sent` … (RFC 6154 §3). :raises MailboxExists:"""
        await self.perform(Create(mailbox, frozenset(uses)))

    async def delete(self, mailbox: str) -> None:
        """DELETE. :raises NoSuchMailbox: :raises HasChildren:"""
        await self.perform(Delete(mailbox))

    async def rename(self, mailbox: str, newName: str) -> None:
        """RENAME. :raises NoSuchMailbox: :raises MailboxExists:"""
        await self.perform(Rename(mailbox, newName))

    async def subscribe(self, mailbox: str, isSubscribed: bool = True) -> None:
        """SUBSCRIBE or UNSUBSCRIBE."""
        await self.perform(Subscribe(mailbox, isSubscribed))

    async def append(
        self, mailbox: str, message: MessageSource | bytes, flags: Iterable[str] = (), date: float | None = None
    ) -> Appended | None:
        """APPEND; the message is read as the server takes it.

        :param date: the internal date, seconds since the epoch, UTC; None: now.
        :returns: None where the server does not say.
        :raises NoSuchMailbox: :raises OverQuota: :raises MessageTooLarge:
        """
        source = MessageSource(message) if isinstance(message, bytes) else message
        status = await self.perform(requests.append(mailbox, source, flags, date, self.manner))
        numbers = status.code.words if status.code.name == b"APPENDUID" else ()
        if len(numbers) != 2 or not all(word.isdecimal() and len(word) <= 10 for word in numbers):
            return None
        return Appended(int(numbers[0]), int(numbers[1]))

    @contextmanager
    def opening(self, view: View) -> Iterator[None]:
        """While SELECT is under way: what is said is of the old mailbox up to CLOSED, where the server says that (RFC 7162
        §3.2.11), else of the new one."""
        if self.view is not None and self.has("QRESYNC", "IMAP4REV2"):
            self._opening = view
        else:
            self.view = view
        try:
            yield
        except BaseException:  # none is selected then, not even the one before
            self.view = None
            raise
        finally:
            self._opening = None
        self.view = view


def _readable(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


@define(eq=False)
class _Exchange:
    """The challenges of AUTHENTICATE. :ivar initial: waits for the first, empty, challenge."""

    connection: Connection
    mechanism: ClientMechanism
    initial: bytes | None
    isSaid: bool
    failure: AuthenticationFailed | None = None

    def respond(self, challenge: bytes) -> None:
        try:
            answer = self._answer(challenge)
        except (AuthenticationFailed, ValueError) as error:
            failed = error if isinstance(error, AuthenticationFailed) else AuthenticationFailed("the challenge is not base64")
            self.failure = failed
            self.connection.sendLine(b"*")
            return
        self.connection.sendLine(encode(answer))

    def _answer(self, challenge: bytes) -> bytes:
        if not self.isSaid:
            self.isSaid = True
            return self.initial or b""
        return self.mechanism.respond(decodeBase64(challenge))
