"""Metadata: what people and programs note down beside a mailbox, or beside all of an account (RFC 5464).

An entry below /private/ is its owner's, who alone sees it, in whosever mailbox; one below /shared/ everybody sees who may look at
the mailbox. Entries go with their mailbox: renamed with it, deleted with it. Setting and removing take the account's next MODSEQ,
so that whoever asks what happened since finds it; what was removed is remembered for that, up to a bound.

What the server shares with all is no account's: it is in one database of the store, under the account 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailfw.errors import AnnotationTooLarge, InvalidName, NoPermission, NoSuchMailbox, NotSupported, TooManyAnnotations
from mailfw.sql import Connection
from mailfw.storage import uses
from mailfw.storage.names import mailboxName
from mailfw.storage.transaction import ACCOUNT, Transaction
from mailfw.values import SetMetadata, SpecialUse

VALUE_OCTETS = 65536
ENTRIES = 100  # of one owner in one mailbox; and names of such as were removed
ACCOUNT_OCTETS = 16 * 1024 * 1024

SERVER = 0
"""Stands for the account of what the server shares, and for the mailbox of what is an account's as a whole."""

PRIVATE = "/private/"
SHARED = "/shared/"
SPECIAL_USE = "/private/specialuse"
"""Says what a mailbox is for, and is no row of its own (RFC 6154 §4)."""

_SET = """INSERT INTO annotation (account, mailbox, owner, entry, value, modseq) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (account, mailbox, owner, entry) DO UPDATE SET value = excluded.value, modseq = excluded.modseq"""
_REMOVE = "UPDATE annotation SET value = NULL, modseq = ? WHERE account = ? AND mailbox = ? AND owner = ? AND entry = ?"
_HAS = "SELECT value IS NOT NULL FROM annotation WHERE account = ? AND mailbox = ? AND owner = ? AND entry = ?"
_COUNT = "SELECT COUNT(*) FROM annotation WHERE account = ? AND mailbox = ? AND owner = ? AND value IS NOT NULL"
_WEIGHT = "SELECT COALESCE(SUM(LENGTH(value)), 0) FROM annotation WHERE account = ?"
_FORGET_OLDEST = """DELETE FROM annotation WHERE account = ? AND mailbox = ? AND owner = ? AND value IS NULL AND modseq <=
    (SELECT modseq FROM annotation WHERE account = ? AND mailbox = ? AND owner = ? AND value IS NULL
    ORDER BY modseq DESC LIMIT 1 OFFSET ?)"""
_LAST = "SELECT COALESCE(MAX(modseq), 0) FROM annotation WHERE account = ?"
_READ = """SELECT entry, value FROM annotation WHERE account = ? AND mailbox = ? AND owner IN ('', ?) AND value IS NOT NULL
    AND (entry = ? OR (entry > ? AND entry < ?)) ORDER BY entry"""
_SINCE = """SELECT b.name, n.entry FROM annotation n JOIN mailbox b ON b.id = n.mailbox
    WHERE n.account = ? AND n.owner IN ('', ?) AND n.modseq > ? AND b.name IS NOT NULL
    UNION SELECT '', entry FROM annotation WHERE account = ? AND mailbox = 0 AND owner IN ('', ?) AND modseq > ? ORDER BY 1, 2"""
_FIND = "SELECT id FROM mailbox WHERE account = ? AND name = ?"
_USES = "SELECT special_use FROM mailbox WHERE id = ?"
_COPY = """INSERT INTO annotation (account, mailbox, owner, entry, value, modseq)
    SELECT account, ?, owner, entry, value, modseq FROM annotation WHERE account = ? AND mailbox = ?"""
_FORGET = "DELETE FROM annotation WHERE account = ? AND mailbox = ?"

Entries = Sequence[tuple[str, bytes | None]]


def setMetadata(tx: Transaction, operation: SetMetadata) -> None:
    """Set entries of a mailbox, or private ones of the account as a whole."""
    if any(entry.startswith(SHARED) for entry, _ in operation.entries) and not operation.mailbox:
        raise NotSupported("entries that the server shares are set by themselves")
    if not operation.mailbox:
        modSeq = tx.countAccount()
        _setAll(tx.connection, tx.account, SERVER, tx.terms.actor, operation.entries, modSeq)
        tx.touched[ACCOUNT] = modSeq
        return
    mailbox = tx.mailbox(operation.mailbox)
    entries = []
    for entry, value in operation.entries:
        if entry == SPECIAL_USE:
            wanted = _uses(value)
            modSeq = tx.countAccount()
            uses.leave(tx, wanted, modSeq)
            uses.put(tx, mailbox.id, mailbox.name, wanted, modSeq)
        else:
            entries.append((entry, value))
    modSeq = tx.countAccount()
    _setAll(tx.connection, tx.account, mailbox.id, tx.terms.actor, entries, modSeq)
    tx.remember(mailbox.name, modSeq)
    tx.touched[mailbox.id] = modSeq


def _uses(value: bytes | None) -> frozenset[SpecialUse]:
    known = {use.value.lower(): use for use in SpecialUse}
    try:
        return frozenset(known[word.lower()] for word in (value or b"").decode("ascii", "replace").split())
    except KeyError:
        raise InvalidName("there is no such use for a mailbox") from None


def _setAll(connection: Connection, account: int, mailbox: int, actor: str, entries: Entries, modSeq: int) -> None:
    for entry, value in entries:
        owner = actor if entry.startswith(PRIVATE) else ""
        place = (account, mailbox, owner)
        if value is None:
            connection.execute(_REMOVE, (modSeq, *place, entry))
            connection.execute(_FORGET_OLDEST, (*place, *place, ENTRIES))
            continue
        if len(value) > VALUE_OCTETS:
            raise AnnotationTooLarge(VALUE_OCTETS)
        isThere = connection.execute(_HAS, (*place, entry)).fetchone()
        if not (isThere and isThere[0]) and connection.execute(_COUNT, place).fetchone()[0] >= ENTRIES:
            raise TooManyAnnotations()
        connection.execute(_SET, (*place, entry, value, modSeq))
    if entries and connection.execute(_WEIGHT, (account,)).fetchone()[0] > ACCOUNT_OCTETS:
        raise TooManyAnnotations("the account has as much metadata as it can have")


def isServers(operation: object) -> bool:
    """Whether it sets what the server shares with all."""
    return (
        isinstance(operation, SetMetadata)
        and not operation.mailbox
        and any(entry.startswith(SHARED) for entry, _ in operation.entries)
    )


def setServers(connection: Connection, entries: Entries, isAdmin: bool) -> None:
    """Set entries that the server shares with all."""
    if not all(entry.startswith(SHARED) for entry, _ in entries):
        raise NotSupported("entries that the server shares are set by themselves")
    if not isAdmin:
        raise NoPermission("only administrators set what the server shares")
    modSeq = connection.execute(_LAST, (SERVER,)).fetchone()[0] + 1
    _setAll(connection, SERVER, SERVER, "", entries, modSeq)


def read(
    connection: Connection, account: int, mailbox: str, actor: str, names: Iterable[str], depth: int | None
) -> dict[str, bytes]:
    """Entries of those names, and below them, that the actor may see.

    :param mailbox: empty: private ones of the account as a whole, or what the server shares where the account is `SERVER`.
    :param depth: levels below each name; None: all.
    :raises NoSuchMailbox:
    """
    number = _find(connection, account, mailboxName(mailbox)) if mailbox else SERVER
    found: dict[str, bytes] = {}
    for name in names:
        low, high = f"{name}/", f"{name}0"  # "0" is the character behind "/"
        rows = connection.execute(_READ, (account, number, actor, name, low, low if depth == 0 else high)).fetchall()
        if number and (name == SPECIAL_USE or (depth != 0 and SPECIAL_USE.startswith(low))):
            rows += [(SPECIAL_USE, use.encode()) for (use,) in connection.execute(_USES, (number,)) if use]
        for entry, value in rows:
            if depth is None or entry.count("/") - name.count("/") <= depth:
                found[entry] = bytes(value)
    return dict(sorted(found.items()))


def _find(connection: Connection, account: int, name: str) -> int:
    row = connection.execute(_FIND, (account, name)).fetchone()
    if row is None:
        raise NoSuchMailbox()
    return int(row[0])


def changedSince(connection: Connection, account: int, actor: str, modSeq: int) -> list[tuple[str, str]]:
    """Mailbox names with entries that were set or removed after `modSeq`; the empty name is the account as a whole."""
    return [(str(name), str(entry)) for name, entry in connection.execute(_SINCE, (account, actor, modSeq) * 2)]


def copy(tx: Transaction, source: int, target: int) -> None:
    """A mailbox gets the entries of another too (RFC 5464 §4.1, of INBOX when it is renamed)."""
    tx.connection.execute(_COPY, (target, tx.account, source))


def forget(tx: Transaction, mailbox: int) -> None:
    """The mailbox is deleted."""
    tx.connection.execute(_FORGET, (tx.account, mailbox))
