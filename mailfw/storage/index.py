"""The index of substrings beside a database: which emails a text may be in. A cache, thrown away and made anew at will.

Two tables of SQLite's FTS5 with the trigram tokenizer, of headers and of bodies, keep for every three characters in a row the
emails that have them: no texts, no places in them. A row's number is that of the account and that of the email, so that an
account is searched without walking over the others. SQLite before 3.43 deletes nothing from such tables: emails that are gone
stay in them until the index is made anew; as no email's number is given twice, they can be told from those that are there.

Invariants: an email up to `mark` is in the index with all its text, or in `skipped`, or was gone before it could be read. What
`find` returns is never too little.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

from attrs import frozen
from twisted.logger import Logger

from mailfw.message.plan import INDEX_VERSION, AllOf, Contains, Place, Plan
from mailfw.sql.sqlite import Connection

T = TypeVar("T")

ACCOUNT_BITS = 40
"""A row's number is the account's, moved by so many bits, and the email's."""

MAX_LEAVES = 30
"""Texts of one search that are looked up; the others are left to whoever reads the messages."""

MAX_TRIGRAMS = 24
"""Of a text, so many are looked up. With `MAX_LEAVES` it bounds for how long a search keeps its thread."""

_LAYOUT = f"1.{INDEX_VERSION}"
_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -8192", "temp_store = MEMORY", "busy_timeout = 2000")
_TABLES = ("header_text", "body_text")
_PLACES = {Place.HEADER: _TABLES[:1], Place.BODY: _TABLES[1:], Place.MESSAGE: _TABLES}
_FTS5 = "fts5(text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1')"
_SCHEMA = (
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE skipped (id INTEGER PRIMARY KEY)",
    *(f"CREATE VIRTUAL TABLE {table} USING {_FTS5}" for table in _TABLES),
    *(f"INSERT INTO {table} ({table}, rank) VALUES ('hashsize', 8388608)" for table in _TABLES),
)
_SET = "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


@frozen
class Text:
    """What the index holds of one email. :ivar header: and :ivar body: None: it could not be had, so it may match anything."""

    account: int
    email: int
    header: str | None
    body: str | None

    @property
    def row(self) -> int:
        """Its number in the index."""
        return (self.account << ACCOUNT_BITS) | self.email


@frozen
class Found:
    """:ivar emails: those that may match, among those up to :ivar mark:; of later ones nothing is known."""

    emails: frozenset[int]
    mark: int


class Index:
    """One index, opened. Methods block, may be called from any thread, and raise `sqlite3.Error`."""

    log = Logger()

    def __init__(self, path: str, identity: str, connection: Connection) -> None:
        self.path = path
        self.identity = identity
        self._connection = connection
        self._lock = threading.Lock()
        self._local = threading.local()
        self._readers: list[Connection] = []

    @classmethod
    def open(cls, path: str, identity: str) -> Index | None:
        """The index of the database that has that identity; one that is of another, or damaged, is made anew.

        :returns: None where there can be none.
        """
        try:
            return cls._found(path, identity) or cls.anew(path, identity)
        except (sqlite3.Error, OSError) as error:
            cls.log.warn("searches go without an index: {error}", error=error)
            return None

    @classmethod
    def _found(cls, path: str, identity: str) -> Index | None:
        """What is there, where it can be used."""
        if not os.path.exists(path):
            return None
        index = None
        try:
            index = cls(path, identity, _connect(path))
            if index._setting("identity") == identity and index._setting("layout") == _LAYOUT:
                return index
        except sqlite3.Error:
            pass
        if index is not None:
            index.close()
        return None

    @classmethod
    def anew(cls, path: str, identity: str) -> Index:
        """An empty index, in place of whatever is there; who has that open goes on reading it.

        :raises OSError:
        """
        for each in (path, f"{path}-wal", f"{path}-shm"):
            if os.path.exists(each):
                os.remove(each)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # nobody else's from the first moment
        index = cls(path, identity, _connect(path))
        try:
            index._write(lambda connection: _make(connection, identity))
        except BaseException:
            index.close()
            raise
        return index

    @property
    def isThere(self) -> bool:
        """Whether the file has its name still."""
        return os.path.exists(self.path)

    # --- Filling

    @property
    def mark(self) -> int:
        """The last email that was looked into."""
        return int(self._read(lambda connection: _setting(connection, "mark") or "0"))

    @property
    def count(self) -> int:
        """How many emails were ever put in."""
        return int(self._read(lambda connection: _setting(connection, "count") or "0"))

    def put(self, texts: Sequence[Text], mark: int) -> None:
        """Add emails, and note that all up to `mark` have been looked into."""
        rows = sorted(texts, key=lambda text: text.row)  # FTS5 writes all it has gathered when a number is not above the last

        def write(connection: Connection) -> None:
            for table, kept in zip(_TABLES, ((row.header for row in rows), (row.body for row in rows)), strict=True):
                pairs = [(row.row, text) for row, text in zip(rows, kept, strict=True) if text]
                connection.executemany(f"INSERT INTO {table} (rowid, text) VALUES (?, ?)", pairs)
            skipped = [(row.row,) for row in rows if row.header is None or row.body is None]
            connection.executemany("INSERT OR IGNORE INTO skipped (id) VALUES (?)", skipped)
            connection.execute(_SET, ("mark", str(mark)))
            connection.execute(_SET, ("count", str(int(_setting(connection, "count") or "0") + len(rows))))

        self._write(write)

    def clear(self) -> None:
        """Forget everything; it is to be filled again from the beginning."""

        def write(connection: Connection) -> None:
            for table in _TABLES:
                connection.execute(f"INSERT INTO {table} ({table}) VALUES ('delete-all')")
            connection.execute("DELETE FROM skipped")
            connection.execute("DELETE FROM setting WHERE name IN ('mark', 'count')")

        self._write(write)

    # --- Asking

    def find(self, account: int, plan: Plan, limit: int) -> Found | None:
        """The emails of an account that a plan finds.

        :param limit: for a text that is in more of them than this, looking is no help.
        :returns: None where the index rules nothing out.
        """

        def find(connection: Connection) -> Found | None:
            mark = int(_setting(connection, "mark") or "0")
            emails = _Lookup(connection, account, limit).emails(plan)
            if emails is None:
                return None
            low, high = _rows(account)
            skipped = connection.execute("SELECT id FROM skipped WHERE id BETWEEN ? AND ?", (low, high)).fetchall()
            return Found(emails.union(row[0] - low for row in skipped), mark)

        return self._read(find)

    # --- Connections

    def _setting(self, name: str) -> str | None:
        return self._read(lambda connection: _setting(connection, name))

    def _write(self, job: Callable[[Connection], None]) -> None:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                job(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _read(self, job: Callable[[Connection], T]) -> T:
        reader: Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = _connect(self.path)
            self._readers.append(reader)
        reader.execute("BEGIN")
        try:
            return job(reader)
        finally:
            reader.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file. Nobody may be asking."""
        for reader in self._readers:
            reader.close()
        self._connection.close()


class _Lookup:
    """One plan being looked up."""

    def __init__(self, connection: Connection, account: int, limit: int) -> None:
        self._connection = connection
        self._rows = _rows(account)
        self._limit = limit
        self._left = 2 * limit  # emails that all texts together may be in
        self._leaves = MAX_LEAVES

    def emails(self, plan: Plan) -> frozenset[int] | None:
        """The emails that a plan finds; None: too many to say."""
        if isinstance(plan, Contains):
            return self._containing(plan)
        if isinstance(plan, AllOf):
            found: frozenset[int] | None = None
            for each in plan.plans:
                some = self.emails(each)
                if some is not None:
                    found = some if found is None else found & some
                if not found and found is not None:
                    break
            return found
        together: set[int] = set()
        for each in plan.plans:
            some = self.emails(each)
            if some is None:
                return None
            together |= some
        return frozenset(together)

    def _containing(self, wanted: Contains) -> frozenset[int] | None:
        self._leaves -= 1
        if self._leaves < 0:
            return None
        expression = " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in _chosen(wanted.trigrams))
        found: set[int] = set()
        for table in _PLACES[wanted.place]:
            limit = max(0, min(self._limit, self._left))
            sql = f"SELECT rowid FROM {table} WHERE {table} MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?"
            rows = self._connection.execute(sql, (expression, *self._rows, limit + 1)).fetchall()
            self._left -= len(rows)
            if len(rows) > limit:
                return None
            found.update(row[0] - self._rows[0] for row in rows)
        return frozenset(found)


def _chosen(trigrams: Sequence[str]) -> Sequence[str]:
    """Those that are looked up: all of them, or some from all over the text, where neighbours say much the same."""
    return trigrams if len(trigrams) <= MAX_TRIGRAMS else trigrams[:: -(-len(trigrams) // MAX_TRIGRAMS)]


def _rows(account: int) -> tuple[int, int]:
    """The numbers of an account's emails."""
    return account << ACCOUNT_BITS, ((account + 1) << ACCOUNT_BITS) - 1


def isDamage(error: BaseException) -> bool:
    """Whether an exception tells that the file holds something else than what was written, or is gone."""
    code = getattr(error, "sqlite_errorcode", None)  # of the extended codes, the lowest octet is the kind
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)


def _connect(path: str) -> Connection:
    there = f"file:{quote(path)}?mode=rw"  # a file that somebody removed is not made anew, empty
    connection = sqlite3.connect(there, isolation_level=None, check_same_thread=False, uri=True)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: Connection, identity: str) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.executemany(_SET, [("identity", identity), ("layout", _LAYOUT)])


def _setting(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])
