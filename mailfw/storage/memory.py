"""`memory:`, a store that is gone when it is closed: the engine of `sqlite`, over a database in memory. For tests.

It keeps no index of texts: what lies in memory is read sooner than an index is made.
"""

from __future__ import annotations

from zope.interface import implementer

from mailfw.interfaces import IMailStorePlugin, IStoreContext
from mailfw.sql import Database
from mailfw.sql.sqlite import MEMORY
from mailfw.storage.bells import Bells
from mailfw.storage.blobs import MemoryBlobs
from mailfw.storage.engine import Engine
from mailfw.storage.household import Household
from mailfw.storage.housekeeping import Housekeeping
from mailfw.storage.limits import Limits
from mailfw.storage.schema import SCHEMA
from mailfw.storage.store import Store


@implementer(IMailStorePlugin)
class Memory:
    """Opens `memory:`."""

    prefix = "memory"

    def openStore(self, argument: str, context: IStoreContext) -> Store:
        """:raises ValueError: there is an argument."""
        if argument:
            raise ValueError("the memory store takes no argument")
        database = Database.open(MEMORY, SCHEMA, reactor=context.reactor, isInline=context.isInline)
        blobs = MemoryBlobs()
        limits = Limits(context.quotaOf, context.now)
        housekeeping = Housekeeping(database, blobs, context.reactor, context.now)
        household = Household.of(context)
        engine = Engine(database, blobs, Bells(), context.now, housekeeping, limits, household=household)
        return Store([engine], context.domains[0])


memory = Memory()
