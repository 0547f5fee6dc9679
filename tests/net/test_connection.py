"""What every listener keeps, seen through a protocol of two commands."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mailfw.net.connection import BURST, INPUT_HIGH_WATER, Connection, Listener
from mailfw.net.limits import Limits
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World


class Counter:
    """Takes n octets."""

    def __init__(self, n):
        self.wanted = n
        self.taken = b""

    def feed(self, data):
        missing = self.wanted - len(self.taken)
        self.taken += data[:missing]
        return None if len(self.taken) < self.wanted else data[missing:]


class Echo(Connection):
    """Answers lines in capitals; WAIT answers when `go` fires; TAKE n takes n octets; BOOM breaks; MANY n writes n KiB."""

    lineLimit = 40

    def greet(self):
        self.write(b"early\r\n" if self.hasEarlyInput() else b"hello\r\n")
        self.ended = 0
        self.setDeadline(100)

    def lineReceived(self, line):
        word, _, argument = line.partition(b" ")
        if word == b"wait":
            return self.wait()
        if word == b"take":
            self.setSink(Counter(int(argument)))
            return None
        if word == b"boom":
            raise ZeroDivisionError
        if word == b"laterboom":
            return self.laterBoom()
        if word == b"many":
            return self.many(int(argument))
        if word == b"tls":
            self.write(b"go\r\n")
            self.startTLS()
            return None
        if word == b"quit":
            self.write(b"bye\r\n")
            self.close()
            return None
        self.write(line.upper() + b"\r\n")
        return None

    async def wait(self):
        self.go = Deferred()
        await self.go
        self.write(b"waited\r\n")

    async def laterBoom(self):
        self.go = Deferred()
        await self.go
        raise ZeroDivisionError

    async def many(self, n):
        for _ in range(n):
            self.write(b"x" * 1022 + b"\r\n")
            await self.drain()

    def sinkDone(self, sink):
        self.write(b"took " + sink.taken + b"\r\n")

    def lineTooLong(self):
        self.write(b"too long\r\n")

    def timedOut(self):
        self.write(b"too late\r\n")

    def stopping(self):
        self.write(b"stopping\r\n")

    def failed(self, failure):
        self.write(b"sorry\r\n")

    def connectionEnded(self):
        self.ended += 1


def connect(limits=None):
    world = World(limits=limits)
    transport = MemoryTransport(Echo(world.context, Listener("echo"))).connect()
    assert transport.take() == b"hello\r\n"
    return world, transport


SCRIPT = b"one\r\ntwo\ntake 5\r\nab\ncdthree\r\ntake 0\r\n\r\nfour\r\nquit\r\n"
ANSWER = b"ONE\r\nTWO\r\ntook ab\ncd\r\nTHREE\r\ntook \r\n\r\nFOUR\r\nbye\r\n"


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=8))
def test_input_means_the_same_however_it_is_split(cuts):
    _, transport = connect()
    cuts = [0, *sorted(cuts), len(SCRIPT)]
    for start, end in itertools.pairwise(cuts):
        if start < end:
            transport.send(SCRIPT[start:end])
    assert transport.take() == ANSWER
    assert transport.isClosed
    assert transport.connection.ended == 1


def test_commands_behind_one_that_waits_are_not_begun():
    _, transport = connect()
    transport.send(b"wait\r\none\r\n")
    transport.send(b"two\r\n")
    assert transport.take() == b""
    transport.connection.go.callback(None)
    assert transport.take() == b"waited\r\nONE\r\nTWO\r\n"


def test_a_waiting_command_stops_reading_above_the_mark_and_loses_nothing():
    world, transport = connect()
    transport.send(b"wait\r\n")
    for _ in range(100):
        transport.send(b"a" * 30 + b"\r\n" + b"b" * 30 + b"\r\n" * 500)
    assert transport.isPaused
    assert transport.connection._waitingSize <= INPUT_HIGH_WATER + 2000
    transport.connection.go.callback(None)
    world.advance()
    answer = transport.take()
    assert not transport.isPaused
    assert answer.count(b"A" * 30) == 100
    assert answer.count(b"\r\n") == 1 + 100 * 501


def test_ten_thousand_pipelined_commands_do_not_recurse():
    world, transport = connect()
    transport.send(b"take 0\r\n" * 10000)
    world.advance()
    assert transport.take() == b"took \r\n" * 10000


def test_a_pipeline_of_any_length_leaves_others_their_turns():
    world, transport = connect()
    other = MemoryTransport(Echo(world.context, Listener("echo"))).connect()
    other.take()
    order = []
    world.clock.callLater(0, lambda: (other.send(b"me\r\n"), order.append((len(transport.output) // 5, other.take()))))
    transport.send(b"abc\r\n" * 10_000)
    world.advance()
    assert order == [(BURST, b"ME\r\n")]
    assert transport.take() == b"ABC\r\n" * 10_000


@pytest.mark.parametrize("line", [b"x" * 41 + b"\r\n", b"x" * 100, b"x" * 30 + b"\r" * 20])
def test_a_line_over_the_limit_is_refused_and_ends_the_connection(line):
    _, transport = connect()
    transport.send(line)
    assert transport.take() == b"too long\r\n"
    assert transport.isClosed


def test_a_line_of_exactly_the_limit_is_taken_byte_by_byte():
    _, transport = connect()
    for octet in b"x" * 40 + b"\r\n":
        transport.send(bytes([octet]))
    assert transport.take() == b"X" * 40 + b"\r\n"


def test_input_behind_starttls_drops_the_connection():
    _, transport = connect()
    transport.send(b"tls\r\nevil\r\n")
    assert transport.take() == b"go\r\n"
    assert transport.isClosed
    assert not transport.isTLS


def test_a_part_of_a_line_behind_starttls_drops_the_connection_too():
    _, transport = connect()
    transport.send(b"tls\r\nev")
    assert transport.isClosed


def test_starttls_alone_is_done():
    _, transport = connect()
    transport.send(b"tls\r\n")
    assert transport.isTLS
    assert transport.connection.isTLS


@pytest.mark.parametrize("command", [b"boom", b"laterboom"])
def test_a_handler_that_fails_is_answered_for_and_the_session_goes_on(command):
    _, transport = connect()
    transport.send(command + b"\r\none\r\n")
    if command == b"laterboom":
        transport.connection.go.callback(None)
    assert transport.take() == b"sorry\r\nONE\r\n"


@pytest.mark.parametrize("command", [b"boom", b"laterboom"])
def test_a_handler_that_fails_and_cannot_be_answered_for_ends_the_session(command, monkeypatch):
    """Rather than to leave a client waiting for an answer that never comes."""
    monkeypatch.setattr(Echo, "failed", lambda self, failure: 1 / 0)
    _, transport = connect()
    transport.send(command + b"\r\n")
    if command == b"laterboom":
        transport.connection.go.callback(None)
    assert transport.isClosed
    assert transport.connection.ended == 1


def test_a_client_that_does_not_read_stops_the_writer_and_later_input():
    _, transport = connect()
    transport.isReading = False
    transport.send(b"many 1000\r\none\r\n")
    assert len(transport.output) < 70000
    transport.isReading = True
    answer = transport.take()
    assert len(answer) == 1000 * 1024 + 5
    assert answer.endswith(b"ONE\r\n")


def test_a_client_that_never_reads_is_dropped():
    world, transport = connect(Limits(writeTimeout=50))
    transport.connection.setDeadline(None)
    transport.isReading = False
    transport.send(b"many 1000\r\n")
    world.advance(49)
    assert not transport.isClosed
    world.advance(2)
    assert transport.isClosed
    assert transport.connection.ended == 1


def test_a_silent_client_is_told_and_closed():
    world, transport = connect()
    world.advance(60)
    transport.connection.setDeadline(100)
    world.advance(60)
    assert transport.take() == b""
    world.advance(41)
    assert transport.take() == b"too late\r\n"
    assert transport.isClosed


def test_a_deadline_is_for_the_client_and_not_for_us():
    """While a command is under way nobody is too late; when it has ended, the client has its time."""
    world, transport = connect()
    transport.send(b"wait\r\n")
    world.advance(110)
    assert not transport.isClosed
    transport.connection.go.callback(None)
    assert transport.take() == b"waited\r\n"
    world.advance(49)
    assert not transport.isClosed
    world.advance(12)
    assert transport.take() == b"too late\r\n"


def test_the_end_of_a_session_waits_for_its_command():
    _, transport = connect()
    transport.send(b"wait\r\n")
    transport.hangUp()
    assert transport.connection.ended == 0
    transport.connection.go.callback(None)
    assert transport.connection.ended == 1


def test_stop_says_goodbye_between_commands_and_is_done_when_all_are_gone():
    world, idle = connect()
    busy = MemoryTransport(Echo(world.context, Listener("echo"))).connect()
    busy.send(b"wait\r\nnever\r\n")
    gone = world.context.sessions.stop(10)
    assert idle.take() == b"stopping\r\n"
    assert idle.isClosed
    assert not gone.called
    busy.connection.go.callback(None)
    assert busy.take() == b"hello\r\nwaited\r\nstopping\r\n"
    assert gone.called


def test_stop_cuts_off_what_does_not_end():
    world, transport = connect()
    transport.send(b"wait\r\n")
    gone = world.context.sessions.stop(10)
    world.advance(11)
    assert transport.isClosed
    assert gone.called


def test_nothing_is_left_on_the_clock_after_a_session():
    world, transport = connect()
    transport.send(b"quit\r\n")
    assert world.clock.getDelayedCalls() == []
