"""Binary parts made lines."""

import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.binarymime import isOfLines, withoutBinary

HEADER = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"


@pytest.mark.parametrize("body", [b"", b"a\r\nb", b"x" * 998 + b"\r\n", b"\xff\xfe\r\n"])
def test_what_is_lines_is_only_called_otherwise(body):
    assert isOfLines(body)
    assert withoutBinary(HEADER + body) == HEADER.replace(b"binary", b"8bit") + body


@pytest.mark.parametrize("body", [b"\0", b"a\nb", b"a\rb", b"\r", b"\n", b"x" * 1001, b"\r\r\n"])
def test_what_is_no_lines_becomes_base64(body):
    assert not isOfLines(body)
    content = withoutBinary(HEADER + body)
    assert isOfLines(content)
    assert email.message_from_bytes(content).get_payload(decode=True) == body


@given(st.binary(max_size=300))
def test_any_octets_come_back(body):
    assert email.message_from_bytes(withoutBinary(HEADER + body)).get_payload(decode=True) == body or isOfLines(body)


def test_parts_of_parts():
    part = b"Content-Type: image/x\r\nContent-Transfer-Encoding: BINARY\r\n\r\n\0\n\r"
    content = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    )
    made = withoutBinary(content)
    assert isOfLines(made) and b"binary" not in made.lower()
    text, image = email.message_from_bytes(made).get_payload()
    assert text.get_payload() == "hello"
    assert image.get_payload(decode=True) == b"\0\n\r"


def test_what_does_not_say_that_it_is_binary_stays():
    content = b"Subject: x\r\n\r\na\0b\nc"
    assert withoutBinary(content) == content
