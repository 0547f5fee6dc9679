"""Connections to next hops: opened with the TLS and the login that they need, kept for a while, used again.

TLS that fails where it was only an opportunity is left out at a second attempt; where it is required, it is the end of this hop.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory

from mailfw.delivery.destination import Hop, Security
from mailfw.errors import Unreachable
from mailfw.smtp.client import ClientSession, SMTPClient, Timeouts, TLSFailed, clientTLS

IDLE_SECONDS = 10.0
"""Seconds that an unused connection is kept: a server's place is not ours to hold."""

IDLE = 100
"""Connections that are kept unused, all together."""

MESSAGES = 100
"""Transactions on one connection."""

CONNECT_SECONDS = 30.0

Connect = Callable[[Hop, Any], Awaitable[SMTPClient]]
"""Connects to a hop; `Any` is the TLS (a connection creator) to begin with, None: none. Raises ConnectError or OSError."""


@frozen
class Login:
    """Who we are at a smart host."""

    user: str
    password: str = field(repr=False)


@frozen
class Calling:
    """How a hop is spoken to: connections that have this and the hop in common can be used for one another."""

    isLMTP: bool = False
    login: Login | None = None


PLAINLY = Calling()


def connector(reactor: Any) -> Connect:
    """Connects by a reactor's sockets."""

    factory = Factory.forProtocol(lambda: SMTPClient(reactor))
    factory.noisy = False

    async def connect(hop: Hop, tls: Any) -> SMTPClient:
        endpoint: Any
        if hop.address.startswith("/"):
            endpoint = UNIXClientEndpoint(reactor, hop.address, CONNECT_SECONDS)  # type: ignore[no-untyped-call]
        elif ":" in hop.address:
            endpoint = TCP6ClientEndpoint(reactor, hop.address, hop.port, CONNECT_SECONDS)  # type: ignore[no-untyped-call]
        else:
            endpoint = TCP4ClientEndpoint(reactor, hop.address, hop.port, CONNECT_SECONDS)
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint)
        client: SMTPClient = await endpoint.connect(factory)
        return client

    return connect


class Sessions:
    """:param reactor: for deadlines and for what is kept.
    :param hostname: what we call ourselves.
    :param trustRoot: whose certificates verified TLS believes; None: the system's.
    :ivar closings: how often they were closed: who sees one is to begin nothing else.
    """

    def __init__(
        self,
        reactor: Any,
        hostname: str,
        *,
        timeouts: Timeouts | None = None,
        connect: Connect | None = None,
        trustRoot: Any = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._hostname = hostname
        self._timeouts = timeouts or Timeouts()
        self._connect = connect or connector(reactor)
        self._trustRoot = trustRoot
        self._now = now
        self._idle: dict[tuple[Hop, Calling], list[tuple[ClientSession, IDelayedCall]]] = {}
        self._open: set[ClientSession] = set()
        self.closings = 0

    # --- Used again --------------------------------------------------------------------------------------------------

    def take(self, hop: Hop, calling: Calling) -> ClientSession | None:
        """A session that is open and unused."""
        kept = self._idle.get((hop, calling))
        if not kept:
            return None
        session, timer = kept.pop()
        timer.cancel()
        if not kept:
            del self._idle[hop, calling]
        return session

    def keep(self, hop: Hop, calling: Calling, session: ClientSession) -> None:
        """The session is not needed now; it is closed when nobody takes it."""
        isFull = sum(map(len, self._idle.values())) >= IDLE
        if not session.mayGoOn or session.transactions >= MESSAGES or isFull:
            self.end(session)
            return
        timer = self._reactor.callLater(IDLE_SECONDS, self._expire, hop, calling, session)
        self._idle.setdefault((hop, calling), []).append((session, timer))

    def _expire(self, hop: Hop, calling: Calling, session: ClientSession) -> None:
        kept = self._idle[hop, calling]
        kept[:] = [each for each in kept if each[0] is not session]
        if not kept:
            del self._idle[hop, calling]
        self.end(session)

    def end(self, session: ClientSession) -> None:
        """Say goodbye, and wait for nobody."""
        Deferred.fromCoroutine(session.quit()).addBoth(lambda _: self._open.discard(session))

    async def close(self) -> None:
        """End what is kept, and cut off what is used."""
        self.closings += 1
        for kept in list(self._idle.values()):
            for _, timer in kept:
                timer.cancel()
        idle = [session for kept in self._idle.values() for session, _ in kept]
        self._idle.clear()
        for session in self._open.difference(idle):
            session.channel.close()
        for session in idle:
            await session.quit()
        self._open.clear()

    # --- Opened ------------------------------------------------------------------------------------------------------

    async def open(self, hop: Hop, calling: Calling = PLAINLY) -> ClientSession:
        """A new session, greeted, under the TLS that the hop needs, logged in.

        :raises Unreachable:
        """
        try:
            return await self._opened(hop, calling)
        except TLSFailed:
            if hop.security > Security.OPPORTUNISTIC:
                raise
        return await self._opened(evolve(hop, security=Security.NONE), calling)

    async def _opened(self, hop: Hop, calling: Calling) -> ClientSession:
        tls = clientTLS(hop.host, hop.security is Security.VERIFIED, self._trustRoot)
        try:
            client = await self._connect(hop, tls if hop.isTLS else None)
        except (ConnectError, OSError) as error:
            where = f"{hop.host}[{hop.address}]:{hop.port}"
            why = str(error).strip(" .") or type(error).__name__
            raise Unreachable(f"cannot connect to {where}: {why}", status="4.4.1", host=hop.host) from error
        session = ClientSession(
            client, self._hostname, host=hop.host, isLMTP=calling.isLMTP, timeouts=self._timeouts, now=self._now
        )
        self._open.add(session)
        try:
            await self._begin(session, hop, calling, tls)
        except Unreachable:
            self._open.discard(session)
            raise
        return session

    async def _begin(self, session: ClientSession, hop: Hop, calling: Calling, tls: Any) -> None:
        await session.greet()
        isWanted = hop.security > Security.OPPORTUNISTIC or (
            hop.security is Security.OPPORTUNISTIC and "STARTTLS" in session.features
        )
        if isWanted and not hop.isTLS:
            await session.startTLS(tls)
        if calling.login is not None:
            isPrivate = hop.security is Security.VERIFIED or hop.address.startswith("/")
            await session.logIn(calling.login.user, calling.login.password, mayUsePlaintext=isPrivate)
