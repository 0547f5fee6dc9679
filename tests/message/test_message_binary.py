"""Parts that hold NUL are kept in base64, and nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.binary import withoutNUL
from mailfw.message.decoding import UnknownEncoding
from mailfw.message.mime import scan
from mailfw.message.section import binary


def whole(content):
    return b"".join(withoutNUL(content))


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=100))
def test_what_is_decoded_is_what_was_sent(first, second):
    header = b"Content-Type: multipart/mixed; boundary=-=b=-\r\n\r\n"
    content = header + b"---=b=-\r\nX: y\r\n\r\n%b\r\n---=b=-\r\n\r\n%b\r\n---=b=---\r\n" % (first, second)
    before = scan(content)
    kept = whole(content)
    assert b"\0" not in kept
    after = scan(kept)
    for number in 1, 2:
        assert binary((number,), kept, after) == binary((number,), content, before)


@given(st.binary(max_size=300).filter(lambda octets: b"\0" not in octets))
def test_what_has_no_nul_stays_as_it_is(octets):
    assert whole(b"A: b\r\n\r\n" + octets) == b"A: b\r\n\r\n" + octets


def test_a_message_in_a_message():
    inner = b"Subject: inner\r\nContent-Transfer-Encoding: 8bit\r\n\r\na\0"
    kept = whole(b"Content-Type: message/rfc822\r\n\r\n" + inner)
    assert kept == (
        b"Content-Type: message/rfc822\r\n\r\nContent-Transfer-Encoding: base64\r\nSubject: inner\r\n\r\nYQA=\r\n"
    )


def test_lines_are_short():
    kept = whole(b"\r\n" + b"\0" * 1000)
    assert max(map(len, kept.split(b"\r\n"))) == 76
    assert binary((1,), kept, scan(kept)) == b"\0" * 1000


def test_a_large_part_comes_in_small_pieces():
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n%b\r\n--b--\r\n" % (b"\0" * 1_000_000)
    pieces = list(withoutNUL(content))
    assert max(map(len, pieces)) < 100_000
    kept = b"".join(pieces)
    assert binary((1,), kept, scan(kept)) == b"\0" * 1_000_000
    assert kept.endswith(b"=\r\n--b--\r\n")


@pytest.mark.parametrize(
    "content",
    [
        b"A: \0\r\n\r\n",
        b"no header at all \0",
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n\0",
        b"Content-Transfer-Encoding: x-own\r\n\r\n\0",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n\0",
    ],
)
def test_what_cannot_be_encoded_is_refused(content):
    with pytest.raises(UnknownEncoding):
        whole(content)
