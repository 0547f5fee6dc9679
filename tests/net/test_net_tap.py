"""Listening to a connection: what a tap hears, and that nobody else notices."""

from __future__ import annotations

from typing import Any

from mailfw.net.connection import Connection, Listener
from mailfw.net.tap import Taps
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World


class Three:
    """Takes three octets."""

    def __init__(self) -> None:
        self.taken = b""

    def feed(self, data: bytes) -> bytes | None:
        wanted = 3 - len(self.taken)
        self.taken += data[:wanted]
        return None if len(self.taken) < 3 else data[wanted:]


class Echo(Connection):
    """Answers lines in capitals; "take" takes three octets."""

    lineLimit = 10
    lineTolerance = 20
    protocol = "echo"

    def greet(self) -> None:
        self.write(b"hello\r\n")

    def lineReceived(self, line: bytes) -> None:
        if line == b"take":
            self.setSink(Three())
        else:
            self.write(line.upper() + b"\r\n")

    def longLineReceived(self, start: bytes, end: bytes) -> None:
        self.write(b"long\r\n")

    def sinkDone(self, sink: Any) -> None:
        self.write(b"took " + sink.taken + b"\r\n")


class Ear:
    """Remembers."""

    def __init__(self) -> None:
        self.heardOf: list[Any] = []

    def heard(self, line: bytes) -> None:
        self.heardOf.append(line)

    def readPast(self, octets: int) -> None:
        self.heardOf.append(octets)

    def told(self, data: bytes) -> None:
        self.heardOf.append((data,))

    def ended(self) -> None:
        self.heardOf.append("ended")


class Broken(Ear):
    def heard(self, line: bytes) -> None:
        raise ZeroDivisionError


def connect(world: World, greet: Any = None) -> tuple[Echo, MemoryTransport]:
    connection = Echo(world.context, Listener("echo"))
    unwatch = world.context.sessions.watch(greet or (lambda connection: None))
    transport = MemoryTransport(connection).connect()
    unwatch()
    return connection, transport


def test_aTapHearsAllInTheOrderInWhichItIsHandled() -> None:
    ear = Ear()
    connection, transport = connect(World(), lambda connection: Taps.attach(connection, ear))
    transport.send(b"one\r\ntake\r\nab")
    transport.send(b"ctwo\r\n" + b"x" * 15 + b"\r\n")
    assert ear.heardOf == [
        (b"hello\r\n",),
        *(b"one", (b"ONE\r\n",), b"take", 2, 1, (b"took abc\r\n",)),
        *(b"two", (b"TWO\r\n",), 15, (b"long\r\n",)),
    ]
    connection.abort()
    assert ear.heardOf[-1] == "ended"


def test_whoListensNoLongerHearsNothing() -> None:
    first, second = Ear(), Ear()
    connection, transport = connect(World())
    assert connection.taps is None
    for ear in (first, second):
        Taps.attach(connection, ear)
    transport.send(b"one\r\n")
    Taps.detach(connection, first)
    transport.send(b"two\r\n")
    Taps.detach(connection, second)
    Taps.detach(connection, second)
    transport.send(b"three\r\n")
    assert first.heardOf == [b"one", (b"ONE\r\n",)]
    assert second.heardOf == [b"one", (b"ONE\r\n",), b"two", (b"TWO\r\n",)]
    assert connection.taps is None


def test_aTapThatBreaksIsTakenOffAndTheSessionGoesOn() -> None:
    broken, ear = Broken(), Ear()
    connection, transport = connect(World())
    Taps.attach(connection, broken)
    Taps.attach(connection, ear)
    transport.send(b"one\r\ntwo\r\n")
    assert broken.heardOf == []
    assert ear.heardOf == [b"one", (b"ONE\r\n",), b"two", (b"TWO\r\n",)]
    assert transport.take().endswith(b"ONE\r\nTWO\r\n")


def test_sessionsSayWhatTheyAre() -> None:
    world = World()
    connect(world)
    [info] = world.context.sessions.infos()
    assert (info.service, info.protocol, info.mailbox) == ("echo", "echo", "")
