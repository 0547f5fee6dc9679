"""Mends what `checking` finds in a store: one transaction for each database file, which is taken back when it was a rehearsal.

What is written twice is counted anew from what it is written of. A message whose octets are gone, or not whole, goes from its
mailbox as if it had been expunged, and each is named; what is left of the octets is put aside in a file. Messages in no mailbox
come into `Lost+Found` of their account. Of a simple store the files are the truth, so its rows are only made fit to be compared
with them again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from mailfw.sql import Connection
from mailfw.sql.blobs import IBlobStore, drop
from mailfw.storage.checking import Look, told
from mailfw.storage.content import BLOB, RAW
from mailfw.storage.files import replaceFile
from mailfw.storage.flags import DELETED, SEEN
from mailfw.storage.housekeeping import release
from mailfw.values import Damage

LOST = "Lost+Found"

Names = list[str]

_WHERE = "a.name || ' ' || b.name"
_OF = "FROM mailbox b JOIN account a ON a.id = b.account WHERE b.name IS NOT NULL"
_COUNTED = f"""(SELECT COUNT(*), COALESCE(SUM(flags & {SEEN} = 0), 0), COALESCE(SUM(flags & {DELETED} <> 0), 0),
    COALESCE(SUM(size), 0) FROM message WHERE mailbox = b.id)"""
_COUNTERS = f"SELECT b.id, {_WHERE} {_OF} AND (b.messages, b.unseen, b.deleted, b.size) <> {_COUNTED}"
_COUNT = f"UPDATE mailbox AS b SET (messages, unseen, deleted, size) = {_COUNTED} WHERE id = ?"
_SUMMED = """(SELECT COALESCE(SUM(messages), 0), COALESCE(SUM(size), 0) FROM mailbox
    WHERE account = a.id AND name IS NOT NULL)"""
_TOTALS = f"SELECT id, name FROM account AS a WHERE (messages, size) <> {_SUMMED}"
_SUM = f"UPDATE account AS a SET (messages, size) = {_SUMMED} WHERE id = ?"
_HIGHEST_UID = "(SELECT COALESCE(MAX(uid), 0) FROM message WHERE mailbox = b.id)"
_UIDS = f"SELECT b.id, {_WHERE} {_OF} AND b.uid_next <= {_HIGHEST_UID}"
_RAISE_UID = f"UPDATE mailbox AS b SET uid_next = {_HIGHEST_UID} + 1 WHERE id = ?"
_HIGHEST_MODSEQ = "(SELECT COALESCE(MAX(modseq), 0) FROM message WHERE mailbox = b.id)"
_MODSEQS = f"SELECT b.id, {_WHERE} {_OF} AND (b.modseq > a.modseq OR b.modseq < {_HIGHEST_MODSEQ})"
_RAISE_MODSEQ = f"UPDATE mailbox AS b SET modseq = MAX(modseq, {_HIGHEST_MODSEQ}) WHERE id = ?"
_RAISE_ACCOUNT = """UPDATE account SET modseq = MAX(modseq, (SELECT COALESCE(MAX(modseq), 0) FROM mailbox
    WHERE account = account.id)) WHERE id = (SELECT account FROM mailbox WHERE id = ?)"""

_STRAYS = """SELECT m.mailbox, m.uid, e.account, a.name || ' UID ' || m.uid FROM message m LEFT JOIN email e ON e.id = m.email
    LEFT JOIN account a ON a.id = e.account WHERE NOT EXISTS (SELECT 1 FROM mailbox WHERE id = m.mailbox)"""
_FIND_LOST = "SELECT id FROM mailbox WHERE account = ? AND name = ?"
_VALIDITY = "UPDATE account SET uid_validity = uid_validity + 1 WHERE id = ? RETURNING uid_validity"
_MAKE_LOST = "INSERT INTO mailbox (account, name, uid_validity, modseq) VALUES (?, ?, ?, ?) RETURNING id"
_REMEMBER_LOST = """INSERT INTO name (account, name, modseq, subscribed) VALUES (?, ?, ?, 1) ON CONFLICT (account, name)
    DO UPDATE SET modseq = excluded.modseq, subscribed = 1"""
_NEXT_UID = "UPDATE mailbox SET uid_next = uid_next + 1, modseq = ? WHERE id = ? RETURNING uid_next - 1"
_MOVE_STRAY = "UPDATE message SET mailbox = ?, uid = ?, modseq = ? WHERE mailbox = ? AND uid = ?"

_CHANGE = "UPDATE account SET modseq = modseq + 1 WHERE id = ? RETURNING modseq"
_REMOVE = "DELETE FROM message WHERE mailbox = ? AND uid = ?"
_REMOVE_FILE = "DELETE FROM file WHERE mailbox = ? AND uid = ?"
_VANISH = "INSERT INTO vanished (mailbox, modseq, low, high) VALUES (?, ?, ?, ?)"
_CHANGED = "UPDATE mailbox SET modseq = ? WHERE id = ?"

_MESSAGES = """SELECT m.mailbox, m.uid, COALESCE(b.account, 0), COALESCE(a.name || ' ' || b.name, '') || ' UID ' || m.uid
    FROM message m LEFT JOIN mailbox b ON b.id = m.mailbox LEFT JOIN account a ON a.id = b.account"""
_WITHOUT_EMAIL = f"{_MESSAGES} WHERE NOT EXISTS (SELECT 1 FROM email WHERE id = m.email)"
_WITHOUT_FILE = f"""{_MESSAGES} WHERE b.name IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM file WHERE mailbox = m.mailbox AND uid = m.uid)"""
_OF_EMAIL = f"{_MESSAGES} WHERE m.email = ?"
_GRACE_OF = "DELETE FROM expunged WHERE email = ?"
_GRACE_WITHOUT_EMAIL = "DELETE FROM expunged WHERE NOT EXISTS (SELECT 1 FROM email WHERE id = expunged.email)"

_CONTENT = "CASE e.content WHEN 0 THEN e.id ELSE e.content END"
_BAD = f"""SELECT e.id, c.header || c.body FROM email e LEFT JOIN content c ON c.id = {_CONTENT}
    WHERE c.id IS NULL OR (c.encoding = {RAW} AND LENGTH(c.header) + LENGTH(c.body) <> e.size)"""
_BLOBS = f"SELECT e.id, c.body, e.size FROM content c JOIN email e ON {_CONTENT} = c.id WHERE c.encoding = {BLOB}"
_NAMED = f"SELECT body FROM content WHERE encoding = {BLOB}"

_TRUE_COPIES = "(SELECT COUNT(*) FROM message WHERE email = e.id) + (SELECT COUNT(*) FROM expunged WHERE email = e.id)"
_COPIES = f"SELECT e.id, 'email ' || e.id FROM email e WHERE e.copies <> {_TRUE_COPIES}"
_COPY = f"UPDATE email AS e SET copies = {_TRUE_COPIES} WHERE id = ?"
_UNUSED = "UPDATE email SET copies = 1 WHERE copies = 0 RETURNING id"

_NUMBERLESS = """DELETE FROM file WHERE NOT EXISTS (SELECT 1 FROM message WHERE mailbox = file.mailbox AND uid = file.uid)
    RETURNING 'UID ' || uid"""
_FORGET_SCANS = "UPDATE mailbox SET token = '=' WHERE token <> ''"  # but not that there was one: UIDs are imported once


def _again(kind: str, text: str, find: str, *mends: str) -> Look:
    """A look that finds rows, and mends each by its key."""

    def mend(place: str, connection: Connection) -> list[Damage]:
        rows = connection.execute(find).fetchall()
        for statement in mends:
            connection.executemany(statement, [(row[0],) for row in rows])
        return told(kind, place, text, [str(row[1]) for row in rows])

    return mend


_NUMBERS: tuple[Look, ...] = (
    _again("UIDs", "UIDNEXT raised above the highest UID", _UIDS, _RAISE_UID),
    _again("MODSEQ", "MODSEQs raised above those below them", _MODSEQS, _RAISE_MODSEQ, _RAISE_ACCOUNT),
)
_COUNTS: tuple[Look, ...] = (
    _again("counters", "counters of mailboxes counted anew", _COUNTERS, _COUNT),
    _again("totals", "totals of accounts counted anew", _TOTALS, _SUM),
)


def mend(place: str, blobs: IBlobStore | None, aside: Callable[[str, bytes | str], None], connection: Connection) -> list[Damage]:
    """All that can be mended in one file; what was done. To be called in a transaction.

    :param blobs: None: the octets are a simple store's.
    :param aside: keeps what is left of a content: its name, and octets or the path of a file.
    """
    done = _each(_NUMBERS, place, connection)
    done += _strays(place, blobs is not None, connection)
    done += _gone("missing emails", "messages of which nothing is left were removed", place, _WITHOUT_EMAIL, connection)
    connection.execute(_GRACE_WITHOUT_EMAIL)
    if blobs is None:
        done += _gone("missing files", "messages without a file were removed", place, _WITHOUT_FILE, connection)
        numberless = [str(name) for (name,) in connection.execute(_NUMBERLESS).fetchall()]
        done += told("missing messages", place, "files whose messages had no row: they get new UIDs", numberless)
        connection.execute(_FORGET_SCANS)
    else:
        done += _contents(place, blobs, aside, connection)
        done += _copies(place, connection)
    return done + _each((*_NUMBERS, *_COUNTS), place, connection)


def nowhere(name: str, rest: bytes | str) -> None:
    """Keeps nothing, for a rehearsal."""


def putAside(directory: str, name: str, rest: bytes | str) -> None:
    """Keep what is left of a content in a directory. :param rest: octets, or the path of a file."""
    os.makedirs(directory, 0o700, exist_ok=True)
    path = os.path.join(directory, name)
    if isinstance(rest, str):
        shutil.copyfile(rest, path)
    else:
        replaceFile(path, rest)


def dropOrphans(place: str, blobs: IBlobStore, isRehearsal: bool, connection: Connection) -> list[Damage]:
    """Remove blobs that no row names, of deliveries that were never acknowledged and of what was mended. Nobody may write."""
    named = {bytes(row[0]) for row in connection.execute(_NAMED)}
    refs = [ref for ref in blobs.orphans(float("inf")) if ref.encode() not in named]
    if not isRehearsal:
        drop(blobs, refs)
    return told("orphan blobs", place, "files that no message names removed", refs)


def _each(looks: Sequence[Look], place: str, connection: Connection) -> list[Damage]:
    return [damage for look in looks for damage in look(place, connection)]


def _strays(place: str, hasOctets: bool, connection: Connection) -> list[Damage]:
    rows = connection.execute(_STRAYS).fetchall()
    lost: Names = []
    removed: Names = []
    for mailbox, uid, account, name in rows:
        if hasOctets and name is not None:
            _rescue(mailbox, uid, account, connection)
            lost.append(name)
        else:
            connection.execute(_REMOVE, (mailbox, uid))
            removed.append(name or f"UID {uid}")
    return [
        *told("stray messages", place, f"messages in no mailbox put into {LOST}", lost),
        *told("stray messages", place, "rows of messages in no mailbox removed", removed),
    ]


def _rescue(mailbox: int, uid: int, account: int, connection: Connection) -> None:
    (modSeq,) = connection.execute(_CHANGE, (account,)).fetchone()
    row = connection.execute(_FIND_LOST, (account, LOST)).fetchone()
    if row is None:
        (validity,) = connection.execute(_VALIDITY, (account,)).fetchone()
        row = connection.execute(_MAKE_LOST, (account, LOST, validity, modSeq)).fetchone()
        connection.execute(_REMEMBER_LOST, (account, LOST, modSeq))
    (number,) = connection.execute(_NEXT_UID, (modSeq, row[0])).fetchone()
    connection.execute(_MOVE_STRAY, (row[0], number, modSeq, mailbox, uid))


def _gone(kind: str, text: str, place: str, find: str, connection: Connection) -> list[Damage]:
    rows = connection.execute(find).fetchall()
    _removed(rows, connection)
    return told(kind, place, text, [str(name) for *_, name in rows])


def _removed(rows: Iterable[tuple[int, int, int, str]], connection: Connection) -> None:
    """Take messages from their mailboxes, so that clients learn of it."""
    for mailbox, uid, account, _ in rows:
        changed = connection.execute(_CHANGE, (account,)).fetchone()
        connection.execute(_REMOVE, (mailbox, uid))
        connection.execute(_REMOVE_FILE, (mailbox, uid))
        if changed is not None:
            connection.execute(_VANISH, (mailbox, changed[0], uid, uid))
            connection.execute(_CHANGED, (changed[0], mailbox))


def _contents(place: str, blobs: IBlobStore, aside: Callable[[str, bytes | str], None], connection: Connection) -> list[Damage]:
    missing: Names = []
    cut: Names = []
    for email, rest in connection.execute(_BAD).fetchall():
        if rest:
            aside(f"email-{email}.eml", bytes(rest))
        (cut if rest else missing).extend(_without(email, connection))
    for email, ref, size in connection.execute(_BLOBS).fetchall():
        path = blobs.path(bytes(ref).decode())
        found = -1
        with suppress(OSError):
            found = os.stat(path).st_size if path else size
        if found not in (size, -1):
            aside(f"email-{email}.eml", path)
        if found != size:
            (cut if found >= 0 else missing).extend(_without(email, connection))
    return [
        *told("missing contents", place, "messages whose contents are gone were removed", missing),
        *told("broken contents", place, "messages whose contents are not whole were removed; what is left lies in lost", cut),
    ]


def _without(email: int, connection: Connection) -> Names:
    """Remove an email with all its messages; where they were."""
    rows = connection.execute(_OF_EMAIL, (email,)).fetchall()
    _removed(rows, connection)
    connection.execute(_GRACE_OF, (email,))
    return [str(name) for *_, name in rows] or [f"email {email}"]


def _copies(place: str, connection: Connection) -> list[Damage]:
    done = _again("copies", "uses of contents counted anew", _COPIES, _COPY)(place, connection)
    release(connection, [int(row[0]) for row in connection.execute(_UNUSED).fetchall()])  # blobs are orphans then
    return done
