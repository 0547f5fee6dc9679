"""FETCH responses made of rows: pure, in pieces, and fast."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.errors import Vanished
from mailfw.imap.grammar.commands import parse
from mailfw.imap.grammar.fetch import Attribute
from mailfw.imap.grammar.tokens import CommandText
from mailfw.imap.rendering import PIECE, Renderer
from mailfw.imap.trees import KEPT_FROM, TreeKeeper
from mailfw.values import Column, UIDSet

MESSAGE = (
    b"Subject: s\r\nFrom: f@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n--b--\r\n"
)


class Content:
    """A message that counts what is read of it; `isGone` after so many reads."""

    def __init__(self, octets, readsLeft=1 << 30):
        self.octets = octets
        self.size = len(octets)
        self.reads = []
        self.readsLeft = readsLeft

    def read(self, start=0, length=-1):
        if len(self.reads) >= self.readsLeft:
            raise Vanished()
        end = self.size if length < 0 else start + length
        self.reads.append((start, end))
        return self.octets[start:end]


def row(columns, uid, content, flags=frozenset()):
    header = content.octets[: content.octets.index(b"\r\n\r\n") + 4]
    values = {
        Column.UID: uid,
        Column.MODSEQ: 77,
        Column.FLAGS: flags,
        Column.INTERNAL_DATE: 1_790_000_000.0,
        Column.SIZE: content.size,
        Column.ENVELOPE: b"(envelope)",
        Column.BODY_STRUCTURE: b'("text" "plain" NIL NIL NIL "7bit" 1 1 NIL NIL NIL NIL)',
        Column.HEADER: header,
        Column.CONTENT: content,
        Column.EMAIL_ID: "E1",
        Column.THREAD_ID: "T1",
        Column.SAVE_DATE: 1_790_000_000.0,
        Column.PREVIEW: "a preview",
        Column.KEPT_PREVIEW: None,
    }
    return tuple(values[column] for column in columns)


def renderer(items, uids=(5,), recentFrom=1000, marked=None, trees=None):
    fetch = parse(CommandText(b"a FETCH 1 " + items)).command
    return Renderer(fetch.items, memoryview(array("I", uids)), UIDSet(((recentFrom, 2**32 - 1),)), marked, trees)


def rendered(items, content=None, **options):
    one = renderer(items, **options)
    return b"".join(one([row(one.columns, 5, content or Content(MESSAGE))]))


def test_it_reads_no_more_than_it_needs():
    assert renderer(b"FLAGS").columns == (Column.UID, Column.FLAGS)
    assert renderer(b"(UID UID)").columns == (Column.UID,)
    assert renderer(b"(BODY BODYSTRUCTURE)").columns == (Column.UID, Column.BODY_STRUCTURE)
    assert renderer(b"(BODY[HEADER] RFC822.HEADER)").columns == (Column.UID, Column.HEADER)
    assert renderer(b"BODY[]").columns == (Column.UID, Column.CONTENT)
    assert renderer(b"BODY[1.MIME]").columns == (Column.UID, Column.CONTENT)
    content = Content(MESSAGE)
    rendered(b"BODY[]<10.5>", content)
    assert content.reads == [(10, 15)]


def test_attributes_in_the_order_of_the_request():
    assert rendered(b"(RFC822.SIZE UID BODY ENVELOPE INTERNALDATE FLAGS)") == (
        b'* 1 FETCH (RFC822.SIZE %d UID 5 BODY ("text" "plain" NIL NIL NIL "7bit" 1 1) ENVELOPE (envelope) '
        b'INTERNALDATE "21-Sep-2026 14:13:20 +0000" FLAGS ())\r\n' % len(MESSAGE)
    )


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        (b"BODY[]", b"BODY[] {%d}\r\n%b" % (len(MESSAGE), MESSAGE)),
        (b"BODY[HEADER.FIELDS (from)]", b"BODY[HEADER.FIELDS (from)] {23}\r\nFrom: f@example.org\r\n\r\n"),
        (b"(BODY[1] UID)", b"BODY[1] {3}\r\none UID 5"),
        (b"BODY[2]<3.3>", b"BODY[2]<3> {3}\r\ntwo"),
        (b"BODY[2.MIME]<8.4294967295>", b"BODY[2.MIME]<8> {19}\r\nType: text/html\r\n\r\n"),
        (b"BODY[3]", b"BODY[3] NIL"),
        (b"BODY[HEADER.FIELDS (to)]<1.1>", b"BODY[HEADER.FIELDS (to)]<1> {1}\r\n\n"),
        (b"BODY[]<99999.5>", b"BODY[]<99999> {0}\r\n"),
    ],
)
def test_sections(items, answer):
    assert rendered(items) == b"* 1 FETCH (%b)\r\n" % answer


@pytest.mark.parametrize("items", [b"FLAGS", b"(FLAGS BODY.PEEK[HEADER]<0.1>)"])
def test_recent(items):
    one = renderer(items, uids=(5, 6), recentFrom=6)
    contents = Content(MESSAGE), Content(MESSAGE)
    first, second = one([row(one.columns, uid, content) for uid, content in zip((5, 6), contents, strict=True)])
    assert b"FLAGS ()" in first
    assert b"FLAGS (\\Recent)" in second


def test_messages_the_client_does_not_know_of_are_left_out():
    one = renderer(b"UID", uids=(2, 5, 9))
    rows = [row(one.columns, uid, Content(MESSAGE)) for uid in (2, 3, 9, 12)]
    assert list(one(rows)) == [b"* 1 FETCH (UID 2)\r\n", b"* 3 FETCH (UID 9)\r\n"]
    assert one.count == 2


def test_flags_given_by_the_fetch_itself_are_told_once():
    seen = {5: frozenset(("\\Seen",))}
    assert rendered(b"BODY[1]", marked=seen) == b"* 1 FETCH (BODY[1] {3}\r\none FLAGS (\\Seen))\r\n"
    assert rendered(b"BODY[1]", marked={7: frozenset()}) == b"* 1 FETCH (BODY[1] {3}\r\none)\r\n"
    assert rendered(b"(FLAGS BODY[1])", marked=seen).count(b"FLAGS") == 1


@given(st.integers(0, 3 * PIECE), st.integers(0, 3 * PIECE), st.integers(1, 3 * PIECE))
def test_any_part_of_any_size_is_exact(size, start, length):
    octets = b"A: b\r\n\r\n" + bytes(range(1, 256)) * (size // 255 + 1)
    octets = octets[: size + 8]
    answer = rendered(b"BODY[]<%d.%d>" % (start, length), Content(octets))
    part = octets[start : start + length]
    assert answer == b"* 1 FETCH (BODY[]<%d> {%d}\r\n%b)\r\n" % (start, len(part), part)


def test_a_large_message_is_read_as_it_is_sent():
    content = Content(b"A: b\r\n\r\n" + b"x" * 10 * PIECE)
    one = renderer(b"BODY[]")
    pieces = one([row(one.columns, 5, content)])
    next(pieces)
    assert len(content.reads) <= 2
    assert one.isInside
    rest = list(pieces)
    assert max(map(len, rest)) <= 2 * PIECE
    assert not one.isInside


def test_a_message_gone_before_it_is_begun_is_left_out():
    one = renderer(b"(UID BODY[])", uids=(5, 6))
    rows = [row(one.columns, 5, Content(MESSAGE, readsLeft=0)), row(one.columns, 6, Content(MESSAGE))]
    [answer] = one(rows)
    assert answer.startswith(b"* 2 FETCH (UID 6 BODY[] {")
    assert (one.count, one.isInside) == (1, False)


def test_a_message_gone_in_the_middle_cannot_be_told():
    one = renderer(b"BODY[]")
    pieces = one([row(one.columns, 5, Content(b"A: b\r\n\r\n" + b"x" * 10 * PIECE, readsLeft=3))])
    with pytest.raises(Vanished):
        list(pieces)
    assert one.isInside


def test_a_content_shorter_than_its_size_is_an_error():
    content = Content(MESSAGE)
    content.size += 1
    assert rendered(b"BODY[]", content) == b""


def test_a_large_message_fetched_part_by_part_is_looked_through_once():
    body = b"--b\r\n\r\n" + b"x" * KEPT_FROM + b"\r\n--b--\r\n"
    content = Content(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body)
    trees = TreeKeeper()
    for start in range(0, 100, 10):
        rendered(b"BODY.PEEK[1]<%d.10>" % start, content, trees=trees)
    assert sum(1 for start, end in content.reads if end - start == content.size) == 1
    assert len(content.reads) == 11


def test_every_item_has_a_column_and_a_format():
    for attribute in Attribute:
        assert attribute.value.removesuffix(b" (LAZY)") in rendered(attribute.value)


@pytest.mark.parametrize("item", [b"BODY[]", b"BODY[TEXT]", b"BODY[HEADER]", b"BODY[HEADER.FIELDS (X)]", b"BODY[1]<0.2>"])
def test_no_nul_is_sent(item):
    said = rendered(item, Content(b"Subject: \0s\r\nX: \0\r\n\r\nb\0dy\r\n"))
    assert b"\0" not in said and b"\x80" in said
    assert said.endswith(b")\r\n") and int(said.partition(b"{")[2].partition(b"}")[0]) == len(said.partition(b"\r\n")[2]) - 3
