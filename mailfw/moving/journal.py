"""What was moved before, noted in a file of its own: of each mailbox the last message that was carried over, and how far the
target was then; where messages have no numbers, the digests of all that has been there.

A note is written after what it tells is in the target. It may so be behind, never ahead: see `Carrier`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import frozen

from mailfw.sql import Connection, Database, Migration, Schema

SCHEMA = Schema(
    "moving",
    (
        Migration(
            (
                """CREATE TABLE note (
                    origin TEXT NOT NULL, target TEXT NOT NULL, mailbox TEXT NOT NULL, uid_validity INTEGER NOT NULL,
                    uid INTEGER NOT NULL, target_validity INTEGER NOT NULL, target_next INTEGER NOT NULL,
                    PRIMARY KEY (origin, target, mailbox)) {clustered}""",
            )
        ),
        Migration(
            (
                """CREATE TABLE mark (
                    target TEXT NOT NULL, mailbox TEXT NOT NULL, validity INTEGER NOT NULL, next INTEGER NOT NULL,
                    PRIMARY KEY (target, mailbox)) {clustered}""",
                """CREATE TABLE seen (
                    target TEXT NOT NULL, mailbox TEXT NOT NULL, digest {octets} NOT NULL, count INTEGER NOT NULL,
                    PRIMARY KEY (target, mailbox, digest)) {clustered}""",
            )
        ),
    ),
)

_FIND = """SELECT uid_validity, uid, target_validity, target_next FROM note WHERE origin = ? AND target = ? AND mailbox = ?"""
_WRITE = """INSERT INTO note (origin, target, mailbox, uid_validity, uid, target_validity, target_next)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (origin, target, mailbox) DO UPDATE SET uid_validity = excluded.uid_validity, uid = excluded.uid,
    target_validity = excluded.target_validity, target_next = excluded.target_next"""
_MARK = "SELECT validity, next FROM mark WHERE target = ? AND mailbox = ?"
_SEEN = "SELECT digest, count FROM seen WHERE target = ? AND mailbox = ?"
_FORGET = "DELETE FROM seen WHERE target = ? AND mailbox = ?"
_SET_MARK = """INSERT INTO mark (target, mailbox, validity, next) VALUES (?, ?, ?, ?)
    ON CONFLICT (target, mailbox) DO UPDATE SET validity = excluded.validity, next = excluded.next"""
_ADD_SEEN = """INSERT INTO seen (target, mailbox, digest, count) VALUES (?, ?, ?, ?)
    ON CONFLICT (target, mailbox, digest) DO UPDATE SET count = seen.count + excluded.count"""


@frozen
class Note:
    """:ivar uidValidity: and :ivar uid: of the last message carried over, where it came from.
    :ivar targetValidity: and :ivar targetNext: UIDVALIDITY and UIDNEXT of the target's mailbox when it had come.
    """

    uidValidity: int
    uid: int
    targetValidity: int
    targetNext: int


class Journal:
    """Notes in a database file. :param reactor: IReactorFromThreads."""

    def __init__(self, path: str, reactor: Any, isInline: bool = False) -> None:
        self._database = Database.open(path, SCHEMA, reactor=reactor, isInline=isInline)

    async def find(self, origin: str, target: str, mailbox: str) -> Note | None:
        """The note on a mailbox. :param origin: names store and account; :param target: likewise."""
        row = await self._database.read(lambda connection: connection.execute(_FIND, (origin, target, mailbox)).fetchone())
        return None if row is None else Note(*row)

    async def write(self, origin: str, target: str, mailbox: str, note: Note) -> None:
        """Replace it; durable on return."""
        values = (origin, target, mailbox, note.uidValidity, note.uid, note.targetValidity, note.targetNext)

        def write(connection: Connection) -> None:
            connection.execute(_WRITE, values)

        await self._database.write(write)

    # --- What came from where messages have no numbers: each is known by its digest

    async def seen(self, target: str, mailbox: str, validity: int) -> tuple[Counter[bytes], int]:
        """Digests of what has been in a mailbox, how often each, and the UID from which on nothing of it is noted."""

        def read(connection: Connection) -> tuple[Counter[bytes], int]:
            mark = connection.execute(_MARK, (target, mailbox)).fetchone()
            if mark is None or mark[0] != validity:
                return Counter(), 1
            return Counter(dict(connection.execute(_SEEN, (target, mailbox)).fetchall())), int(mark[1])

        return await self._database.read(read)

    async def remember(self, target: str, mailbox: str, validity: int, uidNext: int, digests: Counter[bytes]) -> None:
        """More digests, of messages below `uidNext`; durable on return. Those of another UIDVALIDITY are forgotten."""

        def write(connection: Connection) -> None:
            mark = connection.execute(_MARK, (target, mailbox)).fetchone()
            if mark is None or mark[0] != validity:
                connection.execute(_FORGET, (target, mailbox))
            connection.execute(_SET_MARK, (target, mailbox, validity, uidNext))
            connection.executemany(_ADD_SEEN, [(target, mailbox, digest, count) for digest, count in digests.items()])

        await self._database.write(write)

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.close()
