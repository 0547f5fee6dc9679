"""Opens any store that configuration names: a full one by itself, a simple one with the engine beside it."""

from __future__ import annotations

from typing import Any

from mailfw.interfaces import IMailStore, IMailStorePlugin, ISimpleStorePlugin, IStoreContext
from mailfw.storage.simple.store import openSimple, statePath


def openStore(plugin: Any, argument: str, context: IStoreContext) -> IMailStore:
    """The store that `PREFIX:ARGUMENT` means.

    :param plugin: the one with that prefix: an `IMailStorePlugin` or an `ISimpleStorePlugin`.
    :raises ValueError: the argument makes no sense, or the store cannot be used so; the text says why.
    :raises Unavailable: its files cannot be opened.
    """
    if IMailStorePlugin.providedBy(plugin):
        return IMailStore(plugin.openStore(argument, context))
    simple = ISimpleStorePlugin(plugin).openSimpleStore(argument, context)
    return openSimple(simple, statePath(f"{plugin.prefix}:{argument}", context.data), context)
