"""What every database file of ours shares: one owner, one writer thread with group commit, reader threads, migrations.

The room knows nothing of mail. A room that wants tables writes a `Schema` (an ordered list of migrations) and opens a
`Database`; then it submits plain functions of a connection:

>>> database = Database.open(path, SCHEMA, reactor=reactor, now=time.time)
>>> uid = await database.write(lambda connection: connection.execute(INSERT, (name,)).lastrowid)
>>> names = await database.read(lambda connection: connection.execute(SELECT).fetchall())

Invariants:

- One process owns a file, and in it one thread writes. A written job's Deferred fires only after its transaction is on disk.
- A job that raises costs itself alone: its savepoint is rolled back, the rest of its batch commits.
- A read job sees one moment of the database, and must not keep the reader long.
- Statements are constant strings with `?` placeholders, `ON CONFLICT` and `RETURNING`, which SQLite and PostgreSQL share;
  whatever only SQLite says is in `sql.sqlite`.
"""

from mailfw.sql.database import Database
from mailfw.sql.schema import Migration, Schema, SchemaMismatch
from mailfw.sql.sqlite import Connection, shrink
from mailfw.sql.writer import Undo

__all__ = ["Connection", "Database", "Migration", "Schema", "SchemaMismatch", "Undo", "shrink"]
