"""The ways on which messages leave: by the DNS, by one host, into nothing. `pipe` has the way into a program.

mx:                    each domain's own hosts
smtp:HOST:PORT         one host for all of it; smtp:[2001:db8::1]:PORT
lmtp:HOST:PORT         the same over LMTP; lmtp:unix:/PATH
discard:               accepted and forgotten
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from attrs import frozen
from zope.interface import implementer

from mailfw.delivery.carrier import Carrier
from mailfw.delivery.destination import Destinations, Hop, Security
from mailfw.delivery.directory import spellings
from mailfw.delivery.hosts import HostsFile
from mailfw.delivery.schedule import Schedule
from mailfw.delivery.sessions import PLAINLY, Calling, Login, Sessions
from mailfw.errors import Refusal, Unreachable
from mailfw.interfaces import IClosable, IDelivery, IResolver, IRoute, IRouteContext, IRoutePlugin
from mailfw.smtp.client import Timeouts
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Recipient

SMTP_PORT = 25
LMTP_PORT = 24

HOSTS = HostsFile()

T = TypeVar("T")


@implementer(IRoute, IClosable)
class MXRoute:
    """Each domain's own hosts (RFC 5321 §5.1)."""

    def __init__(self, destinations: Destinations, sessions: Sessions) -> None:
        self._destinations = destinations
        self._sessions = sessions

    def destination(self, domain: str) -> str:
        """The domain."""
        return domain

    def begin(self, envelope: Envelope) -> IDelivery:
        """A delivery to recipients at one domain."""
        return _ToDomain(envelope, self._destinations, self._sessions)

    async def close(self) -> None:
        """Let go of connections."""
        await self._sessions.close()


class _ToDomain(Carrier):
    """The hops are those of the recipients' domain."""

    def __init__(self, envelope: Envelope, destinations: Destinations, sessions: Sessions) -> None:
        super().__init__(envelope, self._ofDomain, sessions, PLAINLY)
        self._destinations = destinations

    async def _ofDomain(self) -> Sequence[Hop]:
        return await self._destinations.hops(self._recipients[0].address.domain)


@frozen
class Host:
    """Where one host's service is.

    :ivar host: a name, an address, or the path of a Unix socket.
    """

    host: str
    port: int
    security: Security = Security.OPPORTUNISTIC
    isTLS: bool = False

    @classmethod
    def parse(cls, text: str, port: int) -> Host:
        """`unix:/PATH`, `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`.

        :raises ValueError: it is none of these.
        """
        if text.startswith("unix:/"):
            return cls(text.removeprefix("unix:"), 0, Security.NONE)
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+))(?::([0-9]{1,5}))?", text)
        if match is None or not 0 < int(match[3] or port) < 65536:
            raise ValueError(f'"{text}" is no host: write "host.example:{port}", "[2001:db8::1]:{port}" or "unix:/path"')
        return cls(match[1] or match[2], int(match[3] or port))

    async def hops(self, resolver: IResolver, hosts: HostsFile = HOSTS) -> Sequence[Hop]:
        """Its addresses. :raises Unreachable: nobody tells them; temporary, for the host was configured."""
        isKnown = self.host.startswith("/") or _isAddress(self.host)
        addresses: Sequence[str] = [self.host] if isKnown else hosts.find(self.host)
        if not addresses:
            try:
                addresses = (await resolver.addresses(self.host)).records
            except Refusal as error:
                raise Unreachable(error.text, status="4.4.3", host=self.host) from error
        if not addresses:
            raise Unreachable(f"{self.host} has no address", status="4.4.3", host=self.host)
        return [Hop(self.host, address, self.port, self.security, self.isTLS) for address in addresses]


def _isAddress(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@implementer(IRoute, IClosable)
class HostRoute:
    """One host for all that goes this way: a smart host, a list manager, another store."""

    def __init__(self, host: Host, resolver: IResolver, sessions: Sessions, calling: Calling = PLAINLY) -> None:
        self._host = host
        self._resolver = resolver
        self._sessions = sessions
        self._calling = calling

    def destination(self, domain: str) -> str:
        """The host."""
        return f"{'lmtp' if self._calling.isLMTP else 'smtp'}:{self._host.host}:{self._host.port}"

    def begin(self, envelope: Envelope) -> IDelivery:
        """A delivery to recipients anywhere."""
        return Carrier(envelope, lambda: self._host.hops(self._resolver), self._sessions, self._calling)

    async def close(self) -> None:
        """Let go of connections."""
        await self._sessions.close()


def smarthost(url: str, password: str = "") -> tuple[Host, Calling]:
    """`smtp://user:password@host:587`, or `smtps://` for TLS from the first octet.

    With a login TLS is required and the host's certificate must be good.

    :param password: where the URL has a user and no password.
    :raises ValueError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        isRight = parts.scheme in ("smtp", "smtps") and parts.hostname and not parts.path.strip("/") and not parts.query
        given = parts.port
    except ValueError:
        isRight = False
    if not isRight:
        raise ValueError(f'"{_withoutPassword(url)}" is no smart host: write "smtp://user@host:587"')
    isTLS = parts.scheme == "smtps"
    login = Login(unquote(parts.username), unquote(parts.password or "") or password) if parts.username else None
    security = Security.VERIFIED if login or isTLS else Security.OPPORTUNISTIC
    port = given or (465 if isTLS else 587 if login else SMTP_PORT)
    return Host(parts.hostname or "", port, security, isTLS), Calling(login=login)


def _withoutPassword(url: str) -> str:
    return re.sub(r":[^/@]*@", ":…@", url)


@implementer(IRoute)
class DiscardRoute:
    """Everything is taken and forgotten."""

    def destination(self, domain: str) -> str:
        """One for all."""
        return "discard:"

    def begin(self, envelope: Envelope) -> IDelivery:
        """A delivery into nothing."""
        return _Discard()


@implementer(IDelivery)
class _Discard:
    def __init__(self) -> None:
        self._count = 0

    async def recipient(self, recipient: Recipient) -> None:
        self._count += 1

    def abort(self) -> None:
        """Nothing was begun."""

    async def commit(self, message: MessageSource) -> list[Outcome]:
        return [Outcome(Fate.DELIVERED, remark="discarded", status="2.0.0")] * self._count


class DomainTable(Generic[T]):
    """Something for each of some domains, in whatever spelling (A-labels, U-labels) they are asked for.

    :param entries: by domain; `.example.org` is every domain below it, the longest that fits counts.
    """

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._entries: dict[str, T] = {}
        for domain, value in entries.items():
            name = domain.removeprefix(".")
            self._entries |= {domain.removesuffix(name) + spelling: value for spelling in spellings(name)}

    def find(self, domain: str) -> T | None:
        """What there is for that domain."""
        found = self._entries.get(domain)
        while found is None and domain:
            domain = domain.partition(".")[2]
            found = self._entries.get(f".{domain}")
        return found

    def values(self) -> Iterable[T]:
        """Everything that is in it."""
        return self._entries.values()


class Own(Protocol):
    """Addresses of ours that have a route of their own, each in a lane that begins as the server's own do."""

    def find(self, address: Address) -> IRoute | None:
        """The address's route, if it has one."""

    def schedule(self, address: Address) -> Schedule | None:
        """When it is tried again; None: nothing is said of it."""

    def most(self, lane: str) -> int:
        """How many deliveries of that lane there may be at a time; 0: nothing is said of it."""

    async def close(self) -> None:
        """End what is under way."""


class Routes:
    """Which route a domain's mail takes.

    :param default: for every domain that nothing else is said of.
    :param table: by domain, as `DomainTable` has it.
    :param local: for domains of ours, of which `isLocal` tells.
    :param own: addresses that go before all domains.
    """

    def __init__(
        self,
        default: IRoute,
        table: Mapping[str, IRoute] | None = None,
        local: IRoute | None = None,
        isLocal: Callable[[str], bool] = lambda domain: False,
        own: Own | None = None,
    ) -> None:
        self._default = default
        self._table = DomainTable(table or {})
        self._local = local
        self._isLocal = isLocal
        self._own = own

    def of(self, address: Address) -> IRoute:
        """The route for that address: its own, or its domain's."""
        own = self._own.find(address) if self._own is not None else None
        return own if own is not None else self.find(address.domain)

    def lane(self, address: Address) -> str:
        """What connections for that address are counted by."""
        return self.of(address).destination(address.domain)

    def schedule(self, address: Address) -> Schedule | None:
        """The address's own, where it has one."""
        return self._own.schedule(address) if self._own is not None else None

    def most(self, lane: str) -> int:
        """How many deliveries of that lane there may be at a time; 0: nothing is said of it."""
        return self._own.most(lane) if self._own is not None else 0

    def find(self, domain: str) -> IRoute:
        """The route for that domain."""
        if self._local is not None and self._isLocal(domain):
            return self._local
        return self._table.find(domain) or self._default

    def isDefault(self, domain: str) -> bool:
        """Whether nothing is said of that domain, and it is none of ours."""
        return self.find(domain) is self._default

    def destination(self, domain: str) -> str:
        """What connections for that domain are counted by."""
        return self.find(domain).destination(domain)

    async def close(self) -> None:
        """Close every route that can be closed."""
        if self._own is not None:
            await self._own.close()
        for route in {id(route): route for route in (self._default, *self._table.values())}.values():
            if IClosable.providedBy(route):
                await IClosable(route).close()


# --- As plugins ------------------------------------------------------------------------------------------------------


@implementer(IRoutePlugin)
class _Plugin:
    """A route that is named in the configuration."""

    def __init__(self, prefix: str, opens: Callable[[str, IRouteContext], IRoute]) -> None:
        self.prefix = prefix
        self._opens = opens

    def openRoute(self, argument: str, context: IRouteContext) -> IRoute:
        """:raises ValueError: the argument makes no sense."""
        return self._opens(argument, context)


def sessionsOf(context: IRouteContext) -> Sessions:
    """Connections for one route."""
    return Sessions(context.reactor, context.hostname, timeouts=Timeouts().capped(context.timeout), now=context.now)


def _openMX(argument: str, context: IRouteContext) -> IRoute:
    _nothing("mx", argument)
    destinations = Destinations(context.resolver, context.hostname, port=context.port, isOurs=context.isOurs)
    return IRoute(MXRoute(destinations, sessionsOf(context)))


def _openSMTP(argument: str, context: IRouteContext) -> IRoute:
    return IRoute(HostRoute(Host.parse(argument, SMTP_PORT), context.resolver, sessionsOf(context)))


def _openLMTP(argument: str, context: IRouteContext) -> IRoute:
    host = Host.parse(argument, LMTP_PORT)
    return IRoute(HostRoute(host, context.resolver, sessionsOf(context), Calling(isLMTP=True)))


def _openDiscard(argument: str, context: IRouteContext) -> IRoute:
    _nothing("discard", argument)
    return IRoute(DiscardRoute())


def _nothing(prefix: str, argument: str) -> None:
    if argument:
        raise ValueError(f"nothing comes after {prefix}:")


mx = _Plugin("mx", _openMX)
smtp = _Plugin("smtp", _openSMTP)
lmtp = _Plugin("lmtp", _openLMTP)
discard = _Plugin("discard", _openDiscard)
