"""An application's own table as a mail store: `letters:FILE`. What the application writes into it can be read by IMAP and POP3,
what comes by SMTP is in the table, and the column `is_read` is what mail programs call \\Seen.

PYTHONPATH=etc/examples twistd -n mailfw --store letters:letters.sqlite
"""

import os
import secrets
import sqlite3
from contextlib import closing

from zope.interface import implementer

from mailfw.errors import MailboxExists, NoSuchMailbox, Vanished
from mailfw.interfaces import ISimpleFlags, ISimpleFolders, ISimpleStore, ISimpleStorePlugin
from mailfw.values import Entry, Flag

TABLE = """CREATE TABLE IF NOT EXISTS letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL DEFAULT (lower(hex(randomblob(12)))), person TEXT NOT NULL,
    box TEXT NOT NULL DEFAULT 'INBOX', arrived REAL NOT NULL DEFAULT (unixepoch()), is_read INTEGER NOT NULL DEFAULT 0,
    content BLOB NOT NULL)"""
BOXES = "CREATE TABLE IF NOT EXISTS box (person TEXT, name TEXT, PRIMARY KEY (person, name))"  # those that may be empty
PLACE = "person = ? AND box = ?"


@implementer(ISimpleStore, ISimpleFlags, ISimpleFolders)
class Letters:
    """Every method blocks and is called in threads, never twice at a time for one account."""

    permanentFlags = frozenset((Flag.SEEN,))  # others the engine keeps

    def __init__(self, path, now):
        self.path = path
        self.now = now
        self.ask(TABLE)
        self.ask(BOXES)

    def ask(self, statement, *values):
        return self.change(lambda database: database.execute(statement, values).fetchall())

    def change(self, work):
        """One transaction: all of it is on disk when this returns, or none of it when it raises."""
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            return work(database)

    def folders(self, account):
        select = "SELECT name FROM box WHERE person = ? UNION SELECT box FROM letter WHERE person = ?"
        return [name for (name,) in self.ask(select, account, account)]

    def token(self, account, folder):
        return ""  # not known without looking

    def scan(self, account, folder):
        select = f"SELECT name, is_read, arrived, length(content) FROM letter WHERE {PLACE} ORDER BY id"
        for name, isRead, arrived, size in self.ask(select, account, folder):
            yield Entry(name, "", frozenset((Flag.SEEN,) if isRead else ()), arrived, size)

    def read(self, account, folder, entry):
        for (content,) in self.ask(f"SELECT content FROM letter WHERE {PLACE} AND name = ?", account, folder, entry.key):
            return content
        raise Vanished

    def newKey(self, account, folder, message):
        return secrets.token_hex(12)

    def append(self, account, folder, messages):
        rows = [
            (
                key,
                account,
                folder,
                self.now() if new.internalDate is None else new.internalDate,
                Flag.SEEN in new.flags,
                new.source.read(),
            )
            for key, new in messages
        ]
        if folder != "INBOX" and folder not in self.folders(account):
            raise NoSuchMailbox
        insert = "INSERT INTO letter (name, person, box, arrived, is_read, content) VALUES (?, ?, ?, ?, ?, ?)"
        self.change(lambda database: database.executemany(insert, rows))
        return [Entry(key, "", frozenset((Flag.SEEN,) if isRead else ()), at, len(text)) for key, _, _, at, isRead, text in rows]

    def remove(self, account, folder, entries):
        rows = [(account, folder, entry.key) for entry in entries]
        self.change(lambda database: database.executemany(f"DELETE FROM letter WHERE {PLACE} AND name = ?", rows))

    def setFlags(self, account, folder, entries):
        update = f"UPDATE letter SET is_read = ? WHERE {PLACE} AND name = ?"
        rows = [(Flag.SEEN in flags, account, folder, entry.key) for entry, flags in entries]
        self.change(lambda database: database.executemany(update, rows))
        return [Entry(entry.key, "", flags & self.permanentFlags, entry.internalDate, entry.size) for entry, flags in entries]

    def createFolder(self, account, folder):
        self.ask("INSERT OR IGNORE INTO box VALUES (?, ?)", account, folder)

    def renameFolder(self, account, folder, newName):
        there = self.folders(account)
        if folder not in there:
            raise NoSuchMailbox
        if newName in there:
            raise MailboxExists
        self.createFolder(account, folder)  # one that is only named in letters

        def rename(database):
            database.execute("UPDATE box SET name = ? WHERE person = ? AND name = ?", (newName, account, folder))
            database.execute(f"UPDATE letter SET box = ? WHERE {PLACE}", (newName, account, folder))

        self.change(rename)

    def deleteFolder(self, account, folder):
        def delete(database):
            database.execute("DELETE FROM box WHERE person = ? AND name = ?", (account, folder))
            database.execute(f"DELETE FROM letter WHERE {PLACE}", (account, folder))

        self.change(delete)


@implementer(ISimpleStorePlugin)
class LettersPlugin:
    """An application's table in SQLite."""

    prefix = "letters"

    def openSimpleStore(self, argument, context):
        return Letters(os.path.join(context.data, argument), context.now)


letters = LettersPlugin()
