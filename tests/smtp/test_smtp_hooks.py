"""What hooks do to a session: at every stage, and to every promise."""

import pytest
from attrs import evolve
from twisted.internet.task import deferLater

from mailfw.errors import Unavailable
from mailfw.hooks.runner import Attached, Hooks
from mailfw.stages import (
    Accept,
    AddHeader,
    AddRecipient,
    ChangeSender,
    Continue,
    Discard,
    Disconnect,
    Quarantine,
    Reject,
    RemoveRecipient,
    ReplaceBody,
    Stage,
    TempFail,
)
from mailfw.testing.now import result
from mailfw.testing.world import World
from mailfw.values import Address, Recipient

LOGIN = "AUTH PLAIN AG1icmFpbgBtYWlsZnc="
MBRAIN = Address("mbrain", "localhost")


@pytest.fixture
def hooked(connect, tmp_path):
    """A client of a server with a hook at each stage: it notes what it sees, and answers what `answers` says."""
    made = []

    class Hooked:
        def __init__(self, service="smtp", stages=tuple(Stage), answers=None, **keywords):
            self.seen = []
            self.answers = answers or {}
            self.world = World(directory=str(tmp_path / "spool"))
            self.world.context.xclient = keywords.pop("xclient", self.world.context.xclient)
            hooks = Hooks({stage: [Attached("test", self.hook)] for stage in stages}, self.world.clock)
            made.append(hooks)
            self.world.context.hooks = hooks
            self.client = connect(service, world=self.world, **keywords)

        def hook(self, event):
            self.seen.append(event)
            return self.answers.get(event.stage)

        @property
        def stages(self):
            return [event.stage.value for event in self.seen]

        @property
        def messages(self):
            return self.world.context.router.messages

    yield Hooked
    for hooks in made:
        result(hooks.close())


def test_every_stage_of_a_session_is_seen(hooked):
    test = hooked()
    client = test.client
    client.say("XYZZY")
    client.deliver(b"Subject: x\r\nX-Two:  lines\r\n\there\r\n\r\nbody", "jsmith@localhost", "mbrain@localhost")
    client.say(LOGIN, "RSET", "STARTTLS", "EHLO again")
    client.transport.hangUp()
    assert test.stages == [
        "connect", "ehlo", "unknown_command", "mail_from", "rcpt_to", "rcpt_to", "data", "header", "header", "body_chunk",
        "end_of_message", "auth", "rset", "starttls", "ehlo", "disconnect",
    ]  # fmt: skip
    by = {event.stage: event for event in reversed(test.seen)}
    assert by[Stage.CONNECT].client.peer.host == "127.0.0.1" and by[Stage.CONNECT].client.service == "smtp"
    assert by[Stage.EHLO].client.hello == "client.example"
    assert by[Stage.UNKNOWN_COMMAND].argument == "XYZZY"
    assert by[Stage.AUTH].argument == "PLAIN" and by[Stage.AUTH].client.identity.account == "mbrain@localhost"
    assert by[Stage.MAIL_FROM].envelope.sender == Address("sender", "example.org")
    assert by[Stage.RCPT_TO].recipient.address.local == "jsmith"
    assert len(by[Stage.DATA].envelope.recipients) == 2
    fields = [event.header for event in test.seen if event.stage is Stage.HEADER]
    assert fields == [("Subject", "x"), ("X-Two", "lines\r\n\there")]
    assert by[Stage.BODY_CHUNK].chunk == b"body\r\n"
    assert by[Stage.END_OF_MESSAGE].message.read().startswith(b"Subject: x\r\n")
    assert test.seen[-1].client.tls and test.seen[-1].client.identity is None
    assert len({id(event.client.notes) for event in test.seen}) == 1


def test_quit_and_the_end(hooked):
    test = hooked(stages=[Stage.QUIT, Stage.DISCONNECT])
    test.client.say("QUIT")
    test.client.transport.hangUp()
    assert test.stages == ["quit", "disconnect"]


AT_ONCE = [Stage.EHLO, Stage.MAIL_FROM, Stage.RCPT_TO, Stage.DATA, Stage.HEADER, Stage.BODY_CHUNK, Stage.END_OF_MESSAGE]


REFUSALS = [Reject(553, "5.7.9", "no"), TempFail(), Disconnect(450, "4.7.7", "go")]


@pytest.mark.parametrize("said", REFUSALS, ids=lambda said: type(said).__name__)
@pytest.mark.parametrize("stage", AT_ONCE, ids=lambda stage: stage.value)
def test_a_refusal_at_any_stage(hooked, stage, said):
    test = hooked(answers={stage: said}, hello=False)
    client = test.client
    codes = []
    for command in ("EHLO x", "MAIL FROM:<>", "RCPT TO:<jsmith@localhost>", "DATA", "Subject: x\r\n\r\nx\r\n."):
        if client.isClosed:
            break
        (answer,) = client.say(command)
        codes.append((answer.code, answer.enhanced, answer.text))
        if answer.code >= 400:
            break
    assert codes[-1] == (said.code, said.enhanced, said.text)
    assert client.transport.isWriteClosed or client.isClosed if isinstance(said, Disconnect) else client.codes("NOOP") == [250]
    assert test.messages == []


def test_refused_at_connect(hooked):
    for said, code in ((Reject(554, "5.7.1", "no"), 554), (TempFail(421, "4.7.1", "later"), 421)):
        client = hooked(answers={Stage.CONNECT: said}, hello=False).client
        assert [reply.code for reply in client.greeting] == [code]
        assert client.transport.isWriteClosed or client.isClosed


def test_a_login_that_a_hook_does_not_want(hooked):
    test = hooked("submission", answers={Stage.AUTH: Reject(535, "5.7.8", "not today")})
    assert test.client.codes(LOGIN, "MAIL FROM:<mbrain@localhost>") == [535, 530]


def test_starttls_and_unknown_commands(hooked):
    test = hooked(answers={Stage.STARTTLS: TempFail(454, "4.7.0", "no TLS"), Stage.UNKNOWN_COMMAND: Reject(502, "5.5.1", "nope")})
    assert test.client.codes("STARTTLS", "ETRN x", "NOOP") == [454, 502, 250]


@pytest.mark.parametrize("stage", AT_ONCE[1:], ids=lambda stage: stage.value)
def test_discarded_is_said_to_be_taken(hooked, stage):
    test = hooked(answers={stage: Discard()})
    (said,) = test.client.deliver(b"Subject: x\r\n\r\nx")
    assert said.code == 250 and test.messages == []
    test.answers.clear()
    (said,) = test.client.deliver(b"Subject: x\r\n\r\nx")
    assert said.code == 250 and len(test.messages) == 1


@pytest.mark.parametrize("stage", AT_ONCE[1:], ids=lambda stage: stage.value)
def test_quarantined_is_in_the_envelope(hooked, stage):
    test = hooked(answers={stage: Quarantine("spam")}, stages=[stage])
    (said,) = test.client.deliver(b"Subject: x\r\n\r\nx")
    assert said.code == 250
    (message,) = test.messages
    assert message.envelope.isQuarantined and [r.address.local for r in message.recipients] == ["jsmith"]


def test_edits_are_carried_out(hooked):
    edits = (
        AddHeader("X-Spam", "no", 0),
        ReplaceBody(b"another\r\n"),
        AddRecipient(Recipient(MBRAIN)),
        AddRecipient(Recipient(Address("nobody", "localhost"))),
        RemoveRecipient(Address("jsmith", "localhost")),
        ChangeSender(None),
    )
    test = hooked(answers={Stage.END_OF_MESSAGE: Continue(edits)})
    (said,) = test.client.deliver(b"Subject: x\r\n\r\nbody")
    assert said.code == 250
    (message,) = test.messages
    assert message.envelope.sender is None and [r.address for r in message.recipients] == [MBRAIN]
    assert message.content.startswith(b"Received: ") and message.content.endswith(b"X-Spam: no\r\nSubject: x\r\n\r\nanother\r\n")


def test_a_sender_changed_at_mail_is_the_deliverys(hooked):
    test = hooked(answers={Stage.MAIL_FROM: Accept((ChangeSender(MBRAIN),))})
    test.client.deliver(b"Subject: x\r\n\r\nbody")
    assert test.messages[0].envelope.sender == MBRAIN
    assert test.world.context.router.aborted == 0


def test_nobody_left_is_nobody_told(hooked):
    test = hooked(answers={Stage.END_OF_MESSAGE: Continue((RemoveRecipient(Address("jsmith", "localhost")),))})
    (said,) = test.client.deliver(b"Subject: x\r\n\r\nbody")
    assert said.code == 250 and test.messages == []


def test_lmtp_answers_whom_the_client_named(hooked):
    edits = (RemoveRecipient(Address("jsmith", "localhost")), AddRecipient(Recipient(Address("mbrain+x", "localhost"))))
    test = hooked("lmtp", answers={Stage.END_OF_MESSAGE: Continue(edits)})
    said = test.client.deliver(b"Subject: x\r\n\r\nx", "mbrain@localhost", "jsmith@localhost")
    assert [(reply.code, reply.text.partition(">")[0]) for reply in said] == [
        (250, "<mbrain@localhost"), (250, "<jsmith@localhost"),
    ]  # fmt: skip
    test.answers = {Stage.END_OF_MESSAGE: Reject()}
    assert [r.code for r in test.client.deliver(b"Subject: x\r\n\r\nx", "mbrain@localhost", "jsmith@localhost")] == [550, 550]


def test_a_recipient_that_is_no_longer_known_defers_it(hooked, monkeypatch):
    test = hooked(answers={Stage.END_OF_MESSAGE: Continue((ChangeSender(None),))})
    test.client.begin()
    test.client.say("DATA")
    resolve = test.world.directory.resolve

    async def fails(address):
        raise Unavailable("gone for now")

    monkeypatch.setattr(test.world.directory, "resolve", fails)
    (said,) = test.client.send(b"Subject: x\r\n\r\n.\r\n")
    assert said.code == 451 and test.messages == []
    monkeypatch.setattr(test.world.directory, "resolve", resolve)
    assert test.client.deliver(b"Subject: x\r\n")[0].code == 250


def test_submissions_are_complete_before_hooks_see_them(hooked):
    test = hooked("submission")
    test.client.say(LOGIN)
    test.client.begin(sender="<mbrain@localhost>")
    test.client.say("DATA")
    test.client.send(b"Subject: x\r\nBcc: a@b\r\n\r\nx\r\n.\r\n")
    (event,) = [event for event in test.seen if event.stage is Stage.END_OF_MESSAGE]
    seen = event.message.read()
    assert b"Date: " in seen and b"Message-ID: " in seen and b"Bcc" not in seen and b"Received" not in seen


def test_a_message_that_comes_while_a_hook_thinks_is_not_taken(hooked):
    test = hooked(stages=[Stage.DATA])

    class Slow:
        async def __call__(self, event):
            await deferLater(test.world.clock, 2)

    test.world.context.hooks._chains = {Stage.DATA: (Attached("slow", Slow()),)}
    test.client.begin()
    assert test.client.send(b"DATA\r\n") == []
    assert test.client.send(b"MAIL FROM:<evil@example.org>\r\n") == []
    (said,) = test.client.wait(3)
    assert said.code == 503 and test.messages == []
    assert test.client.transport.isWriteClosed or test.client.isClosed


def test_a_large_message_is_never_whole_in_memory(hooked):
    test = hooked(answers={Stage.END_OF_MESSAGE: Continue((AddHeader("X", "y", 0),))})
    body = (b"z" * 70 + b"\r\n") * 5000
    (said,) = test.client.deliver(b"Subject: x\r\n\r\n" + body)
    assert said.code == 250
    (event,) = [event for event in test.seen if event.stage is Stage.END_OF_MESSAGE]
    assert event.message.path and not event.message.data
    chunks = [event.chunk for event in test.seen if event.stage is Stage.BODY_CHUNK]
    assert b"".join(chunks) == body + b"\r\n" and max(map(len, chunks)) <= 65536
    assert test.messages[0].content.endswith(body + b"\r\n") and b"\r\nX: y\r\nSubject" in test.messages[0].content


def test_chunked_messages_meet_the_same_hooks(hooked):
    test = hooked(answers={Stage.DATA: Reject(554, "5.7.1", "no")})
    test.client.begin()
    assert [r.code for r in test.client.send(b"BDAT 3\r\nabc")] == [554]
    test.answers.clear()
    assert [r.code for r in test.client.send(b"BDAT 2 LAST\r\n\r\n")] == [503], "the end of a message is not all of it"
    assert test.messages == []
    test.client.begin()
    assert [r.code for r in test.client.send(b"BDAT 3\r\nabcBDAT 2 LAST\r\n\r\n")] == [250, 250]
    assert test.stages.count("data") == 2 and evolve(test.seen[0]).stage is Stage.CONNECT
