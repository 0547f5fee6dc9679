"""What operations do to messages: append, flags, copy, move, expunge. Each takes one MODSEQ for all that it changes."""

from __future__ import annotations

from collections.abc import Sequence

from mailfw.storage import rights
from mailfw.storage.content import Arriving
from mailfw.storage.flags import DELETED, SEEN, decode, encode
from mailfw.storage.transaction import MailboxRef, Stored, Transaction
from mailfw.values import (
    Appended,
    Copied,
    Copy,
    Expunge,
    Expunged,
    FlagChange,
    FlagsSet,
    MessageChange,
    Move,
    SetFlags,
    UIDSet,
)

GRACE = 600.0  # seconds for which an expunged message can still be read

_MODSEQ = "SELECT modseq FROM mailbox WHERE id = ?"
_SET_FLAGS = "UPDATE message SET flags = ?, keywords = ?, modseq = ? WHERE mailbox = ? AND uid = ?"
_MORE_COPIES = "UPDATE email SET copies = copies + ? WHERE id = ?"
_REMOVE = "DELETE FROM message WHERE mailbox = ? AND uid = ?"
_VANISH = "INSERT INTO vanished (mailbox, modseq, low, high) VALUES (?, ?, ?, ?)"
_GRACE = "INSERT INTO expunged (mailbox, uid, email, until) VALUES (?, ?, ?, ?)"
_FORGET = "DELETE FROM email WHERE id = ? AND copies <= 0"


def append(
    tx: Transaction,
    mailbox: MailboxRef,
    messages: Sequence[tuple[Arriving, frozenset[str], float | None]],
    content: int = 0,
    uids: Sequence[int] | None = None,
    isAdopted: bool = False,
) -> tuple[Appended, list[int]]:
    """Add messages, in this order; returns their emails too.

    :param messages: each with its flags and internal date (None: now).
    :param content: of an email that holds the same octets, to be shared; 0: keep them.
    :param uids: ascending and already below UIDNEXT; None: the next ones.
    :param isAdopted: they are to have these and no others, whatever happens on the way.
    """
    rows = []
    size = unseen = deleted = 0
    for arriving, flags, date in messages:
        bits, keywords = tx.flags(mailbox.id, flags)
        email = tx.addEmail(arriving, content)
        rows.append(Stored(0, 0, bits, keywords, tx.now if date is None else date, arriving.size, email))
        size += arriving.size
        unseen += not bits & SEEN
        deleted += bool(bits & DELETED)
    number = len(rows)
    modSeq = tx.countAccount(number, size)
    taken = tx.countMailbox(mailbox.id, modSeq, number if uids is None else 0, number, unseen, deleted, size)
    uids = taken if uids is None else uids
    tx.addMessages(mailbox.id, modSeq, uids, rows)
    told = tx.place.adopted if isAdopted else tx.place.appended
    told(tx.connection, mailbox, uids, [(one[0], row) for one, row in zip(messages, rows, strict=True)])
    return Appended(mailbox.uidValidity, tuple(uids), modSeq), [row.email for row in rows]


def setFlags(tx: Transaction, operation: SetFlags) -> FlagsSet:
    """Change flags of the messages that are there; those whose flags stay as they are keep their MODSEQ."""
    mailbox = tx.mailbox(operation.mailbox, operation.uidValidity)
    change = _FlagChange(tx, mailbox.id, operation.change, operation.flags)
    before: list[Stored] = []
    changed: list[Stored] = []
    unchanged: list[int] = []
    failed: list[int] = []
    for message in list(tx.messages(mailbox.id, operation.uids)):
        if operation.unchangedSince is not None and message.modSeq > operation.unchangedSince:
            failed.append(message.uid)
            continue
        bits, keywords = change(message.bits, message.keywords)
        if bits == message.bits and keywords == message.keywords:
            unchanged.append(message.uid)
            continue
        before.append(message)
        changed.append(message._replace(bits=bits, keywords=keywords))
    modSeq = mark(tx, mailbox, before, changed)
    return FlagsSet(
        tuple(MessageChange(one.uid, modSeq, decode(one.bits, one.keywords)) for one in changed),
        UIDSet.fromUIDs(unchanged),
        UIDSet.fromUIDs(failed),
        modSeq,
    )


def mark(tx: Transaction, mailbox: MailboxRef, before: Sequence[Stored], after: Sequence[Stored]) -> int:
    """Give messages the flags that `after` has for them; returns the MODSEQ they have now."""
    if not after:
        return int(tx.connection.execute(_MODSEQ, (mailbox.id,)).fetchone()[0])
    unseen = deleted = 0
    for old, new in zip(before, after, strict=True):
        unseen += (old.bits & SEEN) - (new.bits & SEEN)
        deleted += ((new.bits & DELETED) - (old.bits & DELETED)) // DELETED
    modSeq = tx.countAccount()
    tx.countMailbox(mailbox.id, modSeq, unseen=unseen, deleted=deleted)
    tx.connection.executemany(_SET_FLAGS, [(one.bits, one.keywords, modSeq, mailbox.id, one.uid) for one in after])
    tx.place.flagged(tx.connection, mailbox, before, after)
    return modSeq


class _FlagChange:
    """What one SetFlags makes of (bits, keywords text); the keywords' part is worked out once for each text."""

    def __init__(self, tx: Transaction, mailbox: int, change: FlagChange, flags: frozenset[str]) -> None:
        self._tx = tx
        self._mailbox = mailbox
        self._change = change
        self._bits, keywords = encode(flags)
        self._mask, self._mayKeyword = rights.flagMask(rights.of(tx.connection, mailbox, tx.terms))
        if not self._mayKeyword:
            keywords = frozenset()
        if change is FlagChange.REMOVE:
            self._keywords = tx.knownKeywords(keywords)
        else:
            self._keywords = frozenset(tx.keywords(mailbox, keywords).split()) if keywords else keywords
        self._texts: dict[str, str] = {}

    def __call__(self, bits: int, keywords: str) -> tuple[int, str]:
        text = self._texts.get(keywords)
        if text is None:
            text = self._texts[keywords] = self._changed(keywords)
        mine = self._bits & self._mask
        if self._change is FlagChange.ADD:
            return bits | mine, text
        if self._change is FlagChange.REMOVE:
            return bits & ~mine, text
        return bits & ~self._mask | mine, text

    def _changed(self, keywords: str) -> str:
        if not self._mayKeyword:
            return keywords
        before = frozenset(keywords.split())
        if self._change is FlagChange.ADD:
            after = before | self._keywords
        elif self._change is FlagChange.REMOVE:
            after = before - self._keywords
        else:
            after = self._keywords
        return keywords if after == before else " ".join(sorted(after))


def copy(tx: Transaction, operation: Copy | Move) -> Copied:
    """Put messages into another mailbox of the account too; each copy is the same email. A move takes them out of the first."""
    isMove = isinstance(operation, Move)
    source = tx.mailbox(operation.mailbox, operation.uidValidity)
    target = tx.mailbox(operation.target)
    found = list(tx.messages(source.id, operation.uids))
    return transfer(tx, source, target, found, isMove)


def transfer(tx: Transaction, source: MailboxRef, target: MailboxRef, found: Sequence[Stored], isMove: bool) -> Copied:
    """`copy`, of messages that were looked up already."""
    connection = tx.connection
    brought = rights.arriving(tx, target, found)
    if not found:
        return Copied(target.uidValidity, (), (), int(connection.execute(_MODSEQ, (target.id,)).fetchone()[0]))
    for keywords in {one.keywords for one in brought if one.keywords}:
        tx.keywords(target.id, frozenset(keywords.split()))
    if not isMove or tx.place.hasGrace:
        connection.executemany(_MORE_COPIES, [(1, one.email) for one in found])
    size = sum(one.size for one in found)
    modSeq = tx.countAccount() if isMove else tx.countAccount(len(found), size)
    uids = range(0)
    for mailbox in sorted({source.id, target.id} if isMove else {target.id}):
        if mailbox == target.id:
            uids = tx.count(mailbox, modSeq, brought, 1, len(found))
        if mailbox == source.id and isMove:
            tx.count(mailbox, modSeq, found, -1)
    if isMove:
        _takeOut(tx, source, modSeq, found)
    tx.addMessages(target.id, modSeq, uids, brought)
    tx.place.copied(connection, source, target, uids, brought, isMove)
    return Copied(target.uidValidity, tuple(one.uid for one in found), tuple(uids), modSeq)


def expunge(tx: Transaction, operation: Expunge) -> Expunged:
    """Remove messages for good; for a while they can still be read where the place has that grace."""
    mailbox = tx.mailbox(operation.mailbox, operation.uidValidity)
    found = [one for one in tx.messages(mailbox.id, operation.uids) if one.bits & DELETED or not operation.onlyDeleted]
    return remove(tx, mailbox, found)


def remove(tx: Transaction, mailbox: MailboxRef, found: Sequence[Stored]) -> Expunged:
    """`expunge`, of messages that were looked up already."""
    if not found:
        return Expunged(UIDSet(), int(tx.connection.execute(_MODSEQ, (mailbox.id,)).fetchone()[0]))
    modSeq = tx.countAccount(-len(found), -sum(one.size for one in found))
    tx.count(mailbox.id, modSeq, found, -1)
    _takeOut(tx, mailbox, modSeq, found)
    if not tx.place.hasGrace:
        release(tx, [one.email for one in found])
    tx.place.expunged(tx.connection, mailbox, found)
    return Expunged(UIDSet.fromUIDs(one.uid for one in found), modSeq)


def release(tx: Transaction, emails: Sequence[int]) -> None:
    """One copy less of each email; those that have none left are forgotten."""
    tx.connection.executemany(_MORE_COPIES, [(-1, email) for email in emails])
    tx.connection.executemany(_FORGET, [(email,) for email in emails])


def _takeOut(tx: Transaction, mailbox: MailboxRef, modSeq: int, found: Sequence[Stored]) -> None:
    connection = tx.connection
    connection.executemany(_REMOVE, [(mailbox.id, one.uid) for one in found])
    ranges = UIDSet.fromUIDs(one.uid for one in found).ranges
    connection.executemany(_VANISH, [(mailbox.id, modSeq, low, high) for low, high in ranges])
    if tx.place.hasGrace:
        until = tx.now + GRACE
        connection.executemany(_GRACE, [(mailbox.id, one.uid, one.email, until) for one in found])
