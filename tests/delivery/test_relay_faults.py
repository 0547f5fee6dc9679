"""Everything that can go wrong on the way from the queue to another system, each case to its end.

Whatever it was: each recipient is delivered or its sender is told, nothing is left in the queue, and nobody has a message twice
but where the other system took it and its word of that was lost.
"""

from collections import Counter

import pytest

from mailfw.delivery.routes import Routes
from mailfw.errors import Unavailable
from mailfw.testing.remote import CLOSE, FEATURES, HANG, RemoteConnection
from mailfw.values import Fate

MINUTE, HOUR, DAY = 60, 3600, 86400
PEOPLE = ("a@far.example", "b@far.example", "c@far.example")
PLAIN: tuple[str, ...] = ()
PIPELINED = ("PIPELINING",)
SECURE = (*FEATURES, "STARTTLS")


def delivered(office):
    """How often each recipient was given the message."""
    return Counter(address for message in office.remote.messages for address in message.recipients)


def told(office):
    """Action and status of each recipient that the sender was told of."""
    return {
        part["Final-Recipient"].partition("; ")[2]: (part["Action"], part["Status"])
        for report in office.reports()
        for part in report.get_payload(1).get_payload()[1:]
    }


def toTheEnd(office, days=6):
    """Let time pass until nothing is left."""
    office.run(days * DAY, 10 * MINUTE, until=lambda: not office.do("count"))
    assert office.do("count") == 0


# --- The remote closes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [PLAIN, PIPELINED, FEATURES], ids=["plain", "pipelined", "chunked"])
def test_the_remote_closes_at_any_octet(office, features):
    office.remote.features = features
    cut, twice, isWhole = 0, 0, False
    while not isWhole:
        office.remote.messages.clear()
        office.network.link["192.0.2.1"] = {"cutAfter": cut + 1}
        office.submit(*PEOPLE)
        office.run(1)
        isWhole = bool(office.network.links)  # the connection is kept for another message: nothing was cut
        office.network.link.clear()
        taken = delivered(office)
        toTheEnd(office)
        office.run(30, 10)  # connections that are kept are closed
        assert set(delivered(office)) == set(PEOPLE)
        again = delivered(office) - Counter(PEOPLE)
        assert not again or taken, "sent twice only what had been taken"
        twice += bool(again)
        cut += 1
    assert cut > 100
    assert 0 < twice < cut / 2, "some octets are those of the 250"
    assert told(office) == {}


# --- What it says ----------------------------------------------------------------------------------------------------

STAGES = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")
LATER = {
    "closes": CLOSE,
    "hangs": HANG,
    "garbage": "\x00\xff garbage\r\n" * 20,
    "no code": "OK\r\n",
    "no such code": "999 what\r\n",
    "421": "421 4.3.2 down",
    "4xx": "451 4.3.0 later",
    "4xx of two lines": "451 4.3.0 later\n451 4.3.0 much later",
    "two codes": "250-one\r\n451 two\r\n",
    "endless": "250-more\r\n" * 20_000,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("said", LATER.values(), ids=LATER.keys())
def test_what_is_for_a_moment_is_mended_later(office, stage, said):
    office.remote.features = PIPELINED
    office.remote.answer = lambda line: said if line.startswith(stage) else None
    office.submit(*PEOPLE)
    office.run(20 * MINUTE, MINUTE)
    assert office.do("count") == 3
    assert told(office) == {}
    taken = delivered(office)
    assert not taken or stage == ".", "nobody has it who was not given it"
    office.remote.answer = lambda line: None
    office.remote.messages.clear()
    toTheEnd(office)
    assert delivered(office) == Counter(PEOPLE)
    assert told(office) == {}


@pytest.mark.parametrize("said", LATER.values(), ids=LATER.keys())
def test_what_is_never_mended_comes_back(office, said):
    office.remote.answer = lambda line: said if line.startswith("RCPT") else None
    office.submit(*PEOPLE)
    toTheEnd(office)
    assert delivered(office) == Counter()
    assert {action for action, _ in told(office).values()} == {"failed"}
    assert set(told(office)) == set(PEOPLE)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("features", [PLAIN, PIPELINED], ids=["plain", "pipelined"])
def test_what_is_for_good_comes_back_at_once(office, stage, features):
    office.remote.features = features or ("SIZE",)
    office.remote.answer = lambda line: (
        "554 5.7.0 never" if line.startswith((stage, "HELO" if stage == "EHLO" else stage)) else None
    )
    office.submit(*PEOPLE)
    office.run(MINUTE, 1)
    assert office.do("count") == 0
    assert delivered(office) == Counter()
    assert told(office) == dict.fromkeys(PEOPLE, ("failed", "5.7.0"))


@pytest.mark.parametrize("features", [PLAIN, PIPELINED, FEATURES], ids=["plain", "pipelined", "chunked"])
def test_some_are_taken_some_later_some_never(office, features):
    office.remote.features = features
    says = {"<b@": "450 4.2.1 later", "<c@": "550 5.1.1 never"}
    office.remote.answer = lambda line: next((said for who, said in says.items() if who in line and "RCPT" in line), None)
    office.submit(*PEOPLE)
    office.run(MINUTE, 1)
    assert delivered(office) == Counter(["a@far.example"])
    assert told(office) == {"c@far.example": ("failed", "5.1.1")}
    says.clear()
    toTheEnd(office)
    assert delivered(office) == Counter(["a@far.example", "b@far.example"])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("features", [PLAIN, PIPELINED, ("CHUNKING",), FEATURES], ids=["plain", "pipelined", "chunked", "both"])
def test_one_reply_too_many_is_taken_for_that_to_nothing_else(office, features, stage, monkeypatch):
    """Taken for the reply to the next command, it makes that of the next one after it a promise that nobody gave."""
    office.remote.features = features or ("SIZE",)
    real, extra = RemoteConnection._reply, ["250 2.0.0 extra\r\n"]

    def reply(connection, line, usual):
        isPositive = real(connection, line, usual)
        if line.startswith(stage) and extra:
            connection._transport.write(extra.pop().encode())
        return isPositive

    monkeypatch.setattr(RemoteConnection, "_reply", reply)
    says = {"RCPT TO:<b@": "550 5.1.1 never", "RCPT TO:<d@": "550 5.1.1 never"}
    office.remote.answer = lambda line: next((said for word, said in says.items() if line.startswith(word)), None)
    office.submit(*PEOPLE)
    office.run(1)
    office.submit("d@far.example", "e@far.example")
    office.run(1)
    assert set(told(office)) <= {"b@far.example", "d@far.example"}, "a refusal is that of whom it was said of"
    toTheEnd(office)
    assert delivered(office) == Counter(["a@far.example", "c@far.example", "e@far.example"])
    assert told(office) == dict.fromkeys(("b@far.example", "d@far.example"), ("failed", "5.1.1"))


def test_what_is_said_before_the_message_was_sent_is_no_word_of_it(office):
    office.remote.features = ("SIZE",)
    said = ["354 go on\r\n250 2.0.0 taken already"]
    office.remote.answer = lambda line: said.pop() if line == "DATA" and said else "552 5.3.4 no" if line == "." else None
    office.submit("a@far.example")
    toTheEnd(office)
    assert delivered(office) == Counter()
    assert told(office) == {"a@far.example": ("failed", "5.3.4")}


# --- TLS and DNS -----------------------------------------------------------------------------------------------------


def test_tls_that_fails_is_left_out_unless_it_is_required(office):
    office.remote.features = SECURE
    office.remote.tls = object()
    office.network.link["192.0.2.1"] = {"failsTLS": True}
    office.submit("a@far.example")
    office.submit("b@far.example", requiresTLS=True)
    office.run(HOUR, MINUTE)
    assert delivered(office) == Counter(["a@far.example"])
    toTheEnd(office)
    assert set(told(office)) == {"b@far.example"}
    assert delivered(office) == Counter(["a@far.example"]), "what needs TLS never goes without"


@pytest.mark.parametrize("name", ["far.example", "mx.far.example"])
def test_a_dns_that_fails_for_a_moment(office, name):
    office.resolver.failing.add(name)
    office.submit(*PEOPLE)
    office.run(HOUR, MINUTE)
    assert office.do("count") == 3
    office.resolver.failing.clear()
    toTheEnd(office)
    assert delivered(office) == Counter(PEOPLE)


# --- Our own side ----------------------------------------------------------------------------------------------------


class Disk:
    """The queue's database, on a disk that can be full."""

    def __init__(self, queue):
        self._connection = queue._database._connection

    def fill(self):
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        self._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    def makeRoom(self):
        self._connection.execute("PRAGMA max_page_count = 1000000").fetchone()


def test_a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing(office):
    office.remote.answer = lambda line: HANG if line.startswith("CONNECT") else None
    large = b"Subject: x\r\n\r\n" + b"x" * 70 * 1000 + b"\r\n"
    office.submit("a@far.example", content=large)
    disk = Disk(office.queue)
    disk.fill()
    (there, here) = office.submit("b@far.example", "mbrain@localhost", content=large)
    assert (there.fate, here.fate) == (Fate.DEFERRED, Fate.DELIVERED)
    assert isinstance(there.refusal, Unavailable)
    disk.makeRoom()
    office.remote.answer = lambda line: None
    toTheEnd(office)
    assert delivered(office) == Counter(["a@far.example"])


def test_a_message_whose_octets_the_disk_has_lost_is_told_of(office, tmp_path):
    office.remote.answer = lambda line: HANG if line.startswith("CONNECT") else None
    office.submit("a@far.example", content=b"Subject: x\r\n\r\n" + b"x\r\n" * 100_000)
    (blob,) = [path for path in (tmp_path / "queue.blobs").rglob("*") if path.is_file()]
    blob.unlink()
    office.remote.answer = lambda line: None
    toTheEnd(office)
    assert delivered(office) == Counter()
    assert set(told(office)) == {"a@far.example"}


def test_what_became_of_a_message_is_written_down_once_the_disk_takes_it(office):
    settle, isFull = office.queue.settle, [True]

    async def settling(*arguments):
        if isFull:
            raise Unavailable
        return await settle(*arguments)

    office.queue.settle = settling
    office.submit(*PEOPLE)
    office.run(5 * HOUR, MINUTE)
    assert delivered(office) == Counter(PEOPLE), "not again and again while it cannot be written down"
    isFull.clear()
    office.run(MINUTE, 1)
    assert office.do("count") == 0
    assert delivered(office) == Counter(PEOPLE)


def test_a_relay_that_stops_while_the_disk_is_full_waits_for_nothing(office):
    async def never(*arguments):
        raise Unavailable

    settle, office.queue.settle = office.queue.settle, never
    office.submit("a@far.example")
    office.run(MINUTE, 1)
    begun = office.clock.seconds()
    office.stop()
    assert office.clock.seconds() - begun < 5
    office.queue.settle = settle


def test_routes_that_are_replaced_end_what_they_began(office):
    office.remote.answer = lambda line: HANG if line.startswith("RCPT") else None
    office.submit("a@far.example")
    office.run(1)
    before = office.relay.routes
    closed = []

    class Closing(Routes):
        async def close(self):
            closed.append(office.clock.seconds())
            await super().close()

    before.__class__ = Closing
    office.relay.replaceRoutes(Routes(before._default, {}, before._local, before._isLocal))
    office.run(MINUTE, 1)
    assert closed == [], "a delivery is under way on the old ones"
    office.remote.answer = lambda line: None
    office.submit("b@far.example")
    office.run(MINUTE, 1)
    assert delivered(office) == Counter(["b@far.example"])
    toTheEnd(office)
    assert len(closed) == 1
    assert delivered(office) == Counter(["a@far.example", "b@far.example"])
