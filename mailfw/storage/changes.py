"""What is asked of a mailbox or an account as a whole: counters, all UIDs, what happened since. All from durable state."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from attrs import frozen

from mailfw.errors import UIDValidityChanged, Vanished
from mailfw.sql import Connection
from mailfw.storage.flags import SEEN, decode
from mailfw.storage.tree import mailboxId
from mailfw.values import Changes, MailboxStatus, MessageChange, UIDSet

_STATUS = """SELECT id, uid_validity, uid_next, modseq, messages, unseen, deleted, size, recent, vanished_floor FROM mailbox
    WHERE id = ? AND name IS NOT NULL"""
_UIDS = "SELECT uid FROM message WHERE mailbox = ? AND uid >= ? ORDER BY uid"
_FIRST_UNSEEN = f"SELECT uid FROM message WHERE mailbox = ? AND flags & {SEEN} = 0 ORDER BY uid LIMIT 1"
_KEYWORDS = "SELECT name FROM keyword WHERE mailbox = ? ORDER BY folded"
_CHANGED = "SELECT uid, modseq, flags, keywords FROM message WHERE mailbox = ? AND modseq > ? ORDER BY uid"
_VANISHED = "SELECT low, high FROM vanished WHERE mailbox = ? AND modseq > ?"
_ACCOUNT = "SELECT modseq FROM account WHERE id = ?"
_NAMES = """SELECT name FROM mailbox WHERE account = ? AND name IS NOT NULL AND modseq > ?
    UNION SELECT name FROM name WHERE account = ? AND modseq > ? ORDER BY 1"""


_EMAIL = """SELECT e.id, e.content, e.size FROM message m JOIN email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid = ?"""
_GONE = """SELECT e.id, e.content, e.size FROM expunged x JOIN email e ON e.id = x.email WHERE x.mailbox = ? AND x.uid = ?"""


class Counters(NamedTuple):
    """A mailbox's row."""

    id: int
    uidValidity: int
    uidNext: int
    modSeq: int
    messages: int
    unseen: int
    deleted: int
    size: int
    recent: int
    vanishedFloor: int

    def status(self, recentFrom: int) -> MailboxStatus:
        """The counters as the contract has them."""
        return MailboxStatus(
            mailboxId(self.id),
            self.uidValidity,
            self.uidNext,
            self.modSeq,
            self.messages,
            self.unseen,
            self.deleted,
            self.size,
            recentFrom,
        )


def counters(connection: Connection, mailbox: int) -> Counters:
    """:raises UIDValidityChanged: the mailbox was deleted."""
    row = connection.execute(_STATUS, (mailbox,)).fetchone()
    if row is None:
        raise UIDValidityChanged()
    return Counters(*row)


@frozen(eq=False)
class View:
    """All UIDs of a mailbox at one moment. `uids` is shared and never changed."""

    counters: Counters
    uids: memoryview
    firstUnseen: int
    keywords: tuple[str, ...]


def view(connection: Connection, mailbox: int, known: View | None) -> View:
    """The mailbox now; where only messages came in since `known`, only those are read, and where nothing did, nothing is."""
    now = counters(connection, mailbox)
    uids = known.uids if known is not None and known.counters.modSeq == now.modSeq else _uids(connection, now, known)
    firstUnseen = 0
    if now.unseen:
        row = connection.execute(_FIRST_UNSEEN, (mailbox,)).fetchone()
        firstUnseen = 0 if row is None else int(row[0])
    keywords = tuple(str(row[0]) for row in connection.execute(_KEYWORDS, (mailbox,)))
    return View(now, uids, firstUnseen, keywords)


def _uids(connection: Connection, now: Counters, known: View | None) -> memoryview:
    if known is not None:
        came = array("I", (row[0] for row in connection.execute(_UIDS, (now.id, known.counters.uidNext))))
        if len(known.uids) + len(came) == now.messages:  # so nothing went
            if not came:
                return known.uids
            uids = array("I", known.uids.tobytes())
            uids.extend(came)
            return memoryview(uids).toreadonly()
    return memoryview(array("I", (row[0] for row in connection.execute(_UIDS, (now.id, 0))))).toreadonly()


def changesSince(connection: Connection, mailbox: int, modSeq: int) -> Changes:
    """Messages that came or changed after a MODSEQ, and UIDs that went."""
    now = counters(connection, mailbox)
    if modSeq >= now.modSeq:
        return Changes(now.modSeq, now.uidNext)
    rows = connection.execute(_CHANGED, (mailbox, modSeq))
    changed = tuple([MessageChange(uid, number, decode(bits, keywords)) for uid, number, bits, keywords in rows])
    vanished = UIDSet.fromRanges(connection.execute(_VANISHED, (mailbox, modSeq)).fetchall())
    return Changes(now.modSeq, now.uidNext, changed, vanished, modSeq >= now.vanishedFloor)


def changedNames(connection: Connection, account: int, modSeq: int) -> tuple[int, list[str]]:
    """The account's MODSEQ, and the names that anything happened to after `modSeq`."""
    row = connection.execute(_ACCOUNT, (account,)).fetchone()
    if row is None or row[0] <= modSeq:  # none: the account has been removed
        return (modSeq if row is None else int(row[0])), []
    now = int(row[0])
    return now, [str(row[0]) for row in connection.execute(_NAMES, (account, modSeq, account, modSeq))]


def emailOf(connection: Connection, mailbox: int, uid: int) -> tuple[int, int, int]:
    """Key, content and size of the email that a UID stands for, or until lately stood for.

    :raises Vanished: there is no such message, or no more.
    :raises UIDValidityChanged: the mailbox was deleted.
    """
    counters(connection, mailbox)
    for statement in (_EMAIL, _GONE):
        row = connection.execute(statement, (mailbox, uid)).fetchone()
        if row is not None:
            return row[0], row[1], row[2]
    raise Vanished()
