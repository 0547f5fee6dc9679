"""A worker: the relay in a process of its own, which leases from the queue of the server that runs beside it.

It reads the server's configuration and opens routes, DNS and those hooks that a relay asks; of the data directory it touches one
file, the lock on its name. Who holds that lock knows that whoever had the name before is gone, and takes back what they had
leased.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogBeginner
from zope.interface import implementer

from mailfw.app.catalogue import plugins
from mailfw.app.configuration import ConfigurationError, Source
from mailfw.app.crew import NAME
from mailfw.app.farqueue import FarQueue, dialer
from mailfw.app.hooking import Hooking
from mailfw.app.logs import LineObserver, LogFile, Output, StandardOutput, renderer
from mailfw.app.outgoing import openRoutes, schedules
from mailfw.app.place import Place
from mailfw.app.problem import Problem
from mailfw.app.sections import Configuration
from mailfw.app.signals import StopSignals
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.dns import Resolver, asker
from mailfw.delivery.lanes import RelayLimits
from mailfw.delivery.queue.queue import LOCAL_LANE
from mailfw.delivery.relay import Relay
from mailfw.delivery.routes import Routes
from mailfw.errors import Unavailable
from mailfw.interfaces import IDelivery, IRoute
from mailfw.net.watchdog import Watchdog
from mailfw.plugins import Kind
from mailfw.stages import Stage
from mailfw.values import Envelope

STAGES = (
    Stage.ROUTE,
    Stage.BEFORE_DELIVERY,
    Stage.SMTP_RESPONSE,
    Stage.DELIVERED,
    Stage.DEFERRED,
    Stage.BOUNCED,
    Stage.EXPIRED,
    Stage.DSN_CREATED,
)
"""At which a relay asks hooks, or lets them know."""

GRACE = 5.0
"""Seconds in which the server has to hear what became of the last deliveries."""

_log = Logger("mailfw.app")


@implementer(IRoute)
class ServersOwn:
    """Mail for domains that have become ours: the server takes it out of our hands when it is leased next."""

    def destination(self, domain: str) -> str:
        """The server's own lane."""
        return LOCAL_LANE

    def begin(self, envelope: Envelope) -> IDelivery:
        """:raises Unavailable: not here."""
        raise Unavailable("this is for the server itself")


class Worker:
    """:param deliveries: at a time; None: as the configuration has it.
    :ivar status: what the process ends with.
    :raises Problem: a route or a hook cannot be opened.
    """

    def __init__(
        self, source: Source, configuration: Configuration, name: str, deliveries: int | None, output: Output, reactor: Any
    ) -> None:
        self._source = source
        self._configuration = configuration
        self._deliveries = deliveries
        self._output = output
        self._reactor = reactor
        self._isStopping = False
        self.status = 0
        self._resolver = Resolver(reactor, asker(configuration.dns.servers))
        self._watchdog = Watchdog(configuration.netLimits().stallTime, nameOf=plugins().nameOf)
        spool = os.path.join(configuration.data, "spool")
        self._hooking = Hooking(reactor, spool, lambda: self._resolver, self._watchdog)
        self._queue = FarQueue(name, dialer(os.path.join(configuration.data, "control"), reactor), reactor)
        self._relay = Relay(
            self._queue,
            self._routes(configuration),
            Bouncer(configuration.hostname),
            reactor,
            schedule=schedules(configuration),
            limits=self._limits(configuration),
            crew=name,
        )
        self._relay.hooks = self._hooks(configuration)
        self._queue.leases = self._relay.leases
        self._queue.joined = self._relay.renew
        self._queue.forgiven = self._relay.forgive
        self._queue.lanes = self._relay.lanes
        self._queue.refused = self._refused

    def start(self) -> None:
        """Relay, once the reactor runs."""
        StopSignals(self._reactor, self._relay.cutOff)
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        self._watchdog.start(self._reactor)
        self._relay.start()
        self._queue.open()

    async def stop(self) -> None:
        """Begin nothing more, give back what was not begun, let what is under way end, for as long as sessions of servers get."""
        self._isStopping = True
        _log.info("stopping")
        seconds = self._configuration.netLimits().stopTimeout
        closing = self._reactor.callLater(seconds + GRACE, self._queue.close)
        await self._relay.stop(seconds)
        if closing.active():
            closing.cancel()
            self._queue.close()
        await self._hooking.close()
        await self._resolver.close()
        self._watchdog.close()
        _log.info("stopped")

    def reload(self) -> None:
        """Read the configuration again; on any mistake go on as before."""
        try:
            fresh = self._source.read(plugins())
            routes, hooks = self._routes(fresh), self._hooks(fresh)
        except (ConfigurationError, Problem) as error:
            for line in str(error).splitlines():
                _log.error("{line}", line=line)
            return
        self._configuration = fresh
        self._relay.replaceRoutes(routes)
        self._relay.bouncer = Bouncer(fresh.hostname)
        self._relay.schedule, self._relay.limits, self._relay.hooks = schedules(fresh), self._limits(fresh), hooks
        if isinstance(self._output, LogFile):
            self._output.reopen()
        _log.info("reloaded")

    def _refused(self, problem: Problem) -> None:
        _log.critical("{problem}", problem=problem)
        self.status = 1
        if not self._isStopping:
            self._reactor.stop()

    def _limits(self, configuration: Configuration) -> RelayLimits:
        relay, default = configuration.relay, RelayLimits()
        return RelayLimits(self._deliveries or relay.deliveries or default.deliveries, perLane=relay.deliveriesPerDestination)

    def _routes(self, configuration: Configuration) -> Routes:
        domains = frozenset(domain.lower() for domain in configuration.domains)
        return openRoutes(configuration, self._resolver, self._reactor, ServersOwn(), lambda domain: domain.lower() in domains)

    def _hooks(self, configuration: Configuration) -> Any:
        asked = []
        for entry in configuration.hook:
            stages = entry.stages(plugins().find(Kind.HOOK, entry.plugin.partition(":")[0]))
            if relays := [stage.value for stage in stages if stage in STAGES]:
                asked.append(entry.model_copy(update={"stage": relays}))
        return self._hooking.hooks(configuration.model_copy(update={"hook": asked})) if asked else None


def claim(data: str, name: str) -> int:
    """Take the lock on a worker's name, until the process ends. :raises Problem: another one has it."""
    if not NAME.fullmatch(name):
        raise Problem(f'"{name}" is no name for a worker: letters, digits, ".", "_" and "-", 32 at most')
    path = os.path.join(data, f"relay-{name}.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}; run this as the server's user") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Problem(f"a worker {name} is at work already: give this one another --name") from None
    return handle


def becomeOwner(path: str) -> None:
    """Where root starts us, be from now on the user that the data belongs to."""
    status = os.stat(path)
    if os.geteuid() == 0 and status.st_uid != 0:
        os.initgroups(pwd.getpwuid(status.st_uid).pw_name, status.st_gid)
        os.setgid(status.st_gid)
        os.setuid(status.st_uid)


def work(place: Place, name: str, deliveries: int | None) -> None:
    """Be a worker until a signal ends it, and leave the process. :raises Problem: it cannot begin."""
    from twisted.internet import reactor as globalReactor

    reactor: Any = globalReactor
    reactor.seconds = time.monotonic  # no change of the system's clock touches a deadline
    if not os.path.isdir(place.data):
        raise Problem(f"there is no data directory {place.data}")
    becomeOwner(place.data)
    source = Source(place.file, {("data",): place.data})
    try:
        configuration = source.read(plugins())
    except ConfigurationError as error:
        raise Problem(str(error)) from None
    claim(place.data, name)
    log = configuration.log
    try:
        output: Output = StandardOutput() if log.file == "-" else LogFile(configuration.path(log.file))
    except OSError as error:
        raise Problem(f"log file {log.file} cannot be written: {error.strerror}") from None
    globalLogBeginner.beginLoggingTo([LineObserver(output, renderer(log.format), log.level)], redirectStandardIO=False)
    worker = Worker(source, configuration, name, deliveries, output, reactor)
    reactor.callWhenRunning(worker.start)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(worker.stop()))
    reactor.run()
    sys.exit(worker.status)
