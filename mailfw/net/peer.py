"""Who is at the other end of a connection, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen
from twisted.internet.address import IPv4Address as IPv4Endpoint
from twisted.internet.address import IPv6Address as IPv6Endpoint
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from mailfw.values import Peer


def peerOf(address: IAddress | None) -> Peer:
    """The peer of a Twisted address. `::ffff:192.0.2.1` is written, and counted, as `192.0.2.1`."""
    if isinstance(address, UNIXAddress):
        name = address.name or b""
        return Peer(name.decode("utf-8", "replace"), isLoopback=True, isUnix=True)
    if not isinstance(address, IPv4Endpoint | IPv6Endpoint):
        return Peer("")
    host = address.host.partition("%")[0]
    try:
        ip = ip_address(host)
    except ValueError:
        return Peer(host, address.port)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return Peer(str(ip.ipv4_mapped), address.port, ip.ipv4_mapped.is_loopback)
    return Peer(str(ip), address.port, ip.is_loopback)


@frozen
class Networks:
    """Peers that are trusted with something: networks, and perhaps whoever comes by a Unix socket."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hasUnix: bool = False

    @classmethod
    def parse(cls, words: Iterable[str]) -> Networks:
        """Addresses, networks and the word `unix`. :raises ValueError: one is none of these."""
        words = list(words)
        return cls(tuple(ip_network(word) for word in words if word != "unix"), "unix" in words)

    def __contains__(self, peer: Peer) -> bool:
        if peer.isUnix:
            return self.hasUnix
        try:
            address = ip_address(peer.host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


NOBODY = Networks()
