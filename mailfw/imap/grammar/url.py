"""URLs of messages and their parts, relative to the session (RFC 5092 §5, as RFC 4469 §3 limits them)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from attrs import frozen

from mailfw.errors import InvalidName
from mailfw.imap.grammar import names
from mailfw.imap.grammar.fetch import sectionSpec
from mailfw.imap.grammar.tokens import MAX_NUMBER64, BadSyntax, CommandText, Scanner
from mailfw.message.section import Section

MAX_URL = 8192
"""Octets."""

_URL = re.compile(
    rb"(?:/(?P<mailbox>(?!/)[^;?#]+?)(?:;UIDVALIDITY=(?P<validity>[1-9][0-9]{0,9}))?/|/)?"
    rb";UID=(?P<uid>[1-9][0-9]{0,9})"
    rb"(?:/?;SECTION=(?P<section>[^;/?#]+))?"
    rb"(?:/?;PARTIAL=(?P<start>[0-9]{1,19})(?:\.(?P<length>[1-9][0-9]{0,18}))?)?"
    rb"/?",
    re.IGNORECASE,
)
_UNSAFE = re.compile(rb"[^\x21-\x5b\x5e-\x7e]")


@frozen
class MessageURL:
    """`imessagepart = ["/" enc-mailbox [";UIDVALIDITY=" nz-number] "/"] ";UID=" nz-number ["/;SECTION=" enc-section]
    ["/;PARTIAL=" number ["." nz-number]]`

    :ivar mailbox: None is the selected one.
    :ivar uidValidity: 0 where it is not said.
    :ivar partial: offset and length in octets; None is all.
    """

    mailbox: str | None
    uidValidity: int
    uid: int
    section: Section
    partial: tuple[int, int] | None = None


def messageURL(url: bytes) -> MessageURL:
    """Read a URL. :raises ValueError: it is none of a message, or not of one of this session's."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None:
        raise ValueError("no URL of a message")
    try:
        name = None if found["mailbox"] is None else names.decode(unquote_to_bytes(found["mailbox"]), isUTF8=True)
        wanted = _section(unquote_to_bytes(found["section"])) if found["section"] else Section()
    except (BadSyntax, InvalidName) as error:
        raise ValueError(str(error)) from None
    partial = None
    if found["start"]:
        partial = int(found["start"]), int(found["length"] or MAX_NUMBER64)
    return MessageURL(name, int(found["validity"] or 0), int(found["uid"]), wanted, partial)


def _section(text: bytes) -> Section:
    if b"\n" in text:
        raise BadSyntax("a section has one line")  # and no literals
    scanner = Scanner(CommandText(text + b"]"))
    found = sectionSpec(scanner)
    scanner.end()
    return found


def badURL(url: bytes) -> bytes:
    """`badurl-response-code = "BADURL" SP url-resp-text` (RFC 4469 §5), with what cannot stand in a code encoded."""
    return b"BADURL " + _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], url[:MAX_URL])
