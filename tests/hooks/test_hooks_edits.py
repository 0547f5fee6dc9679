"""Edits: what they do to a message, and what they can never do to it."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.hooks.edits import applied, edited, line
from mailfw.message.source import headerOf, without
from mailfw.stages import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    DeleteHeader,
    Event,
    RemoveRecipient,
    ReplaceBody,
    Stage,
)
from mailfw.values import Address, Envelope, MessageSource, Recipient

CONTENT = b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\n\r\nbody\r\n"


def change(edit, content=CONTENT):
    return edited(MessageSource(content), edit).read()


@pytest.mark.parametrize(
    ("edit", "header"),
    [
        (AddHeader("X", "y"), b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\nX: y\r\n"),
        (AddHeader("X", "y", 0), b"X: y\r\nA: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\n"),
        (AddHeader("X", "y", 2), b"A: 1\r\nB: 2\r\n\tfolded\r\nX: y\r\na: 3\r\n"),
        (AddHeader("X", "y", 99), b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\nX: y\r\n"),
        (AddHeader("X", "y\n z\n\tw"), b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\nX: y\r\n z\r\n\tw\r\n"),
        (ChangeHeader("B", "5"), b"A: 1\r\nB: 5\r\na: 3\r\n"),
        (ChangeHeader("A", "5", 2), b"A: 1\r\nB: 2\r\n\tfolded\r\nA: 5\r\n"),
        (ChangeHeader("C", "5"), b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\nC: 5\r\n"),
        (DeleteHeader("a"), b"B: 2\r\n\tfolded\r\n"),
        (DeleteHeader("A", 1), b"B: 2\r\n\tfolded\r\na: 3\r\n"),
        (DeleteHeader("A", 3), b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\n"),
        (DeleteHeader("C"), b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\n"),
    ],
)
def test_headers(edit, header):
    assert change(edit) == header + b"\r\nbody\r\n"


@pytest.mark.parametrize("content", [b"", b"\r\n", b"A: 1", b"A: 1\r\n", b"A: 1\r\n\r\n", b"no header here", b"no\r\n\r\nheader"])
@pytest.mark.parametrize("edit", [AddHeader("X", "y"), AddHeader("X", "y", 0), ChangeHeader("X", "y")])
def test_a_field_is_one_whatever_the_message_lacks(content, edit):
    changed = change(edit, content)
    assert email.message_from_bytes(changed)["X"] == "y"
    assert len(changed) - len(content) in (len(b"X: y\r\n"), len(b"X: y\r\n\r\n"))


def test_bodies():
    assert change(ReplaceBody(b"new")) == b"A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\n\r\nnew"
    assert change(ReplaceBody(b"a\nb\rc\0\r\n")).endswith(b"\r\n\r\na\r\nb\r\nc\r\n")
    assert change(ReplaceBody(b"new"), b"A: 1") == b"A: 1\r\n\r\nnew"
    assert change(ReplaceBody(b"new"), b"") == b"\r\nnew"
    assert change(ReplaceBody(MessageSource(b"b", prefix=b"p"))).endswith(b"\r\n\r\npb")


def test_a_spooled_body_stays_where_it_is(tmp_path):
    file = tmp_path / "spool"
    file.write_bytes(b"xx" + CONTENT + b"z" * 300_000)
    message = MessageSource(path=str(file), offset=2, length=len(CONTENT) + 300_000)
    changed = edited(edited(message, AddHeader("X", "y", 0)), DeleteHeader("B"))
    assert changed.path == message.path and len(changed.prefix) < 100
    assert changed.read() == b"X: y\r\nA: 1\r\na: 3\r\n\r\nbody\r\n" + b"z" * 300_000


def test_envelopes():
    a, b = Recipient(Address("a", "x")), Recipient(Address("b", "x"))
    event = Event(Stage.END_OF_MESSAGE, envelope=Envelope(Address("s", "x"), (a,)))
    after = applied(event, [AddRecipient(b), AddRecipient(b), RemoveRecipient(a.address), RemoveRecipient(a.address)])
    assert after.envelope == Envelope(Address("s", "x"), (b,))
    assert applied(event, [ChangeSender(None)]).envelope.sender is None


@pytest.mark.parametrize("name", ["", "a b", "a:", "ä", "a\r\n", "\0"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError):
        line(name, "x")


@given(st.text(max_size=3000))
def test_no_value_begins_a_field_or_ends_the_header(value):
    octets = line("X", value)
    assert octets.endswith(b"\r\n") and b"\0" not in octets
    assert b"\n" not in octets.replace(b"\r\n", b"") and b"\r" not in octets.replace(b"\r\n", b"")
    first, *more = octets[:-2].split(b"\r\n")
    assert first.startswith(b"X:") and all(each[:1] in (b" ", b"\t") and each.strip() for each in more)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_source_in_two_halves(content, cut):
    message = MessageSource(content[cut:], prefix=content[:cut])
    header = headerOf(message)
    assert header + without(message, len(header)).read() == content
