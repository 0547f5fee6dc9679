"""Which hosts take mail for a domain, in which order, and what TLS each needs (RFC 5321 §5.1).

Hosts of the MX records by preference, those of equal preference in random order; the domain itself where it has no MX. Each
host's IPv6 and IPv4 addresses are tried. A host that is ourselves ends the list: those behind it would only bring the mail back.
So does what points at this machine's loopback, which no stranger's DNS may send us to.

`Policy` is the place of DANE and MTA-STS: it says by host what TLS is required, and nobody asks for less.
"""

from __future__ import annotations

import enum
import random as randomness
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from attrs import frozen

from mailfw.errors import NoSuchDomain, Refusal, Unreachable
from mailfw.interfaces import IResolver
from mailfw.values import MX

HOSTS = 10
"""Hosts of one domain that are tried."""

ADDRESSES = 4
"""Addresses of one host that are tried."""


class Security(enum.IntEnum):
    """How much TLS; each is more than the one before."""

    NONE = 0
    OPPORTUNISTIC = 1  # with any certificate, and without where there is none
    ENCRYPTED = 2  # with any certificate, or not at all
    VERIFIED = 3  # with a certificate for the host, or not at all


@frozen
class Hop:
    """One place to connect to.

    :ivar host: its name, for TLS and for people.
    :ivar address: an IP address, or the path of a Unix socket.
    :ivar isTLS: TLS from the first octet.
    """

    host: str
    address: str
    port: int = 25
    security: Security = Security.OPPORTUNISTIC
    isTLS: bool = False


class Policy(Protocol):
    """What a domain wants of TLS."""

    async def security(self, domain: str, host: str) -> Security:
        """For that host of that domain's. :raises Unreachable: the host may not be used."""


class Opportunistic:
    """Nobody wants anything: TLS where it is offered (RFC 7435)."""

    async def security(self, domain: str, host: str) -> Security:
        """The same for all."""
        return Security.OPPORTUNISTIC


def isLoopback(address: str) -> bool:
    """Whether an address leads to this machine, or to nobody in particular."""
    parsed: IPv4Address | IPv6Address = ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast


class Destinations:
    """:param hostname: ours. :param isOurs: whether an IP address is one of ours.
    :param random: gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        resolver: IResolver,
        hostname: str,
        *,
        port: int = 25,
        policy: Policy | None = None,
        isOurs: Callable[[str], bool] = isLoopback,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self._resolver = resolver
        self._hostname = hostname.lower()
        self._port = port
        self._policy = policy or Opportunistic()
        self._isOurs = isOurs
        self._random = random

    async def hops(self, domain: str) -> list[Hop]:
        """Where to try, in that order; at least one.

        :raises Unreachable: nowhere; for good where the DNS says so, for the moment where it says nothing.
        """
        if domain.startswith("["):
            return [self._literal(domain)]
        hops: list[Hop] = []
        troubles: list[Refusal] = []
        isLoop = False
        for hosts in await self._exchangers(domain):
            reached: list[Hop] = []
            for host in hosts:
                try:
                    found = [] if host == self._hostname else await self._hopsOf(host, domain)
                except Refusal as error:
                    troubles.append(error)
                    continue
                isLoop = isLoop or host == self._hostname or any(self._isOurs(hop.address) for hop in found)
                reached += found
            if isLoop:
                break
            hops += reached
        if not hops:
            raise _nowhere(domain, isLoop, troubles)
        return hops

    def _literal(self, domain: str) -> Hop:
        """An address literal (RFC 5321 §4.1.3)."""
        text = domain.strip("[]")
        address = text[5:] if text.lower().startswith("ipv6:") else text
        try:
            isOurs = self._isOurs(str(ip_address(address)))
        except ValueError:
            raise Unreachable(f"{domain} is no address", isTemporary=False, status="5.1.2") from None
        if isOurs:
            raise _nowhere(domain, True, ())
        return Hop(domain, str(ip_address(address)), self._port)

    async def _exchangers(self, domain: str) -> list[list[str]]:
        """Hosts of one preference after the other."""
        try:
            records = (await self._resolver.mx(domain)).records
        except NoSuchDomain as error:
            raise Unreachable(error.text, isTemporary=False, status="5.1.2") from error
        except Refusal as error:
            raise Unreachable(error.text, isTemporary=error.isTemporary, status="4.4.3") from error
        named = [record for record in records if record.host]
        if records and not named:
            raise Unreachable(f"{domain} takes no mail", isTemporary=False, status="5.1.10")  # RFC 7505 §4.1
        return self._groups(named or [MX(0, domain)])

    def _groups(self, records: Sequence[MX]) -> list[list[str]]:
        shuffled = sorted(records, key=lambda record: (record.preference, self._random()))[:HOSTS]
        preferences = sorted({record.preference for record in shuffled})
        return [[each.host.lower() for each in shuffled if each.preference == preference] for preference in preferences]

    async def _hopsOf(self, host: str, domain: str) -> list[Hop]:
        """:raises Refusal: the host has no address, or may not be used, or neither can be told."""
        addresses = (await self._resolver.addresses(host)).records[:ADDRESSES]
        if not addresses:
            raise NoSuchDomain(f"{host} has no address")
        security = await self._policy.security(domain, host)
        return [Hop(host, address, self._port, security) for address in addresses]


def _nowhere(domain: str, isLoop: bool, troubles: Sequence[Refusal]) -> Unreachable:
    """Why there is no hop. A host that may be there later keeps the mail waiting, also where we are the one behind it."""
    trouble = next((error for error in troubles if error.isTemporary), None)
    if trouble is None and isLoop:
        return Unreachable(f"mail for {domain} leads back to this system", isTemporary=False, status="5.4.6")
    trouble = trouble or troubles[0]
    if isinstance(trouble, Unreachable):
        return trouble
    if trouble.isTemporary:
        return Unreachable(trouble.text, status="4.4.3")
    return Unreachable(f"no host takes mail for {domain}: {trouble.text}", isTemporary=False, status="5.4.4")
