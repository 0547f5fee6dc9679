"""Several databases as they were at one instant, without holding up anybody who writes.

A read transaction is begun on each file. Then each is asked whether anything was committed in it since before the first
transaction began; if not, there was an instant at which all stood as they are read now. If something was, all are begun again: a
try takes less than a millisecond, so an instant without a commit is found between commits, however busy the server is.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

from attrs import define

from mailfw.backup.files import SYNC_EVERY, sync
from mailfw.backup.manifest import BackupError, Tell
from mailfw.sql import Connection

PATIENCE = 10.0
"""Seconds for which an instant is looked for, and for which whoever has a file for itself is waited for before that."""

_PAUSE = 0.0005
_LEAST_PAGE = 512  # octets, of which files of SQLite's are a multiple
_PAGES = 128  # copied at a time


def isDatabase(path: str) -> bool:
    """Whether a file is SQLite's, which is asked itself. A process that opens a file and closes it loses all POSIX locks that it
    has there: the next program to look into a database that is in use here would then take its log for one that nobody needs.

    :raises FileNotFoundError: it is gone.
    """
    size = os.stat(path).st_size
    if not size or size % _LEAST_PAGE:
        return False
    try:
        connection = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return False  # whoever copies it will say what is wrong
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)
    finally:
        connection.close()
    return True


@define
class Pinned:
    """A database file. :ivar connection: reads it, at the moment where there is one. :ivar probe: sees others' commits.

    :ivar isWAL: whoever reads it holds up nobody.
    """

    path: str
    connection: Connection
    probe: Connection
    isWAL: bool

    @classmethod
    def open(cls, path: str) -> Pinned:
        """:raises sqlite3.Error: it cannot be read."""
        connection, probe = _connect(path), _connect(path)
        return cls(path, connection, probe, connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal")

    def stand(self) -> int:
        """A number that is another one after each commit."""
        return int(self.probe.execute("PRAGMA data_version").fetchone()[0])

    def pin(self) -> None:
        """From now on read what is there now."""
        self.connection.execute("BEGIN")
        self.connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()

    def hurry(self) -> None:
        """Wait no longer for whoever has the file for itself: what was pinned before would have grown old."""
        for connection in self.connection, self.probe:
            connection.execute("PRAGMA busy_timeout = 50").fetchall()

    def release(self) -> None:
        """Follow what is written again."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def identity(self) -> tuple[str, int]:
        """Kind and version of its schema; empty and 0 where it has none of ours."""
        try:
            name, version = self.connection.execute("SELECT name, version FROM schema_version").fetchone()
        except (sqlite3.OperationalError, TypeError, ValueError) as error:
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            return "", 0  # no such table, or another
        return str(name), int(version)

    def copy(self, target: str, tell: Tell) -> None:
        """Copy what is read, page by page; on disk on return, but for the name. One that readers hold up is copied in one go."""
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        size = self.connection.execute("PRAGMA page_size").fetchone()[0]
        left, since = -1, 0

        def progress(_: int, remaining: int, total: int) -> None:
            nonlocal left, since
            done = ((left if left >= 0 else total) - remaining) * size
            left, since = remaining, since + done
            if since >= SYNC_EVERY:
                sync(target)
                since = 0
            tell(self.path, done)

        writing = sqlite3.connect(target, isolation_level=None)
        try:
            for pragma in "journal_mode = OFF", "synchronous = OFF", "cache_size = -1024":
                writing.execute(f"PRAGMA {pragma}").fetchall()
            self.connection.backup(writing, pages=_PAGES if self.isWAL else -1, progress=progress)
            writing.execute("PRAGMA journal_mode = DELETE").fetchall()  # so that it is one file, and whoever reads it makes none
        finally:
            writing.close()
        sync(target)

    def close(self) -> None:
        """Let go of it."""
        self.release()
        self.connection.close()
        self.probe.close()


def _connect(path: str) -> Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in "query_only = ON", f"busy_timeout = {PATIENCE * 1000:.0f}", "cache_size = -1024":
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def pin(databases: Sequence[Pinned], now: Callable[[], float] = time.time) -> float:
    """Pin all at one instant. → when that was, seconds since the epoch.

    :raises BackupError: there was none for a long time.
    """
    for database in databases:
        database.hurry()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            before = [database.stand() for database in databases]
            moment = now()
            for database in databases:
                database.pin()
            if before == [database.stand() for database in databases]:
                return moment
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise  # busy: of a file in which a writer holds up readers
        for database in databases:
            database.release()
        time.sleep(_PAUSE)
    raise BackupError(f"for {PATIENCE:.0f} seconds there was no instant without a change: try again when there is less to do")
