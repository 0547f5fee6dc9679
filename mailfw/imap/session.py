"""What commands mean: the state of one client's conversation, and the one way in which every command is answered.

A command is run by the handler of its family, `async def handler(session, command) -> Reply | None`, found by the
command's class in `HANDLERS`. It writes its own untagged responses. What happened in the selected mailbox meanwhile is
told after it, then comes the tagged reply. None means that the reply comes later: an exchange (`Dialogue`) has begun,
and lines are its own until it calls `finish`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from attrs import evolve

from mailfw.errors import NoSuchMailbox, Refusal, UIDValidityChanged, Unavailable
from mailfw.imap import (
    acl,
    append,
    batches,
    capability,
    compress,
    copy,
    enabling,
    expunge,
    fetch,
    idle,
    listing,
    login,
    mailboxes,
    metadata,
    multisearch,
    news,
    notify,
    quota,
    search,
    select,
    sort,
    status,
    store,
    thread,
)
from mailfw.imap.channel import Channel, Dialogue
from mailfw.imap.grammar import names, response
from mailfw.imap.grammar.commands import SYNTAX, UNKNOWN_COMMAND, Tagged, Unreadable, parse
from mailfw.imap.grammar.metadata import SetMetadata
from mailfw.imap.grammar.response import Condition, Reply, bad, bye, no, ok, refused
from mailfw.imap.grammar.tokens import BadSyntax, CommandText, RefusedArgument
from mailfw.imap.manner import Manner
from mailfw.imap.matching import hasNumbers
from mailfw.imap.recent import Recency
from mailfw.imap.selected import SelectedMailbox
from mailfw.imap.settings import Settings, Workaround
from mailfw.imap.sight import Sight
from mailfw.imap.states import (
    ASKS_FOR_NEWS,
    CHANGES_NAMES,
    COMMANDS,
    KEEPS_NUMBERS,
    OPENS,
    SHOWS_MODSEQS,
    TAKES_NUMBERS,
    State,
)
from mailfw.imap.teller import Teller
from mailfw.interfaces import IAccount, IMailStore
from mailfw.net.limits import Limits
from mailfw.sasl.exchange import Logins
from mailfw.values import Copy as CopyMessages
from mailfw.values import Expunge as ExpungeMessages
from mailfw.values import Identity, MailboxInfo, Operation, Result, SetFlags, UIDSet
from mailfw.values import Move as MoveMessages

OUTPUT_CHUNK = 65536
"""Octets of small responses that are gathered before they are written."""

THOUGHT_FROM = 16384
"""Octets from which reading a command takes so long that others are to have their turn meanwhile."""

OnMailbox = SetFlags | CopyMessages | MoveMessages | ExpungeMessages
"""Operations on the messages of one mailbox."""

T = TypeVar("T")

Handler = Callable[["Session", Any], Awaitable[Reply | None]]
"""Runs a command of its own class, hence `Any`."""

HANDLERS: Mapping[type, Handler] = {
    **login.HANDLERS,
    **enabling.HANDLERS,
    **compress.HANDLERS,
    **mailboxes.HANDLERS,
    **listing.HANDLERS,
    **status.HANDLERS,
    **select.HANDLERS,
    **append.HANDLERS,
    **fetch.HANDLERS,
    **search.HANDLERS,
    **batches.HANDLERS,
    **multisearch.HANDLERS,
    **sort.HANDLERS,
    **thread.HANDLERS,
    **store.HANDLERS,
    **copy.HANDLERS,
    **expunge.HANDLERS,
    **idle.HANDLERS,
    **notify.HANDLERS,
    **quota.HANDLERS,
    **acl.HANDLERS,
    **metadata.HANDLERS,
}


class Session:
    """One client's conversation.

    :ivar account: whose mailboxes; None before login.
    :ivar selected: the mailbox being looked at.
    :ivar enabled: what the client has enabled (RFC 5161), in capitals; :ivar manner: what follows for what it is told.
    :ivar settings: what holds for all IMAP sessions. :ivar missing: capabilities that this one does not have, in capitals.
    :ivar tag: of the command under way; :ivar commandName: in capitals. :ivar limitCode: MESSAGELIMIT with where it stopped, if
        it did.
    :ivar dialogue: who takes the next line, where it is no command.
    :ivar notifying: what the client asked to be told of; None before it did. :ivar teller: tells it.
    :ivar recency: what this session and others on the same stores have told as \\Recent.
    """

    def __init__(
        self,
        channel: Channel,
        mailStore: IMailStore,
        logins: Logins,
        limits: Limits,
        hostname: str,
        settings: Settings | None = None,
        recency: Recency | None = None,
    ) -> None:
        self.state = State.NOT_AUTHENTICATED
        self.channel = channel
        self.store = mailStore
        self.logins = logins
        self.limits = limits
        self.hostname = hostname
        self.settings = settings or Settings()
        self.missing = self.settings.missing()
        self.identity: Identity | None = None
        self.selected: SelectedMailbox | None = None
        self.dialogue: Dialogue | None = None
        self.enabled: frozenset[bytes] = frozenset()
        self.manner = Manner()
        self.authFailures = 0
        self.recency = recency or Recency()
        self.notifying: notify.Notifying | None = None
        self.teller = Teller(self)
        self._sight: Sight | None = None
        self._watched: dict[IAccount, Callable[[], None]] = {}
        self.tag = b"*"
        self.limitCode = b""
        self.commandName = b""
        self._command: object = None
        self._isHandling = False
        self._badCommands = 0

    # --- Commands --------------------------------------------------------------------------------------------------

    def greeting(self) -> bytes:
        """What the server says first."""
        return ok(f"{self.hostname} ready", self.capabilityCode()).render()

    def objection(self, name: bytes) -> Reply | None:
        """Why a command of that name may not come now."""
        if name not in SYNTAX or capability.BELONGS.get(name) in self.missing:
            return bad(UNKNOWN_COMMAND)
        if self.state not in COMMANDS[name]:
            return bad(f"not valid when {self.state.value}")
        if self.manner.isUIDOnly and name in TAKES_NUMBERS:
            return bad("message numbers are not allowed", b"UIDREQUIRED")
        return None

    async def handle(self, text: CommandText) -> None:
        """Run one command and answer it."""
        self._isHandling = True
        await self.teller.rest()
        self.tag = b"*"
        try:
            tagged = await self._read(text)
        except Unreadable as unreadable:
            self.answer(unreadable.tag, unreadable.reply)
            self._handled()
            return
        self.tag, self.commandName, self._command = tagged.tag, tagged.name, tagged.command
        reply = await self._run(HANDLERS[type(tagged.command)], tagged.command)
        if reply is not None:
            await self.finish(reply)
        elif self.dialogue is None:
            self._handled()

    async def _read(self, text: CommandText) -> Tagged:
        """:raises Unreadable: it is no command that may come now."""
        isLenient = Workaround.TRAILING_SPACE in self.settings.workarounds
        if text.size < THOUGHT_FROM:
            return parse(text, self.objection, isLenient)
        return await self.channel.think(lambda: parse(text, self.objection, isLenient))

    def _handled(self) -> None:
        """No command is under way any more."""
        self.commandName, self._command = b"", None
        self._isHandling = False
        self.teller.go()

    async def _run(self, handler: Handler, command: object) -> Reply | None:
        try:
            return await handler(self, command)
        except BadSyntax as error:
            return bad(str(error))
        except RefusedArgument as argument:
            return argument.reply
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
            self.answer(self.tag, self._withModSeq(self._withLimit(reply)))
        if not isSound:
            self.end("internal error")
        self._handled()

    def _withLimit(self, reply: Reply) -> Reply:
        """The reply with the place where the command stopped, if it did not go on to the end (RFC 9738 §3.1); where it has
        another code, that goes before it.
        """
        code, self.limitCode = self.limitCode, b""
        if code and (reply.condition is not Condition.OK or reply.code):
            self.channel.write(no("the rest was left alone", code).render())
        elif code:
            return evolve(reply, text=f"{reply.text}, and the rest left alone", code=code)
        return reply

    def _withModSeq(self, reply: Reply) -> Reply:
        """The reply with HIGHESTMODSEQ where the client must be told that (RFC 7162 §3.2.7); where it has another code, that
        goes before it.
        """
        code = self.modSeqCode()
        if code and (reply.condition is not Condition.OK or reply.code):
            self.channel.write(ok("as far as you have been told", code).render())
        elif code:
            return evolve(reply, code=code)
        return reply

    def modSeqCode(self) -> bytes:
        """HIGHESTMODSEQ, if the client is owed it; it is not any more then."""
        view = self.selected
        if view is None or not view.owesModSeq:
            return b""
        view.owesModSeq = False
        return b"HIGHESTMODSEQ %d" % view.toldModSeq if self.manner.hasModSeqs else b""

    async def _tellNews(self) -> bool:
        """Tell what may be told after this command; → whether the view can be trusted still.

        The command itself was done: that the news must wait is no reason to call it failed.
        """
        name = self.commandName
        try:
            isAsked = name in ASKS_FOR_NEWS or (self.manner.hasModSeqs and name in SHOWS_MODSEQS)
            if name not in OPENS or self.notifying is not None:
                await news.tell(self, isAsked, not (self._keepsNumbers or name in OPENS), name.startswith(b"UID "))
            if self.notifying is not None:
                self.notifying.isRung |= name in CHANGES_NAMES or bool(self.ownEntries)
                await self.notifying.tell(self)
        except UIDValidityChanged:
            self.selectedIsGone()
        except Refusal as refusal:
            self.channel.log.warn("news of the selected mailbox could not be read: {refusal}", refusal=refusal)
        except Exception:
            # What the client was told and what the view says may differ now.
            self.channel.log.failure("telling news of the selected mailbox failed")
            return False
        return True

    @property
    def _keepsNumbers(self) -> bool:
        """Whether an EXPUNGE would change what the numbers in the command under way mean: even UID SEARCH may name some (RFC
        7162 §3.2.10.2).
        """
        key = getattr(self._command, "key", None)
        return self.commandName in KEEPS_NUMBERS or (key is not None and hasNumbers(key))

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
        self._handled()

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
        self.notify(None)
        if self.selected is not None:
            await self.deselect()

    def capabilities(self) -> tuple[str, ...]:
        """What is announced now."""
        if self.state is not State.NOT_AUTHENTICATED:
            return capability.afterLogin(self.limits, self.missing)
        mayUsePlaintext = self.channel.mayUsePlaintext()
        mechanisms = self.logins.mechanisms(mayUsePlaintext, self.channel.channelBinding, self.channel.peerCertificate)
        return capability.beforeLogin(mechanisms, self.channel.mayStartTLS(), mayUsePlaintext, self.missing)

    def capabilityCode(self) -> bytes:
        """The response code that spares the client a CAPABILITY command."""
        return " ".join(("CAPABILITY", *self.capabilities())).encode("ascii")

    @property
    def isRev2(self) -> bool:
        """Whether the client wants to be spoken to as RFC 9051 says."""
        return enabling.REV2 in self.enabled

    @property
    def usesUTF8(self) -> bool:
        """Whether mailbox names and quoted strings are UTF-8 (RFC 9755 §3, RFC 9051 §5.1)."""
        return not self.enabled.isdisjoint((enabling.REV2, enabling.UTF8))

    def nameWord(self, name: str) -> bytes:
        """A mailbox's name as this client reads it."""
        return names.mailbox(name, self.usesUTF8)

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
        """The client's own; only after login."""
        return self.sight.own

    @property
    def sight(self) -> Sight:
        """All that the client can see; only after login."""
        assert self._sight is not None
        return self._sight

    @property
    def view(self) -> SelectedMailbox:
        """The selected mailbox; only where there is one."""
        assert self.selected is not None
        return self.selected

    async def at(self, name: str) -> tuple[IAccount, str]:
        """Whose mailbox a name means, and what it is called there. :raises NoSuchMailbox: it can be nobody's."""
        return await self.sight.at(name)

    async def listing(self) -> list[MailboxInfo]:
        """Every name that the client can see, parents before children."""
        return await self.sight.listing()

    async def enter(self, identity: Identity) -> None:
        """The client has proved who it is. :raises Refusal: the account cannot be opened; the client is not logged in
        then.
        """
        account = await self.store.openAccount(identity, identity.account)
        self._sight = Sight(self.store, identity, account)
        self.identity = identity
        self.missing = self.settings.missing(identity.account)
        self.state = State.AUTHENTICATED

    async def leave(self) -> None:
        """The client is nobody any more (RFC 8437 §3, §4.1): everything is as it was when it came."""
        self.notify(None)
        if self.selected is not None:
            await self.deselect()
        self._sight, self.identity, self.missing = None, None, self.settings.missing()
        self.enabled, self.manner = frozenset(), Manner()
        self.state = State.NOT_AUTHENTICATED
        self.channel.restartLogin()

    def enable(self, *extensions: bytes) -> None:
        """Switch extensions on, until the connection ends (RFC 5161 §3.1)."""
        self.enabled = self.enabled.union(extensions)
        self.manner = Manner.of(self.enabled)
        if self.selected is not None:
            self.selected.manner = self.manner
            if self.manner.isUIDOnly:
                self.selected.contexts.nameUIDs()
            if self.isRev2:
                self.selected.forgetRecent()

    def select(self, view: SelectedMailbox) -> None:
        """Look at a mailbox from now on."""
        self.selected = view
        if view.tellsRecent and self.mayClaim(view):
            self.recency.told(self.store, view.mailbox.info.mailboxId, view.lastUID)
        self.state = State.SELECTED
        view.isRung = self.notifying is not None  # a bell may have rung before the mailbox was looked at
        self._watch()

    async def deselect(self) -> None:
        r"""Look at no mailbox any more. What was told as \Recent here is not recent to those who come after."""
        view, self.selected = self.view, None
        self._watch()
        if self.state is State.SELECTED:
            self.state = State.AUTHENTICATED
        if view.hasArrivals and self.mayClaim(view):
            try:
                await view.mailbox.snapshot(claimRecent=True)
            except Refusal as refusal:
                self.channel.log.debug("recent messages could not be claimed: {refusal}", refusal=refusal)

    def mayClaim(self, view: SelectedMailbox) -> bool:
        r"""Whether what this client is told of is not \Recent to others any more."""
        return not view.isReadOnly and view.account in (None, self.account)

    def selectedIsGone(self) -> None:
        """The selected mailbox was deleted: there is no way to tell a client that but to end (RFC 2180 §3.3)."""
        self.end("the selected mailbox was deleted")

    async def change(self, operation: OnMailbox) -> Result:
        """Do something to the selected mailbox, whatever its name is now.

        :raises UIDValidityChanged: it was deleted.
        """
        return (await self.changeWith(operation))[0]

    async def changeWith(self, operation: OnMailbox, *more: Operation) -> list[Result]:
        """Do something to the selected mailbox, whatever its name is now, and more in the same step.

        :raises UIDValidityChanged: it was deleted.
        """
        try:
            return await self.viewed.apply([operation, *more])
        except (NoSuchMailbox, UIDValidityChanged):
            view = self.view
            if not await self._hasNewName(view):
                raise
            return await self.viewed.apply([evolve(operation, mailbox=view.name), *more])

    @property
    def viewed(self) -> IAccount:
        """Whose mailbox is selected."""
        return self.view.account or self.account

    async def _hasNewName(self, view: SelectedMailbox) -> bool:
        for info in await self.viewed.mailboxes():
            if info.mailboxId == view.mailbox.info.mailboxId:
                if info.uidValidity != view.uidValidity:
                    raise UIDValidityChanged()
                hasChanged, view.name = info.name != view.name, info.name
                return hasChanged
        raise UIDValidityChanged()

    # --- News ------------------------------------------------------------------------------------------------------

    def notify(self, notifying: notify.Notifying | None) -> None:
        """Tell the client this from now on; None: what every client is told."""
        self.notifying = notifying
        self._watch()

    def _watch(self) -> None:
        """Be rung for where there is somebody to tell."""
        wanted: list[IAccount] = []
        if self.selected is not None:
            wanted.append(self.viewed)
        if self.notifying is not None:
            wanted += [self.account, *self.sight.known.values()]
        for account in [each for each in self._watched if each not in wanted]:
            self._watched.pop(account)()
        for account in wanted:
            if account not in self._watched:
                self._watched[account] = account.watch(self._rung)

    def _rung(self, mailboxId: str) -> None:
        view = self.selected
        isSelected = view is not None and view.mailbox.info.mailboxId == mailboxId
        if view is not None and isSelected:
            view.isRung = True
        if self.notifying is not None:
            self.notifying.isRung = True
        if isSelected or self.notifying is not None:
            self.teller.rung()

    @property
    def ownNames(self) -> tuple[str, ...]:
        """Mailbox names that the command under way is about to change by itself."""
        if self.commandName not in CHANGES_NAMES:
            return ()
        names = (getattr(self._command, "mailbox", ""), getattr(self._command, "newName", ""))
        return tuple(name.removesuffix("/") for name in names)

    @property
    def ownEntries(self) -> tuple[tuple[str, str], ...]:
        """Metadata that the command under way is about to change by itself: mailbox and entry."""
        command = self._command
        return tuple((command.mailbox, name) for name, _ in command.entries) if isinstance(command, SetMetadata) else ()

    @property
    def isIdling(self) -> bool:
        """Whether the client waits for news in IDLE."""
        return isinstance(self.dialogue, idle.Idling)

    @property
    def mayTell(self) -> bool:
        """Whether the client may be told something now that no command tells it."""
        if isinstance(self.dialogue, idle.Idling):
            return not self.dialogue.isOver
        isBetweenCommands = not self._isHandling and self.dialogue is None and self.state is not State.LOGOUT
        return isBetweenCommands and self.notifying is not None

    async def tellNow(self) -> None:
        """Tell what happened, in IDLE or between commands."""
        notifying = self.notifying
        isIdle = self.dialogue is not None
        await news.tell(self, isAsked=False, mayExpunge=isIdle or (notifying is not None and not notifying.isDelayed))
        if notifying is not None:
            await notifying.tell(self)
        if code := self.modSeqCode():
            self.channel.write(ok("that was all", code).render())

    def made(self, mailbox: str, uidValidity: int, uids: Iterable[int]) -> None:
        """The client put messages somewhere; if that is the selected mailbox, it need not be told about them (RFC 5465 §5.2)."""
        view = self.selected
        if view is None or view.uidValidity != uidValidity:
            return
        if self.sight.name(self.viewed, view.name) == mailbox:
            view.made |= UIDSet.fromUIDs(uids)
