"""SMTP's extensions and attacks as other programs send them: swaks, and the standard library."""

import email
import email.policy
import re
import smtplib
import socket

import pytest

from mailfw.testing.process import HOST, waitFor

ENVELOPE = ("--from", "a@example.org", "--to", "jsmith@localhost", "--helo", "client.example")


@pytest.fixture
def swaks(run):
    """swaks against a service; what it printed. :param status: it is to end with."""

    def call(server, *options, service="smtp", status=0):
        return run("swaks", "--server", HOST, "--port", server.ports[service], *ENVELOPE, *options, status=status).decode()

    return call


def test_swaksAndWhatIsAnnounced(configured, swaks):
    server = configured("")
    said = swaks(server, "--quit-after", "EHLO")
    announced = set(re.findall(r"<-  250[- ]([A-Z0-9-]+)", said))
    assert announced >= {
        "PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "LIMITS",
        "DELIVERBY", "MT-PRIORITY",
    }  # fmt: skip


def test_swaksSpeaksForOthersByXCLIENT(configured, swaks):
    server = configured('[smtp]\nxclient = ["127.0.0.1"]\n')
    swaks(server, "--xclient-addr", "192.0.2.9", "--xclient-name", "far.example", "--xclient-helo", "far.example")
    (message,) = server.read()
    assert b"([192.0.2.9])" in message.split(b"\r\n\tby")[0]


def test_swaksMayNotSpeakForOthers(configured, swaks):
    server = configured("")
    assert "250-XCLIENT" not in swaks(server, "--xclient-addr", "192.0.2.9", status=33)
    assert server.read() == []


@pytest.mark.parametrize("version", ["1", "2"])
def test_swaksSpeaksForOthersByPROXY(configured, swaks, version):
    listens = "".join(
        f'[[listen]]\nservice = "{service}"\nendpoint = "tcp:0:interface=127.0.0.1"\n{proxy}'
        for service, proxy in (("smtp", 'proxy = ["127.0.0.1"]\n'), ("imap", ""))
    )
    server = configured("", listens=listens)
    family = "TCP4" if version == "1" else "AF_INET"
    source = ("--proxy-source", "192.0.2.9", "--proxy-source-port", "4711")
    swaks(
        server, "--proxy-version", version, "--proxy-family", family, *source, "--proxy-dest", HOST, "--proxy-dest-port", "25"
    )  # fmt: skip
    (message,) = server.read()
    assert b"([192.0.2.9])" in message.split(b"\r\n\tby")[0]
    said = swaks(server, "--proxy", "TCP4 nonsense", status=None)
    assert "<-  220" not in said


ENDS = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n\0.\r\n"]


def test_swaksSmugglesNothing(configured, swaks, tmp_path):
    server = configured("")
    for end in ENDS:
        smuggle(server, swaks, tmp_path / "data.txt", end)
    assert server.read() == []


def smuggle(server, swaks, data, end):
    """Send two messages as one, by hand and by swaks."""
    second = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<jsmith@localhost>\r\nDATA\r\nSubject: second\r\n\r\nx\r\n"
    data.write_bytes(b"Subject: first\r\n\r\nx" + end + second + b".\r\n")
    with socket.create_connection((HOST, server.ports["smtp"]), 120) as client:
        file = client.makefile("rb")
        file.readline()
        for line in (b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<jsmith@localhost>", b"DATA"):
            client.sendall(line + b"\r\n")
            file.readline()
        client.sendall(data.read_bytes())
        assert file.readline().startswith(b"554 ")
        file.close()
    said = swaks(server, "--data", f"@{data}", "--no-data-fixup", status=None)
    assert not re.search("<-  250 .*accepted", said), end


ATTACKS = [
    (("--from", "a@example.org\x01"), 23), (("--to", "a%b@localhost"), 24), (("--to", "@x:nobody@localhost"), 24),
    (("--to", "somebody@example.net"), 24), (("--to", '"a@b"@localhost'), 24), (("--from", "jürgen@example.org"), 23),
    (("--from", "no address"), 23), (("--helo", "two words"), None),
]  # fmt: skip


def test_swaksIsRefused(configured, swaks):
    server = configured("")
    for options, status in ATTACKS:
        assert re.search(r"<\*\* 5[05]\d ", swaks(server, *options, status=status)), options
    assert server.read() == []


def test_reportsOfSuccessAreWhatTheStandardLibraryReads(configured):
    server = configured("")
    with smtplib.SMTP(HOST, server.ports["smtp"], "client.example", timeout=120) as client:
        client.ehlo()
        client.login("mbrain", "mailfw")
        assert client.mail("mbrain@localhost", ["RET=HDRS", "ENVID=QQ+2B31"])[0] == 250
        assert client.rcpt("jsmith@localhost", ["NOTIFY=SUCCESS", "ORCPT=rfc822;john@example.net"])[0] == 250
        assert client.data(b"Subject: tell me\r\n\r\nhello\r\n")[0] == 250
    waitFor(lambda: server.read("mbrain"), "the report")
    (octets,) = server.read("mbrain")
    report = email.message_from_bytes(octets, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and report["Return-Path"].strip() == "<>"
    _, status, returned = report.iter_parts()
    ofMessage, ofRecipient = status.get_payload()
    assert ofMessage["Original-Envelope-Id"] == "QQ+31"
    assert (ofRecipient["Action"], ofRecipient["Original-Recipient"]) == ("delivered", "rfc822; john@example.net")
    assert "Subject: tell me" in returned.as_string()


def test_binaryAndPriorityAndTimes(configured):
    server = configured("", ("smtp", "submission", "imap"))
    content = b"MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256))
    with smtplib.SMTP(HOST, server.ports["smtp"], "client.example", timeout=120) as client:
        client.ehlo()
        client.mail("a@example.org", ["BODY=BINARYMIME", "MT-PRIORITY=5"])
        client.rcpt("jsmith@localhost")
        client.sock.sendall(b"BDAT %d LAST\r\n" % len(content) + content)
        assert client.getreply()[1].startswith(b"2.3.6 0 is the new priority")
    (message,) = server.read()
    assert email.message_from_bytes(message).get_payload(decode=True) == bytes(range(256))
    with smtplib.SMTP(HOST, server.ports["submission"], "client.example", timeout=120) as client:
        client.ehlo()
        client.login("mbrain", "mailfw")
        assert client.mail("mbrain@localhost", ["HOLDFOR=2", "BY=60;R"])[0] == 250
        client.rcpt("jsmith@localhost")
        assert client.data(b"Subject: later\r\n\r\nx\r\n")[0] == 250
    assert len(server.read()) == 1
    waitFor(lambda: len(server.read()) == 2, "what was held")
