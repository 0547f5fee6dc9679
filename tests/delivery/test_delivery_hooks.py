"""Hooks where mail goes: asked before something happens, told after it did."""

import pytest
from attrs import evolve

from mailfw.errors import NoPermission, RelayDenied, TemporaryRefusal
from mailfw.hooks.runner import Attached, Hooks
from mailfw.stages import (
    Accept,
    AddHeader,
    AddRecipient,
    ChangeSender,
    Continue,
    Discard,
    Quarantine,
    Reject,
    RemoveRecipient,
    Stage,
    TempFail,
)
from mailfw.testing.now import result
from mailfw.values import Address, Fate, Peer, Recipient

FAR, JSMITH = "a@far.example", "jsmith@localhost"
FROM_FAR = {"identity": None, "sender": "x@example.org"}


@pytest.fixture
def hooked(office):
    """An office with a hook that notes what it sees, and answers what `answers` says for a stage."""

    class Hooked:
        seen, answers = [], {}

        def hook(self, event):
            self.seen.append(event)
            said = self.answers.get(event.stage)
            return said(event) if callable(said) else said

        @property
        def stages(self):
            return [event.stage.value for event in self.seen]

    test = Hooked()
    test.seen, test.answers = [], {}
    hooks = Hooks({stage: [Attached("test", test.hook)] for stage in Stage}, office.clock)
    office.router.hooks = office.relay.hooks = hooks
    yield test
    result(hooks.close())


def fates(outcomes):
    return [outcome.fate for outcome in outcomes]


def test_the_stages_of_a_message_that_arrives_and_leaves(office, hooked):
    assert fates(office.submit(JSMITH, FAR)) == [Fate.DELIVERED, Fate.QUEUED]
    assert hooked.stages == [
        "resolve_recipient", "resolve_recipient", "authorize_relay", "rewrite_envelope", "before_store", "stored",
        "message_queued",
    ]  # fmt: skip
    hooked.seen.clear()
    office.run(10)
    assert hooked.stages == ["route", "before_delivery", "smtp_response", "delivered"]
    assert hooked.seen[-1].outcome.host and str(hooked.seen[-1].recipient.address) == FAR


def test_resolve_recipient(office, hooked):
    hooked.answers[Stage.RESOLVE_RECIPIENT] = Reject(text="moved away")
    with pytest.raises(NoPermission, match="moved away"):
        office.submit(JSMITH)
    hooked.answers[Stage.RESOLVE_RECIPIENT] = TempFail()
    with pytest.raises(TemporaryRefusal):
        office.submit(JSMITH)
    aliases = (AddRecipient(Recipient(Address("mbrain", "localhost"))), AddRecipient(Recipient(Address("a", "far.example"))))
    hooked.answers[Stage.RESOLVE_RECIPIENT] = Continue((RemoveRecipient(Address("list", "localhost")), *aliases))
    assert fates(office.submit("list@localhost")) == [Fate.QUEUED]
    assert len(office.inbox("mbrain@localhost")) == 1 and office.do("count") == 1


def test_authorize_relay(office, hooked):
    with pytest.raises(RelayDenied):
        office.submit(FAR, **FROM_FAR)
    hooked.answers[Stage.AUTHORIZE_RELAY] = lambda event: Accept() if event.client.peer.host == "192.0.2.77" else None
    assert fates(office.submit(FAR, **FROM_FAR)) == [Fate.QUEUED]
    with pytest.raises(RelayDenied):
        office.submit(FAR, peer=Peer("192.0.2.78"), **FROM_FAR)
    hooked.answers[Stage.AUTHORIZE_RELAY] = Reject(text="not today")
    with pytest.raises(NoPermission):
        office.submit(FAR)


def test_rewrite_envelope(office, hooked):
    edits = (
        ChangeSender(Address("list", "localhost")),
        RemoveRecipient(Address("jsmith", "localhost")),
        AddRecipient(Recipient(Address("b", "near.example"))),
    )
    hooked.answers[Stage.REWRITE_ENVELOPE] = Continue(edits)
    assert fates(office.submit(JSMITH, FAR)) == [Fate.DELIVERED, Fate.QUEUED]
    assert office.inbox(JSMITH) == []
    entries = office.do("list").entries
    assert [str(entry.recipient.address) for entry in entries] == [FAR, "b@near.example"]
    assert {str(entry.message.envelope.sender) for entry in entries} == {"list@localhost"}
    for said, fate in ((Reject(), Fate.FAILED), (TempFail(), Fate.DEFERRED), (Discard(), Fate.DELIVERED)):
        hooked.answers[Stage.REWRITE_ENVELOPE] = said
        assert fates(office.submit(JSMITH, FAR)) == [fate, fate]
    assert office.do("count") == 2


def test_before_store(office, hooked):
    hooked.answers[Stage.BEFORE_STORE] = lambda event: Continue((AddHeader("X-For", event.target.account, 0),))
    assert fates(office.submit(JSMITH, "mbrain@localhost")) == [Fate.DELIVERED] * 2
    assert office.inbox(JSMITH)[0].startswith(b"X-For: jsmith@localhost\r\nReturn-Path: <mbrain@localhost>\r\n")
    for said, fate in ((Reject(), Fate.FAILED), (Discard(), Fate.DELIVERED)):
        hooked.answers[Stage.BEFORE_STORE] = said
        assert fates(office.submit(JSMITH)) == [fate]
    hooked.answers[Stage.BEFORE_STORE] = TempFail()
    assert fates(office.submit(JSMITH)) == [Fate.QUEUED]
    assert len(office.inbox(JSMITH)) == 1
    hooked.answers.clear()
    office.run(3600)
    assert len(office.inbox(JSMITH)) == 2


def test_quarantine_is_junk(office, hooked):
    hooked.answers[Stage.BEFORE_STORE] = Quarantine("spam")
    office.submit(JSMITH)
    assert [event.target.mailbox for event in hooked.seen if event.stage is Stage.STORED] == ["Junk"]
    hooked.answers.clear()
    hooked.seen.clear()
    office.submit(JSMITH, isQuarantined=True)
    assert [event.target.mailbox for event in hooked.seen if event.stage is Stage.STORED] == ["Junk"]


@pytest.mark.parametrize("stage", [Stage.ROUTE, Stage.BEFORE_DELIVERY])
def test_before_it_leaves(office, hooked, stage):
    hooked.answers[stage] = TempFail()
    office.submit(FAR)
    office.run(10)
    assert office.do("count") == 1 and hooked.stages[-1] == "deferred"
    hooked.answers[stage] = Discard()
    office.run(3600)
    assert office.do("count") == 0 and hooked.stages[-1] == "delivered" and office.remote.messages == []
    hooked.answers[stage] = lambda event: Reject(text="never") if event.envelope.sender else None
    office.submit(FAR)
    office.run(10)
    assert "bounced" in hooked.stages and len(office.reports()) == 1


def test_edits_before_it_leaves(office, hooked):
    hooked.answers[Stage.BEFORE_DELIVERY] = Continue((AddHeader("DKIM-Signature", "v=1", 0),))
    office.submit(FAR)
    office.run(10)
    assert office.remote.messages[0].content.startswith(b"DKIM-Signature: v=1\r\nSubject: x\r\n")


def test_what_bounces_and_what_expires(office, hooked):
    office.remote.answer = lambda line: "550 5.1.1 no" if line.startswith("RCPT") else None
    office.submit(FAR)
    office.run(10)
    assert hooked.stages.count("bounced") == 1 and hooked.stages.count("dsn_created") == 1 and len(office.reports()) == 1
    hooked.answers[Stage.DSN_CREATED] = Discard()
    office.submit(FAR)
    office.run(10)
    assert hooked.stages.count("bounced") == 2 and len(office.reports()) == 1
    office.remote.answer = lambda line: "450 later" if line.startswith("RCPT") else None
    office.submit(FAR)
    office.run(6 * 86400.0, 3600.0)
    assert hooked.stages.count("expired") == 1 and hooked.stages.count("deferred") > 10
    assert evolve(hooked.seen[-1]).stage in Stage
