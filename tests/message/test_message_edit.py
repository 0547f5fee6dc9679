"""What is done to headers on the way of a message, and TOP."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import edit
from mailfw.message.header import headerEnd, scan, unfold, values


def test_fieldsAreCounted() -> None:
    head = b"Received: a\r\n b\r\nRECEIVED: c\r\nX-Received: d\r\nSubject: Received: e\r\n\r\n"
    assert edit.receivedCount(head) == 2
    assert edit.hasField(head, b"subject")
    assert not edit.hasField(head, b"Date")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Subject: x\r\n\r\n", b"Date: Thu, 1 Jan 1970 01:00:00 +0100\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\n"),
        (b"Date: x\r\nMessage-ID: y\r\n\r\n", b"Date: x\r\nMessage-ID: y\r\n\r\n"),
        (b"date: x\r\nBcc: a@b,\r\n c@d\r\nTo: e@f\r\nBCC: g\r\n\r\n", b"Message-ID: <1@x>\r\ndate: x\r\nTo: e@f\r\n\r\n"),
        (b"Date: x\r\nResent-Bcc: a\r\nMessage-ID: y\r\n", b"Date: x\r\nMessage-ID: y\r\n"),
        (b"\r\n", b"Date: Thu, 1 Jan 1970 01:00:00 +0100\r\nMessage-ID: <1@x>\r\n\r\n"),
        (b"", b"Date: Thu, 1 Jan 1970 01:00:00 +0100\r\nMessage-ID: <1@x>\r\n"),
        # What somebody typed without a header stays readable.
        (b"hello\r\n", b"Date: Thu, 1 Jan 1970 01:00:00 +0100\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n"),
    ],
)
def test_aSubmittedMessageIsCompletedAndHidesItsBlindCopies(head: bytes, expected: bytes) -> None:
    assert edit.submitted(head, 0, "1@x", zone=60) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"A: 1\r\n\r\nx", b""),
        (b"\r\nx", b""),
        (b"\nx", b""),
        (b"", b""),
        (b"From jsmith Mon Jan  1 10:00:00 2024\r\nA: 1\r\n\r\n", b""),
        (b"From jsmith with love\r\nhello", b"\r\n"),
        (b"hello: world is\r\n", b""),
        (b"hello\r\n", b"\r\n"),
        (b" A: 1\r\n", b"\r\n"),
    ],
)
def test_stampsAreKeptApartFromTextWithoutAHeader(content: bytes, expected: bytes) -> None:
    assert edit.separator(content) == expected


@given(st.binary(max_size=60))
def test_aStampNeverSwallowsText(content: bytes) -> None:
    stamped = b"Received: here\r\n" + edit.separator(content) + content
    first = next(scan(stamped))
    assert (first.name, first.value) == (b"Received", b"here") or content.startswith((b" ", b"\t"))
    if edit.separator(content):
        assert stamped[headerEnd(stamped) :] == content


@given(st.text(max_size=300))
def test_aFieldLineIsOneFieldWhateverIsInIt(value: str) -> None:
    line = edit.fieldLine("X-Said", value)
    (field,) = scan(line)
    assert (field.start, field.end) == (0, len(line))
    assert unfold(field.rawValue) == re.sub("[\x00-\x20\x7f]+", " ", value).strip(" ").encode()


def test_fieldLinesAreFolded() -> None:
    line = edit.fieldLine("Received", " ".join(["word"] * 40) + "\r\nX-Evil: 1")
    assert max(map(len, line.split(b"\r\n"))) <= 78
    assert line.endswith(b"\r\n")
    assert values(line, b"Received") == [b" ".join([b"word"] * 40) + b" X-Evil: 1"]
    assert edit.fieldLine("A", "x" * 100) == b"A: " + b"x" * 100 + b"\r\n"


@pytest.mark.parametrize(
    ("body", "lines", "top", "lacking"),
    [
        (b"1\r\n2\r\n3\r\n", 0, b"", 0),
        (b"1\r\n2\r\n3\r\n", 2, b"1\r\n2\r\n", 0),
        (b"1\r\n2\r\n3\r\n", 3, b"1\r\n2\r\n3\r\n", 0),
        (b"1\r\n2\r\n3\r\n", 5, b"1\r\n2\r\n3\r\n", 2),
        (b"1\n2", 1, b"1\n", 0),
        (b"1\n2", 2, b"1\n2", 1),
        (b"", 3, b"", 3),
    ],
)
def test_topEndsAfterSoManyLines(body: bytes, lines: int, top: bytes, lacking: int) -> None:
    head = b"A: 1\r\n\r\n"
    end, left = edit.topEnd(head + body, len(head), lines)
    assert (head + body)[len(head) : end] == top
    assert left == lacking


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\n"])), st.integers(0, 9), st.integers(0, 9))
def test_topIsTheSameInPieces(pieces: list[bytes], lines: int, cut: int) -> None:
    body = b"".join(pieces)
    whole, _ = edit.topEnd(body, 0, lines)
    end, left = edit.topEnd(body[:cut], 0, lines)
    if left:
        end += edit.topEnd(body[cut:], 0, left)[0]
    assert end == whole
