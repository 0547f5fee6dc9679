"""What a store clears away when there is time: messages whose grace is over, deleted mailboxes, old log entries, orphaned blobs,
pages of its file that nothing fills any more.

Work is done in small jobs between which the writer serves others. A job that is cut short by a crash is begun again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mailfw.sql import Connection, Database, shrink
from mailfw.sql.blobs import IBlobStore, drop
from mailfw.storage.content import BLOB
from mailfw.storage.rounds import Rounds

INTERVAL = 300.0  # seconds between rounds
PIECE = 200  # rows in one job
VANISHED_LIMIT = 20_000  # ranges of UIDs remembered for each mailbox
ORPHAN_AGE = 3600.0  # seconds after which a blob without a row was forgotten by a crash
RARELY = 86400.0  # seconds between looks at all blobs and all logs; the first comes with the first round

_DUE = "SELECT mailbox, uid, email FROM expunged WHERE until <= ? ORDER BY until LIMIT ?"
_END_GRACE = "DELETE FROM expunged WHERE mailbox = ? AND uid = ?"
_CLEARED = "SELECT id FROM mailbox WHERE name IS NULL ORDER BY id LIMIT 1"
_CLEARED_MESSAGES = "SELECT uid, email FROM message WHERE mailbox = ? ORDER BY uid LIMIT ?"
_REMOVE = "DELETE FROM message WHERE mailbox = ? AND uid = ?"
_CLEAR = (
    "DELETE FROM vanished WHERE mailbox = ?",
    "DELETE FROM file WHERE mailbox = ?",
    "UPDATE expunged SET until = 0 WHERE mailbox = ?",
    "DELETE FROM mailbox WHERE id = ?",
)
_FEWER = "UPDATE email SET copies = copies - 1 WHERE id = ? RETURNING copies, content"
_FORGET = "DELETE FROM email WHERE id = ?"
_UNSHARE = "UPDATE sharing SET emails = emails - 1 WHERE content = ? RETURNING emails"
_FORGET_SHARING = "DELETE FROM sharing WHERE content = ?"
_DROP = "DELETE FROM content WHERE id = ? RETURNING encoding, body"
_LONG_LOGS = "SELECT mailbox FROM vanished GROUP BY mailbox HAVING COUNT(*) > ?"
_CUT = "SELECT modseq FROM vanished WHERE mailbox = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?"
_SET_FLOOR = "UPDATE mailbox SET vanished_floor = ? WHERE id = ?"
_FORGET_LOG = "DELETE FROM vanished WHERE mailbox = ? AND modseq <= ?"
_IS_NAMED = f"SELECT 1 FROM content WHERE encoding = {BLOB} AND body = ?"


class Housekeeping:
    """Looks after one database, every `INTERVAL` seconds of the clock."""

    def __init__(self, database: Database, blobs: IBlobStore | None, clock: Any, now: Callable[[], float]) -> None:
        # clock: IReactorTime, an interface that is not typed upstream
        self._database = database
        self._blobs = blobs
        self._now = now
        self._rounds = Rounds("housekeeping", self.tidy, INTERVAL, clock)
        self._rarely = 0.0

    def start(self) -> None:
        """Begin; the first round comes after the first interval."""
        self._rounds.start()

    async def stop(self) -> None:
        """End; a round that is under way comes to its end at the next job."""
        await self._rounds.stop()

    async def tidy(self) -> None:
        """One round."""
        for job in (self._endGrace, self._clearMailbox):
            isMore = True
            while isMore and self._rounds.isGoing:
                isMore, refs = await self._database.write(job)
                await self._drop(refs)
        if self._now() >= self._rarely and self._rounds.isGoing:
            self._rarely = self._now() + RARELY
            for mailbox in await self._database.read(_longLogs):
                await self._database.write(partial(_cutLog, mailbox))
            await self._dropOrphans()
            isMore = True
            while isMore and self._rounds.isGoing:
                isMore = await self._database.write(lambda connection: shrink(connection, PIECE))

    async def _drop(self, refs: list[str]) -> None:
        blobs = self._blobs
        if refs and blobs is not None:
            await self._database.read(lambda _: drop(blobs, refs))

    def _endGrace(self, connection: Connection) -> tuple[bool, list[str]]:
        due = connection.execute(_DUE, (self._now(), PIECE)).fetchall()
        connection.executemany(_END_GRACE, [(mailbox, uid) for mailbox, uid, _ in due])
        return len(due) == PIECE, release(connection, [email for _, _, email in due])

    def _clearMailbox(self, connection: Connection) -> tuple[bool, list[str]]:
        row = connection.execute(_CLEARED).fetchone()
        if row is None:
            return False, []
        mailbox = row[0]
        found = connection.execute(_CLEARED_MESSAGES, (mailbox, PIECE)).fetchall()
        connection.executemany(_REMOVE, [(mailbox, uid) for uid, _ in found])
        if len(found) < PIECE:
            for statement in _CLEAR:
                connection.execute(statement, (mailbox,))
        return True, release(connection, [email for _, email in found])

    async def _dropOrphans(self) -> None:
        blobs = self._blobs
        if blobs is None:
            return
        before = self._now() - ORPHAN_AGE
        await self._drop(
            await self._database.read(lambda connection: [ref for ref in blobs.orphans(before) if not _isNamed(connection, ref)])
        )


def _isNamed(connection: Connection, ref: str) -> bool:
    return connection.execute(_IS_NAMED, (ref.encode(),)).fetchone() is not None


def _longLogs(connection: Connection) -> list[int]:
    return [row[0] for row in connection.execute(_LONG_LOGS, (VANISHED_LIMIT,))]


def _cutLog(mailbox: int, connection: Connection) -> None:
    """Forget the older half; who asks for changes from before is told that the log is incomplete."""
    floor = connection.execute(_CUT, (mailbox, VANISHED_LIMIT // 2)).fetchone()[0]
    connection.execute(_SET_FLOOR, (floor, mailbox))
    connection.execute(_FORGET_LOG, (mailbox, floor))


def release(connection: Connection, emails: list[int]) -> list[str]:
    """One copy less of each email. Those that have none left are forgotten, with the content that no other shares.

    :returns: blobs that nobody names any more, to be dropped after the commit.
    """
    refs = []
    for email in emails:
        copies, content = connection.execute(_FEWER, (email,)).fetchone()
        if copies > 0:
            continue
        connection.execute(_FORGET, (email,))
        content = content or email
        shared = connection.execute(_UNSHARE, (content,)).fetchone()
        if shared is not None:
            if shared[0] > 0:
                continue
            connection.execute(_FORGET_SHARING, (content,))
        dropped = connection.execute(_DROP, (content,)).fetchone()
        if dropped is not None and dropped[0] == BLOB:
            refs.append(dropped[1].decode())
    return refs
