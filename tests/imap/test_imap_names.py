"""Names on the wire: modified UTF-7, LIST patterns."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.errors import InvalidName
from mailfw.imap.grammar import mutf7, names
from mailfw.imap.grammar.pattern import Pattern


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", b"INBOX"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 §5.1.3
        ("A & B", b"A &- B"),
        ("Entwürfe", b"Entw&APw-rfe"),
        ("☺!", b"&Jjo-!"),
        ("&&", b"&-&-"),
        ("𝄞", b"&2DTdHg-"),
        ("tab\there", b"tab&AAk-here"),
        ("", b""),
    ],
)
def test_names_as_the_wire_spells_them(name, wire):
    assert mutf7.encode(name) == wire
    assert mutf7.decode(wire) == name


@given(st.text())
def test_what_was_encoded_is_decoded(name):
    assert mutf7.decode(mutf7.encode(name)) == name


@given(st.binary() | st.from_regex(rb"[&A-Za-z+,/ -]{0,30}", fullmatch=True))
def test_what_is_decoded_has_one_spelling(wire):
    try:
        name = mutf7.decode(wire)
    except ValueError:
        return
    assert mutf7.encode(name) == wire


@pytest.mark.parametrize(
    "wire",
    [
        b"&",
        b"a&b",
        b"&Jjo!",
        b"&Jjo",
        b"&AGE-",  # a letter that stands for itself
        b"&ACY-",  # `&`
        b"&Jjo-&Jjo-",  # one shift would do
        b"&Jjp-",  # bits after the end
        b"&2DQ-",  # half a surrogate pair
        b"&Jj-",
        b"&Jj/o-",
        b"Entw\xfcrfe",
        b"a\tb",
    ],
)
def test_other_spellings_are_no_names(wire):
    with pytest.raises(ValueError, match="modified UTF-7"):
        mutf7.decode(wire)
    with pytest.raises(InvalidName):
        names.decode(wire, isUTF8=False)


def test_a_hostile_name_is_refused_in_linear_time():
    start = time.process_time()
    for wire in (b"&" * 500_000, b"&A" * 250_000, b"&" + b"A" * 500_000):
        with pytest.raises(ValueError, match="modified"):
            mutf7.decode(wire)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("wire", "name"),
    [(b"inbox", "INBOX"), (b"InBox/Work", "INBOX/Work"), (b"inboxes", "inboxes"), (b"a/inbox", "a/inbox")],
)
def test_inbox_in_any_case(wire, name):
    assert names.decode(wire, isUTF8=False) == name
    assert names.decode(wire, isUTF8=True) == name


@pytest.mark.parametrize(
    ("name", "mUTF7", "UTF8"),
    [
        ("INBOX", b"INBOX", b"INBOX"),
        ("a b", b'"a b"', b'"a b"'),
        ("nil", b'"nil"', b'"nil"'),
        ("", b'""', b'""'),
        ("ü", b"&APw-", '"ü"'.encode()),
        ("A & B", b'"A &- B"', b'"A & B"'),
        ("a]", b'"a]"', b'"a]"'),
        ("50%", b'"50%"', b'"50%"'),
    ],
)
def test_names_as_they_are_sent(name, mUTF7, UTF8):
    assert (names.mailbox(name, isUTF8=False), names.mailbox(name, isUTF8=True)) == (mUTF7, UTF8)


def test_whoever_has_not_enabled_it_may_send_UTF_8_all_the_same():
    assert names.decode("Entwürfe".encode(), isUTF8=False) == "Entwürfe"
    assert names.decode(b"&APw-", isUTF8=True) == "&APw-"
    with pytest.raises(InvalidName):
        names.decode(b"\xff", isUTF8=True)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"*", [b"INBOX", b"a/b/c"], []),
        (b"%", [b"INBOX", b"a"], [b"a/b"]),
        (b"a/%", [b"a/b", b"a/"], [b"a", b"a/b/c"]),
        (b"%/%", [b"a/b"], [b"a", b"a/b/c"]),
        (b"*%", [b"a/b/c"], []),
        (b"%*", [b"a/b/c"], []),
        (b"%%", [b"a"], [b"a/b"]),
        (b"*b*", [b"abc", b"a/b/c", b"b"], [b"ac"]),
        (b"inbox", [b"INBOX"], [b"INBOXES", b"Inbox2"]),
        (b"inBOX/%", [b"INBOX/x"], [b"INBOX"]),
        (b"in%", [b"INBOX", b"inlay"], [b"INBOX/x", b"INLAY"]),
        (b"Foo", [b"Foo"], [b"foo"]),
        (b"&Jj*", [b"&Jjo-"], []),
        (b"", [b""], [b"a"]),
        (b"a" * 5000, [], [b"a" * 5000]),
    ],
)
def test_patterns(pattern, matching, other):
    compiled = Pattern(pattern)
    assert [name for name in matching if not compiled.matches(name)] == []
    assert [name for name in other if compiled.matches(name)] == []


@given(st.text("ab/%*", max_size=8), st.text("ab/", max_size=8))
def test_patterns_are_what_a_regular_expression_says(pattern, name):
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(char, re.escape(char)) for char in pattern)
    expected = re.fullmatch(expression, name) is not None
    assert Pattern(pattern.encode()).matches(name.encode()) is expected


def test_a_hostile_pattern_is_matched_in_linear_time():
    pattern = Pattern(b"*a%" * 1300 + b"b")
    start = time.process_time()
    assert not pattern.matches(b"a" * 5000)
    assert time.process_time() - start < 1
