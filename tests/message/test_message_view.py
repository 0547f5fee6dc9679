"""What a test sees of a message."""

from __future__ import annotations

from base64 import b64encode
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.view import Attachment, Message


def plain(text: str) -> Message:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content(text)
    return Message(message.as_bytes())


def whole() -> Message:
    message = EmailMessage()
    message["Subject"] = "Your order"
    message["To"] = "jsmith@example.org"
    message.set_content("See https://shop.example/orders/7?a=1&b=2. (Or http://shop.example/wiki/Mail_(post).)\n")
    message.add_alternative(
        '<style>a { color: #123456 }</style><p>See <a href="https://shop.example/orders/7?a=1&amp;b=2">it</a>, '
        '<a href="mailto:x@shop.example">write</a> or <a href="https://shop.example/help">read</a></p>',
        subtype="html",
    )
    message.add_attachment(b"a,b\r\n1,2\r\n", maintype="text", subtype="csv", filename="Übersicht.csv")
    inner = EmailMessage()
    inner["Subject"] = "inside"
    inner.set_content("attached text\n")
    message.add_attachment(inner)
    return Message(message.as_bytes())


def test_texts() -> None:
    message = whole()
    assert message.subject == message["subject"] == "Your order" and "To" in message and "Cc" not in message
    assert message.text.startswith("See https://") and message.text.endswith(".)\n")
    assert message.html.startswith("<style>")
    assert plain("x\n").html == "" and plain("ä\n").text == "ä\n" and plain("x").subject == "Grüße"
    with pytest.raises(KeyError):
        message["Cc"]


def test_attachments() -> None:
    table, inner = whole().attachments
    assert table == Attachment("Übersicht.csv", "text/csv", b"a,b\r\n1,2\r\n")
    assert inner.type == "message/rfc822" and b"attached text" in inner.content


def test_broken_html() -> None:
    """What came before it is read."""
    content = b'Content-Type: text/html\r\n\r\n<a href="http://shop.example/">x</a><![foo bar>'
    assert Message(content).links() == ["http://shop.example/"]


def test_links() -> None:
    assert whole().links() == [
        "https://shop.example/orders/7?a=1&b=2",
        "https://shop.example/help",
        "http://shop.example/wiki/Mail_(post)",
    ]
    assert whole().links("/help") == ["https://shop.example/help"]
    assert plain("no link").links() == []


@pytest.mark.parametrize(
    "text, code",
    [
        ("Your code is 123456.", "123456"),
        ("Your code: 123 456", "123456"),
        ("123-456 is what to type", "123456"),
        ("Order 20261 of 2026: type the code 4711", "4711"),
        ("Hello 1999!\n\n  884422  \n\nBye", "884422"),
        ("code 123456, once more: code 123456", "123456"),
        ("https://shop.example/reset?code=999999 or 123456", "123456"),
        ("It costs 1234.50 and weighs 12,345 g; 654321", "654321"),
    ],
)
def test_codes(text: str, code: str) -> None:
    assert plain(text).otp() == code


def test_code_of_html() -> None:
    message = EmailMessage()
    message.set_content("<style>p { color: #123456 }</style><p>Your code</p><p><b>778899</b></p>", subtype="html")
    assert Message(message.as_bytes()).otp() == "778899"


def test_no_telling_which_code() -> None:
    with pytest.raises(LookupError, match="is none"):
        plain("no code, call 123").otp()
    with pytest.raises(LookupError, match="one of 1234, 567890, and nothing tells which"):
        plain("1234 or 567890").otp()
    assert plain("1234 or 567890").otp(length=6) == "567890"


@given(
    st.binary(max_size=200)
    | st.sampled_from([b"Content-Type: text/plain; charset=no\r\n\r\nx", b"Content-Type: multipart/mixed\r\n\r\n"])
)
def test_anything_can_be_looked_at(content: bytes) -> None:
    """A program under test may send anything; looking at it shows what it is and never breaks the test."""
    message = Message(content)
    assert isinstance(message.text + message.html + message.subject, str)
    assert isinstance(message.links() + [each.name for each in message.attachments], list)


_PIECES = [
    *(b"\r\n", b": ", b";", b"=", b"<", b">", b"@", b"a", b"\0", b"\xff", b"\xed\xa0\x80", b'"'),
    *(b"=?utf-7?q?+2AA-?=", b"=?utf-8?q?=E2=80=A8?=", b"=?utf-8?q?=ff?="),
    *(b"Subject", b"From", b"Message-ID", b"References", b"Content-Type", b"Content-Disposition", b"Content-Transfer-Encoding"),
    *(b"base64", b"multipart/mixed", b"multipart/report", b"message/rfc822", b"text/html", b"charset=utf-7", b"charset=utf-16"),
    *(b"boundary=b", b"\r\n--b\r\n", b"filename*=utf-8''%ff%00", b"attachment", b"<a href=", b"&#" + b"9" * 5000, b"code 1234"),
]


_SENDERS = ["", "a@b.example", "=?utf-8?q?=ff?=@b.example"]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join), st.sampled_from(_SENDERS))
def test_anything_can_be_answered_and_written_down(content: bytes, sender: str) -> None:
    """A function that raises for what a stranger wrote would be called again for days."""
    message = Message(content, sender, ("c@d.example",))
    assert message.isAutomatic in (True, False)
    assert message.reply(message.text or "x", html=message.html).as_bytes()
    for each in message.attachments:
        assert (each.safeName + each.type).encode() and "/" not in each.safeName
    "".join((message.subject, message.text, message.html, *message.links(), *message.all("From"))).encode()


@pytest.mark.parametrize("word", ["=?utf-16?q?=D8=00?=", "=?utf-8?q?=ff?="])
def test_what_looks_encoded_and_is_not_can_be_answered(word: str) -> None:
    """The standard library decodes what it is given to write, and could not write it then."""
    encoded = b64encode(word.encode()).decode()
    header = f"Message-ID: <{word}>\r\nSubject: =?utf-8?b?{encoded}?=\r\n\r\n".encode()
    message = Message(header, f"{word}@b.example", (f"{word}@example.org",))
    answer = Message(message.reply("x").as_bytes())
    assert answer["From"] == "postmaster@example.org" and answer["To"] == "undisclosed-recipients:;"
    assert answer.subject.startswith("Re: = ?utf-")
