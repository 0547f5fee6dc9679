"""A relay in another process: everything between it and the queue goes over the control socket, here one in memory."""

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.python.failure import Failure

from mailfw.app.control import ControlProtocol
from mailfw.app.crew import PATIENCE, Crew
from mailfw.app.farqueue import FarQueue
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.lanes import LaneInfo, RelayLimits, together
from mailfw.delivery.queue import State
from mailfw.delivery.queue.queue import BLOB_FROM, LOCAL_LANE
from mailfw.delivery.relay import Relay
from mailfw.testing.now import result
from mailfw.testing.remote import HANG
from mailfw.values import Fate, Outcome

FAR = "a@far.example"
LATER = 1000


class End:
    """One end of a link in memory, as a transport."""

    def __init__(self, socket, protocol):
        self.socket, self.protocol, self.peer = socket, protocol, None

    def write(self, data):
        self.socket.carry(self, data)

    def loseConnection(self):
        self.socket.cut()

    def getPeer(self):
        return None

    getHost = getPeer


class Socket:
    """The control socket of a server. `cutAt`: the box, of all that pass, that the connection breaks with; before it or after."""

    def __init__(self, office):
        self.office = office
        self.crew = Crew(office.queue, office.relay.laneOf, office.clock)
        self.ends, self.isOpen = (), True
        self.boxes, self.cutAt, self.isCutAfter = 0, 0, False

    def dial(self, factory):
        if not self.isOpen:
            return fail(ConnectError())
        server, client = ControlProtocol(None, {}, self.crew), factory.buildProtocol(None)
        ends = End(self, server), End(self, client)
        ends[0].peer, ends[1].peer = reversed(ends)
        self.ends += ends
        for end in ends:
            end.protocol.makeConnection(end)
        return succeed(client)

    def carry(self, end, data):
        if end not in self.ends:
            return
        self.boxes += 1
        if self.boxes != self.cutAt or self.isCutAfter:
            self.office.clock.callLater(0, self.deliver, end, data)
        if self.boxes == self.cutAt:
            self.office.clock.callLater(0, self.cut)

    def deliver(self, end, data):
        if end in self.ends:
            end.peer.protocol.dataReceived(data)

    def cut(self):
        ends, self.ends = self.ends, ()
        for end in ends:
            end.protocol.connectionLost(Failure(ConnectionDone()))


class Far:
    """A worker's relay and its queue."""

    def __init__(self, office, socket, name="1", **limits):
        self.office = office
        self.queue = FarQueue(name, socket.dial, office.clock)
        bouncer = Bouncer("mail.localhost", office.now)
        words = {"now": office.now, "random": lambda: 0.5, "limits": RelayLimits(**limits), "crew": name}
        self.relay = Relay(self.queue, office.relay.routes, bouncer, office.clock, **words)
        self.queue.leases = self.relay.leases
        self.queue.joined = self.relay.renew
        self.queue.forgiven = self.relay.forgive
        self.queue.lanes = self.relay.lanes
        self.refusals = []
        self.queue.refused = self.refusals.append
        self.relay.start()
        self.queue.open()

    def stop(self, seconds=10.0):
        found = []
        Deferred.fromCoroutine(self.relay.stop(seconds)).addBoth(found.append)
        self.office.network.run(seconds + 20, 1.0, until=lambda: found)
        assert found == [None]
        self.queue.close()
        self.office.run(1, 1)


@pytest.fixture
def socket(office):
    """Of a server that relays nothing that leaves."""
    office.relay.limits = RelayLimits(only=LOCAL_LANE)
    office.run()
    return Socket(office)


@pytest.fixture
def far(office, socket):
    far = Far(office, socket)
    office.run(1, 1)
    yield far
    far.stop()


def test_a_worker_brings_on_what_leaves(office, far, socket):
    office.submit(FAR, "b@far.example", "c@near.example")
    office.run(1, 0.1)
    assert office.remote.messages[0].recipients == [FAR, "b@far.example"]
    assert office.near.messages[0].recipients == ["c@near.example"]
    assert office.do("count") == 0
    assert far.relay.counts[Fate.DELIVERED] == 3
    assert socket.crew.names() == ["1"]


def test_the_server_knows_what_its_workers_do(office, far, socket):
    """One host takes its time, another one refuses a recipient."""
    office.remote.answer = lambda line: HANG if line.startswith("MAIL") else None
    office.near.answer = lambda line: "550 5.1.1 no" if line.startswith("RCPT") else None
    office.submit(FAR, "c@near.example")
    office.run(1, 0.1)
    assert dict(socket.crew.counts) == {Fate.FAILED: 1}
    asked = Deferred.fromCoroutine(socket.crew.lanes())
    office.run(0.1, 0.1)
    (lane,) = asked.result
    assert (lane.name, lane.active, lane.waiting, lane.restsUntil) == ("far.example", 1, 0, 0.0)
    office.run(3 * 3600, 60)
    assert socket.crew.counts == far.relay.counts
    assert socket.crew.counts[Fate.DEFERRED] and socket.crew.counts[Fate.FAILED] == 1


def test_a_worker_that_does_not_answer_says_nothing_of_itself(office, far, socket):
    """It is stopped, say; whoever looks at the queue is not."""
    office.remote.answer = lambda line: HANG if line.startswith("MAIL") else None
    office.submit(FAR)
    office.run(1, 0.1)
    socket.carry = lambda end, data: None  # what a stopped process reads
    asked = Deferred.fromCoroutine(socket.crew.lanes())
    office.run(PATIENCE - 0.1, 0.1)
    assert not asked.called
    office.run(0.2, 0.1)
    assert asked.result == []
    del socket.carry


def test_large_contents_do_not_cross_the_socket(office, far):
    content = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * (BLOB_FROM // 16)
    office.submit(FAR, content=content)
    office.run(1, 0.1)
    assert office.remote.messages[0].content.endswith(content)


def test_what_fails_comes_back_through_the_server(office, far):
    office.remote.answer = lambda line: "550 5.1.1 no" if line.startswith("RCPT") else None
    office.submit(FAR)
    office.run(1, 0.1)
    [report] = office.reports()
    assert "5.1.1" in str(report)
    assert office.do("count") == 0


def test_what_is_for_the_store_is_for_the_server(office, far):
    office.shelf.outcomes["mbrain@localhost"] = Outcome(Fate.DEFERRED)
    office.submit("mbrain@localhost")
    office.shelf.outcomes.clear()
    office.run(20 * 60, 60)
    assert len(office.inbox()) == 1
    assert far.relay.counts[Fate.DELIVERED] == 0


def test_what_has_become_ours_is_handed_to_the_server(office, socket):
    office.submit(FAR)
    office.directory.domains = {"far.example"}
    socket.crew.laneOf = lambda address, target: LOCAL_LANE
    far = Far(office, socket)
    office.run(1, 1)
    assert [entry.lane for entry in office.do("list").entries] == [LOCAL_LANE] or office.do("count") == 0
    assert far.relay.counts == {}
    far.stop()


def test_nobody_is_rung_for_twice_before_they_look(office, far, socket):
    rung = []
    far.queue._bells[:] = [lambda: rung.append(1)]
    for _ in range(5):
        office.submit(FAR)
    office.run(1, 0.1)
    assert rung == [1]
    far.relay.wake()


def test_a_worker_of_another_version_is_sent_away(office, socket, monkeypatch):
    monkeypatch.setattr("mailfw.app.farqueue.__version__", "0.0.1")
    far = Far(office, socket)
    office.run(1, 1)
    [refusal] = far.refusals
    assert "start it anew" in str(refusal)
    assert socket.crew.names() == []
    far.stop()


def test_leases_are_given_back_at_the_end(office, socket):
    far = Far(office, socket, deliveries=1)
    office.remote.answer = lambda line: HANG if line.startswith("RCPT") else None
    for _ in range(3):
        office.submit(FAR)
    office.run(1, 0.1)
    assert [entry.state(office.now()) for entry in office.do("list").entries] == [State.LEASED] * 3
    far.stop()
    assert [entry.state(office.now()) for entry in office.do("list").entries] == [State.WAITING] * 3
    assert [entry.attempts for entry in office.do("list").entries] == [0] * 3


def test_a_worker_waits_for_a_server_that_is_away(office, far, socket):
    socket.isOpen = False
    socket.cut()
    office.submit(FAR)
    office.run(60, 1)
    assert office.remote.messages == []
    socket.isOpen = True
    office.run(2, 0.5)
    assert len(office.remote.messages) == 1


def test_what_was_delivered_while_the_server_is_away_is_told_when_it_is_back(office, far, socket):
    def goAway(line):
        if line.startswith("RCPT"):
            socket.isOpen = False
            socket.cut()

    office.remote.answer = goAway
    office.submit(FAR)
    office.run(60, 1)
    assert len(office.remote.messages) == 1
    assert office.do("count") == 1, "nobody could tell"
    socket.isOpen = True
    office.run(2, 0.5)
    assert office.do("count") == 0
    office.run(LATER, 10)
    assert len(office.remote.messages) == 1


def test_leases_of_a_worker_that_is_gone_end_by_themselves_or_with_its_successor(office, socket):
    office.remote.answer = lambda line: HANG if line.startswith("RCPT") else None
    far = Far(office, socket)
    office.submit(FAR)
    office.run(1, 0.1)
    far.relay._isStopping = True  # as if it was killed: nothing more comes from it
    socket.cut()
    assert result(office.queue.reclaim("owner")) == 0, "the server does not know that it is gone"
    other = Far(office, socket, "2")
    assert [entry.state(office.now()) for entry in office.do("list").entries] == [State.LEASED]
    assert result(office.queue.reclaim("1/new")) == 1
    for each in (far, other):
        each.stop(1)


def test_retry_ends_the_rest_of_workers_too(office, far, socket):
    del office.network.remotes["192.0.2.1"]
    office.submit(FAR)
    office.run(2, 0.1)
    [lane] = far.relay.lanes()
    assert lane.restsUntil > office.now()
    socket.crew.forgive()
    office.run(1, 0.1)
    assert far.relay.lanes() == []


@pytest.mark.parametrize("isCutAfter", [False, True])
@pytest.mark.parametrize("cutAt", range(1, 30))
def test_the_connection_may_break_at_any_box(office, socket, cutAt, isCutAfter):
    socket.cutAt, socket.isCutAfter = cutAt, isCutAfter
    office.remote.answer = lambda line: "550 5.1.1 no" if line.startswith("RCPT TO:<no@") else None
    far = Far(office, socket)
    office.run(1, 0.1)
    office.submit(FAR)
    office.submit("no@far.example")
    office.run(5, 0.1)
    assert office.do("count") == 0, "nothing waits for a lease to end"
    office.run(LATER, 10)
    assert [message.recipients for message in office.remote.messages] == [[FAR]], "once"
    assert len(office.reports()) == 1, "and told once"
    assert socket.boxes > cutAt
    far.stop()


def test_lanes_of_several_relays_are_one_to_whoever_looks():
    busy, resting = LaneInfo("a", 1, 5, 2), LaneInfo("a", 0, 5, 0, 90.0, "refused")
    assert together([busy, LaneInfo("b", 1, 5, 0), resting]) == [LaneInfo("a", 1, 10, 2), LaneInfo("b", 1, 5, 0)]
    longer = LaneInfo("a", 0, 5, 0, 120.0, "no answer")
    assert together([longer, resting]) == [LaneInfo("a", 0, 10, 0, 90.0, "no answer")]
