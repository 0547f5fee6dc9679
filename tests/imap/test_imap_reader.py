"""Commands put together from lines and literals."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.imap.grammar.response import bad
from mailfw.imap.grammar.tokens import CommandText, Literal
from mailfw.imap.reader import CONTINUE, MAX_COMMAND, CommandReader, Declined, OutOfStep, Ready, WantsLiteral
from mailfw.values import MessageSource


class ListSpool:
    """A spool in memory that may have no room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""
        self.finished = 0
        self.isDiscarded = False

    def write(self, data):
        if len(self.data) + len(data) > self.room:
            raise OSError("no space left on device")
        self.data += data

    def finish(self):
        start, self.finished = self.finished, len(self.data)
        return MessageSource(data=self.data[start:])

    def discard(self):
        self.isDiscarded = True


class Client:
    """Feeds a reader as a connection does, and keeps what it says."""

    def __init__(self, messageSize: int = 1000, room: int = 1 << 30) -> None:
        self.spools: list[ListSpool] = []
        self.said: list[object] = []
        self.room = room
        self.reader = CommandReader(self.spool, lambda name: bad("not now") if name == b"XNOTNOW" else None)
        self.reader.messageSize = messageSize
        self.rest = b""
        self.sink = None

    def spool(self):
        self.spools.append(ListSpool(self.room))
        return self.spools[-1]

    def send(self, data: bytes) -> list[object]:
        """Everything the reader answers to these octets: prompts as bytes, the rest as its events."""
        start = len(self.said)
        self.rest += data
        while True:
            if self.sink is not None:
                rest = self.sink.feed(self.rest)
                self.rest = b""
                if rest is None:
                    break
                self.rest = rest
                self.reader.literalDone(self.sink)
                self.sink = None
                continue
            line, found, rest = self.rest.partition(b"\r\n")
            if not found:
                break
            self.rest = rest
            self.take(self.reader.line(line))
        return self.said[start:]

    def take(self, event):
        if not isinstance(event, WantsLiteral):
            self.said.append(event)
            return
        if event.prompt:
            self.said.append(event.prompt)
        self.sink = event.sink


def declined(text: bytes, **options: int) -> tuple[bytes, bytes, bytes]:
    """Tag, condition and code of the one answer to an input that is refused."""
    said = [event for event in Client(**options).send(text) if event != CONTINUE]
    [event] = said
    assert isinstance(event, Declined)
    return event.tag, event.reply.condition, event.reply.code


def test_a_line_is_a_command():
    assert Client().send(b"a NOOP\r\nb NOOP\r\n") == [Ready(CommandText(b"a NOOP")), Ready(CommandText(b"b NOOP"))]


def test_literals_are_waited_for_when_the_client_waits():
    client = Client()
    assert client.send(b"a LOGIN {3}\r\n") == [CONTINUE]
    assert client.send(b"foo {4+}\r\nba") == []
    assert client.send(b"r!\r\n") == [
        Ready(CommandText(b"a LOGIN {3}\r\n {4+}\r\n", (Literal(b"foo"), Literal(b"bar!"))))
    ]


@pytest.mark.parametrize("announced", [b"{0}", b"{0+}", b"~{0+}"])
def test_an_empty_literal(announced):
    [event] = [event for event in Client().send(b"a SELECT %b\r\n\r\n" % announced) if event != CONTINUE]
    assert event == Ready(CommandText(b"a SELECT %b\r\n" % announced, (Literal(b"", isBinary=announced[:1] == b"~"),)))


def test_a_message_goes_to_a_spool():
    client = Client()
    [prompt, event] = client.send(b"a APPEND {5}\r\nINBOX (\\Seen) {11}\r\nhello\r\nworld\r\n")[1:] or [None, None]
    assert prompt == CONTINUE
    assert event.text.literals[1] == Literal(source=MessageSource(data=b"hello\r\nworl"[:11]))
    assert not client.spools[0].isDiscarded
    client.reader.release()
    assert client.spools[0].isDiscarded


_STREAM = (
    b"a LOGIN {3+}\r\nfoo {0+}\r\n\r\n"
    b"b APPEND x (\\Seen) {11+}\r\n{3+}\r\nab\r\nc\r\n"
    b"c APPEND x {2000+}\r\n" + b"y" * 2000 + b"\r\n"
    b"d XNOTNOW {5+}\r\nhello {2+}\r\nxx\r\n"
    b"e NOOP\r\n"
    b"g APPEND {1+}\r\nx {3+}\r\nA:b (\\Seen) ~{5+}\r\n{2+}\r"
    b" CATENATE (TEXT {2+}\r\n\r\n URL {3+}\r\nu\r\n URL u TEXT {0+}\r\n)\r\n"
    b"f SEARCH SUBJECT {6+}\r\n{1+}\r\n TO {1}\r\nz\r\n"
)  # fmt: skip


@given(st.lists(st.integers(0, len(_STREAM)), max_size=20))
def test_it_does_not_matter_how_the_input_is_split(cuts):
    whole, pieces = Client(), Client()
    whole.send(_STREAM)
    places = [0, *sorted(cuts), len(_STREAM)]
    for start, end in itertools.pairwise(places):
        pieces.send(_STREAM[start:end])
    assert pieces.said == whole.said
    assert [type(event).__name__ for event in whole.said] == [
        "Ready",
        "Ready",
        "Declined",
        "Declined",
        "Ready",
        "Ready",
        "bytes",
        "Ready",
    ]


def test_many_messages_in_one_command_cost_one_spool_and_no_more_than_their_octets():
    client = Client()
    client.send(b"a APPEND x" + b" (\\Seen) {3+}\r\nA:b" * 1000 + b"\r\n")
    [event] = client.said
    assert [literal.source.read() for literal in event.text.literals] == [b"A:b"] * 1000
    assert len(client.spools) == 1
    assert client.send(b"b APPEND x" + b" {3+}\r\nA:b" * 1001 + b"\r\n")[-1].reply.condition == b"BAD"


# --- Refused before it is read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"a APPEND x {1001}\r\n", (b"a", b"NO", b"TOOBIG")),
        (b"a APPEND x {99999999999999999999999}\r\n", (b"a", b"NO", b"TOOBIG")),
        (b"a APPEND {5}\r\nINBOX {1001}\r\n", (b"a", b"NO", b"TOOBIG")),
        (b"a APPEND x (\\Funny) {5}\r\n", (b"a", b"BAD", b"")),
        (b'a APPEND x "yesterday" {5}\r\n', (b"a", b"BAD", b"")),
        (b"a APPEND &&& {5}\r\n", (b"a", b"NO", b"CANNOT")),
        (b"a APPEND x ~{1001}\r\n", (b"a", b"NO", b"TOOBIG")),
        (b"a APPEND ~{5}\r\nINBOX {1001}\r\n", (b"a", b"BAD", b"")),
        (b"a APPEND x UTF8 (~{5}\r\n", (b"a", b"BAD", b"")),
        (b"a APPEND x CATENATE (TEXT {1001}\r\n", (b"a", b"NO", b"TOOBIG")),
        (b"a APPEND x CATENATE (TEXT 5 {1}\r\n", (b"a", b"BAD", b"")),
        (b"a APPEND x CATENATE (OTHER {1}\r\n", (b"a", b"BAD", b"")),
        (b"a REPLACE 1:2 x {5}\r\n", (b"a", b"BAD", b"")),
        (b"a UID REPLACE 1 x {1001}\r\n", (b"a", b"NO", b"TOOBIG")),
        (b"a SELECT {%d}\r\n" % MAX_COMMAND, (b"a", b"BAD", b"TOOBIG")),
        (b"a XNOTNOW {5}\r\n", (b"a", b"BAD", b"")),
        (b"a  {5}\r\n", (b"a", b"BAD", b"")),
        (b"{5}\r\n", (b"*", b"BAD", b"")),
        (b"\xff {5}\r\n", (b"*", b"BAD", b"")),
    ],
)
def test_a_literal_is_refused_when_it_is_announced(text, answer):
    assert declined(text) == answer


def test_a_refused_literal_that_comes_anyway_is_read_past():
    client = Client()
    [event, following] = client.send(b"a APPEND x {1500+}\r\n" + b"y\r\n" * 500 + b"\r\nb NOOP\r\n")
    assert (event.tag, event.reply.code) == (b"a", b"TOOBIG")
    assert following == Ready(CommandText(b"b NOOP"))
    assert client.spools == []


def test_what_is_too_large_to_be_read_past_ends_the_connection():
    [event] = Client().send(b"a APPEND x {%d+}\r\n" % (MAX_COMMAND + 1))
    assert isinstance(event, OutOfStep)


def test_refused_literals_are_read_past_only_so_often():
    client = Client()
    said = client.send((b"a XNOTNOW {500000+}\r\n" + b"y" * 500_000 + b" ") + (b"{500000+}\r\n" + b"y" * 500_000) * 4)
    assert [type(event) for event in said] == [OutOfStep]


@pytest.mark.parametrize(
    "text",
    [
        b"a SEARCH" + b" SUBJECT {1+}\r\nx" * 1001 + b"\r\n",
        b"a SEARCH" + b" SUBJECT {400000+}\r\n%b" % (b"x" * 400_000) * 6 + b"\r\n",
        (b"a SEARCH" + b" " * 400_000 + b"{0+}\r\n") + (b" " * 400_000 + b"{0+}\r\n") * 5 + b"\r\n",
    ],
)
def test_a_command_is_bounded(text):
    assert declined(text)[:2] == (b"a", b"BAD")


def test_a_full_disk_costs_the_command_only():
    client = Client(room=3)
    [event, following] = client.send(b"a APPEND x {5+}\r\nhello\r\nb NOOP\r\n")
    assert (event.reply.condition, event.reply.code) == (b"NO", b"UNAVAILABLE")
    assert following == Ready(CommandText(b"b NOOP"))
    assert client.spools[0].isDiscarded


def test_a_message_with_nul_is_refused():
    assert declined(b"a APPEND x {5+}\r\nhe\0lo\r\n") == (b"a", b"NO", b"CANNOT")
