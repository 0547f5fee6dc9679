"""ENVELOPE and BODYSTRUCTURE as a client reads them (RFC 3501 §7.4.2, §9).

Texts stay octets: what they mean is for `mailfw.message` to say. Nesting is bounded, for a server may send any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from mailfw.imap.grammar.tokens import Scanner
from mailfw.imap.grammar.words import integer, nil, nstring, text, value
from mailfw.message.address import Entry, GroupEnd, GroupStart, Mailbox

MAX_DEPTH = 120
"""Parts within each other; our own server shows no more than 100."""

T = TypeVar("T")

Parameters = tuple[tuple[bytes, bytes], ...]


@frozen
class Envelope:
    """`envelope`: fields of a message's header, None where there are none; addresses with groups' starts and ends among them."""

    date: bytes | None = None
    subject: bytes | None = None
    author: tuple[Entry, ...] = ()  # From
    sender: tuple[Entry, ...] = ()
    replyTo: tuple[Entry, ...] = ()
    to: tuple[Entry, ...] = ()
    cc: tuple[Entry, ...] = ()
    bcc: tuple[Entry, ...] = ()
    inReplyTo: bytes | None = None
    messageId: bytes | None = None


@frozen
class Disposition:
    """`body-fld-dsp` (RFC 2183)"""

    kind: bytes
    parameters: Parameters = ()


@frozen
class Body:
    """A part of a message: `body-type-basic`, `body-type-text`, `body-type-msg` or `body-type-mpart`.

    :ivar kind: and :ivar subtype: as the server spells them; of multiparts the kind is `multipart`.
    :ivar parts: of a multipart; of a message within, the one body that it has.
    :ivar octets: as encoded, and :ivar lines: of texts and messages; of others they are 0.
    :ivar envelope: of a message within.
    """

    kind: bytes
    subtype: bytes
    parameters: Parameters = ()
    parts: tuple[Body, ...] = ()
    id: bytes | None = None
    description: bytes | None = None
    encoding: bytes | None = None
    octets: int = 0
    lines: int = 0
    envelope: Envelope | None = None
    md5: bytes | None = None
    disposition: Disposition | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None


# --- ENVELOPE --------------------------------------------------------------------------------------------------------


def envelope(scanner: Scanner) -> Envelope:
    """`envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc SP
    env-in-reply-to SP env-message-id ")"`
    """
    scanner.expect(b"(")
    date = nstring(scanner)
    scanner.space()
    subject = nstring(scanner)
    author, sender, replyTo, to, cc, bcc = [_spaceAddresses(scanner) for _ in range(6)]
    scanner.space()
    inReplyTo = nstring(scanner)
    scanner.space()
    messageId = nstring(scanner)
    scanner.expect(b")")
    return Envelope(date, subject, author, sender, replyTo, to, cc, bcc, inReplyTo, messageId)


def _spaceAddresses(scanner: Scanner) -> tuple[Entry, ...]:
    scanner.space()
    return _addresses(scanner)


def _addresses(scanner: Scanner) -> tuple[Entry, ...]:
    """`"(" 1*address ")" / nil`; servers are known that put spaces between, or send `()`"""
    if scanner.peek() != b"(":
        nil(scanner)
        return ()
    scanner.expect(b"(")
    found: list[Entry] = []
    while not scanner.takes(b")"):
        scanner.takes(b" ")
        found.append(_address(scanner))
    return tuple(found)


def _address(scanner: Scanner) -> Entry:
    """`address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`; without a host a group begins or ends"""
    scanner.expect(b"(")
    name = nstring(scanner)
    scanner.space()
    route = nstring(scanner)
    scanner.space()
    local = nstring(scanner)
    scanner.space()
    domain = nstring(scanner)
    scanner.expect(b")")
    if domain is not None:
        return Mailbox(name, route, local or b"", domain)
    return GroupEnd() if local is None else GroupStart(local)


# --- BODYSTRUCTURE ---------------------------------------------------------------------------------------------------


def body(scanner: Scanner, depth: int = 0) -> Body:
    """`body = "(" (body-type-1part / body-type-mpart) ")"`, with extension data or without"""
    if depth > MAX_DEPTH:
        raise scanner.bad("the structure is nested too deeply")
    scanner.expect(b"(")
    found = _multipart(scanner, depth) if scanner.peek() == b"(" else _singlePart(scanner, depth)
    while not scanner.takes(b")"):  # body-extension
        scanner.space()
        value(scanner)
    return found


def _multipart(scanner: Scanner, depth: int) -> Body:
    """`body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]`"""
    parts = []
    while scanner.peek() == b"(":
        parts.append(body(scanner, depth + 1))
    scanner.space()
    subtype = text(scanner)
    parameters: Parameters = _optional(scanner, _parameters, ())
    disposition, languages, location = _placing(scanner)
    return Body(b"multipart", subtype, parameters, tuple(parts), disposition=disposition, languages=languages, location=location)


def _singlePart(scanner: Scanner, depth: int) -> Body:
    """`body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]`; `body-fields =
    body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets`
    """
    kind = text(scanner)
    scanner.space()
    subtype = text(scanner)
    scanner.space()
    parameters = _parameters(scanner)
    scanner.space()
    contentId = nstring(scanner)
    scanner.space()
    description = nstring(scanner)
    scanner.space()
    encoding = nstring(scanner)
    scanner.space()
    octets = integer(scanner)
    inner: tuple[Body, ...] = ()
    lines, within = 0, None
    if kind.lower() == b"message" and scanner.octets.startswith(b" (", scanner.at):
        scanner.space()
        within = envelope(scanner)
        scanner.space()
        inner = (body(scanner, depth + 1),)
        scanner.space()
        lines = integer(scanner)
    elif kind.lower() == b"text":
        scanner.space()
        lines = integer(scanner)
    md5 = _optional(scanner, nstring, None)
    disposition, languages, location = _placing(scanner)
    return Body(
        kind,
        subtype,
        parameters,
        inner,
        contentId,
        description,
        encoding,
        octets,
        lines,
        within,
        md5,
        disposition,
        languages,
        location,
    )


def _optional(scanner: Scanner, read: Callable[[Scanner], T], default: T) -> T:
    """What may stand behind a space; the part may end before it."""
    return read(scanner) if scanner.takes(b" ") else default


def _placing(scanner: Scanner) -> tuple[Disposition | None, tuple[bytes, ...], bytes | None]:
    """`[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]`"""
    return (
        _optional(scanner, _disposition, None),
        _optional(scanner, _languages, ()),
        _optional(scanner, nstring, None),
    )


def _parameters(scanner: Scanner) -> Parameters:
    """`body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`"""
    if scanner.peek() != b"(":
        nil(scanner)
        return ()

    def pair() -> tuple[bytes, bytes]:
        name = text(scanner)
        scanner.space()
        return name, nstring(scanner) or b""

    return tuple(scanner.parenthesised(pair, isEmptyAllowed=True))


def _disposition(scanner: Scanner) -> Disposition | None:
    """`body-fld-dsp = "(" string SP body-fld-param ")" / nil`"""
    if scanner.peek() != b"(":
        nil(scanner)
        return None
    scanner.expect(b"(")
    kind = text(scanner)
    scanner.space()
    parameters = _parameters(scanner)
    scanner.expect(b")")
    return Disposition(kind, parameters)


def _languages(scanner: Scanner) -> tuple[bytes, ...]:
    """`body-fld-lang = nstring / "(" string *(SP string) ")"`"""
    if scanner.peek() == b"(":
        return tuple(scanner.parenthesised(lambda: text(scanner), isEmptyAllowed=True))
    language = nstring(scanner)
    return () if language is None else (language,)
