"""An account as a session sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from attrs import evolve
from zope.interface import implementer

from mailfw.errors import NoPermission, NoSuchMailbox
from mailfw.interfaces import IAccount, IUnnamedFolders
from mailfw.sql import Connection
from mailfw.storage import metadata, quota, rights, tree
from mailfw.storage.across import Across
from mailfw.storage.changes import changedNames
from mailfw.storage.engine import AccountRef, Engine
from mailfw.storage.mailbox import Mailbox
from mailfw.storage.names import mailboxName
from mailfw.storage.serverentries import ServerEntries
from mailfw.storage.transaction import Terms
from mailfw.values import Copy, Identity, MailboxInfo, Move, Operation, Result, SetQuota, SetRights, Usage


@implementer(IAccount, IUnnamedFolders)
class Account:
    """One account of an engine, opened by its owner or by somebody to whom something in it is shared.

    :param domain: the first configured one, which a local part alone is of.
    """

    def __init__(
        self, engine: Engine, ref: AccountRef, identity: Identity, domain: str, across: Across, shared: ServerEntries
    ) -> None:
        self.owner = ref.name
        self._engine = engine
        self._ref = ref
        self._terms = Terms(identity.account, identity.account == ref.name, identity.isAdmin)
        self._domain = domain
        self._across = across
        self._shared = shared

    # --- Mailboxes

    async def mailboxes(self) -> list[MailboxInfo]:
        """Every name that may be looked up, parents before children, INBOX first."""
        await self._engine.refreshTree(self._ref)
        return await self._engine.database.read(lambda connection: tree.listing(connection, self._ref.key, self._terms))

    async def unnamed(self) -> list[str]:
        """Folders that are no mailboxes, because no mailbox can be called so."""
        return await self._engine.unnamed(self._ref)

    async def open(self, name: str) -> Mailbox:
        """:raises NoSuchMailbox: there is none of that name, or it cannot be selected.
        :raises NoPermission: it may be looked up, but not read.
        """
        found = await self._find(name)
        self._mustHave(found, "r")
        mailbox = Mailbox(self._engine, self._ref, found, self._terms)
        await mailbox.refresh()
        return mailbox

    async def _find(self, name: str) -> MailboxInfo:
        """The mailbox of that name, whatever may be done with it. :raises NoSuchMailbox:"""
        name = mailboxName(name)
        read = partial(self._engine.database.read, lambda connection: tree.info(connection, self._ref.key, name, self._terms))
        found = await read()
        if found is None:
            await self._engine.refreshTree(self._ref)
            found = await read()
        if found is None:
            raise NoSuchMailbox()
        return found

    def _mustHave(self, info: MailboxInfo, needed: str) -> None:
        """:raises NoPermission: :raises NoSuchMailbox: a right is missing."""
        if not set(needed) <= set(info.rights):
            raise NoPermission() if "l" in info.rights else NoSuchMailbox()

    # --- Changing

    async def apply(self, operations: Sequence[Operation]) -> list[Result]:
        """Do all of it in one transaction, or nothing. A copy or move to another account stands alone."""
        if any(isinstance(one, (Copy, Move)) and one.account not in ("", self.owner) for one in operations):
            return [await self._across.transfer(self, operations)]
        if any(map(metadata.isServers, operations)):
            await self._shared.set(operations, self._terms.isAdmin)
            return [None]
        if any(isinstance(one, SetQuota) for one in operations):
            self._engine.limits.forget(self.owner)
        limits = await self._engine.limits.forOperations(self.owner, operations)
        return await self._engine.apply(self._ref, [self._within(one) for one in operations], evolve(self._terms, limits=limits))

    def _within(self, operation: Operation) -> Operation:
        """The operation without the account's own name in it, and with others' in full."""
        if isinstance(operation, (Copy, Move)) and operation.account:
            return evolve(operation, account="")
        if isinstance(operation, SetRights):
            return evolve(operation, identifier=rights.identifier(operation.identifier, self.owner, self._domain))
        return operation

    # --- What is kept beside messages

    async def usage(self) -> Usage:
        """What the account holds, and may hold. :raises NoPermission: it is another's, and who asks is no administrator."""
        if not (self._terms.isOwner or self._terms.isAdmin):
            raise NoPermission()
        limits = await self._engine.limits.of(self.owner)
        await self._engine.refreshAll(self._ref)
        return await self._engine.database.read(lambda connection: quota.usage(connection, self._ref.key, limits))

    async def metadata(self, mailbox: str, names: Sequence[str], depth: int | None = 0) -> dict[str, bytes]:
        """Entries of those names, and below them; see the contract."""
        actor, reading = self._terms.actor, self._engine.database.read
        if mailbox:
            info = await self._find(mailbox)
            self._mustHave(info, "l")
            rights.mustBeNotable(info.rights)
            found = await reading(lambda found: metadata.read(found, self._ref.key, mailbox, actor, names, depth))
            if not self._terms.isOwner:
                found.pop(metadata.SPECIAL_USE, None)  # what it is for is its owner's affair
            return found
        own: dict[str, bytes] = {}
        if self._terms.isOwner:
            own = await reading(lambda found: metadata.read(found, self._ref.key, "", actor, names, depth))
        return own | await self._shared.read(names, depth)

    async def metadataSince(self, modSeq: int) -> list[tuple[str, str]]:
        """Names of mailboxes with the entries that were set or removed after `modSeq`; see the contract."""
        actor, key = self._terms.actor, self._ref.key
        found = await self._engine.database.read(lambda connection: metadata.changedSince(connection, key, actor, modSeq))
        visible = await self._visible()
        return [(name, entry) for name, entry in found if visible(name)]

    async def rights(self, mailbox: str) -> dict[str, str]:
        """A mailbox's access control list; see the contract."""
        await self._find(mailbox)
        key, terms = self._ref.key, self._terms
        return await self._engine.database.read(lambda connection: rights.listOf(connection, key, mailbox, terms))

    async def myRights(self, mailbox: str) -> str:
        """What may be done with a mailbox; see the contract."""
        found = (await self._find(mailbox)).rights
        if not set(found) & set("lrikxa"):
            raise NoSuchMailbox()
        return found

    # --- What happened

    async def changedSince(self, modSeq: int) -> tuple[int, list[str]]:
        """The account's MODSEQ now, and the names that anything happened to after `modSeq`."""
        key = ("names", self._ref.key, modSeq)
        found: tuple[int, list[str]] = await self._engine.sharing.ask(key, partial(self._changedSince, modSeq))
        visible = await self._visible()
        return found[0], [name for name in found[1] if visible(name)]

    async def _changedSince(self, modSeq: int) -> tuple[int, list[str]]:
        return await self._engine.database.read(lambda connection: changedNames(connection, self._ref.key, modSeq))

    async def _visible(self) -> Callable[[str], bool]:
        """Whether a name may be looked up."""
        if self._terms.isOwner:
            return lambda name: True

        def names(connection: Connection) -> set[str]:
            return {info.name for info in tree.listing(connection, self._ref.key, self._terms)}

        return (await self._engine.database.read(names)).__contains__

    def watch(self, bell: Callable[[str], None]) -> Callable[[], None]:
        """Ring after changes, until the function that is returned is called."""
        return self._engine.watch(self._ref, bell)
