"""A world in which mail is kept in memory, and clients in it."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from mailfw.imap.server import imap
from mailfw.storage.memory import memory
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World


class Client:
    """A client's end of a connection in memory."""

    def __init__(self, world, peer="127.0.0.1", service=imap):
        self.world = world
        self.transport = world.connect(service, IPv4Address("TCP", peer, 40000))

    def said(self) -> bytes:
        """What the server has said since the last time."""
        return self.transport.take()

    def send(self, data: bytes) -> bytes:
        """Send octets; what the server says to them."""
        self.transport.send(data)
        self.world.advance()
        return self.said()

    def say(self, *lines: bytes) -> bytes:
        """Send lines at once; what the server says to them."""
        return self.send(b"".join(line + b"\r\n" for line in lines))

    def logIn(self, mailbox: bytes = b"") -> Client:
        """Log in as jsmith, and select a mailbox if one is named."""
        self.said()
        assert b" OK " in self.say(b"login LOGIN jsmith mailfw")
        if mailbox:
            assert b"select OK " in self.say(b"select SELECT " + mailbox)
        return self


@pytest.fixture(autouse=True)
def logged():
    """`logged(kind)`: how many failures of that kind were logged. A failure that a test does not ask for fails it."""
    failures = []

    def observe(event):
        if "log_failure" in event:
            failures.append(event["log_failure"])

    def count(kind):
        found = [failure for failure in failures if failure.check(kind)]
        for failure in found:
            failures.remove(failure)
        return len(found)

    globalLogPublisher.addObserver(observe)
    yield count
    globalLogPublisher.removeObserver(observe)
    assert not failures


def newWorld():
    """A world with an empty store."""
    clock = Clock()
    return World(memory.openStore("", FakeStoreContext("", clock=clock)), clock=clock)


@pytest.fixture(scope="session")
def makeWorld():
    return newWorld


@pytest.fixture(scope="session")
def makeClient():
    """Makes a client in a world of its own."""
    return lambda: Client(newWorld())


@pytest.fixture(scope="session")
def makeClients():
    """Makes a new world, and returns what makes clients in it."""

    def inNewWorld():
        world = newWorld()
        return lambda: Client(world)

    return inNewWorld


@pytest.fixture
def makeClientIn():
    """Makes a client in a world."""
    return Client


@pytest.fixture
def world():
    return newWorld()


@pytest.fixture
def connect(world):
    """Make clients; they all hang up at the end."""
    clients = []

    def make(**options):
        clients.append(Client(world, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.transport.hangUp()
    world.advance()


@pytest.fixture
def client(connect):
    return connect()
