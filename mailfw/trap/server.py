"""The server behind a trap: listeners that stay for the session, and behind them a mail system that is made anew for each test.

Everything here is called in the reactor's thread. The stores do their work inline, in memory, so that nothing but the network is
ever waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from mailfw.app.catalogue import plugins
from mailfw.app.quantities import seconds
from mailfw.app.selfsigned import ensureCertificate
from mailfw.app.tls import Certificates
from mailfw.code.delivery import Functions, Surroundings
from mailfw.code.loading import load
from mailfw.code.routing import Table
from mailfw.code.running import Runner
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue
from mailfw.delivery.relay import Relay
from mailfw.delivery.router import Outbound, Router
from mailfw.delivery.routes import DiscardRoute, Routes
from mailfw.delivery.schedule import Schedule
from mailfw.interfaces import IMailStore, IStoreContext
from mailfw.net.context import ServiceContext
from mailfw.net.sessions import SessionRegistry
from mailfw.net.spool import SpoolDirectory
from mailfw.plugins import Kind
from mailfw.sasl.exchange import Logins
from mailfw.sql.sqlite import MEMORY
from mailfw.storage.flags import encode
from mailfw.storage.memory import memory
from mailfw.storage.names import mailboxName
from mailfw.trap.people import People
from mailfw.trap.stages import Stages
from mailfw.values import FIRST_MAILBOXES, Address, Create, Envelope, Peer, Quota, SpecialUse

HOST = "127.0.0.1"
HOSTNAME = "localhost"
SERVICES = ("smtp", "submission", "submissions", "pop3", "pop3s", "imap", "imaps")
HELD = "nothing leaves a trap"
AGAIN = 1.0
"""Seconds after which a function that failed is called again."""


@implementer(IStoreContext)
@define(eq=False)
class _StoreContext:
    """What the store is given. Its clock stands still: what it would tidy up minutes later would be left in the reactor."""

    data: str
    domains: Sequence[str]
    reactor: Any = field(factory=Clock)
    now: Callable[[], float] = time.time
    isInline: bool = True
    mailboxes: Sequence[Create] = FIRST_MAILBOXES
    expiry: Mapping[SpecialUse, float] = field(factory=dict)

    async def quotaOf(self, account: str) -> Quota:
        """Nobody has any."""
        return Quota()


class _Outbound(Outbound):
    """A queue that takes mail from everybody: only this machine can reach it."""

    def mayRelay(self, envelope: Envelope, peer: Peer) -> bool:
        """Always."""
        return True


class _Functions(Functions):
    """Functions that have no schedules of their own: no test waits for hours."""

    def schedule(self, address: Address) -> Schedule | None:
        """As all are tried."""
        return None


class System:
    """The mail system of one test: its people, its store, its queue.

    :ivar bells: called whenever something has arrived, in the store or in the queue, and once when all is over (`isClosed`).
    """

    def __init__(self, domains: Sequence[str], isCatchingAll: bool, reactor: Any, directory: str) -> None:
        self._reactor = reactor
        self._ringing: Any = None  # IDelayedCall
        self._relay: Relay | None = None
        self._runner: Runner | None = None
        self.isClosed = False
        self.people = People(domains, isCatchingAll)
        self.bells: list[Callable[[], None]] = []
        self.stages = Stages(self._ring)
        self.store = IMailStore(memory.openStore("", _StoreContext(directory, self.people.domains)))
        self.queue = Queue.open(MEMORY, reactor=reactor, isInline=True)
        self.queue.heldFor = lambda address, target: HELD
        outbound = _Outbound(self.queue, Bouncer(HOSTNAME))
        self.router = Router(self.people, self.store, outbound)
        self.router.hooks = self.stages

    def load(self, modules: Sequence[str], path: str) -> None:
        """Give functions their addresses, whose domains become the trap's, and run them as a server does; what waits for our own
        store goes there now, too.

        :raises Exception: whatever a module raises; RouteError:
        """
        loaded = load(modules, path)
        for failed in loaded.failures:
            raise failed.error
        named = [route.pattern.domain[0] for route in loaded.all if len(route.pattern.domain) == 1]
        domains = tuple(dict.fromkeys((*self.people.domains, *(each for each in named if isinstance(each, str)))))
        table = Table(loaded.all, domains)
        self.people.domains = domains
        self._runner = self._runner or Runner(self._reactor)
        first, resolve, sendingOn = self.people.domains[0], self.people.resolvePeople, self.router.sendingOn
        around = Surroundings(HOSTNAME, first, time.time, resolve, sendingOn, mailboxName, encode, seconds)
        routes = Routes(DiscardRoute(), own=_Functions(table, self._runner, around))
        self.people.functions = table
        if self._relay is None:
            schedule = Schedule(((AGAIN, 1),))
            local = self.router.local
            self._relay = Relay(self.queue, routes, Bouncer(HOSTNAME), self._reactor, local=local, schedule=lambda _: schedule)
            self._relay.hooks = self.stages
            self.queue.heldFor = lambda address, target: "" if target or self.people.isRouted(address) else HELD
            self.queue.watch(self._ring)
            self._relay.start()
        else:
            self._relay.replaceRoutes(routes)

    async def problems(self) -> list[str]:
        """What functions failed with whose mail waits for another call: the address, and the exception in one line."""
        return [
            f"{entry.recipient.address}: {entry.reply}"
            for entry in (await self.queue.list(limit=1000)).entries
            if entry.attempts and self.people.isRouted(entry.recipient.address)
        ]

    def _ring(self) -> None:
        """Ring when the reactor has done with what it does now: whoever hears it may be a test that goes on at once."""
        if self._ringing is None:
            self._ringing = self._reactor.callLater(0, self._rung)

    def _rung(self) -> None:
        self._ringing = None
        for bell in list(self.bells):
            bell()

    async def close(self) -> None:
        """Forget everything."""
        self.isClosed = True
        if self._ringing is not None:
            self._ringing.cancel()
        self._rung()
        if self._relay is not None:
            await self._relay.stop(0)
        if self._runner is not None:
            self._runner.close()
        await self.queue.close()
        await self.store.close()


class TrapServer:
    """The listeners, and the system that is behind them at the moment. Plain SMTP has no STARTTLS, everything else has TLS.

    :param directory: for the certificate, and for what is too large to be received into memory; ours alone.
    :ivar ports: by service.
    """

    def __init__(
        self, reactor: Any, directory: str, domains: Sequence[str] = ("localhost",), isCatchingAll: bool = False
    ) -> None:
        self.directory = directory
        self.domains = tuple(domains)
        self.isCatchingAll = isCatchingAll
        self.certificate = os.path.join(directory, "certificate.pem")
        self.ports: dict[str, int] = {}
        self._reactor = reactor
        self._listening: list[Any] = []  # IListeningPort, whose stopListening has no annotation
        self.system = self._system()
        self._secured = self._context()
        # A program that takes TLS wherever it is offered, and then believes no certificate but a real one, can send to `smtp`.
        self._plain = evolve(self._secured, tls=None)

    def _system(self) -> System:
        return System(self.domains, self.isCatchingAll, self._reactor, self.directory)

    def _context(self) -> ServiceContext:
        key = os.path.join(self.directory, "key.pem")
        ensureCertificate(self.certificate, key, HOSTNAME)
        spool = SpoolDirectory(os.path.join(self.directory, "spool"))
        spool.prepare()
        system = self.system
        return ServiceContext(
            hostname=HOSTNAME,
            domains=self.domains,
            store=system.store,
            logins=self._logins(system),
            directory=system.people,
            router=system.router,
            spool=spool,
            reactor=self._reactor,
            sessions=SessionRegistry(self._reactor),
            tls=Certificates.load(self.certificate, key, HOSTNAME),
            hooks=system.stages,
        )

    def _logins(self, system: System) -> Logins:
        return Logins(system.people, domain=self.domains[0], secret=b"of no use")

    def listen(self) -> None:
        """Take a free port of 127.0.0.1 for each service."""
        for word in SERVICES:
            service = plugins().find(Kind.SERVICE, word)
            factory = service.factory(self._plain if word == "smtp" else self._secured)
            if service.isTLS:
                factory = TLSMemoryBIOFactory(self._secured.tls, False, factory)
            port = self._reactor.listenTCP(0, factory, interface=HOST)
            self._listening.append(port)
            self.ports[word] = port.getHost().port

    async def begin(self) -> System:
        """Put a new system in place of the one that is there; whoever is still connected to that is cut off."""
        self._secured.sessions.cutOff()
        await self.system.close()
        self.system = system = self._system()
        for context in (self._plain, self._secured):
            context.store, context.router, context.directory = system.store, system.router, system.people
            context.logins, context.hooks = self._logins(system), system.stages
        return system

    async def stop(self) -> None:
        """Let go of ports and connections."""
        await DeferredList([maybeDeferred(port.stopListening) for port in self._listening])
        self._secured.sessions.cutOff()
        closed: Deferred[None] = self._secured.sessions.stop(0)
        await closed
        await self.system.close()
