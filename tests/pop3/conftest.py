"""A store of one mailbox an account, in which a test can break things, and clients in memory."""

from __future__ import annotations

import pytest
from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from mailfw.errors import UIDValidityChanged, Vanished
from mailfw.interfaces import IMailStore
from mailfw.pop3.server import pop3
from mailfw.testing.world import World
from mailfw.values import Column, Expunged, FlagsSet, MailboxInfo, SetFlags, UIDSet

MESSAGES = [
    b"Subject: one\r\n\r\nfirst\r\n.dot\r\n",
    b"Subject: two\r\n\r\nsecond\r\nline\r\nline\r\n",
    b"Subject: three\r\n\r\nthird\r\n",
]


@define(eq=False)
class OneMailbox:
    """Account, mailbox and content all in one. What a test sets:

    :ivar fault: raised by the next call that may fail.
    :ivar gate: every read waits for it.

    And what it looks at: :ivar applied: operations; :ivar octetsRead: of contents.
    """

    messages: dict[int, bytes]
    fault: Exception | None = None
    gate: Deferred[None] | None = None
    applied: list[object] = field(factory=list)
    octetsRead: int = 0
    info: MailboxInfo = field(factory=lambda: MailboxInfo("INBOX", "1", uidValidity=7))

    def fail(self) -> None:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    async def open(self, name: str) -> OneMailbox:
        self.fail()
        assert name == "INBOX"
        return self

    async def apply(self, operations):
        self.fail()
        results = []
        for operation in operations:
            assert isinstance(operation, SetFlags) or not operation.onlyDeleted
            if operation.uidValidity != self.info.uidValidity:
                raise UIDValidityChanged()
            if isinstance(operation, SetFlags):
                results.append(FlagsSet((), UIDSet(), UIDSet(), 1))
                continue
            gone = [uid for uid in self.messages if uid in operation.uids]
            for uid in gone:
                del self.messages[uid]
            results.append(Expunged(UIDSet.fromUIDs(gone), 1))
        self.applied += operations
        return results

    async def rows(self, uids, columns, render):
        self.fail()
        found = [uid for uid in sorted(self.messages) if uid in uids]
        for start in range(0, len(found), 500):
            page = [tuple(self.value(uid, column) for column in columns) for uid in found[start : start + 500]]
            yield list(render(page))

    def value(self, uid, column):
        return {Column.UID: uid, Column.SIZE: len(self.messages[uid]), Column.UIDL: f"id{uid}"}[column]

    async def read(self, uid, start=0, length=-1):
        if self.gate is not None:
            await self.gate
        self.fail()
        if uid not in self.messages:
            raise Vanished()
        message = self.messages[uid]
        octets = message[start : len(message) if length < 0 else start + length]
        self.octetsRead += len(octets)
        return octets


@implementer(IMailStore)
class OneMailboxStore:
    """`inboxes` by account."""

    def __init__(self):
        self.inboxes = {}

    async def openAccount(self, identity, owner):
        return self.inboxes.setdefault(owner, OneMailbox({}))


class Client:
    """A client's end of a connection in memory."""

    def __init__(self, world, peer="127.0.0.1", service=pop3):
        self.world = world
        self.transport = world.connect(service, IPv4Address("TCP", peer, 40000))

    def said(self) -> bytes:
        """What the server has said since the last time."""
        return self.transport.take()

    def say(self, *lines: bytes) -> bytes:
        """Send lines at once; what the server says to them."""
        self.transport.send(b"".join(line + b"\r\n" for line in lines))
        self.world.advance()
        return self.said()

    def logIn(self, user: bytes = b"jsmith") -> bytes:
        self.said()
        return self.say(b"USER " + user, b"PASS mailfw")


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
    store = OneMailboxStore()
    store.inboxes["jsmith@localhost"] = OneMailbox(dict(enumerate(MESSAGES, 11)))
    return World(store)


@pytest.fixture(scope="session")
def newClient():
    """Makes a client in a world of its own, which hangs up by itself."""
    return lambda: Client(newWorld())


@pytest.fixture
def world():
    return newWorld()


@pytest.fixture
def inbox(world):
    return world.context.store.inboxes["jsmith@localhost"]


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
    assert not world.clock.getDelayedCalls()


@pytest.fixture
def client(connect):
    return connect()
