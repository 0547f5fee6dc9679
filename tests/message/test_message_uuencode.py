"""Uuencoded attachments in old mail: found, and given back as they were."""

from __future__ import annotations

import binascii
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.uuencode import MAX_ATTACHMENTS, attachments, decode


def encoded(data: bytes, lineEnd: bytes = b"\n", isBacktick: bool = False, name: bytes = b"file") -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45], backtick=isBacktick)[:-1] for at in range(0, len(data), 45)]
    return lineEnd.join([b"begin 644 " + name, *lines, b"`" if isBacktick else b" ", b"end", b""])


@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=3),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.sampled_from([b"", b"Look here:\n\n", b"begin to read\nbegin 644 here\n"]),
)
def test_whatWasEncodedIsFoundAndDecoded(files: list[bytes], lineEnd: bytes, isBacktick: bool, between: bytes) -> None:
    content = between + between.join(encoded(data, lineEnd, isBacktick) for data in files) + between
    found = attachments(content)
    assert [decode(content, each) for each in found] == files
    for each in found:
        assert content[each.start :].startswith(b"begin 644 file")
        assert content[: each.end].endswith(b"end" + lineEnd)


def test_aTextAroundItStaysText() -> None:
    content = b"Hello\r\n" + encoded(b"\x00\x01" * 50, b"\r\n", name="für Ada.bin ".encode()) + b"Bye\r\n"
    (found,) = attachments(content)
    assert found.name == "für Ada.bin"
    assert content[: found.start] + content[found.end :] == b"Hello\r\nBye\r\n"


def test_onlyThePartThatIsMeantIsSearched() -> None:
    content = encoded(b"one") + b"--\n" + encoded(b"two")
    second = content.index(b"--\n") + 3
    assert [decode(content, each) for each in attachments(content, second)] == [b"two"]
    assert [decode(content, each) for each in attachments(content, 0, second)] == [b"one"]
    assert attachments(content, 0, 8) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # spaces that were lost at the ends of lines, a check sum at their ends, an end that is missing
        (b'begin 600 x\n#86\n`\nend\n', b"a`\x00"),
        (b'begin 600 x\n#86)CX\n`\nend\n', b"abc"),
        (b'begin 600 x\n#86)C\n', b"abc"),
        (b'begin 600 x\n#86)C\nand so on\n', b"abc"),
        (b'begin 600 x\n#86)C\nend', b"abc"),
        (b'begin 0600 x  \n#86)C   \n\n\nend  \n', b"abc"),
    ],
)
def test_damageIsForgiven(content: bytes, expected: bytes) -> None:
    (found,) = attachments(content)
    assert decode(content, found) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"begin 644 x",
        b"begin 644 x\n",
        b"begin 644 x\nwords of a person\n",
        b" begin 644 x\n#86)C\n",
        b"begin 999 x\n#86)C\nend\n",
    ],
)
def test_wordsOfPeopleAreNoAttachment(content: bytes) -> None:
    assert attachments(content) == []


PIECES = st.sampled_from([b"begin 644 x", b"\n", b"\r\n", b"#86)C", b"M", b"`", b"end", b" ", b"\xff", b"a"])


@given(st.lists(PIECES).map(b"".join))
def test_anythingIsRead(content: bytes) -> None:
    at = 0
    for each in attachments(content):
        assert at <= each.start < each.dataStart < each.dataEnd <= each.end <= len(content)
        at = each.end
        decode(content, each)


@pytest.mark.parametrize(
    "content",
    [
        b"begin 644 x\n" * 300_000,
        b"begin 644 " + b" " * 3_000_000 + b"x\nwords",
        b"begin 644 x\n#86)C\n" * 100_000,
        b"begin 644 x\n#86)C\n" + b"\n" * 3_000_000,
        b"begin 644 x\n#" + b" " * 3_000_000,
        b"begin 644 x\n" + b"#86)C\n" * 500_000,
        b"begin 644 x\n#86)C\n" + b"`   " * 500_000,
    ],
)
def test_noBodyTakesLong(content: bytes) -> None:
    started = time.process_time()
    found = attachments(content)
    for each in found:
        decode(content, each)
    assert time.process_time() - started < 2
    assert len(found) <= MAX_ATTACHMENTS
