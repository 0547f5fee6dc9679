"""What XCLIENT says about the client behind a proxy (Postfix's XCLIENT_README). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from attrs import evolve

from mailfw.smtp.grammar import bad
from mailfw.values import Peer


def proxied(peer: Peer, said: Mapping[str, str | None]) -> Peer:
    """The peer with what the proxy said of it: `ADDR` is an IPv4 address or `IPV6:` and an IPv6 address, `PORT` a number; what
    the proxy does not know is unknown.

    :raises BadCommand: it is neither.
    """
    if "ADDR" in said:
        text = said["ADDR"]
        try:
            address = None if text is None else ip_address(text[5:] if text[:5].upper() == "IPV6:" else text)
        except ValueError:
            bad(501, "5.5.4", "ADDR is no IP address")
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        peer = Peer("") if address is None else Peer(str(address), 0, address.is_loopback)
    if "PORT" in said:
        port = said["PORT"] or "0"
        if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
            bad(501, "5.5.4", "PORT is no port")
        peer = evolve(peer, port=int(port))
    return peer
