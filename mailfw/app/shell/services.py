"""`services`: the listeners, to be stopped and started while the server runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from twisted.logger import Logger

from mailfw.app.listener import Listener
from mailfw.app.problem import Problem
from mailfw.app.shell.page import Page, table

if TYPE_CHECKING:
    from mailfw.app.server import Server

_log = Logger("mailfw.manhole")


class Listening:
    """One service, on all the sockets that it has."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self.name = name

    @property
    def listeners(self) -> list[Listener]:
        """Its sockets."""
        return [each for each in self._server.listeners if each.service == self.name and each.address]

    def stop(self) -> Page:
        """Let nobody in any more; the sessions that are there go on. The socket stays ours."""
        return self._turn(True)

    def start(self) -> Page:
        """Let clients in again."""
        return self._turn(False)

    def _turn(self, isStopped: bool) -> Page:
        for listener in self.listeners:
            if listener.isStopped != isStopped:
                if isStopped:
                    listener.turnAway()
                else:
                    listener.letIn()
                _log.info("{listener} is {what}", listener=listener, what="stopped" if isStopped else "started")
        return self._page()

    def _page(self) -> Page:
        return _table(self._server, self.listeners)

    def __repr__(self) -> str:
        return repr(self._page())


class Services:
    """All of them, by name."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __getitem__(self, name: str) -> Listening:
        if name not in self.names():
            raise Problem(f"there is no service {name} here; there is {', '.join(self.names())}")
        return Listening(self._server, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """In the order in which they were configured."""
        return list(dict.fromkeys(each.service for each in self._server.listeners if each.address))

    def __repr__(self) -> str:
        return repr(_table(self._server, [each for each in self._server.listeners if each.address]))


def _table(server: Server, listeners: Sequence[Listener]) -> Page:
    counts: dict[str, int] = {}
    for connection in server.system.context.sessions if server.system is not None else ():
        counts[connection.listener.service] = counts.get(connection.listener.service, 0) + 1
    rows = [
        (each.service, each.address, "stopped" if each.isStopped else "listening", counts.get(each.service, 0))
        for each in listeners
    ]
    return Page(table(("SERVICE", "LISTENS ON", "STATE", "SESSIONS#"), rows, "nothing listens"))
