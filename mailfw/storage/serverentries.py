"""Metadata that the server shares with all accounts: kept in one database of the store, whosever account asks (RFC 5464)."""

from __future__ import annotations

from collections.abc import Sequence

from mailfw.errors import NotSupported
from mailfw.sql import Database
from mailfw.storage import metadata
from mailfw.storage.bells import Bells
from mailfw.values import Operation, SetMetadata


class ServerEntries:
    """Reads and sets it; whoever is watched for hears of a change."""

    def __init__(self, database: Database, bells: Bells) -> None:
        self._database = database
        self._bells = bells

    async def read(self, names: Sequence[str], depth: int | None) -> dict[str, bytes]:
        """Entries of those names, and below them."""
        return await self._database.read(
            lambda connection: metadata.read(connection, metadata.SERVER, "", "", names, depth)
        )

    async def set(self, operations: Sequence[Operation], isAdmin: bool) -> None:
        """Do the one operation. :raises NotSupported: there are others beside it, which are another database's.
        :raises NoPermission: who sets it is no administrator.
        """
        operation = operations[0]
        if len(operations) > 1 or not isinstance(operation, SetMetadata):
            raise NotSupported("what the server shares is set by itself")
        await self._database.write(lambda connection: metadata.setServers(connection, operation.entries, isAdmin))
        for account in self._bells.watched():
            self._bells.publish(account, "", 0)
