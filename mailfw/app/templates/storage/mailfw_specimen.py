"""A mail store for mailfw: `specimen:FILE` keeps messages in a table of SQLite. The engine beside it supplies all that mail
protocols ask for: UIDs, flags, folders, search, quotas."""

import os
import secrets
import sqlite3
from contextlib import closing

from zope.interface import implementer

from mailfw.errors import Vanished
from mailfw.interfaces import ISimpleStore, ISimpleStorePlugin
from mailfw.values import Entry

TABLE = """CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, folder TEXT, key TEXT UNIQUE, date REAL, content BLOB)"""
WHERE = "WHERE account = ? AND folder = ?"


@implementer(ISimpleStore)
class SpecimenStore:
    """Every method blocks and is called in threads, never twice at a time for one account."""

    def __init__(self, path, now):
        self.path = path
        self.now = now
        self.ask(TABLE)

    def ask(self, statement, *values):
        return self.change(lambda database: database.execute(statement, values).fetchall())

    def change(self, work):
        """One transaction: all of it is on disk when this returns, or none of it when it raises."""
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            return work(database)

    def folders(self, account):
        return [name for (name,) in self.ask("SELECT DISTINCT folder FROM message WHERE account = ?", account)]

    def token(self, account, folder):
        return ""  # not known without looking

    def scan(self, account, folder):
        found = self.ask(f"SELECT key, date, length(content) FROM message {WHERE} ORDER BY number", account, folder)
        return [Entry(key, "", internalDate=date, size=size) for key, date, size in found]

    def read(self, account, folder, entry):
        found = self.ask(f"SELECT content FROM message {WHERE} AND key = ?", account, folder, entry.key)
        if not found:
            raise Vanished
        return found[0][0]

    def newKey(self, account, folder, message):
        return secrets.token_hex(12)

    def append(self, account, folder, messages):
        dated = [(key, self.now() if new.internalDate is None else new.internalDate, new.source.read()) for key, new in messages]
        rows = [(account, folder, *each) for each in dated]
        insert = "INSERT INTO message (account, folder, key, date, content) VALUES (?, ?, ?, ?, ?)"
        self.change(lambda database: database.executemany(insert, rows))
        return [Entry(key, "", internalDate=date, size=len(content)) for key, date, content in dated]

    def remove(self, account, folder, entries):
        keys = [(account, folder, entry.key) for entry in entries]
        self.change(lambda database: database.executemany(f"DELETE FROM message {WHERE} AND key = ?", keys))


@implementer(ISimpleStorePlugin)
class SpecimenPlugin:
    """Messages in a table of SQLite."""

    prefix = "specimen"

    def openSimpleStore(self, argument, context):
        return SpecimenStore(os.path.join(context.data, argument or "specimen.sqlite"), context.now)


plugin = SpecimenPlugin()
