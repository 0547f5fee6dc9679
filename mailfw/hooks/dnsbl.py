"""Lists of addresses in the DNS (RFC 5782) as a hook: `dnsbl:ZONE,ZONE…`.

A client that a list has is refused at RCPT, with what the list says of it; postmaster can always be written to (RFC 5321 §4.5.1).
Who logged in, who comes from this machine, and whoever `[plugin.dnsbl] allow` names is not looked up. A list that cannot be asked
lists nobody, for its outage must not stop the mail; an answer outside 127.0.0.0/8, or in 127.255.255.0/24 where lists tell of
errors, is no listing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address, ip_network

from attrs import frozen
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.errors import NoSuchDomain, Unavailable
from mailfw.hooks.allowed import Allowing
from mailfw.hooks.runner import Hook
from mailfw.interfaces import IHookContext, IHookPlugin, IOptions, IOptionsContext, IResolver
from mailfw.net.peer import Networks
from mailfw.stages import Event, Reject, Result, Stage
from mailfw.values import Peer

_ZONE = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+")
_LISTED, _ERRORS = ip_network("127.0.0.0/8"), ip_network("127.255.255.0/24")


class DNSBLOptions(Allowing):
    """`[plugin.dnsbl]`. :ivar allow: networks that are not looked up."""


def reversed_(host: str) -> str:
    """The address as names have it: octets backwards, or nibbles (RFC 5782 §2.1, §2.4)."""
    return ip_address(host).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


class DNSBLHook:
    """:param zones: asked in this order."""

    log = Logger("mailfw.hooks")

    def __init__(self, zones: Collection[str], allowed: Networks, resolver: IResolver) -> None:
        self._zones = zones
        self._allowed = allowed
        self._resolver = resolver

    async def __call__(self, event: Event) -> Result | None:
        """A refusal of whoever is listed."""
        client = event.client
        if client is None or client.identity is not None or not self._isStranger(client.peer):
            return None
        if event.recipient is not None and event.recipient.address.local.lower() == "postmaster":
            return None
        if self not in client.notes or client.notes[self][0] != client.peer.host:
            client.notes[self] = (client.peer.host, await self._listing(client.peer.host))
        listing: str = client.notes[self][1]
        return Reject(554, "5.7.1", listing) if listing else None

    def _isStranger(self, peer: Peer) -> bool:
        if peer.isUnix or peer.isLoopback or not peer.host or peer in self._allowed:
            return False
        return not ip_address(peer.host).is_link_local

    async def _listing(self, host: str) -> str:
        """What the first list that has it says; empty: none has."""
        for zone in self._zones:
            name = f"{reversed_(host)}.{zone}"
            try:
                found = (await self._resolver.addresses(name)).records
            except NoSuchDomain:
                continue
            except Unavailable:
                self.log.warn("the list {zone} cannot be asked", zone=zone)
                continue
            if any(_isListing(record) for record in found):
                return f"[{host}] is listed by {zone}{await self._reason(name)}"
        return ""

    async def _reason(self, name: str) -> str:
        """What the list says of it, if it does."""
        try:
            texts = (await self._resolver.txt(name)).records
        except (NoSuchDomain, Unavailable):
            return ""
        return f": {texts[0].decode('ascii', 'replace')}" if texts else ""


def _isListing(record: str) -> bool:
    address = ip_address(record)
    return address in _LISTED and address not in _ERRORS


@implementer(IHookPlugin, IOptions)
@frozen
class DNSBLPlugin:
    """Opens lists by their zones."""

    prefix: str = "dnsbl"
    stages: Collection[Stage] = (Stage.RCPT_TO,)
    model: type[DNSBLOptions] = DNSBLOptions

    def openHook(self, argument: str, context: IHookContext) -> Hook:
        """:raises ValueError: there is no zone, or one that is no name."""
        zones = [zone.strip() for zone in argument.split(",")]
        for zone in zones:
            if not _ZONE.fullmatch(zone):
                raise ValueError("write dnsbl:ZONE, or several with commas between")
        options: DNSBLOptions = IOptionsContext(context).options
        return DNSBLHook(zones, Networks.parse(options.allow), context.resolver)


dnsbl = DNSBLPlugin()
