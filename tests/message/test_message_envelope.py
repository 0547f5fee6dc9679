"""ENVELOPE, as a client reads it from the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.envelope import envelope
from mailfw.message.header import firstFields, headerEnd
from mailfw.message.wire import nstring, string


def envelopeOf(content: bytes) -> bytes:
    return envelope(firstFields(content, 0, headerEnd(content)))


def test_envelopeOfTheStandardsExample() -> None:
    """The message whose ENVELOPE RFC 9051 §8 shows."""
    content = (
        b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
        b"From: Terry Gray <gray@cac.washington.edu>\r\n"
        b"Subject: IMAP4rev2 WG mtg summary and minutes\r\n"
        b"To: imap@cac.washington.edu\r\n"
        b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
        b"Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n"
    )
    sender = b'(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert envelopeOf(content) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" '
        + b" ".join([sender] * 3)
        + b' ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")'
        b'("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # What is absent, and what is empty.
        (b"", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (b"Date:\r\nSubject: \r\nMessage-ID:\r\nTo:\r\nIn-Reply-To:\r\n", b'("" "" NIL NIL NIL NIL NIL NIL "" "")'),
        # Sender and Reply-To.
        (b"From: a@b\r\nSender: c@d\r\nReply-To:\r\n",
         b'(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)'),
        (b"Sender: c@d\r\n", b'(NIL NIL NIL ((NIL NIL "c" "d")) NIL NIL NIL NIL NIL NIL)'),
        # Groups, routes, comments.
        (b"To: g: a@b, C <c@d>;, h:;\r\n",
         b'(NIL NIL NIL NIL NIL ((NIL NIL "g" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL)'
         b'(NIL NIL "h" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)'),
        (b"To: <@x:a@b>\r\nCc: a@b (Real Name)\r\n",
         b'(NIL NIL NIL NIL NIL ((NIL "@x" "a" "b")) (("Real Name" NIL "a" "b")) NIL NIL NIL)'),
        # No domain: "" and never NIL, which would begin a group.
        (b"To: nobody, X <y>\r\n", b'(NIL NIL NIL NIL NIL ((NIL NIL "nobody" "")("X" NIL "y" "")) NIL NIL NIL NIL)'),
        # Quoting.
        (b'Subject: a "b" \\c\r\n', b'(NIL "a \\"b\\" \\\\c" NIL NIL NIL NIL NIL NIL NIL NIL)'),
        (b'To: "D \\"E\\" \\\\" <"a b"@c>\r\n',
         b'(NIL NIL NIL NIL NIL (("D \\"E\\" \\\\" NIL "a b" "c")) NIL NIL NIL NIL)'),
        # Octets that no quoted string may hold.
        (b"Subject: f\xc3\xbcr\r\n", b"(NIL {4}\r\nf\xc3\xbcr NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (b"Cc: J\xfcrg <a@b>\r\n", b'(NIL NIL NIL NIL NIL NIL (({4}\r\nJ\xfcrg NIL "a" "b")) NIL NIL NIL)'),
        (b"Subject: a\0b\rc\r\n", b'(NIL "ab c" NIL NIL NIL NIL NIL NIL NIL NIL)'),
        # Encoded-words stay as they are, folding goes.
        (b"Subject: =?utf-8?q?=C3=BC?=\r\n\t=?utf-8?q?x?=\r\n",
         b'(NIL "=?utf-8?q?=C3=BC?=\t=?utf-8?q?x?=" NIL NIL NIL NIL NIL NIL NIL NIL)'),
        # Twice.
        (b"Subject: 1\r\nSubject: 2\r\nTo: a@b\r\nTo: c@d\r\n",
         b'(NIL "1" NIL NIL NIL ((NIL NIL "a" "b")(NIL NIL "c" "d")) NIL NIL NIL NIL)'),
    ],
)  # fmt: skip
def test_envelopes(lines: bytes, expected: bytes) -> None:
    assert envelopeOf(lines + b"\r\n") == expected


@given(st.one_of(st.none(), st.binary(max_size=30)))
def test_stringsCanBeSentToAnyClient(value: bytes | None) -> None:
    wire = nstring(value)
    if value is None:
        assert wire == b"NIL"
    elif wire.startswith(b"{"):
        size, _, literal = wire[1:].partition(b"}\r\n")
        assert int(size) == len(literal)
        assert b"\0" not in literal and b"\r" not in literal and b"\n" not in literal
    else:
        assert wire[:1] == wire[-1:] == b'"'
        assert wire.isascii() and not set(wire) & set(b"\0\r\n")
        assert wire[1:-1].replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"') == 0


def test_plainTextIsQuotedAsItIs() -> None:
    assert string(b"a\tb ~") == b'"a\tb ~"'
