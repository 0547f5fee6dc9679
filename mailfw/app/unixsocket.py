"""A socket in the data directory, which only the owner of the directory can open; whoever can is an administrator."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.python.log import callWithContext

from mailfw.app.logs import QUIET
from mailfw.app.problem import Problem
from mailfw.app.remote import Reachable


class UnixSocket:
    """:param what: it is called so in errors. :ivar path: where it is."""

    def __init__(self, what: str, path: str, reactor: Any) -> None:
        self.path = path
        self._what = what
        self._reactor = reactor
        self._reachable = Reachable(path)
        self._port: IListeningPort | None = None

    @property
    def isOpen(self) -> bool:
        """Whether somebody listens."""
        return self._port is not None

    def listen(self, factory: Any) -> None:  # IProtocolFactory, with which Factory does not agree in type
        """Begin. A socket left by a server that was killed is removed: whoever holds the lock on the directory may.

        :raises Problem: the socket cannot be made.
        """
        mask = os.umask(0o177)
        try:
            if os.path.lexists(self.path):
                os.unlink(self.path)
            listen = self._reactor.listenUNIX
            self._port = callWithContext({QUIET: True}, listen, self._reachable.__enter__(), factory, mode=0o600)
        except (OSError, CannotListenError) as error:
            raise Problem(f"{self._what} {self.path} cannot be made: {error}") from None
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """Listen no longer, and remove the socket."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        self._reachable.__exit__()
