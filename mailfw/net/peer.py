"""Who is at the other end of a connection, as a value."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

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
