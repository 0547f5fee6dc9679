"""A router with a queue: what is local is delivered, what is not is queued, and nothing is refused that somebody could take."""

from ipaddress import ip_network

import pytest
from attrs import evolve

from mailfw.delivery.queue import State
from mailfw.errors import LimitExceeded, NoSuchRecipient, OverQuota, RelayDenied, Unavailable
from mailfw.values import Address, Fate, Outcome, Peer, Recipient, Resolution, Target

FAR = "a@far.example"
JSMITH, MBRAIN = Target("jsmith@localhost"), Target("mbrain@localhost")
DOWN = Outcome(Fate.DEFERRED, Unavailable("disk full"))
FULL = Outcome(Fate.FAILED, LimitExceeded("full for good"))


def queued(office):
    return office.do("list").entries


def fates(outcomes):
    return [outcome.fate for outcome in outcomes]


def test_local_is_delivered_and_the_rest_queued_each_in_one_step(office):
    steps = []
    original = office.queue.enqueue

    async def enqueue(*arguments):
        steps.append(arguments)
        return await original(*arguments)

    office.queue.enqueue = enqueue
    outcomes = office.submit("jsmith@localhost", FAR, "b@near.example", "c@far.example")
    assert fates(outcomes) == [Fate.DELIVERED, Fate.QUEUED, Fate.QUEUED, Fate.QUEUED]
    assert len(steps) == 1
    assert len(office.inbox("jsmith@localhost")) == 1
    entries = queued(office)
    assert [str(entry.recipient.address) for entry in entries] == [FAR, "b@near.example", "c@far.example"]
    assert len({entry.message.contentId for entry in entries}) == 1
    assert entries[0].message.envelope.sender == Address("mbrain", "localhost")


def test_who_may_send_elsewhere(office):
    stranger = {"identity": None, "sender": "x@example.org"}
    with pytest.raises(RelayDenied):
        office.submit(FAR, **stranger)
    office.router.outbound = evolve(office.outbound, networks=[ip_network("192.0.2.0/25"), ip_network("2001:db8::/32")])
    assert fates(office.submit(FAR, **stranger)) == [Fate.QUEUED]
    assert fates(office.submit(FAR, peer=Peer("2001:db8::1"), **stranger)) == [Fate.QUEUED]
    for peer in (Peer("192.0.2.200"), Peer("/run/socket", isUnix=True), Peer("")):
        with pytest.raises(RelayDenied):
            office.submit(FAR, peer=peer, **stranger)
    office.router.outbound = evolve(office.outbound, accepts=lambda domain: domain == "far.example")
    assert fates(office.submit(FAR, **stranger)) == [Fate.QUEUED]
    with pytest.raises(RelayDenied):
        office.submit("a@near.example", **stranger)


def test_unknown_people_are_still_refused_at_once(office):
    with pytest.raises(NoSuchRecipient):
        office.submit("nobody@localhost")


def test_a_store_that_is_down_turns_local_recipients_into_queue_entries(office):
    office.directory.aliases["all@localhost"] = Resolution((JSMITH, MBRAIN))
    office.shelf.outcomes["jsmith@localhost"] = DOWN
    outcomes = office.submit("mbrain@localhost", "jsmith@localhost", "all@localhost")
    assert fates(outcomes) == [Fate.DELIVERED, Fate.QUEUED, Fate.QUEUED]
    (entry,) = queued(office)
    assert entry.target == JSMITH
    assert (entry.attempts, entry.reply) == (1, "disk full")
    office.shelf.outcomes.clear()
    office.run(290)
    assert office.inbox("jsmith@localhost") == []
    office.run(60)
    assert len(office.inbox("jsmith@localhost")) == 1
    assert office.inbox("jsmith@localhost")[0].startswith(b"Return-Path: <mbrain@localhost>\r\n")
    assert len(office.inbox("mbrain@localhost")) == 1, "who had it does not get it again"
    assert queued(office) == ()


def test_only_when_the_queue_cannot_either_is_the_sender_asked_to_come_again(office):
    async def broken(*arguments):
        raise Unavailable("no space")

    office.shelf.outcomes["jsmith@localhost"] = DOWN
    real, office.queue.enqueue = office.queue.enqueue, broken
    outcomes = office.submit("jsmith@localhost", FAR, "mbrain@localhost")
    assert fates(outcomes) == [Fate.DEFERRED, Fate.DEFERRED, Fate.DELIVERED]

    async def faulty(*arguments):
        raise ZeroDivisionError("secret")

    office.queue.enqueue = faulty
    (outcome,) = office.submit(FAR)
    assert outcome.fate is Fate.DEFERRED
    assert "secret" not in str(outcome.refusal)
    office.queue.enqueue = real


def test_who_fails_for_good_among_others_is_told_of_by_mail(office):
    office.shelf.outcomes["jsmith@localhost"] = FULL
    outcomes = office.submit("jsmith@localhost", FAR)
    assert fates(outcomes) == [Fate.QUEUED, Fate.QUEUED]
    assert "full for good" in outcomes[0].remark
    office.run(1)
    (report,) = office.reports()
    status = report.get_payload(1)
    assert status.get_payload(1)["Final-Recipient"] == "rfc822; jsmith@localhost"
    assert status.get_payload(1)["Action"] == "failed"
    assert len(office.remote.messages) == 1


def test_when_all_fail_the_answer_says_so_and_nobody_bounces(office):
    office.shelf.outcomes["jsmith@localhost"] = FULL
    assert fates(office.submit("jsmith@localhost")) == [Fate.FAILED]
    assert queued(office) == ()
    outcomes = office.submit("jsmith@localhost", "mbrain@localhost", sender=None, identity=None)
    assert fates(outcomes) == [Fate.FAILED, Fate.DELIVERED]
    assert queued(office) == ()


def test_success_is_told_when_it_was_asked_for(office):
    office.submit(
        Recipient(Address("jsmith", "localhost"), frozenset(("success",)), "rfc822;J+2ESmith@localhost"), envelopeId="<42>"
    )
    office.run(1)
    (report,) = office.reports()
    status = report.get_payload(1)
    assert status.get_payload(0)["Original-Envelope-Id"] == "<42>"
    assert status.get_payload(1)["Action"] == "delivered"
    assert status.get_payload(1)["Original-Recipient"] == "rfc822; J.Smith@localhost"
    assert report.get_payload(2).get_content_type() == "text/rfc822-headers"


def test_an_alias_leads_elsewhere_under_a_sender_of_ours(office):
    office.directory.aliases["list@localhost"] = Resolution(
        (JSMITH,), (Address("a", "far.example"), Address("b", "near.example"))
    )
    outcomes = office.submit("list@localhost", sender="x@example.org", identity=None)
    assert fates(outcomes) == [Fate.QUEUED]
    assert len(office.inbox("jsmith@localhost")) == 1
    sender = queued(office)[0].message.envelope.sender
    assert sender.domain == "localhost"
    assert office.outbound.srs.reverse(sender) == Address("x", "example.org")
    assert queued(office)[0].recipient.original == "rfc822;list@localhost"
    office.run(1)
    assert [remote.messages[0].recipients for remote in (office.remote, office.near)] == [["a@far.example"], ["b@near.example"]]
    own = office.submit("list@localhost", sender="mbrain@localhost", identity=None)
    assert fates(own) == [Fate.QUEUED]
    assert queued(office)[0].message.envelope.sender == Address("mbrain", "localhost")


@pytest.mark.parametrize("asked", ["success", "success failure", "failure", "never", ""])
def test_success_of_an_alias_with_several_ends_is_told_once(office, asked):
    office.remote.features = office.near.features = ()
    office.directory.aliases["list@localhost"] = Resolution(
        (JSMITH,), (Address("a", "far.example"), Address("b", "near.example"))
    )
    office.submit(Recipient(Address("list", "localhost"), frozenset(asked.split())))
    left = {"success": {"never"}, "success failure": {"failure"}}.get(asked, set(asked.split()))
    assert [entry.recipient.notify for entry in queued(office) if entry.recipient.address.domain != "localhost"] == [left] * 2
    office.run(1)
    told = [report.get_payload(1).get_payload(1) for report in office.reports()]
    expected = [("expanded", "rfc822; list@localhost")] if "success" in asked else []
    assert [(each["Action"], each["Final-Recipient"]) for each in told] == expected


def test_one_message_with_two_senders_is_kept_once(office):
    office.directory.aliases["list@localhost"] = Resolution((), (Address("b", "far.example"),))
    office.submit(FAR, "list@localhost", sender="x@example.org")
    one, two = queued(office)
    assert one.message.contentId == two.message.contentId
    assert one.message.envelope.sender != two.message.envelope.sender


def test_a_bounce_to_a_rewritten_sender_goes_on_to_who_it_was(office):
    rewritten = office.outbound.srs.forward(Address("x", "far.example"))
    assert fates(office.submit(Recipient(rewritten), sender=None, identity=None)) == [Fate.QUEUED]
    (entry,) = queued(office)
    assert (entry.recipient.address, entry.message.envelope.sender) == (Address("x", "far.example"), None)
    with pytest.raises(RelayDenied):
        office.submit(Recipient(rewritten), sender="spam@example.org", identity=None)
    with pytest.raises(NoSuchRecipient):
        office.submit(Recipient(Address("SRS0=AAAAAAAA=AA=far.example=x", "localhost")), sender=None, identity=None)


def test_over_quota_is_what_the_store_says(office):
    office.shelf.outcomes["jsmith@localhost"] = Outcome(Fate.FAILED, OverQuota())
    (outcome,) = office.submit("jsmith@localhost")
    assert isinstance(outcome.refusal, OverQuota)


def test_what_is_held_back_is_not_sent_before(office):
    office.submit(FAR, releaseAt=office.now() + 600)
    office.run(590)
    assert office.remote.messages == []
    assert queued(office)[0].state(office.now()) is State.WAITING
    office.run(60)
    assert len(office.remote.messages) == 1


def test_what_is_to_be_held_waits_in_the_queue_wherever_it_goes(office):
    outcomes = office.submit("jsmith@localhost", FAR, releaseAt=office.now() + 600, priority=9)
    assert fates(outcomes) == [Fate.QUEUED, Fate.QUEUED]
    assert office.inbox("jsmith@localhost") == []
    assert {entry.due for entry in queued(office)} == {office.now() + 600}
    office.run(590)
    assert office.inbox("jsmith@localhost") == [] and not office.remote.messages
    office.run(60)
    assert len(office.inbox("jsmith@localhost")) == 1 and len(office.remote.messages) == 1
