"""The manhole as a listening service. What it is made of is in `shell`, which is imported beside the running server: conch would
cost a quarter of a second at the start."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from zope.interface import implementer

from mailfw.interfaces import IInsideService

if TYPE_CHECKING:
    from mailfw.app.server import Server


class _LateFactory(Factory):
    """An SSH factory that is made in a thread once the reactor runs, or else when the first client comes."""

    noisy = False

    def __init__(self, server: Server, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._inner: Any = None

    def doStart(self) -> None:
        """Begin to import."""
        super().doStart()
        self._reactor.callWhenRunning(self._reactor.callInThread, importlib.import_module, "mailfw.app.shell")

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """One SSH connection."""
        if self._inner is None:
            from mailfw.app.shell import makeFactory

            self._inner = makeFactory(self._server, self._reactor)
            self._inner.doStart()
        return self._inner.buildProtocol(addr)


@implementer(IInsideService)
class Manhole:
    """A Python prompt inside the server."""

    name = "manhole"
    port = 1022
    isTLS = False

    def factory(self, context: Any) -> Factory:
        """:param context: the `Server`."""
        from twisted.internet import reactor

        return _LateFactory(context, reactor)


manhole = Manhole()
