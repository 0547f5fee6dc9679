"""Services whose rooms cost much to import: they listen at once, and what stands behind is made beside the running server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

if TYPE_CHECKING:
    from mailfw.app.server import Server


class LateFactory(Factory):
    """Stands for what `makeFactory(server, reactor)` of a module makes. That is imported in a thread once the reactor runs, or
    else when the first client comes."""

    noisy = False

    def __init__(self, module: str, server: Server, reactor: Any) -> None:
        self._module = module
        self._server = server
        self._reactor = reactor
        self._inner: Any = None  # IProtocolFactory, whose annotations in Twisted contradict its implementations

    def doStart(self) -> None:
        """Begin to import."""
        super().doStart()
        self._reactor.callWhenRunning(self._reactor.callInThread, importlib.import_module, self._module)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """One connection."""
        if self._inner is None:
            self._inner = importlib.import_module(self._module).makeFactory(self._server, self._reactor)
            self._inner.doStart()
        return self._inner.buildProtocol(addr)
