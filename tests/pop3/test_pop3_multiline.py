"""Dot-stuffing and cutting, whole and in pieces of any size."""

from __future__ import annotations

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from mailfw.pop3.multiline import Stuffer, Top, Unstuffer

# Mail is mostly made of what dot-stuffing stumbles over.
messages = st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"\r", b"a", b"..", b"\r\n.\r\n", b"\x00", b"\xff"])).map(b"".join)
cuts = st.lists(st.integers(0, 60))


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    """`data` cut at the places given."""
    edges = sorted({0, len(data), *(place for place in at if place < len(data))})
    return [data[low:high] for low, high in itertools.pairwise(edges)]


def stuff(chunks: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, chunks), stuffer.end()])


def unstuff(chunks: list[bytes]) -> tuple[bytes, bytes | None]:
    sink = Unstuffer()
    rest: bytes | None = None
    for number, chunk in enumerate(chunks):
        rest = sink.feed(chunk)
        if rest is not None:
            rest += b"".join(chunks[number + 1 :])
            break
    return sink.take(), rest


def top(chunks: list[bytes], lines: int) -> bytes:
    cutter, out = Top(lines), []
    for chunk in chunks:
        out.append(cutter.feed(chunk))
        if cutter.isDone:
            break
    return b"".join(out)


def endedByCRLF(message: bytes) -> bytes:
    return message if not message or message.endswith(b"\r\n") else message + b"\r\n"


def test_aDotAtTheBeginningOfALineIsDoubled() -> None:
    assert stuff([b".first\r\nmiddle.dot\r\n.\r\n..\r\n"]) == b"..first\r\nmiddle.dot\r\n..\r\n...\r\n.\r\n"


def test_theEndStandsOnALineOfItsOwn() -> None:
    assert stuff([b""]) == b".\r\n"
    assert stuff([b"no line end"]) == b"no line end\r\n.\r\n"
    assert stuff([b"bare\n"]) == b"bare\n\r\n.\r\n"
    assert stuff([b"cut\r", b"\n"]) == b"cut\r\n.\r\n"


@given(messages, cuts)
def test_stuffingIsTheSameInPieces(message: bytes, at: list[int]) -> None:
    assert stuff(pieces(message, at)) == stuff([message])


@given(messages)
def test_noLineOfAMessageEndsTheResponse(message: bytes) -> None:
    """Neither to a client that asks for CRLF nor to one that takes any LF for the end of a line."""
    body = stuff([message])
    assert body.index(b"\r\n.\r\n" if message else b".\r\n") == len(body) - (5 if message else 3)
    assert [line.rstrip(b"\r") for line in body.split(b"\n")].index(b".") == body.count(b"\n") - 1


@given(messages, cuts, st.binary(max_size=8))
def test_unstuffingGivesTheMessageBack(message: bytes, at: list[int], after: bytes) -> None:
    wire = stuff([message]) + after
    assert unstuff(pieces(wire, at)) == (endedByCRLF(message), after)


@given(messages, cuts)
def test_unstuffingIsTheSameInPiecesWhateverCame(wire: bytes, at: list[int]) -> None:
    assert unstuff(pieces(wire, at)) == unstuff([wire])


def test_stuffingAndUnstuffingAreLinear() -> None:
    """10 MiB of nothing but lines to be stuffed, in the worst pieces a network gives."""
    message = b".\r\n" * 3_500_000
    start = time.process_time()
    wire = stuff([message[at : at + 1460] for at in range(0, len(message), 1460)])
    assert unstuff([wire[at : at + 1460] for at in range(0, len(wire), 1460)]) == (message, b"")
    assert time.process_time() - start < 5


def test_topGivesTheHeaderAndTheLinesAskedFor() -> None:
    message = b"A: 1\r\nB: 2\r\n\r\none\r\ntwo\r\nthree\r\n"
    assert top([message], 0) == b"A: 1\r\nB: 2\r\n\r\n"
    assert top([message], 2) == b"A: 1\r\nB: 2\r\n\r\none\r\ntwo\r\n"
    assert top([message], 99999) == message


def test_topOfAMessageWithoutHeaderOrBody() -> None:
    assert top([b"\r\none\r\ntwo\r\n"], 1) == b"\r\none\r\n"
    assert top([b"A: 1\r\n"], 5) == b"A: 1\r\n"
    assert top([b"A: 1\n\none\ntwo\n"], 1) == b"A: 1\n\none\n"


@given(messages, messages, cuts, st.integers(0, 5))
def test_topIsTheSameInPieces(header: bytes, body: bytes, at: list[int], lines: int) -> None:
    message = header + b"\r\n\r\n" + body
    assert top(pieces(message, at), lines) == top([message], lines)


@given(messages, st.integers(0, 5))
def test_topIsAPrefixWithThatManyLinesAfterTheEmptyOne(message: bytes, lines: int) -> None:
    cut = top([message], lines)
    assert message.startswith(cut)
    if cut != message:
        lined = cut.replace(b"\r\n", b"\n").split(b"\n")
        assert lined.index(b"") == len(lined) - 2 - lines
