"""The PROXY protocol: a header first, from those we trust; then the connection is the client's."""

import socket
import struct

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread

from mailfw.net.peer import Networks
from mailfw.net.proxy import PATIENCE, Introduction, ProxiedFactory, parse
from mailfw.smtp.server import smtp
from mailfw.testing.world import World

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
V4 = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 7]), bytes([198, 51, 100, 1]), 40000, 25)
V6 = SIGNATURE + b"\x21\x21" + struct.pack("!H", 40) + b"\x20\x01\x0d\xb8" + bytes(12) + bytes(16) + b"\x9c\x40\0\x19" + b"tlv!"


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (LINE, IPv4Address("TCP", "192.0.2.7", 40000)),
        (b"PROXY TCP6 2001:db8::7 ::1 40000 25\r\n", IPv6Address("TCP", "2001:db8::7", 40000)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN whatever it says here\r\n", None),
        (V4, IPv4Address("TCP", "192.0.2.7", 40000)),
        (V6, IPv6Address("TCP", "2001:db8::", 40000)),
        (SIGNATURE + b"\x20\x00\0\0", None),
        (SIGNATURE + b"\x21\x00\0\3abc", None),
    ],
)
def test_headers(data, source):
    header = parse(data + b"EHLO x\r\n")
    assert (header.length, header.source) == (len(data), source)
    assert all(parse(data[:length]) is None for length in range(len(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO x\r\n", b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n", b"PROXY TCP4 ::1 ::2 1 2\r\n", b"PROXY TCP5 a b 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n", b"PROXY " + b"x" * 200,
        b"PROXY TCP4  192.0.2.7 198.51.100.1 1 25\r\n", "PROXY TCP4 ١٩٢.0.2.7 198.51.100.1 1 25\r\n".encode(),
        SIGNATURE + b"\x11\x11\0\x0c" + bytes(12), SIGNATURE + b"\x21\x11\0\x0b" + bytes(11), SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE[:-1] + b"X", b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n" + b"x" * 100,
    ],
)  # fmt: skip
def test_what_is_no_header(data):
    with pytest.raises(ValueError):
        parse(data)


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_or_none(data):
    try:
        header = parse(data)
    except ValueError:
        return
    assert header is None or header.length <= len(data)


class Wire(StringTransport):
    """A transport whose abrupt end can be seen."""

    isCut = False

    def abortConnection(self):
        self.isCut = True


class Call:
    """A proxy calls a listener that speaks the protocol."""

    def __init__(self, peer="127.0.0.1", trusted=("127.0.0.1",)):
        self.world = World()
        self.clock = Clock()
        self.factory = ProxiedFactory(smtp.factory(self.world.context), Networks.parse(trusted), self.clock)
        address = IPv4Address("TCP", peer, 5000)
        protocol = self.factory.buildProtocol(address)
        self.transport = Wire(peerAddress=address)
        self.isRefused = protocol is None
        if protocol is not None:
            self.transport.protocol = protocol
            protocol.makeConnection(self.transport)

    def send(self, data):
        self.transport.protocol.dataReceived(data)

    def end(self):
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.transport.protocol.connectionLost(Failure(ConnectionDone()))
        assert not self.clock.getDelayedCalls() and not self.world.clock.getDelayedCalls()


def test_nothing_is_said_before_the_header_and_then_the_peer_is_the_client():
    call = Call()
    for octet in LINE[:-1]:
        call.send(bytes([octet]))
        assert call.transport.value() == b""
    call.send(LINE[-1:])
    assert call.transport.value().startswith(b"220 ")
    session = call.transport.protocol
    assert session.peer.host == "192.0.2.7"
    assert call.transport.getPeer().host == "192.0.2.7" and call.transport.getHost().port == 25
    call.end()


def test_a_proxy_that_speaks_for_itself_is_itself():
    call = Call()
    call.send(b"PROXY UNKNOWN\r\n")
    assert call.transport.protocol.peer.host == "127.0.0.1"
    call.end()


def test_a_client_that_talks_early_is_refused_though_a_proxy_brings_it():
    call = Call()
    call.send(V4 + b"EHLO x\r\n")
    assert call.transport.value().startswith(b"554 ")
    call.end()


def test_untrusted_peers_get_nothing():
    assert Call(peer="192.0.2.66").isRefused


@pytest.mark.parametrize("data", [b"EHLO x\r\n", b"\r\n\r\nX", b"PROXY TCP4 nonsense\r\n"])
def test_malformed_headers_close(data):
    call = Call()
    call.send(data)
    assert call.transport.isCut and call.transport.value() == b""
    call.end()


def test_a_header_that_does_not_come_closes():
    call = Call()
    call.send(b"PROXY ")
    call.clock.advance(PATIENCE)
    assert call.transport.isCut
    assert isinstance(call.transport.protocol, Introduction)
    call.end()


@pytest_twisted.ensureDeferred
async def test_on_a_real_socket():
    world = World()
    world.context.reactor = reactor
    port = reactor.listenTCP(0, ProxiedFactory(smtp.factory(world.context), Networks.parse(["127.0.0.1"]), reactor))
    address = ("127.0.0.1", port.getHost().port)

    def talk():
        with socket.create_connection(address, 60) as proxy:
            proxy.sendall(V4)
            greeting = proxy.recv(100)
            hosts = [connection.peer.host for connection in world.context.sessions]
            proxy.sendall(b"QUIT\r\n")
            rest = proxy.recv(100)
            assert proxy.recv(100) == b""
        return greeting, hosts, rest

    greeting, hosts, rest = await deferToThread(talk)
    assert greeting.startswith(b"220 ") and rest.startswith(b"221 ") and hosts == ["192.0.2.7"]
    await port.stopListening()
    await world.context.sessions.stop(5)
