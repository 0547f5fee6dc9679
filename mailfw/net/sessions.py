"""Who is connected now: what limits count, what `sessions()` shows, and what a graceful stop waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mailfw.values import Peer

if TYPE_CHECKING:
    from mailfw.net.connection import Connection
    from mailfw.net.limits import Limits


@frozen
class SessionInfo:
    """One connection, for people. :ivar since: seconds since the epoch, UTC. :ivar mailbox: the one it is in; empty: none."""

    id: str
    service: str
    protocol: str
    peer: str
    account: str
    state: str
    mailbox: str
    isTLS: bool
    since: float
    octetsIn: int
    octetsOut: int


def infoOf(c: Connection) -> SessionInfo:
    """A connection as it is now."""
    where = (c.id, c.listener.service, c.protocol or c.listener.service.upper(), str(c.peer), c.account, c.state, c.mailbox)
    return SessionInfo(*where, c.isTLS, c.since, c.octetsIn, c.octetsOut)


def _networkOf(peer: Peer) -> str:
    """What a limit per address counts by: an IPv6 subscriber has a /64 and any number of addresses in it."""
    if ":" in peer.host and not peer.isUnix:
        return str(IPv6Address(int(ip_address(peer.host)) >> 64 << 64))
    return peer.host


class SessionRegistry:
    """The connections of all listeners together."""

    def __init__(self, reactor: Any) -> None:
        self._reactor: IReactorTime = reactor
        self._connections: dict[Connection, str] = {}
        self._byNetwork: Counter[str] = Counter()
        self._greeters: list[Callable[[Connection], object]] = []
        self._allGone: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def add(self, connection: Connection) -> None:
        """A connection was made."""
        self._count(connection)
        for greet in self._greeters:
            greet(connection)

    def discard(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection.taps is not None:
            connection.taps.ended()
        self._uncount(self._connections.pop(connection, None))
        if not self._connections and self._allGone is not None:
            gone, self._allGone = self._allGone, None
            gone.callback(None)

    def recount(self, connection: Connection) -> None:
        """A connection turned out to be from somewhere else."""
        if connection in self._connections:
            self._uncount(self._connections[connection])
            self._count(connection)

    def watch(self, greet: Callable[[Connection], object]) -> Callable[[], None]:
        """Call `greet` with each connection that is made, before anything is said on it. Returns what ends that."""
        self._greeters = [*self._greeters, greet]

        def unwatch() -> None:
            self._greeters = [each for each in self._greeters if each is not greet]

        return unwatch

    def _count(self, connection: Connection) -> None:
        network = _networkOf(connection.peer)
        self._connections[connection] = network
        self._byNetwork[network] += 1

    def _uncount(self, network: str | None) -> None:
        if network is not None:
            self._byNetwork[network] -= 1
            if not self._byNetwork[network]:
                del self._byNetwork[network]

    def refuses(self, peer: Peer, limits: Limits) -> str:
        """Why one more connection from that peer is too many; empty: it is welcome."""
        if len(self._connections) >= limits.connections:
            return "too many connections"
        if peer.isLoopback and limits.loopbackExempt:
            return ""
        if self._byNetwork[_networkOf(peer)] >= limits.connectionsPerAddress:
            return "too many connections from your address"
        return ""

    def infos(self) -> list[SessionInfo]:
        """All sessions, the oldest first."""
        return [infoOf(connection) for connection in sorted(self._connections, key=lambda c: c.since)]

    def stop(self, timeout: float) -> Deferred[None]:
        """Tell every session to end after its command under way; cut off what has not ended after `timeout` seconds."""
        if not self._connections:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        gone: Deferred[None] = Deferred()
        self._allGone = gone
        cut = self._reactor.callLater(timeout, self.cutOff)
        gone.addCallback(lambda _: cut.cancel() if cut.active() else None)
        for connection in self:
            connection.stop()
        return gone

    def cutOff(self) -> None:
        """End all sessions at once, whatever they are at."""
        for connection in self:
            connection.abort()
