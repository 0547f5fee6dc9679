# letters.py
"""Mail in an application's own SQLite database: `--store letters:/srv/shop/shop.sqlite`. Its table `letter` is the truth: what
the application inserts is new mail, and what it deletes is gone.
"""

import os
import secrets
import sqlite3
from contextlib import closing

from zope.interface import implementer

from mailfw.errors import MailboxExists, NoSuchMailbox, Vanished
from mailfw.interfaces import ISimpleFolders, ISimpleStore, ISimpleStorePlugin
from mailfw.values import Entry

SCHEMA = """
CREATE TABLE IF NOT EXISTS letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL,
    account TEXT NOT NULL, folder TEXT NOT NULL, received REAL NOT NULL, content BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS letter_place ON letter (account, folder, id);
CREATE TABLE IF NOT EXISTS folder (account TEXT, name TEXT, PRIMARY KEY (account, name));
"""
HERE = "account = ? AND folder = ?"


@implementer(ISimpleStore, ISimpleFolders)
class Letters:
    def __init__(self, path, now):
        self.path, self.now = path, now
        with closing(self.connect()) as database, database:
            database.executescript(SCHEMA)

    def connect(self):
        return sqlite3.connect(self.path, timeout=10)

    def ask(self, sql, *values):
        """All rows of the answer; what was changed is on disk then."""
        with closing(self.connect()) as database, database:
            return database.execute(sql, values).fetchall()

    # --- ISimpleStore ---

    def folders(self, account):
        return [name for (name,) in self.ask("SELECT name FROM folder WHERE account = ?", account)]

    def token(self, account, folder):  # ids only grow, so no two states have the same
        ((count, *others),) = self.ask(f"SELECT count(*), sum(id), max(id) FROM letter WHERE {HERE}", account, folder)
        return f"{count} {others}" if count else ""

    def scan(self, account, folder):
        sql = f"SELECT key, received, length(content) FROM letter WHERE {HERE} ORDER BY id"
        for key, received, size in self.ask(sql, account, folder):
            yield Entry(key, "", internalDate=received, size=size)

    def read(self, account, folder, entry):
        for (content,) in self.ask(f"SELECT content FROM letter WHERE {HERE} AND key = ?", account, folder, entry.key):
            return content
        raise Vanished

    def newKey(self, account, folder, message):
        return secrets.token_hex(16)

    def append(self, account, folder, messages):
        made = []
        with closing(self.connect()) as database, database:
            place = database.execute("SELECT 1 FROM folder WHERE account = ? AND name = ?", (account, folder))
            if folder != "INBOX" and place.fetchone() is None:
                raise NoSuchMailbox
            for key, message in messages:
                content, received = message.source.read(), self.now() if message.internalDate is None else message.internalDate
                row = (key, account, folder, received, content)
                database.execute("INSERT INTO letter (key, account, folder, received, content) VALUES (?, ?, ?, ?, ?)", row)
                made.append(Entry(key, "", internalDate=received, size=len(content)))
        return made

    def remove(self, account, folder, entries):
        with closing(self.connect()) as database, database:
            keys = [(account, folder, entry.key) for entry in entries]
            database.executemany(f"DELETE FROM letter WHERE {HERE} AND key = ?", keys)

    # --- ISimpleFolders: without these four, INBOX would be all ---

    def createFolder(self, account, folder):
        self.ask("INSERT OR IGNORE INTO folder VALUES (?, ?)", account, folder)

    def renameFolder(self, account, folder, newName):
        with closing(self.connect()) as database, database:
            try:
                sql = "UPDATE folder SET name = ? WHERE account = ? AND name = ?"
                renamed = database.execute(sql, (newName, account, folder))
            except sqlite3.IntegrityError:
                raise MailboxExists from None
            if not renamed.rowcount:
                raise NoSuchMailbox
            database.execute(f"UPDATE letter SET folder = ? WHERE {HERE}", (newName, account, folder))

    def deleteFolder(self, account, folder):
        with closing(self.connect()) as database, database:
            database.execute(f"DELETE FROM letter WHERE {HERE}", (account, folder))
            database.execute("DELETE FROM folder WHERE account = ? AND name = ?", (account, folder))


@implementer(ISimpleStorePlugin)
class LettersPlugin:
    """A table of an application's."""

    prefix = "letters"

    def openSimpleStore(self, argument, context):
        return Letters(os.path.join(context.data, argument), context.now)


letters = LettersPlugin()
