"""An account as a session sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from zope.interface import implementer

from mailfw.errors import NoPermission, NoSuchMailbox
from mailfw.interfaces import IAccount
from mailfw.storage import metadata, quota, tree
from mailfw.storage.across import Across
from mailfw.storage.changes import changedNames
from mailfw.storage.engine import AccountRef, Engine
from mailfw.storage.mailbox import Mailbox
from mailfw.storage.names import mailboxName
from mailfw.storage.serverentries import ServerEntries
from mailfw.storage.transaction import Terms
from mailfw.values import Copy, Identity, MailboxInfo, Move, Operation, Result, SetQuota, Usage


@implementer(IAccount)
class Account:
    """One account of an engine, opened by somebody who may."""

    def __init__(self, engine: Engine, ref: AccountRef, identity: Identity, across: Across, shared: ServerEntries) -> None:
        self.owner = ref.name
        self._identity = identity
        self._isOwner = identity.account == ref.name
        self._engine = engine
        self._ref = ref
        self._across = across
        self._shared = shared

    async def mailboxes(self) -> list[MailboxInfo]:
        """Every name, parents before children, INBOX first."""
        await self._engine.refreshTree(self._ref)
        return await self._engine.database.read(lambda connection: tree.listing(connection, self._ref.key))

    async def open(self, name: str) -> Mailbox:
        """:raises NoSuchMailbox: there is none of that name, or it cannot be selected."""
        name = mailboxName(name)
        find = self._engine.database.read
        found = await find(lambda connection: tree.info(connection, self._ref.key, name))
        if found is None:
            await self._engine.refreshTree(self._ref)
            found = await find(lambda connection: tree.info(connection, self._ref.key, name))
        if found is None:
            raise NoSuchMailbox()
        mailbox = Mailbox(self._engine, self._ref, found)
        await mailbox.refresh()
        return mailbox

    async def apply(self, operations: Sequence[Operation]) -> list[Result]:
        """Do all of it in one transaction, or nothing. A copy or move to another account stands alone."""
        if any(isinstance(one, (Copy, Move)) and one.account not in ("", self.owner) for one in operations):
            return [await self._across.transfer(self, operations)]
        if any(isinstance(one, SetQuota) for one in operations):
            self._engine.limits.forget(self.owner)
        if any(map(metadata.isServers, operations)):
            await self._shared.set(operations, self._identity.isAdmin)
            return [None]
        limits = await self._engine.limits.forOperations(self.owner, operations)
        terms = Terms(self._identity.account, self._isOwner, self._identity.isAdmin, limits)
        return await self._engine.apply(self._ref, [_within(one) for one in operations], terms)

    async def usage(self) -> Usage:
        """What the account holds, and may hold. :raises NoPermission: it is another's, and who asks is no administrator."""
        if not (self._isOwner or self._identity.isAdmin):
            raise NoPermission()
        limits = await self._engine.limits.of(self.owner)
        await self._engine.refreshAll(self._ref)
        return await self._engine.database.read(lambda connection: quota.usage(connection, self._ref.key, limits))

    async def metadata(self, mailbox: str, names: Sequence[str], depth: int | None = 0) -> dict[str, bytes]:
        """Entries of those names, and below them; see the contract."""
        actor, reading = self._identity.account, self._engine.database.read
        if mailbox:
            await self._mustExist(mailbox)
            return await reading(lambda found: metadata.read(found, self._ref.key, mailbox, actor, names, depth))
        own = await reading(lambda found: metadata.read(found, self._ref.key, "", actor, names, depth))
        return own | await self._shared.read(names, depth)

    async def _mustExist(self, mailbox: str) -> None:
        """:raises NoSuchMailbox: there is none of that name."""
        await self.open(mailbox)

    async def metadataSince(self, modSeq: int) -> list[tuple[str, str]]:
        """Names of mailboxes with the entries that were set or removed after `modSeq`; see the contract."""
        actor = self._identity.account
        return await self._engine.database.read(
            lambda connection: metadata.changedSince(connection, self._ref.key, actor, modSeq)
        )

    async def changedSince(self, modSeq: int) -> tuple[int, list[str]]:
        """The account's MODSEQ now, and the names that anything happened to after `modSeq`."""
        key = ("names", self._ref.key, modSeq)
        found: tuple[int, list[str]] = await self._engine.sharing.ask(key, partial(self._changedSince, modSeq))
        return found

    async def _changedSince(self, modSeq: int) -> tuple[int, list[str]]:
        return await self._engine.database.read(lambda connection: changedNames(connection, self._ref.key, modSeq))

    def watch(self, bell: Callable[[str], None]) -> Callable[[], None]:
        """Ring after changes, until the function that is returned is called."""
        return self._engine.watch(self._ref, bell)


def _within(operation: Operation) -> Operation:
    """The operation without the account's own name in it."""
    if isinstance(operation, (Copy, Move)) and operation.account:
        return type(operation)(operation.mailbox, operation.uids, operation.target, "", operation.uidValidity)
    return operation
