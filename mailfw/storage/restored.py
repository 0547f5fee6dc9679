"""What a store's database needs when it is that of a backup, so that no number comes to mean two things.

Since the backup UIDs, MODSEQs, ids and UIDVALIDITYs were given that clients know and this file does not, and the same backup may
have been restored before. All of them are raised by a distance that grows with the time since then: what was given in that time
is skipped, if it was given no faster than the constants here say.

- UIDVALIDITY stays, so that clients keep what they have; messages keep their UIDs; UIDNEXT is raised. A mailbox of which that
  would take too many of the 2^32 gets another UIDVALIDITY instead.
- Every MODSEQ is raised, those of messages too. So each message counts as changed after anything that a client has seen, and is
  told anew with its flags; and each mailbox's log of vanished UIDs is incomplete from there on, so that a client is told of every
  UID that it may have and that is not there.
- What a simple store had under way is forgotten, and all its folders are looked at anew: its files are the truth.
"""

from __future__ import annotations

from mailfw.sql import Connection
from mailfw.storage.schema import SCHEMA
from mailfw.storage.sqlite import NUMBERS

UID_STEP = 1 << 20
UIDS_A_SECOND = 64
IDS_STEP = 1 << 24
IDS_A_SECOND = 256
MODSEQ_STEP = 1 << 32
MODSEQS_A_SECOND = 1 << 20
LAST_UID = 1 << 31
"""Above which UIDNEXT is not raised."""

_RESERVED = 1 << 28  # ids at the end of what one file may give, for what comes after

_MODSEQS = (
    "UPDATE account SET modseq = modseq + ?",
    "UPDATE name SET modseq = modseq + ?",
    "UPDATE mailbox SET modseq = modseq + ?",
    "UPDATE message SET modseq = modseq + ?",
    "UPDATE annotation SET modseq = modseq + ?",
)
_LOG = ("DELETE FROM vanished", "UPDATE mailbox SET vanished_floor = modseq")
_VALIDITIES = "UPDATE account SET uid_validity = MAX(uid_validity, ?)"
_CROWDED = "SELECT id, account FROM mailbox WHERE uid_next + ? > ? AND name IS NOT NULL"
_NEXT_VALIDITY = "UPDATE account SET uid_validity = uid_validity + 1 WHERE id = ? RETURNING uid_validity"
_SET_VALIDITY = "UPDATE mailbox SET uid_validity = ? WHERE id = ?"
_UIDS = "UPDATE mailbox SET uid_next = uid_next + ? WHERE uid_next + ? <= ?"
_LAST = "SELECT name, seq FROM sqlite_sequence"
_SET_LAST = "UPDATE sqlite_sequence SET seq = ? WHERE name = ?"
_FILES = ("DELETE FROM intent", "UPDATE mailbox SET token = '=' WHERE token <> ''")  # seen once, and to be looked at anew

__all__ = ["SCHEMA", "renumber"]


def renumber(connection: Connection, moment: float, now: float) -> None:
    """Inside a transaction. :param moment: of the backup; :param now: of its being restored, both seconds since the epoch."""
    seconds = max(0, int(now - moment) + 1)
    for statement in _MODSEQS:
        connection.execute(statement, (MODSEQ_STEP + seconds * MODSEQS_A_SECOND,))
    for statement in (*_LOG, *_FILES):
        connection.execute(statement)
    connection.execute(_VALIDITIES, (int(now),))
    step = UID_STEP + seconds * UIDS_A_SECOND
    for mailbox, account in connection.execute(_CROWDED, (step, LAST_UID)).fetchall():
        (validity,) = connection.execute(_NEXT_VALIDITY, (account,)).fetchone()
        connection.execute(_SET_VALIDITY, (validity, mailbox))
    connection.execute(_UIDS, (step, step, LAST_UID))
    for name, last in connection.execute(_LAST).fetchall():
        end = ((last >> NUMBERS) + 1 << NUMBERS) - _RESERVED
        connection.execute(_SET_LAST, (max(last, min(last + IDS_STEP + seconds * IDS_A_SECOND, end)), name))
