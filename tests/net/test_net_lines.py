"""Lines come out the same however the input is split, and of one that is too long only its ends are kept."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mailfw.net.lines import LINE_ENDS, Lines, LongLine

LIMIT, TOLERANCE = 70, 200

content = st.lists(
    st.one_of(st.sampled_from([b"\n", b"\r\n", b"\r", b"", b"\r\r\n"]), st.integers(1, 300).map(lambda size: b"x" * size + b"y"))
).map(b"".join)


def cut(pieces: list[bytes], tolerance: int) -> list[tuple[bytes | LongLine, bool]]:
    """Every line with how it ended, as a connection asks for them: until one is beyond the tolerance."""
    lines, found = Lines(), []
    for piece in pieces:
        lines.feed(piece)
        while lines.hasMore:
            line = lines.next(LIMIT, tolerance)
            if line is not None:
                found.append((line, lines.isCRLF))
            if isinstance(line, LongLine) and line.size > tolerance:
                return found
    return found


def expected(octets: bytes, tolerance: int) -> list[bytes | LongLine]:
    found: list[bytes | LongLine] = []
    for whole in octets.split(b"\n")[:-1]:
        line = whole.removesuffix(b"\r")
        found.append(line if len(line) <= LIMIT else LongLine(line[:LINE_ENDS], line[-LINE_ENDS:], len(line)))
        if len(line) > max(LIMIT, tolerance):
            break
    return found


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(octets), *(at % (len(octets) + 1) for at in cuts)})
    return [octets[start:end] for start, end in itertools.pairwise(marks)]


@given(content, st.lists(st.integers(0, 5000)))
def test_theyAreTheSameHoweverTheyCome(octets: bytes, cuts: list[int]) -> None:
    hopeful = [line for line in expected(octets, TOLERANCE) if isinstance(line, bytes) or line.size <= TOLERANCE]
    found = cut(pieces(octets, cuts), TOLERANCE)
    assert [line for line, _ in found if isinstance(line, bytes) or line.size <= TOLERANCE] == hopeful
    whole = [(line, octet) for line, octet in cut([octets], TOLERANCE) if isinstance(line, bytes)]
    assert [(line, octet) for line, octet in found if isinstance(line, bytes)] == whole


@given(content, st.lists(st.integers(0, 5000)))
def test_whatIsBeyondTheToleranceIsSaidOnce(octets: bytes, cuts: list[int]) -> None:
    for tolerance in (0, TOLERANCE):
        most = max(LIMIT, tolerance)
        isBeyond = any(len(line.removesuffix(b"\r")) > most for line in octets.split(b"\n")[:-1])
        isOpen = len(octets.rpartition(b"\n")[2]) > most + 1
        beyond = [line for line, _ in cut(pieces(octets, cuts), tolerance) if isinstance(line, LongLine) and line.size > most]
        assert len(beyond) == (isBeyond or isOpen)
        assert all(len(line.start) <= LINE_ENDS and len(line.end) <= LINE_ENDS for line in beyond)


def test_aLongLineIsNotKept() -> None:
    """A megabyte of it, by the octet or by the block, is a few octets in memory."""
    lines = Lines()
    lines.feed(b"a1 ")
    for _ in range(1000):
        lines.feed(b"x" * 1000)
        assert lines.next(LIMIT, 1 << 30) is None
        assert sum(map(len, lines._partial)) <= 2 * LINE_ENDS
    lines.feed(b"{3}\r\n")
    line = lines.next(LIMIT, 1 << 30)
    assert isinstance(line, LongLine)
    assert (line.start[:3], line.end[-3:], line.size) == (b"a1 ", b"{3}", 1_000_006)


def test_octetsAreTakenBetweenLines() -> None:
    lines = Lines()
    lines.feed(b"one\r\ntwo")
    assert lines.next(LIMIT) == b"one" and lines.take() == b"two" and lines.isEmpty
    lines.feed(b"three\nfour")
    assert lines.next(LIMIT) == b"three" and not lines.isCRLF
    assert lines.next(LIMIT) is None and not lines.hasMore and not lines.isEmpty
    lines.clear()
    assert lines.isEmpty
