"""Carries one account's mail into another account.

How a message is known to have come already: the journal notes the last UID that was carried over, and the target's UIDNEXT then.
When the target stands where the note left it, all up to that UID has come, and nothing after. When it stands further on, what
lies between came by a batch whose note a crash prevented, or from elsewhere: its contents are compared with those that are to
come next.

UIDs are kept for as long as nobody else has given any in the target's mailbox. From then on messages have new ones, above every
number that the mailbox had where it came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Sequence
from typing import Protocol

from attrs import define, evolve

from mailfw.errors import InvalidName, NoSuchMailbox, NotSupported, Refusal, UIDValidityChanged
from mailfw.interfaces import IAccount, IMailbox, IUnnamedFolders
from mailfw.moving.batches import Batch, Carried, StoredAccount, contentDigests
from mailfw.moving.journal import Journal, Note
from mailfw.moving.summary import AccountSummary, MailboxSummary, goneFrom
from mailfw.values import (
    RIGHTS,
    Adopt,
    Appended,
    Column,
    Create,
    FlagChange,
    MailboxInfo,
    MailboxStatus,
    SetMetadata,
    SetRights,
    Subscribe,
    UIDSet,
)

_LAST = 0xFFFFFFFF
_MANY = 0xF0000000
"""UIDs above it are not kept: a server that claims them would leave none for mail to come."""
_METADATA = ("/private", "/shared")


class Stopped(Exception):
    """Whoever asked for it wants no more of it. What has come stays."""


@define
class Progress:
    """How far it has come. :ivar messages: and :ivar octets: carried over. :ivar total: messages that there are.
    :ivar isStopped: to be set by whoever wants it to end."""

    account: str = ""
    mailbox: str = ""
    messages: int = 0
    octets: int = 0
    total: int = 0
    isStopped: bool = False

    def check(self) -> None:
        """:raises Stopped:"""
        if self.isStopped:
            raise Stopped()


class OriginMailbox(Protocol):
    """A mailbox that mail comes from."""

    async def status(self) -> MailboxStatus:
        """Its counters; UIDs are below `uidNext`."""

    def batches(self, uids: UIDSet, wantsDigests: bool) -> AsyncIterable[Batch]:
        """Its messages, ascending by UID."""

    async def count(self, uids: UIDSet) -> int:
        """How many messages there are of these."""


class Origin(Protocol):
    """An account that mail comes from."""

    owner: str

    async def mailboxes(self) -> list[MailboxInfo]:
        """All of them, with the names that they are to have; several may have the same."""

    async def open(self, info: MailboxInfo) -> OriginMailbox:
        """:raises NoSuchMailbox:"""

    def label(self, info: MailboxInfo) -> str:
        """What tells a mailbox from others that go to the same place, in the journal."""

    async def metadata(self, mailbox: str, names: Sequence[str], depth: int | None) -> dict[str, bytes]:
        """As `IAccount` has it. :raises NotSupported:"""

    async def rights(self, mailbox: str) -> dict[str, str]:
        """As `IAccount` has it. :raises NotSupported:"""


class Carrier:
    """Of one account.

    :param origin: names where mail comes from, in the journal: store and account.
    :param target: likewise where it goes.
    :param source: opened by its owner.
    :param account: opened by its owner, who is an administrator.
    """

    def __init__(
        self, source: IAccount | Origin, account: IAccount, origin: str, target: str, journal: Journal, progress: Progress
    ) -> None:
        self._mayHide = IUnnamedFolders(source) if IUnnamedFolders.providedBy(source) else None
        self._source: Origin = StoredAccount(source) if IAccount.providedBy(source) else source
        self._account = account
        self._origin = origin
        self._target = target
        self._journal = journal
        self._progress = progress

    async def carry(self) -> AccountSummary:
        """Everything. :raises Stopped: :raises Refusal:"""
        summary = AccountSummary(self._source.owner, self._account.owner)
        if self._mayHide is not None:
            for name in await self._mayHide.unnamed():
                summary.losses.append(f"{name!r} and the mail in it, for no mailbox can be called so: rename the folder")
        there = {info.name: info for info in await self._account.mailboxes()}
        for info in await self._source.mailboxes():
            self._progress.check()
            if info.isSelectable and not (info.name in there and there[info.name].isSelectable):
                try:
                    await self._create(info, summary)
                except InvalidName as refusal:
                    summary.losses.append(f"{info.name!r}, for no mailbox can be called so: {refusal}")
                    continue
                there[info.name] = evolve(info, isSubscribed=False)
            if info.isSubscribed and not (info.name in there and there[info.name].isSubscribed):
                await self._try(summary, f"{info.name}: the subscription", Subscribe(info.name))
            if info.isSelectable:
                try:
                    source = await self._source.open(info)
                except (NoSuchMailbox, NotSupported) as refusal:
                    summary.losses.append(f"{info.name}, which cannot be opened: {refusal}")
                    continue
                summary.mailboxes.append(await self._mailbox(source, info, summary))
        return summary

    async def _create(self, info: MailboxInfo, summary: AccountSummary) -> None:
        try:
            await self._account.apply([Create(info.name, info.specialUse)])
        except NotSupported:
            if not info.specialUse:
                raise
            await self._account.apply([Create(info.name)])
            summary.losses.append(f"{info.name}: what the mailbox is for")

    async def _try(self, summary: AccountSummary, what: str, *operations: Subscribe | SetMetadata | SetRights) -> None:
        """Do what a store need not be able to."""
        try:
            await self._account.apply(operations)
        except Refusal as refusal:
            summary.losses.append(f"{what}: {refusal}")

    # --- One mailbox

    async def _mailbox(self, source: OriginMailbox, info: MailboxInfo, summary: AccountSummary) -> MailboxSummary:
        target = await self._account.open(info.name)
        self._progress.mailbox = info.name
        one = MailboxSummary(info.name)
        before = await target.status()
        if before.uidNext == 1:
            await self._beside(info, summary)
        status = await source.status()
        origin = self._origin + self._source.label(info)
        note = await self._journal.find(origin, self._target, info.name)
        if note is not None and (note.uidValidity, note.targetValidity) != (status.uidValidity, before.uidValidity):
            note = None  # one of the two is another mailbox than it was
        isModest = status.uidNext <= _MANY
        keeps = isModest and await self._takesOver(info.name, status, before, note)
        status = status if isModest else evolve(status, uidNext=1)
        target = await self._account.open(info.name)
        now = await target.status()
        one.keepsUIDs = now.uidValidity == status.uidValidity
        last = note.uid if note is not None else 0
        tail = await self._tail(target, note.targetNext if note is not None else 1, now)
        one.already = await source.count(UIDSet(((1, last),))) if last else 0
        self._progress.messages += one.already
        gone = await self._messages(source, origin, info.name, status, now, keeps, last, tail, one)
        summary.losses += goneFrom(info.name, gone)
        if not one.keepsUIDs and (one.copied or one.already):
            summary.losses.append(f"{info.name}: UIDs, so that clients will fetch the mailbox anew")
        return one

    async def _beside(self, info: MailboxInfo, summary: AccountSummary) -> None:
        """What is kept beside the messages of a mailbox that has just been made."""
        try:
            entries = await self._source.metadata(info.name, _METADATA, None)
            rights = await self._source.rights(info.name)
        except NotSupported:
            return
        entries.pop("/private/specialuse", None)
        if entries:
            await self._try(summary, f"{info.name}: notes", SetMetadata(info.name, tuple(entries.items())))
        for name, letters in rights.items():
            allowed = "".join(right for right in RIGHTS if right in letters)
            operation = SetRights(info.name, name, FlagChange.REPLACE, allowed)
            await self._try(summary, f"{info.name}: rights of {name}", operation)

    async def _takesOver(self, name: str, status: MailboxStatus, target: MailboxStatus, note: Note | None) -> bool:
        """Whether UIDs are to be kept: the target's mailbox has the UIDVALIDITY, and nobody else has given any in it."""
        if target.uidValidity == status.uidValidity:
            return True
        if note is not None or target.uidNext > 1:
            return False
        try:
            await self._account.apply([Adopt(name, uidValidity=status.uidValidity)])
        except (NotSupported, UIDValidityChanged):
            return False
        return True

    async def _tail(self, target: IMailbox, first: int, now: MailboxStatus) -> Counter[bytes]:
        """What has come since the note, by content."""
        found: Counter[bytes] = Counter()
        if first < now.uidNext:
            uids = UIDSet(((first, now.uidNext - 1),))
            async for digests in target.rows(uids, (Column.CONTENT,), contentDigests):
                found.update(digests)
        return found

    async def _messages(
        self,
        source: OriginMailbox,
        origin: str,
        name: str,
        status: MailboxStatus,
        now: MailboxStatus,
        keeps: bool,
        last: int,
        tail: Counter[bytes],
        one: MailboxSummary,
    ) -> list[int]:
        """Carry over what comes after `last`. → UIDs of what could not be read."""
        uidNext, validity = now.uidNext, now.uidValidity
        gone: list[int] = []
        async for batch in source.batches(UIDSet(((last + 1, _LAST),)), bool(tail)):
            try:
                self._progress.check()
                gone += batch.gone
                if not batch.messages:
                    break
                fresh = [each for each in batch.messages if not _isThere(each, tail)]
                one.already += len(batch.messages) - len(fresh)
                if fresh:
                    keeps = keeps and fresh[0].uid >= uidNext
                    uidNext = await self._add(name, fresh, keeps, status.uidNext)
                    one.keepsUIDs = one.keepsUIDs and keeps
                    one.copied += len(fresh)
                    one.octets += sum(each.message.source.size for each in fresh)
                if not gone:  # or else all from there on is looked at once more: it may be there then
                    note = Note(status.uidValidity, batch.messages[-1].uid, validity, uidNext)
                    await self._journal.write(origin, self._target, name, note)
                self._tell(batch)
            finally:
                batch.close()
        if keeps and uidNext < status.uidNext:
            await self._account.apply([Adopt(name, uidNext=status.uidNext)])
            noted = await self._journal.find(origin, self._target, name)
            if noted is not None and not gone:
                await self._journal.write(origin, self._target, name, evolve(noted, targetNext=status.uidNext))
        return gone

    async def _add(self, name: str, fresh: Sequence[Carried], keeps: bool, above: int) -> int:
        """Add messages; UIDNEXT afterwards."""
        messages = tuple(each.message for each in fresh)
        adopting = Adopt(name, messages, tuple(each.uid for each in fresh)) if keeps else Adopt(name, messages, uidNext=above)
        (appended,) = await self._account.apply([adopting])
        assert isinstance(appended, Appended)
        return appended.uids[-1] + 1

    def _tell(self, batch: Batch) -> None:
        self._progress.messages += len(batch.messages)
        self._progress.octets += batch.octets


def _isThere(carried: Carried, tail: Counter[bytes]) -> bool:
    """Whether a message is among those that have come; each is found once."""
    if not tail[carried.digest]:
        return False
    tail[carried.digest] -= 1
    return True
