"""Whether a store is whole: each look compares what is written twice, or what one row says of others, and says in words what is
wrong. Nothing is changed, and each look sees one moment of the database.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from mailfw.sql import Connection
from mailfw.sql.blobs import IBlobStore
from mailfw.sql.sqlite import isSystemFault
from mailfw.storage.content import BLOB, RAW
from mailfw.storage.flags import DELETED, SEEN
from mailfw.values import Damage

Look = Callable[[str, Connection], list[Damage]]

_SHOWN = 5  # names in one line

_COUNTERS = f"""SELECT a.name || ' ' || b.name FROM mailbox b JOIN account a ON a.id = b.account
    LEFT JOIN (SELECT mailbox, COUNT(*) AS messages, SUM(flags & {SEEN} = 0) AS unseen, SUM(flags & {DELETED} <> 0) AS deleted,
        SUM(size) AS size FROM message GROUP BY mailbox) m ON m.mailbox = b.id
    WHERE b.name IS NOT NULL AND (b.messages <> COALESCE(m.messages, 0) OR b.unseen <> COALESCE(m.unseen, 0)
        OR b.deleted <> COALESCE(m.deleted, 0) OR b.size <> COALESCE(m.size, 0))"""
_TOTALS = """SELECT a.name FROM account a LEFT JOIN (SELECT account, SUM(messages) AS messages, SUM(size) AS size FROM mailbox
    WHERE name IS NOT NULL GROUP BY account) b ON b.account = a.id
    WHERE a.messages <> COALESCE(b.messages, 0) OR a.size <> COALESCE(b.size, 0)"""
_UIDS = """SELECT a.name || ' ' || b.name FROM mailbox b JOIN account a ON a.id = b.account WHERE b.name IS NOT NULL
    AND b.uid_next <= (SELECT COALESCE(MAX(uid), 0) FROM message WHERE mailbox = b.id)"""
_MODSEQS = """SELECT a.name || ' ' || b.name FROM mailbox b JOIN account a ON a.id = b.account WHERE b.name IS NOT NULL
    AND (b.modseq > a.modseq OR b.modseq < (SELECT COALESCE(MAX(modseq), 0) FROM message WHERE mailbox = b.id))"""
_STRAYS = """SELECT 'UID ' || uid FROM message m WHERE NOT EXISTS (SELECT 1 FROM mailbox WHERE id = m.mailbox)"""
_EMAILS = """SELECT COALESCE(b.name, '') || ' UID ' || m.uid FROM message m LEFT JOIN mailbox b ON b.id = m.mailbox
    WHERE NOT EXISTS (SELECT 1 FROM email WHERE id = m.email)"""
_COPIES = """SELECT 'email ' || e.id FROM email e WHERE e.copies <> (SELECT COUNT(*) FROM message WHERE email = e.id) + (
    SELECT COUNT(*) FROM expunged WHERE email = e.id)"""
_CONTENTS = f"""SELECT 'email ' || e.id FROM email e
    LEFT JOIN content c ON c.id = CASE e.content WHEN 0 THEN e.id ELSE e.content END
    WHERE c.id IS NULL OR (c.encoding = {RAW} AND LENGTH(c.header) + LENGTH(c.body) <> e.size)"""
_FILES = """SELECT a.name || ' ' || b.name || ' UID ' || m.uid FROM message m JOIN mailbox b ON b.id = m.mailbox
    JOIN account a ON a.id = b.account
    WHERE b.name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM file WHERE mailbox = m.mailbox AND uid = m.uid)"""
_NUMBERLESS = """SELECT COALESCE(a.name || ' ' || b.name, 'no mailbox') || ' UID ' || f.uid FROM file f
    LEFT JOIN mailbox b ON b.id = f.mailbox LEFT JOIN account a ON a.id = b.account
    WHERE NOT EXISTS (SELECT 1 FROM message WHERE mailbox = f.mailbox AND uid = f.uid)"""
_BLOBS = f"""SELECT c.body, e.size FROM content c JOIN email e ON CASE e.content WHEN 0 THEN e.id ELSE e.content END = c.id
    WHERE c.encoding = {BLOB}"""


def _look(kind: str, text: str, statement: str) -> Look:
    def look(place: str, connection: Connection) -> list[Damage]:
        return told(kind, place, text, [str(row[0]) for row in connection.execute(statement)])

    return look


def told(kind: str, place: str, text: str, names: list[str]) -> list[Damage]:
    """One line of some names, or none where there are none."""
    if not names:
        return []
    shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    return [Damage(kind, place, f"{text}: {shown}", len(names))]


def integrity(place: str, connection: Connection) -> list[Damage]:
    """What the database itself finds wrong with its file."""
    try:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
    except Exception as error:
        if not isSystemFault(error):
            raise
        said = [str(error)]
    return [] if said == ["ok"] else told("file", place, "the database file is damaged: restore it from a backup", said)


_COMMON: tuple[Look, ...] = (
    integrity,
    _look("counters", "mailboxes whose counters are not those of their messages", _COUNTERS),
    _look("totals", "accounts whose totals are not those of their mailboxes", _TOTALS),
    _look("UIDs", "mailboxes that would give a UID again", _UIDS),
    _look("MODSEQ", "mailboxes whose MODSEQ is behind a message's, or ahead of the account's", _MODSEQS),
    _look("stray messages", "messages in no mailbox", _STRAYS),
    _look("missing emails", "messages without their row of contents", _EMAILS),
)

LOOKS_BESIDE: tuple[Look, ...] = (
    *_COMMON,
    _look("missing files", "messages of which no file is known", _FILES),
    _look("missing messages", "files whose messages have no row, so that their mailboxes cannot be opened", _NUMBERLESS),
)
"""At the state beside a simple store. (Its files are compared with it whenever a mailbox is opened.)"""

LOOKS: tuple[Look, ...] = (
    *_COMMON,
    _look("copies", "contents that are counted wrong, and would go too early or never", _COPIES),
    _look("missing contents", "contents that are not there, or not whole", _CONTENTS),
)
"""At one that has the octets."""


def blobs(store: IBlobStore, place: str, connection: Connection) -> list[Damage]:
    """Large contents that are not there, or not whole."""
    missing, short = [], []
    for ref, size in connection.execute(_BLOBS):
        path = store.path(ref.decode())
        try:
            if path and os.stat(path).st_size != size:
                short.append(path)
        except OSError:
            missing.append(path)
    return [
        *told("missing blob", place, "files of large messages are missing: restore them from a backup", missing),
        *told("wrong blob", place, "files of large messages have another size: restore them from a backup", short),
    ]
