"""The same table in PostgreSQL, by psycopg 3: `pgletters:host=/run/postgresql dbname=shop` (pip install mailfw[postgresql]).

PYTHONPATH=etc/examples twistd -n mailfw --store "pgletters:host=/run/postgresql dbname=shop"
"""

import queue
import secrets
from contextlib import contextmanager

from zope.interface import implementer

from mailfw.errors import InvalidName, MailboxExists, NoSuchMailbox, Unavailable, Vanished
from mailfw.interfaces import ISimpleFlags, ISimpleFolders, ISimpleStore, ISimpleStorePlugin
from mailfw.values import Entry, Flag

TABLE = """CREATE TABLE IF NOT EXISTS letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE NOT NULL DEFAULT gen_random_uuid()::text,
    person text NOT NULL, box text NOT NULL DEFAULT 'INBOX', arrived float8 NOT NULL DEFAULT extract(epoch FROM now()),
    is_read boolean NOT NULL DEFAULT false, content bytea NOT NULL)"""
BOXES = "CREATE TABLE IF NOT EXISTS box (person text, name text, PRIMARY KEY (person, name))"  # those that may be empty
INDEX = "CREATE INDEX IF NOT EXISTS letter_place ON letter (person, box, id)"
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7316829)"  # two servers that start at once make one table
PLACE = "person = %s AND box = %s"


@implementer(ISimpleStore, ISimpleFlags, ISimpleFolders)
class PGLetters:
    """Every method blocks and is called in threads, never twice at a time for one account."""

    permanentFlags = frozenset((Flag.SEEN,))  # others the engine keeps

    def __init__(self, place, now):
        import psycopg  # whoever does not name this store need not have it

        self.psycopg = psycopg
        self.place = place
        self.now = now
        self.idle = queue.LifoQueue()
        with self.transaction() as cursor:
            for statement in (ONE_AT_A_TIME, TABLE, BOXES, INDEX):
                cursor.execute(statement)

    @contextmanager
    def transaction(self):
        """A cursor in a transaction: all of it is on disk afterwards, or none of it. A broken connection is not used again.

        :raises Unavailable: the database is away. :raises InvalidName: it cannot keep a text.
        """
        try:
            connection = self.idle.get_nowait()
        except queue.Empty:
            connection = None
        try:
            if connection is None or connection.closed:
                connection = self.psycopg.connect(self.place, autocommit=True, connect_timeout=10)
            with connection.transaction(), connection.cursor() as cursor:
                yield cursor
        except (self.psycopg.OperationalError, self.psycopg.InterfaceError) as error:
            if connection is not None:
                connection.close()
            raise Unavailable("the database cannot be reached") from error
        except self.psycopg.DataError as error:  # text without NUL is all that a column of text can keep
            self.idle.put(connection)
            raise InvalidName from error
        except BaseException:
            self.idle.put(connection)
            raise
        self.idle.put(connection)

    def close(self):
        while not self.idle.empty():
            self.idle.get().close()

    def ask(self, statement, *values):
        with self.transaction() as cursor:
            return cursor.execute(statement, values).fetchall()

    def change(self, statement, rows):
        with self.transaction() as cursor:
            cursor.executemany(statement, rows)

    def folders(self, account):
        select = "SELECT name FROM box WHERE person = %s UNION SELECT box FROM letter WHERE person = %s"
        return [name for (name,) in self.ask(select, account, account)]

    def token(self, account, folder):
        return ""  # not known without looking

    def scan(self, account, folder):
        select = f"SELECT name, is_read, arrived, length(content) FROM letter WHERE {PLACE} ORDER BY id"
        for name, isRead, arrived, size in self.ask(select, account, folder):
            yield Entry(name, "", frozenset((Flag.SEEN,) if isRead else ()), arrived, size)

    def read(self, account, folder, entry):
        for (content,) in self.ask(f"SELECT content FROM letter WHERE {PLACE} AND name = %s", account, folder, entry.key):
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
        self.change("INSERT INTO letter (name, person, box, arrived, is_read, content) VALUES (%s, %s, %s, %s, %s, %s)", rows)
        return [Entry(key, "", frozenset((Flag.SEEN,) if isRead else ()), at, len(text)) for key, _, _, at, isRead, text in rows]

    def remove(self, account, folder, entries):
        rows = [(account, folder, entry.key) for entry in entries]
        self.change(f"DELETE FROM letter WHERE {PLACE} AND name = %s", rows)

    def setFlags(self, account, folder, entries):
        update = f"UPDATE letter SET is_read = %s WHERE {PLACE} AND name = %s"
        self.change(update, [(Flag.SEEN in flags, account, folder, entry.key) for entry, flags in entries])
        return [Entry(entry.key, "", flags & self.permanentFlags, entry.internalDate, entry.size) for entry, flags in entries]

    def createFolder(self, account, folder):
        self.change("INSERT INTO box VALUES (%s, %s) ON CONFLICT DO NOTHING", [(account, folder)])

    def renameFolder(self, account, folder, newName):
        there = self.folders(account)
        if folder not in there:
            raise NoSuchMailbox
        if newName in there:
            raise MailboxExists
        self.createFolder(account, folder)  # one that is only named in letters
        with self.transaction() as cursor:
            cursor.execute("UPDATE box SET name = %s WHERE person = %s AND name = %s", (newName, account, folder))
            cursor.execute(f"UPDATE letter SET box = %s WHERE {PLACE}", (newName, account, folder))

    def deleteFolder(self, account, folder):
        with self.transaction() as cursor:
            cursor.execute("DELETE FROM box WHERE person = %s AND name = %s", (account, folder))
            cursor.execute(f"DELETE FROM letter WHERE {PLACE}", (account, folder))


@implementer(ISimpleStorePlugin)
class PGLettersPlugin:
    """An application's table in PostgreSQL."""

    prefix = "pgletters"

    def openSimpleStore(self, argument, context):
        return PGLetters(argument, context.now)


pgletters = PGLettersPlugin()
