"""The tree of mailbox names: create, rename, delete, subscribe, list.

Only mailboxes and subscriptions are stored. A name above a mailbox, or one that is subscribed to and has no mailbox, is in the
tree for as long as that is so, and cannot be selected.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailfw.errors import HasChildren, InvalidName, LimitExceeded, MailboxExists, NoPermission, NoSuchMailbox
from mailfw.sql import Connection
from mailfw.storage import metadata, quota, rights, uses
from mailfw.storage.messages import transfer
from mailfw.storage.names import DELIMITER, INBOX, ancestors, mailboxName, treeOrder
from mailfw.storage.transaction import ACCOUNT, OWN_WORK, MailboxRef, Terms, Transaction
from mailfw.values import ALL_UIDS, Create, Delete, MailboxInfo, Rename, SpecialUse, Subscribe

MAILBOXES = 10_000  # in one account

_TREE = """SELECT m.name, m.id, m.uid_validity, m.special_use, COALESCE(n.subscribed, 0) FROM mailbox m
    LEFT JOIN name n ON n.account = m.account AND n.name = m.name WHERE m.account = ? AND m.name IS NOT NULL"""
_SUBSCRIBED = "SELECT name FROM name WHERE account = ? AND subscribed = 1"
_INFO = _TREE + " AND m.name = ?"
_COUNT = "SELECT COUNT(*) FROM mailbox WHERE account = ? AND name IS NOT NULL"
_ADD = "INSERT INTO mailbox (account, name, uid_validity, modseq, special_use) VALUES (?, ?, ?, ?, ?)"
_NEXT_VALIDITY = """UPDATE account SET uid_validity = CASE WHEN uid_validity < ? THEN ? ELSE uid_validity + 1 END
    WHERE id = ? RETURNING uid_validity"""
_LAST_VALIDITY = "SELECT uid_validity FROM name WHERE account = ? AND name = ?"
_SUBSCRIBE = """INSERT INTO name (account, name, modseq, subscribed) VALUES (?, ?, ?, ?) ON CONFLICT (account, name)
    DO UPDATE SET modseq = excluded.modseq, subscribed = excluded.subscribed"""
_SUBSCRIBE_ALL = "UPDATE name SET subscribed = 1 WHERE account = ?"
_RENAME = "UPDATE mailbox SET name = ?, uid_validity = ? WHERE id = ?"
_CLEAR = "UPDATE mailbox SET name = NULL WHERE id = ? RETURNING messages, size"
_UNCOUNT = "UPDATE account SET messages = messages - ?, size = size - ? WHERE id = ?"
_FORGET_KEYWORDS = "DELETE FROM keyword WHERE mailbox = ?"


def mailboxId(number: int) -> str:
    """MAILBOXID (RFC 8474 §4) of the mailbox with that key; empty for `ACCOUNT`."""
    return f"F{number:x}" if number else ""


def listing(connection: Connection, account: int, terms: Terms) -> list[MailboxInfo]:
    """Every name that the actor may look up, parents before children, INBOX first. Subscriptions are the owner's."""
    rightsOf = rights.ofAll(connection, account, terms)
    infos = (_info(row, rightsOf(row[1]), terms) for row in connection.execute(_TREE, (account,)))
    names = {info.name: info for info in infos if "l" in info.rights}
    subscribed = [str(row[0]) for row in connection.execute(_SUBSCRIBED, (account,))] if terms.isOwner else []
    for name in subscribed:
        names.setdefault(name, MailboxInfo(name, isSelectable=False, isSubscribed=True))
    for name in list(names):
        for above in ancestors(name):
            names.setdefault(above, MailboxInfo(above, isSelectable=False))
    return [names[name] for name in sorted(names, key=treeOrder)]


def info(connection: Connection, account: int, name: str, terms: Terms = OWN_WORK) -> MailboxInfo | None:
    """The mailbox of that canonical name, whatever the actor may do with it."""
    row = connection.execute(_INFO, (account, name)).fetchone()
    return None if row is None else _info(row, rights.of(connection, row[1], terms), terms)


def _info(row: tuple[str, int, int, str, int], mayDo: str, terms: Terms) -> MailboxInfo:
    name, number, uidValidity, specialUse, subscribed = row
    isSubscribed = bool(subscribed) and terms.isOwner
    return MailboxInfo(name, mailboxId(number), uidValidity, True, isSubscribed, uses.decode(specialUse), mayDo)


def create(tx: Transaction, operation: Create) -> MailboxInfo:
    """Make a mailbox."""
    name = mailboxName(operation.name)
    if tx.findMailbox(name) is not None:
        raise MailboxExists()
    count = tx.connection.execute(_COUNT, (tx.account,)).fetchone()[0]
    if count >= MAILBOXES:
        raise LimitExceeded("the account has too many mailboxes")
    quota.mustFitMailbox(tx, count + 1)
    _make(tx, name, operation.specialUse)
    tx.place.created(tx.connection, name)
    found = info(tx.connection, tx.account, name, tx.terms)
    assert found is not None
    return found


def _make(tx: Transaction, name: str, specialUse: frozenset[SpecialUse] = frozenset()) -> MailboxRef:
    modSeq = tx.countAccount()
    uidValidity = _nextValidity(tx)
    uses.leave(tx, specialUse, modSeq)
    number = tx.connection.execute(_ADD, (tx.account, name, uidValidity, modSeq, uses.encode(specialUse))).lastrowid
    assert number is not None
    tx.remember(name, modSeq)
    tx.touched[number] = modSeq
    rights.inherit(tx, number, name)
    return MailboxRef(number, name, uidValidity)


def _nextValidity(tx: Transaction) -> int:
    now = int(tx.now)
    return int(tx.connection.execute(_NEXT_VALIDITY, (now, now, tx.account)).fetchone()[0])


def rename(tx: Transaction, operation: Rename) -> MailboxInfo:
    """Rename a mailbox, or a name that only has children, with all below it. A mailbox keeps its id, its UIDs and, unless the
    new name once had as high a one, its UIDVALIDITY."""
    name, newName = mailboxName(operation.name), mailboxName(operation.newName)
    if name == INBOX:
        return _renameInbox(tx, newName)
    if newName == name or tx.findMailbox(newName) is not None:
        raise MailboxExists()
    if newName.startswith(name + DELIMITER):
        raise InvalidName("a mailbox cannot be moved below itself")
    itself = tx.findMailbox(name)
    moved = ([itself] if itself is not None else []) + tx.below(name + DELIMITER)
    if not moved:
        raise NoSuchMailbox()
    names = [(one, mailboxName(newName + one.name[len(name) :])) for one in moved]
    for _, after in names:
        if tx.findMailbox(after) is not None:
            raise MailboxExists()
    modSeq = tx.countAccount()
    for one, after in names:
        _renameOne(tx, one, after, modSeq)
    tx.caches.mailboxes.clear()
    tx.place.renamed(tx.connection, [(one.name, after) for one, after in names])
    return info(tx.connection, tx.account, newName, tx.terms) or MailboxInfo(newName, isSelectable=False)


def renameEach(tx: Transaction, names: Sequence[tuple[str, str]]) -> None:
    """Give mailboxes new names, as far as they still have the old ones: what was begun before is brought to its end."""
    modSeq = tx.countAccount()
    for old, new in names:
        mailbox = tx.findMailbox(old)
        if mailbox is not None and tx.findMailbox(new) is None:
            _renameOne(tx, mailbox, new, modSeq)
    tx.caches.mailboxes.clear()


def _renameOne(tx: Transaction, mailbox: MailboxRef, name: str, modSeq: int) -> None:
    connection = tx.connection
    last = connection.execute(_LAST_VALIDITY, (tx.account, name)).fetchone()
    uidValidity = mailbox.uidValidity if last is None or last[0] < mailbox.uidValidity else _nextValidity(tx)
    connection.execute(_RENAME, (name, uidValidity, mailbox.id))
    tx.remember(mailbox.name, modSeq, mailbox.uidValidity)
    tx.remember(name, modSeq)
    tx.touched[mailbox.id] = modSeq


def _renameInbox(tx: Transaction, newName: str) -> MailboxInfo:
    """INBOX stays, empty, with its children; a new mailbox has its messages (RFC 9051 §6.3.6)."""
    made = create(tx, Create(newName))
    inbox, target = tx.mailbox(INBOX), tx.mailbox(newName)
    transfer(tx, inbox, target, list(tx.messages(inbox.id, ALL_UIDS)), isMove=True)
    metadata.copy(tx, inbox.id, target.id)
    return made


def delete(tx: Transaction, operation: Delete) -> None:
    """Delete a mailbox with its messages; what lies below stays. The rows are cleared away later, in pieces."""
    name = mailboxName(operation.name)
    if name == INBOX:
        raise NoPermission("INBOX cannot be deleted")
    found = tx.findMailbox(name)
    if found is None:
        if tx.below(name + DELIMITER):
            raise HasChildren()
        raise NoSuchMailbox()
    modSeq = tx.countAccount()
    messages, size = tx.connection.execute(_CLEAR, (found.id,)).fetchone()
    tx.connection.execute(_UNCOUNT, (messages, size, tx.account))
    tx.remember(name, modSeq, found.uidValidity)
    tx.connection.execute(_FORGET_KEYWORDS, (found.id,))
    metadata.forget(tx, found.id)
    rights.forget(tx, found.id)
    tx.touched[found.id] = modSeq
    tx.caches.mailboxes.clear()
    tx.place.deleted(tx.connection, name)


def subscribe(tx: Transaction, operation: Subscribe) -> None:
    """Note or forget a subscription; the name need not be a mailbox's."""
    modSeq = tx.countAccount()
    tx.touched[ACCOUNT] = modSeq
    tx.connection.execute(_SUBSCRIBE, (tx.account, mailboxName(operation.name), modSeq, int(operation.isSubscribed)))


def subscribeAll(tx: Transaction) -> None:
    """Subscribe to all there is: for a new account."""
    tx.connection.execute(_SUBSCRIBE_ALL, (tx.account,))
