"""A mailbox as a session sees it: it stands for a mailbox id, so that renaming does not disturb it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from zope.interface import implementer

from mailfw.interfaces import IMailbox, Row
from mailfw.storage import changes, rights
from mailfw.storage.changes import Counters
from mailfw.storage.engine import AccountRef, Engine
from mailfw.storage.rows import Reading
from mailfw.storage.transaction import Terms
from mailfw.values import Changes, Column, MailboxInfo, MailboxStatus, Snapshot, UIDSet

T = TypeVar("T")


@implementer(IMailbox)
class Mailbox:
    """One mailbox of an engine's account."""

    def __init__(self, engine: Engine, account: AccountRef, info: MailboxInfo, terms: Terms) -> None:
        self.info = info
        self._terms = terms
        self._engine = engine
        self._account = account
        self._key = int(info.mailboxId[1:], 16)

    async def refresh(self) -> None:
        """Notice what other programs did, and whether the mailbox may still be read.

        :raises UIDValidityChanged: it may not.
        """
        if not self._terms.isOwner:
            await self._engine.database.read(lambda connection: rights.mustBeReadable(connection, self._key, self._terms))
        await self._engine.refresh(self._account, self._key)

    async def status(self) -> MailboxStatus:
        """The counters, in constant time."""
        key = (self._key, "" if self._terms.isOwner else self._terms.actor)
        found: Counters = await self._engine.sharing.ask(key, self._counters)
        return found.status(self._engine.recentFrom(self._key, found.recent))

    async def _counters(self) -> Counters:
        await self.refresh()
        return await self._engine.database.read(lambda connection: changes.counters(connection, self._key))

    async def snapshot(self, claimRecent: bool = False) -> Snapshot:
        """All UIDs, with the counters of the same moment."""
        engine = self._engine
        await self.refresh()
        known = engine.knownView(self._key)
        view = await engine.database.read(lambda connection: changes.view(connection, self._key, known))
        engine.keepView(view)
        recentFrom = engine.recentFrom(self._key, view.counters.recent)
        if claimRecent and view.counters.uidNext > recentFrom:
            engine.claimRecent(self._key, view.counters.uidNext)
        return Snapshot(view.counters.status(recentFrom), view.uids, view.firstUnseen, view.keywords)

    async def rows(
        self, uids: UIDSet, columns: Sequence[Column], render: Callable[[Sequence[Row]], Iterable[T]]
    ) -> AsyncIterator[list[T]]:
        """Read messages; see the contract."""
        engine = self._engine
        if not self._terms.isOwner:
            await self.refresh()
        reading = Reading(engine.source, self._key, uids, columns, render)
        while not reading.isDone:
            items = await engine.step(self._account, reading)
            if items:
                yield items

    async def read(self, uid: int, start: int = 0, length: int = -1) -> bytes:
        """Octets of one message."""
        if not self._terms.isOwner:
            await self.refresh()
        return await self._engine.read(self._account, self._key, uid, start, length)

    async def changesSince(self, modSeq: int) -> Changes:
        """What happened after `modSeq`; read once for all sessions that have come equally far."""
        key = (self._key, modSeq, "" if self._terms.isOwner else self._terms.actor)
        changes: Changes = await self._engine.sharing.ask(key, partial(self._changesSince, modSeq))
        return changes

    async def _changesSince(self, modSeq: int) -> Changes:
        await self.refresh()
        return await self._engine.database.read(lambda connection: changes.changesSince(connection, self._key, modSeq))

    async def candidates(self, criterion: Any) -> UIDSet | None:
        """UIDs among which all matches are; see the contract."""
        return await self._engine.candidates(self._account, self._key, criterion)
