"""BODYSTRUCTURE and BODY, as a client reads them from the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.mime import scan
from mailfw.message.structure import bodyStructure, plainBody

ENVELOPE = b'(NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)'


@pytest.mark.parametrize(
    ("content", "structure", "body"),
    [
        (b"", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)', None),
        (b"Subject: x\r\n\r\na\r\nb\r\n", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2 NIL NIL NIL NIL)', None),
        # Spelled as in the message; a charset is added only to text that has none.
        (b'Content-Type: TEXT/HTML; Name="x y"\r\nContent-Transfer-Encoding: Quoted-Printable (odd)\r\n\r\nx',
         b'("TEXT" "HTML" ("Name" "x y" "charset" "us-ascii") NIL NIL "Quoted-Printable" 1 0 NIL NIL NIL NIL)', None),
        # Every extension there is.
        (b"Content-Type: image/png\r\nContent-ID: <i@x>\r\nContent-Description: a \"b\"\r\nContent-MD5: abc==\r\n"
         b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a;b.png\"; size=3\r\n"
         b"Content-Language: de, en\r\nContent-Location: http://x/\r\n\r\nAAAA\r\n",
         b'("image" "png" NIL "<i@x>" "a \\"b\\"" "base64" 6 "abc==" ("attachment" ("filename" "a;b.png" "size" "3")) '
         b'("de" "en") "http://x/")',
         b'("image" "png" NIL "<i@x>" "a \\"b\\"" "base64" 6)'),
        (b"Content-Type: a/b\r\nContent-Language: de\r\nContent-Disposition: inline\r\n\r\n",
         b'("a" "b" NIL NIL NIL "7bit" 0 NIL ("inline" NIL) "de" NIL)', b'("a" "b" NIL NIL NIL "7bit" 0)'),
        # Continued and encoded parameters (RFC 2231 §6), and octets above 127.
        (b"Content-Type: a/b; name*0*=utf-8''%C3%BC; name*1=.txt; x=\"\xfc\"\r\n\r\n",
         b'("a" "b" ("name*" "utf-8\'\'%C3%BC.txt" "x" {1}\r\n\xfc) NIL NIL "7bit" 0 NIL NIL NIL NIL)',
         b'("a" "b" ("name*" "utf-8\'\'%C3%BC.txt" "x" {1}\r\n\xfc) NIL NIL "7bit" 0)'),
        # Multiparts.
        (b"Content-Type: multipart/mixed; boundary=b\r\nContent-Disposition: inline\r\n\r\n--b\r\n\r\n1\r\n--b\r\n"
         b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\n\r\n--c--\r\n--b--\r\n",
         b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL)'
         b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL) "alternative" ("boundary" "c") NIL NIL'
         b' NIL)'
         b' "mixed" ("boundary" "b") ("inline" NIL) NIL NIL)',
         b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0)'
         b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "alternative") "mixed")'),
        # Messages in messages.
        (b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\na\r\n",
         b'("message" "rfc822" NIL NIL NIL "7bit" 18 ' + ENVELOPE
         + b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)',
         b'("message" "rfc822" NIL NIL NIL "7bit" 18 ' + ENVELOPE
         + b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1) 3)'),
        (b"Content-Type: Message/Rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
         b"--b\r\n\r\n1\r\n--b--",
         b'("Message" "Rfc822" NIL NIL NIL "7bit" 73 ' + ENVELOPE
         + b' (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)'
         b" 6 NIL NIL NIL NIL)",
         b'("Message" "Rfc822" NIL NIL NIL "7bit" 73 ' + ENVELOPE
         + b' (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0) "mixed") 6)'),
    ],
)  # fmt: skip
def test_structures(content: bytes, structure: bytes, body: bytes | None) -> None:
    made = bodyStructure(scan(content), content)
    assert made == structure
    assert plainBody(made) == (structure.replace(b" NIL NIL NIL NIL)", b")") if body is None else body)


def test_structureOfTheStandardsExample() -> None:
    """The text part with 3028 octets and 92 lines whose BODY RFC 9051 §8 shows."""
    text = b"\r\n" * 91 + b"x" * (3028 - 2 * 92) + b"\r\n"
    content = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\nContent-Transfer-Encoding: 7BIT\r\n\r\n" + text
    made = bodyStructure(scan(content), content)
    assert plainBody(made) == b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92)'


def parsed(wire: bytes) -> object:
    """IMAP's lists, strings and numbers, read the plain way."""
    stack: list[list[object]] = [[]]
    at = 0
    while at < len(wire):
        octet = wire[at : at + 1]
        if octet == b"(":
            stack.append([])
        elif octet == b")":
            done = stack.pop()
            stack[-1].append(done)
        elif octet == b'"':
            end = at + 1
            while wire[end] != 0x22:
                end += 2 if wire[end] == 0x5C else 1
            stack[-1].append(wire[at + 1 : end])
            at = end
        elif octet == b"{":
            end = wire.index(b"}", at)
            size = int(wire[at + 1 : end])
            assert wire[end + 1 : end + 3] == b"\r\n"
            stack[-1].append(wire[end + 3 : end + 3 + size])
            at = end + 2 + size
        elif octet != b" ":
            end = at
            while wire[end : end + 1].isalnum():
                end += 1
            stack[-1].append(None if wire[at:end] == b"NIL" else int(wire[at:end]))
            at = end - 1
        at += 1
    assert len(stack) == 1
    return stack[0][0]


def cut(body: list[object]) -> list[object]:
    """BODY of BODYSTRUCTURE, by RFC 9051 §9 body."""
    if isinstance(body[0], list):
        children = [part for part in body if isinstance(part, list)][
            : next(i for i, x in enumerate(body) if not isinstance(x, list))
        ]
        return [*map(cut, children), body[len(children)]]
    kind = (bytes(body[0]).lower(), bytes(body[1]).lower())  # type: ignore[call-overload]
    if kind in ((b"message", b"rfc822"), (b"message", b"global")):
        return [*body[:8], cut(body[8]), body[9]]  # type: ignore[arg-type]
    return body[: 8 if kind[0] == b"text" else 7]


PIECES = st.lists(
    st.sampled_from(
        [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"--b\r\n", b"--b--\r\n",
         b"Content-Type: message/global\n\n", b"Content-Type: text/x; a=\"(\\\")\"\r\n", b"Content-ID: {3}\r\n",
         b"Subject: \xe4)(\r\n",
         b"Content-Disposition: a; b=c\r\n", b"\r\n", b"text (", b"From: \"(\" <a@b>\r\n", b"Content-Language: a b\r\n"]
    ),
    max_size=25,
).map(b"".join)  # fmt: skip


@given(PIECES)
def test_anyStructureIsWellFormedAndItsBodyIsThatWithoutExtensions(content: bytes) -> None:
    made = bodyStructure(scan(content), content)
    read = parsed(made)
    assert isinstance(read, list)
    assert parsed(plainBody(made)) == cut(read)
