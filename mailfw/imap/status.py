"""STATUS: a mailbox's counters without opening it (RFC 3501 §6.3.10, RFC 9051 §6.3.11; 7889, 8438, 8474, 9208)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap import condstore
from mailfw.imap.grammar import response
from mailfw.imap.grammar.mailboxes import Status, StatusItem
from mailfw.imap.grammar.response import Reply, bad, ok
from mailfw.interfaces import IMailbox, Row
from mailfw.values import ALL_UIDS, Column, Flag, MailboxStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mailfw.imap.session import Handler, Session

COUNTERS: Mapping[StatusItem, Callable[[MailboxStatus], int]] = {
    StatusItem.MESSAGES: lambda status: status.messages,
    StatusItem.UIDNEXT: lambda status: status.uidNext,
    StatusItem.UIDVALIDITY: lambda status: status.uidValidity,
    StatusItem.UNSEEN: lambda status: status.unseen,
    StatusItem.DELETED: lambda status: status.deleted,
    StatusItem.SIZE: lambda status: status.size,
    StatusItem.HIGHESTMODSEQ: lambda status: status.highestModSeq,
}


async def _recent(mailbox: IMailbox, status: MailboxStatus) -> int:
    if status.recentFrom >= status.uidNext:
        return 0
    snapshot = await mailbox.snapshot()
    return sum(1 for uid in snapshot.uids if uid >= status.recentFrom)


async def _deletedStorage(mailbox: IMailbox) -> int:
    """Octets of the messages that have \\Deleted (RFC 9208 §4.1.4)."""

    def deleted(rows: Sequence[Row]) -> list[int]:
        return [sum(size for flags, size in rows if Flag.DELETED in flags)]

    return sum([sum(sizes) async for sizes in mailbox.rows(ALL_UIDS, (Column.FLAGS, Column.SIZE), deleted)])


async def _value(session: Session, mailbox: IMailbox, status: MailboxStatus, item: StatusItem) -> bytes:
    if item in COUNTERS:
        return b"%d" % COUNTERS[item](status)
    if item is StatusItem.RECENT:
        return b"%d" % await _recent(mailbox, status)
    if item is StatusItem.DELETED_STORAGE:
        return b"%d" % (await _deletedStorage(mailbox) if status.deleted else 0)
    if item is StatusItem.APPEND_LIMIT:
        return b"%d" % session.limits.messageSize
    return b"(%b)" % status.mailboxId.encode("ascii")


async def line(session: Session, name: str, items: Sequence[StatusItem]) -> bytes:
    """`"STATUS" SP mailbox SP "(" [status-att-list] ")"`

    :raises NoSuchMailbox: it cannot be opened.
    """
    account, local = await session.at(name)
    mailbox = await account.open(local)
    if StatusItem.HIGHESTMODSEQ in items:
        condstore.used(session)
    status = session.recency.adjust(session.store, await mailbox.status())
    words = [b"%b %b" % (item.value, await _value(session, mailbox, status, item)) for item in items]
    return response.untagged(b"STATUS", session.nameWord(name), b"(%b)" % b" ".join(words))


def objection(session: Session, items: Sequence[StatusItem]) -> Reply | None:
    """RECENT is no part of IMAP4rev2."""
    return bad("IMAP4rev2 has no RECENT") if session.isRev2 and StatusItem.RECENT in items else None


async def status(session: Session, command: Status) -> Reply:
    """RFC 9051 §6.3.11"""
    if (reply := objection(session, command.items)) is not None:
        return reply
    session.channel.write(await line(session, command.mailbox, command.items))
    return ok("that is the status")


HANDLERS: Mapping[type, Handler] = {Status: status}
