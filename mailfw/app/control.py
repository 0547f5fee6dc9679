"""The control socket: how the `mailfw` command speaks to the server that owns the data directory.

`data/control` is a Unix socket that only the owner of the directory can open; whoever can is an administrator. It speaks AMP:
`Perform` an operation, by name, with arguments and a result that are JSON. Workers that relay mail `Work` likewise, with octets
beside the JSON, and are told by `Ring` that there is something to do. AMP's values end at 65,535 octets, so JSON and octets are
cut into as many as it takes (`remote.cut`). `Watch` asks a worker what it is at.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

from mailfw.app.crew import Crew
from mailfw.app.problem import Problem
from mailfw.app.remote import cut, join
from mailfw.app.unixsocket import UnixSocket
from mailfw.delivery.lanes import LaneInfo
from mailfw.errors import Refusal, Unavailable, Vanished

Operate = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Performs an operation: its name, its arguments, what comes of it (all of it JSON can say)."""

_log = Logger("mailfw.app")


class JSONValue(amp.Argument):
    """A JSON value, in as many of a box's values as it takes."""

    def toBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: object) -> None:
        """Write the pieces into the box."""
        strings.update(cut(name, json.dumps(objects[name.decode()]).encode()))

    def fromBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: object) -> None:
        """Join the pieces again."""
        objects[name.decode()] = json.loads(join(name, strings))


class Octets(amp.Argument):
    """Octets, likewise."""

    def toBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: object) -> None:
        """Write the pieces into the box."""
        strings.update(cut(name, objects[name.decode()]))

    def fromBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: object) -> None:
        """Join the pieces again."""
        objects[name.decode()] = join(name, strings)


class Perform(amp.Command):
    """Perform an operation; a `Problem` comes back as a `Problem`."""

    arguments = [(b"operation", amp.Unicode()), (b"arguments", JSONValue())]
    response = [(b"result", JSONValue())]
    errors = {Problem: b"PROBLEM"}


class Work(amp.Command):
    """Do something of what `crew.Member` does with the queue, for a worker."""

    arguments = [(b"operation", amp.Unicode()), (b"arguments", JSONValue()), (b"octets", Octets())]
    response = [(b"result", JSONValue()), (b"octets", Octets())]
    errors = {Unavailable: b"UNAVAILABLE", Vanished: b"VANISHED", Problem: b"PROBLEM"}


class Ring(amp.Command):
    """From the server to a worker: something may be due. `isForgiven`: no destination needs to rest."""

    arguments = [(b"isForgiven", amp.Boolean())]
    requiresAnswer = False


class Watch(amp.Command):
    """From the server to a worker: what is its relay doing?"""

    arguments: ClassVar[list[Any]] = []
    response = [(b"lanes", JSONValue())]


class ControlProtocol(amp.AMP):
    """The server's half of one connection."""

    def __init__(self, operate: Operate, connections: dict[ControlProtocol, Deferred[None]], crew: Crew | None = None) -> None:
        super().__init__()
        self._member = crew.member(lambda isForgiven: self.callRemote(Ring, isForgiven=isForgiven), self._lanes) if crew else None
        self._operate = operate
        self._connections = connections

    def makeConnection(self, transport: Any) -> None:
        """Begin, without the line that AMP logs for each connection."""
        self._connections[self] = Deferred()
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End likewise."""
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None
        if self._member is not None:
            self._member.leave()
        self._connections.pop(self).callback(None)

    def _lanes(self) -> Deferred[list[LaneInfo]]:
        asked: Deferred[dict[str, Any]] = self.callRemote(Watch)
        return asked.addCallback(lambda answer: [LaneInfo(**each) for each in answer["lanes"]])

    @Perform.responder
    def perform(self, operation: str, arguments: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Answer `Perform`; a refusal, and a fault of ours once it is logged, is a `Problem` to whoever asked."""
        return Deferred.fromCoroutine(self._perform(operation, arguments))

    async def _perform(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": await self._done(operation, self._operate(operation, arguments))}
        except (Unavailable, Vanished) as refusal:
            raise Problem(refusal.text) from None

    @Work.responder
    def work(self, operation: str, arguments: dict[str, Any], octets: bytes) -> Deferred[dict[str, Any]]:
        """Answer `Work`, in the same way."""
        return Deferred.fromCoroutine(self._work(operation, arguments, octets))

    async def _work(self, operation: str, arguments: dict[str, Any], octets: bytes) -> dict[str, Any]:
        if self._member is None:
            raise Problem("nothing is relayed here")
        result, answer = await self._done(operation, self._member.perform(operation, arguments, octets))
        return {"result": result, "octets": answer}

    async def _done(self, operation: str, doing: Awaitable[Any]) -> Any:
        try:
            return await doing
        except (Problem, Unavailable, Vanished):
            raise
        except Refusal as refusal:
            raise Problem(refusal.text) from None
        except Exception:
            _log.failure("operation {operation} failed", operation=operation)
            raise Problem(f"{operation} failed; the server's log says why") from None


class ControlSocket(Service):
    """Listens on the control socket while the server runs."""

    name = "control"

    def __init__(self, path: str, operate: Operate, reactor: Any, crew: Crew | None = None) -> None:
        self._socket = UnixSocket("control socket", path, reactor)
        self._crew = crew
        self._operate = operate
        self._connections: dict[ControlProtocol, Deferred[None]] = {}

    def startService(self) -> None:
        """Begin to listen. :raises Problem: the socket cannot be made."""
        super().startService()
        factory = Factory.forProtocol(lambda: ControlProtocol(self._operate, self._connections, self._crew))
        factory.noisy = False
        self._socket.listen(factory)

    def stopService(self) -> Deferred[None]:
        """Stop listening, remove the socket, and hang up on who is connected."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._socket.close()
        for connection in self._connections:
            transport: Any = connection.transport
            transport.abortConnection()
        await DeferredList(list(self._connections.values()))
