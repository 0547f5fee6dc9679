"""DEFLATE beneath a protocol of a few commands: what is said is heard, and what comes compressed costs no more than that."""

import itertools
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mailfw.net.connection import BURST, INPUT_HIGH_WATER, Connection, Listener
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World


class Sizes(Connection):
    """Answers each line with its length; WAIT waits for ever, COMPRESS and PLAIN switch."""

    lineLimit = 100

    def greet(self):
        self.waiting = Deferred()

    def lineReceived(self, line):
        if line == b"wait":
            return self.waiting
        self.write(b"%d\r\n" % len(line))
        if line == b"compress":
            self.startCompression()
        if line == b"plain":
            self.stopCompression()
        return None

    def lineTooLong(self):
        self.write(b"too long\r\n")


class Client:
    """The other end. :ivar isPlain: the server has ended its compression."""

    def __init__(self):
        self.world = World()
        self.connection = Sizes(self.world.context, Listener("test"))
        self.transport = MemoryTransport(self.connection).connect()
        self.deflater = zlib.compressobj(wbits=-15)
        self.inflater = zlib.decompressobj(wbits=-15)
        self.heard = b""
        assert self.plainly(b"compress\r\n") == b"8\r\n"

    def plainly(self, data):
        self.transport.send(data)
        self.world.advance()
        return self.transport.take()

    def compressed(self, data, flush=zlib.Z_SYNC_FLUSH):
        return self.deflater.compress(data) + self.deflater.flush(flush)

    def say(self, data, cuts=()):
        for start, end in itertools.pairwise([0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]):
            self.transport.send(data[start:end])
            self.world.advance()
        return self.hear()

    def hear(self):
        said = self.transport.take()
        before = len(self.inflater.unused_data)
        return self.inflater.decompress(said) + self.inflater.unused_data[before:]

    @property
    def isPlain(self):
        return self.inflater.eof


@pytest.fixture
def client():
    return Client()


@given(st.lists(st.binary(max_size=90).filter(lambda line: not set(line) & set(b"\r\n")), max_size=20), st.data())
def test_it_does_not_matter_how_the_input_is_split(lines, data):
    client = Client()
    octets = client.compressed(b"".join(line + b"\r\n" for line in lines))
    heard = client.say(octets, data.draw(st.lists(st.integers(0, len(octets)), max_size=10)))
    assert heard == b"".join(b"%d\r\n" % len(line) for line in lines if line not in (b"wait", b"plain", b"compress"))
    client.transport.hangUp()


def test_whatever_is_said_is_heard_at_once(client):
    for _ in range(100):
        assert client.say(client.compressed(b"abc\r\n")) == b"3\r\n"


def test_many_lines_written_in_a_turn_are_flushed_once(client):
    assert client.say(client.compressed(b"abc\r\n" * 50)) == b"3\r\n" * 50
    client.transport.send(client.compressed(b"abc\r\n" * 50))
    assert client.transport.take() == b""
    client.world.advance()
    assert 0 < len(client.transport.output) < 30


def test_what_waits_waits_compressed(client):
    """Sixty megabytes behind a command under way."""
    client.say(client.compressed(b"wait\r\n"))
    bomb = client.compressed(b"\0" * 60_000_000)
    assert len(bomb) < INPUT_HIGH_WATER
    tracemalloc.start()
    client.transport.send(bomb)
    client.transport.send(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert client.transport.isPaused
    assert peak < 1_000_000
    client.transport.hangUp()
    client.connection.waiting.callback(None)


def test_a_line_without_end_costs_no_memory(client):
    bomb = client.compressed(b"x" * 60_000_000)
    tracemalloc.start()
    assert client.say(bomb) == b"too long\r\n"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert client.transport.isClosed


def test_others_have_their_turns(client):
    client.transport.send(client.compressed(b"abc\r\n" * 10 * BURST))
    client.connection._flush()
    assert client.hear() == b"3\r\n" * BURST
    client.world.advance()
    assert client.hear() == b"3\r\n" * 9 * BURST


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"NOOP and so on\r\n" * 10])
def test_what_is_no_stream_ends_the_connection(client, garbage):
    client.say(garbage)
    assert client.transport.isClosed


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_octets_at_all_are_survived(pieces):
    client = Client()
    for piece in pieces:
        client.say(piece)
    another = MemoryTransport(Sizes(client.world.context, Listener("test"))).connect()
    another.send(b"abc\r\n")
    assert another.take() == b"3\r\n"
    client.transport.hangUp()


def test_input_behind_the_command_ends_the_connection():
    world = World()
    transport = MemoryTransport(Sizes(world.context, Listener("test"))).connect()
    transport.send(b"compress\r\nabc\r\n")
    assert transport.isClosed


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FINISH])
@pytest.mark.parametrize("isSplit", [False, True])
def test_compression_ends(client, flush, isSplit):
    octets = client.compressed(b"plain\r\n", flush)
    if flush == zlib.Z_FINISH:
        octets += b"abcd\r\n"
    heard = client.say(octets, range(len(octets)) if isSplit else ())
    assert client.isPlain
    assert heard + client.plainly(b"abc\r\n") == b"5\r\n" + (b"4\r\n" if flush == zlib.Z_FINISH else b"") + b"3\r\n"
    assert client.plainly(b"compress\r\n") == b"8\r\n"


def test_who_goes_on_compressing_behind_the_end_is_dropped(client):
    client.say(client.compressed(b"plain\r\nabc\r\n"))
    assert client.transport.isClosed


def test_who_ends_the_stream_by_himself_is_dropped_in_the_end(client):
    client.say(client.compressed(b"abc\r\n", zlib.Z_FINISH))
    for _ in range(3):
        client.say(b"x" * 60_000)
    assert client.transport.isClosed
