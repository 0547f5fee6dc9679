"""From the queue to other systems, over days, with everything that goes wrong there."""

import random

import pytest
from attrs import evolve

from mailfw.delivery.lanes import Lanes, RelayLimits
from mailfw.delivery.queue import Filter, State
from mailfw.delivery.schedule import Schedule
from mailfw.errors import NoSuchRecipient, Unreachable
from mailfw.testing.now import result
from mailfw.testing.remote import CLOSE, FEATURES, HANG
from mailfw.values import Address, DeliverBy, Fate, Outcome, Recipient, Resolution

FAR = "a@far.example"
MINUTE, HOUR, DAY = 60, 3600, 86400


def queued(office):
    return office.do("list").entries


def refusing(office, word, said):
    office.remote.answer = lambda line: said if word in line else None


def told(office, account="mbrain@localhost"):
    """Action and status of each recipient that the sender was told of."""
    return [
        (part["Final-Recipient"].partition("; ")[2], part["Action"], part["Status"])
        for report in office.reports(account)
        for part in report.get_payload(1).get_payload()[1:]
    ]


# --- Delivered -------------------------------------------------------------------------------------------------------


def test_what_is_queued_is_sent_and_forgotten(office):
    office.submit(FAR, "b@near.example")
    office.run(1)
    assert office.remote.messages[0].recipients == [FAR]
    assert office.near.messages[0].recipients == ["b@near.example"]
    assert office.remote.messages[0].content.endswith(b"hello\r\n")
    assert queued(office) == ()
    assert office.inbox() == []


def test_recipients_of_a_domain_go_in_one_transaction(office):
    office.submit(*(f"u{n}@far.example" for n in range(150)))
    office.run(1)
    assert [len(message.recipients) for message in office.remote.messages] == [150]


def test_connections_are_shared_and_limited(office):
    office.run()
    for number in range(40):
        office.submit(f"u{number}@far.example")
    office.run(5, 1)
    assert len(office.remote.messages) == 40
    assert len(office.remote.said) <= 20


def test_a_slow_destination_holds_up_nobody_else(office):
    refusing(office, "MAIL", HANG)
    for number in range(300):
        office.submit(f"u{number}@far.example")
    office.submit("b@near.example")
    office.run(5, 1)
    assert len(office.near.messages) == 1


@pytest.mark.parametrize("features", [(), ("PIPELINING",), FEATURES])
def test_each_recipient_has_its_own_outcome(office, features):
    office.remote.features = features
    office.remote.answer = lambda line: (
        "550 5.1.1 who?" if "<b@" in line and "RCPT" in line else "450 4.2.1 busy" if "<c@" in line else None
    )
    office.submit(FAR, "b@far.example", "c@far.example")
    office.run(1)
    assert office.remote.messages[0].recipients == [FAR]
    assert told(office) == [("b@far.example", "failed", "5.1.1")]
    (waiting,) = queued(office)
    assert (waiting.reply, waiting.status, waiting.host) == ("450 4.2.1 busy", "4.2.1", "mx.far.example")
    office.remote.answer = lambda line: None
    office.run(6 * MINUTE)
    assert office.remote.messages[1].recipients == ["c@far.example"]


# --- Failed ----------------------------------------------------------------------------------------------------------


def test_a_failure_comes_back_with_what_was_said_and_the_message(office):
    refusing(office, "RCPT", "550-5.7.1 no\n550 5.7.1 really")
    office.submit(Recipient(Address("a", "far.example"), original="rfc822;A+2Bx@far.example"), envelopeId="<1>")
    office.run(1)
    (report,) = office.reports()
    assert report["Auto-Submitted"] == "auto-replied"
    assert office.inbox()[0].startswith(b"Return-Path: <>\r\n")
    whole, recipient = report.get_payload(1).get_payload()
    assert whole["Reporting-MTA"] == "dns; mail.localhost"
    assert whole["Original-Envelope-Id"] == "<1>"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.7.1 no really"
    assert recipient["Remote-MTA"] == "dns; mx.far.example"
    assert recipient["Original-Recipient"] == "rfc822; A+x@far.example"
    assert report.get_payload(2).get_payload(0)["Subject"] == "x"
    assert queued(office) == ()


@pytest.mark.parametrize(("returns", "kind"), [("hdrs", "text/rfc822-headers"), ("full", "message/rfc822")])
def test_the_sender_says_what_comes_back(office, returns, kind):
    refusing(office, "RCPT", "550 no")
    office.submit(FAR, returns=returns)
    office.run(1)
    assert office.reports()[0].get_payload(2).get_content_type() == kind


def test_nothing_is_told_to_nobody_nor_to_who_does_not_want_it(office):
    refusing(office, "RCPT", "550 no")
    office.submit(FAR, sender=None)
    office.submit(Recipient(Address("b", "far.example"), frozenset(("never",))))
    office.submit(Recipient(Address("c", "far.example"), frozenset(("success", "delay"))))
    office.run(1)
    assert queued(office) == ()
    assert office.inbox() == []


def test_a_report_that_cannot_be_delivered_makes_no_report(office):
    office.remote.answer = lambda line: "550 no" if "RCPT" in line else None
    office.router.outbound = evolve(office.outbound, srs=None)
    office.submit(FAR, sender="x@far.example")
    office.run(5 * DAY, HOUR)
    assert queued(office) == ()
    assert sum("MAIL FROM:<>" in line for line in office.remote.lines) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda resolver: resolver.exchangers.update({"far.example": [(0, "")]}), "5.1.10"),
        (lambda resolver: resolver.exchangers.pop("far.example"), "5.1.2"),
        (lambda resolver: resolver.exchangers.update({"far.example": [(1, "mail.localhost")]}), "5.4.6"),
    ],
    ids=["null MX", "no such domain", "loop"],
)
def test_what_the_dns_says_for_good_fails_at_once(office, change, status):
    change(office.resolver)
    office.submit(FAR)
    office.run(1)
    assert told(office) == [(FAR, "failed", status)]


# --- Deferred --------------------------------------------------------------------------------------------------------


def test_what_the_dns_does_not_say_waits(office):
    office.resolver.failing.add("far.example")
    office.submit(FAR)
    office.run(1)
    assert queued(office)[0].status == "4.4.3"
    office.resolver.failing.clear()
    office.run(6 * MINUTE)
    assert len(office.remote.messages) == 1


def test_five_days(office):
    del office.network.remotes["192.0.2.1"]
    office.submit(FAR)
    office.run(3 * HOUR + 50 * MINUTE)
    assert office.inbox() == []
    office.run(25 * MINUTE)
    assert [action for _, action, _ in told(office)] == ["delayed"]
    (entry,) = queued(office)
    assert entry.isWarned
    calls = [hop for hop in office.network.calls if hop.address == "192.0.2.1"]
    assert len(calls) == 1 + 1 + 16
    office.run(4 * DAY + 19 * HOUR, 10 * MINUTE)
    assert len(told(office)) == 1, "one warning, and not yet a failure"
    office.run(2 * HOUR, 10 * MINUTE)
    assert told(office)[1:] == [(FAR, "failed", "4.4.7")]
    assert queued(office) == ()
    assert office.reports()[0].get_payload(2).get_content_type() == "text/rfc822-headers"


def test_a_delay_is_told_only_to_who_wants_to_know(office):
    refusing(office, "RCPT", "450 no")
    office.submit(
        Recipient(Address("a", "far.example"), frozenset(("failure",))),
        Recipient(Address("b", "far.example"), frozenset(("delay",))),
    )
    office.run(5 * HOUR, 5 * MINUTE)
    assert [(who, action) for who, action, _ in told(office)] == [("b@far.example", "delayed")]


def test_a_destination_that_is_down_is_left_in_peace(office):
    del office.network.remotes["192.0.2.1"]
    office.run()
    for number in range(50):
        office.submit(f"u{number}@far.example")
    office.run(20, 1)
    assert len(queued(office)) == 50
    assert all(entry.attempts == 1 and "cannot connect" in entry.reply for entry in queued(office))
    assert len(office.network.calls) <= 5


def test_no_destination_rests_for_longer_because_the_clock_was_put_back():
    now = [3 * DAY]
    lanes = Lanes(RelayLimits(), lambda: now[0])
    lane = lanes["far.example"]
    for _ in range(9):
        lanes.rest(lane, Unreachable("down"))
        assert lanes.isResting(lane)
        now[0] = lane.restsUntil
    lanes.rest(lane, Unreachable("down"))
    now[0] -= 2 * DAY
    assert not lanes.isResting(lane)
    assert lanes.infos() == []
    lanes.rest(lane, Unreachable("down"))
    assert [info.restsUntil for info in lanes.infos()] == [now[0] + RelayLimits().longestRest]


def test_every_domain_can_have_its_schedule(office):
    office.relay.schedule = lambda domain: Schedule(((10.0, 1),), giveUpAfter=60.0 if domain == "far.example" else 1e9)
    refusing(office, "RCPT", "450 no")
    office.submit(FAR)
    office.run(80, 5)
    assert told(office) == [(FAR, "failed", "4.4.7")]


@pytest.mark.parametrize(("isReturned", "expected"), [(True, [("failed", "5.4.7")]), (False, [("delayed", "4.0.0")])])
def test_a_message_that_is_of_use_no_longer(office, isReturned, expected):
    refusing(office, "RCPT", "450 no")
    office.remote.features = ("DELIVERBY",)
    office.submit(FAR, deliverBy=DeliverBy(office.now() + 10 * MINUTE, isReturned))
    office.run(9 * MINUTE)
    assert told(office) == []
    office.run(20 * MINUTE)
    assert [(action, status) for _, action, status in told(office)] == expected


@pytest.mark.parametrize("isReturned", [True, False])
def test_what_is_late_comes_back_in_time_and_reaches_nobody(office, isReturned):
    refusing(office, "RCPT", "450 no")
    office.remote.features = ("DELIVERBY",)
    office.submit(FAR, deliverBy=DeliverBy(office.now() + 2 * MINUTE, isReturned))
    office.run(119, 1)
    assert told(office) == []
    office.run(2, 1)
    assert [action for _, action, _ in told(office)] == ["failed" if isReturned else "delayed"]
    office.remote.answer = lambda line: None
    office.run(30 * MINUTE)
    assert len(office.remote.messages) == (0 if isReturned else 1)


def test_what_was_held_up_until_it_was_late_reaches_nobody(office):
    office.remote.features = ("DELIVERBY",)
    office.put(FAR, sender="mbrain@localhost", deliverBy=DeliverBy(office.now() + MINUTE, isReturned=True))
    office.do("hold", Filter(domain="far.example"))
    office.run(2 * MINUTE)
    office.do("release", Filter(domain="far.example"))
    office.run(1)
    assert office.remote.said == []
    assert told(office) == [(FAR, "failed", "5.4.7")]


def test_a_report_is_as_urgent_as_what_it_is_about(office):
    office.near.features = ("MT-PRIORITY",)
    refusing(office, "RCPT", "550 no")
    office.put(FAR, sender="b@near.example", priority=4)
    office.run(1)
    assert office.near.messages[0].mail == "MAIL FROM:<> MT-PRIORITY=4"


@pytest.mark.parametrize("features", [(), (*FEATURES, "STARTTLS", "REQUIRETLS")], ids=["without", "with"])
def test_a_report_on_what_requires_tls_asks_for_it_and_has_no_more_than_the_header(office, features):
    office.remote.features, office.near.features = (*FEATURES, "STARTTLS"), features
    office.put(FAR, sender="b@near.example", content=b"Subject: x\r\n\r\nsecret\r\n", returns="full", requiresTLS=True)
    office.run(HOUR)
    (report,) = office.near.messages
    assert report.mail.startswith("MAIL FROM:<>")
    assert ("REQUIRETLS" in report.mail, report.isTLS) == (bool(features), bool(features))
    assert b"Subject: x" in report.content
    assert b"secret" not in report.content


# --- Success ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [(), FEATURES])
def test_success_is_told_by_the_last_who_can(office, features):
    office.remote.features = features
    office.submit(Recipient(Address("a", "far.example"), frozenset(("success",))))
    office.run(1)
    assert told(office) == ([] if "DSN" in features else [(FAR, "relayed", "2.0.0")])


def test_a_local_address_in_the_queue_goes_where_it_would_go_now(office):
    office.put("jsmith@localhost", "list@localhost", "nobody@localhost", sender="mbrain@localhost")
    office.directory.aliases["list@localhost"] = Resolution((), (Address("a", "far.example"),))
    office.run(1)
    assert len(office.inbox("jsmith@localhost")) == 1
    assert len(office.remote.messages) == 1
    assert told(office) == [("nobody@localhost", "failed", "5.1.1")]
    assert queued(office) == ()


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["CONNECT", "EHLO", "MAIL", "RCPT", "BDAT", "."])
@pytest.mark.parametrize("said", [CLOSE, HANG, "garbage", "421 4.3.2 busy", "451 4.0.0 later"])
def test_whatever_goes_wrong_for_a_moment_the_message_arrives_later(office, word, said):
    office.remote.answer = lambda line: said if line.startswith(word) else None
    office.submit(FAR)
    office.run(15 * MINUTE)
    assert office.remote.messages == [] or word == "."
    assert queued(office)[0].attempts >= 1
    assert queued(office)[0].reply
    office.remote.messages.clear()
    office.remote.answer = lambda line: None
    office.run(30 * MINUTE)
    assert [message.recipients for message in office.remote.messages] == [[FAR]]
    assert queued(office) == ()
    assert office.inbox() == []


def test_a_route_that_is_broken_costs_its_message_an_attempt_and_nobody_else(office):
    class Broken:
        def destination(self, domain):
            return "broken:"

        def begin(self, envelope):
            raise ZeroDivisionError("secret")

    office.route("far.example", Broken())
    office.submit(FAR, "b@near.example")
    office.run(1)
    assert len(office.near.messages) == 1
    (entry,) = queued(office)
    assert entry.attempts == 1
    assert "secret" not in entry.reply


def test_a_route_may_refuse_a_recipient(office):
    class Choosy:
        def __init__(self):
            self.taken = []

        def destination(self, domain):
            return "choosy:"

        def begin(self, envelope):
            return self

        async def recipient(self, recipient):
            if recipient.address.local == "a":
                raise NoSuchRecipient
            self.taken.append(recipient)

        async def commit(self, message):
            return [Outcome(Fate.DELIVERED)] * len(self.taken)

        def abort(self):
            pass

    choosy = Choosy()
    office.route("far.example", choosy)
    office.submit(FAR, "b@far.example")
    office.run(1)
    assert [str(recipient.address) for recipient in choosy.taken] == ["b@far.example"]
    assert told(office) == [(FAR, "failed", "5.1.1")]
    office.submit(FAR)
    office.run(1)
    assert len(told(office)) == 2


def test_stopping_gives_back_what_was_not_begun_and_waits_for_the_rest(office):
    refusing(office, "BDAT", HANG)
    office.run()
    for number in range(10):
        office.submit(f"u{number}@far.example")
    office.run()
    assert any(entry.state(office.now()) is State.LEASED for entry in queued(office))
    office.stop(5)
    assert [(entry.state(office.now()), entry.owner, entry.attempts) for entry in queued(office)] == [(State.WAITING, "", 0)] * 10
    office.reopen()
    office.remote.answer = lambda line: None
    office.run(1)
    assert len(office.remote.messages) == 10


def test_stopping_lets_a_transaction_end(office):
    office.remote.answer = lambda line: HANG if line == "." else None
    office.submit(FAR)
    office.run()
    connection = office.network.links[0]
    office.clock.callLater(3, lambda: connection.server.write(b"250 2.0.0 at last\r\n"))
    office.stop(10)
    assert queued(office) == ()


def test_what_is_cut_off_is_not_begun_at_another_host(office):
    office.resolver.hosts["mx.far.example"] = ["192.0.2.1", "192.0.2.2"]
    refusing(office, "RCPT", HANG)
    office.submit(FAR)
    office.run()
    office.stop(1)
    assert [hop.address for hop in office.network.calls] == ["192.0.2.1"]
    assert [(entry.attempts, entry.state(office.now())) for entry in queued(office)] == [(0, State.WAITING)]


def test_leases_last_as_long_as_a_delivery(office):
    office.remote.answer = lambda line: HANG if line == "." else None
    office.submit(FAR)
    office.run(590)
    (entry,) = queued(office)
    assert entry.owner
    assert entry.due > office.now() + 300


def test_a_crash_between_the_250_and_our_record_may_send_twice_and_loses_nothing(office):
    office.submit(FAR)
    settle = office.queue.settle

    async def never(*arguments):
        raise RuntimeError("killed")

    office.queue.settle = never
    office.run(1)
    assert len(office.remote.messages) == 1
    office.queue.settle = settle
    office.crash()
    office.run(HOUR)
    assert len(office.remote.messages) == 2
    assert queued(office) == ()


# --- The administrator -----------------------------------------------------------------------------------------------


def test_returned_by_the_administrator(office):
    refusing(office, "RCPT", "450 no")
    office.submit(FAR, "b@near.example", "c@far.example")
    office.run(1)
    office.do("hold", Filter())
    assert result(office.relay.bounce(Filter(domain="far.example"), "this domain is gone")) == 2
    office.run(1)
    assert [(who, action) for who, action, _ in told(office)] == [(FAR, "failed"), ("c@far.example", "failed")]
    assert len(office.reports()) == 1
    assert "this domain is gone" in office.reports()[0].as_string()


def test_retry_now(office):
    refusing(office, "RCPT", "450 no")
    office.submit(FAR)
    office.run(40)
    office.remote.answer = lambda line: None
    assert office.do("flush", "far.example") == 1
    office.run(1)
    assert len(office.remote.messages) == 1


def test_cancelled_while_it_waits_in_the_relay(office):
    office.run()
    refusing(office, "MAIL", HANG)
    for number in range(10):
        office.submit(f"u{number}@far.example")
    office.run()
    office.do("cancel", Filter())
    office.remote.answer = lambda line: None
    office.run(HOUR)
    assert queued(office) == ()
    assert office.inbox() == []


@pytest.mark.parametrize(("said", "expected"), [("250 2.0.0 taken", []), ("554 5.7.0 no", [(FAR, "failed", "5.7.0")])])
def test_what_is_being_tried_is_not_returned_as_well(office, said, expected):
    office.run()
    office.remote.answer = lambda line: HANG if line == "." else None
    office.submit(FAR)
    office.run()
    assert result(office.relay.bounce(Filter())) == 0
    assert told(office) == []
    (link,) = office.network.links
    link.server.write(f"{said}\r\n".encode())
    office.run(1)
    assert told(office) == expected
    assert queued(office) == ()


@pytest.mark.parametrize("verb", ["hold", "cancel", "bounce"])
def test_what_is_steered_while_it_waits_in_the_relay_is_not_tried(office, verb):
    office.remote.answer = lambda line: HANG if line.startswith("RCPT TO:<u") else None
    for number in range(5):
        office.submit(f"u{number}@far.example")
    office.submit("a@far.example", "b@far.example")
    office.run()  # what waits already is leased together
    assert office.do("count", Filter(address="a@far.example", state=State.LEASED)) == 1
    one = Filter(address="a@far.example")
    assert result(office.relay.bounce(one)) == 1 if verb == "bounce" else office.do(verb, one) == 1
    office.run(10 * MINUTE)
    assert [message.recipients for message in office.remote.messages] == [["b@far.example"]]
    assert [recipient for recipient, _, _ in told(office)] == (["a@far.example"] if verb == "bounce" else [])
    assert office.do("count", one) == (1 if verb == "hold" else 0)
    office.do("release", one)
    office.run(1)
    assert ["a@far.example"] in [message.recipients for message in office.remote.messages] or verb != "hold"


@pytest.mark.parametrize("verb", ["cancel", "hold"])
def test_who_was_steered_while_it_was_tried_is_not_told_of_with_the_others(office, verb):
    b = Filter(address="b@far.example")

    def steer(line):
        if line.startswith("RCPT TO:<b@"):
            office.do(verb, b)
        return "550 5.1.1 no" if line.startswith("RCPT") else None

    office.remote.answer = steer
    office.submit(FAR, "b@far.example", "c@far.example")
    office.run(1)
    assert sorted(recipient for recipient, _, _ in told(office)) == [FAR, "c@far.example"]
    assert office.do("count") == (1 if verb == "hold" else 0)
    office.remote.answer = lambda line: None
    office.do("release", b)
    office.run(1)
    assert [message.recipients for message in office.remote.messages] == ([["b@far.example"]] if verb == "hold" else [])


def test_random_traffic_ends_well(office):
    """Every recipient ends in exactly one of: at the remote, in a report."""
    chance = random.Random(7)
    office.remote.answer = lambda line: (
        chance.choice(["450 4.0.0 x", "550 5.0.0 x", CLOSE, None, None, None]) if line[:4] in ("RCPT", "MAIL", "BDAT") else None
    )
    expected = set()
    for number in range(60):
        people = [f"u{number}.{n}@far.example" for n in range(chance.randint(1, 4))]
        office.submit(*people)
        expected.update(people)
    office.run(6 * DAY, 20 * MINUTE)
    assert queued(office) == ()
    taken = [address for message in office.remote.messages for address in message.recipients]
    failed = [who for who, action, _ in told(office) if action == "failed"]
    assert len(taken) == len(set(taken))
    assert set(taken) | set(failed) == expected
    assert not set(taken) & set(failed)


@pytest.mark.parametrize("features", [(), ("DSN", "DELIVERBY")])
def test_a_traced_message_is_told_of_when_it_is_relayed(office, features):
    office.remote.features = features
    office.submit(FAR, deliverBy=DeliverBy(office.now() + 600, isTraced=True))
    office.run(10)
    (report,) = office.reports()
    assert "Action: relayed" in report.as_string()


def test_what_is_to_come_back_in_time_goes_to_nobody_who_does_not_promise_that(office):
    office.submit(FAR, deliverBy=DeliverBy(office.now() + 600, isReturned=True))
    office.run(10)
    assert office.remote.messages == []
    assert "5.3.3" in office.reports()[0].as_string()
    office.remote.features = ("DELIVERBY",)
    office.submit(FAR, deliverBy=DeliverBy(office.now() + 600, isReturned=True))
    office.run(10)
    assert len(office.remote.messages) == 1
