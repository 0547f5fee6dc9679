"""Mail that leaves, wired: what the configuration says of queue, relay and routes, made into the objects that do it.

The queue and what is under way outlive a reload; routes, schedules and limits are made anew, all of them before anything is
changed, so that a mistake leaves everything as it was.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.app.catalogue import plugins
from mailfw.app.configuration import optionsModel
from mailfw.app.crew import Crew
from mailfw.app.problem import Problem
from mailfw.app.sections import Configuration
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.destination import isLoopback
from mailfw.delivery.directory import Directory
from mailfw.delivery.lanes import LaneInfo, RelayLimits, together
from mailfw.delivery.queue import Queue
from mailfw.delivery.queue.entry import OWN_LANES
from mailfw.delivery.rates import Rates
from mailfw.delivery.relay import Relay
from mailfw.delivery.router import LocalRoute, Outbound, Router
from mailfw.delivery.routes import DomainTable, HostRoute, Own, Routes, sessionsOf, smarthost
from mailfw.delivery.schedule import Schedule
from mailfw.delivery.srs import SRS
from mailfw.interfaces import IMailStore, IOptionsContext, IResolver, IRoute, IRouteContext
from mailfw.plugins import BrokenPlugin, Kind, PluginError, check
from mailfw.tally import Tally
from mailfw.values import Address, Fate, Target

HELD = "[relay] hold is set: `mailfw queue release` lets it go"
"""Why what leaves waits for somebody to release it."""

DAY = 86400.0

_log = Logger("mailfw.app")


@implementer(IRouteContext, IOptionsContext)
@define(eq=False)
class RouteContext:
    """What a route is given when it is opened. :ivar options: what `[plugin.PREFIX]` says, as the plugin's own model."""

    reactor: Any
    data: str
    domains: list[str]
    hostname: str
    resolver: IResolver
    port: int
    timeout: float
    isOurs: Callable[[str], bool]
    now: Callable[[], float] = time.time
    options: Any = None
    isInline: bool = False


class Outgoing:
    """Router and relay of one system, and what is between them.

    :param srs: rewrites the senders of what aliases send on.
    :param own: makes the routes of functions.
    :param tally: where deliveries to our own store are counted.
    :raises Problem: a route cannot be opened.
    """

    def __init__(
        self, configuration: Configuration, queue: Queue, srs: SRS, resolver: IResolver, store: IMailStore, directory: Directory,
        reactor: Any, own: Callable[[Router], Own], tally: Tally | None = None,
    ) -> None:  # fmt: skip
        self._tally = tally or Tally()
        self.queue = queue
        self._srs = srs
        self._resolver = resolver
        self._store = store
        self._reactor = reactor
        self._isStopped = False
        self._configuration = configuration
        self._rates = Rates(reactor.seconds)
        self.router = self._makeRouter(configuration, directory)
        self.relay = Relay(
            queue,
            self._makeRoutes(configuration, self.router, directory, own),
            Bouncer(configuration.hostname),
            reactor,
            local=self.router.local,
            schedule=schedules(configuration),
            limits=_limits(configuration),
        )
        self.crew = Crew(queue, self.relay.laneOf, reactor)
        self._limit(configuration)
        queue.heldFor = self._heldFor

    def reload(self, configuration: Configuration, directory: Directory, own: Callable[[Router], Own]) -> None:
        """Use another configuration. :raises Problem: a route cannot be opened, and nothing was changed."""
        router = self._makeRouter(configuration, directory)
        routes = self._makeRoutes(configuration, router, directory, own)
        self._configuration, self.router = configuration, router
        self.relay.replaceRoutes(routes)
        self.relay.bouncer = Bouncer(configuration.hostname)
        self.relay.schedule = schedules(configuration)
        self.relay.limits = _limits(configuration)
        self._limit(configuration)

    async def stop(self, seconds: float = 0.0) -> None:
        """Let what is under way end, for so long; once."""
        if not self._isStopped:
            self._isStopped = True
            await self.relay.stop(seconds)

    def settled(self) -> Counter[Fate]:
        """How many recipients we and all workers have settled, by fate."""
        return self.relay.counts + self.crew.counts

    async def lanes(self) -> list[LaneInfo]:
        """Destinations that something happens in, or that rest, for us and for all workers."""
        return together([*self.relay.lanes(), *await self.crew.lanes()])

    def forgive(self) -> None:
        """No destination rests any longer, for us and for all workers."""
        self.relay.forgive()
        self.crew.forgive()

    def _heldFor(self, address: Address, target: Target | None) -> str:
        isLeaving = self._configuration.relay.hold and target is None and self.relay.routes.isDefault(address.domain)
        return HELD if isLeaving else ""

    def _limit(self, configuration: Configuration) -> None:
        limits = configuration.netLimits()
        self._rates.perSender, self._rates.perAddress = limits.recipientsPerSender, limits.recipientsPerAddress

    def _makeRouter(self, configuration: Configuration, directory: Directory) -> Router:
        accepted = DomainTable({route.domain: route.isAccepting for route in configuration.route})
        outbound = Outbound(
            self.queue,
            Bouncer(configuration.hostname),
            self._srs,
            [ip_network(network) for network in configuration.relay.networks],
            lambda domain: bool(accepted.find(domain)),
            configuration.queue.schedule(),
        )
        return Router(directory, self._store, outbound, self._rates, self._tally)

    def _makeRoutes(
        self, configuration: Configuration, router: Router, directory: Directory, own: Callable[[Router], Own]
    ) -> Routes:
        local = LocalRoute(router)
        return openRoutes(configuration, self._resolver, self._reactor, local, directory.isLocalDomain, own(router))


def openRoutes(
    configuration: Configuration,
    resolver: IResolver,
    reactor: Any,
    local: IRoute,
    isLocal: Callable[[str], bool],
    own: Own | None = None,
) -> Routes:
    """The ways that the configuration knows. :param local: of domains that `isLocal`. :raises Problem: one cannot be opened."""
    context = _contexts(configuration, resolver, reactor)
    table = {each.domain: _open(each.via, configuration, context()) for each in configuration.route}
    relay = configuration.relay
    if relay.smarthost:
        host, calling = smarthost(relay.smarthost, relay.smarthostPassword)
        default = IRoute(HostRoute(host, resolver, sessionsOf(IRouteContext(context())), calling))
    else:
        default = _open("mx:", configuration, context())
    return Routes(default, table, local, isLocal, own)


def _contexts(configuration: Configuration, resolver: IResolver, reactor: Any) -> Callable[[], RouteContext]:
    relay = configuration.relay
    listening = {binding.host for listen in configuration.listen for binding in listen.bindings()}

    def isOurs(address: str) -> bool:
        return not relay.loopback and (isLoopback(address) or address in listening)

    return lambda: RouteContext(
        reactor,
        configuration.data,
        configuration.domains,
        configuration.hostname,
        resolver,
        relay.port,
        relay.timeout,
        isOurs,
    )


def _open(via: str, configuration: Configuration, context: RouteContext) -> IRoute:
    """The route that `via` names. :raises Problem:"""
    try:
        plugin, argument = plugins().open(Kind.ROUTE, via)
        model = optionsModel(plugin)
        if model is not None:
            context.options = model.model_validate(configuration.plugin.get(plugin.prefix, {}))
        route = plugin.openRoute(argument, context)
        check(IRoute, route)
    except BrokenPlugin as error:
        raise Problem(f"the route {via} is of no use: {error}") from None
    except (PluginError, ValueError, OSError) as error:
        raise Problem(f"the route {via} cannot be opened: {error}") from None
    except Exception as error:
        _log.failure("the route {via} cannot be opened", via=via)
        raise Problem(f"the route {via} cannot be opened: {type(error).__name__}: {error}") from error
    return IRoute(route)


def schedules(configuration: Configuration) -> Callable[[str], Schedule]:
    """When to try again, by domain."""
    general = configuration.queue.schedule()
    table = DomainTable({route.domain: route.schedule(general) for route in configuration.route})
    return lambda domain: table.find(domain) or general


def _limits(configuration: Configuration) -> RelayLimits:
    """With no deliveries of ours, workers bring on what leaves; what is for our own store is for nobody else to bring there."""
    relay = configuration.relay
    if relay.deliveries:
        return RelayLimits(deliveries=relay.deliveries, perLane=relay.deliveriesPerDestination)
    return RelayLimits(perLane=relay.deliveriesPerDestination, only=OWN_LANES)


class RelayService(Service):
    """The relay while the server runs. At its start it takes back what a killed process had leased, for this one has the lock on
    the data; and once a day what a crash left in the queue's directory is removed."""

    name = "relay"

    def __init__(self, outgoing: Outgoing, reactor: Any) -> None:
        self._outgoing = outgoing
        self._collecting = LoopingCall(self._collect)
        self._collecting.clock = reactor

    def startService(self) -> None:
        """Begin with what is due."""
        super().startService()
        self._outgoing.relay.start()
        reclaiming = Deferred.fromCoroutine(self._outgoing.relay.reclaim())
        reclaiming.addErrback(lambda failure: _log.failure("leases of a killed process could not be taken back", failure))
        self._collecting.start(DAY)

    def stopService(self) -> None:
        """Collect no more. The relay itself is given time by whoever stops the server, with the sessions."""
        super().stopService()
        if self._collecting.running:
            self._collecting.stop()

    def _collect(self) -> Deferred[Any]:
        collecting = Deferred.fromCoroutine(self._outgoing.queue.collect())
        return collecting.addErrback(lambda failure: _log.failure("the queue's directory could not be cleaned", failure))
