"""Addresses, dates, ids, encoded-words, parameters and subjects, well-formed and broken."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.header import Header, decode_header, make_header
from email.utils import format_datetime, getaddresses, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import address, date, envelope, parameter, reference, words
from mailfw.message.address import GroupEnd, GroupStart, Mailbox
from mailfw.message.subject import baseSubject

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60)
ATOM = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=12)


def mailbox(local: str, domain: str, name: str | None = None, route: str | None = None) -> Mailbox:
    return Mailbox(name.encode() if name else None, route.encode() if route else None, local.encode(), domain.encode())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b", [mailbox("a", "b")]),
        (b"A B <a@b>", [mailbox("a", "b", "A B")]),
        (b'"B, A" <a@b>, c@d', [mailbox("a", "b", "B, A"), mailbox("c", "d")]),
        (b'"say \\"hi\\"" <a@b>', [mailbox("a", "b", 'say "hi"')]),
        (b"a@b (A B)", [mailbox("a", "b", "A B")]),
        (b"a@b (A (nested) B)", [mailbox("a", "b", "A (nested) B")]),
        (b"A (not B) C <a (x)@ (y) b>", [mailbox("a", "b", "A C")]),
        (b'"a b"@c', [mailbox("a b", "c")]),
        (b'"a@b"@c', [mailbox("a@b", "c")]),
        (b"a@[192.0.2.1]", [mailbox("a", "[192.0.2.1]")]),
        (b"<@x,@y:a@b>, c@d", [mailbox("a", "b", route="@x,@y"), mailbox("c", "d")]),
        (b"A.B. C <a@b>", [mailbox("a", "b", "A.B. C")]),
        (
            b"g: a@b, C <c@d>;, e@f",
            [GroupStart(b"g"), mailbox("a", "b"), mailbox("c", "d", "C"), GroupEnd(), mailbox("e", "f")],
        ),
        (b"undisclosed-recipients:;", [GroupStart(b"undisclosed-recipients"), GroupEnd()]),
        (b"g: a@b", [GroupStart(b"g"), mailbox("a", "b"), GroupEnd()]),
        (b"a@b; c@d", [mailbox("a", "b"), mailbox("c", "d")]),
        (b"nobody", [mailbox("nobody", "")]),
        (b"A <nobody>", [mailbox("nobody", "", "A")]),
        (b"A <a@b", [mailbox("a", "b", "A")]),
        (b'"A <a@b>, c@d', [mailbox("a", "b", "A"), mailbox("c", "d")]),
        (b"(A <a@b>, c@d", [mailbox("a", "b", "(A"), mailbox("c", "d")]),
        (b",, a@b ,", [mailbox("a", "b")]),
        (b"a@b@c", [mailbox("a@b", "c")]),
        (b"", []),
        (b" , (x) ;", []),
    ],
)
def test_addressLists(value: bytes, expected: list[address.Entry]) -> None:
    assert address.entries(value) == expected


def test_listsAreBounded() -> None:
    assert len(address.entries(b"a@b," * (address.MAX_ENTRIES + 9))) == address.MAX_ENTRIES
    assert envelope.addressList(b"a@b," * (address.MAX_ENTRIES + 9)).count(b'"a"') == address.MAX_ENTRIES
    assert envelope.addressList(b"a@b, " * (address.MAX_ENTRIES + 9) + b"c@d").count(b"(NIL") == address.MAX_ENTRIES


@given(st.lists(st.tuples(st.sampled_from(["", "Jo Smith", '"S, J"', "J. S"]), ATOM, ATOM), min_size=1, max_size=5))
def test_addressesEqualTheStandardLibrarys(parts: list[tuple[str, str, str]]) -> None:
    value = ", ".join(f"{name} <{local}@{domain}>" if name else f"{local}@{domain}" for name, local, domain in parts)
    ours = [((each.name or b"").decode(), each.address.decode()) for each in address.mailboxes(value.encode())]
    assert ours == getaddresses([value])


@given(st.text('ab.@<>,;: \t"\\()[]=\xe4', max_size=40))
def test_theQuickWayGivesWhatTheThoroughWayGives(text: str) -> None:
    value = text.encode("latin-1").strip(b" \t")
    assert envelope.addressList(value) == envelope._anyAddressList(value)


@given(st.binary(max_size=80))
def test_anyOctetsAreAnAddressList(value: bytes) -> None:
    depth = 0
    for entry in address.entries(value):
        depth += isinstance(entry, GroupStart) - isinstance(entry, GroupEnd)
        assert depth in (0, 1)
        assert isinstance(address.display(entry), str)
    assert depth == 0


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, zone: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone(timedelta(minutes=zone)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Thu, 15 Feb 2007 01:02:03 +0200", at(2007, 2, 15, 1, 2, 3, 120)),
        (b"15 feb 2007 01:02 -0330", at(2007, 2, 15, 1, 2, 0, -210)),
        (b"Thu, 15 Feb 07 01:02:03 EST", at(2007, 2, 15, 1, 2, 3, -300)),
        (b"Thu, 15 Feb 97 01:02:03 PDT", at(1997, 2, 15, 1, 2, 3, -420)),
        (b"15 Feb 107 01:02:03 Z", at(2007, 2, 15, 1, 2, 3)),
        (b"Thu, 15 Feb 2007 01:02:03 A", at(2007, 2, 15, 1, 2, 3)),
        (b"Thu, 15 Feb 2007 01:02:60 GMT (leap)", at(2007, 2, 15, 1, 2, 59)),
        (b"Thu (day), 15 Feb (month) 2007 01:02:03 +0000", at(2007, 2, 15, 1, 2, 3)),
        (b"Thursday, 15-Feb-07 01:02:03 GMT", at(2007, 2, 15, 1, 2, 3)),
        (b"Thu Feb 15 01:02:03 2007", at(2007, 2, 15, 1, 2, 3)),
        (b"2007-02-15T01:02:03Z", at(2007, 2, 15, 1, 2, 3)),
        (b"Thu, 15 Feb 2007 01:02:03 +9999", at(2007, 2, 15, 1, 2, 3)),
        (b"Thu, 15 Feb 2007", at(2007, 2, 15)),
        (b"Thu,15 Feb 2007 1:02:03 +0200", at(2007, 2, 15, 1, 2, 3, 120)),
        (b"32 Feb 2007 01:02:03 +0000", None),
        (b"15 Foo 2007 01:02:03 +0000", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_dates(value: bytes, expected: datetime | None) -> None:
    found = date.parse(value)
    assert found == expected
    if found is not None and expected is not None:
        assert found.utcoffset() == expected.utcoffset()


@given(st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_datesEqualTheStandardLibrarys(when: datetime, offset: int) -> None:
    aware = when.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    text = format_datetime(aware)
    assert date.parse(text.encode()) == parsedate_to_datetime(text) == aware
    assert date.render(aware.timestamp(), offset).decode().replace(", 0", ", ") == text.replace(", 0", ", ")


@given(st.binary(max_size=60))
def test_anyOctetsAreADateOrNone(value: bytes) -> None:
    found = date.parse(value)
    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"a =?iso-8859-1?q?=E9_b?= c", "a é b c"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\t =?iso-8859-1?q?=E4?=", "aä"),
        (b"=?utf-8?b?w7w=?= =?utf-8?b?w7w=?=", "üü"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        (b"=?utf-8*de?q?=C3=BC?=", "ü"),
        (b'"=?utf-8?q?=C3=BC?=" x', '"ü" x'),
        (b"=?utf-8?q?a?=b", "ab"),
        (b"=?utf-8?b?w7w?=", "ü"),
        (b"=?x-unknown?q?=C3=BC?=", "ü"),
        (b"=?idna?q?xn--tda?=", "xn--tda"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?abc", "=?utf-8?q?abc"),
        ("roh: ü".encode(), "roh: ü"),
        (b"roh: \xfc", "roh: ü"),
        (b"=?us-ascii?q?=FC?=", "ü"),
        (b"=?gb2312?b?1tA=?=", "中"),
        (b"=?zlib?b?eJwDAAAAAAE=?= x", "x\x9c\x03\0\0\0\0\x01".replace("\x9c", "œ") + " x"),
    ],
)
def test_encodedWords(value: bytes, text: str) -> None:
    assert words.decode(value) == text


@given(TEXT, st.sampled_from(["utf-8", "iso-8859-1", "iso-2022-jp", "us-ascii"]))
def test_encodedWordsEqualTheStandardLibrarys(text: str, charset: str) -> None:
    text = text.encode(charset, "ignore").decode(charset).strip()
    value = Header(text, charset, maxlinelen=60).encode().replace("\n", "")
    assert words.decode(value.encode()) == str(make_header(decode_header(value))) == text


@given(st.binary(max_size=80))
def test_anyOctetsAreWords(value: bytes) -> None:
    words.decode(value).encode("utf-8")


@pytest.mark.parametrize(
    ("subject", "base", "isReply"),
    [
        ("b", "b", False),
        ("Re: b", "b", True),
        ("re: RE : fw: Fwd:b", "b", True),
        ("[list] Re: [list] b", "b", True),
        ("[list] b", "b", False),
        ("[list]", "[list]", False),
        ("Re: [list]", "[list]", True),
        ("Re[2]: b", "b", True),
        ("b (fwd) (FWD) ", "b", True),
        ("[fwd: b]", "b", True),
        ("re: [fwd: [fwd: re: [fwd: babylon]]]", "babylon", True),
        ("[foo] Fwd: [bar] Re: fw: b (fWd)  (fwd)", "b", True),
        ("Ad: Re: x", "Ad: Re: x", False),
        ("  a \t b ", "a b", False),
        ("b (a)", "b (a)", False),
        ("Re: ", "", True),
        ("[fwd:]", "", True),
        ("[fwd: b", "[fwd: b", False),
        ("", "", False),
    ],
)
def test_baseSubjects(subject: str, base: str, isReply: bool) -> None:
    assert (baseSubject(subject).text, baseSubject(subject).isReply) == (base, isReply)


@given(st.text("re:fwd[]() x", max_size=40))
def test_aReplyHasTheBaseSubjectOfWhatItAnswers(subject: str) -> None:
    base = baseSubject(subject).text
    assert baseSubject(f"Re: {subject}").text == base
    assert baseSubject(f"Re: {subject}").isReply
    assert baseSubject(f"{subject} (fwd)").text == base


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (b"<a@b>", ("a@b",)),
        (b"<a@b> <c@d>\t<a@b>", ("a@b", "c@d")),
        (b'<"a"@b><"x\\y"@d>', ("a@b", "xy@d")),
        (b"your mail of <a@ b> today", ("a@b",)),
        (b"<a@b", ()),
        (b"<>", ()),
        (b"nothing", ()),
        (b"<" + b"x" * 999 + b">", ()),
        (b"<\xe4@b>", ("\\xe4@b",)),
    ],
)
def test_messageIds(value: bytes, ids: tuple[str, ...]) -> None:
    assert reference.messageIds(value) == ids


def test_ofTooManyIdsTheRootAndTheNewestStay() -> None:
    found = reference.messageIds(b" ".join(b"<%d@x>" % number for number in range(500)))
    assert len(found) == reference.MAX_IDS
    assert (found[0], found[1], found[-1]) == ("0@x", "401@x", "499@x")


@pytest.mark.parametrize(("value", "expected"), [(b"<a@b>", "a@b"), (b"a@b", "a@b"), (b"", ""), (b"<a@b> <c@d>", "a@b")])
def test_messageId(value: bytes, expected: str) -> None:
    assert reference.messageId(value) == expected


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"; a=1; B=2", ((b"a", b"1"), (b"B", b"2"))),
        (b'; a="x; y" ; b = z', ((b"a", b"x; y"), (b"b", b"z"))),
        (b'; a="q\\"\\\\"', ((b"a", b'q"\\'),)),
        (b"; charset=us-ascii (Plain text)", ((b"charset", b"us-ascii"),)),
        (b"; (c) a=1", ((b"a", b"1"),)),
        (b"; name=my file (1).pdf; x=1", ((b"name", b"my file (1).pdf"), (b"x", b"1"))),
        (b'; a="open; b=1', ((b"a", b"open; b=1"),)),
        (b'; a="1" junk; b=2', ((b"a", b"1"), (b"b", b"2"))),
        (b";;; a=1;", ((b"a", b"1"),)),
        (b"; junk; a=1", ((b"a", b"1"),)),
        (b"; a=", ((b"a", b""),)),
        (b'; t*0=ab; t*1="c d"; u=1', ((b"t", b"abc d"), (b"u", b"1"))),
        (b"; t*1=b; t*0=a", ((b"t", b"ab"),)),
        (b"; t*0*=utf-8''%C3%BC; t*1=\"a b\"", ((b"t*", b"utf-8''%C3%BCa%20b"),)),
        (b"; t*=utf-8'en'%41; t=B", ((b"t*", b"utf-8'en'%41"), (b"t", b"B"))),
        (b"", ()),
    ],
)
def test_parameters(value: bytes, found: parameter.Parameters) -> None:
    assert parameter.parameters(value) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"; filename=a.txt", "a.txt"),
        (b'; filename="=?utf-8?q?=C3=BC?=.txt"', "ü.txt"),
        (b"; filename*=utf-8'de'%C3%BC.txt; filename=u.txt", "ü.txt"),
        (b"; filename*0*=iso-8859-1''%FC; filename*1=.txt", "ü.txt"),
        (b"; filename*=%41", "A"),
        (b"; other=1", None),
    ],
)
def test_parametersForPeople(value: bytes, text: str | None) -> None:
    assert parameter.text(parameter.parameters(value), b"filename") == text


@pytest.mark.parametrize(
    ("value", "mediaType"),
    [
        (b"text/html", b"text/html"),
        (b" TEXT / HTML ;charset=x", b"text/html"),
        (b"text", b"text/plain"),
        (b"", b"text/plain"),
        (b"text/", b"text/plain"),
        (b"image/svg+xml; x", b"image/svg+xml"),
        (b"foo bar/baz", b"text/plain"),
    ],
)
def test_contentTypes(value: bytes, mediaType: bytes) -> None:
    assert parameter.contentType(value).mediaType == mediaType


@given(st.binary(max_size=200))
def test_anyOctetsAreAContentType(value: bytes) -> None:
    found = parameter.contentType(value)
    assert found.mediaType.count(b"/") == 1
    for name, _ in found.parameters:
        parameter.text(found.parameters, name.lower())
