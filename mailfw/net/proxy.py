"""The PROXY protocol, versions 1 and 2: a proxy in front of us says, before anything else, whom it speaks for.

A listener either speaks it or not. One that does takes connections from trusted peers alone, and nothing is said to the client,
no TLS begins, no session is made before the header has come: so `getPeer()` is the client from the first moment, and limits,
logs, logins and hooks count the client and not the proxy. A header that is malformed or late, and a peer that is not trusted,
close the connection without a word.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from attrs import frozen
from twisted.internet import address as endpoints
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.net.peer import Networks, peerOf

PATIENCE = 5.0
"""Seconds in which the header has to come."""

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE_LIMIT = 107  # octets of a version 1 line, its end included
_LENGTH_LIMIT = 4096  # octets of addresses and type-length-values in version 2
_COUNTS = {0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}


@frozen
class ProxyHeader:
    """:ivar source: who connected to the proxy, :ivar destination: and where; None: the proxy speaks for itself.
    :ivar length: octets of the header.
    """

    length: int
    source: IAddress | None = None
    destination: IAddress | None = None


def parse(data: bytes) -> ProxyHeader | None:
    """Read a header from the start of what came; None: more has to come.

    :raises ValueError: it is none.
    """
    if data.startswith(_SIGNATURE):
        return _parseBinary(data)
    if _SIGNATURE.startswith(data):
        return None
    return _parseLine(data)


def _parseLine(data: bytes) -> ProxyHeader | None:
    """Version 1: `"PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP source-port SP destination-port CRLF`, or
    `"PROXY UNKNOWN" … CRLF`; at most 107 octets."""
    word = b"PROXY "
    if not data.startswith(word[: len(data)]):
        raise ValueError("no PROXY header")
    end = data.find(b"\r\n", 0, _LINE_LIMIT)
    if end < 0:
        if len(data) >= _LINE_LIMIT:
            raise ValueError("an endless PROXY line")
        return None
    kind, *rest = data[len(word) : end].decode("ascii").split(" ")
    if kind == "UNKNOWN":
        return ProxyHeader(end + 2)
    if kind not in ("TCP4", "TCP6") or len(rest) != 4:
        raise ValueError("a malformed PROXY line")
    address = IPv4Address if kind == "TCP4" else IPv6Address
    source, destination, sourcePort, destinationPort = rest
    return ProxyHeader(
        end + 2,
        _endpoint(address(source), _port(sourcePort)),
        _endpoint(address(destination), _port(destinationPort)),
    )


def _parseBinary(data: bytes) -> ProxyHeader | None:
    """Version 2: signature, version and command, family and transport, length, addresses, type-length-values."""
    if len(data) < 16:
        return None
    versionAndCommand, family, length = struct.unpack_from("!BBH", data, 12)
    if versionAndCommand not in (0x20, 0x21) or length > _LENGTH_LIMIT:
        raise ValueError("a malformed PROXY header")
    if len(data) < 16 + length:
        return None
    if versionAndCommand == 0x20 or family not in _COUNTS:  # LOCAL, or a family that has no address for us
        return ProxyHeader(16 + length)
    if length < _COUNTS[family]:
        raise ValueError("a PROXY header without its addresses")
    if family in (0x31, 0x32):
        names = struct.unpack_from("108s108s", data, 16)
        return ProxyHeader(16 + length, *(endpoints.UNIXAddress(name.rstrip(b"\0")) for name in names))
    address, size = (IPv4Address, 4) if family in (0x11, 0x12) else (IPv6Address, 16)
    source, destination, sourcePort, destinationPort = struct.unpack_from(f"!{size}s{size}sHH", data, 16)
    return ProxyHeader(16 + length, _endpoint(address(source), sourcePort), _endpoint(address(destination), destinationPort))


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise ValueError("no port")
    return int(text)


def _endpoint(address: IPv4Address | IPv6Address, port: int) -> IAddress:
    kind = endpoints.IPv4Address if isinstance(address, IPv4Address) else endpoints.IPv6Address
    return kind("TCP", str(address), port)


class ProxiedFactory(Factory):
    """Stands before a listener's factory, TLS included.

    :param inner: builds the sessions; it is given the client's address.
    :param trusted: peers that may speak for others.
    """

    noisy = False
    log = Logger("mailfw.net")

    def __init__(self, inner: Any, trusted: Networks, clock: IReactorTime) -> None:
        self.inner = inner
        self.trusted = trusted
        self.clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """What waits for the header; nothing for a peer that is not trusted."""
        peer = peerOf(addr)
        if peer not in self.trusted:
            self.log.info("connection refused: {peer} is not a proxy of ours", peer=str(peer))
            return None
        return Introduction(self)


class Introduction(Protocol):
    """Waits for the header, then leaves its place to the session."""

    def __init__(self, factory: ProxiedFactory) -> None:
        self._factory = factory
        self._data = b""
        self._cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait."""
        transport: Any = self.transport
        self._cut = self._factory.clock.callLater(PATIENCE, self._refuse, transport, "no PROXY header in time")

    def dataReceived(self, data: bytes) -> None:
        """A part of the header, perhaps with what stands behind it."""
        transport: Any = self.transport
        self._data += data
        try:
            header = parse(self._data)
        except ValueError as error:
            self._refuse(transport, str(error))
            return
        if header is None:
            return
        self._stop()
        if header.source is not None:
            # As Twisted does with getHandle when TLS begins: the transport is this connection's alone.
            source, destination = header.source, header.destination
            transport.getPeer = lambda: source
            transport.getHost = lambda: destination
        session = self._factory.inner.buildProtocol(header.source or transport.getPeer())
        if session is None:
            transport.abortConnection()
            return
        rest = self._data[header.length :]
        transport.hasEarlyInput = bool(rest)
        transport.protocol = session
        session.makeConnection(transport)
        if rest:
            session.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nobody is there any more."""
        self._stop()

    def _refuse(self, transport: Any, why: str) -> None:
        self._stop()
        self._factory.log.info("connection from {peer} closed: {why}", peer=str(peerOf(transport.getPeer())), why=why)
        transport.abortConnection()

    def _stop(self) -> None:
        cut, self._cut = self._cut, None
        if cut is not None and cut.active():
            cut.cancel()
