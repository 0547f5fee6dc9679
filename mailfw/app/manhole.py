"""The manhole as a listening service, and the door to it in the data directory. What it is made of is in `shell`, which is
imported beside the running server, or with the first client: conch would cost a quarter of a second at the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from zope.interface import implementer

from mailfw.app.late import LateFactory
from mailfw.app.problem import Problem
from mailfw.app.unixsocket import UnixSocket
from mailfw.interfaces import IInsideService

if TYPE_CHECKING:
    from mailfw.app.server import Server


ENTRANCE = "mailfw.app.shell.entrance"

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


class Door(Service):
    """A way in for whoever may open files in the data directory: a Unix socket there, which is made when `mailfw console` first
    asks for it. So there is a console whatever the configuration says of a manhole.

    :param path: of the socket.
    """

    name = "console"

    def __init__(self, path: str, server: Server, reactor: Any) -> None:
        self._socket = UnixSocket("the socket", path, reactor)
        self._server = server
        self._reactor = reactor
        self.invitations = Invitations(reactor.seconds)

    def open(self) -> str:
        """Listen, if nobody does yet; the path of the socket. :raises Problem: it cannot be made."""
        if not self._socket.isOpen:
            self._socket.listen(LateFactory(ENTRANCE, self._server, self._reactor))
        return self._socket.path

    def stopService(self) -> Deferred[None]:
        """Let nobody in any more, and remove the socket."""
        super().stopService()
        return Deferred.fromCoroutine(self._socket.close())


@implementer(IInsideService)
class Manhole:
    """A Python prompt inside the server."""

    name = "manhole"
    port = 1022
    isTLS = False

    def factory(self, context: Any) -> Factory:
        """:param context: the `Server`."""
        from twisted.internet import reactor

        return LateFactory(ENTRANCE, context, reactor)


manhole = Manhole()
