"""Headers: where they end, what is a field, and what is taken out of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import header
from mailfw.message.header import firstFields, headerEnd, scan, select, unfold, withoutFields


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nbody", b"A: 1\r\nB: 2\r\n\r\n"),
        (b"A: 1\nB: 2\n\nbody", b"A: 1\nB: 2\n\n"),
        (b"A: 1\r\nB: 2\n\r\nbody", b"A: 1\r\nB: 2\n\r\n"),
        (b"A: 1\n\n\r\nbody", b"A: 1\n\n"),
        (b"A: 1\r\n\r\n\r\nbody", b"A: 1\r\n\r\n"),
        (b"\r\nbody", b"\r\n"),
        (b"\nbody", b"\n"),
        (b"A: 1\r\nno empty line", b"A: 1\r\nno empty line"),
        (b"A: 1\r\n \r\nB: 2\r\n\r\n", b"A: 1\r\n \r\nB: 2\r\n\r\n"),
        (b"", b""),
        (b"X: " + b"x" * 40_000 + b"\r\n\r\nbody", b"X: " + b"x" * 40_000 + b"\r\n\r\n"),
        (b"X: " + b"x" * 40_000 + b"\n\nbody\n\r\n", b"X: " + b"x" * 40_000 + b"\n\n"),
    ],
)
def test_headerEndsWithItsFirstEmptyLine(content: bytes, head: bytes) -> None:
    assert content[: headerEnd(content)] == head


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (b"Subject: a\r\n b\r\n\tc\r\n\r\n", [(b"Subject", b"a b\tc")]),
        (b"Subject:\r\n a\r\n\r\n", [(b"Subject", b"a")]),
        (b"Subject:a\nTo : b\n\n", [(b"Subject", b"a"), (b"To", b"b")]),
        (b"Subject:\r\n\r\n", [(b"Subject", b"")]),
        (b"From jsmith Mon Jan  1 10:00:00 2024\nA: 1\n\n", [(b"A", b"1")]),
        (b"A: 1\r\nthis is no field\r\n nor this: one\r\nB: 2\r\n\r\n", [(b"A", b"1"), (b"B", b"2")]),
        (b" A: 1\r\nB: 2\r\n\r\n", [(b"B", b"2")]),
        (b": no name\r\nB: 2\r\n", [(b"B", b"2")]),
        (b"A: x\0y\r\nB: \xff\r\n\r\n", [(b"A", b"x\0y"), (b"B", b"\xff")]),
        (b"A: one\rB: two\r\n\r\n", [(b"A", b"one\rB: two")]),
        (b"A: 1\r\r\nB: 2", [(b"A", b"1"), (b"B", b"2")]),
        (b"Gr\xfc\xdfe: 1\r\n", [(b"Gr\xfc\xdfe", b"1")]),
    ],
)
def test_fieldsSurviveWhatIsBrokenAroundThem(head: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    assert [(field.name, field.value) for field in scan(head)] == fields


def test_fieldsKeepTheirOctets() -> None:
    head = b"A: 1\r\n 2\r\njunk\r\nB: 3\n\r\n"
    assert [head[field.start : field.end] for field in scan(head)] == [b"A: 1\r\n 2\r\n", b"B: 3\n"]


def test_theFirstFieldOfANameCountsAndRecipientsAreJoined() -> None:
    head = b"Subject: one\r\nTO: a@b\r\nsubject: two\r\nTo: c@d\r\n\r\n"
    fields = firstFields(head, 0, len(head))
    assert fields == {b"subject": b"one", b"to": b"a@b, c@d"}


def test_fieldsPastTheBoundsAreNotSeen() -> None:
    head = b"A: 1\r\n" * (header.MAX_FIELDS + 5) + b"B: 2\r\n\r\n"
    assert len(list(scan(head))) == header.MAX_FIELDS
    assert b"b" not in firstFields(head, 0, len(head))
    long = b"A: " + b"x" * header.MAX_OCTETS + b"\r\nB: 2\r\n\r\n"
    assert [field.name for field in scan(long)] == [b"A"]


def test_noBoundKeepsAFieldFromBeingTakenOut() -> None:
    head = b"A: 1\r\n" * (header.MAX_FIELDS + 5) + b"Bcc: " + b"x@y,\r\n " * (header.MAX_OCTETS // 4) + b"\r\nB: 2\r\n\r\n"
    assert b"x@y" not in withoutFields(head, [b"bcc"])


@pytest.mark.parametrize(
    ("head", "names", "expected"),
    [
        (b"A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n\r\n", [b"b"], b"B: 2\r\n 3\r\n\r\n"),
        (b"A: 1\r\nB: 2\r\na: 3\r\n\r\n", [b"A", b"x", b"a"], b"A: 1\r\na: 3\r\n\r\n"),
        (b"A: 1\r\n\r\n", [b"x"], b"\r\n"),
        (b"A: 1\n\n", [b"a"], b"A: 1\n\n"),
        (b"A: 1", [b"a"], b"A: 1\r\n\r\n"),
        (b"\r\n", [b"a"], b"\r\n"),
        (b"", [b"a"], b"\r\n"),
    ],
)
def test_selectGivesTheFieldsAndAnEmptyLine(head: bytes, names: list[bytes], expected: bytes) -> None:
    assert select(head, names) == expected


@pytest.mark.parametrize(
    ("head", "names", "expected"),
    [
        (b"A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n\r\n", [b"b"], b"A: 1\r\nC: 4\r\n\r\n"),
        (b"From x\r\nA: 1\r\njunk\r\nA: 2\r\n\r\n", [b"a"], b"From x\r\njunk\r\n\r\n"),
        (b"A: 1\r\n\r\n", [b"x"], b"A: 1\r\n\r\n"),
        (b"A: 1", [b"A"], b""),
        (b"Bcc: a,\r\n b\r\nBcc : c\r\nX-Bcc: d\r\n\r\n", [b"bcc"], b"X-Bcc: d\r\n\r\n"),
        (b"A.C: 1\r\nAxC: 2\r\n\r\n", [b"A.C"], b"AxC: 2\r\n\r\n"),
    ],
)
def test_withoutFieldsLeavesEveryOtherOctet(head: bytes, names: list[bytes], expected: bytes) -> None:
    assert withoutFields(head, names) == expected


@given(st.binary(max_size=80), st.sets(st.sampled_from([b"a", b"B-b", b"\xe4", b"."])))
def test_manyNamesChooseAsFewDo(head: bytes, names: set[bytes]) -> None:
    more = names | {b"no-such-%d" % number for number in range(50)}
    assert select(head, names) == select(head, more)
    assert withoutFields(head, names) == withoutFields(head, more)


@given(st.lists(st.tuples(st.sampled_from([b"A", b"Bb", b"X-C"]), st.sampled_from([b"1", b"2\r\n 3", b"", b"\xe4"]))))
def test_selectedAndLeftOutTogetherAreTheHeader(fields: list[tuple[bytes, bytes]]) -> None:
    head = b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
    chosen = select(head, [b"a"])
    assert chosen.count(b"\r\nA:") + chosen.startswith(b"A:") == sum(name == b"A" for name, _ in fields)
    assert sorted(chosen + withoutFields(head, [b"A"])) == sorted(head + b"\r\n")


@given(st.binary())
def test_anyOctetsAreAHeader(head: bytes) -> None:
    end = headerEnd(head)
    at = 0
    for field in scan(head[:end]):
        assert at <= field.start < field.end <= end
        assert b"\n" not in unfold(field.rawValue)
        at = field.end
    assert withoutFields(head, ()) == head


@given(st.binary(), st.integers(0, 60))
def test_theEndOfAHeaderIsTheSameHoweverItComesIn(content: bytes, cut: int) -> None:
    isThere = header.hasHeaderEnd(content[:cut])
    if isThere:
        assert headerEnd(content[:cut]) == headerEnd(content)
    assert header.hasHeaderEnd(content, cut) or not header.hasHeaderEnd(content) or isThere


PIECES = [b"A", b"b", b"A: 1", b"a :2", b"B:", b"AB: x", b":", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n ", b"\xff", b"\0"]
ODD_HEADERS = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


@given(ODD_HEADERS, st.lists(st.sampled_from([b"A", b"B", b"ab", b"\xff", b"C"]), min_size=1, max_size=3))
def test_fewFieldsAreSelectedAsManyAre(head: bytes, names: list[bytes]) -> None:
    assert select(head, names) == select(head, [*names, *(b"X-%d" % number for number in range(40))])
