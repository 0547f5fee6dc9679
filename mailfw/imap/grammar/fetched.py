"""FETCH and UIDFETCH responses, as a client reads them (RFC 3501 §7.4.2; RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970,
RFC 9586)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from mailfw.imap.grammar.dates import dateTime
from mailfw.imap.grammar.fetch import (
    Attribute,
    BinarySection,
    BodySection,
    FetchItem,
    binaryPath,
    sectionLabel,
    sectionSpec,
)
from mailfw.imap.grammar.structures import Body, Envelope, body, envelope
from mailfw.imap.grammar.tokens import Scanner
from mailfw.imap.grammar.words import WORD_BEFORE_SECTION, Value, flags, integer, match, nil, nstring, value


@frozen
class Fetched:
    """What a server says about one message: as much of it as it says.

    :ivar number: its sequence number; None where only the UID is told.
    :ivar flags: as the server spells them.
    :ivar internalDate: and :ivar saveDate: seconds since the epoch, UTC.
    :ivar size: octets.
    :ivar body: BODYSTRUCTURE, or BODY, which says less.
    :ivar sections: octets of the message by label; None for what does not exist. `section` finds them by what was asked.
    :ivar binarySizes: octets of decoded parts, by label.
    :ivar other: what no rule is known for, by name in capitals.
    :ivar told: which attributes stood in the response.
    """

    number: int | None = None
    uid: int | None = None
    flags: frozenset[str] | None = None
    internalDate: float | None = None
    size: int | None = None
    envelope: Envelope | None = None
    body: Body | None = None
    modSeq: int | None = None
    emailId: str | None = None
    threadId: str | None = None
    saveDate: float | None = None
    preview: str | None = None
    sections: Mapping[bytes, bytes | None] = field(factory=dict, repr=False)
    binarySizes: Mapping[bytes, int] = field(factory=dict)
    other: Mapping[str, Value] = field(factory=dict)
    told: frozenset[Attribute] = frozenset()

    def section(self, item: BodySection | BinarySection) -> bytes | None:
        """Octets that were asked for by `item`; None: the message has no such part. :raises KeyError: they are not here."""
        return self.sections[key(item.label)]

    def holds(self, item: FetchItem) -> bool:
        """Whether an item that was asked for is here, if only as NIL."""
        if isinstance(item, Attribute):
            return _SAME.get(item, item) in self.told
        if isinstance(item, BinarySection) and item.isSize:
            return key(item.label) in self.binarySizes
        return key(item.label) in self.sections


_SAME = {Attribute.LAZY_PREVIEW: Attribute.PREVIEW}


def key(label: bytes) -> bytes:
    """A label to compare by: servers spell the names of fields as they like."""
    return label.upper()


@frozen
class _Values:
    """Fields of a `Fetched`, as they are found."""

    fields: dict[str, Any] = field(factory=dict)  # of each field its own type
    sections: dict[bytes, bytes | None] = field(factory=dict)
    binarySizes: dict[bytes, int] = field(factory=dict)
    other: dict[str, Value] = field(factory=dict)
    told: set[Attribute] = field(factory=set)


def _parenthesised(scanner: Scanner, read: Callable[[Scanner], Any]) -> Any:
    scanner.expect(b"(")
    found = read(scanner)
    scanner.expect(b")")
    return found


def _objectId(scanner: Scanner) -> str | None:
    """`"(" objectid ")"`, and `nil` of THREADID (RFC 8474 §7)"""
    if scanner.peek() != b"(":
        nil(scanner)
        return None
    return str(_parenthesised(scanner, lambda scanner: scanner.atom().decode("ascii")))


def _dateOrNil(scanner: Scanner) -> float | None:
    """`date-time / nil` (RFC 8514 §4.2)"""
    if scanner.peek() == b'"':
        return dateTime(scanner)
    nil(scanner)
    return None


def _preview(scanner: Scanner) -> str | None:
    octets = nstring(scanner)
    return None if octets is None else octets.decode("utf-8", "replace")


_ATTRIBUTES: Mapping[Attribute, tuple[str, Callable[[Scanner], Any]]] = {
    Attribute.UID: ("uid", lambda scanner: scanner.nzNumber()),
    Attribute.FLAGS: ("flags", lambda scanner: frozenset(flags(scanner))),
    Attribute.INTERNAL_DATE: ("internalDate", dateTime),
    Attribute.SIZE: ("size", integer),
    Attribute.ENVELOPE: ("envelope", envelope),
    Attribute.BODY: ("body", body),
    Attribute.BODY_STRUCTURE: ("body", body),
    Attribute.MODSEQ: ("modSeq", lambda scanner: _parenthesised(scanner, integer)),
    Attribute.EMAIL_ID: ("emailId", _objectId),
    Attribute.THREAD_ID: ("threadId", _objectId),
    Attribute.SAVE_DATE: ("saveDate", _dateOrNil),
    Attribute.PREVIEW: ("preview", _preview),
}
_BY_WORD = {attribute.value: attribute for attribute in _ATTRIBUTES}
_WHOLE = (b"RFC822", b"RFC822.HEADER", b"RFC822.TEXT")


def _origin(scanner: Scanner) -> tuple[int, int] | None:
    """`["<" number ">"]`"""
    if not scanner.takes(b"<"):
        return None
    origin = scanner.number()
    scanner.expect(b">")
    return origin, 0


def _bodySection(scanner: Scanner, values: _Values) -> None:
    """`"BODY" section ["<" number ">"] SP nstring`"""
    scanner.expect(b"[")
    section = sectionSpec(scanner)
    label = sectionLabel(section, _origin(scanner))
    scanner.space()
    values.sections[key(label)] = nstring(scanner)


def _binarySection(scanner: Scanner, values: _Values, word: bytes) -> None:
    """`"BINARY" section-binary ["<" number ">"] SP (nstring / literal8)`, or `"BINARY.SIZE" section-binary SP number`"""
    label = b"%b[%b]" % (word, b".".join(b"%d" % number for number in binaryPath(scanner)))
    origin = _origin(scanner)
    scanner.space()
    if word == b"BINARY.SIZE":
        values.binarySizes[label] = integer(scanner)
    else:
        values.sections[label if origin is None else b"%b<%d>" % (label, origin[0])] = nstring(scanner)


def _item(scanner: Scanner, values: _Values) -> None:
    """`msg-att-static / msg-att-dynamic`"""
    word = match(scanner, WORD_BEFORE_SECTION, "the name of an item").upper()
    isSection = scanner.peek() == b"["
    if isSection and word == b"BODY":
        _bodySection(scanner, values)
    elif isSection and word in (b"BINARY", b"BINARY.SIZE"):
        _binarySection(scanner, values, word)
    elif (attribute := _BY_WORD.get(word)) is not None:
        scanner.space()
        name, read = _ATTRIBUTES[attribute]
        values.fields[name] = read(scanner)
        values.told.add(attribute)
    elif word in _WHOLE:
        scanner.space()
        values.sections[word] = nstring(scanner)
    else:
        scanner.space()
        values.other[word.decode("ascii", "replace")] = value(scanner)


def fetched(scanner: Scanner, number: int, isUID: bool) -> Fetched:
    """`message-data = nz-number SP "FETCH" SP msg-att`; `uidfetch-resp = uniqueid SP "UIDFETCH" SP msg-att` (RFC 9586 §4)"""
    scanner.space()
    values = _Values()
    scanner.parenthesised(lambda: _item(scanner, values), isEmptyAllowed=True)
    if isUID:
        values.fields["uid"] = number
        values.told.add(Attribute.UID)
    return Fetched(
        None if isUID else number,
        **values.fields,
        sections=values.sections,
        binarySizes=values.binarySizes,
        other=values.other,
        told=frozenset(values.told),
    )
