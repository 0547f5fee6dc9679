"""All that is SQLite's alone: how a file is opened, tuned and let go, its column types, and what its errors mean.

Guarantees: files are 0600 from the first moment; a commit is on disk when it returns (WAL, synchronous=FULL); a connection
for reading cannot write.
"""

from __future__ import annotations

import errno
import os
import sqlite3

from mailfw.errors import Unavailable

Connection = sqlite3.Connection
DatabaseError = sqlite3.Error

MEMORY = ":memory:"
PAGE_SIZE = 8192
CHECKPOINT_PAGES = 4000
STATEMENTS = 512
_FEW_PAGES = 1000  # free ones that are not worth the work

TYPES = {
    "identity": "INTEGER PRIMARY KEY AUTOINCREMENT",  # AUTOINCREMENT: an id is never given twice
    "octets": "BLOB",
    "clustered": "WITHOUT ROWID",
}
"""What `Schema` puts for `{identity}` (a key the database numbers), `{octets}` and `{clustered}` (stored in key order)."""

_OUR_FAULTS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)


def connectWriter(path: str) -> Connection:
    """The connection that owns the file; it is made when it is not there. May be handed to another thread once.

    :raises Unavailable: the file cannot be opened, or is no database.
    """
    try:
        if path != MEMORY:
            _create(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"the database cannot be opened: {error}") from error
    try:
        for pragma in (
            f"page_size = {PAGE_SIZE}",
            "auto_vacuum = INCREMENTAL",  # of a new file; one that was made without it only grows
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {4 * CHECKPOINT_PAGES * PAGE_SIZE}",
            "cache_size = -16384",
            "temp_store = MEMORY",
            "busy_timeout = 2000",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error as error:
        connection.close()
        raise Unavailable(f"the database cannot be opened: {error}") from error
    return connection


def _create(path: str) -> None:
    """Make an empty file that only we can read, its name durable (SQLite gives its WAL the same mode)."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Place:
    """Where a database's file lies. SQLite writes on in a file that was removed, or moved away by a backup put in its place, and
    what it says is on disk is gone when the process ends.

    :param path: of the file, or `:memory:`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = self._look()

    def _look(self) -> tuple[int, int]:
        if self._path == MEMORY:
            return 0, 0
        status = os.stat(self._path)
        return status.st_dev, status.st_ino

    def check(self) -> None:
        """:raises OSError: there is no file, or another."""
        if self._look() != self._identity:
            raise FileNotFoundError(errno.ENOENT, "another file is in the place of the database", self._path)


def connectReader(path: str) -> Connection:
    """A connection that can only read."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS)
    for pragma in ("query_only = ON", "cache_size = -4096", "busy_timeout = 2000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def shrink(connection: Connection, pages: int) -> bool:
    """Give free pages back to the file system, if they are more than a quarter of the file; whether there are more to be given.

    New mail fills free pages by itself, so that a file which only breathes is left alone.

    :param pages: to be given back at the most.
    """
    free, count = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
    isIncremental = connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
    if not isIncremental or free < _FEW_PAGES or free * 4 < count:
        return False
    for _ in range(min(pages, free)):
        connection.execute("PRAGMA incremental_vacuum(1)").fetchall()  # a larger number would have to be stepped through
    return bool(free > pages)


def closeWriter(connection: Connection) -> None:
    """Let go of the file, the write-ahead log folded back into it. Nothing is lost when that fails."""
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error:
        pass
    finally:
        connection.close()


def isSystemFault(error: BaseException) -> bool:
    """Whether an exception tells of the disk, a lock or a damaged file, rather than of a mistake in our statements."""
    return isinstance(error, (sqlite3.Error, OSError)) and not isinstance(error, _OUR_FAULTS)
