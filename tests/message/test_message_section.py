"""Sections: BODY[…] and BINARY[…]."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.decoding import UnknownEncoding
from mailfw.message.mime import scan
from mailfw.message.section import Section, Text, binary, extract, find, locate, partial

INNER_HEADER = b'From: in@x\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary="i"\r\n\r\n'
INNER_BODY = b"--i\r\nContent-Type: text/html\r\n\r\n<p>\r\n--i\r\n\r\nplain\r\n--i--\r\n"
OUTER_HEADER = b'From: out@x\r\nSubject: outer\r\nX-A: 1\r\nContent-Type: multipart/mixed; boundary="o"\r\n\r\n'
MIXED = (
    OUTER_HEADER
    + b"preamble\r\n--o\r\nContent-Type: text/plain\r\nX-P: 1\r\n\r\nhello\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n"
    + INNER_HEADER
    + INNER_BODY
    + b"\r\n--o--\r\nepilogue\r\n"
)
SIMPLE = b"From: a@b\r\nTo: c@d\r\n\r\nhello\r\n"
FORWARD = b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\nA: 1\r\n\r\nA: 2\r\n\r\ndeep\r\n"
DIGEST = (
    b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: 1\r\n\r\none\r\n"
    b"--d\r\nX: y\r\n\r\nSubject: 2\r\n\r\ntwo\r\n--d--"
)


def section(text: str) -> Section:
    """`1.2.HEADER.FIELDS (A B)` as a value."""
    words, _, names = text.partition(" ")
    numbers = [word for word in words.split(".") if word.isdigit()]
    rest = ".".join(word for word in words.split(".") if word and not word.isdigit())
    return Section(tuple(map(int, numbers)), Text(rest), tuple(names.strip("()").encode().split()))


@pytest.mark.parametrize(
    ("content", "spec", "expected"),
    [
        (SIMPLE, "", SIMPLE),
        (SIMPLE, "HEADER", b"From: a@b\r\nTo: c@d\r\n\r\n"),
        (SIMPLE, "TEXT", b"hello\r\n"),
        (SIMPLE, "1", b"hello\r\n"),
        (SIMPLE, "1.MIME", b"From: a@b\r\nTo: c@d\r\n\r\n"),
        (SIMPLE, "MIME", None),
        (SIMPLE, "2", None),
        (SIMPLE, "1.1", None),
        (SIMPLE, "1.HEADER", None),
        (SIMPLE, "1.TEXT", None),
        (SIMPLE, "HEADER.FIELDS (to x)", b"To: c@d\r\n\r\n"),
        (SIMPLE, "HEADER.FIELDS (x)", b"\r\n"),
        (SIMPLE, "HEADER.FIELDS.NOT (FROM)", b"To: c@d\r\n\r\n"),
        (SIMPLE, "1.HEADER.FIELDS (to)", None),
        (MIXED, "HEADER", OUTER_HEADER),
        (MIXED, "TEXT", MIXED[len(OUTER_HEADER) :]),
        (MIXED, "1", b"hello\r\n"),
        (MIXED, "1.MIME", b"Content-Type: text/plain\r\nX-P: 1\r\n\r\n"),
        (MIXED, "2", INNER_HEADER + INNER_BODY),
        (MIXED, "2.MIME", b"Content-Type: message/rfc822\r\n\r\n"),
        (MIXED, "2.HEADER", INNER_HEADER),
        (MIXED, "2.TEXT", INNER_BODY),
        (MIXED, "2.HEADER.FIELDS (SUBJECT)", b"Subject: inner\r\n\r\n"),
        (MIXED, "2.1", b"<p>"),
        (MIXED, "2.1.MIME", b"Content-Type: text/html\r\n\r\n"),
        (MIXED, "2.2", b"plain"),
        (MIXED, "2.2.MIME", b"\r\n"),
        (MIXED, "2.2.TEXT", None),
        (MIXED, "2.3", None),
        (MIXED, "3", None),
        (MIXED, "1.2", None),
        (FORWARD, "1", FORWARD[len(b"Content-Type: message/rfc822\r\n\r\n") :]),
        (FORWARD, "1.HEADER", b"Content-Type: message/rfc822\r\nA: 1\r\n\r\n"),
        (FORWARD, "1.1", b"A: 2\r\n\r\ndeep\r\n"),
        (FORWARD, "1.1.HEADER", b"A: 2\r\n\r\n"),
        (FORWARD, "1.1.TEXT", b"deep\r\n"),
        (FORWARD, "1.1.1", b"deep\r\n"),
        (FORWARD, "1.1.1.1", None),
        (FORWARD, "1.2", None),
        (DIGEST, "1", b"Subject: 1\r\n\r\none"),
        (DIGEST, "1.MIME", b"\r\n"),
        (DIGEST, "1.HEADER", b"Subject: 1\r\n\r\n"),
        (DIGEST, "2.MIME", b"X: y\r\n\r\n"),
        (DIGEST, "2.TEXT", b"two"),
        (DIGEST, "2.1", b"two"),
        (b"no header end", "TEXT", b""),
        (b"no header end", "HEADER", b"no header end"),
        (b"", "1", b""),
    ],
)
def test_sections(content: bytes, spec: str, expected: bytes | None) -> None:
    assert extract(section(spec), content, scan(content)) == expected


def test_sectionsOfTheMessageItselfNeedNoTree() -> None:
    def never() -> None:
        raise AssertionError("scanned for nothing")

    size, headerSize = len(MIXED), len(OUTER_HEADER)
    for spec, expected in (("", (0, size)), ("HEADER", (0, headerSize)), ("TEXT", (headerSize, size))):
        wanted = section(spec)
        assert not wanted.needsTree
        assert locate(wanted, size, headerSize, never) == expected  # type: ignore[arg-type]
    assert section("HEADER.FIELDS (A)").needsHeaderOnly
    assert section("1").needsTree and not section("1.HEADER").needsHeaderOnly


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 3, (10, 13)),
        (3, 100, (13, 20)),
        (10, 5, (20, 20)),
        (11, 5, (20, 20)),
        (1 << 63, 1 << 63, (20, 20)),
        (0, 0, (10, 10)),
    ],
)
def test_partialPastTheEndIsEmpty(offset: int, length: int, expected: tuple[int, int]) -> None:
    assert partial((10, 20), offset, length) == expected


ENCODED = b"Content-Transfer-Encoding: %b\r\n\r\n%b"


@pytest.mark.parametrize(
    ("encoding", "body", "decoded"),
    [
        (b"7bit", b"a=3D\r\n", b"a=3D\r\n"),
        (b"8BIT", b"\xe4", b"\xe4"),
        (b"binary", b"\0", b"\0"),
        (b"quoted-printable", b"a=3Db =C3=BC=\r\n c", b"a=b \xc3\xbc c"),
        (b"Quoted-Printable", b"hello  \r\nbar= \t\r\nx\t=\r\ny \r\n", b"hello\r\nbarx\ty\r\n"),
        (b"quoted-printable", b"50% = x =ZZ =", b"50% = x =ZZ "),
        (b"quoted-printable", b"a=\rb\r\nc", b"a=\rb\r\nc"),
        (b"quoted-printable", b"a=3db\nc=\nd  ", b"a=b\ncd"),
        (b"base64", b"aGVs\r\nbG8gd29y\r\nbGQ=\r\n", b"hello world"),
        (b"base64", b"  aGVs    \r\n bG8g !\r\n d29y \t \r\n bGQ= \r\n", b"hello world"),
        (b"base64", b"aGVsbG8", b"hello"),
        (b"base64", b"aGk=aGk=", b"hihi"),
        (b"base64", b"aGVsbG8hQ", b"hello!"),
        (b"base64", b"", b""),
        (b"base64", b"=====", b""),
        (b"BASE64 (comment)", b"aGk=", b"hi"),
        (b"", b"x", b"x"),
    ],
)
def test_binaryUndoesTheEncoding(encoding: bytes, body: bytes, decoded: bytes) -> None:
    content = ENCODED % (encoding, body)
    assert binary((1,), content, scan(content)) == decoded


def test_binaryOfAnUnknownEncodingIsRefused() -> None:
    content = ENCODED % (b"x-uuencode", b"x")
    with pytest.raises(UnknownEncoding) as caught:
        binary((1,), content, scan(content))
    assert not caught.value.isTemporary


def test_binaryOfWhatIsNotEncodedIsAsItStands() -> None:
    root = scan(MIXED)
    assert binary((), MIXED, root) == MIXED
    assert binary((2,), MIXED, root) == INNER_HEADER + INNER_BODY
    assert binary((3,), MIXED, root) is None
    encoded = MIXED.replace(b"X-A: 1", b"Content-Transfer-Encoding: base64")
    assert binary((), encoded, scan(encoded)) == encoded


PIECES = st.lists(
    st.sampled_from(
        [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"--b\r\n", b"--b--\r\n",
         b"A: 1\r\n", b"\r\n", b"\n", b"junk\r\n", b"Content-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n", b"\r\n--c--"]
    ),
    max_size=25,
).map(b"".join)  # fmt: skip


@given(PIECES, st.lists(st.integers(1, 3), max_size=3))
def test_sectionsPutTogetherAreTheWhole(content: bytes, path: list[int]) -> None:
    root = scan(content)

    def get(text: Text, fields: tuple[bytes, ...] = ()) -> bytes | None:
        return extract(Section(tuple(path), text, fields), content, root)

    part = find(root, tuple(path))
    whole = get(Text.ALL)
    assert (whole is None) == (part is None)
    if part is None or whole is None:
        assert get(Text.MIME) is get(Text.HEADER) is get(Text.TEXT) is None
        return
    if path:
        mime = get(Text.MIME)
        assert mime is not None
        assert mime + whole == content[part.start : part.end]
    head, text = get(Text.HEADER), get(Text.TEXT)
    assert (head is None) == (text is None) == bool(path and not part.contentType.isMessage)
    if head is not None and text is not None:
        assert head + text == whole
        assert get(Text.FIELDS_NOT, (b"no-such-field",)) == head
