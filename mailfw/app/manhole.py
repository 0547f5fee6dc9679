"""The manhole as a listening service, and who was announced there. What it is made of is in `shell`, which is imported beside the
running server: conch would cost a quarter of a second at the start."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from zope.interface import implementer

from mailfw.app.problem import Problem
from mailfw.interfaces import IMailService

if TYPE_CHECKING:
    from mailfw.app.server import Server


INVITED = 30.0
"""Seconds in which somebody who was announced has to come."""

GUESTS = 20
"""Those who may be announced at a time."""


class Invitations:
    """Keys that were named over the control socket, whose owner may do everything already: each good once, and soon.

    :param now: seconds of a clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._keys: dict[bytes, tuple[str, float]] = {}

    def add(self, key: bytes, who: str) -> None:
        """:param key: the public key as SSH sends it. :raises Problem: too many have been announced that have not come."""
        self._keys = {each: guest for each, guest in self._keys.items() if guest[1] > self._now()}
        if len(self._keys) >= GUESTS:
            raise Problem("too many consoles are being opened at once: try again in half a minute")
        self._keys[key] = who, self._now() + INVITED

    def holds(self, key: bytes) -> bool:
        """Whether that key is good now."""
        return key in self._keys and self._keys[key][1] > self._now()

    def take(self, key: bytes) -> str | None:
        """Whose it is, and it is good no longer; None: it was not."""
        who = self._keys[key][0] if self.holds(key) else None
        self._keys.pop(key, None)
        return who


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
        self._reactor.callWhenRunning(self._reactor.callInThread, importlib.import_module, "mailfw.app.shell.entrance")

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """One SSH connection."""
        if self._inner is None:
            from mailfw.app.shell.entrance import makeFactory

            self._inner = makeFactory(self._server, self._reactor)
            self._inner.doStart()
        return self._inner.buildProtocol(addr)


@implementer(IMailService)
class Manhole:
    """A Python prompt inside the server."""

    name = "manhole"
    port = 1022
    isTLS = False

    def factory(self, context: Any) -> Factory:
        """:param context: the `Server`; alone of all services this one is given the whole house."""
        from twisted.internet import reactor

        return _LateFactory(context, reactor)


manhole = Manhole()
