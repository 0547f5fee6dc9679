"""A queue on a fake clock, where everything happens at once; and a whole post office around it."""

import email
import email.policy

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.destination import Destinations
from mailfw.delivery.local import LocalDelivery
from mailfw.delivery.queue import Queue, Submission
from mailfw.delivery.relay import Relay
from mailfw.delivery.router import LocalRoute, Outbound, Router
from mailfw.delivery.routes import MXRoute, Routes
from mailfw.delivery.srs import SRS
from mailfw.interfaces import IMailStore
from mailfw.testing.fakes import START, FakeAuthenticator, FakeDirectory, NoStore
from mailfw.testing.network import Network
from mailfw.testing.now import result
from mailfw.testing.remote import Remote
from mailfw.testing.resolver import FakeResolver
from mailfw.values import Address, Envelope, Fate, Identity, MessageSource, Outcome, Peer, Recipient

CONTENT = b"Subject: x\r\n\r\nhello\r\n"


class Desk:
    """A queue file, with time in hand."""

    def __init__(self, path):
        self.path = str(path)
        self.clock = Clock()
        self.queue = self.open()

    def now(self):
        return START + self.clock.seconds()

    def open(self):
        return Queue.open(self.path, reactor=self.clock, now=self.now, isInline=True)

    def reopen(self):
        """As after a crash: nobody said goodbye."""
        result(self.queue.close())
        self.queue = self.open()

    def put(self, *recipients, sender="sender@example.org", content=CONTENT, due=None, **envelope):
        """Queue a message; its id."""
        source = content if isinstance(content, MessageSource) else MessageSource(content)
        addresses = tuple(Recipient(Address.parse(r)) if isinstance(r, str) else r for r in recipients or ("a@example.com",))
        sent = Envelope(Address.parse(sender) if sender else None, addresses, **envelope)
        return result(self.queue.enqueue([Submission(sent, due=due)], source))[0]

    def lease(self, owner="w", seconds=600.0, **keywords):
        return result(self.queue.lease(owner, self.now() + seconds, **keywords))

    def do(self, verb, *arguments, **keywords):
        return result(getattr(self.queue, verb)(*arguments, **keywords))


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path / "queue.sqlite")
    yield desk
    result(desk.queue.close())


@implementer(IMailStore)
class Shelf(NoStore):
    """Keeps what is delivered, by account; `outcomes` says by account what becomes of it otherwise."""

    def __init__(self):
        self.messages = {}
        self.outcomes = {}

    async def deliver(self, message, targets):
        found = []
        for target in targets:
            outcome = self.outcomes.get(target.account, Outcome(Fate.DELIVERED))
            if outcome.fate is Fate.DELIVERED:
                self.messages.setdefault(target.account, []).append(message.read())
            found.append(outcome)
        return found


ME = Identity("mbrain@localhost")
STRANGER = Peer("192.0.2.77")


class Office(Desk):
    """A queue with a router before it and a relay behind it; `far.example` and `near.example` are other systems."""

    def __init__(self, path, **relay):
        self.remote, self.near = Remote(), Remote()
        self.network = Network({"192.0.2.1": self.remote, "192.0.2.2": self.near})
        self.options = relay
        super().__init__(path)

    def open(self):
        self.clock = self.network.clock
        queue = super().open()
        if not hasattr(self, "shelf"):
            self.shelf = Shelf()
            self.directory = FakeDirectory(FakeAuthenticator({"mbrain@localhost": "", "jsmith@localhost": ""}))
            exchangers = {"far.example": [(10, "mx.far.example")], "near.example": [(10, "mx.near.example")]}
            hosts = {"mx.far.example": ["192.0.2.1"], "mx.near.example": ["192.0.2.2"]}
            self.resolver = FakeResolver(exchangers, hosts)
        bouncer = Bouncer("mail.localhost", self.now)
        srs = SRS(b"s" * 32, "localhost", self.now)
        self.outbound = Outbound(queue, bouncer, srs, now=self.now)
        self.router = Router(self.directory, self.shelf, self.outbound)
        route = MXRoute(Destinations(self.resolver, "mail.localhost"), self.network.sessions())
        routes = Routes(route, local=LocalRoute(self.router), isLocal=self.directory.isLocalDomain)
        self.relay = Relay(
            queue,
            routes,
            bouncer,
            self.clock,
            local=LocalDelivery(self.shelf),
            now=self.now,
            random=lambda: 0.5,
            **self.options,
        )
        return queue

    def route(self, domain, route):
        """Let mail for a domain take another way."""
        default = self.relay.routes.find("anywhere.example")
        self.relay.replaceRoutes(Routes(default, {domain: route}, LocalRoute(self.router), self.directory.isLocalDomain))

    def submit(self, *recipients, sender="mbrain@localhost", identity=ME, content=CONTENT, peer=STRANGER, **envelope):
        """As a listener would; the outcomes."""

        async def converse():
            sent = Envelope(sender and Address.parse(sender), identity=identity, **envelope)
            delivery = self.router.begin(sent, peer)
            for each in recipients:
                await delivery.recipient(each if isinstance(each, Recipient) else Recipient(Address.parse(each)))
            return await delivery.commit(MessageSource(content))

        return result(converse())

    def run(self, seconds=0.0, step=60.0, until=lambda: False):
        if self.relay is not None and not self.relay._renewing.running:
            self.relay.start()
        self.network.run(seconds, step, until)

    def stop(self, seconds=10.0):
        found = []
        Deferred.fromCoroutine(self.relay.stop(seconds)).addBoth(found.append)
        self.network.run(seconds + 20, 1.0, until=lambda: found)
        assert found == [None]

    def crash(self):
        """The process is gone, and starts anew."""
        for link in self.network.links:
            link.cut(ConnectionError())
        for unwatch in self.relay._unwatch:
            unwatch()
        self.relay._isStopping = True
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        self.network.links.clear()
        self.reopen()

    def inbox(self, account="mbrain@localhost"):
        return self.shelf.messages.get(account, [])

    def reports(self, account="mbrain@localhost"):
        """Delivery status notifications in an inbox, as the standard library reads them."""
        found = [email.message_from_bytes(content, policy=email.policy.SMTP) for content in self.inbox(account)]
        return [message for message in found if message.get_content_type() == "multipart/report"]


@pytest.fixture
def office(tmp_path):
    office = Office(tmp_path / "queue.sqlite")
    yield office
    office.stop()
    result(office.queue.close())
    assert not office.clock.getDelayedCalls()
