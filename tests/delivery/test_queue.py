"""What the queue keeps, gives out and forgets."""

import os
from types import SimpleNamespace

import pytest

from mailfw.app.commands.queue import listAll
from mailfw.app.desk import Desk as Clerk
from mailfw.delivery.queue import Filter, Settlement, State, Submission
from mailfw.delivery.queue.queue import BLOB_FROM, LOCAL_LANE, ORPHAN_AGE
from mailfw.errors import Vanished
from mailfw.testing.now import result
from mailfw.values import Address, Consequence, DeliverBy, Envelope, Fate, Identity, MessageSource, Outcome, Recipient, Target

HOUR = 3600.0


def addresses(entries):
    return [str(entry.recipient.address) for entry in entries]


def over(entry, isFailure=False):
    return Settlement(entry, None, isFailure)


def later(desk, entry, seconds=300.0, **last):
    return Settlement(entry, desk.now() + seconds, **last)


# --- What is kept ----------------------------------------------------------------------------------------------------


def test_an_envelope_comes_out_as_it_went_in_also_after_a_crash(desk):
    recipients = (
        Recipient(Address('we"ird @', "example.com"), frozenset(("success", "delay")), "rfc822;x+40y"),
        Recipient(Address("jürgen", "bücher.example")),
    )
    envelope = Envelope(
        Address("séndér@x", "example.org"),
        recipients,
        Identity("mbrain@localhost"),
        isSMTPUTF8=True,
        is8Bit=True,
        requiresTLS=True,
        returns="hdrs",
        envelopeId="id <1>",
        priority=-3,
        deliverBy=DeliverBy(desk.now() + 60, isReturned=True, isTraced=True),
        releaseAt=desk.now() - 5,
    )
    content = b"Subject: \0\r\n\r\n" + bytes(range(256))
    (id_,) = desk.do("enqueue", [Submission(envelope)], MessageSource(content, prefix=b"Received: x\r\n"))
    desk.reopen()
    message, entries = desk.do("message", id_)
    assert message.envelope == Envelope(
        **{**{a: getattr(envelope, a) for a in envelope.__slots__ if a[0] != "_"}, "recipients": ()}
    )
    assert tuple(entry.recipient for entry in entries) == recipients
    assert message.size == len(content) + len(b"Received: x\r\n")
    assert desk.do("content", message).read() == b"Received: x\r\n" + content
    assert message.arrived == desk.now()


def test_the_null_sender_is_kept(desk):
    message, _ = desk.do("message", desk.put(sender=""))
    assert message.envelope.sender is None


@pytest.mark.parametrize("size", [BLOB_FROM - 1, BLOB_FROM, 3 * BLOB_FROM + 1])
def test_large_content_is_a_file_that_goes_with_its_last_recipient(desk, tmp_path, size):
    content = os.urandom(1024) * (size // 1024 + 1)
    message, _ = desk.do("message", desk.put("a@example.com", "b@example.net", content=content[:size]))
    source = desk.do("content", message)
    assert source.size == size
    assert b"".join(source.chunks()) == content[:size]
    assert bool(source.path) == (size >= BLOB_FROM)
    first, second = desk.lease()
    desk.do("settle", "w", [over(first)])
    assert desk.do("content", message).size == size
    desk.do("settle", "w", [over(second)])
    with pytest.raises(Vanished):
        desk.do("content", message)
    assert [path for path in (tmp_path / "queue.blobs").rglob("*") if path.is_file()] == []


def test_a_spooled_message_is_copied(desk, tmp_path):
    spool = tmp_path / "spool"
    spool.write_bytes(b"..the content")
    message, _ = desk.do("message", desk.put(content=MessageSource(prefix=b"X: y\r\n", path=str(spool), offset=2, length=11)))
    spool.unlink()
    assert desk.do("content", message).read() == b"X: y\r\nthe content"


def test_envelopes_share_one_content_until_the_last_is_gone(desk):
    envelopes = [Envelope(Address(str(n), "x.org"), (Recipient(Address("a", f"{n}.org")),)) for n in range(2)]
    ids = desk.do("enqueue", [Submission(e) for e in envelopes], MessageSource(b"x"))
    (one, _), (two, _) = (desk.do("message", id_) for id_ in ids)
    assert one.contentId == two.contentId
    assert desk.do("cancel", Filter(message=ids[0])) == 1
    assert desk.do("content", two).read() == b"x"
    desk.do("cancel", Filter(message=ids[1]))
    with pytest.raises(Vanished):
        desk.do("content", two)


def test_what_follows_is_queued_with_the_settlement_or_not_at_all(desk):
    desk.put("list@here.org")
    (entry,) = desk.lease()
    target = Target("jsmith@localhost", "Lists")
    ways = (
        (Envelope(None, (Recipient(Address("a", "a.org")), Recipient(Address("b", "b.org")))), None),
        (Envelope(None, (Recipient(Address("jsmith", "localhost")),)), target),
    )
    follows = [Consequence(MessageSource(b"y"), ways)]
    assert desk.do("settle", "w", [over(entry)], [], follows)
    desk.reopen()
    found = desk.lease()
    assert sorted((str(each.recipient.address), each.target) for each in found) == [
        ("a@a.org", None),
        ("b@b.org", None),
        ("jsmith@localhost", target),
    ]
    assert {desk.do("content", each.message).read() for each in found} == {b"y"}
    assert not desk.do("settle", "late", [over(entry)], [], follows), "it was said already"
    assert len(desk.do("list").entries) == 3


def test_a_local_target_is_kept_with_why_it_waits(desk):
    target = Target("jsmith@localhost", "Junk", frozenset(("$Junk", "\\Seen")), "tag")
    envelope = Envelope(None, (Recipient(Address("x", "a.org")), Recipient(Address("jsmith", "localhost"))))
    why = Outcome(Fate.DEFERRED, remark="disk full", status="4.3.1")
    desk.do("enqueue", [Submission(envelope, {1: target}, why, desk.now() + 300)], MessageSource(b"x"))
    assert desk.lease() == []
    desk.clock.advance(300)
    elsewhere, here = desk.lease()
    assert (elsewhere.target, elsewhere.lane) == (None, "a.org")
    assert (here.target, here.lane) == (target, LOCAL_LANE)
    assert (here.attempts, here.status, here.reply) == (1, "4.3.1", "disk full")


def test_files_that_a_crash_left_are_collected_and_no_others(desk, tmp_path):
    desk.put(content=b"x" * BLOB_FROM)
    orphan = tmp_path / "queue.blobs" / "ab" / ("ab" * 16)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"half")
    os.utime(orphan, (desk.now() - ORPHAN_AGE - 1,) * 2)
    desk.clock.advance(10 * 365 * 86400)  # old enough, all of them
    assert desk.do("collect") == 1
    assert not orphan.exists()
    (entry,) = desk.lease()
    assert desk.do("content", entry.message).size == BLOB_FROM


# --- Leases ----------------------------------------------------------------------------------------------------------


def test_nothing_is_given_twice_until_the_lease_is_over(desk):
    desk.put("a@example.com", "b@example.com")
    assert addresses(desk.lease(seconds=600)) == ["a@example.com", "b@example.com"]
    assert desk.lease("other") == []
    desk.clock.advance(599)
    assert desk.lease("other") == []
    desk.clock.advance(1)
    assert [entry.owner for entry in desk.lease("other")] == ["other"] * 2


def test_a_crash_gives_leases_back_without_a_scan(desk):
    desk.put()
    assert desk.lease(seconds=600)
    desk.reopen()
    assert desk.do("nextDue") == desk.now() + 600
    desk.clock.advance(600)
    assert len(desk.lease("next")) == 1


def test_renewing_keeps_a_lease_and_does_not_take_one(desk):
    desk.put()
    (entry,) = desk.lease(seconds=600)
    desk.do("renew", "w", [entry], desk.now() + 1200)
    desk.do("renew", "somebody else", [entry], desk.now())
    desk.clock.advance(1199)
    assert desk.lease("other") == []


def test_given_back_is_as_if_never_taken(desk):
    desk.put()
    (entry,) = desk.lease()
    desk.do("giveBack", "w", [entry])
    (again,) = desk.lease("other")
    assert again.attempts == 0


def test_what_is_put_off_comes_again_with_its_history(desk):
    desk.put()
    (entry,) = desk.lease()
    said = {"status": "4.7.1", "reply": "450 4.7.1 greylisted", "host": "mx.example.com", "isWarned": True}
    assert desk.do("settle", "w", [later(desk, entry, 300, **said)])
    assert desk.do("nextDue") == desk.now() + 300
    desk.clock.advance(300)
    (again,) = desk.lease()
    assert again.attempts == 1
    assert again.tried == desk.now() - 300
    assert {name: getattr(again, name) for name in said} == said


def test_who_lost_the_lease_may_say_that_it_is_delivered_but_not_that_it_failed(desk):
    desk.put("a@example.com")
    desk.put("b@example.com")
    one, two = desk.lease("slow", seconds=60)
    desk.clock.advance(60)
    assert len(desk.lease("quick")) == 2
    report = (Submission(Envelope(None, (Recipient(Address("sender", "example.org")),))), MessageSource(b"failed"))
    assert not desk.do("settle", "slow", [over(one, isFailure=True)], [report])
    assert not desk.do("settle", "slow", [later(desk, two)], [report])
    assert desk.do("count") == 2, "nothing was reported, and nothing changed"
    assert desk.do("settle", "slow", [over(one)])
    assert addresses(desk.do("list").entries) == ["b@example.com"]


def test_a_failure_and_its_report_are_one(desk):
    desk.put("a@example.com", content=b"the message")
    (entry,) = desk.lease()
    report = (Submission(Envelope(None, (Recipient(Address("sender", "example.org")),))), MessageSource(b"it failed"))
    assert desk.do("settle", "w", [over(entry, isFailure=True)], [report])
    (told,) = desk.lease()
    assert told.message.envelope.sender is None
    assert str(told.recipient.address) == "sender@example.org"
    assert desk.do("content", told.message).read() == b"it failed"


def test_lanes_are_served_in_turn(desk):
    for number in range(50):
        desk.put(f"{number}@busy.example")
    desk.clock.advance(1)
    desk.put("a@quiet.example")
    found = desk.lease(limit=10, each=5)
    assert [entry.lane for entry in found] == ["busy.example"] * 5 + ["quiet.example"]
    assert addresses(found)[:2] == ["0@busy.example", "1@busy.example"]
    assert desk.lease(without={"busy.example"}) == []
    assert desk.do("nextDue", without={"busy.example"}) == desk.now() + 600
    assert len(desk.lease(limit=20)) == 20


def test_routes_decide_on_lanes(desk):
    desk.queue.laneOf = lambda address, target: "smarthost"
    desk.put("a@one.example", "b@two.example")
    assert [entry.lane for entry in desk.lease()] == ["smarthost"] * 2


def test_nothing_is_given_before_its_release(desk):
    desk.put(releaseAt=desk.now() + HOUR)
    assert desk.lease() == []
    desk.clock.advance(HOUR)
    (entry,) = desk.lease()
    assert entry.message.since == desk.now()


def test_priority_comes_first_among_what_waits(desk):
    desk.put("slow@example.com")
    desk.put("urgent@example.com", priority=4)
    desk.put("lazy@example.com", priority=-4)
    assert addresses(desk.lease(limit=1)) == ["urgent@example.com"]


def test_the_bell_rings_when_something_may_be_due(desk):
    rings = []
    end = desk.queue.watch(lambda: rings.append(desk.now()))
    desk.put()
    assert len(rings) == 1
    (entry,) = desk.lease()
    desk.do("settle", "w", [later(desk, entry)])
    desk.do("retry", Filter())
    assert len(rings) == 3
    end()
    desk.put()
    assert len(rings) == 3


# --- The administrator -----------------------------------------------------------------------------------------------


def test_held_is_not_tried_until_released(desk):
    desk.put("a@example.com", "b@example.net")
    assert desk.do("hold", Filter(domain="EXAMPLE.com")) == 1
    assert addresses(desk.lease()) == ["b@example.net"]
    desk.clock.advance(1e7)
    assert addresses(desk.lease()) == ["b@example.net"]
    (held,) = desk.do("list", Filter(state=State.HELD)).entries
    assert held.state(desk.now()) is State.HELD
    assert desk.do("retry", Filter()) == 0, "retrying is not releasing, and the other one is leased"
    assert desk.do("release", Filter()) == 1
    assert addresses(desk.lease()) == ["a@example.com"]


def test_holding_what_is_being_tried_lets_success_stand_and_keeps_the_rest(desk):
    desk.put("a@example.com")
    desk.put("b@example.com")
    one, two = desk.lease()
    desk.do("hold", Filter())
    desk.do("settle", "w", [over(one)])
    desk.do("settle", "w", [later(desk, two)])
    (held,) = desk.do("list").entries
    assert str(held.recipient.address) == "b@example.com"
    assert held.state(desk.now()) is State.HELD


def test_retry_and_flush_try_at_once(desk):
    desk.put("a@example.com")
    desk.put("b@example.net")
    desk.do("settle", "w", [later(desk, entry, HOUR) for entry in desk.lease()])
    assert desk.do("flush", "example.net") == 1
    assert addresses(desk.lease()) == ["b@example.net"]
    assert desk.do("retry", Filter(recipient=1)) == 1
    assert addresses(desk.lease()) == ["a@example.com"]


def test_cancelled_is_gone_and_nobody_is_told(desk):
    desk.put("a@example.com")
    (entry,) = desk.lease()
    assert desk.do("cancel", Filter()) == 1
    report = (Submission(Envelope(None, (Recipient(Address("s", "x.org")),))), MessageSource(b"x"))
    assert not desk.do("settle", "w", [over(entry, isFailure=True)], [report])
    assert desk.do("count") == 0
    assert desk.do("nextDue") is None


def test_seizing_takes_whatever_is_meant(desk):
    desk.put("a@example.com", "b@example.net")
    desk.do("hold", Filter(domain="example.com"))
    desk.lease()
    seized = desk.do("seize", Filter(), "admin", desk.now() + 60)
    assert addresses(seized) == ["a@example.com", "b@example.net"]
    assert desk.lease("other") == []
    assert desk.do("settle", "admin", [over(entry, isFailure=True) for entry in seized])
    assert desk.do("count") == 0


def test_verbs_go_on_page_by_page(desk):
    for start in range(0, 1200, 100):
        desk.put(*(f"{start + n}@example.com" for n in range(100)))
    assert desk.do("hold", Filter()) == 1200
    assert desk.do("release", Filter(domain="example.com")) == 1200
    assert desk.do("cancel", Filter()) == 1200
    assert desk.do("count") == 0


def test_filters(desk):
    desk.put("a@example.com", sender="One@example.org")
    desk.clock.advance(HOUR)
    desk.put("b@example.net", sender="")
    desk.do("settle", "w", [later(desk, e, reply="450 4.2.0 100% Busy_ness") for e in desk.lease() if e.id == 1])

    def found(**filter):
        return addresses(desk.do("list", Filter(**filter)).entries)

    assert found() == ["a@example.com", "b@example.net"]
    assert found(sender="one@EXAMPLE.org") == ["a@example.com"]
    assert found(sender="<>") == ["b@example.net"]
    assert found(arrivedBefore=desk.now()) == ["a@example.com"]
    assert found(arrivedAfter=desk.now() - 1) == ["b@example.net"]
    assert found(reason="100% busy_") == ["a@example.com"]
    assert found(reason="100_ busy") == found(reason="1%y") == []
    assert found(state=State.WAITING) == ["a@example.com"]
    assert found(state=State.LEASED) == ["b@example.net"]
    assert found(message=2) == found(recipient=2) == ["b@example.net"]
    assert found(domain="example.com", sender="<>") == []
    totals, domains = desk.do("overview")
    assert (totals.recipients, totals.messages, totals.held) == (2, 2, 0)
    assert (totals.waiting, totals.due, totals.leased) == (1, 0, 1)
    desk.clock.advance(HOUR)
    assert desk.do("overview")[0].due == 2, "what was leased by somebody who is gone is due again"
    assert [(each.domain, each.recipients) for each in domains] == [("example.com", 1), ("example.net", 1)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_the_command_lists_all_page_by_page(desk, monkeypatch, count):
    monkeypatch.setattr("mailfw.app.desk.PAGE", 2)
    for number in range(count):
        desk.put(f"u{number}@example.com", "a@elsewhere.example")
    clerk, pages = Clerk(SimpleNamespace(queue=desk.queue), True, desk.now), []

    def perform(operation, **arguments):
        pages.append(result(clerk.perform(operation, arguments)))
        return pages[-1]

    found = listAll(perform, {"domain": "example.com"})
    assert [each["recipient"] for each in found["recipients"]] == [f"u{number}@example.com" for number in range(count)]
    assert found["total"] == count
    assert all(len(page["recipients"]) <= 2 for page in pages)


def test_listing_in_pages(desk):
    desk.put(*(f"{n}@example.com" for n in range(5)))
    seen, after = [], 0
    while True:
        page = desk.do("list", after=after, limit=2)
        seen += addresses(page.entries)
        if not page.next:
            break
        after = page.next
    assert seen == [f"{n}@example.com" for n in range(5)]


def test_a_process_that_starts_takes_back_what_a_killed_one_had_leased(desk):
    desk.put("a@example.com", "b@example.net")
    desk.put("c@example.com", due=desk.now() + HOUR)
    assert len(desk.lease("killed")) == 2
    desk.clock.advance(1)
    desk.put("d@example.com")
    mine = desk.lease("me")
    assert addresses(mine) == ["d@example.com"]
    assert desk.do("reclaim", "me") == 2
    assert desk.do("reclaim", "me") == 0
    assert addresses(desk.lease("me")) == ["a@example.com", "b@example.net"]
    assert desk.do("settle", "killed", [over(entry) for entry in mine]), "who has it has it, whoever says so"


def test_one_lane_can_be_served_alone(desk):
    desk.put("a@example.com", "b@example.net")
    assert desk.do("nextDue", only="nowhere") is None
    assert desk.lease(only="nowhere") == []
    assert desk.do("nextDue", only="example.net") == desk.now()
    assert [str(entry.recipient.address) for entry in desk.lease(only="example.net")] == ["b@example.net"]
    assert desk.lease(only="example.net") == []


def test_what_is_given_back_into_another_lane_waits_there(desk):
    desk.put("a@example.com")
    desk.do("giveBack", "w", desk.lease(), lane="local:")
    assert desk.do("nextDue", ["local:"]) is None
    assert [entry.lane for entry in desk.lease(only="local:")] == ["local:"]


@pytest.mark.parametrize(("me", "freed"), [("me", "of the owner"), ("1/me", "of worker 1"), ("2/me", "of worker 2")])
def test_only_leases_of_those_who_are_gone_are_taken_back(desk, me, freed):
    words = {"aa": "of the owner", "1/bb": "of worker 1", "2/cc": "of worker 2", "11/dd": "of worker 11", me: "mine"}
    for owner, name in words.items():
        desk.put(f"{name.replace(' ', '.')}@example.com")
        desk.lease(owner)
    assert desk.do("reclaim", me) == 1
    assert [entry.recipient.address.local for entry in desk.lease()] == [freed.replace(" ", ".")]


def test_what_a_worker_was_never_told_of_is_free(desk):
    known, lost = desk.put("known@example.com"), desk.put("lost@example.com")
    entries = desk.lease("1/me")
    kept = [entry.id for entry in entries if entry.message.id == known]
    assert desk.do("reclaim", "1/me", kept) == 1
    assert [entry.message.id for entry in desk.lease()] == [lost]
