# pgletters.py
"""Mail in an application's own PostgreSQL database: `--store "pgletters:host=/run/postgresql dbname=shop"`.

Its table `letter` is the truth: what the application inserts is new mail, and what it deletes is gone.
"""

import secrets

import psycopg
from zope.interface import implementer

from mailfw.errors import InvalidName, MailboxExists, NoSuchMailbox, Vanished
from mailfw.interfaces import ISimpleFolders, ISimpleStore, ISimpleStorePlugin
from mailfw.values import Entry

SCHEMA = """
CREATE TABLE IF NOT EXISTS letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key TEXT UNIQUE NOT NULL,
    account TEXT NOT NULL, folder TEXT NOT NULL, received double precision NOT NULL, content bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS letter_place ON letter (account, folder, id);
CREATE TABLE IF NOT EXISTS folder (account TEXT, name TEXT, PRIMARY KEY (account, name));
"""
HERE = "account = %s AND folder = %s"


@implementer(ISimpleStore, ISimpleFolders)
class PgLetters:
    def __init__(self, address, now):
        self.address, self.now = address, now
        with self.connect() as database:
            database.execute(SCHEMA)

    def connect(self):  # a transaction, and a connection of its own; with many clients, take them from psycopg_pool
        return psycopg.connect(self.address)

    def ask(self, sql, *values):
        """All rows of the answer; what was changed is on disk then."""
        with self.connect() as database:
            return database.execute(sql, values).fetchall()

    # --- ISimpleStore ---

    def folders(self, account):
        return [name for (name,) in self.ask("SELECT name FROM folder WHERE account = %s", account)]

    def token(self, account, folder):  # ids only grow, so no two states have the same
        ((count, *others),) = self.ask(f"SELECT count(*), sum(id), max(id) FROM letter WHERE {HERE}", account, folder)
        return f"{count} {others}" if count else ""

    def scan(self, account, folder):
        sql = f"SELECT key, received, octet_length(content) FROM letter WHERE {HERE} ORDER BY id"
        for key, received, size in self.ask(sql, account, folder):
            yield Entry(key, "", internalDate=received, size=size)

    def read(self, account, folder, entry):
        for (content,) in self.ask(f"SELECT content FROM letter WHERE {HERE} AND key = %s", account, folder, entry.key):
            return content
        raise Vanished

    def newKey(self, account, folder, message):
        return secrets.token_hex(16)

    def append(self, account, folder, messages):
        made = []
        with self.connect() as database:
            place = database.execute("SELECT 1 FROM folder WHERE account = %s AND name = %s", (account, folder))
            if folder != "INBOX" and place.fetchone() is None:
                raise NoSuchMailbox
            for key, message in messages:
                content, received = message.source.read(), self.now() if message.internalDate is None else message.internalDate
                row = (key, account, folder, received, content)
                database.execute("INSERT INTO letter (key, account, folder, received, content) VALUES (%s, %s, %s, %s, %s)", row)
                made.append(Entry(key, "", internalDate=received, size=len(content)))
        return made

    def remove(self, account, folder, entries):
        with self.connect() as database:
            keys = [(account, folder, entry.key) for entry in entries]
            database.cursor().executemany(f"DELETE FROM letter WHERE {HERE} AND key = %s", keys)

    # --- ISimpleFolders: without these four, INBOX would be all ---

    def createFolder(self, account, folder):
        if "\0" in folder:
            raise InvalidName  # the one character that a PostgreSQL text cannot hold
        with self.connect() as database:
            database.execute("INSERT INTO folder VALUES (%s, %s) ON CONFLICT DO NOTHING", (account, folder))

    def renameFolder(self, account, folder, newName):
        if "\0" in newName:
            raise InvalidName
        with self.connect() as database:
            try:
                sql = "UPDATE folder SET name = %s WHERE account = %s AND name = %s"
                renamed = database.execute(sql, (newName, account, folder))
            except psycopg.errors.UniqueViolation:
                raise MailboxExists from None
            if not renamed.rowcount:
                raise NoSuchMailbox
            database.execute(f"UPDATE letter SET folder = %s WHERE {HERE}", (newName, account, folder))

    def deleteFolder(self, account, folder):
        with self.connect() as database:
            database.execute(f"DELETE FROM letter WHERE {HERE}", (account, folder))
            database.execute("DELETE FROM folder WHERE account = %s AND name = %s", (account, folder))


@implementer(ISimpleStorePlugin)
class PgLettersPlugin:
    """A table of an application's."""

    prefix = "pgletters"

    def openSimpleStore(self, argument, context):
        return PgLetters(argument, context.now)


pgletters = PgLettersPlugin()
