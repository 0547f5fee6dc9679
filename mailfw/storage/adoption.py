"""Messages that come from another store and keep the numbers that they had there, so that clients need not fetch them again.

What the numbers promise stays true: UIDs of a mailbox only grow, and a UIDVALIDITY is given to a name only where the mailbox
has never given a UID, and where it is higher than that of any mailbox which is gone from the name. (That the empty mailbox may
have had a higher one for a while harms nobody: there was no message that a client could have kept.)
"""

from __future__ import annotations

from collections.abc import Sequence

from mailfw.errors import LimitExceeded, NotSupported, UIDValidityChanged
from mailfw.sql import Connection
from mailfw.storage import messages
from mailfw.storage.content import Arriving
from mailfw.storage.removal import highestValidity
from mailfw.storage.transaction import MAX_UID, MailboxRef, Transaction
from mailfw.values import Adopt, Appended

MAX_VALIDITY = 0xF0000000
"""Above it too few would be left for mailboxes to come."""

_UID_NEXT = "SELECT uid_next FROM mailbox WHERE id = ?"
_RAISE_NEXT = "UPDATE mailbox SET uid_next = ? WHERE id = ? AND uid_next < ?"
_PAST = "SELECT uid_validity FROM name WHERE account = ? AND name = ?"
_SET_VALIDITY = "UPDATE mailbox SET uid_validity = ?, modseq = ? WHERE id = ?"
_HIGHEST = "UPDATE account SET uid_validity = ? WHERE id = ? AND uid_validity < ?"


def adopt(tx: Transaction, operation: Adopt, arriving: Sequence[Arriving]) -> Appended:
    """Add messages; what is not safe is refused."""
    mailbox = tx.mailbox(operation.mailbox)
    if operation.uidValidity not in (0, mailbox.uidValidity):
        mailbox = _takeValidity(tx, mailbox, operation.uidValidity)
    uids = operation.uids
    if uids:
        _mustGrow(uidNext(tx.connection, mailbox.id), uids)
        if len(uids) != len(operation.messages):
            raise NotSupported("each message has one UID")
    raiseNext(tx.connection, mailbox.id, max(operation.uidNext, uids[-1] + 1 if uids else 0))
    if not operation.messages:
        return Appended(mailbox.uidValidity, (), tx.countAccount())
    brought = zip(arriving, operation.messages, strict=True)
    rows = [(one, message.flags, message.internalDate) for one, message in brought]
    return messages.append(tx, mailbox, rows, uids=uids or None, isAdopted=bool(uids))[0]


def uidNext(connection: Connection, mailbox: int) -> int:
    """The lowest UID that a message can still get."""
    return int(connection.execute(_UID_NEXT, (mailbox,)).fetchone()[0])


def raiseNext(connection: Connection, mailbox: int, uid: int) -> None:
    """Give no UID below that one any more. :raises LimitExceeded: there would be none left."""
    if uid > MAX_UID:
        raise LimitExceeded("the mailbox has no UID left")
    connection.execute(_RAISE_NEXT, (uid, mailbox, uid))


def _mustGrow(least: int, uids: Sequence[int]) -> None:
    for uid in uids:
        if uid < least:
            raise NotSupported("UIDs only grow")
        least = uid + 1


def _takeValidity(tx: Transaction, mailbox: MailboxRef, uidValidity: int) -> MailboxRef:
    """:raises UIDValidityChanged: somebody may know other messages under it."""
    row = tx.connection.execute(_PAST, (tx.account, mailbox.name)).fetchone()
    past = max(int(row[0]) if row is not None else 0, highestValidity(tx.connection))
    if uidNext(tx.connection, mailbox.id) > 1 or not past < uidValidity <= MAX_VALIDITY:
        raise UIDValidityChanged("the mailbox cannot have that UIDVALIDITY")
    modSeq = tx.countAccount()
    tx.connection.execute(_SET_VALIDITY, (uidValidity, modSeq, mailbox.id))
    tx.connection.execute(_HIGHEST, (uidValidity, tx.account, uidValidity))
    tx.remember(mailbox.name, modSeq)
    tx.touched[mailbox.id] = modSeq
    tx.caches.mailboxes.clear()
    return mailbox._replace(uidValidity=uidValidity)
