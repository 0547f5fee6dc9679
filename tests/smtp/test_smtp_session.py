"""What the commands mean, in each role."""

import base64
import os
import re

import pytest
from attrs import evolve
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.logger import formatEvent, globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mailfw.errors import AuthenticationUnavailable, MessageRefused, NoSuchRecipient, Unavailable
from mailfw.interfaces import IDelivery, IMailService, IRouter
from mailfw.net.limits import Limits
from mailfw.net.spool import Spool
from mailfw.sasl.exchange import Logins
from mailfw.sasl.scram import ScramClient
from mailfw.sasl.verifier import Verifier
from mailfw.smtp.role import MTA
from mailfw.smtp.server import SMTPServer, SMTPService, lmtp, smtp, submission, submissions
from mailfw.values import Address, Envelope, Fate, Identity, Outcome, Recipient, Resolution, Target

SERVICES = {service.name: service for service in (smtp, submission, submissions, lmtp)}
MESSAGE = b"Subject: x\r\n\r\nhello"
LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0mbrain\0mailfw").decode()


# --- The order of commands ---------------------------------------------------------------------------------------------


def test_greeting_and_hello(connect):
    client = connect(hello=False)
    assert [r.lines for r in client.greeting] == [("mail.localhost ESMTP mailfw",)]
    (said,) = client.say("HELO test")
    assert said.lines == ("mail.localhost",)
    (said,) = client.say("EHLO test")
    assert said.lines[0] == "mail.localhost"
    assert "SIZE 52428800" in said.lines


@pytest.mark.parametrize("line", ["MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "AUTH PLAIN", "BDAT 0"])
def test_before_hello(connect, line):
    client = connect(hello=False)
    assert client.codes(line, "NOOP", "RSET", "HELP", "VRFY x", "EXPN x") == [503, 250, 250, 214, 252, 252]


def test_commands_out_of_order(connect):
    client = connect()
    assert client.codes("RCPT TO:<jsmith@localhost>", "DATA") == [503, 503]
    assert client.codes("MAIL FROM:<>", "MAIL FROM:<>", "DATA") == [250, 503, 503]
    assert client.codes("AUTH PLAIN") == [503]
    assert client.codes("RSET", "MAIL FROM:<>", "RSET", "RCPT TO:<jsmith@localhost>") == [250, 250, 250, 503]


def test_hello_forgets_the_message_under_way(connect):
    client = connect()
    client.begin()
    client.say("EHLO again")
    assert client.codes("DATA") == [503]
    assert client.world.context.router.aborted == 1


@pytest.mark.parametrize("line", ["QUIT", "quit"])
def test_quit(connect, line):
    client = connect()
    client.begin()
    assert client.codes(line) == [221]
    assert client.isClosed
    assert client.world.context.router.aborted == 1


def test_a_connection_that_is_lost_aborts_the_message(connect):
    client = connect()
    client.begin()
    client.say("DATA")
    client.send(MESSAGE)
    client.transport.hangUp()
    assert client.world.context.router.aborted == 1
    assert client.messages == []


def test_help(connect):
    client = connect()
    (said,) = client.say("HELP")
    commands = {
        "HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "HELP", "VRFY", "EXPN", "VERB",
        "STARTTLS", "AUTH",
    }  # fmt: skip
    assert set(said.lines[1].split()) == commands
    for command in commands:
        (explained,) = client.say(f"HELP {command.lower()}")
        assert explained.code == 214
        assert explained.text.startswith(command)
    assert client.codes("HELP LHLO", "HELP xyzzy") == [504, 504]
    (said,) = connect("lmtp").say("HELP")
    assert "LHLO" in said.lines[1].split()
    assert "EHLO" not in said.lines[1].split()


def test_enhanced_codes_stand_where_they_belong(connect):
    client = connect()
    client.begin()
    for line, enhanced in [("NOOP", "2.0.0"), ("XX", "5.5.2"), ("DATA", ""), (".", "2.0.0"), ("EHLO x", ""), ("QUIT", "2.0.0")]:
        (said,) = client.say(line)
        assert said.enhanced == enhanced, line


# --- Messages ----------------------------------------------------------------------------------------------------------


def test_a_message_arrives_stamped_and_otherwise_as_it_was(connect):
    client = connect(peer=connect.abroad)
    (said,) = client.deliver(b"Subject: x\r\n\r\n..\r\n.hidden\r\n...\r\n" + bytes(range(128, 256)))
    assert said.code == 250
    (message,) = client.messages
    assert message.envelope == Envelope(Address("sender", "example.org"))
    assert message.recipients == [Recipient(Address("jsmith", "localhost"))]
    stamped, content = message.content.split(b"+0000\r\n", 1)
    assert content == b"Subject: x\r\n\r\n.\r\nhidden\r\n..\r\n" + bytes(range(128, 256)) + b"\r\n"
    messageId = said.text.rpartition(" ")[2].encode()
    assert stamped == (
        b"Received: from client.example ([192.0.2.7])\r\n"
        b"\tby mail.localhost with ESMTP id " + messageId + b"\r\n"
        b"\tfor <jsmith@localhost>;\r\n"
        b"\tMon, 21 Sep 2026 14:13:20 "
    )


def test_received_names_no_recipient_when_there_are_several(connect):
    client = connect()
    client.deliver(MESSAGE, "jsmith@localhost", "mbrain@localhost")
    assert b"for <" not in client.messages[0].content


@pytest.mark.parametrize(
    ("service", "lines", "protocol"),
    [
        ("smtp", ["HELO a"], b"SMTP"),
        ("smtp", ["EHLO a"], b"ESMTP"),
        ("smtp", ["EHLO a", LOGIN], b"ESMTPA"),
        ("smtp", ["EHLO a", "STARTTLS", "EHLO a"], b"ESMTPS (TLS)"),
        ("submission", ["EHLO a", "STARTTLS", "EHLO a", LOGIN], b"ESMTPSA (TLS)"),
        ("submissions", ["EHLO a", LOGIN], b"ESMTPSA (TLS)"),
        ("lmtp", ["LHLO a"], b"LMTP"),
        ("lmtp", ["LHLO a", "STARTTLS", "LHLO a"], b"LMTPS (TLS)"),
    ],
)
def test_received_says_with_what_the_message_came(connect, service, lines, protocol):
    client = connect(service, hello=False)
    client.say(*lines)
    client.begin(sender="<mbrain@localhost>")
    client.say("DATA", MESSAGE, ".")
    assert b" with " + protocol + b" id " in client.messages[0].content


def test_received_of_other_peers(connect):
    for peer, origin in [(IPv6Address("TCP", "2001:db8::1", 1), b"([IPv6:2001:db8::1])"), (UNIXAddress(b"/x\n"), b"(local)")]:
        client = connect(peer=peer)
        client.deliver(MESSAGE)
        assert client.messages[0].content.startswith(b"Received: from client.example " + origin + b"\r\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"hello\r\nworld", b"\r\nhello\r\nworld\r\n"),
        (b"", b"\r\n"),
        (b"\r\nhello", b"\r\nhello\r\n"),
        (b"From x Thu\r\nSubject: y\r\n\r\nz", b"From x Thu\r\nSubject: y\r\n\r\nz\r\n"),
        (b"Subject : y\r\n\r\nz", b"Subject : y\r\n\r\nz\r\n"),
        (b"no field here: y\r\n\r\nz", b"\r\nno field here: y\r\n\r\nz\r\n"),
    ],
)
def test_a_message_without_a_header_gets_the_empty_line(connect, content, expected):
    client = connect()
    client.deliver(content)
    assert client.messages[0].content.split(b"+0000\r\n", 1)[1] == expected


def test_an_empty_message(connect):
    client = connect()
    client.begin()
    assert client.codes("DATA", ".") == [354, 250]


def test_two_messages_have_two_ids(connect):
    client = connect()
    (first,), (second,) = client.deliver(MESSAGE), client.deliver(MESSAGE)
    assert first.text != second.text


def test_pipelined_transactions(connect):
    client = connect()
    envelope = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<jsmith@localhost>\r\nRCPT TO:<nobody@localhost>\r\nDATA\r\n"
    assert [r.code for r in client.send(envelope)] == [250, 250, 550, 354]
    said = client.send(MESSAGE + b"\r\n.\r\n" + envelope)
    assert [r.code for r in said] == [250, 250, 250, 550, 354]
    assert [r.code for r in client.send(MESSAGE + b"\r\n.\r\nQUIT\r\n")] == [250, 221]
    assert len(client.messages) == 2


def test_a_large_message_goes_through_the_spool_and_leaves_no_file(connect, tmp_path):
    client = connect(directory=str(tmp_path))
    body = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 50_000
    client.begin()
    client.say("DATA")
    client.send(body)
    assert len(os.listdir(tmp_path)) == 1
    assert [r.code for r in client.send(b".\r\n")] == [250]
    assert client.messages[0].content.endswith(body)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_a_temporary_failure(connect, tmp_path):
    client = connect(directory=str(tmp_path / "gone"))
    (tmp_path / "gone").rmdir()
    (said,) = client.deliver(b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 50_000)
    assert (said.code, said.enhanced) == (452, "4.3.1")
    assert client.codes("NOOP") == [250]


def test_a_disk_that_fills_up_at_the_end_is_a_temporary_failure_for_each(connect, monkeypatch):
    def full(spool):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "finish", full)
    client = connect("lmtp")
    assert [r.code for r in client.deliver(MESSAGE, "jsmith@localhost", "mbrain@localhost")] == [452, 452]
    assert client.codes("NOOP") == [250]


def test_a_message_over_the_limit_is_read_and_refused(connect):
    client = connect(limits=Limits(messageSize=1000))
    (said,) = client.deliver(MESSAGE + b"x" * 1000)
    assert (said.code, said.enhanced) == (552, "5.3.4")
    assert [r.code for r in client.deliver(b"A: b\r\n\r\n" + b"x" * 990)] == [250]


def test_a_message_far_over_the_limit_is_not_heard_out(connect):
    client = connect(limits=Limits(messageSize=1000))
    client.begin()
    client.say("DATA")
    said = []
    for _ in range(100):
        said += client.send(b"x" * 98 + b"\r\n")
    assert [r.code for r in said] == [552]
    assert client.isClosed


def test_a_header_over_its_bound_is_refused(connect):
    (said,) = connect().deliver(b"X-Long: " + b"x" * 60_000 + (b"\r\n " + b"x" * 60_000) * 18 + b"\r\n\r\nhello")
    assert (said.code, said.enhanced) == (552, "5.3.4")


# --- Outcomes ----------------------------------------------------------------------------------------------------------


def test_the_reply_promises_for_all_recipients_or_none(connect):
    client = connect()
    client.world.context.router.outcomes["jsmith@localhost"] = Outcome(Fate.DEFERRED, Unavailable("disk full"))
    (said,) = client.deliver(MESSAGE, "jsmith@localhost", "mbrain@localhost")
    assert (said.code, said.text) == (451, "disk full (1 of 2 recipients have it)")


def test_verb_tells_what_became_of_each_recipient(connect):
    client = connect()
    assert client.codes("VERB") == [250]
    (said,) = client.deliver(MESSAGE, "jsmith@localhost", "mbrain@localhost")
    assert said.code == 250
    assert said.lines[:2] == ("<jsmith@localhost> delivered", "<mbrain@localhost> delivered")
    assert client.codes("VERB OFF") == [250]
    (said,) = client.deliver(MESSAGE)
    assert len(said.lines) == 1


@implementer(IRouter, IDelivery)
class BrokenRouter:
    """Fails where it is told to, with what it is told to."""

    isQueueing = False

    def __init__(self, **errors):
        self.errors = errors
        self.aborted = 0

    def begin(self, envelope, peer):
        return self

    def fail(self, where):
        if where in self.errors:
            raise self.errors[where]

    async def recipient(self, recipient):
        self.fail("recipient")

    async def commit(self, message):
        self.fail("commit")
        return self.errors.get("outcomes", [])

    def abort(self):
        self.aborted += 1


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), Unavailable()])
def test_a_router_that_fails_costs_a_temporary_failure(connect, error):
    client = connect(router=BrokenRouter(recipient=error))
    assert client.codes("MAIL FROM:<>", "RCPT TO:<a@localhost>", "DATA", "NOOP") == [250, 451, 554, 250]
    for service, count in [("smtp", 1), ("lmtp", 2)]:
        router = BrokenRouter(commit=error)
        client = connect(service, router=router)
        said = client.deliver(MESSAGE, "a@localhost", "b@localhost")
        assert [r.code for r in said] == [451] * count
        assert not any("secret" in r.text for r in said)
        assert client.codes("NOOP", "QUIT") == [250, 221]
        assert router.aborted == 0


def test_a_delivery_can_refuse_a_message_for_good(connect):
    client = connect("lmtp", router=BrokenRouter(commit=MessageRefused("no, thanks")))
    said = client.deliver(MESSAGE, "a@localhost", "b@localhost")
    assert [(r.code, r.text) for r in said] == [(554, "<a@localhost> no, thanks"), (554, "<b@localhost> no, thanks")]


def test_a_router_that_forgets_a_recipient_is_not_believed(connect):
    client = connect(router=BrokenRouter(outcomes=[Outcome(Fate.DELIVERED)]))
    assert [r.code for r in client.deliver(MESSAGE, "a@localhost", "b@localhost")] == [451]


# --- CHUNKING ----------------------------------------------------------------------------------------------------------


def test_bdat(connect):
    client = connect()
    client.begin()
    said = client.send(b"BDAT 12\r\nSubject: x\r\nBDAT 9\r\n\r\n.\r\nab\r\nBDAT 0 LAST\r\nNOOP\r\n")
    assert [r.code for r in said] == [250, 250, 250, 250]
    assert client.messages[0].content.endswith(b"Subject: x\r\n\r\n.\r\nab\r\n")


def test_bdat_pipelined_with_its_envelope(connect):
    client = connect()
    transaction = b"MAIL FROM:<>\r\nRCPT TO:<jsmith@localhost>\r\nBDAT 19 LAST\r\n" + MESSAGE + b"\r\n"[:0]
    assert len(MESSAGE) == 19
    assert [r.code for r in client.send(transaction * 3)] == [250, 250, 250] * 3
    assert len(client.messages) == 3


def test_octets_of_a_refused_chunk_are_no_commands(connect):
    client = connect()
    assert [r.code for r in client.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")] == [503, 250]
    client.say("MAIL FROM:<>")
    assert [r.code for r in client.send(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")] == [503, 250]
    client.say("RCPT TO:<nobody@localhost>")
    assert [r.code for r in client.send(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")] == [554, 250]


def test_data_and_bdat_do_not_mix(connect):
    client = connect()
    client.begin()
    assert [r.code for r in client.send(b"BDAT 2\r\nab")] == [250]
    assert client.codes("DATA", "RCPT TO:<jsmith@localhost>", "MAIL FROM:<>", "RSET", "DATA") == [503, 503, 503, 250, 503]


def test_chunks_over_the_limit(connect):
    client = connect(limits=Limits(messageSize=100))
    client.begin()
    assert [r.code for r in client.send(b"BDAT 60\r\n" + b"x" * 60)] == [250]
    assert [r.code for r in client.send(b"BDAT 60\r\n" + b"x" * 60)] == [552]
    assert [r.code for r in client.send(b"BDAT 60 LAST\r\n" + b"x" * 60)] == [503]
    client.begin()
    assert client.codes("BDAT 201") == [552]
    assert client.isClosed


def test_many_chunks_far_over_the_limit_are_cut_off(connect):
    client = connect("lmtp", limits=Limits(messageSize=100))
    client.begin("jsmith@localhost", "mbrain@localhost")
    assert [r.code for r in client.send(b"BDAT 90\r\n" + b"x" * 90)] == [250]
    assert [r.code for r in client.send(b"BDAT 150\r\n" + b"x" * 150)] == [552]
    assert client.isClosed


# --- SMTPUTF8 ----------------------------------------------------------------------------------------------------------


def test_smtputf8(connect):
    client = connect()
    client.world.directory.aliases["jürgen@localhost"] = Resolution((Target("jsmith@localhost"),))
    (said,) = client.say("MAIL FROM:<böb@bücher.example> SMTPUTF8")
    assert (said.code, said.text) == (250, "<böb@bücher.example> sender OK")
    assert client.codes("RCPT TO:<jürgen@localhost>", "DATA") == [250, 354]
    client.send(MESSAGE + b"\r\n.\r\n")
    assert client.messages[0].envelope.isSMTPUTF8
    assert " with UTF8SMTP id " in client.messages[0].content.decode()
    assert "for <jürgen@localhost>" in client.messages[0].content.decode()


def test_replies_are_ascii_for_those_who_did_not_ask(connect):
    client = connect()
    client.transport.send("MAIL FROM:<böb@bücher.example>\r\nHELP ü\r\n".encode())
    assert client.transport.take().isascii()


# --- VRFY, EXPN --------------------------------------------------------------------------------------------------------


def test_vrfy_and_expn_tell_strangers_nothing(connect):
    client = connect()
    said = client.say("VRFY jsmith", "VRFY nobody", "EXPN staff", "EXPN nobody")
    assert {(r.code, r.lines) for r in said} == {(252, said[0].lines)}


def test_vrfy_and_expn_tell_people_of_ours_the_truth(connect):
    client = connect()
    client.world.directory.aliases["staff@localhost"] = Resolution(
        (Target("jsmith@localhost"), Target("mbrain@localhost")), (Address("x", "example.org"),)
    )
    client.say(LOGIN)
    (said,) = client.say("VRFY jsmith")
    assert (said.code, said.text) == (250, "<jsmith@localhost>")
    assert client.codes("VRFY <jsmith@localhost>", "VRFY nobody", "VRFY a@example.org", "VRFY a b") == [250, 550, 252, 501]
    (said,) = client.say("EXPN staff")
    assert (said.code, said.lines) == (250, ("<jsmith@localhost>", "<mbrain@localhost>", "<x@example.org>"))
    assert client.codes("EXPN jsmith", "EXPN @") == [550, 501]


# --- AUTH --------------------------------------------------------------------------------------------------------------


def test_auth_plain(connect):
    client = connect()
    assert client.codes(LOGIN, LOGIN) == [235, 503]
    assert client.connection.account == "mbrain@localhost"
    client.begin(sender="<mbrain@localhost>")
    client.say("DATA", MESSAGE, ".")
    assert client.messages[0].envelope.identity == Identity("mbrain@localhost")


def test_auth_in_steps(connect):
    client = connect()
    (said,) = client.say("AUTH PLAIN")
    assert (said.code, said.text) == (334, "")
    assert client.codes(base64.b64encode(b"\0mbrain\0mailfw")) == [235]
    client = connect()
    (name,) = client.say("AUTH LOGIN")
    (password,) = client.say(base64.b64encode(b"mbrain"))
    assert [base64.b64decode(r.text) for r in (name, password)] == [b"Username:", b"Password:"]
    assert client.codes(base64.b64encode(b"mailfw")) == [235]


def test_auth_can_be_cancelled(connect):
    client = connect()
    assert client.codes("AUTH LOGIN", "*", "NOOP", "AUTH LOGIN", "!", "NOOP") == [334, 501, 250, 334, 501, 250]


def test_commands_are_no_responses(connect):
    client = connect()
    assert client.codes("AUTH PLAIN", "QUIT", "NOOP") == [334, 501, 250]


def test_auth_that_cannot_be_decided(connect):
    client = connect()

    async def unavailable(credentials):
        raise AuthenticationUnavailable

    client.world.users.authenticate = unavailable
    assert client.codes(LOGIN, "NOOP") == [454, 250]


def test_auth_scram(connect):
    class Verifiers:
        def mechanisms(self):
            return ("SCRAM-SHA-256",)

        async def verifier(self, user, mechanism):
            return Verifier.fromPassword(mechanism, "mailfw", b"salt", 4096)

        async def identify(self, user):
            return Identity("mbrain@localhost")

    client = connect(hello=False, peer=connect.abroad)
    client.world.context.logins = Logins(client.world.users, Verifiers(), secret=b"x")
    (hello,) = client.say("EHLO x")
    assert "AUTH SCRAM-SHA-256" in hello.lines
    scram = ScramClient("SCRAM-SHA-256", "mbrain", "mailfw")
    (said,) = client.say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(scram.start()))
    while said.code == 334:
        (said,) = client.say(base64.b64encode(scram.respond(base64.b64decode(said.text))))
    assert said.code == 235
    assert scram.isDone


# --- Submission --------------------------------------------------------------------------------------------------------


def submit(connect, content):
    client = connect("submission")
    client.say(LOGIN)
    client.begin("jsmith@localhost", sender="<mbrain@localhost>")
    client.say("DATA")
    assert [r.code for r in client.send(content + b"\r\n.\r\n")] == [250]
    return client.messages[0].content


def test_submission_needs_a_login(connect):
    client = connect("submission")
    (said,) = client.say("MAIL FROM:<mbrain@localhost>")
    assert (said.code, said.enhanced) == (530, "5.7.0")
    assert client.codes(LOGIN, "MAIL FROM:<mbrain@localhost>") == [235, 250]


@pytest.mark.parametrize("service", ["smtp", "submission"])
def test_the_sender_must_belong_to_the_identity(connect, service):
    client = connect(service)
    client.say(LOGIN)
    for sender in ("jsmith@localhost", "mbrain@example.org"):
        (said,) = client.say(f"MAIL FROM:<{sender}>")
        assert (said.code, said.enhanced) == (550, "5.7.1")
    assert client.codes("MAIL FROM:<>", "RSET", "MAIL FROM:<mbrain+tag@localhost>") == [250, 250, 250]


def test_submission_adds_date_and_message_id(connect):
    content = submit(connect, MESSAGE)
    stamped, _, rest = content.partition(b"Subject: x\r\n")
    assert re.search(rb"\r\nDate: Mon, 21 Sep 2026 14:13:20 \+0000\r\nMessage-ID: <[^<>@ ]+@mail\.localhost>\r\n$", stamped)
    assert rest == b"\r\nhello\r\n"


def test_submission_leaves_what_is_there(connect):
    header = b"dAtE: Thu, 1 Jan 1970 00:00:00 +0000\r\nMESSAGE-id : <x@y>\r\n"
    assert submit(connect, header + MESSAGE).split(b"+0000\r\n", 1)[1] == header + MESSAGE + b"\r\n"


@pytest.mark.parametrize("size", [10, 300_000])
def test_submission_removes_bcc(connect, size):
    body = b"Bcc: in the body\r\n" + b"x" * 70 + (b"\r\n" + b"y" * 70) * (size // 72)
    blind = b"BCC: secret@example.org,\r\n other@example.org\r\n"
    content = submit(connect, b"From: a@b\r\n" + blind + b"To: c@d\r\nresent-bcc: e@f\r\n\r\n" + body)
    assert content.endswith(b"From: a@b\r\nTo: c@d\r\n\r\n" + body + b"\r\n")
    assert b"secret" not in content
    assert b"e@f" not in content


def test_the_mta_adds_and_removes_nothing(connect):
    client = connect()
    client.deliver(b"Bcc: a@b\r\n\r\nhello")
    assert client.messages[0].content.endswith(b"+0000\r\nBcc: a@b\r\n\r\nhello\r\n")


def test_a_message_without_header_can_be_submitted(connect):
    content = submit(connect, b"hello")
    assert content.endswith(b"@mail.localhost>\r\n\r\nhello\r\n")


# --- LMTP --------------------------------------------------------------------------------------------------------------


def test_lmtp_says_lhlo(connect):
    client = connect("lmtp", hello=False)
    assert client.greeting[0].text == "mail.localhost LMTP mailfw"
    assert client.codes("EHLO x", "HELO x", "MAIL FROM:<>", "LHLO x") == [500, 500, 503, 250]
    assert connect().codes("LHLO x") == [500]
    assert "AUTH" not in "".join(connect("lmtp").hello.lines)
    assert connect("lmtp").codes(LOGIN) == [504]


def test_lmtp_replies_for_each_recipient(connect):
    client = connect("lmtp")
    client.world.context.router.outcomes["jsmith@localhost"] = Outcome(Fate.DEFERRED, Unavailable())
    said = client.deliver(MESSAGE, "mbrain@localhost", "jsmith@localhost", "mbrain@localhost")
    assert [r.code for r in said] == [250, 451, 250]
    assert [r.text.split()[0] for r in said] == ["<mbrain@localhost>", "<jsmith@localhost>", "<mbrain@localhost>"]


def test_lmtp_refuses_a_message_for_each_recipient(connect):
    client = connect("lmtp")
    assert [r.code for r in client.deliver(b"a\nb", "mbrain@localhost", "jsmith@localhost")] == [554, 554]


def test_lmtp_without_recipients(connect):
    client = connect("lmtp")
    assert client.codes("MAIL FROM:<>", "RCPT TO:<nobody@localhost>", "DATA") == [250, 550, 503]


def test_lmtp_bdat(connect):
    client = connect("lmtp")
    client.begin("mbrain@localhost", "jsmith@localhost")
    assert [r.code for r in client.send(b"BDAT 14\r\nSubject: x\r\n\r\nBDAT 2 LAST\r\nhi")] == [250, 250, 250]


# --- Everything around -------------------------------------------------------------------------------------------------


def test_a_stopping_server_says_so(connect):
    client = connect()
    client.begin()
    client.connection.stop()
    assert [r.code for r in client.replies()] == [421]
    assert client.isClosed
    assert client.world.context.router.aborted == 1


def test_a_stopping_server_takes_the_message_that_is_coming_in(connect):
    client = connect()
    client.begin()
    client.say("DATA")
    client.send(b"Subject: x\r\n")
    client.connection.stop()
    assert client.send(b"\r\nhello\r\n") == []
    assert [r.code for r in client.send(b".\r\nNOOP\r\n")] == [250, 421]
    assert client.isClosed
    assert len(client.messages) == 1


def test_sessions_show_what_they_are_at(connect):
    client = connect(hello=False)
    steps = [("EHLO x", "ready"), ("AUTH PLAIN", "login"), ("*", "ready"), ("MAIL FROM:<>", "envelope")]
    for line, state in [*steps, ("RCPT TO:<jsmith@localhost>", "envelope"), ("DATA", "message"), (".", "ready")]:
        client.say(line)
        assert client.world.context.sessions.infos()[0].state == state


def test_services_are_plugins():
    for service in SERVICES.values():
        assert verifyObject(IMailService, service)
    assert {(s.name, s.port, s.isTLS) for s in SERVICES.values()} == {
        ("smtp", 25, False), ("submission", 587, False), ("submissions", 465, True), ("lmtp", 24, False),
    }  # fmt: skip


def test_normalizing_mends_what_would_be_refused(connect):
    class Mending(SMTPServer):
        role = evolve(MTA, normalizesLines=True)

    client = connect(SMTPService("mending", 25, isTLS=False, server=Mending))
    client.begin()
    client.say("DATA")
    assert client.send(b"Subject: x\n\nhello\r.\n.\n") == []
    assert [r.code for r in client.send(b"\r\n.\r\n")] == [250]
    assert client.messages[0].content.endswith(b"Subject: x\r\n\r\nhello\r\n.\r\n.\r\n\r\n")


def test_one_event_a_message(connect):
    client = connect()
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        client.deliver(MESSAGE)
    finally:
        globalLogPublisher.removeObserver(events.append)
    (event,) = events
    assert event["session"] == client.connection.id
    assert event["sender"] == "sender@example.org"


def test_refused_recipient_says_which_and_why(connect):
    client = connect(router=BrokenRouter(recipient=NoSuchRecipient("moved away\r\n250 fine")))
    client.say("MAIL FROM:<>")
    (said,) = client.say("RCPT TO:<a@localhost>")
    assert (said.code, said.lines) == (550, ("<a@localhost> moved away??250 fine",))


@pytest.mark.parametrize(
    ("inquiries", "stranger", "user"), [("login", [252, 252], [250, 550]), ("never", [252, 252], [252, 252]),
                                        ("always", [250, 550], [250, 550])],
)  # fmt: skip
def test_whom_inquiries_tell_the_truth(connect, inquiries, stranger, user):
    client = connect()
    client.world.context.inquiries = inquiries
    assert client.codes("VRFY jsmith", "EXPN jsmith") == stranger
    assert client.codes(LOGIN, "VRFY jsmith", "EXPN jsmith")[1:] == user


@pytest.fixture
def refusals():
    """The lines that are logged about what was refused."""
    found = []

    def note(event):
        if event.get("log_format", "").startswith("refused"):
            found.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield found
    globalLogPublisher.removeObserver(note)


def test_what_is_refused_is_logged_but_not_without_end(connect, refusals):
    client = connect()
    client.say("MAIL FROM:<sender@example.org>", *(f"RCPT TO:<guess{number}@localhost>" for number in range(25)))
    client.transport.hangUp()
    assert len(refusals) == 21
    guess = "<guess0@localhost>"
    assert refusals[0].startswith(f"refused from 127.0.0.1, <sender@example.org> to {guess}: 550 5.1.1 {guess} ")
    assert refusals[-1] == "refused from 127.0.0.1: 5 more"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["MAIL FROM:<a@example.org> SIZE=99999999999"], "<a@example.org> to nobody yet: 552 5.3.4 "),
        (["MAIL FROM:<>", "RCPT TO:<jsmith@localhost>", "DATA", b"a\rb", "."], "<> to <jsmith@localhost>: 55"),
    ],
)
def test_the_log_says_what_was_refused(connect, refusals, lines, told):
    connect().say(*lines)
    [line] = refusals
    assert line.startswith(f"refused from 127.0.0.1, {told}")
