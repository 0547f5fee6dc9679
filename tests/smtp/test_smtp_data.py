"""Message content on the wire, against slow and plain readings of RFC 5321 §4.5.2 and RFC 3030."""

import itertools
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailfw.smtp.data import ChunkCounter, DataDecoder, DataEncoder, Inspection, Normalizer

# Mostly what matters: line ends, dots, NUL, and something else.
parts = st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\0", b"a", b"bcd", b"\xff"])
octets = st.lists(parts, max_size=40).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=8)


def split(data, at):
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def feedAll(sink, pieces):
    """What is left over, or None; every piece after the end is left over too."""
    for number, piece in enumerate(pieces):
        rest = sink.feed(piece)
        if rest is not None:
            return rest + b"".join(pieces[number + 1 :])
    return None


def plainDecode(data):
    """One octet after the other, as RFC 5321 tells it: (content, rest or None)."""
    content, lineStart, at = b"", True, 0
    while at < len(data):
        if lineStart and data[at : at + 3] == b".\r\n":
            return content, data[at + 3 :]
        if lineStart and data[at : at + 1] == b".":
            at += 1
            lineStart = False
            continue
        lineStart = data[at : at + 2] == b"\r\n"
        step = 2 if lineStart else 1
        content += data[at : at + step]
        at += step
    return content, None


def decode(pieces):
    content = []
    rest = feedAll(DataDecoder(content.append), pieces)
    assert all(content)
    return b"".join(content), rest


@given(octets, cuts)
@example(b".\r\n", [])
@example(b"\r\n.\r\nQUIT", [1, 2, 3, 4])
@example(b"..\r\n.\r\n", [1])
@example(b"\r\r\n.\r\n", [2])
def test_decoding_is_what_the_rfc_says_however_the_octets_are_cut(data, at):
    data += b"\r\n.\r\nrest"
    expected = plainDecode(data)
    assert decode([data]) == expected
    assert decode(split(data, at)) == expected
    assert decode([data[i : i + 1] for i in range(len(data))]) == expected


@given(octets, cuts)
def test_without_an_end_it_goes_on(data, at):
    content, rest = plainDecode(data)
    decoded, left = decode(split(data, at))
    assert left == rest
    if rest is None:
        # At most four octets wait for what comes next.
        assert content.startswith(decoded)
        assert len(content) - len(decoded) <= 4
    else:
        assert decoded == content


@given(octets, cuts, cuts)
def test_what_is_encoded_comes_back(content, at, otherCuts):
    encoder = DataEncoder()
    wire = b"".join(encoder.feed(piece) for piece in split(content, at)) + encoder.finish()
    whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert decode(split(wire + b"QUIT\r\n", otherCuts)) == (whole, b"QUIT\r\n")


@given(octets, st.integers(0, 200), cuts)
def test_a_chunk_has_its_octets_and_no_more(data, size, at):
    taken = []
    rest = feedAll(ChunkCounter(taken.append, size), split(data, at) or [b""])
    assert b"".join(taken) == data[:size]
    assert rest == (data[size:] if len(data) >= size else None)


@given(octets, cuts, st.integers(1, 6))
@example(b"\r\n", [], 1)
@example(b"a\r\nb\r\n\r\n", [2], 1)
def test_inspection_finds_what_a_plain_reading_finds(data, at, bound):
    found = Inspection(bound)
    for piece in split(data, at):
        found.feed(piece)
    without = data.replace(b"\r\n", b"")
    assert found.size == len(data)
    assert found.hasNUL == (b"\0" in data)
    assert found.hasBareEnds == (b"\r" in without or b"\n" in without)
    end = (b"\r\n" + data).find(b"\r\n\r\n")
    assert found.headerSize == (end + 2 if end >= 0 else -1)
    assert found.isLineTooLong == any(len(line) > bound + 1 for line in data.split(b"\n"))


@given(octets, cuts)
def test_normalizing_leaves_only_crlf(data, at):
    mended = []
    normalizer = Normalizer(mended.append)
    for piece in split(data, at):
        normalizer.feed(piece)
    normalizer.finish()
    expected = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert b"".join(mended) == expected
    assert all(mended)


@pytest.mark.parametrize(
    "piece", [b"x" * 65536, b"\r\n." * 21845, b"\r" * 65536, b"\r\n" * 32768, b"." * 65536, b"\r\n.\r" * 16384]
)
def test_ten_mebioctets_take_no_time_to_speak_of(piece):
    found = Inspection(65536)
    decoder = DataDecoder(found.feed)
    start = time.process_time()
    for _ in range(160):
        if decoder.feed(piece) is not None:
            decoder = DataDecoder(found.feed)
    assert time.process_time() - start < 2.0
