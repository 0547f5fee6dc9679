"""The queue of another process, as a worker's relay leases from it: the other half of `crew`, over the control socket.

While the server is away – it is started anew, say – nothing new is leased; what has to be had or told (a message's octets, what
became of it) waits for it. That may be told twice, when the answer was lost: the queue heeds it once. Everything else raises
Unavailable, and the relay goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import asdict
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

from mailfw import __version__
from mailfw.app.control import Ring, Watch, Work
from mailfw.app.crew import packReports
from mailfw.app.problem import Problem
from mailfw.app.remote import Reachable
from mailfw.delivery.lanes import LaneInfo
from mailfw.delivery.queue import Entry, Filter, QueuedMessage, Report, Settlement
from mailfw.delivery.queue.entry import Bell, LaneOf, Lender
from mailfw.delivery.queue.queue import CREW_MARK
from mailfw.delivery.queue.wire import pack, packEntries, packSettlements, unpackEntries
from mailfw.errors import Unavailable, Vanished
from mailfw.values import Consequence, MessageSource

AGAIN = 1.0
"""Seconds after which a worker tries again to reach the server."""

_log = Logger("mailfw.app")

Dial = Callable[[Any], "Deferred[Any]"]
"""Connects a protocol, of the factory given, to the server."""


class Connection(amp.AMP):
    """A worker's half of one connection."""

    def __init__(self, queue: FarQueue) -> None:
        super().__init__()
        self._queue = queue

    def makeConnection(self, transport: Any) -> None:
        """Begin, without the line that AMP logs for each connection."""
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End likewise. The queue knows it first, so that those whose questions end with it know whether to ask again."""
        self._queue.lost(self)
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None

    def hangUp(self) -> None:
        """End it."""
        transport: Any = self.transport
        transport.loseConnection()

    @Ring.responder
    def ring(self, isForgiven: bool) -> dict[str, Any]:
        """Something may be due."""
        self._queue.rung(isForgiven)
        return {}

    @Watch.responder
    def watch(self) -> dict[str, Any]:
        """What is under way."""
        return {"lanes": [asdict(lane) for lane in self._queue.lanes()]}


class FarQueue:
    """:param name: of the worker.
    :param dial: how the server is reached.
    :ivar leases: the relay's token, and what it knows to have leased: what the server does not find there is free.
    :ivar joined: called whenever the server is reached, before anything is leased.
    :ivar forgiven: called when no destination needs to rest any longer.
    :ivar lanes: what the relay is doing.
    :ivar refused: called with the reason when the server does not want this worker.
    """

    def __init__(self, name: str, dial: Dial, reactor: Any) -> None:
        self._name = name
        self._dial = dial
        self._reactor = reactor
        self._connection: Connection | None = None
        self._waiting: list[Deferred[None]] = []
        self._bells: list[Bell] = []
        self._again: IDelayedCall | None = None
        self._isClosed = False
        self._isMissed = False
        self.leases: Callable[[], tuple[str, list[int]]] = lambda: (name + CREW_MARK, [])
        self.joined: Callable[[], object] = lambda: None
        self.forgiven: Callable[[], object] = lambda: None
        self.lanes: Callable[[], Sequence[LaneInfo]] = list
        self.refused: Callable[[Problem], object] = lambda problem: None

    # --- The connection ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Reach the server, now and whenever it was lost, until `close`."""
        self._again = None
        Deferred.fromCoroutine(self._open()).addErrback(lambda failure: _log.failure("the server cannot be reached", failure))

    async def _open(self) -> None:
        factory = Factory.forProtocol(lambda: Connection(self))
        factory.noisy = False
        try:
            connection: Connection = await self._dial(factory)
            owner, kept = self.leases()
            words = {"name": self._name, "version": __version__, "owner": owner, "kept": kept}
            await connection.callRemote(Work, operation="join", arguments=words, octets=b"")
        except Problem as problem:
            self.refused(problem)
            return
        except amp.AmpError as error:
            self.refused(Problem(f"the server does not know of workers: {error}"))
            return
        except (Unavailable, ConnectError, ConnectionClosed, OSError):
            self._missed()
            return
        if self._isClosed:
            connection.hangUp()
            return
        self._connection, self._isMissed = connection, False
        _log.info("the server is there")
        self.joined()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        self._ring()

    def _missed(self) -> None:
        if not self._isMissed and not self._isClosed:
            self._isMissed = True
            _log.warn("the server cannot be reached; it is tried again")
        if self._again is None and not self._isClosed:
            self._again = self._reactor.callLater(AGAIN, self.open)

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection is self._connection:
            self._connection = None
            self._missed()

    def close(self) -> None:
        """Hang up; whoever waits is told that nothing comes."""
        self._isClosed = True
        if self._again is not None:
            self._again.cancel()
        if self._connection is not None:
            self._connection.hangUp()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(Unavailable("this worker ends"))

    def rung(self, isForgiven: bool) -> None:
        """The server says that something may be due."""
        if isForgiven:
            self.forgiven()
        self._ring()

    def _ring(self) -> None:
        for bell in list(self._bells):
            bell()

    async def _ask(self, operation: str, octets: bytes = b"", **arguments: Any) -> tuple[Any, bytes]:
        """:raises Unavailable: the server is away, or cannot. :raises Vanished:"""
        if self._connection is None:
            raise Unavailable("the server is away")
        try:
            answer = await self._connection.callRemote(Work, operation=operation, arguments=arguments, octets=octets)
        except (Unavailable, Vanished):
            raise
        except ConnectionClosed:
            raise Unavailable("the server went away") from None
        except (Problem, amp.AmpError) as error:
            raise Unavailable(str(error)) from error
        return answer["result"], answer["octets"]

    async def _insist(self, operation: str, octets: bytes = b"", **arguments: Any) -> tuple[Any, bytes]:
        """As `_ask`, but wait for a server that is away. :raises Unavailable: it is there and cannot, or we end."""
        while True:
            try:
                return await self._ask(operation, octets, **arguments)
            except Unavailable:
                if self._connection is not None or self._isClosed:
                    raise
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    # --- What a relay asks (Leasing) ---------------------------------------------------------------------------------

    def enlist(self, lender: Lender, laneOf: LaneOf) -> None:
        """What comes in the server sorts, and lends to its own relay."""

    def watch(self, bell: Bell) -> Callable[[], None]:
        """Ring when something may be due, also when the server is there again."""
        self._bells.append(bell)

        def end() -> None:
            if bell in self._bells:
                self._bells.remove(bell)

        return end

    async def nextDue(self, without: Collection[str] = (), only: str = "") -> float | None:
        """When something is due that is not for the server's own store."""
        due: float | None = (await self._ask("nextDue", without=list(without), only=only))[0]
        return due

    async def lease(
        self, owner: str, until: float, limit: int = 100, each: int = 100, without: Collection[str] = (), only: str = ""
    ) -> list[Entry]:
        """Take recipients that are due, and not for the server's own store."""
        found = await self._ask("lease", owner=owner, until=until, limit=limit, each=each, without=list(without), only=only)
        return unpackEntries(found[0])

    async def renew(self, owner: str, entries: Sequence[Entry], until: float) -> None:
        """Keep leases for longer."""
        await self._ask("renew", owner=owner, entries=packEntries(entries), until=until)

    async def giveBack(self, owner: str, entries: Sequence[Entry]) -> None:
        """End leases."""
        await self._ask("giveBack", owner=owner, entries=packEntries(entries))

    async def reclaim(self, owner: str) -> int:
        """Give back what earlier workers of our name had leased."""
        count: int = (await self._ask("reclaim", owner=owner))[0]
        return count

    async def content(self, message: QueuedMessage) -> MessageSource:
        """The octets of a message: over the socket, or from the file that they are in."""
        file, octets = await self._insist("content", message=pack(message))
        if file is None:
            return MessageSource(octets)
        path, length = file
        return MessageSource(path=path, length=length)

    async def settle(
        self,
        owner: str,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        consequences: Sequence[Consequence] = (),
    ) -> bool:
        """Write down what became of recipients; a worker's routes have no consequences."""
        heads, octets = packReports(reports)
        settled = packSettlements(settlements)
        isOurs: bool = (await self._insist("settle", octets, owner=owner, settlements=settled, reports=heads))[0]
        return isOurs

    async def seize(self, filter: Filter, owner: str, until: float, after: int = 0) -> Sequence[Entry]:
        """Lease what an administrator means."""
        found = await self._ask("seize", filter=pack(filter), owner=owner, until=until, after=after)
        return unpackEntries(found[0])


def dialer(path: str, reactor: Any) -> Dial:
    """Reaches the server at its control socket."""

    def dial(factory: Any) -> Deferred[Any]:
        reachable = Reachable(path)
        connecting: Deferred[Any] = UNIXClientEndpoint(reactor, reachable.__enter__()).connect(factory)

        def end(result: Any) -> Any:
            reachable.__exit__()
            return result

        return connecting.addBoth(end)

    return dial
