"""`sqlite:PATH`, the default store: the engine with the octets in its own rows, in a fixed number of database files.

PATH is a directory. The number of files is chosen when the store is made (`sqlite:PATH?shards=8`) and recorded in it.
"""

from __future__ import annotations

import os
from functools import partial
from urllib.parse import parse_qs

from zope.interface import implementer

from mailfw.interfaces import IMailStorePlugin, IStoreContext
from mailfw.sql import Connection, Database
from mailfw.sql.blobs import FileBlobs
from mailfw.storage.bells import Bells
from mailfw.storage.engine import Engine
from mailfw.storage.household import Household
from mailfw.storage.housekeeping import Housekeeping
from mailfw.storage.indexer import openIndexer
from mailfw.storage.limits import Limits
from mailfw.storage.schema import SCHEMA
from mailfw.storage.store import Store

SHARDS = 2
MAX_SHARDS = 64

NUMBERS = 32
"""Bits of an id that number what is in one file; those above are the file's."""

_KNOWS_LAST = "SELECT 1 FROM sqlite_sequence WHERE name = ?"
_NOTE_LAST = "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)"
_RAISE_LAST = "UPDATE sqlite_sequence SET seq = ? WHERE name = ? AND seq < ?"
_SHARDS = """INSERT INTO setting (name, value) VALUES ('shards', ?)
    ON CONFLICT (name) DO UPDATE SET value = setting.value RETURNING value"""


@implementer(IMailStorePlugin)
class SQLite:
    """Opens `sqlite:PATH`."""

    prefix = "sqlite"

    def openStore(self, argument: str, context: IStoreContext) -> Store:
        """:raises ValueError: the argument makes no sense.
        :raises Unavailable: the files cannot be opened.
        :raises SchemaMismatch: they are no store, or a newer program's.
        """
        path, _, options = argument.partition("?")
        directory = os.path.join(context.data, path)
        wanted = _shards(options)
        os.makedirs(directory, 0o700, exist_ok=True)
        first = self._open(directory, 0, context)
        try:
            count = _recorded(first, wanted)
            databases = [first, *(self._open(directory, number, context) for number in range(1, count))]
        except BaseException:
            first.close()
            raise
        bells = Bells()
        limits = Limits(context.quotaOf, context.now)
        engines = []
        for number, database in enumerate(databases):
            blobs = FileBlobs(blobsOf(database.path))
            housekeeping = Housekeeping(database, blobs, context.reactor, context.now)
            indexer = openIndexer(database, os.path.join(directory, f"search{number}.index"), context)
            engines.append(Engine(database, blobs, bells, context.now, housekeeping, limits, indexer, Household.of(context)))
        return Store(engines, context.domains[0])

    def _open(self, directory: str, number: int, context: IStoreContext) -> Database:
        path = os.path.join(directory, f"mail{number}.sqlite")
        database = Database.open(path, SCHEMA, reactor=context.reactor, isInline=context.isInline)
        database.call(partial(_numberApart, number << NUMBERS))
        return database


def blobsOf(path: str) -> str:
    """Where the blobs of a database file are: `mail1.sqlite` has `blobs1`."""
    directory, name = os.path.split(path)
    return os.path.join(directory, "blobs" + name.removeprefix("mail").removesuffix(".sqlite"))


def _shards(options: str) -> int:
    parsed = parse_qs(options, keep_blank_values=True, strict_parsing=bool(options))
    text = parsed.pop("shards", [str(SHARDS)])[-1]
    if parsed:
        raise ValueError(f"the sqlite store has no option {next(iter(parsed))!r}; it has shards")
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SHARDS:
        raise ValueError(f"shards is a number from 1 to {MAX_SHARDS}, not {text!r}")
    return int(text)


def _numberApart(least: int, connection: Connection) -> None:
    """Let mailboxes and emails have numbers that no other file's have, for one person may see mailboxes of several."""
    for table in "mailbox", "email":
        if not connection.execute(_KNOWS_LAST, (table,)).fetchone():
            connection.execute(_NOTE_LAST, (table, least))
        connection.execute(_RAISE_LAST, (least, table, least))


def _recorded(database: Database, wanted: int) -> int:
    """The number of files the store was made with; a new one is made with `wanted`."""
    return database.call(lambda connection: int(connection.execute(_SHARDS, (str(wanted),)).fetchone()[0]))


sqlite = SQLite()
