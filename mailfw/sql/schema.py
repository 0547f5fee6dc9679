"""Schema versions: an ordered list of migrations, each in a transaction of its own.

A database remembers which schema it follows and its version. A file of another schema, or of a version newer than this
program knows, is refused before anything is read from it. Released migrations never change; new ones are added at the end.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from mailfw.sql.sqlite import TYPES, Connection


class SchemaMismatch(Exception):
    """The database file is not one that this program can use; the text says why, in words for the administrator."""


@frozen
class Migration:
    """One step: statements (with `{identity}`, `{octets}`, `{clustered}` for what dialects spell differently), then a
    function for what statements cannot say."""

    statements: tuple[str, ...] = ()
    convert: Callable[[Connection], None] | None = None


@frozen
class Schema:
    """:ivar name: what the file is for, in a word: `store`, `accounts`, `queue`.
    :ivar migrations: version n is what the first n of them make.
    """

    name: str
    migrations: tuple[Migration, ...]

    @property
    def version(self) -> int:
        """The version that this program writes."""
        return len(self.migrations)

    def migrate(self, connection: Connection) -> None:
        """Bring the database to this version; a new file is an old one of version 0.

        :raises SchemaMismatch: the file is of another kind, or newer.
        """
        version = self._versionOf(connection)
        for number in range(version + 1, self.version + 1):
            connection.execute("BEGIN IMMEDIATE")
            try:
                migration = self.migrations[number - 1]
                for statement in migration.statements:
                    connection.execute(statement.format_map(TYPES))
                if migration.convert is not None:
                    migration.convert(connection)
                connection.execute("UPDATE schema_version SET version = ? WHERE name = ?", (number, self.name))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _versionOf(self, connection: Connection) -> int:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        rows = connection.execute("SELECT name, version FROM schema_version").fetchall()
        if not rows:
            connection.execute("INSERT INTO schema_version (name, version) VALUES (?, 0)", (self.name,))
            return 0
        name, version = rows[0]
        if name != self.name:
            raise SchemaMismatch(f"this is a database of kind {name!r}, not {self.name!r}")
        if version > self.version:
            raise SchemaMismatch(
                f"the database has version {version}, this program knows versions up to {self.version}: it was written by a "
                f"newer mailfw, use that one"
            )
        return int(version)
