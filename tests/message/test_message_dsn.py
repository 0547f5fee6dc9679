"""Delivery status notifications: what senders are told, and what is understood of what others tell."""

from __future__ import annotations

import email
import email.message
import email.policy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import dsn, report
from mailfw.message.dsn import (
    Action,
    DeliveryStatus,
    Notification,
    RecipientStatus,
    decodeXtext,
    encodeXtext,
    fromORCPT,
    isAutomatic,
    parse,
)
from mailfw.message.header import headerEnd
from mailfw.values import Address

ORIGINAL = (
    b"From: Ada <ada@example.org>\r\nTo: jane@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Sun, 25 Mar 2007 12:00:00 +0000\r\nMessage-ID: <one@example.org>\r\n\r\nHello Jane\r\n"
)
HEADER = ORIGINAL.partition(b"Hello")[0]
FAILED = RecipientStatus(
    "jane@example.net",
    Action.FAILED,
    "5.1.1",
    "rfc822;jane+home@example.com",
    "550 5.1.1 <jane@example.net>: who is that?",
    "mx1.example.net",
    1_174_824_000.0,
)
DELAYED = RecipientStatus("bob@example.net", Action.DELAYED, "4.4.1", reply="connection timed out", retryUntil=1_175_000_000.0)


def about(*recipients: RecipientStatus) -> DeliveryStatus:
    return DeliveryStatus("mx.example.org", recipients, "QQ314 + 1", "client.example.org", 1_174_820_000.0)


def rendered(status: DeliveryStatus, recipient: str = "ada@example.org", original: bytes = ORIGINAL, **options: Any) -> bytes:
    address = Address.parse(recipient)
    return report.render(status, address, original, moment=1_174_830_000.0, messageId="r1@mx.example.org", **options)


def opened(octets: bytes) -> email.message.EmailMessage:
    """The report as the standard library reads it, without a defect."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    assert [part.defects for part in message.walk() if part.defects] == []
    return message


def letter(octets: bytes) -> str:
    """What a person reads."""
    body = opened(octets).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


# --- what is written -------------------------------------------------------------------------------------------------


def test_aReportIsAMultipartReportOfThreeParts() -> None:
    message = opened(rendered(about(FAILED, DELAYED)))
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers",
    ]  # fmt: skip
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["From"] == "Mail Delivery System <postmaster@mx.example.org>"
    assert message["To"] == "ada@example.org"
    assert message["Subject"] == "Your message could not be delivered"
    assert message["Message-ID"] == "<r1@mx.example.org>"
    assert message["In-Reply-To"] == message["References"] == "<one@example.org>"
    assert message["Date"].datetime.timestamp() == 1_174_830_000.0


def test_programsAreToldOfEveryRecipient() -> None:
    _, machine, _ = opened(rendered(about(FAILED, DELAYED))).iter_parts()
    first, second, third = (dict(group.items()) for group in machine.get_payload())
    assert first == {
        "Original-Envelope-Id": "QQ314 + 1",
        "Reporting-MTA": "dns; mx.example.org",
        "Received-From-MTA": "dns; client.example.org",
        "Arrival-Date": "Sun, 25 Mar 2007 10:53:20 +0000",
    }
    assert second == {
        "Original-Recipient": "rfc822; jane+home@example.com",
        "Final-Recipient": "rfc822; jane@example.net",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx1.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 <jane@example.net>: who is that?",
        "Last-Attempt-Date": "Sun, 25 Mar 2007 12:00:00 +0000",
    }
    assert third == {
        "Final-Recipient": "rfc822; bob@example.net",
        "Action": "delayed",
        "Status": "4.4.1",
        "Diagnostic-Code": "x-mailfw; connection timed out",
        "Will-Retry-Until": "Tue, 27 Mar 2007 12:53:20 +0000",
    }


def test_peopleAreToldInPlainWords() -> None:
    text = letter(rendered(about(FAILED, DELAYED)))
    for line in (
        "This is the mail system at mx.example.org, about your message",
        "    Subject: Grüße",
        "It could not be delivered to this address.",
        "  jane@example.net",
        "    (You had addressed it to jane+home@example.com.)",
        "    There is no such address at example.net. Please check how it is",
        "    The mail server mx1.example.net said:",
        "      550 5.1.1 <jane@example.net>: who is that?",
        "It could not be delivered to this address yet. You need not do anything:",
        "    The mail server for example.net does not answer.",
        "      connection timed out",
        "    It will be tried until Tue, 27 Mar 2007 12:53:20 +0000.",
    ):
        assert any(each.startswith(line) for each in text.splitlines()), line
    assert all(len(line) <= 72 for line in text.splitlines())


@pytest.mark.parametrize(
    ("action", "status", "subject", "words"),
    [
        (Action.FAILED, "5.2.2", "Your message could not be delivered", "The mailbox is full."),
        (Action.FAILED, "5.7.26", "Your message could not be delivered", "refused the message by its rules"),
        (Action.FAILED, "5.1.99", "Your message could not be delivered", "Something is wrong with this address."),
        (Action.DELAYED, "4.0.0", "Your message is delayed", "we keep trying"),
        (Action.DELIVERED, "2.0.0", "Your message was delivered", "It was delivered to this address."),
        (Action.RELAYED, "2.0.0", "Your message was passed on", "does not report on deliveries"),
        (Action.EXPANDED, "2.0.0", "Your message was delivered to a list", "sent on to several others"),
    ],
)
def test_eachActionHasItsWords(action: Action, status: str, subject: str, words: str) -> None:
    octets = rendered(about(RecipientStatus("jane@example.net", action, status)))
    assert opened(octets)["Subject"] == subject
    assert words in " ".join(letter(octets).split())


def test_severalRecipientsWithOneFateAreToldTogether() -> None:
    text = letter(rendered(about(*(RecipientStatus(f"{name}@example.net", Action.DELIVERED, "2.1.5") for name in "abc"))))
    assert text.count("It was delivered to these addresses.") == 1
    assert [line.strip() for line in text.splitlines() if "@" in line] == [
        "To:      jane@example.net", "a@example.net", "b@example.net", "c@example.net",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "returns", "kind"),
    [
        (Action.FAILED, "full", "message/rfc822"),
        (Action.FAILED, "hdrs", "text/rfc822-headers"),
        (Action.FAILED, "", "text/rfc822-headers"),
        # RFC 3461 §4.3: only a failure brings everything back
        (Action.DELAYED, "full", "text/rfc822-headers"),
        (Action.DELIVERED, "full", "text/rfc822-headers"),
    ],
)
def test_whatComesBackIsWhatWasAskedFor(action: Action, returns: str, kind: str) -> None:
    octets = rendered(about(RecipientStatus("jane@example.net", action, "5.0.0")), returns=returns)
    *_, returned = opened(octets).iter_parts()
    assert returned.get_content_type() == kind
    found = parse(octets)
    assert found is not None
    assert found.returned == (ORIGINAL if kind == "message/rfc822" else HEADER)
    if kind == "message/rfc822":
        assert returned.get_payload(0)["Message-ID"] == "<one@example.org>"
        assert returned.get_payload(0).get_payload() == "Hello Jane\r\n"


@pytest.mark.parametrize("returns", ["full", "hdrs"])
@pytest.mark.parametrize("isUTF8", [False, True])
@pytest.mark.parametrize(
    "original",
    [
        "Subject: Grüße\r\n\r\nDas hätte ich gern.\r\n".encode(),
        b"Subject: Gr\xfc\xdfe\r\n\r\nDas h\xe4tte ich gern.\r\n",
        b"Subject: plain\r\n\r\nDas h\xc3\xa4tte ich gern.\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 5000,
        b"Subject: no end",
        b"",
        b"\r\n\r\n",
    ],
)
def test_whateverTheMessageIsItComesBackAsItWas(original: bytes, isUTF8: bool, returns: str) -> None:
    octets = rendered(about(FAILED), original=original, returns=returns, isUTF8=isUTF8)
    found = parse(octets)
    assert found is not None
    assert found.returned == (original if returns == "full" else original[: headerEnd(original)])
    header, _, body = octets.partition(b"\r\n\r\n")
    assert (b"Content-Transfer-Encoding: 7bit" in header) is (body.isascii() and max(map(len, body.split(b"\r\n"))) <= 998)
    opened(octets)
    if not isUTF8 and returns == "hdrs":
        assert octets.isascii()


def test_addressesBeyondASCIITravelWithAndWithoutSMTPUTF8() -> None:
    """RFC 6533 §3."""
    status = about(RecipientStatus("jürgen+a=b@exämple.net", Action.FAILED, "5.1.1", "utf-8;große@exämple.net"))
    plain, unicode = rendered(status), rendered(status, isUTF8=True)
    assert plain.isascii()
    assert b"Content-Type: message/delivery-status\r\n" in plain
    assert b"Final-Recipient: utf-8; j\\x{FC}rgen\\x{2B}a\\x{3D}b@ex\\x{E4}mple.net\r\n" in plain
    assert b"Original-Recipient: utf-8; gro\\x{DF}e@ex\\x{E4}mple.net\r\n" in plain
    assert b"Content-Type: message/global-delivery-status\r\n" in unicode
    assert "Final-Recipient: utf-8; jürgen+a=b@exämple.net\r\n".encode() in unicode
    for octets in (plain, unicode):
        found = parse(octets)
        assert found is not None and found.status == status
    assert "  jürgen+a=b@exämple.net" in letter(plain).splitlines()
    assert b"message/global-delivery-status" in rendered(status, recipient="jürgen@exämple.net")


STRANGE = [
    "550 no\r\nBcc: everybody@example.org\r\n\r\n--report",
    "550 " + "\x1b[2J\u202e\x00\x85\u2028\ud800" + "x" * 5000,
    "550 " + "猫" * 5000,
    "551 \\x{41} %s {0} {domain}",
    "",
]


@pytest.mark.parametrize("text", STRANGE)
@pytest.mark.parametrize("isUTF8", [False, True])
def test_noStrangersTextBecomesAnythingElse(text: str, isUTF8: bool) -> None:
    recipient = RecipientStatus(f"jane@{text}", Action.FAILED, "5.1.1", f"rfc822;{text}", text, text)
    status = DeliveryStatus("mx.example.org", (recipient, DELAYED), text, text)
    octets = rendered(status, isUTF8=isUTF8)
    message = opened(octets)
    assert "Bcc" not in message
    words, machine, _ = message.iter_parts()
    assert b"\r\nBcc" not in octets
    if machine.get_content_type() == "message/delivery-status":  # the other is new to the standard library
        assert len(machine.get_payload()) == 3
    found = parse(octets)
    assert found is not None and found.status.recipients[1:] == (DELAYED,)
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert all(line.isprintable() for line in words.get_content().split("\r\n"))
    assert b"\n" not in octets.replace(b"\r\n", b"")


def test_nobodyCanEndAPartOfTheReportFromInside() -> None:
    """The boundary is other for every message, and whoever knows it has another message."""
    first = rendered(about(FAILED), returns="full")
    boundary = opened(first).get_boundary()
    assert boundary is not None
    original = ORIGINAL + f"--{boundary}--\r\n".encode()
    second = rendered(about(FAILED), original=original, returns="full")
    assert opened(second).get_boundary() != boundary
    found = parse(second)
    assert found is not None and found.returned == original


@pytest.mark.parametrize("messageId", ["", "x" * 400, "<\xfc@b>", "no brackets"])
def test_onlyAnIdThatIsOneIsReferredTo(messageId: str) -> None:
    octets = rendered(about(FAILED), original=f"Message-ID: {messageId}\r\n\r\n".encode())
    assert opened(octets)["References"] is None


ADDRESSES = st.from_regex(r"\A[a-zäöü猫+=\\.{}-]{1,9}@[a-zä.]{1,9}\Z")
WORDS = st.lists(st.from_regex(r"\A[!-~äß猫]{1,20}\Z"), max_size=12).map(" ".join)
ASCII = st.lists(st.from_regex(r"\A[!-~]{1,20}\Z"), max_size=40).map(" ".join)
HOSTS = st.from_regex(r"\A(?:[a-z][a-z0-9.-]{0,9})?\Z")
MOMENTS = st.none() | st.integers(0, 2**34).map(float)


def statuses(words: st.SearchStrategy[str]) -> st.SearchStrategy[DeliveryStatus]:
    recipients = st.builds(
        RecipientStatus,
        ADDRESSES,
        st.sampled_from(Action),
        st.from_regex(r"\A[245]\.[0-9]{1,3}\.[0-9]{1,3}\Z"),
        ADDRESSES.map(lambda address: f"rfc822;{address}" if address.isascii() else f"utf-8;{address}") | st.just(""),
        words,
        HOSTS,
        MOMENTS,
        MOMENTS,
    )
    hosts = HOSTS.filter(bool)
    return st.builds(DeliveryStatus, hosts, st.lists(recipients, min_size=1, max_size=4).map(tuple), words, HOSTS, MOMENTS)


@given(statuses(WORDS))
def test_whatIsWrittenIsRead(status: DeliveryStatus) -> None:
    octets = rendered(status, isUTF8=True)
    opened(octets)
    assert parse(octets) == Notification(status, HEADER)


@given(statuses(ASCII))
def test_whatIsWrittenWithoutUTF8IsReadToo(status: DeliveryStatus) -> None:
    octets = rendered(status)
    assert octets.isascii()
    assert parse(octets) == Notification(status, HEADER)


# --- what others write -----------------------------------------------------------------------------------------------


def foreign(*groups: str, kind: str = "message/delivery-status", lineEnd: str = "\r\n") -> bytes:
    body = "\n\n".join(groups)
    text = (
        "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: text/plain\n\nSorry.\n"
        f"--b\nContent-Type: {kind}\n\n{body}\n--b--\n"
    )
    return text.replace("\n", lineEnd).encode()


@pytest.mark.parametrize("lineEnd", ["\n", "\r\n"])
def test_reportsOfOtherSystemsAreRead(lineEnd: str) -> None:
    content = foreign(
        "reporting-mta: DNS;mail.example.net (Postfix)\nX-Queue-ID: 1",
        "FINAL-RECIPIENT: RFC822; <jane@example.net>\nOriginal-Recipient: rfc822;Jane@example.org\n"
        "Action: Failed (user unknown)\nStatus: 5.1.1 (bad mailbox)\nRemote-MTA: dns; mx.example.net (192.0.2.1)\n"
        "Diagnostic-Code: smtp; 550-5.1.1 no\n    such user",
        "Final-Recipient: bob@example.net\nStatus: 4.2.2",
        "Original-Recipient: rfc822; carol@example.net\nAction: delivered",
        lineEnd=lineEnd,
    )
    found = parse(content)
    assert found is not None
    assert found.status == DeliveryStatus(
        "mail.example.net",
        (
            RecipientStatus(
                "jane@example.net",
                Action.FAILED,
                "5.1.1",
                "rfc822;Jane@example.org",
                "550-5.1.1 no such user",
                "mx.example.net",
            ),
            RecipientStatus("bob@example.net", Action.DELAYED, "4.2.2"),
            RecipientStatus("carol@example.net", Action.DELIVERED, "2.0.0", "rfc822;carol@example.net"),
        ),
    )
    assert found.returned == b""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        ORIGINAL,
        foreign("Reporting-MTA: dns; a", "Final-Recipient: rfc822; b@c\nAction: failed", kind="text/plain"),
        foreign("Reporting-MTA: dns; a"),
        foreign("Reporting-MTA: dns; a", "Final-Recipient: rfc822;\nAction: failed", "Final-Recipient: rfc822; a@b\nAction: odd"),
        foreign("Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; b@c\nAction: failed").replace(
            b"message/delivery-status", b"message/delivery-status\r\nContent-Transfer-Encoding: x-odd"
        ),
        b"Content-Type: message/rfc822\r\n\r\n" + rendered(about(FAILED)),
        b"Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\nContent-Type: message/rfc822\r\n\r\n" + rendered(about(FAILED)),
    ],
)
def test_whatIsNoReportIsNotBelieved(content: bytes) -> None:
    assert parse(content) is None


PIECES = st.sampled_from(
    [b"Final-Recipient: ", b"rfc822;", b"a@b", b"\r\n", b"\n", b"Action: failed", b" ", b"\x00", b"\xff"]
)


@given(st.lists(PIECES))
def test_anythingIsRead(pieces: list[bytes]) -> None:
    content = foreign("Reporting-MTA: dns; a", "@").replace(b"@", b"".join(pieces))
    found = parse(content)
    assert found is None or all(each.address for each in found.status.recipients)


@pytest.mark.parametrize(
    "body",
    [
        "\n\nFinal-Recipient: rfc822; a@b\nAction: failed" * 50_000,
        "\n\n" + "Final-Recipient: rfc822; a@b\n" * 100_000,
        "\n" + " " * 2_000_000 + "x",
        "\n" * 2_000_000,
        "\n\nFinal-Recipient: utf-8; " + "\\x{41" * 400_000,
        "\n\nAction: " + "(" * 1_000_000,
    ],
)
def test_noReportTakesLong(body: str) -> None:
    content = foreign("Reporting-MTA: dns; a" + body)
    started = time.process_time()
    found = parse(content)
    assert time.process_time() - started < 3
    assert found is None or len(found.status.recipients) <= dsn.MAX_RECIPIENTS


# --- notations -------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtextGivesBackWhatItWasMadeOf(text: str) -> None:
    xtext = encodeXtext(text)
    assert decodeXtext(xtext) == text
    assert all("!" <= each <= "~" and each != "=" for each in xtext)


@pytest.mark.parametrize(
    ("xtext", "text"),
    [("a+2Bb+3Dc", "a+b=c"), ("", ""), ("a+2b", None), ("a+", None), ("a=b", None), ("a b", None), ("ä", None), ("a\n", None)],
)
def test_xtextIsStrict(xtext: str, text: str | None) -> None:
    assert decodeXtext(xtext) == text


@pytest.mark.parametrize(
    ("orcpt", "original"),
    [
        ("rfc822;Bob+2Btag@example.org", "rfc822;Bob+tag@example.org"),
        ("utf-8;j\\x{FC}rgen@ex\\x{E4}mple.net", "utf-8;jürgen@exämple.net"),
        ("UTF-8;jürgen@exämple.net", "UTF-8;jürgen@exämple.net"),
        ("utf-8;\\x{110000}\\x{5C}", "utf-8;\\x{110000}\\"),
        ("x400;/C=xx", ""),
        ("rfc822;", ""),
        ("bob@example.org", ""),
        ("", ""),
    ],
)
def test_orcptIsReadAsTheSenderMeantIt(orcpt: str, original: str) -> None:
    assert fromORCPT(orcpt) == original


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Subject: hello\r\n", False),
        (b"Auto-Submitted: no\r\n", False),
        (b"Auto-Submitted: NO (by hand)\r\n", False),
        (b"Auto-Submitted: auto-generated; type=x\r\n", True),
        (b"auto-submitted:auto-replied\r\n", True),
        (b"Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n", True),
        (b"Precedence: bulk\r\n", True),
        (b"Precedence: first-class\r\n", False),
        (b"List-Id: <crew.example.org>\r\n", True),
        (b"List-Unsubscribe: <mailto:x@y>\r\n", True),
        (b"X-Auto-Response-Suppress: All\r\n", True),
        (b"Content-Type: multipart/report; boundary=b\r\n", True),
        (b"Content-Type: text/plain\r\n", False),
    ],
)
def test_programsAreTold(header: bytes, expected: bool) -> None:
    assert isAutomatic(header + b"\r\n") is expected


def test_aReportIsAutomaticItself() -> None:
    assert isAutomatic(rendered(about(FAILED)))


def test_aReportOfManyRecipientsIsMadeFast() -> None:
    names = (f"user{number}@example.net" for number in range(1000))
    status = about(*(RecipientStatus(name, Action.FAILED, "5.1.1", reply="550 no") for name in names))
    started = time.process_time()
    octets = rendered(status)
    assert time.process_time() - started < 2
    found = parse(octets)
    assert found is not None and found.status == status
