"""The queue against a model of it, over five days on a fake clock: whatever happens in whatever order, nothing is lost, nothing
is given to two, and nothing comes before its time."""

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.task import Clock

from mailfw.delivery.queue import Filter, Queue, Settlement, State, Submission
from mailfw.testing.fakes import START
from mailfw.testing.now import result
from mailfw.values import Address, Envelope, MessageSource, Recipient

DOMAINS = ("one.example", "two.example", "three.example")
OWNERS = ("first", "second")
LEASE = 900.0
DAY = 86400.0


class Known:
    """What the model knows of a recipient. `due` None: held."""

    def __init__(self, domain, due):
        self.domain = domain
        self.due = due
        self.owner = ""
        self.attempts = 0

    def state(self, now):
        if self.due is None:
            return State.HELD
        return State.LEASED if self.owner and self.due > now else State.WAITING


class QueueMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.known = {}
        self.leased = {owner: [] for owner in OWNERS}
        self.settledIds = set()
        self.count = 0
        self.open()

    def now(self):
        return START + self.clock.seconds()

    def open(self):
        self.queue = Queue.open(str(self.directory / "queue.sqlite"), reactor=self.clock, now=self.now, isInline=True)

    def teardown(self):
        result(self.queue.close())
        shutil.rmtree(self.directory)

    @initialize(domains=st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=3))
    def begin(self, domains):
        self.enqueue(domains, 0)

    # --- What may happen

    @rule(domains=st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=4), wait=st.sampled_from([0, 0, 0, 7200]))
    def enqueue(self, domains, wait):
        self.count += 1
        people = tuple(Recipient(Address(f"u{self.count}.{n}", domain)) for n, domain in enumerate(domains))
        envelope = Envelope(Address("me", "x.org"), people, releaseAt=self.now() + wait if wait else 0.0)
        (message,) = result(self.queue.enqueue([Submission(envelope)], MessageSource(b"%d" % self.count)))
        entries = result(self.queue.message(message))[1]
        for entry, domain in zip(entries, domains, strict=True):
            assert entry.id not in self.settledIds, "an id is never given twice"
            self.known[entry.id] = Known(domain, self.now() + wait)

    @rule(owner=st.sampled_from(OWNERS), limit=st.integers(1, 5), without=st.sets(st.sampled_from(DOMAINS), max_size=1))
    def lease(self, owner, limit, without):
        entries = result(self.queue.lease(owner, self.now() + LEASE, limit, limit, without))
        due = {
            id
            for id, known in self.known.items()
            if known.due is not None and known.due <= self.now() and known.domain not in without
        }
        assert {entry.id for entry in entries} <= due
        assert len(entries) == min(limit, len(due))
        for entry in entries:
            known = self.known[entry.id]
            known.owner, known.due = owner, self.now() + LEASE
            assert entry.attempts == known.attempts
        self.leased[owner] += entries

    def take(self, data, owner):
        chosen = data.draw(st.lists(st.sampled_from(self.leased[owner]), min_size=1, unique_by=lambda entry: entry.id))
        self.leased[owner] = [entry for entry in self.leased[owner] if all(entry.id != each.id for each in chosen)]
        return chosen

    def isOurs(self, entry, owner):
        return entry.id in self.known and self.known[entry.id].owner == owner

    @precondition(lambda self: any(self.leased.values()))
    @rule(data=st.data(), what=st.sampled_from(["delivered", "failed", "deferred", "given back", "renewed"]))
    def end(self, data, what):
        owner = data.draw(st.sampled_from([owner for owner in OWNERS if self.leased[owner]]))
        chosen = self.take(data, owner)
        ours = [entry for entry in chosen if self.isOurs(entry, owner)]
        if what == "given back":
            result(self.queue.giveBack(owner, chosen))
            for entry in ours:
                self.known[entry.id].owner, self.known[entry.id].due = "", self.now()
        elif what == "renewed":
            result(self.queue.renew(owner, chosen, self.now() + LEASE))
            for entry in ours:
                self.known[entry.id].due = self.now() + LEASE
            self.leased[owner] += chosen
        else:
            self.settle(owner, chosen, ours, what)

    def settle(self, owner, chosen, ours, what):
        due = self.now() + 300.0 if what == "deferred" else None
        isOurs = result(self.queue.settle(owner, [Settlement(entry, due, what == "failed") for entry in chosen]))
        changed = [entry for entry in chosen if entry.id in self.known] if what == "delivered" else ours
        assert isOurs == bool(changed)
        for entry in changed:
            if what == "deferred":
                known = self.known[entry.id]
                known.due, known.owner, known.attempts = due, "", known.attempts + 1
            else:
                del self.known[entry.id]
                self.settledIds.add(entry.id)

    @rule(seconds=st.sampled_from([1.0, 300.0, LEASE, 3600.0, DAY]))
    def wait(self, seconds):
        if self.clock.seconds() + seconds <= 5 * DAY:
            self.clock.advance(seconds)

    @rule(verb=st.sampled_from(["hold", "release", "retry", "cancel"]), domain=st.sampled_from(DOMAINS))
    def steer(self, verb, domain):
        meant = {id: known for id, known in self.known.items() if known.domain == domain}
        chosen = {
            "hold": lambda known: known.due is not None,
            "release": lambda known: known.due is None,
            "retry": lambda known: known.state(self.now()) is State.WAITING,
            "cancel": lambda known: True,
        }[verb]
        changed = {id: known for id, known in meant.items() if chosen(known)}
        assert result(getattr(self.queue, verb)(Filter(domain=domain))) == len(changed)
        for id, known in changed.items():
            if verb == "cancel":
                del self.known[id]
                self.settledIds.add(id)
            else:
                known.due, known.owner = None if verb == "hold" else self.now(), ""

    @rule()
    def crash(self):
        result(self.queue.close())
        self.open()

    # --- What stays true

    @invariant()
    def everyRecipientIsWhereItShouldBe(self):
        entries = result(self.queue.list(limit=1000)).entries
        assert {entry.id: (entry.due, entry.owner, entry.attempts) for entry in entries} == {
            id: (known.due, known.owner, known.attempts) for id, known in self.known.items()
        }
        assert all(entry.state(self.now()) is self.known[entry.id].state(self.now()) for entry in entries)

    @invariant()
    def everyMessageIsWholeAndNothingElseIsKept(self):
        entries = result(self.queue.list(limit=1000)).entries
        for message in {entry.message.id: entry.message for entry in entries}.values():
            assert result(self.queue.content(message)).read()
        with contextlib.closing(sqlite3.connect(self.directory / "queue.sqlite")) as database:
            kept = database.execute("SELECT id FROM content").fetchall()
        assert {id for (id,) in kept} == {entry.message.contentId for entry in entries}

    @invariant()
    def nextDueIsWhenTheFirstIsDue(self):
        times = [known.due for known in self.known.values() if known.due is not None]
        assert result(self.queue.nextDue()) == min(times, default=None)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
