"""What commands mean: the state of one client's conversation, and the one way in which every command is answered.

A command is run by the handler of its family, `async def handler(session, command) -> Reply | None`, found by the
command's class in `HANDLERS`. It writes its own untagged responses. What happened in the selected mailbox meanwhile is
told after it, then comes the tagged reply. None means that the reply comes later: an exchange (`Dialogue`) has begun,
and lines are its own until it calls `finish`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from attrs import evolve

from mailfw.errors import NoSuchMailbox, Refusal, UIDValidityChanged, Unavailable
from mailfw.imap import (
    append,
    capability,
    copy,
    expunge,
    fetch,
    idle,
    login,
    mailboxes,
    multisearch,
    search,
    select,
    sort,
    store,
    thread,
)
from mailfw.imap.grammar import response
from mailfw.imap.grammar.commands import SYNTAX, UNKNOWN_COMMAND, Unreadable, parse
from mailfw.imap.grammar.response import Condition, Reply, bad, bye, ok, refused
from mailfw.imap.grammar.tokens import BadSyntax, CommandText
from mailfw.imap.recent import Recency
from mailfw.imap.selected import SelectedMailbox
from mailfw.imap.states import ASKS_FOR_NEWS, COMMANDS, KEEPS_NUMBERS, State
from mailfw.interfaces import IAccount, IMailStore
from mailfw.net.limits import Limits
from mailfw.sasl.exchange import Logins
from mailfw.values import Changes, Identity, MailboxStatus, Result, SetFlags, UIDSet
from mailfw.values import Copy as CopyMessages
from mailfw.values import Expunge as ExpungeMessages
from mailfw.values import Move as MoveMessages

OUTPUT_CHUNK = 65536
"""Octets of small responses that are gathered before they are written."""

OnMailbox = SetFlags | CopyMessages | MoveMessages | ExpungeMessages
"""Operations on the messages of one mailbox."""

T = TypeVar("T")

Handler = Callable[["Session", Any], Awaitable[Reply | None]]
"""Runs a command of its own class, hence `Any`."""

HANDLERS: Mapping[type, Handler] = {
    **login.HANDLERS,
    **mailboxes.HANDLERS,
    **select.HANDLERS,
    **append.HANDLERS,
    **fetch.HANDLERS,
    **search.HANDLERS,
    **multisearch.HANDLERS,
    **sort.HANDLERS,
    **thread.HANDLERS,
    **store.HANDLERS,
    **copy.HANDLERS,
    **expunge.HANDLERS,
    **idle.HANDLERS,
}


class Channel(Protocol):
    """What a session needs of its connection."""

    @property
    def isOpen(self) -> bool:
        """Whether there is still somebody to talk to."""

    @property
    def isTLS(self) -> bool:
        """Whether the connection is under TLS."""

    @property
    def peerHost(self) -> str:
        """Where the client is, as logins know it."""

    @property
    def log(self) -> Any:
        """A logger whose events name the connection (a `twisted.logger.Logger`, which this room does not import)."""

    @property
    def peerCertificate(self) -> bytes | None:
        """The client's verified certificate."""

    def channelBinding(self, kind: str, /) -> bytes | None:
        """What a login can be bound to."""

    def mayUsePlaintext(self) -> bool:
        """Whether a password may come now."""

    def mayStartTLS(self) -> bool:
        """Whether STARTTLS would do."""

    def startTLS(self) -> bool:
        """Begin TLS. False: the client had sent more in the clear, and is gone."""

    def write(self, data: bytes, /) -> None:
        """Send."""

    async def drain(self) -> None:
        """Wait while the client does not read."""

    async def breathe(self) -> None:
        """Let other connections have their turn."""

    async def pause(self, seconds: float) -> None:
        """Wait; ends at once when the connection is lost."""

    def later(self, seconds: float, call: Callable[[], object]) -> Callable[[], None]:
        """Call after so many seconds, if the connection is there then. Returns what prevents it."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    async def think(self, work: Callable[[], T]) -> T:
        """Do work that needs nothing but the processor, while others have their turns; → what it returns."""

    def hangUp(self) -> None:
        """Close once everything is sent."""

    def abort(self) -> None:
        """Close at once."""


class Dialogue(Protocol):
    """Lines that belong to a command under way."""

    async def line(self, line: bytes) -> None:
        """The client sent a line."""

    def ended(self) -> None:
        """There is no such session any more."""


class Session:
    """One client's conversation.

    :ivar account: whose mailboxes; None before login.
    :ivar selected: the mailbox being looked at.
    :ivar tag: of the command under way.
    :ivar dialogue: who takes the next line, where it is no command.
    :param identification: what ID answers, field and value.
    :param recency: what this session and others on the same stores have told as \\Recent.
    """

    def __init__(
        self,
        channel: Channel,
        mailStore: IMailStore,
        logins: Logins,
        limits: Limits,
        hostname: str,
        identification: Iterable[tuple[str, str]] = (),
        recency: Recency | None = None,
    ) -> None:
        self.state = State.NOT_AUTHENTICATED
        self.channel = channel
        self.store = mailStore
        self.logins = logins
        self.limits = limits
        self.hostname = hostname
        self.identification = tuple(identification)
        self.identity: Identity | None = None
        self.selected: SelectedMailbox | None = None
        self.dialogue: Dialogue | None = None
        self.authFailures = 0
        self._recency = recency or Recency()
        self._account: IAccount | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self.tag = b"*"
        self._name = b""
        self._badCommands = 0

    # --- Commands --------------------------------------------------------------------------------------------------

    def greeting(self) -> bytes:
        """What the server says first."""
        return ok(f"{self.hostname} ready", self.capabilityCode()).render()

    def objection(self, name: bytes) -> Reply | None:
        """Why a command of that name may not come now."""
        if name not in SYNTAX:
            return bad(UNKNOWN_COMMAND)
        if self.state not in COMMANDS[name]:
            return bad(f"not valid when {self.state.value}")
        return None

    async def handle(self, text: CommandText) -> None:
        """Run one command and answer it."""
        self.tag, self._name = b"*", b""
        try:
            tagged = parse(text, self.objection)
        except Unreadable as unreadable:
            self.answer(unreadable.tag, unreadable.reply)
            return
        self.tag, self._name = tagged.tag, tagged.name
        reply = await self._run(HANDLERS[type(tagged.command)], tagged.command)
        if reply is not None:
            await self.finish(reply)

    async def _run(self, handler: Handler, command: object) -> Reply | None:
        try:
            return await handler(self, command)
        except BadSyntax as error:
            return bad(str(error))
        except UIDValidityChanged as refusal:
            if self.selected is None:
                return refused(refusal)
            self.selectedIsGone()
            return None
        except Refusal as refusal:
            return refused(refusal)

    async def finish(self, reply: Reply) -> None:
        """The command is done: tell the news, and then how it ended."""
        self.dialogue = None
        isSound = reply.condition is Condition.BAD or await self._tellNews()
        if self.state is not State.LOGOUT:
            self.answer(self.tag, reply)
        if not isSound:
            self.end("internal error")

    async def _tellNews(self) -> bool:
        """Tell what may be told after this command; → whether the view can be trusted still.

        The command itself was done: that the news must wait is no reason to call it failed.
        """
        name = self._name
        try:
            await self.news(name in ASKS_FOR_NEWS, name not in KEEPS_NUMBERS, name.startswith(b"UID "))
        except UIDValidityChanged:
            self.selectedIsGone()
        except Refusal as refusal:
            self.channel.log.warn("news of the selected mailbox could not be read: {refusal}", refusal=refusal)
        except Exception:
            # What the client was told and what the view says may differ now.
            self.channel.log.failure("telling news of the selected mailbox failed")
            return False
        return True

    def answer(self, tag: bytes, reply: Reply) -> None:
        """Write a tagged reply; too many BADs in a row end the session."""
        self.channel.write(reply.render(tag))
        self._badCommands = self._badCommands + 1 if reply.condition is Condition.BAD else 0
        if self._badCommands >= self.limits.badCommands:
            self.end("too many bad commands")

    def failed(self) -> None:
        """A command raised what it should not have: answer it."""
        if self.dialogue is not None:
            self.dialogue.ended()
            self.dialogue = None
        self.channel.write(refused(Unavailable()).render(self.tag))

    def end(self, text: str, code: bytes = b"") -> None:
        """Say goodbye, and close."""
        if self.state is not State.LOGOUT:
            self.channel.write(bye(text, code))
            self.state = State.LOGOUT
            self.channel.hangUp()

    async def closed(self) -> None:
        """The connection is gone: let go of everything."""
        self.state = State.LOGOUT
        if self.dialogue is not None:
            self.dialogue.ended()
        if self.selected is not None:
            await self.deselect()

    def capabilities(self) -> tuple[str, ...]:
        """What is announced now."""
        if self.state is not State.NOT_AUTHENTICATED:
            return capability.afterLogin()
        mayUsePlaintext = self.channel.mayUsePlaintext()
        mechanisms = self.logins.mechanisms(mayUsePlaintext, self.channel.channelBinding, self.channel.peerCertificate)
        return capability.beforeLogin(mechanisms, self.channel.mayStartTLS(), mayUsePlaintext)

    def capabilityCode(self) -> bytes:
        """The response code that spares the client a CAPABILITY command."""
        return " ".join(("CAPABILITY", *self.capabilities())).encode("ascii")

    # --- Output ----------------------------------------------------------------------------------------------------

    def untagged(self, *words: bytes) -> None:
        """Write one untagged response."""
        self.channel.write(response.untagged(*words))

    async def send(self, pieces: Iterable[bytes]) -> None:
        """Write many small pieces, no faster than the client reads them, and without keeping others from the reactor.

        All are walked through, even when nobody listens.
        """
        gathered: list[bytes] = []
        size = 0
        for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= OUTPUT_CHUNK:
                self.channel.write(b"".join(gathered))
                await self.channel.breathe()
                await self.channel.drain()
                gathered, size = [], 0
        if gathered:
            self.channel.write(b"".join(gathered))

    async def walk(self, rows: AsyncIterator[list[T]], take: Callable[[list[T]], object]) -> None:
        """Take rows as they are read, no faster than the client reads what is written, and while it is there."""
        try:
            async for items in rows:
                take(items)
                await self.channel.drain()
                if not self.channel.isOpen:
                    return
        finally:
            if isinstance(rows, AsyncGenerator):
                await rows.aclose()

    # --- The account and the selected mailbox ----------------------------------------------------------------------

    @property
    def account(self) -> IAccount:
        """Whose mailboxes they are; only after login."""
        assert self._account is not None
        return self._account

    @property
    def view(self) -> SelectedMailbox:
        """The selected mailbox; only where there is one."""
        assert self.selected is not None
        return self.selected

    async def enter(self, identity: Identity) -> None:
        """The client has proved who it is. :raises Refusal: the account cannot be opened; the client is not logged in
        then.
        """
        self._account = await self.store.openAccount(identity, identity.account)
        self.identity = identity
        self.state = State.AUTHENTICATED

    def select(self, view: SelectedMailbox) -> None:
        """Look at a mailbox from now on."""
        self.selected = view
        self.state = State.SELECTED
        self._unwatch = self.account.watch(self._rung)

    async def deselect(self) -> None:
        r"""Look at no mailbox any more. What was told as \Recent here is not recent to those who come after."""
        self._unwatch()
        self._unwatch = lambda: None
        view, self.selected = self.view, None
        if self.state is State.SELECTED:
            self.state = State.AUTHENTICATED
        if view.hasArrivals and not view.isReadOnly:
            try:
                await view.mailbox.snapshot(claimRecent=True)
            except Refusal as refusal:
                self.channel.log.debug("recent messages could not be claimed: {refusal}", refusal=refusal)
            self._recency.claimed(self.store, self._owner, view.mailbox.info.mailboxId)

    def selectedIsGone(self) -> None:
        """The selected mailbox was deleted: there is no way to tell a client that but to end (RFC 2180 §3.3)."""
        self.end("the selected mailbox was deleted")

    async def change(self, operation: OnMailbox) -> Result:
        """Do something to the selected mailbox, whatever its name is now.

        :raises UIDValidityChanged: it was deleted.
        """
        try:
            return (await self.account.apply([operation]))[0]
        except (NoSuchMailbox, UIDValidityChanged):
            view = self.view
            if not await self._hasNewName(view):
                raise
            return (await self.account.apply([evolve(operation, mailbox=view.name)]))[0]

    async def _hasNewName(self, view: SelectedMailbox) -> bool:
        for info in await self.account.mailboxes():
            if info.mailboxId == view.mailbox.info.mailboxId:
                if info.uidValidity != view.uidValidity:
                    raise UIDValidityChanged()
                hasChanged, view.name = info.name != view.name, info.name
                return hasChanged
        raise UIDValidityChanged()

    def _rung(self, mailboxId: str) -> None:
        if self.selected is not None and self.selected.mailbox.info.mailboxId == mailboxId:
            self.selected.isRung = True
            if isinstance(self.dialogue, idle.Idling):
                self.dialogue.rung()

    async def news(self, isAsked: bool, mayExpunge: bool, isUID: bool = False) -> None:
        """Tell the client what happened in the selected mailbox.

        :param isAsked: look even when no bell rang, for rings may get lost.
        """
        view = self.selected
        if view is None or not (isAsked or view.isRung or view.owesExpunge(mayExpunge)):
            return
        view.isRung = False
        changes = await self._changes(view)
        if changes.isComplete:
            await self._tell(view, changes, mayExpunge, isUID)
        else:
            await self._catchUp(view, changes, mayExpunge, isUID)
        if view.contexts:
            await view.contexts.changed(self, changes)
        if view.hasArrivals and not view.isReadOnly:
            self._recency.told(self.store, self._owner, view.mailbox.info.mailboxId, view.lastUID)

    def recency(self, status: MailboxStatus) -> MailboxStatus:
        """A mailbox's counters, with no message \\Recent that this client or another has been told of."""
        return self._recency.adjust(self.store, self._owner, status)

    @property
    def _owner(self) -> str:
        assert self.identity is not None
        return self.identity.account

    async def _tell(self, view: SelectedMailbox, changes: Changes, mayExpunge: bool, isUID: bool) -> None:
        """What goes from the results that the client follows is told while its number still means it."""
        self.channel.write(view.contexts.gone(changes.vanished, view.uids))
        await self.send(view.update(changes, mayExpunge, isUID))

    async def lookOut(self) -> None:
        """Learn which messages others have expunged, without telling the client yet."""
        changes = await self._changes(self.view)
        self.view.notice(changes.vanished)

    async def _changes(self, view: SelectedMailbox) -> Changes:
        try:
            return await view.mailbox.changesSince(view.modSeq)
        except Refusal:
            raise
        except Exception:
            self.channel.log.failure("a store could not tell what changed")
            raise Unavailable() from None

    async def _catchUp(self, view: SelectedMailbox, changes: Changes, mayExpunge: bool, isUID: bool) -> None:
        """The log does not reach back to what this session knows: compare with the mailbox as it is, and tell all
        flags.
        """
        snapshot = await view.mailbox.snapshot()
        await self._tell(view, view.compare(snapshot, changes), mayExpunge, isUID)
        await fetch.tellFlags(self, UIDSet(((1, view.lastUID),)))
