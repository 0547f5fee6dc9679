"""`/livez`, `/readyz` and `/metrics` over HTTP.

Nobody logs in here: it is for loopback, or for a network that only those can reach who may know how the server is. A hostile
client costs little: a connection is good for one request of a few headers and no body, ends after `PATIENCE` seconds whatever it
is at, and there are `VISITORS` of them at most. What is asked is gathered at most once a second, whoever asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.twisted import MetricsResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from mailfw.app.exposition import Collector

if TYPE_CHECKING:
    from mailfw.app.server import Server

PATIENCE = 30.0
"""Seconds."""

VISITORS = 50
"""Connections at a time; further ones are closed at once."""

HEADERS, HEADER_OCTETS = 50, 8192
"""Of a request."""

_log = Logger("mailfw.metrics")


class _Page(Resource):
    """What is said in answer to GET. :param say: → status, media type, content."""

    isLeaf = True

    def __init__(self, say: Callable[[], Coroutine[Any, Any, tuple[int, str, bytes]]]) -> None:
        super().__init__()
        self._say = say

    def render_GET(self, request: Any) -> Any:
        answering: Deferred[None] = Deferred.fromCoroutine(self._answer(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        return NOT_DONE_YET

    async def _answer(self, request: Any) -> None:
        try:
            status, kind, content = await self._say()
        except CancelledError:
            return  # whoever asked is gone
        except Exception:
            _log.failure("{path} cannot be answered", path=request.path.decode("ascii", "replace"))
            status, kind, content = 500, "text/plain", b"the server's log says why\n"
        request.setResponseCode(status)
        request.setHeader(b"content-type", f"{kind}; charset=utf-8".encode())
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-length", b"%d" % len(content))
        request.write(content)
        request.finish()


class _Figures(_Page):
    """prometheus_client's own resource, once the picture is there that it shows."""

    def __init__(self, server: Server) -> None:
        super().__init__(self._unused)
        self._server = server
        self._collector = Collector()
        registry = CollectorRegistry()
        registry.register(self._collector)
        ProcessCollector(registry=registry)
        self._shown: Any = MetricsResource(registry=registry)

    async def _unused(self) -> tuple[int, str, bytes]:
        raise NotImplementedError

    async def _answer(self, request: Any) -> None:
        try:
            self._collector.seen = await self._picture()
        except CancelledError:
            return
        except Exception:
            _log.failure("figures cannot be gathered")
            request.setResponseCode(500)
            request.finish()
        else:
            self._shown.render(request)

    async def _picture(self) -> dict[str, Any]:
        isReady = not await self._server.readiness.reasons()
        return {**await self._server.figures.gather(), "isReady": isReady, "since": self._server.since}


class _Request(Request):
    """One that has no body, and is the last of its connection."""

    def process(self) -> None:
        self.setHeader(b"connection", b"close")
        super().process()

    def gotLength(self, length: int | None) -> None:
        super().gotLength(0)
        if length != 0:
            channel: Any = self.channel
            channel.transport.abortConnection()


class _Channel(HTTPChannel):
    """One connection, for one request."""

    maxHeaders = HEADERS
    totalHeadersSize = HEADER_OCTETS
    _cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        factory: Any = self.factory
        transport: Any = self.transport
        factory.visitors.add(self)
        self._cut = factory.clock.callLater(PATIENCE, transport.abortConnection)
        super().connectionMade()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        return False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        factory: Any = self.factory
        factory.visitors.discard(self)
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        super().connectionLost(reason)


class Inside(Site):
    """:ivar visitors: connections that are there."""

    noisy = False
    protocol: Any = _Channel  # HTTP/1.1 alone, without what Twisted chooses between it and HTTP/2

    def __init__(self, root: Resource, clock: Any) -> None:
        super().__init__(root, requestFactory=_Request, timeout=PATIENCE, reactor=clock)
        self.clock = clock
        self.visitors: set[_Channel] = set()

    def startFactory(self) -> None:
        """Nothing is logged of requests, so no time of theirs need be kept."""

    def stopFactory(self) -> None:
        """Likewise."""

    def log(self, request: Any) -> None:
        """Probes come every few seconds."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """One connection; none where there are too many."""
        if len(self.visitors) >= VISITORS:
            return None
        channel: Any = Factory.buildProtocol(self, addr)
        channel.callLater, channel.timeOut = self.clock.callLater, self.timeOut
        channel.requestFactory, channel.site = self.requestFactory, self
        return channel


def makeFactory(server: Server, reactor: Any) -> Inside:
    """What listens."""

    async def live() -> tuple[int, str, bytes]:
        return 200, "text/plain", b"ok\n"

    async def ready() -> tuple[int, str, bytes]:
        reasons = await server.readiness.reasons()
        said = json.dumps({"isReady": not reasons, "reasons": reasons}, ensure_ascii=False)
        return (503 if reasons else 200), "application/json", f"{said}\n".encode()

    async def index() -> tuple[int, str, bytes]:
        return 200, "text/plain", b"/livez\n/readyz\n/metrics\n"

    root = Resource()
    for name, page in ((b"", _Page(index)), (b"livez", _Page(live)), (b"readyz", _Page(ready)), (b"metrics", _Figures(server))):
        root.putChild(name, page)
    return Inside(root, reactor)
