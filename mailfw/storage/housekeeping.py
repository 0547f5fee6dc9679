"""What a store clears away when there is time: messages whose grace is over, deleted mailboxes, old log entries, orphaned blobs.

Work is done in small jobs between which the writer serves others. A job that is cut short by a crash is begun again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mailfw.sql import Connection, Database
from mailfw.sql.blobs import IBlobStore, drop
from mailfw.storage.content import BLOB

INTERVAL = 300.0  # seconds between rounds
PIECE = 200  # rows in one job
VANISHED_LIMIT = 20_000  # ranges of UIDs remembered for each mailbox
ORPHAN_AGE = 3600.0  # seconds after which a blob without a row was forgotten by a crash

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
_LONG_LOGS = "SELECT mailbox FROM vanished GROUP BY mailbox HAVING COUNT(*) > ? LIMIT 1"
_CUT = "SELECT modseq FROM vanished WHERE mailbox = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?"
_SET_FLOOR = "UPDATE mailbox SET vanished_floor = ? WHERE id = ?"
_FORGET_LOG = "DELETE FROM vanished WHERE mailbox = ? AND modseq <= ?"
_BLOBS = f"SELECT body FROM content WHERE encoding = {BLOB}"


class Housekeeping:
    """Looks after one database, every `INTERVAL` seconds of the clock."""

    log = Logger()

    def __init__(self, database: Database, blobs: IBlobStore | None, clock: Any, now: Callable[[], float]) -> None:
        # clock: IReactorTime, an interface that is not typed upstream
        self._database = database
        self._blobs = blobs
        self._now = now
        self._loop = LoopingCall(self._round)
        self._loop.clock = clock
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; the first round comes after the first interval."""
        self._loop.start(INTERVAL, now=False).addErrback(lambda failure: self.log.failure("housekeeping ended", failure))

    async def stop(self) -> None:
        """End; a round that is under way comes to its end at the next job."""
        if self._loop.running:
            self._loop.stop()
        if self._running is not None:
            await self._running

    def _round(self) -> Deferred[None]:
        self._running = Deferred.fromCoroutine(self.tidy())
        return self._running.addErrback(lambda failure: self.log.failure("housekeeping failed", failure))

    async def tidy(self) -> None:
        """One round."""
        for job in (self._endGrace, self._clearMailbox, self._cutLog):
            while True:
                isMore, refs = await self._database.write(job)
                await self._drop(refs)
                if not isMore or not self._loop.running:
                    break
        await self._dropOrphans()

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

    def _cutLog(self, connection: Connection) -> tuple[bool, list[str]]:
        row = connection.execute(_LONG_LOGS, (VANISHED_LIMIT,)).fetchone()
        if row is None:
            return False, []
        floor = connection.execute(_CUT, (row[0], VANISHED_LIMIT // 2)).fetchone()[0]
        connection.execute(_SET_FLOOR, (floor, row[0]))
        connection.execute(_FORGET_LOG, (row[0], floor))
        return True, []

    async def _dropOrphans(self) -> None:
        blobs = self._blobs
        if blobs is None:
            return
        before = self._now() - ORPHAN_AGE
        old = await self._database.read(lambda _: set(blobs.orphans(before)))
        if old:
            used = await self._database.read(_namedBlobs)
            await self._drop(sorted(old - used))


def _namedBlobs(connection: Connection) -> set[str]:
    return {body.decode() for (body,) in connection.execute(_BLOBS)}


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
