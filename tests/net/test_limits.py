"""Peers, counts per address, and the spool."""

import os
import resource

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import Logger, formatEvent

from mailfw.net.connection import LINGER, Connection, Listener
from mailfw.net.factory import LINGERING, MailFactory
from mailfw.net.limits import Limits
from mailfw.net.peer import peerOf
from mailfw.net.spool import SpoolDirectory
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World
from mailfw.values import Peer


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (IPv4Address("TCP", "192.0.2.1", 5), Peer("192.0.2.1", 5)),
        (IPv4Address("TCP", "127.0.0.9", 5), Peer("127.0.0.9", 5, isLoopback=True)),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 5), Peer("192.0.2.1", 5)),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 5), Peer("127.0.0.1", 5, isLoopback=True)),
        (IPv6Address("TCP", "::1", 5), Peer("::1", 5, isLoopback=True)),
        (IPv6Address("TCP", "fe80::1%eth0", 5), Peer("fe80::1", 5)),
        (UNIXAddress(b"/run/x"), Peer("/run/x", isLoopback=True, isUnix=True)),
    ],
)
def test_peers(address, peer):
    assert peerOf(address) == peer


class Polite(Connection):
    def greet(self):
        self.write(b"hello\r\n")

    @classmethod
    def refusal(cls, text):
        return b"421 " + text.encode() + b"\r\n"


def dial(world, address):
    protocol = MailFactory(Polite, world.context, Listener("polite")).buildProtocol(address)
    return MemoryTransport(protocol, address).connect()


def test_connections_per_address_are_counted_by_host_and_freed():
    world = World(limits=Limits(connectionsPerAddress=2))
    here, there = IPv4Address("TCP", "192.0.2.1", 1), IPv4Address("TCP", "192.0.2.2", 1)
    first, second = dial(world, here), dial(world, here)
    refused = dial(world, here)
    assert refused.take() == b"421 too many connections from your address\r\n"
    assert refused.isClosed
    assert dial(world, there).take() == b"hello\r\n"
    first.hangUp()
    assert dial(world, here).take() == b"hello\r\n"
    assert second.take() == b"hello\r\n"


def test_ipv6_is_counted_by_its_network():
    world = World(limits=Limits(connectionsPerAddress=1))
    dial(world, IPv6Address("TCP", "2001:db8::1", 1))
    assert dial(world, IPv6Address("TCP", "2001:db8::2", 1)).isClosed
    assert not dial(world, IPv6Address("TCP", "2001:db8:0:1::2", 1)).isClosed


@pytest.mark.parametrize("exempt", [True, False])
def test_loopback_is_exempt_when_so_configured(exempt):
    world = World(limits=Limits(connectionsPerAddress=1, loopbackExempt=exempt))
    here = IPv4Address("TCP", "127.0.0.1", 1)
    dial(world, here)
    assert dial(world, here).isClosed is not exempt


def test_connections_in_all_are_bounded():
    world = World(limits=Limits(connections=1))
    here = IPv4Address("TCP", "127.0.0.1", 1)
    dial(world, here)
    assert dial(world, here).take() == b"421 too many connections\r\n"


class Unshaken(MemoryTransport):
    """TLS whose handshake the client does not begin: nothing can be said, and so nothing is over."""

    def loseConnection(self):
        pass


def refused(factory):
    """Who comes to a server that is full, and says nothing."""
    address = IPv4Address("TCP", "192.0.2.1", 1)
    return Unshaken(factory.buildProtocol(address), address).connect()


def test_who_is_refused_and_begins_no_handshake_is_cut_off():
    world = World(limits=Limits(connections=0))
    factory = MailFactory(Polite, world.context, Listener("polite", isTLS=True))
    clients = [refused(factory) for _ in range(LINGERING + 10)]
    assert [client.isClosed for client in clients] == [False] * LINGERING + [True] * 10
    world.advance(LINGER)
    assert all(client.isClosed for client in clients)
    assert not refused(factory).isClosed
    world.advance(LINGER)
    assert not world.clock.getDelayedCalls()


def test_a_flood_of_refused_connections_does_not_fill_the_log(monkeypatch):
    world = World(limits=Limits(connections=0))
    lines = []
    monkeypatch.setattr(MailFactory, "log", Logger(observer=lambda event: lines.append(formatEvent(event))))
    factory = MailFactory(Polite, world.context, Listener("polite"))
    for _ in range(1000):
        factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 7))
    world.advance(1)
    factory.buildProtocol(IPv4Address("TCP", "192.0.2.2", 8))
    assert len(lines) == 2
    assert "too many connections" in lines[0]
    assert "999 more" in lines[1] and "192.0.2.2" in lines[1]


@pytest.mark.parametrize("pieces", [[], [b"abc"], [b"a" * 9, b"b" * 3], [b"x" * 10, b"y" * 20, b"z"]])
def test_a_spool_returns_what_was_written(tmp_path, pieces):
    directory = SpoolDirectory(str(tmp_path / "spool"), memory=16)
    directory.prepare()
    spool = directory.open()
    for piece in pieces:
        spool.write(piece)
    source = spool.finish().withPrefix(b"A: b\r\n")
    content = b"A: b\r\n" + b"".join(pieces)
    assert source.read() == content
    assert b"".join(source.chunks(7)) == content
    assert source.size == len(content)
    spool.discard()
    spool.discard()
    assert os.listdir(directory.path) == []


def test_spool_files_of_a_killed_process_are_removed_and_nobody_else_can_read_them(tmp_path):
    directory = SpoolDirectory(str(tmp_path), memory=0)
    spool = directory.open()
    spool.write(b"secret")
    (name,) = os.listdir(tmp_path)
    assert os.stat(tmp_path / name).st_mode & 0o777 == 0o600
    directory.prepare()
    assert os.listdir(tmp_path) == []


def test_a_spool_on_a_full_disk_is_discarded_without_a_word(tmp_path):
    """What its file has not yet taken is written when it is closed, and fails once more."""
    directory = SpoolDirectory(str(tmp_path), memory=1000)
    spool = directory.open()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError):
            for _ in range(10):
                spool.write(b"x" * 100_000)
        spool.discard()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []
