"""8-bit messages become 7-bit ones that say the same, as the standard library reads them."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.sevenbit import sevenBit


def leaves(content):
    message = email.message_from_bytes(content, policy=email.policy.SMTP)
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in message.walk() if not part.is_multipart()]


TEXT = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
MIXED = (
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngrüße = \r\n"
    "--b\r\n\r\nplain text\r\n"
    "--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\nöctets\r\n"
    "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: in\r\n\r\ninnen ü\r\n"
    "--b--\r\n"
).encode()


@pytest.mark.parametrize(
    "content",
    [
        (TEXT + "grüße\r\nline two  \r\n.\r\n").encode(),
        (TEXT + "ü" * 500).encode(),
        MIXED,
        "Subject: no MIME\r\n\r\nübel\r\n".encode(),
    ],
    ids=["text", "long line", "mixed", "no MIME"],
)
def test_the_same_is_said(content):
    converted = sevenBit(content)
    assert converted.isascii()
    assert max(map(len, converted.split(b"\r\n"))) <= 78
    assert b"\n" not in converted.replace(b"\r\n", b"")
    assert leaves(converted) == leaves(content)


def test_ascii_parts_and_messages_stay():
    assert b"--b\r\n\r\nplain text\r\n--b" in sevenBit(MIXED)
    assert sevenBit(TEXT.encode() + b"ascii\r\n") == TEXT.encode() + b"ascii\r\n"


@pytest.mark.parametrize(
    "content",
    [
        "Subject: ü\r\n\r\nx",
        "Content-Transfer-Encoding: base64\r\n\r\nü",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble ü\r\n--b\r\n\r\nx\r\n--b--\r\n",
        "ü",
    ],
)
def test_what_cannot_be_converted(content):
    assert sevenBit(content.encode()) is None


@given(st.text().filter(lambda text: not text.isascii()))
def test_any_text(text):
    content = (TEXT + "\r\n".join(text.splitlines())).encode("utf-8", "ignore")
    converted = sevenBit(content)
    if content.isascii():
        assert converted == content
    else:
        assert converted.isascii()
        assert leaves(converted) == leaves(content)
