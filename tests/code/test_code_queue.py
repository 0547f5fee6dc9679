"""Functions behind a real queue and its relay, on a fake clock: what is kept when something goes wrong, wherever it can."""

from __future__ import annotations

import textwrap

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.code.delivery import Functions, Surroundings
from mailfw.code.loading import load
from mailfw.code.routing import Table
from mailfw.code.running import Runner
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.local import LocalDelivery
from mailfw.delivery.queue import Queue, State
from mailfw.delivery.queue.entry import OWN_LANES, Filter
from mailfw.delivery.relay import Relay, RelayLimits
from mailfw.delivery.router import LocalRoute, Outbound, Router
from mailfw.delivery.routes import DiscardRoute, Routes
from mailfw.errors import NoSuchRecipient, Unavailable
from mailfw.storage.flags import encode
from mailfw.storage.memory import memory
from mailfw.storage.names import mailboxName
from mailfw.testing.fakes import START, FakeAuthenticator, FakeDirectory, FakeStoreContext
from mailfw.testing.now import result
from mailfw.values import Address, Envelope, Identity, MessageSource, Peer, Recipient, Resolution

DOMAIN = "example.org"


class _Directory(FakeDirectory):
    """With functions before people. :ivar functions:"""

    async def resolve(self, address):
        return Resolution(routed=(address,)) if self.functions.table.find(address) else await super().resolve(address)


class Scheduled(Functions):
    def schedule(self, address):
        return None


def later(clock):
    """A clock that goes on, for those who live on."""
    fresh = Clock()
    fresh.advance(clock.seconds())
    return fresh


class House:
    """A system with functions, without listeners. What leaves is held in the queue."""

    def __init__(self, tmp_path):
        self.path = tmp_path
        self.clock = Clock()
        self.store = memory.openStore("", FakeStoreContext("", (DOMAIN,)))
        self.directory = _Directory(FakeAuthenticator({f"jsmith@{DOMAIN}": "", f"mbrain@{DOMAIN}": ""}), (DOMAIN,))
        self.start()

    def now(self):
        return START + self.clock.seconds()

    def start(self):
        self.queue = Queue.open(str(self.path / "queue.sqlite"), reactor=self.clock, now=self.now, isInline=True)
        self.queue.heldFor = lambda address, target: "" if target or address.domain == DOMAIN else "leaves"
        self.router = Router(self.directory, self.store, Outbound(self.queue, Bouncer("mail", self.now), now=self.now))
        self.relay = Relay(
            self.queue, Routes(DiscardRoute()), Bouncer("mail", self.now), self.clock, local=LocalDelivery(self.store),
            now=self.now, random=lambda: 0.5,
        )  # fmt: skip

    def load(self, source):
        (self.path / "own.py").write_text("from mailfw import mail\n" + textwrap.dedent(source))
        table = Table(load(["own"], str(self.path)).all, (DOMAIN,))
        around = Surroundings(
            "mail", DOMAIN, self.now, super(_Directory, self.directory).resolve, lambda s: s, mailboxName, encode, float
        )
        self.directory.functions = Scheduled(table, Runner(self.clock), around)
        self.relay.replaceRoutes(Routes(DiscardRoute(), own=self.directory.functions))
        if not self.relay._renewing.running:
            self.relay.start()
        import own

        return own

    def crash(self):
        """The process is killed; another one begins."""
        result(self.queue.close())
        self.clock = later(self.clock)
        self.start()

    def receive(self, *recipients, sender="shop@example.com", **envelope):
        async def converse():
            delivery = self.router.begin(Envelope(sender and Address.parse(sender), **envelope), Peer("192.0.2.1"))
            for each in recipients:
                await delivery.recipient(Recipient(Address.parse(each)))
            return await delivery.commit(MessageSource(b"Subject: x\r\nMessage-ID: <1@shop>\r\n\r\nhello\r\n"))

        return result(converse())

    def waiting(self):
        return {f"{entry.recipient.address}": entry for entry in result(self.queue.list()).entries}

    def mail(self, account, mailbox="INBOX"):
        async def count():
            opened = await self.store.openAccount(Identity(f"{account}@{DOMAIN}"), f"{account}@{DOMAIN}")
            return len((await (await opened.open(mailbox)).snapshot()).uids)

        return result(count())

    def stop(self):
        Deferred.fromCoroutine(self.relay.stop(0))
        self.clock.advance(1)
        result(self.queue.close())
        result(self.store.close())


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.stop()


BOTH = """
ids = []

@mail.route("ticket-{id:int}@example.org")
def ticket(message, id):
    ids.append(message.id)
    return [mail.Deliver("jsmith"), mail.Reply("Thanks.")]
"""


def test_what_it_returns_is_done(house):
    own = house.load(BOTH)
    (outcome,) = house.receive("ticket-17@example.org")
    assert outcome.isTaken
    house.clock.advance(0)
    house.clock.advance(1)
    assert house.mail("jsmith") == 1 and len(own.ids) == 1
    assert list(house.waiting()) == ["shop@example.com"]


def test_unknown_addresses_are_refused_at_once(house):
    house.load(BOTH)
    with pytest.raises(NoSuchRecipient):
        house.receive("ticket-x@example.org")


def test_killed_before_its_results_are_written(house):
    """The function has run, nothing of what it wants has happened: it runs again, with the same id, and all happens once."""
    own = house.load(BOTH)
    house.queue.settle = _never
    house.receive("ticket-17@example.org")
    house.clock.advance(1)
    (id,) = own.ids
    assert list(house.waiting()) == ["ticket-17@example.org"] and house.mail("jsmith") == 0
    house.crash()
    own = house.load(BOTH)
    result(house.relay.reclaim())
    house.clock.advance(1)
    assert own.ids == [id], "in the new process: once, as before"
    house.clock.advance(1)
    assert house.mail("jsmith") == 1 and list(house.waiting()) == ["shop@example.com"]


async def _never(*arguments):
    raise Unavailable


def test_killed_after_its_results_are_written(house):
    own = house.load(BOTH)
    house.relay._local = None  # the store is not reached any more
    house.receive("ticket-17@example.org")
    house.clock.advance(1)
    assert sorted(house.waiting()) == ["jsmith@example.org", "shop@example.com"] and len(own.ids) == 1
    house.crash()
    own = house.load(BOTH)
    result(house.relay.reclaim())
    house.clock.advance(400)
    assert own.ids == [] and house.mail("jsmith") == 1 and list(house.waiting()) == ["shop@example.com"]


def test_cancelled_while_it_runs(house):
    """What an administrator took away has no consequences."""
    house.load("""
        from twisted.internet.defer import Deferred
        gate = Deferred()

        @mail.route("{who}@example.org")
        async def handle(message, who):
            await gate
            return mail.Reply("x")
    """)
    house.receive("a@example.org", "b@example.org")
    house.clock.advance(1)
    result(house.queue.cancel(Filter(address="a@example.org")))
    import own

    own.gate.callback(None)
    house.clock.advance(1)
    assert len(result(house.queue.list()).entries) == 1, "b is answered, a is not"


def test_failures_are_seen_in_the_queue_and_by_nobody_else(house):
    house.load("""
        @mail.route("bad@example.org")
        def bad(message):
            raise KeyError("secret")
    """)
    house.receive("bad@example.org")
    house.clock.advance(1)
    entry = house.waiting()["bad@example.org"]
    assert (entry.status, entry.reply) == ("4.3.0", "own.bad: KeyError: 'secret' (own.py:5)")
    house.clock.pump([900] * 20)  # four hours: the sender is told that it waits
    told = house.waiting()["shop@example.com"]
    report = result(house.queue.content(told.message)).read()
    assert b"temporarily unavailable" in report and b"secret" not in report and b"own" not in report


def test_returned_after_its_time(house):
    house.load("""
        @mail.route("bad@example.org")
        def bad(message):
            raise KeyError("secret")
    """)
    house.receive("bad@example.org")
    house.clock.pump([3600] * 130)
    assert list(house.waiting()) == ["shop@example.com"]


def test_rejected(house):
    house.load('@mail.route("no@example.org")\ndef no(message): return mail.Reject("5.2.1 members only")')
    house.receive("no@example.org")
    house.clock.advance(1)
    (report,) = [result(house.queue.content(each.message)).read() for each in house.waiting().values()]
    assert b"members only" in report and b"Status: 5.2.1" in report
    house.receive("no@example.org", sender="")
    house.clock.advance(1)
    assert len(house.waiting()) == 1, "nobody is told who cannot be"


def test_deferred_until_a_time(house):
    own = house.load("""
        calls = []

        @mail.route("later@example.org")
        def later(message):
            calls.append(1)
            return mail.Defer("not now", after=100) if len(calls) < 3 else None
    """)
    house.receive("later@example.org")
    house.clock.advance(99)
    assert len(own.calls) == 1 and house.waiting()["later@example.org"].reply == "own.later: not now"
    house.clock.pump([2, 100, 2])
    assert len(own.calls) == 3 and not house.waiting()


def test_so_many_at_once(house):
    own = house.load("""
        from twisted.internet.defer import Deferred
        gates = []

        @mail.route("slow-{n:int}@example.org", concurrency=2, timeout=1000)
        async def slow(message, n):
            gates.append(Deferred())
            await gates[-1]

        @mail.route("quick@example.org")
        def quick(message): pass
    """)
    for number in range(6):
        house.receive(f"slow-{number}@example.org")
    house.receive("quick@example.org")
    house.clock.advance(1)
    assert len(own.gates) == 2 and "quick@example.org" not in house.waiting(), "others are not held up"
    for gate in list(own.gates):
        gate.callback(None)
    house.clock.advance(1)
    assert len(own.gates) == 4


def test_stopping_cuts_it_off_and_counts_no_attempt(house):
    house.load("""
        from twisted.internet.defer import Deferred

        @mail.route("slow@example.org", timeout=1000)
        async def slow(message): await Deferred()
    """)
    house.receive("slow@example.org")
    house.clock.advance(1)
    done = Deferred.fromCoroutine(house.relay.stop(5))
    house.clock.advance(6)
    assert done.called
    entry = house.waiting()["slow@example.org"]
    assert entry.attempts == 0 and entry.state(house.now()) is State.WAITING


def test_one_that_lost_its_function_goes_the_way_of_its_address(house):
    house.load('@mail.route("jsmith@example.org")\ndef f(message): raise ValueError("x")')
    house.receive("jsmith@example.org")
    house.clock.advance(1)
    house.load("")
    routes = Routes(DiscardRoute(), local=LocalRoute(house.router), isLocal=lambda domain: domain == DOMAIN)
    house.relay.replaceRoutes(routes)
    house.clock.advance(400)
    assert house.mail("jsmith") == 1 and not house.waiting()


def test_workers_are_not_given_functions_mail(house):
    house.relay.limits = RelayLimits(only="nothing")
    house.load(BOTH)
    house.receive("ticket-1@example.org")
    entries = result(house.queue.lease("worker/1", house.now() + 100, without={OWN_LANES}))
    assert not entries
    assert [entry.lane for entry in result(house.queue.lease("me", house.now() + 100, only=OWN_LANES))] == ["local:own.ticket"]


def test_aliases_lead_to_functions(house):
    own = house.load(BOTH)
    house.directory.aliases["help@example.org"] = Resolution(routed=(Address.parse("ticket-1@example.org"),))
    house.receive("help@example.org")
    house.clock.advance(1)
    assert len(own.ids) == 1


def test_large_messages_are_read_from_their_file(house):
    own = house.load("""
        sizes = []

        @mail.route("big@example.org")
        def big(message):
            sizes.append((message.size, sum(map(len, message.raw())), message.subject))
            return mail.Deliver("jsmith")
    """)
    content = b"Subject: big\r\n\r\n" + b"x" * 300_000 + b"\r\n"

    async def converse():
        delivery = house.router.begin(Envelope(Address.parse("shop@example.com")), Peer("192.0.2.1"))
        await delivery.recipient(Recipient(Address.parse("big@example.org")))
        return await delivery.commit(MessageSource(content))

    result(converse())
    house.clock.advance(1)
    house.clock.advance(1)
    assert own.sizes == [(len(content), len(content), "big")] and house.mail("jsmith") == 1 and not house.waiting()
