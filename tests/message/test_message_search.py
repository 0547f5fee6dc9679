"""SEARCH: what matches, and what is read to find out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from mailfw.errors import LimitExceeded
from mailfw.message import search
from mailfw.message.criteria import (
    All,
    And,
    Before,
    Body,
    Criterion,
    Dating,
    EmailId,
    HasFlag,
    Header,
    Larger,
    ModSeq,
    Not,
    Older,
    On,
    Or,
    Since,
    Smaller,
    Text,
    ThreadId,
    UIDs,
    Younger,
)
from mailfw.message.fields import pack
from mailfw.message.header import headerEnd
from mailfw.message.summary import summarise
from mailfw.message.text import Needle, fold
from mailfw.values import Column, UIDSet

ARRIVED = datetime(2007, 3, 25, 23, 30, tzinfo=UTC).timestamp()
CONTENT = (
    b'From: "Lindqvist, Ada" <ada.l@example.org>\r\n'
    b"To: undisclosed: =?utf-8?q?J=C3=BCrgen?= <jk (work)@example.net>, plain@x;\r\n"
    b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= aus\r\n =?utf-8?b?S8O2bG4=?=\r\n"
    b"Date: Sun, 25 Mar 2007 23:30:00 -0500\r\n"
    b"X-Twice: one\r\nX-Twice: two\r\nX-Empty:\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble-word\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Stra=C3=9Fenbahn und soft=\r\nbreak, =EF=AC=81sh\r\n"
    b"--b\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8NLJ18XU\r\n"
    b'--b\r\nContent-Type: image/png; name="bild.png"\r\nContent-Disposition: attachment; '
    b"filename*=utf-8''%C3%9Cbersicht.png\r\n\r\npicture-octets\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner-subject\r\n\r\n<p>inner-body</p>\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd-text\r\n"
    b"--b--\r\n"
)


@define
class Content:
    """A stored message that counts how often it is read."""

    octets: bytes
    reads: int = 0

    @property
    def size(self) -> int:
        return len(self.octets)

    def read(self, start: int = 0, length: int = -1) -> bytes:
        self.reads += 1
        return self.octets[start:] if length < 0 else self.octets[start : start + length]


def values(octets: bytes = CONTENT) -> dict[Column, Any]:
    return {
        Column.UID: 7,
        Column.FLAGS: frozenset(("\\Seen", "$Label")),
        Column.MODSEQ: 40,
        Column.INTERNAL_DATE: ARRIVED,
        Column.SAVE_DATE: ARRIVED + 86400,
        Column.SIZE: len(octets),
        Column.EMAIL_ID: "E1",
        Column.THREAD_ID: "T1",
        Column.ENVELOPE: summarise(octets).envelope,
        Column.FIELDS: pack(octets[: headerEnd(octets)]),
        Column.HEADER: octets[: headerEnd(octets)],
        Column.CONTENT: Content(octets),
    }


def matches(criterion: Criterion, octets: bytes = CONTENT, now: float = ARRIVED + 100) -> bool:
    found = search.compile(criterion, now)
    row = values(octets)
    result = found.matches([row[column] for column in found.columns])
    decisions = [found.decide([row[each] for each in columns], stage) for stage, columns in enumerate(found.stages)]
    assert decisions[-1] is result
    assert set(decisions) <= {None, result}
    row[Column.FIELDS] = None  # not kept: the header tells the same
    assert found.matches([row[column] for column in found.columns]) is result
    return result


DAY = date(2007, 3, 25)
NEXT = date(2007, 3, 26)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (All(), True),
        (And(()), True),
        (Or(()), False),
        (Not(All()), False),
        (HasFlag("\\SEEN"), True),
        (HasFlag("\\Deleted"), False),
        (HasFlag("$LABEL"), True),
        (HasFlag("Seen"), False),
        (UIDs(UIDSet.of(3, 7)), True),
        (UIDs(UIDSet.of(3, 8)), False),
        (Larger(len(CONTENT) - 1), True),
        (Larger(len(CONTENT)), False),
        (Smaller(len(CONTENT)), False),
        (Smaller(len(CONTENT) + 1), True),
        (Before(Dating.ARRIVED, DAY), False),
        (Before(Dating.ARRIVED, NEXT), True),
        (On(Dating.ARRIVED, DAY), True),
        (On(Dating.ARRIVED, NEXT), False),
        (Since(Dating.ARRIVED, DAY), True),
        (Since(Dating.ARRIVED, NEXT), False),
        # 23:30 on the 25th where it was written is already the 26th in UTC.
        (On(Dating.SENT, DAY), True),
        (On(Dating.SENT, NEXT), False),
        (Before(Dating.SENT, NEXT), True),
        (Since(Dating.SENT, NEXT), False),
        (On(Dating.SAVED, NEXT), True),
        (Younger(100), True),
        (Younger(99), False),
        (Older(100), True),
        (Older(101), False),
        (ModSeq(40), True),
        (ModSeq(41), False),
        (EmailId("E1"), True),
        (EmailId("E2"), False),
        (ThreadId("T1"), True),
        (And((HasFlag("\\Seen"), Body("no such text"))), False),
        (Or((HasFlag("\\Deleted"), Body("inner-body"))), True),
        (Not(Or((HasFlag("\\Deleted"), Not(HasFlag("\\Seen"))))), True),
    ],
)
def test_whatMatches(criterion: Criterion, expected: bool) -> None:
    assert matches(criterion) is expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("subject", "GRÜSSE", True),
        ("Subject", "grüße aus köln", True),
        ("Subject", "aus =?utf-8", False),
        ("Subject", "ruße", False),
        ("Subject", "Kunde", False),
        ("Subject", "", True),
        ("X-Empty", "", True),
        ("X-None", "", False),
        ("X-Twice", "two", True),
        ("X-Twice", "one two", False),
        # What people see, what programs see, and what is written.
        ("From", "Lindqvist, Ada <ada.l@", True),
        ("From", '"lindqvist', True),
        ("From", "ADA.L@EXAMPLE.ORG", True),
        ("To", "Jürgen <jk@example.net>", True),
        ("To", "undisclosed", True),
        ("To", "plain@x", True),
        ("To", "(work)", True),
        ("Cc", "ada", False),
    ],
)
def test_headers(name: str, text: str, expected: bool) -> None:
    assert matches(Header(name, text)) is expected


@pytest.mark.parametrize(
    ("text", "inBody", "inText"),
    [
        ("straßenbahn", True, True),
        ("STRASSENBAHN", True, True),
        ("assenba", True, True),
        ("softbreak", True, True),
        ("fish", True, True),
        ("привет", True, True),
        ("ПРИВЕТ", True, True),
        ("übersicht.png", True, True),
        ("bild.png", True, True),
        ("inner-subject", True, True),
        ("inner-body", True, True),
        ("odd-text", True, True),
        ("Lindqvist", False, True),
        ("x-twice: one", False, True),
        ("Köln", False, True),
        ("picture-octets", False, False),
        ("preamble-word", False, False),
        ("8NLJ18XU", False, False),
        ("nowhere", False, False),
        ("日本", False, False),
    ],
)
def test_bodies(text: str, inBody: bool, inText: bool) -> None:
    assert matches(Body(text)) is inBody
    assert matches(Text(text)) is inText


@pytest.mark.parametrize(
    ("declared", "octets", "text"),
    [
        (b"; charset=utf-16", "Grüße".encode("utf-16"), "grüße"),
        (b"; charset=iso-2022-jp", "日本語".encode("iso-2022-jp"), "日本"),
        (b"; charset=utf-7", "Grüße".encode("utf-7"), "grüße"),
        (b"; charset=us-ascii", "Grüße".encode(), "grüße"),
        (b"; charset=unheard-of", "Grüße".encode(), "grüße"),
        (b"", "Grüße aus dem schönen Köln".encode(), "grüße"),
        (b"", "Привет, как дела сегодня? Хорошая погода в Москве".encode("koi8-r"), "привет"),
        (b"", "Zu\u0308ge".encode(), "züge"),
    ],
)
def test_bodiesInAnyCharset(declared: bytes, octets: bytes, text: str) -> None:
    content = b"Content-Type: text/plain" + declared + b"\r\n\r\n" + octets
    assert matches(Body(text), content)
    assert not matches(Body("other"), content)


def test_aMessageWithoutADateWasSentOnNoDay() -> None:
    for criterion in (Before(Dating.SENT, DAY), On(Dating.SENT, DAY), Since(Dating.SENT, DAY)):
        for head in (b"", b"Date: never\r\n", b"Date: \xe4\r\n"):
            assert not matches(criterion, head + b"\r\n")
            assert matches(Not(criterion), head + b"\r\n")


def test_datesWithOctetsThatNeedALiteralAreRead() -> None:
    assert matches(On(Dating.SENT, DAY), b"Date: 25 Mar 2007 10:00:00 +0100 (\xe4)\r\n\r\n")
    assert matches(On(Dating.SENT, DAY), b'Date: 25 Mar 2007 10:00:00 +0100 (")\r\n\r\n')


def test_nothingIsInEverything() -> None:
    image = b"Content-Type: image/png\r\n\r\nx"
    for kind in (Body, Text):
        assert matches(kind(""), image)
        assert not matches(Not(kind("")), image)
        assert search.compile(kind("")).columns == ()


def test_contentIsReadOnlyWhenNothingElseDecides() -> None:
    for criterion, reads in (
        (And((Body("x-y"), HasFlag("\\Deleted"))), 0),
        (And((Body("x-y"), Header("X-None", ""))), 0),
        (Or((Text("x-y"), Larger(1))), 0),
        (And((Body("inner-body"), Or((Text("inner-body"), Larger(10**9))))), 1),
        (Not(And((Not(HasFlag("\\Seen")), Body("x-y")))), 0),
    ):
        found = search.compile(criterion)
        row = values()
        found.matches([row[column] for column in found.columns])
        assert row[Column.CONTENT].reads == reads


def test_onlyTheColumnsThatAreNeededAreAskedFor() -> None:
    found = search.compile(And((Body("x"), HasFlag("\\Seen"), Since(Dating.SENT, DAY), Header("a", ""))))
    assert found.columns == (Column.FLAGS, Column.ENVELOPE, Column.HEADER, Column.CONTENT)
    assert found.stages == (found.columns[:2], found.columns[:3], found.columns)
    assert search.compile(And((Body("x"), HasFlag("\\Seen")))).stages == ((Column.FLAGS,), (Column.FLAGS, Column.CONTENT))
    assert search.compile(Body("x")).stages == ((Column.CONTENT,),)
    assert search.compile(All()).stages == ((),)


def test_nestingIsBounded() -> None:
    criterion: Criterion = HasFlag("\\Seen")
    for _ in range(search.MAX_DEPTH):
        criterion = Not(criterion)
    assert matches(criterion)
    for _ in range(50_000):
        criterion = Not(criterion)
    with pytest.raises(LimitExceeded):
        search.compile(criterion)


LEAVES: list[tuple[Criterion, bool]] = [
    (HasFlag("\\Seen"), True),
    (HasFlag("\\Deleted"), False),
    (Header("subject", "aus"), True),
    (Header("subject", "nowhere"), False),
    (Body("inner-body"), True),
    (Body("nowhere"), False),
    (Since(Dating.SENT, DAY), True),
    (All(), True),
]
trees: st.SearchStrategy[tuple[Criterion, bool]] = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda pair: (Not(pair[0]), not pair[1])),
        st.lists(inner, max_size=4).map(lambda pairs: (And(tuple(c for c, _ in pairs)), all(v for _, v in pairs))),
        st.lists(inner, max_size=4).map(lambda pairs: (Or(tuple(c for c, _ in pairs)), any(v for _, v in pairs))),
    ),
    max_leaves=12,
)


@given(trees)
def test_logicIsLogicInWhateverOrderItIsAsked(tree: tuple[Criterion, bool]) -> None:
    criterion, expected = tree
    assert matches(criterion) is expected


@given(st.text(max_size=20), st.text(max_size=8), st.text(max_size=20))
def test_everySubstringIsFoundWhateverItsCase(before: str, needle: str, after: str) -> None:
    text = fold(before) + fold(needle) + fold(after)
    assert Needle.of(needle).isIn(text)
    assert Needle.of(needle.upper()).isIn(text) or fold(needle.upper()) != fold(needle)


@pytest.mark.parametrize("at", [0, 32760, 32768, 65530, 100_000])
def test_longTextsAreSearchedWithoutSeams(at: int) -> None:
    text = "ä" * at + "Nädel" + "ö" * 40_000
    assert Needle.of("nädel").isIn(text)
    assert not Needle.of("nädelx").isIn(text)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "combining marks": lambda: ("a" + "\u0315\u0300" * 60_000).encode(),
    "what grows when it is folded": lambda: ("\ufdfa" * 60_000).encode(),
    "many parts that do not say their charset": lambda: b"".join(b"--b\r\n\r\n\xe4\xf6\xfc\r\n" for _ in range(9000)),
    "noise": lambda: random.Random(3).randbytes(200_000),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("criterion", [Body("nowhere ä"), Text("nowhere"), Header("Subject", "nowhere ä")])
def test_noMessageTakesLongToSearch(name: str, criterion: Criterion) -> None:
    made = HOSTILE[name]()
    head = b"Subject: " + made.replace(b"\r\n", b"\r\n ") + b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    content = head + b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + made
    start = time.thread_time()
    assert not matches(criterion, content)
    assert time.thread_time() - start < 3
