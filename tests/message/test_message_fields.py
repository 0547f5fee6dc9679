"""The fields that people search, kept beside messages: they must tell what the header tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import fields
from mailfw.message.fuzzy import Word
from mailfw.message.text import Needle

WORDS = ["", "Anna", "ANNA <a@x>", '"Anna, B" <a@x.example>', "=?utf-8?q?=C3=84nne?= <c@d>", "Gruppe: a@b, c@d;", "ﬁsch ß\0\x01x"]
lines = st.lists(st.tuples(st.sampled_from(["From", "to", "CC", "Bcc", "Subject", "X"]), st.sampled_from(WORDS)), max_size=6)
needles = st.sampled_from(["", "a", "anna", "Ä", "änne", "anna <", "fisch", "ss", "a@x.example", "\x01", "\0", "\ufffd", "b, c"])


@given(lines, needles, st.sampled_from(["from", "To", "cc", "bcc", "SUBJECT"]), st.sampled_from([Needle, Word]))
def test_what_is_kept_tells_what_the_header_tells(some, text, name, kind):
    header = "".join(f"{field}: {value}\r\n" for field, value in some).encode() + b"\r\n"
    needle = kind.of(text)
    packed = fields.pack(header)
    assert packed is not None
    packed.encode()  # a database takes it
    octets = name.encode()
    if fields.isPacked(octets, needle):
        assert fields.isIn(needle, packed, octets) is needle.isInField(header, octets)


def test_only_what_is_kept_can_be_told():
    needle = Needle.of("x")
    assert [name for name in (b"From", b"subject", b"reply-to", b"x") if fields.isPacked(name, needle)] == [b"From", b"subject"]


@pytest.mark.parametrize("header", [b"To: " + b"x@example.org, " * 400, b"Subject: " + b"x" * 5000, b"Subject: x\r\n" * 3000])
def test_what_is_too_long_is_not_kept(header):
    assert fields.pack(header + b"\r\n\r\n") is None


def test_a_name_that_is_not_ascii_is_in_the_header_only():
    assert not fields.isPacked("Überschrift".encode(), Needle.of("x"))
