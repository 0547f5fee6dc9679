"""The client with servers of every kind: what is said, and what becomes of each recipient."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.errors import Unreachable
from mailfw.sasl.wire import encode
from mailfw.smtp.client import ClientSession, Features, LoginFailed, SMTPClient, Timeouts, TLSFailed
from mailfw.smtp.client.session import xtext
from mailfw.testing.link import Link
from mailfw.testing.remote import CLOSE, FEATURES, HANG, Remote
from mailfw.values import Address, DeliverBy, Envelope, Fate, MessageSource, Recipient

SENDER = Address("me", "example.org")
CONTENT = b"Subject: x\r\n\r\n.\r\n..dots\r\nlast line"
MESSAGE = MessageSource(CONTENT)
PLAIN = ("8BITMIME", "PIPELINING")


class Call:
    """A client connected to a remote in memory, on a fake clock."""

    def __init__(self, remote=None, isLMTP=False, hello=True, timeouts=None, **link):
        self.remote = remote or Remote(isLMTP=isLMTP)
        self.clock = Clock()
        self.client = SMTPClient(self.clock)
        self.link = Link(self.client, self.remote.connection(), **link)
        now = self.clock.seconds
        self.session = ClientSession(
            self.client, "mail.example.org", host="far.example", isLMTP=isLMTP, timeouts=timeouts or Timeouts(), now=now
        )
        if hello:
            self.do(self.session.greet())

    def begin(self, coroutine):
        found = []
        Deferred.fromCoroutine(coroutine).addBoth(found.append)
        self.link.pump()
        return found

    def result(self, found):
        assert found, "it waits"
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def do(self, coroutine):
        """Its result; time passes if it must."""
        found = self.begin(coroutine)
        for _ in range(20):
            if found:
                break
            self.clock.advance(1000)
            self.link.pump()
        return self.result(found)

    def send(self, *recipients, sender=SENDER, message=MESSAGE, **envelope):
        people = [r if isinstance(r, Recipient) else Recipient(Address.parse(r)) for r in recipients or ("a@far.example",)]
        return self.do(self.session.send(Envelope(sender, **envelope), people, message))

    def fates(self, *recipients, **keywords):
        return [outcome.fate for outcome in self.send(*recipients, **keywords)]

    def done(self):
        self.do(self.session.quit())
        assert not self.clock.getDelayedCalls()


def saying(**answers):
    """A remote that answers so to commands that begin with those words (`_` is a space)."""
    table = {word.replace("_", " ").upper(): said for word, said in answers.items()}
    return lambda line: next((said for word, said in table.items() if line.upper().startswith(word)), None)


# --- What is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [FEATURES, PLAIN, ("SIZE",), ()], ids=["chunking", "pipelining", "one by one", "HELO"])
@pytest.mark.parametrize("content", [b"", b".", CONTENT, CONTENT + b"\r\n", b"x" * 200_000 + b"\r\n.\r\n" * 9])
def test_a_message_arrives_octet_for_octet(features, content):
    call = Call(Remote(features))
    (outcome,) = call.send(message=MessageSource(content, prefix=b"Received: x\r\n"))
    assert outcome.fate is Fate.DELIVERED
    assert (outcome.host, outcome.status, outcome.remark) == ("far.example", "2.0.0", "250 2.0.0 taken")
    (received,) = call.remote.messages
    sent = b"Received: x\r\n" + content
    assert received.content in ((sent,) if "CHUNKING" in features else (sent, sent + b"\r\n"))
    assert received.recipients == ["a@far.example"]
    call.done()


def test_a_file_is_streamed(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"....." * 100_000)
    call = Call()
    assert call.fates(message=MessageSource(path=str(path), offset=5, length=400_000)) == [Fate.DELIVERED]
    assert call.remote.messages[0].content == b"....." * 80_000
    call.done()


def test_a_message_is_read_as_the_server_takes_it():
    read = []

    class Watched(MessageSource):
        def chunks(self, length=65536):
            for piece in super().chunks(length):
                read.append(len(piece))
                yield piece

    call = Call(piece=4096)
    call.begin(call.session.send(Envelope(SENDER), [Recipient(SENDER)], Watched(b"x" * 1_000_000)))
    call = Call(Remote(), piece=4096)
    read.clear()
    call.link.server.isPaused = True  # the server takes nothing
    waiting = call.begin(call.session.send(Envelope(SENDER), [Recipient(SENDER)], Watched(b"x" * 1_000_000)))
    assert read == []
    call.link.server.isPaused = False
    call.link._step(call.link.client, call.link.server)
    call.link.pump()
    assert call.result(waiting)[0].fate is Fate.DELIVERED
    call.done()


def test_pipelining_sends_the_envelope_at_once():
    call = Call(Remote(PLAIN))
    sizes = []
    call.link.client.write = lambda data, write=call.link.client.write: (sizes.append(data.count(b"\r\n")), write(data))
    call.send("a@far.example", "b@far.example")
    assert sizes[0] == 4
    assert call.remote.said[0][1:] == [
        "MAIL FROM:<me@example.org>",
        "RCPT TO:<a@far.example>",
        "RCPT TO:<b@far.example>",
        "DATA",
    ]


def test_without_pipelining_each_command_waits():
    call = Call(Remote(("8BITMIME",)))
    written = []
    call.link.client.write = lambda data, write=call.link.client.write: (written.append(data), write(data))
    call.send("a@far.example", "b@far.example")
    assert all(data.count(b"\r\n") == 1 for data in written[:4])


def test_many_recipients_go_in_windows():
    call = Call(Remote(PLAIN))
    assert call.fates(*(f"u{n}@far.example" for n in range(950))) == [Fate.DELIVERED] * 950
    assert len(call.remote.messages[0].recipients) == 950


def test_parameters_are_said_to_those_who_know_them():
    features = ("SIZE", "8BITMIME", "SMTPUTF8", "DSN", "MT-PRIORITY", "DELIVERBY 60", "REQUIRETLS", "STARTTLS")
    call = Call(Remote(features))
    call.do(call.session.startTLS(None))
    people = [
        Recipient(Address("jürgen", "far.example"), frozenset(("success", "delay")), "rfc822;j+40x"),
        Recipient(Address('q"uoted', "far.example")),
        Recipient(Address("x", "far.example"), frozenset(("never",)), "not a value"),
    ]
    asked = {"returns": "hdrs", "envelopeId": "id+<1> ü", "priority": -4, "deliverBy": DeliverBy(60.0, True, True)}
    outcomes = call.send(*people, isSMTPUTF8=True, is8Bit=True, requiresTLS=True, **asked)
    assert [(o.fate, o.isReported) for o in outcomes] == [(Fate.DELIVERED, True)] * 3
    mail, *rcpt = [line for line in call.remote.lines if line[:4] in ("MAIL", "RCPT")]
    assert mail == (
        f"MAIL FROM:<me@example.org> SIZE={MESSAGE.size} BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS"
        " ENVID=id+2B<1>+20+C3+BC MT-PRIORITY=-4 BY=60;RT"
    )
    assert rcpt == [
        "RCPT TO:<jürgen@far.example> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;j+40x",
        'RCPT TO:<"q\\"uoted"@far.example> ORCPT=rfc822;"q\\"uoted"@far.example',
        "RCPT TO:<x@far.example> NOTIFY=NEVER",
    ]
    plain = Call(Remote(()))
    (outcome,) = plain.send(
        Recipient(Address("x", "far.example"), frozenset(("success",)), "rfc822;x"), priority=3, returns="full"
    )
    assert not outcome.isReported
    assert [line for line in plain.remote.lines if line[:4] in ("MAIL", "RCPT")] == [
        "MAIL FROM:<me@example.org>",
        "RCPT TO:<x@far.example>",
    ]


def test_a_priority_is_said_whatever_it_is():
    call = Call(Remote(("MT-PRIORITY",)))
    for priority in (0, 9):
        call.send(priority=priority)
    assert [message.mail.rpartition(" ")[2] for message in call.remote.messages] == ["MT-PRIORITY=0", "MT-PRIORITY=9"]


def test_the_null_sender():
    call = Call(Remote(()))
    call.send(sender=None)
    assert "MAIL FROM:<>" in call.remote.lines


def test_several_messages_on_a_connection_with_rset_after_one_that_was_broken_off():
    call = Call()
    call.remote.answer = lambda line: "550 5.1.1 nobody" if "nobody" in line else None
    assert call.fates() == [Fate.DELIVERED]
    assert call.fates("nobody@far.example") == [Fate.FAILED]
    assert call.fates() == [Fate.DELIVERED]
    verbs = [line[:4] for line in call.remote.lines]
    assert verbs == ["EHLO", "MAIL", "RCPT", "BDAT", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "BDAT"]
    assert call.session.transactions == 3
    call.done()


def test_limits_are_kept():
    call = Call(Remote(("LIMITS RCPTMAX=3 MAILMAX=2 RCPTDOMAINMAX=1",)))
    people = [Recipient(Address.parse(text)) for text in ("a@x.org", "b@x.org", "c@y.org", "d@x.org")]
    assert call.session.fitting(people) == 2
    assert call.session.fitting([people[0]] * 5) == 3
    assert call.session.mayGoOn
    call.send()
    call.send()
    assert not call.session.mayGoOn
    assert Call().session.fitting([people[0]] * 3000) == 1000


# --- Replies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [FEATURES, PLAIN, ()], ids=["chunking", "pipelining", "one by one"])
@pytest.mark.parametrize(
    ("stage", "recipients"),
    [("MAIL", "all"), ("RCPT TO:<b@", "b"), ("DATA", "all"), (".", "all")],
)
@pytest.mark.parametrize(("said", "fate"), [("450 4.7.1 later", Fate.DEFERRED), ("550 5.7.1 never", Fate.FAILED)])
def test_each_stage_may_refuse(features, stage, recipients, said, fate):
    if stage == "DATA" and "CHUNKING" in features:
        stage = "."
    call = Call(Remote(features, lambda line: said if line.startswith(stage) else None))
    outcomes = call.send("a@far.example", "b@far.example", "c@far.example")
    expected = [fate] * 3 if recipients == "all" else [Fate.DELIVERED, fate, Fate.DELIVERED]
    assert [outcome.fate for outcome in outcomes] == expected
    refused = outcomes[1]
    assert (refused.remark, refused.status, refused.host) == (said, said.split()[1], "far.example")
    assert refused.refusal.isTemporary == (fate is Fate.DEFERRED)
    assert said in refused.refusal.text
    call.remote.answer = lambda line: None
    assert call.fates() == [Fate.DELIVERED], "the connection is still good"
    call.done()


def test_a_server_that_wants_a_message_for_nobody_gets_an_empty_one():
    call = Call(Remote(PLAIN, lambda line: {"RCPT": "550 no", "DATA": "354 go on"}.get(line[:4])))
    assert call.fates() == [Fate.FAILED]
    assert [message.content for message in call.remote.messages] == [b""]
    call.remote.answer = lambda line: None
    assert call.fates() == [Fate.DELIVERED]


def test_lmtp_answers_for_each_recipient():
    call = Call(
        Remote(isLMTP=True, answer=saying(**{". b@": "452 4.2.2 full", ". d@": "550 5.2.1 shut", "rcpt_to:<c": "550 5.1.1 no"})),
        isLMTP=True,
    )
    outcomes = call.send(*(f"{name}@far.example" for name in "abcde"))
    assert [o.fate for o in outcomes] == [Fate.DELIVERED, Fate.DEFERRED, Fate.FAILED, Fate.FAILED, Fate.DELIVERED]
    assert [o.status for o in outcomes] == ["2.0.0", "4.2.2", "5.1.1", "5.2.1", "2.0.0"]
    assert call.remote.said[0][0] == "LHLO mail.example.org"
    call.done()


def test_lmtp_that_ends_midway_leaves_the_rest_deferred():
    call = Call(Remote(isLMTP=True, answer=saying(**{". b@": CLOSE})), isLMTP=True)
    assert call.fates("a@far.example", "b@far.example", "c@far.example") == [Fate.DELIVERED, Fate.DEFERRED, Fate.DEFERRED]


@pytest.mark.parametrize(
    ("said", "status", "fate"),
    [
        ("452 too many", "4.5.3", Fate.DEFERRED),
        ("552 too many", "4.5.3", Fate.DEFERRED),
        ("552 5.2.2 quota", "5.2.2", Fate.FAILED),
        ("550 4.1.1 mixed up", "5.1.1", Fate.FAILED),
        ("550-one\n550 two", "5.0.0", Fate.FAILED),
    ],
)
def test_codes_of_a_recipient(said, status, fate):
    (outcome,) = Call(Remote(PLAIN, saying(rcpt=said))).send()
    assert (outcome.status, outcome.fate) == (status, fate)


def test_reply_texts_are_bounded_and_harmless():
    text = "550 5.1.1 bad\x1b[31m \x00" + "x" * 5000
    (outcome,) = Call(Remote(PLAIN, saying(rcpt=text))).send()
    assert outcome.remark.startswith("550 5.1.1 bad?[31m ?")
    assert len(outcome.remark) == 1000


def test_421_in_the_middle_ends_the_connection():
    call = Call(Remote(PLAIN, lambda line: "421 4.3.2 going down" if "<b@" in line else None))
    outcomes = call.send("a@far.example", "b@far.example", "c@far.example")
    assert [o.fate for o in outcomes] == [Fate.DEFERRED] * 3
    assert outcomes[1].status == "4.3.2"
    assert not call.session.isOpen
    assert call.remote.messages == []


@pytest.mark.parametrize("features", [("SIZE 20",), ("SIZE 0",)])
def test_a_message_that_is_too_large_is_not_begun(features):
    call = Call(Remote(features))
    (outcome,) = call.send()
    isTooLarge = features == ("SIZE 20",)
    assert outcome.fate is (Fate.FAILED if isTooLarge else Fate.DELIVERED)
    assert outcome.status == ("5.3.4" if isTooLarge else "2.0.0")
    assert any(line.startswith("MAIL") for line in call.remote.lines) != isTooLarge


@pytest.mark.parametrize(
    ("envelope", "status"), [({"isSMTPUTF8": True}, "5.6.7"), ({"is8Bit": True}, "5.6.3"), ({"requiresTLS": True}, "5.7.30")]
)
def test_what_a_server_cannot_do_is_not_asked_of_it(envelope, status):
    (outcome,) = Call(Remote(())).send(**envelope)
    assert (outcome.fate, outcome.status) == (Fate.FAILED, status)


def test_what_is_too_late_is_not_sent_where_it_would_have_to_come_back():
    call = Call(Remote(("DELIVERBY",)))
    (outcome,) = call.send(deliverBy=DeliverBy(call.clock.seconds(), isReturned=True))
    assert (outcome.fate, outcome.status) == (Fate.FAILED, "5.4.7")
    call.send(deliverBy=DeliverBy(call.clock.seconds() + 0.3, isReturned=True))
    assert call.remote.messages[0].mail.endswith(" BY=1;R")
    slow = Call(Remote(("DELIVERBY 240",)))
    (outcome,) = slow.send(deliverBy=DeliverBy(slow.clock.seconds() + 239, isReturned=True))
    assert (outcome.fate, outcome.status, slow.remote.messages) == (Fate.FAILED, "5.3.3", [])
    assert slow.fates(deliverBy=DeliverBy(slow.clock.seconds() + 240, isReturned=True)) == [Fate.DELIVERED]
    assert slow.fates(deliverBy=DeliverBy(slow.clock.seconds() + 1)) == [Fate.DELIVERED], "who is told may be told late"


def test_addresses_never_become_commands():
    call = Call()
    bad = [
        Address("a", "x.org> SIZE=1\r\nRCPT TO:<z"),
        Address("a\r\nDATA", "x.org"),
        Address("ü", "x.org"),
        Address("", "x.org"),
    ]
    good = Address("a b", "x.org")
    outcomes = call.send(*map(Recipient, [*bad, good]))
    assert [o.fate for o in outcomes] == [Fate.FAILED] * 4 + [Fate.DELIVERED]
    assert call.fates(sender=bad[0]) == [Fate.FAILED]
    assert [line for line in call.remote.lines if line.startswith("RCPT")] == ['RCPT TO:<"a b"@x.org> ORCPT=rfc822;"a+20b"@x.org']


@given(st.text())
def test_xtext_can_be_read_back(text):
    encoded = xtext(text.encode("utf-8", "ignore").decode())
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    decoded = re.sub(rb"\+([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), encoded.encode())
    assert decoded.decode() == text.encode("utf-8", "ignore").decode()


def test_features():
    features = Features.parse(
        ["SIZE 100", "auth PLAIN LOGIN", "AUTH=CRAM-MD5", "LIMITS RCPTMAX=5 rcptdomainmax=x", "*garbage*", ""]
    )
    assert features.size == 100
    assert features.mechanisms == ("PLAIN", "LOGIN", "CRAM-MD5")
    assert features.limit("RCPTMAX") == 5
    assert features.limit("RCPTDOMAINMAX") == features.limit("MAILMAX") == 0
    assert "AUTH" in features
    assert "PIPELINING" not in features
    assert Features.parse(["SIZE", "SIZE x"]).size == 0


# --- The beginning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "isTemporary"),
    [
        ({"connect": "421 4.3.2 busy"}, True),
        ({"connect": "554 5.7.1 go away"}, False),
        ({"connect": CLOSE}, True),
        ({"connect": HANG}, True),
        ({"connect": "SSH-2.0-OpenSSH"}, True),
        ({"connect": "x" * 70_000}, True),
        ({"ehlo": "421 busy"}, True),
        ({"ehlo": "451 later"}, True),
        ({"ehlo": CLOSE}, True),
        ({"ehlo": "550 no", "helo": "550 no"}, False),
        ({"ehlo": "250-unfinished\r\n250"}, True),
        ({"ehlo": "250-a\r\n550 b"}, True),
    ],
)
def test_a_server_that_will_not_listen(answers, isTemporary):
    call = Call(Remote(answer=saying(**answers)), hello=False)
    if answers == {"ehlo": "250-unfinished\r\n250"}:
        call.do(call.session.greet())  # a reply with a bare last line is one (RFC 5321 §4.2)
    else:
        with pytest.raises(Unreachable) as caught:
            call.do(call.session.greet())
        assert caught.value.isTemporary is isTemporary
        assert caught.value.host == "far.example"
        assert caught.value.status.startswith("4" if isTemporary else "5")
        assert not call.session.isOpen
    call.done()


def test_lmtp_has_no_helo():
    call = Call(Remote(answer=saying(lhlo="500 what?")), isLMTP=True, hello=False)
    with pytest.raises(Unreachable):
        call.do(call.session.greet())


# --- TLS and login ---------------------------------------------------------------------------------------------------

SECURE = ("STARTTLS", "AUTH PLAIN", "8BITMIME")


def test_tls_begins_anew():
    call = Call(Remote(SECURE))
    call.do(call.session.startTLS(None))
    assert call.client.isTLS
    assert "STARTTLS" not in call.session.features
    assert call.fates() == [Fate.DELIVERED]
    assert call.remote.messages[0].isTLS
    assert call.remote.lines[:3] == ["EHLO mail.example.org", "STARTTLS", "EHLO mail.example.org"]
    call.done()


@pytest.mark.parametrize(
    "fault",
    [
        {"features": PLAIN},
        {"answer": saying(starttls="454 4.7.0 not now")},
        {"answer": saying(starttls="220 ready\r\n250 forged")},
        {"answer": saying(starttls="220 ready\r\n25")},
        {"answer": saying(starttls=CLOSE)},
        {"link": {"failsTLS": True}},
    ],
    ids=["not offered", "refused", "injected", "injected half", "closed", "handshake"],
)
def test_tls_that_fails(fault):
    call = Call(Remote(fault.get("features", SECURE), fault.get("answer", lambda line: None)), **fault.get("link", {}))
    with pytest.raises(Unreachable) as caught:
        call.do(call.session.startTLS(None))
    assert caught.value.isTemporary
    if "closed" not in str(fault) and fault.get("answer") is None:
        assert isinstance(caught.value, TLSFailed)
    assert not call.session.isOpen
    call.done()


def test_login_says_the_password_only_where_it_may():
    call = Call(Remote(SECURE))
    call.do(call.session.logIn("me", "secret", mayUsePlaintext=True))
    assert call.remote.lines[-1] == "AUTH PLAIN " + encode(b"\0me\0secret").decode()
    call.done()
    call = Call(Remote(SECURE))
    with pytest.raises(LoginFailed):
        call.do(call.session.logIn("me", "secret", mayUsePlaintext=False))
    assert not any("AUTH" in line for line in call.remote.lines)
    call.done()


@pytest.mark.parametrize("said", ["535 5.7.8 no", "334 bm90IGVub3VnaA==", "334 ~~~", "250 strange", CLOSE, HANG])
def test_login_that_fails(said):
    call = Call(Remote(SECURE, saying(auth=said)))
    with pytest.raises(Unreachable) as caught:
        call.do(call.session.logIn("me", "secret", mayUsePlaintext=True))
    assert caught.value.isTemporary
    assert not call.session.isOpen
    call.done()


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [FEATURES, PLAIN, ()], ids=["chunking", "pipelining", "one by one"])
@pytest.mark.parametrize("isLMTP", [False, True], ids=["smtp", "lmtp"])
def test_closing_at_any_octet_has_an_outcome_and_delivered_means_taken(features, isLMTP):
    if isLMTP and not features:
        features = ("8BITMIME",)
    whole = Call(Remote(features, isLMTP=isLMTP), isLMTP=isLMTP)
    whole.send("a@far.example", "b@far.example")
    for cut in range(whole.link.received + 1):
        call = Call(Remote(features, isLMTP=isLMTP), isLMTP=isLMTP, hello=False, cutAfter=cut)
        try:
            call.do(call.session.greet())
            outcomes = call.send("a@far.example", "b@far.example")
        except Unreachable as error:
            assert error.isTemporary
            assert call.remote.messages == []
        else:
            fates = [outcome.fate for outcome in outcomes]
            assert set(fates) <= {Fate.DELIVERED, Fate.DEFERRED}
            if Fate.DELIVERED in fates:
                assert len(call.remote.messages) == 1
            assert (fates == [Fate.DELIVERED] * 2) == (cut == whole.link.received)
        assert not call.clock.getDelayedCalls()


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
@pytest.mark.parametrize("features", [FEATURES, PLAIN, ()])
def test_however_octets_are_split(features, piece):
    call = Call(Remote(features), piece=piece)
    assert call.fates("a@far.example", "b@far.example") == [Fate.DELIVERED] * 2
    assert call.remote.messages[0].content.startswith(CONTENT)
    call.done()


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(
    "said", [CLOSE, HANG, "garbage", "354 what", "999 what", "2\x00\xff", "250-" * 10000, "221 bye", "334 dGVzdA=="]
)
def test_whatever_is_answered_has_an_outcome(stage, said):
    call = Call(Remote(PLAIN, lambda line: said if line.startswith(stage) else None))
    try:
        outcomes = call.send("a@far.example", "b@far.example")
    except Unreachable as error:
        assert stage == "MAIL"
        assert error.isTemporary
    else:
        isReasonable = (stage, said) in (("DATA", "354 what"),) or said == "221 bye"
        assert isReasonable or {o.fate for o in outcomes} == {Fate.DEFERRED}
        assert all(o.status for o in outcomes)
    call.done()


@pytest.mark.parametrize(
    ("stage", "seconds"), [("CONNECT", 300), ("EHLO", 300), ("MAIL", 300), ("RCPT", 300), ("DATA", 120), (".", 600)]
)
def test_each_stage_has_its_deadline(stage, seconds):
    call = Call(Remote((), lambda line: HANG if line.startswith(stage) else None), hello=False)

    async def all():
        await call.session.greet()
        return await call.session.send(Envelope(SENDER), [Recipient(SENDER)], MESSAGE)

    waiting = call.begin(all())
    call.clock.advance(seconds - 1)
    assert not waiting
    call.clock.advance(1)
    assert waiting
    text = str(waiting[0].value if hasattr(waiting[0], "value") else waiting[0][0].remark)
    assert f"within {seconds} seconds" in text
    call.link.pump()


def test_a_server_that_does_not_take_the_message():
    call = Call(Remote(("8BITMIME",)))
    call.remote.answer = lambda line: call.link.server.pauseProducing() if line == "DATA" else None
    waiting = call.begin(call.session.send(Envelope(SENDER), [Recipient(SENDER)], MessageSource(b"x" * 1_000_000)))
    call.clock.advance(179)
    assert not waiting
    call.clock.advance(1)
    assert call.result(waiting)[0].fate is Fate.DEFERRED
    call.link.pump()


def test_deadlines_can_be_shorter_but_the_end_of_a_message_keeps_its_time():
    timeouts = Timeouts().capped(30)
    assert (timeouts.greeting, timeouts.command, timeouts.dataBlock, timeouts.quit) == (30, 30, 30, 5)
    assert timeouts.dataTermination == 600


def test_an_answer_given_while_the_message_is_sent_counts():
    call = Call(Remote(("CHUNKING",)))

    def early(line):
        call.link.server.write(b"552 5.3.4 too much\r\n")
        call.link.server.loseConnection()

    call.link.server.protocol._doBdat = early
    (outcome,) = call.send(message=MessageSource(b"x" * 300_000))
    assert (outcome.fate, outcome.status) == (Fate.FAILED, "5.3.4")


def test_a_message_that_cannot_be_read_is_not_sent_as_if_it_were_whole(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"short")
    for features in (FEATURES, PLAIN):
        call = Call(Remote(features))
        (outcome,) = call.send(message=MessageSource(path=str(path), length=100))
        assert outcome.fate is Fate.DEFERRED
        assert call.remote.messages == []
        assert call.clock.getDelayedCalls() == []


def test_a_flood_of_answers_is_not_read():
    call = Call()
    for _ in range(200):
        call.link.server.write(b"250 unasked\r\n")
    call.link.pump()
    assert call.link.client.isPaused
    call.link.cut(ConnectionError())


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.sampled_from(["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."])
)
def test_any_octets_at_any_stage(pieces, stage):
    call = Call(Remote(PLAIN), hello=False)
    real = call.link.server.protocol._reply

    def reply(line, usual):
        if not line.startswith(stage):
            return real(line, usual)
        for piece in pieces:
            call.link.server.write(piece)
        return False

    call.link.server.output.clear()
    call.link.server.protocol._reply = reply
    reply("CONNECT", "220 x")
    try:
        call.do(call.session.greet())
        outcomes = call.send()
    except Unreachable:
        pass
    else:
        assert outcomes[0].fate is not Fate.DELIVERED or stage != "." or any(b"2" in piece for piece in pieces)
    call.done()
