"""What was moved before, noted in a file of its own: of each mailbox the last message that was carried over, and how far the
target was then.

A note is written after what it tells is in the target. It may so be behind, never ahead: see `Carrier`.
"""

from __future__ import annotations

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
    ),
)

_FIND = """SELECT uid_validity, uid, target_validity, target_next FROM note WHERE origin = ? AND target = ? AND mailbox = ?"""
_WRITE = """INSERT INTO note (origin, target, mailbox, uid_validity, uid, target_validity, target_next)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (origin, target, mailbox) DO UPDATE SET uid_validity = excluded.uid_validity, uid = excluded.uid,
    target_validity = excluded.target_validity, target_next = excluded.target_next"""


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

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.close()
