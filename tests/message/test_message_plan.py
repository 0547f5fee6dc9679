"""What an index may be asked for: it rules out what cannot match, and never what does."""

from __future__ import annotations

import sqlite3
import time
from functools import reduce

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from mailfw.message import mime, search
from mailfw.message.criteria import All, And, Body, Criterion, HasFlag, Header, Not, Or, Text
from mailfw.message.fields import pack
from mailfw.message.header import headerEnd
from mailfw.message.plan import AllOf, AnyOf, Contains, Place, Plan, bodyText, headerText, plan
from mailfw.values import Column


@define
class Content:
    octets: bytes

    def read(self) -> bytes:
        return self.octets


def matches(criterion: Criterion, content: bytes) -> bool:
    """Whether a message matches, found by reading it."""
    wanted = search.compile(criterion)
    header = content[: headerEnd(content)]
    row = {Column.FIELDS: pack(header), Column.HEADER: header, Column.CONTENT: Content(content), Column.FLAGS: frozenset()}
    return wanted.matches([row[column] for column in wanted.columns])


# --- what is planned -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "planned"),
    [
        (Body("Straße"), Contains(Place.BODY, "strasse")),
        (Text("ab"), None),
        (Text("ﬁx"), Contains(Place.MESSAGE, "fix")),
        (Header("Subject", "Hello"), Contains(Place.HEADER, "hello")),
        (Header("X-Spam-Flag", "yes"), AllOf((Contains(Place.HEADER, "yes"), Contains(Place.HEADER, "x-spam-flag")))),
        (Header("X-Spam-Flag", ""), Contains(Place.HEADER, "x-spam-flag")),
        (Header("Subject", ""), None),
        (HasFlag("\\Seen"), None),
        (And((HasFlag("\\Seen"), Body("one"), Not(Body("two")))), Contains(Place.BODY, "one")),
        (And((Body("one"), Text("two"))), AllOf((Contains(Place.BODY, "one"), Contains(Place.MESSAGE, "two")))),
        (And(()), None),
        (Or((Body("one"), Text("two"))), AnyOf((Contains(Place.BODY, "one"), Contains(Place.MESSAGE, "two")))),
        (Or((Body("one"), HasFlag("\\Seen"))), None),
        (Or((Body("one"),)), Contains(Place.BODY, "one")),
        (Or(()), AnyOf(())),
        (Not(All()), AnyOf(())),
        (Not(Body("one")), None),
        (Not(Not(Body("one"))), Contains(Place.BODY, "one")),
        (Not(Or((Not(Body("one")), HasFlag("\\Seen")))), Contains(Place.BODY, "one")),
        (Not(And((Not(Body("one")), Not(Body("two"))))), AnyOf((Contains(Place.BODY, "one"), Contains(Place.BODY, "two")))),
    ],
)
def test_whatAnIndexCanHelpWithIsAskedOfIt(criterion: Criterion, planned: Plan | None) -> None:
    assert plan(criterion) == planned


def test_textsFallIntoTrigrams() -> None:
    assert Contains(Place.BODY, "banana").trigrams == ("ban", "ana", "nan")


def test_aLongTextIsAskedForByItsBeginning() -> None:
    planned = plan(Body("x" * 100_000))
    assert isinstance(planned, Contains)
    assert len(planned.text) == 100


def test_whatIsNestedTooDeepIsNotPlanned() -> None:
    assert plan(reduce(lambda inner, _: Not(inner), range(100), Body("one"))) == Contains(Place.BODY, "one")
    assert plan(reduce(lambda inner, _: Not(inner), range(100_000), Body("one"))) is None
    assert plan(reduce(lambda inner, _: Or((inner,)), range(100_000), Body("one"))) is None


# --- candidates and matches ------------------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        "one", "two", "ONE two", "Über", "u\u0308ber", "straße", "ﬁsh", "İstanbul", "a\u0315\u0300\u05aeb", "猫と犬", "ab", "x",
        "\x00", "no\x00nul", "=?utf-8?q?=C3=9Cber_one?=", "=?utf-8?b?8J+YgA==?=", "=?utf-7?q?+2AA-abc?=", "=?", "?=", "\\", '"',
        "<one@example.org>", '"one, two" <x@y>', "(comment)", "group: a@b;", ",", " ", "\t", "\r\n ", "one\r\ntwo", "ö" * 300,
    ]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS, max_size=5).map("".join)
NAMES = st.sampled_from(["Subject", "subject", "From", "To", "X-One", "X", "=?utf-8?q?one", "Über"])
ENCODINGS = st.sampled_from(["utf-8", "latin-1", "utf-16"])


@st.composite
def mails(draw: st.DrawFn) -> bytes:
    encoding = draw(ENCODINGS)
    fields = [f"{draw(NAMES)}: {draw(TEXTS)}\r\n" for _ in range(draw(st.integers(0, 4)))]
    header = "".join(fields).encode("utf-8" if encoding == "utf-16" else encoding, "replace")
    parts = draw(st.lists(TEXTS, max_size=3))
    if len(parts) < 2:
        return header + b"\r\n" + "".join(parts).encode()
    body = b"".join(
        b'--b\r\nContent-Type: %b; charset=%b; name="%b"\r\n\r\n%b\r\n'
        % (
            draw(st.sampled_from([b"text/plain", b"text/html", b"message/rfc822", b"image/png"])),
            encoding.encode(),
            draw(FRAGMENTS).encode(),
            part.encode(encoding, "replace"),
        )
        for part in parts
    )
    return b"Content-Type: multipart/mixed; boundary=b\r\n" + header + b"\r\n" + body + b"--b--\r\n"


NEEDLES = st.lists(FRAGMENTS, min_size=1, max_size=2).map("".join)
CRITERIA = st.recursive(
    st.one_of(
        NEEDLES.map(Body),
        NEEDLES.map(Text),
        st.builds(Header, NAMES, NEEDLES | st.just("")),
        st.sampled_from([HasFlag("\\Seen"), All()]),
    ),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda each: And(tuple(each))),
        st.lists(inner, max_size=3).map(lambda each: Or(tuple(each))),
    ),
    max_leaves=6,
)  # fmt: skip


def isCandidate(planned: Plan | None, header: str, body: str) -> bool:
    """What an index of trigrams answers: three characters at a time, wherever they stand."""
    match planned:
        case None:
            return True
        case AllOf():
            return all(isCandidate(each, header, body) for each in planned.plans)
        case AnyOf():
            return any(isCandidate(each, header, body) for each in planned.plans)
    places = {Place.HEADER: [header], Place.BODY: [body], Place.MESSAGE: [header, body]}[planned.place]
    return any(all(trigram in place for trigram in planned.trigrams) for place in places)


@settings(max_examples=400)
@given(mails(), CRITERIA)
def test_whatMatchesIsACandidate(content: bytes, criterion: Criterion) -> None:
    root = mime.scan(content)
    if matches(criterion, content):
        assert isCandidate(plan(criterion), headerText(content[: root.bodyStart]), bodyText(root, content))


@pytest.mark.parametrize(
    ("content", "criterion"),
    [
        (b'From: "one, two" <x@y>\r\n\r\n', Header("From", "one, two <x@y>")),
        (b"=?utf-8?q?one: two?=\r\n\r\n", Header("=?utf-8?q?one", "two?=")),
        (b"Subject: one\r\n two\r\n\r\n", Header("Subject", "one two")),
        (b"X-Only-Here:\r\n\r\n", Header("x-only-here", "")),
        (b"\r\nno\x00nul after it", Body("o\x00nul")),
        (b"\r\n" + ("x" * 510 + "a\u0315\u0300\u05aeb" * 3).encode(), Body("a\u0315\u0300\u05aeb")),
    ],
)
def test_whatIsSearchedInAnUnusualWayIsIndexedToo(content: bytes, criterion: Criterion) -> None:
    root = mime.scan(content)
    assert matches(criterion, content)
    assert plan(criterion) is not None
    assert isCandidate(plan(criterion), headerText(content[: root.bodyStart]), bodyText(root, content))


@given(mails(), NEEDLES, st.sampled_from([Body, Text]))
def test_aTextThatIsLongEnoughIsAlwaysPlanned(content: bytes, needle: str, kind: type) -> None:
    """And what is found through the plan holds all of it, not only its trigrams."""
    planned = plan(kind(needle))
    assert (planned is None) == (len(search.Needle.of(needle).text) < 3)
    if isinstance(planned, Contains) and matches(kind(needle), content):
        root = mime.scan(content)
        assert planned.text in headerText(content[: root.bodyStart]) or planned.text in bodyText(root, content)


def expression(planned: Plan) -> str:
    """The plan as FTS5 is asked."""
    if isinstance(planned, Contains):
        return "(" + " AND ".join('"' + each.replace('"', '""') + '"' for each in sorted(planned.trigrams)) + ")"
    return "(" + (" AND " if isinstance(planned, AllOf) else " OR ").join(map(expression, planned.plans)) + ")"


def isEmpty(planned: Plan) -> bool:
    if isinstance(planned, AllOf):
        return any(map(isEmpty, planned.plans))
    return isinstance(planned, AnyOf) and all(map(isEmpty, planned.plans))


def withoutEmpty(planned: Plan) -> Plan:
    if isinstance(planned, AnyOf):
        return AnyOf(tuple(withoutEmpty(each) for each in planned.plans if not isEmpty(each)))
    return AllOf(tuple(map(withoutEmpty, planned.plans))) if isinstance(planned, AllOf) else planned


@settings(max_examples=200)
@given(st.lists(mails(), min_size=1, max_size=3), CRITERIA)
def test_sqlitesTrigramsFindWhatMatches(contents: list[bytes], criterion: Criterion) -> None:
    planned = plan(criterion)
    found = {number for number, content in enumerate(contents) if matches(criterion, content)}
    if planned is None or isEmpty(planned):
        assert planned is None or not found
        return
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE VIRTUAL TABLE texts USING fts5(text, content='', tokenize='trigram', detail=none)")
        for number, content in enumerate(contents):
            root = mime.scan(content)
            both = headerText(content[: root.bodyStart]) + "\n" + bodyText(root, content)
            connection.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, both))
        asked = expression(withoutEmpty(planned))
        candidates = {number for (number,) in connection.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (asked,))}
    assert found <= candidates


@pytest.mark.parametrize(
    "content",
    [
        b"".join(b"X-%d: =?utf-8?q?a?= \xc3\xa4\r\n" % number for number in range(9000)) + b"\r\n",
        b"To: " + b"=?utf-8?q?=C3=A4?= <a@b>, " * 9000 + b"\r\n\r\n",
        b"\r\n" + "a\u0315\u0300".encode() * 60_000,
    ],
)
def test_noMessageTakesLongToIndex(content: bytes) -> None:
    started = time.process_time()
    root = mime.scan(content)
    assert headerText(content[: root.bodyStart]) + bodyText(root, content)
    assert time.process_time() - started < 2
