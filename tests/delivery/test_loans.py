"""What comes in while there is time for it is tried at once, without waiting to be leased; a loan is a lease like any other."""

import pytest
from twisted.internet.defer import Deferred

from mailfw.delivery.lanes import RelayLimits
from mailfw.delivery.queue import EVERYTHING, State
from mailfw.delivery.queue.fresh import Fresh
from mailfw.errors import Unavailable
from mailfw.testing.now import result
from mailfw.testing.remote import HANG
from mailfw.values import Fate

FAR = "a@far.example"


@pytest.fixture
def leases(office, monkeypatch):
    """How often the queue was asked for what is due, once the relay has started."""
    office.run()
    asked = []
    lease = office.queue.lease

    async def counting(*arguments, **keywords):
        asked.append(arguments)
        return await lease(*arguments, **keywords)

    monkeypatch.setattr(office.queue, "lease", counting)
    return asked


def test_what_comes_in_leaves_without_being_leased(office, leases):
    office.submit(FAR, "b@far.example", "c@near.example")
    office.run(1)
    assert office.remote.messages[0].recipients == [FAR, "b@far.example"]
    assert office.near.messages[0].recipients == ["c@near.example"]
    assert office.do("count") == 0
    assert leases == []


def test_it_is_a_lease_that_only_its_owner_can_end(office):
    office.remote.answer = lambda line: HANG if line.startswith("RCPT") else None
    office.run()
    office.submit(FAR)
    (entry,) = office.do("list").entries
    assert entry.state(office.now()) is State.LEASED
    assert office.lease("somebody else") == []
    office.remote.answer = lambda line: None
    office.crash()
    office.run(20 * 60, 60)
    assert len(office.remote.messages) == 1, "a crash gives it back like any other"


def test_a_busy_destination_takes_no_loans(office, leases):
    office.remote.answer = lambda line: HANG if line.startswith("RCPT") else None
    for number in range(30):
        office.submit(f"u{number}@far.example")
    states = [entry.state(office.now()) for entry in office.do("list").entries]
    assert states.count(State.LEASED) == 5, "as many as may be begun with"
    assert states.count(State.WAITING) == 25
    office.remote.answer = lambda line: None
    office.run(30 * 60, 10)
    assert sum(len(message.recipients) for message in office.remote.messages) == 30


def test_what_comes_later_overtakes_nothing(office, monkeypatch):
    office.relay.limits = RelayLimits(initial=1, perLane=1)
    office.relay._lanes["far.example"].limit = 1
    office.run()
    later = iter([f"new{number}@far.example" for number in range(30)])
    settle = office.queue.settle

    def inflow(line):
        if line == "." and (name := next(later, "")):  # with each message that leaves another one comes
            office.clock.callLater(0, lambda: office.submit(name))

    async def settling(*arguments):
        """A disk takes its time; meanwhile the place in the lane is free."""
        waiting = Deferred()
        office.clock.callLater(0.01, waiting.callback, None)
        await waiting
        return await settle(*arguments)

    monkeypatch.setattr(office.queue, "settle", settling)
    for number in range(210):  # more than are leased at a time
        office.submit(f"old{number}@far.example")
    office.run(1, 0.01, until=lambda: len(office.remote.messages) >= 195)
    office.remote.answer = inflow
    office.run(20, 0.01, until=lambda: len(office.remote.messages) >= 240)
    order = [message.recipients[0] for message in office.remote.messages]
    assert len(order) == 240
    assert all(name.startswith("old") for name in order[:210])


def test_a_destination_that_rests_takes_none(office, leases):
    del office.network.remotes["192.0.2.1"]
    office.submit(FAR)
    office.run(1)
    office.submit("b@far.example")
    assert leases, "it is put off like everything that is due for that destination"
    assert {entry.attempts for entry in office.do("list").entries} == {1}


def test_what_the_queue_cannot_keep_is_not_tried(office, leases, monkeypatch):
    def full(*arguments):
        raise Unavailable

    write = office.queue._database.write
    monkeypatch.setattr(office.queue._database, "write", full)
    (outcome,) = office.submit(FAR)
    assert outcome.fate is Fate.DEFERRED
    monkeypatch.setattr(office.queue._database, "write", write)
    office.run(1)
    assert office.remote.messages == []
    assert (office.relay._promised, office.relay._lanes["far.example"].promised) == (0, 0)
    office.submit(FAR)
    office.run(1)
    assert len(office.remote.messages) == 1


def test_mail_for_later_is_not_tried_now(office, leases):
    office.submit(FAR, releaseAt=office.now() + 3600)
    office.run(60, 10)
    assert office.remote.messages == []
    office.run(3700, 60)
    assert len(office.remote.messages) == 1


def test_a_relay_that_stops_takes_none(office):
    office.run()
    result(office.relay.stop(0))
    office.submit(FAR)
    (entry,) = office.do("list").entries
    assert entry.state(office.now()) is State.WAITING


def test_what_is_cancelled_before_it_is_begun_is_not_sent(office):
    office.run()
    for number in range(12):
        office.submit(f"u{number}@far.example")
    office.do("cancel", EVERYTHING)
    office.run(3600, 60)
    assert [message.recipients[0] for message in office.remote.messages] == [f"u{number}@far.example" for number in range(5)]


def test_fresh_contents_are_bounded_and_given_out_once():
    fresh = Fresh(capacity=10)
    for number in range(5):
        fresh.put(number, b"1234")
    assert [fresh.take(number) for number in range(5)] == [None, None, None, b"1234", b"1234"]
    assert fresh.take(4) is None
    fresh.put(9, b"12345678901")
    assert fresh.take(9) is None, "what is larger than all is not kept"
    fresh.put(10, b"1")
    fresh.clear()
    assert fresh.take(10) is None
