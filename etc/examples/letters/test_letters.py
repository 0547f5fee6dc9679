# test_letters.py
import sqlite3
from contextlib import closing

from letters import letters

from mailfw.testing.simplestore import SimpleStoreContract


class TestLetters(SimpleStoreContract):
    isTraced = False  # SQLite changes files by itself, and has been through crashes enough

    def openStore(self):
        return letters.openSimpleStore("shop.sqlite", self.context)

    def foreignAppend(self, account, folder, content):
        """What the application does to send somebody mail."""
        with closing(sqlite3.connect(f"{self.context.data}/shop.sqlite")) as database, database:
            sql = "INSERT INTO letter (key, account, folder, received, content) VALUES (hex(randomblob(16)), ?, ?, 0, ?)"
            database.execute(sql, (account, folder, content))

    def foreignRemove(self, account, folder, store, entry):
        with closing(sqlite3.connect(f"{self.context.data}/shop.sqlite")) as database, database:
            database.execute("DELETE FROM letter WHERE key = ?", (entry.key,))
