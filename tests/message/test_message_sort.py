"""SORT: the order of messages, found from what stores keep of them."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cmp_to_key
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import date, sort
from mailfw.message.envelope import Item, firstAddress, items, text
from mailfw.message.sort import Kind, SortKey, merged
from mailfw.message.subject import baseSubject, comparable
from mailfw.message.summary import summarise
from mailfw.message.text import fold
from mailfw.message.words import decode
from mailfw.values import Column


@frozen
class Message:
    """A message, and what a store says of it."""

    octets: bytes
    internalDate: float = 0.0
    uid: int = 1

    def value(self, column: Column) -> Any:
        match column:
            case Column.ENVELOPE:
                return summarise(self.octets).envelope
            case Column.INTERNAL_DATE:
                return self.internalDate
            case Column.SIZE:
                return len(self.octets)
        return self.uid


def order(messages: list[Message], *keys: SortKey, page: int = 2) -> list[int]:
    """UIDs as SORT answers them, read some rows at a time."""
    wanted = sort.compile(keys)
    rows = [[message.value(column) for column in wanted.columns] for message in messages]
    return list(merged(wanted.page(rows[at : at + page]) for at in range(0, len(rows), page)))


def byKey(kind: Kind, *headers: str, isReverse: bool = False) -> list[int]:
    messages = [Message(header.encode() + b"\r\n\r\n", uid=uid) for uid, header in enumerate(headers, 1)]
    return order(messages, SortKey(kind, isReverse))


# --- each key --------------------------------------------------------------------------------------------------------


def test_arrivalAndSizeAreNumbers() -> None:
    messages = [Message(b"a" * size, day, uid) for uid, (size, day) in enumerate([(9, 3.0), (100, 2.0), (20, 10.0)], 1)]
    assert order(messages, SortKey(Kind.ARRIVAL)) == [2, 1, 3]
    assert order(messages, SortKey(Kind.ARRIVAL, True)) == [3, 1, 2]
    assert order(messages, SortKey(Kind.SIZE)) == [1, 3, 2]
    assert order(messages, SortKey(Kind.SIZE, True)) == [2, 3, 1]


def test_messagesOfTheSameSecondAreInTheirOrder() -> None:
    """INTERNALDATE shows seconds; what it does not show does not count."""
    assert order([Message(b"", 5.9, 1), Message(b"", 5.1, 2)], SortKey(Kind.ARRIVAL)) == [1, 2]


def test_sentDatesAreComparedInUTC() -> None:
    assert byKey(
        Kind.DATE,
        "Date: Sun, 25 Mar 2007 12:00:00 -0500",
        "Date: Sun, 25 Mar 2007 16:59:59 +0000",
        "Date: Sun, 25 Mar 2007 18:30:00 +0200",
        "Date: 24 Mar 07 23:00 PST",
    ) == [4, 3, 2, 1]


def test_whatHasNoDateIsSortedByTheInternalDate() -> None:
    noon = datetime(2007, 3, 25, 12, tzinfo=UTC).timestamp()
    messages = [
        Message(b"Date: Sun, 25 Mar 2007 12:00:01 +0000\r\n\r\n", 0.0, 1),
        Message(b"Date: yesterday\r\n\r\n", noon, 2),
        Message(b"\r\n", noon + 2, 3),
    ]
    assert order(messages, SortKey(Kind.DATE)) == [2, 1, 3]


def test_subjectsAreComparedByTheirBase() -> None:
    assert byKey(
        Kind.SUBJECT,
        "Subject: Re: [list] pears",
        "Subject: Apples",
        "Subject: =?utf-8?q?Fwd=3A_=C3=A4pfel?=",
        "Subject: PEARS (fwd)",
        "Subject: re: apples",
        "X: nothing",
    ) == [6, 2, 5, 3, 1, 4]


@pytest.mark.parametrize("kind", [Kind.FROM, Kind.TO, Kind.CC])
def test_addressesAreComparedByTheLocalPartOfTheFirst(kind: Kind) -> None:
    assert byKey(
        kind,
        f'{kind.value}: "Aaron" <zoe@a.example>, <bea@example.org>',
        f"{kind.value}: Zacharias <Bob@z.example>",
        f"{kind.value}: <bob@a.example>",
        f"{kind.value}: crew: zora@example.org;",
        "X: nothing",
        f'{kind.value}: "al ba"@example.org',
    ) == [5, 6, 2, 3, 4, 1]


@pytest.mark.parametrize(("kind", "name"), [(Kind.DISPLAYFROM, "From"), (Kind.DISPLAYTO, "To")])
def test_addressesAreComparedAsPeopleSeeThem(kind: Kind, name: str) -> None:
    """RFC 5957 §3: the decoded name, else the address; a group's name."""
    assert byKey(
        kind,
        f"{name}: =?iso-8859-1?q?=C9milie?= <z@example.org>",
        f'{name}: "dora" <a@example.org>',
        f"{name}: Frieda@example.org",
        f"{name}: Gruppe: a@example.org;",
        f'{name}: "" <edith@example.org>',
        "X: nothing",
        f"{name}: frieda@example.net",
    ) == [6, 2, 5, 1, 7, 3, 4]


# --- orders ----------------------------------------------------------------------------------------------------------


def test_reverseTurnsItsKeyOnlyAndTiesStayInTheirOrder() -> None:
    """RFC 5256 §3: REVERSE is of the key behind it; what is equal is sorted by sequence number, never backwards."""
    messages = [
        Message(b"Subject: %b\r\nFrom: %b@example.org\r\n\r\n" % pair, uid=uid)
        for uid, pair in enumerate([(b"b", b"x"), (b"a", b"y"), (b"b", b"z"), (b"a", b"y"), (b"b", b"x")], 1)
    ]
    assert order(messages, SortKey(Kind.SUBJECT, True)) == [1, 3, 5, 2, 4]
    assert order(messages, SortKey(Kind.SUBJECT, True), SortKey(Kind.FROM)) == [1, 5, 3, 2, 4]
    assert order(messages, SortKey(Kind.SUBJECT), SortKey(Kind.FROM, True)) == [2, 4, 3, 1, 5]


def test_reversedTextsComeBackwards() -> None:
    subjects = ("Subject: b", "Subject: ab", "Subject: a", "X: y", "Subject: ü", "Subject: 猫")
    assert byKey(Kind.SUBJECT, *subjects, isReverse=True) == [6, 5, 1, 2, 3, 4]


def test_onlyTheColumnsThatAreNeededAreRead() -> None:
    assert sort.compile([SortKey(Kind.ARRIVAL), SortKey(Kind.SIZE)]).columns == (Column.INTERNAL_DATE, Column.SIZE, Column.UID)
    assert sort.compile([SortKey(Kind.SUBJECT), SortKey(Kind.DISPLAYTO)]).columns == (Column.ENVELOPE, Column.UID)
    assert sort.compile([SortKey(Kind.DATE)]).columns == (Column.ENVELOPE, Column.INTERNAL_DATE, Column.UID)


def test_theBestFittingComesFirst() -> None:
    """RFC 6203 §6"""
    scores = {1: 40, 2: 99, 3: 40}
    for isReverse, wanted in ((False, [2, 1, 3]), (True, [1, 3, 2])):
        byScore = sort.compile([SortKey(Kind.RELEVANCY, isReverse)], scores)
        assert byScore.columns == (Column.UID,)
        assert list(sort.merged([byScore.page([(1,), (2,), (3,)])])) == wanted


def test_aKeyNamedAgainCostsNothing() -> None:
    messages = [Message(b"", uid=uid) for uid in (1, 2, 3)]
    keys = [SortKey(Kind.SIZE), *[SortKey(kind, isReverse) for kind in Kind for isReverse in (True, False)] * 5000]
    wanted = sort.compile(keys)
    assert len(wanted.sortKey([message.value(column) for message in messages[:1] for column in wanted.columns])) == len(Kind) + 1
    assert order(messages, *keys) == [1, 2, 3]


def test_noKeyIsTheOrderOfTheMailbox() -> None:
    assert order([Message(b"", 9.0, 4), Message(b"", 1.0, 7)]) == [4, 7]


WORDS = ["", "a", "a_", "az", "A", "ab", "b", "ü", "u", "Re: a", "fwd: b", "[x] ab", "ß", "ss", "\x00a", "猫", "zz"]
NAMES = ["", "a@example.org", "B@example.org", "Ada <b@example.org>", "ada <c@example.net>", "=?utf-8?q?=C3=84da?= <a@x.example>"]
DATES = ["", "never", "Sun, 25 Mar 2007 12:00:00 -0500", "Sun, 25 Mar 2007 12:00:00 +0000", "1 Apr 2001 01:02:03 GMT"]
headers = st.fixed_dictionaries({
    "Subject": st.sampled_from(WORDS),
    "From": st.sampled_from(NAMES),
    "To": st.sampled_from(NAMES),
    "Cc": st.sampled_from(NAMES),
    "Date": st.sampled_from(DATES),
})  # fmt: skip
keys = st.lists(st.builds(SortKey, st.sampled_from(Kind), st.booleans()), max_size=4)


def slowValue(message: Message, fields: dict[str, str], kind: Kind) -> Any:
    """A key's value, found another way."""
    match kind:
        case Kind.ARRIVAL:
            return message.internalDate
        case Kind.SIZE:
            return len(message.octets)
        case Kind.RELEVANCY:
            return 0  # nobody knows
        case Kind.DATE:
            try:
                return parsedate_to_datetime(fields["Date"]).timestamp()
            except ValueError:
                return message.internalDate
        case Kind.SUBJECT:
            return fold(baseSubject(fields["Subject"]).text).replace("\x00", "").upper().encode()
    value = fields[kind.value.removeprefix("DISPLAY").capitalize()]
    name, _, rest = value.rpartition("<")
    address = rest.rstrip(">")
    isDisplay = kind.value.startswith("DISPLAY")
    return fold((decode(name.strip().encode()) or address) if isDisplay else address.partition("@")[0]).upper().encode()


@given(st.lists(st.tuples(headers, st.integers(0, 3)), max_size=12), keys, st.integers(1, 5))
def test_sortingIsComparingOneByOne(fieldsAndDays: list[tuple[dict[str, str], int]], wanted: list[SortKey], page: int) -> None:
    messages = [
        Message("".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n", float(day), uid)
        for uid, (fields, day) in enumerate(fieldsAndDays, 1)
    ]

    def compare(left: Message, right: Message) -> int:
        for key in wanted:
            one, other = (slowValue(each, fieldsAndDays[each.uid - 1][0], key.kind) for each in (left, right))
            if one != other:
                return -1 if (one < other) is not key.isReverse else 1
        return left.uid - right.uid

    assert order(messages, *wanted, page=page) == [message.uid for message in sorted(messages, key=cmp_to_key(compare))]


# --- ENVELOPE read back ----------------------------------------------------------------------------------------------

values = st.binary(max_size=12).map(lambda value: value.replace(b"\n", b"").replace(b"\r", b"").replace(b"\0", b"").strip(b" \t"))


@given(values, values, values, values)
def test_whatTheEnvelopeSaysIsWhatTheHeaderSaid(sent: bytes, subject: bytes, parent: bytes, own: bytes) -> None:
    """Quotation marks, backslashes and literals are undone, whatever stands before."""
    content = (
        b"Date: %b\r\nSubject: %b\r\nIn-Reply-To: %b\r\nMessage-ID: %b\r\n" % (sent, subject, parent, own)
        + 'From: "Zo\\"ë (x" <z@example.org>\r\nTo: Küche: a@b, c@d;\r\n\r\n'.encode()
    )
    found = items(summarise(content).envelope, Item.MESSAGE_ID)
    assert [text(found[item]) for item in (Item.DATE, Item.SUBJECT, Item.IN_REPLY_TO, Item.MESSAGE_ID)] == [
        sent, subject, parent, own,
    ]  # fmt: skip
    author, group = firstAddress(found[Item.FROM]), firstAddress(found[Item.TO])
    assert author is not None and author.name == 'Zo"ë (x'.encode()
    assert group is not None and group.name == "Küche".encode()
    assert firstAddress(found[Item.CC]) is None


@pytest.mark.parametrize("wire", [b"", b"(", b"NIL", b'("', b"({99999999999}\r\n", b"({5}\r\nab", b"(NIL NIL NIL"])
def test_whatIsNoEnvelopeIsEmpty(wire: bytes) -> None:
    """A stranger's store may say anything."""
    assert items(wire, Item.FROM) == (b"NIL", b"NIL", b"NIL")
    assert sort.compile([SortKey(Kind.DATE), SortKey(Kind.SUBJECT)]).sortKey((wire, 7.5, 3)) == (7, "", 3)


@given(
    st.integers(-(10**10), 10**11),
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from([b"", b" (CET)", b"0", b" x"]),
    st.booleans(),
)
def test_theShortWayToADateIsTheLongOne(moment: int, zone: int, rest: bytes, hasDay: bool) -> None:
    value = date.render(moment, zone)[0 if hasDay else 5 :] + rest
    parsed = date.parse(value)
    assert date.timestamp(value) == (None if parsed is None else parsed.timestamp())


@given(st.from_regex(rb"\A(?:[A-Z][a-z]{2}, )?\d\d? (?:Feb|Foo) \d{4} \d\d:\d\d:\d\d [+-]\d{4,5}\Z"))
def test_theShortWayToNoDateIsTheLongOne(value: bytes) -> None:
    parsed = date.parse(value)
    assert date.timestamp(value) == (None if parsed is None else parsed.timestamp())


@given(st.text(max_size=30))
def test_aSubjectIsComparableByItsBase(subject: str) -> None:
    base = baseSubject(decode(octets := subject.encode(errors="replace")))
    assert comparable(octets) == comparable(octets)
    assert comparable(octets).text == fold(base.text).replace("\0", "")
    assert comparable(octets).isReply is base.isReply


# --- cost ------------------------------------------------------------------------------------------------------------


def test_manyMessagesAreSortedFast() -> None:
    chance = random.Random(5)
    wanted = sort.compile([SortKey(Kind.DATE), SortKey(Kind.SUBJECT)])
    rows = []
    for uid in range(1, 20_001):
        sent = date.render(1_600_000_000 + chance.randrange(10**8), 60)
        header = b"Date: %b\r\nSubject: Re: thing %d\r\nFrom: a@example.org\r\n\r\n" % (sent, chance.randrange(500))
        rows.append((summarise(header).envelope, 0.0, uid))
    started = time.process_time()
    found = list(merged(wanted.page(rows[at : at + 500]) for at in range(0, len(rows), 500)))
    assert time.process_time() - started < 1.0
    assert sorted(found) == list(range(1, 20_001))


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: " + b"Re: [x] " * 100_000,
        b"Subject: " + b"[fwd:" * 100_000 + b"]" * 100_000,
        b"Subject: " + b"[x]" * 200_000,
        b"From: " + b'"\\"\xc3\xa4" <a@example.org>, ' * 20_000,
        b"Subject: " + b'\\"\xff' * 200_000,
    ],
)
def test_noMessageTakesLongToSort(header: bytes) -> None:
    wanted = sort.compile([SortKey(kind) for kind in Kind])
    wire = summarise(header + b"\r\n\r\n").envelope
    row = [{Column.ENVELOPE: wire}.get(column, 1) for column in wanted.columns]
    took = []
    for _ in range(3):  # for the interpreter clears away what others have left at times
        started = time.process_time()
        key = wanted.sortKey(row)
        took.append(time.process_time() - started)
    assert min(took) < 1.0
    assert sum(len(value) for value in key if isinstance(value, str)) <= 1000 * len(Kind)
