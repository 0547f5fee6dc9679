"""Opens a full store over a simple one: what `maildir:` and `textfile:` become."""

from __future__ import annotations

import hashlib
import os

from mailfw.interfaces import ISimpleStore, IStoreContext
from mailfw.sql import Database
from mailfw.sql.sqlite import MEMORY
from mailfw.storage.bells import Bells
from mailfw.storage.household import Household
from mailfw.storage.housekeeping import Housekeeping
from mailfw.storage.indexer import openIndexer
from mailfw.storage.limits import Limits
from mailfw.storage.schema import SCHEMA
from mailfw.storage.simple.engine import SimpleEngine
from mailfw.storage.store import Store


def statePath(specification: str, data: str) -> str:
    """Where the state beside a simple store is kept, below the data directory; its folder is made.

    :param specification: the store as configured, `maildir:mail`. One that names a path below the data directory from the root
        on means the same store, and has the same state.
    """
    folder = os.path.join(data, "state")
    os.makedirs(folder, 0o700, exist_ok=True)
    prefix, _, argument = specification.partition(":")
    relative = argument.removeprefix(os.path.join(os.path.abspath(data), "")) or argument
    paths = [os.path.join(folder, f"{_digest(each)}.sqlite") for each in (specification, f"{prefix}:{relative.rstrip('/')}")]
    return paths[0] if os.path.exists(paths[0]) else paths[1]


def _digest(specification: str) -> str:
    return hashlib.sha256(specification.encode()).hexdigest()[:16]


def openSimple(store: ISimpleStore, path: str, context: IStoreContext) -> Store:
    """The engine beside a simple store.

    :param path: of the state's database file; `:memory:` for a test that needs no second opening.
    :raises Unavailable: the state cannot be opened.
    :raises SchemaMismatch: it is a newer program's.
    """
    database = Database.open(path, SCHEMA, reactor=context.reactor, isInline=context.isInline)
    limits = Limits(context.quotaOf, context.now)
    housekeeping = Housekeeping(database, None, context.reactor, context.now)
    indexer = None if path == MEMORY else openIndexer(database, f"{path.removesuffix('.sqlite')}.index", context)
    household = Household.of(context)
    engine = SimpleEngine(store, database, Bells(), context.now, housekeeping, limits, context.reactor, indexer, household)
    return Store([engine], context.domains[0])
