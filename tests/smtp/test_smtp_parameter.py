"""What is announced, and what the parameters of MAIL and RCPT say."""

import pytest
from attrs import evolve

from mailfw.net.limits import Limits
from mailfw.smtp import extension
from mailfw.smtp.extension import Offer
from mailfw.smtp.grammar import BadCommand
from mailfw.smtp.parameter import MailDraft, RcptDraft
from mailfw.testing.fakes import START
from mailfw.values import DeliverBy

LITTLE = Offer(Limits(messageSize=1000))
ALL = Offer(Limits(), isTLS=True, isQueueing=True, isSubmission=True, isTrusted=True)


def keywords(offer):
    return [line.split()[0] for line in extension.announced(offer)]


def test_what_is_announced():
    always = ["PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING", "BINARYMIME", "LIMITS"]
    assert keywords(LITTLE) == [*always, "EXPN", "VERB", "HELP"]
    said = extension.announced(evolve(LITTLE, canStartTLS=True, mechanisms=("SCRAM-SHA-256", "PLAIN")))
    assert {"SIZE 1000", "STARTTLS", "AUTH SCRAM-SHA-256 PLAIN"} < set(said)
    assert set(keywords(ALL)) - set(keywords(LITTLE)) == {
        "DSN", "REQUIRETLS", "DELIVERBY", "FUTURERELEASE", "MT-PRIORITY", "XCLIENT",
    }  # fmt: skip
    assert "FUTURERELEASE 2592000 1970-01-31T00:00:00Z" in extension.announced(ALL)


@pytest.mark.parametrize(
    ("parameters", "draft"),
    [
        ((), MailDraft()),
        ((("SIZE", "10"), ("BODY", "7bit")), MailDraft(size=10)),
        ((("BODY", "8BITMIME"), ("SMTPUTF8", None)), MailDraft(is8Bit=True, isSMTPUTF8=True)),
        ((("BODY", "binarymime"),), MailDraft(is8Bit=True, isBinary=True)),
        ((("AUTH", "<>"),), MailDraft()),
        ((("AUTH", "e+3Dmc2@example.com"),), MailDraft()),
        ((("RET", "Full"), ("ENVID", "a+20b+2B")), MailDraft(returns="full", envelopeId="a b+")),
        ((("REQUIRETLS", None),), MailDraft(requiresTLS=True)),
        ((("BY", "120;r"),), MailDraft(by=120, isReturned=True)),
        ((("BY", "+1;NT"),), MailDraft(by=1, isTraced=True)),
        ((("BY", "-999999999;N"),), MailDraft(by=-999999999)),
        ((("HOLDFOR", "0"),), MailDraft(holdFor=0)),
        ((("HOLDUNTIL", "1970-01-01t00:01:00z"),), MailDraft(holdUntil=60.0)),
        ((("HOLDUNTIL", "1970-01-01T01:01:00.5+01:00"),), MailDraft(holdUntil=60.5)),
        ((("HOLDUNTIL", "0001-01-01T00:00:00+14:00"),), MailDraft(holdUntil=-62135647200.0)),
        ((("HOLDUNTIL", "9999-12-31T23:59:59-14:00"),), MailDraft(holdUntil=253402351199.0)),
        ((("MT-PRIORITY", "-9"),), MailDraft(priority=-9)),
    ],
)
def test_parameters_of_mail(parameters, draft):
    assert extension.readMail(parameters, ALL) == draft


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("SIZE", [None, "-1", "1" * 21]),
        ("BODY", [None, "9BIT"]),
        ("SMTPUTF8", ["1"]),
        ("AUTH", [None, "me"]),
        ("RET", [None, "HALF"]),
        ("ENVID", [None, "", "a+2", "a+0D", "+", "x" * 101, "ä"]),
        ("REQUIRETLS", ["", "YES"]),
        ("BY", [None, "", "1", "1;", "1;X", "1;TR", "0;R", "-1;R", "1000000000;N", "1;NTT"]),
        ("HOLDFOR", [None, "", "-1", "1.5", "1000000000", "٣"]),
        ("HOLDUNTIL", [None, "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "now"]),
        ("MT-PRIORITY", [None, "10", "-0", "+1", "-10", "x"]),
        ("FOO", [None]),
    ],
)
def test_parameters_of_mail_that_are_refused(keyword, values):
    for value in values:
        with pytest.raises(BadCommand) as caught:
            extension.readMail(((keyword, value),), ALL)
        assert caught.value.reply.code == (555 if keyword == "FOO" else 501), value


@pytest.mark.parametrize("keyword", ["RET", "ENVID", "REQUIRETLS", "BY", "HOLDFOR", "HOLDUNTIL", "MT-PRIORITY"])
def test_what_is_not_offered_is_unknown(keyword):
    with pytest.raises(BadCommand) as caught:
        extension.readMail(((keyword, "1"),), LITTLE)
    assert caught.value.reply.code == 555


@pytest.mark.parametrize(
    ("parameters", "draft"),
    [
        ((), RcptDraft()),
        ((("NOTIFY", "Never"),), RcptDraft(frozenset({"never"}))),
        ((("NOTIFY", "SUCCESS,delay"),), RcptDraft(frozenset({"success", "delay"}))),
        ((("ORCPT", "rfc822;a+2Bb@example.org"),), RcptDraft(original="rfc822;a+2Bb@example.org")),
        ((("ORCPT", "x400;/c=us".replace("=", "+3D")),), RcptDraft(original="x400;/c+3Dus")),
        ((("ORCPT", "utf-8;jürgen@example.org"),), RcptDraft(original="utf-8;jürgen@example.org")),
        ((("ORCPT", r"UTF-8;j\x{FC}rgen@example.org"),), RcptDraft(original=r"UTF-8;j\x{FC}rgen@example.org")),
    ],
)
def test_parameters_of_rcpt(parameters, draft):
    assert extension.readRcpt(parameters, ALL) == draft


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("NOTIFY", [None, "", "NEVER,DELAY", "SUCCESS,", "ALWAYS"]),
        ("ORCPT", [None, "", "rfc822;", ";a@b", "a@b", "rfc822;jürgen@b", "rfc822;a+2", "rfc822;" + "x" * 500, r"utf-8;\x{G}"]),
    ],
)
def test_parameters_of_rcpt_that_are_refused(keyword, values):
    for value in values:
        with pytest.raises(BadCommand) as caught:
            extension.readRcpt(((keyword, value),), ALL)
        assert caught.value.reply.code == 501, value
    with pytest.raises(BadCommand) as caught:
        extension.readRcpt(((keyword, values[0]),), LITTLE)
    assert caught.value.reply.code == 555


def test_the_envelope_carries_what_was_asked(connect):
    client = connect("submission")
    client.connection.isTLS = True
    client.say("EHLO client.example", "AUTH PLAIN AG1icmFpbgBtYWlsZnc=")
    client.say(
        "MAIL FROM:<mbrain@localhost> RET=HDRS ENVID=x+2By REQUIRETLS BY=60;RT HOLDFOR=30 MT-PRIORITY=4 BODY=8BITMIME",
        "RCPT TO:<jsmith@localhost> NOTIFY=SUCCESS ORCPT=rfc822;j@example.net",
        "DATA",
        "Subject: x",
    )
    assert [reply.code for reply in client.send(b".\r\n")] == [250]
    (message,) = client.messages
    sent, now = message.envelope, START
    assert (sent.returns, sent.envelopeId, sent.requiresTLS, sent.priority) == ("hdrs", "x+y", True, 4)
    assert sent.deliverBy == DeliverBy(now + 60, isReturned=True, isTraced=True)
    assert sent.releaseAt == now + 30
    assert (message.recipients[0].notify, message.recipients[0].original) == (frozenset({"success"}), "rfc822;j@example.net")
    assert b"\r\n\tpriority 4;\r\n" in message.content


def test_binary_is_made_lines(connect):
    client = connect()
    client.say("MAIL FROM:<> BODY=BINARYMIME", "RCPT TO:<jsmith@localhost>")
    content = b"Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256)) * 2000
    (said,) = client.send(b"BDAT %d LAST\r\n" % len(content) + content)
    assert said.code == 250
    (message,) = client.messages
    assert b"Content-Transfer-Encoding: base64\r\n" in message.content
    assert message.content.isascii()
    assert message.envelope.is8Bit
