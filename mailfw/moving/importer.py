"""Brings mail from files into an account.

Files give messages no numbers, so a message is known by its content: what has ever been in the target's mailbox is not brought
again, as often as it has been there. The journal keeps that in digests, and up to which UID it knows the mailbox; what came
later – by a batch whose note a crash prevented, or from elsewhere – is looked at first. So the same command can be given again at
any time, and what somebody has removed meanwhile stays removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mailfw.errors import MailboxExists, Refusal
from mailfw.interfaces import IAccount, IMailbox
from mailfw.moving.batches import Batch, Carried, contentDigests
from mailfw.moving.carrier import Progress
from mailfw.moving.folder import Folder, Gathered, InThread
from mailfw.moving.journal import Journal
from mailfw.moving.summary import AccountSummary, MailboxSummary
from mailfw.values import Adopt, Appended, Column, Create, Operation, Subscribe, UIDSet

_SHOWN = 20  # losses of one folder that are told one by one


class Importer:
    """Into one account.

    :param target: names store and account, in the journal.
    :param account: opened by its owner, who is an administrator.
    :param inThread: does what blocks.
    """

    def __init__(self, account: IAccount, target: str, journal: Journal, progress: Progress, inThread: InThread[Batch]) -> None:
        self._account = account
        self._target = target
        self._journal = journal
        self._progress = progress
        self._inThread = inThread

    async def bring(self, origin: str, folders: Iterable[Folder]) -> AccountSummary:
        """All of these. :param origin: names where they come from, for people. :raises Stopped: :raises Refusal:"""
        summary = AccountSummary(origin, self._account.owner)
        for folder in folders:
            self._progress.check()
            self._progress.mailbox = folder.name
            try:
                summary.mailboxes.append(await self._folder(folder))
            except Refusal as refusal:
                folder.losses.append(f"{folder.name}: {refusal.text}")
            summary.losses += folder.losses[:_SHOWN]
            if len(folder.losses) > _SHOWN:
                summary.losses.append(f"{folder.name}: {len(folder.losses) - _SHOWN} more")
        return summary

    async def _folder(self, folder: Folder) -> MailboxSummary:
        mailbox = await self._opened(folder)
        status = await mailbox.status()
        known, following = await self._journal.seen(self._target, folder.name, status.uidValidity)
        later = await _looked(mailbox, following, status.uidNext)
        if later:
            await self._journal.remember(self._target, folder.name, status.uidValidity, status.uidNext, later)
        known += later
        one = MailboxSummary(folder.name, keepsUIDs=False)
        async for batch in Gathered(folder, self._inThread):
            try:
                self._progress.check()
                fresh = [each for each in batch.messages if not _takes(known, each.digest)]
                one.already += len(batch.messages) - len(fresh)
                await self._add(folder, status.uidValidity, fresh, one)
                self._progress.messages += len(batch.messages)
                self._progress.octets += batch.octets
            finally:
                batch.close()
        return one

    async def _opened(self, folder: Folder) -> IMailbox:
        """The mailbox where it goes, made where there is none."""
        there = {info.name for info in await self._account.mailboxes() if info.isSelectable}
        if folder.name not in there:
            making: list[Operation] = [Create(folder.name)]
            try:
                await self._account.apply(making + [Subscribe(folder.name)] * folder.isSubscribed)
            except MailboxExists:
                pass  # INBOX, however it is spelled
        return await self._account.open(folder.name)

    async def _add(self, folder: Folder, validity: int, fresh: Sequence[Carried], one: MailboxSummary) -> None:
        """Add messages; of those that are refused it is said why, and the others come."""
        if not fresh:
            return
        added: list[Carried] = []
        try:
            uidNext = await self._apply(folder.name, fresh)
            added += fresh
        except Refusal:
            uidNext = 0
            for each in fresh:
                try:
                    uidNext = await self._apply(folder.name, [each])
                    added.append(each)
                except Refusal as refusal:
                    if refusal.isTemporary:
                        raise
                    folder.losses.append(f"{folder.name}: a message of {each.message.source.size} octets: {refusal.text}")
        if added:
            digests = Counter(each.digest for each in added)
            await self._journal.remember(self._target, folder.name, validity, uidNext, digests)
        one.copied += len(added)
        one.octets += sum(each.message.source.size for each in added)

    async def _apply(self, name: str, messages: Sequence[Carried]) -> int:
        """UIDNEXT afterwards."""
        (appended,) = await self._account.apply([Adopt(name, tuple(each.message for each in messages))])
        assert isinstance(appended, Appended)
        return appended.uids[-1] + 1


async def _looked(mailbox: IMailbox, first: int, uidNext: int) -> Counter[bytes]:
    """Digests of messages from a UID on."""
    found: Counter[bytes] = Counter()
    if first < uidNext:
        async for digests in mailbox.rows(UIDSet(((first, uidNext - 1),)), (Column.CONTENT,), contentDigests):
            found.update(digests)
    return found


def _takes(known: Counter[bytes], digest: bytes) -> bool:
    """Whether a message is among those that have come; each is found once."""
    if not known[digest]:
        return False
    known[digest] -= 1
    return True
