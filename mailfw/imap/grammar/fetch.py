"""FETCH: what is asked about messages (RFC 3501 §6.4.5; RFC 3516, RFC 8474, RFC 8514, RFC 8970)."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar import response
from mailfw.imap.grammar.modifiers import NO_MODIFIERS, FetchModifiers, fetchModifiers
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import Scanner
from mailfw.message.section import Section, Text

MAX_ITEMS = 200
"""Items of one FETCH: each costs an answer for every message."""

MAX_PATH = 100
"""Numbers in a part's path; messages are nested less deeply than that."""


class Attribute(enum.Enum):
    """A fetch-att that is one word; the value is how its answer names it."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNAL_DATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODY_STRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"  # RFC 7162 §3.1.4.2
    EMAIL_ID = b"EMAILID"
    THREAD_ID = b"THREADID"
    SAVE_DATE = b"SAVEDATE"
    PREVIEW = b"PREVIEW"
    LAZY_PREVIEW = b"PREVIEW (LAZY)"


@frozen
class BodySection:
    """Octets of a message: `BODY[…]<…>`, or one of RFC822, RFC822.HEADER, RFC822.TEXT.

    :ivar label: how the answer names it, RFC 3501 §7.4.2: with the partial's origin, without its length.
    :ivar partial: offset and length in octets; None is all.
    :ivar isPeek: \\Seen is left as it is.
    """

    section: Section
    label: bytes
    partial: tuple[int, int] | None = None
    isPeek: bool = False


@frozen
class BinarySection:
    """A part with its Content-Transfer-Encoding undone: `BINARY[…]<…>`, or only its size then (RFC 3516 §4.2).

    :ivar path: part numbers from 1; empty for the whole message.
    :ivar label: how the answer names it.
    :ivar partial: offset and length in decoded octets; None is all.
    """

    path: tuple[int, ...]
    label: bytes
    partial: tuple[int, int] | None = None
    isPeek: bool = False
    isSize: bool = False


FetchItem = Attribute | BodySection | BinarySection


def marksSeen(item: FetchItem) -> bool:
    """Whether fetching it gives the message \\Seen."""
    return not isinstance(item, Attribute) and not item.isPeek


@frozen
class Fetch:
    """`fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
    [fetch-modifiers]`

    :ivar items: in the order of the request, each once, macros replaced by what they stand for.
    :ivar impliesUID: the first item, UID, was not asked for by name.
    """

    messages: SequenceSet
    items: tuple[FetchItem, ...]
    isUID: bool = False
    impliesUID: bool = False
    modifiers: FetchModifiers = NO_MODIFIERS


_LAZY = re.compile(rb" \(LAZY(?: LAZY)*+\)", re.IGNORECASE)

_FAST = (Attribute.FLAGS, Attribute.INTERNAL_DATE, Attribute.SIZE)
_MACROS: Mapping[bytes, tuple[Attribute, ...]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Attribute.ENVELOPE),
    b"FULL": (*_FAST, Attribute.ENVELOPE, Attribute.BODY),
}

_WORDS: Mapping[bytes, FetchItem] = {
    **{attribute.value: attribute for attribute in Attribute},
    b"RFC822": BodySection(Section(), b"RFC822"),
    b"RFC822.HEADER": BodySection(Section(text=Text.HEADER), b"RFC822.HEADER", isPeek=True),
    b"RFC822.TEXT": BodySection(Section(text=Text.TEXT), b"RFC822.TEXT"),
}

_TEXTS = {text.value.encode("ascii"): text for text in Text if text is not Text.ALL}


def sectionSpec(scanner: Scanner) -> Section:
    """`section-spec = section-msgtext / (section-part ["." section-text])`, up to and with the closing bracket"""
    if scanner.takes(b"]"):
        return Section()
    path: list[int] = []
    text = Text.ALL
    while scanner.peek().isdigit():
        path.append(scanner.nzNumber())
        if len(path) > MAX_PATH:
            raise scanner.bad("a part number is too long")
        if not scanner.takes(b"."):
            break
    else:
        text = _sectionText(scanner, bool(path))
    fields = _headerList(scanner) if text in (Text.FIELDS, Text.FIELDS_NOT) else ()
    scanner.expect(b"]")
    return Section(tuple(path), text, fields)


def _sectionText(scanner: Scanner, hasPath: bool) -> Text:
    """`section-text = section-msgtext / "MIME"`; MIME only of a part"""
    text = _TEXTS.get(scanner.keyword())
    if text is None or (text is Text.MIME and not hasPath):
        raise scanner.bad("unknown section of a message")
    return text


def _headerList(scanner: Scanner) -> tuple[bytes, ...]:
    """`header-list = "(" header-fld-name *(SP header-fld-name) ")"`"""
    scanner.space()
    return tuple(scanner.parenthesised(scanner.astring))


def _partial(scanner: Scanner) -> tuple[int, int] | None:
    """`["<" number64 "." nz-number64 ">"]` (RFC 9051 §9)"""
    if not scanner.takes(b"<"):
        return None
    start = scanner.number64()
    scanner.expect(b".")
    if scanner.peek() == b"0":
        raise scanner.bad("a number must not start with 0")
    length = scanner.number64()
    scanner.expect(b">")
    return start, length


def sectionLabel(section: Section, partial: tuple[int, int] | None) -> bytes:
    """`"BODY" section ["<" number ">"]` (RFC 3501 §7.4.2)"""
    words = [b"%d" % number for number in section.path]
    if section.text is not Text.ALL:
        words.append(section.text.value.encode("ascii"))
    label = b".".join(words)
    if section.fields:
        label = b"%b (%b)" % (label, b" ".join(map(response.astring, section.fields)))
    return b"BODY[%b]" % label if partial is None else b"BODY[%b]<%d>" % (label, partial[0])


def _body(scanner: Scanner, isPeek: bool) -> BodySection:
    section = sectionSpec(scanner)
    partial = _partial(scanner)
    return BodySection(section, sectionLabel(section, partial), partial, isPeek)


def _bodyOrSection(scanner: Scanner) -> FetchItem:
    return _body(scanner, isPeek=False) if scanner.takes(b"[") else Attribute.BODY


def _bodyPeek(scanner: Scanner) -> FetchItem:
    scanner.expect(b"[")
    return _body(scanner, isPeek=True)


# --- BINARY (RFC 3516) -----------------------------------------------------------------------------------------------


def binaryPath(scanner: Scanner) -> tuple[int, ...]:
    """`section-binary = "[" [section-part] "]"`"""
    scanner.expect(b"[")
    path: list[int] = []
    while not scanner.takes(b"]"):
        if path:
            scanner.expect(b".")
        path.append(scanner.nzNumber())
        if len(path) > MAX_PATH:
            raise scanner.bad("a part number is too long")
    return tuple(path)


def _binary(scanner: Scanner, isPeek: bool = False) -> BinarySection:
    """`"BINARY" [".PEEK"] section-binary [partial]`"""
    path = binaryPath(scanner)
    partial = _partial(scanner)
    label = b"BINARY[%b]" % b".".join(b"%d" % number for number in path)
    return BinarySection(path, label if partial is None else b"%b<%d>" % (label, partial[0]), partial, isPeek)


def _binarySize(scanner: Scanner) -> BinarySection:
    """`"BINARY.SIZE" section-binary`"""
    path = binaryPath(scanner)
    return BinarySection(path, b"BINARY.SIZE[%b]" % b".".join(b"%d" % number for number in path), None, True, True)


def _preview(scanner: Scanner) -> Attribute:
    """`"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]`, LAZY being the only one there is (RFC 8970 §6). Another parenthesis
    is that of the FETCH's own modifiers.
    """
    return Attribute.LAZY_PREVIEW if scanner.takesPattern(_LAZY) else Attribute.PREVIEW


ITEMS: Mapping[bytes, Callable[[Scanner], FetchItem]] = {
    b"BODY": _bodyOrSection,
    b"BODY.PEEK": _bodyPeek,
    b"BINARY": _binary,
    b"BINARY.PEEK": lambda scanner: _binary(scanner, isPeek=True),
    b"BINARY.SIZE": _binarySize,
    b"PREVIEW": _preview,
}
"""Items with a grammar of their own, by their first word."""


def fetchItem(scanner: Scanner) -> FetchItem:
    """`fetch-att` (RFC 3501 §9)"""
    word = scanner.fetchKeyword()
    if word in ITEMS:
        return ITEMS[word](scanner)
    item = _WORDS.get(word)
    if item is None:
        raise scanner.bad("unknown FETCH item")
    return item


def _items(scanner: Scanner) -> tuple[FetchItem, ...]:
    if scanner.peek() == b"(":
        items = scanner.parenthesised(lambda: fetchItem(scanner), maximum=MAX_ITEMS)
        return tuple(dict.fromkeys(items))
    start = scanner.at
    macro = _MACROS.get(scanner.fetchKeyword())
    if macro is not None:
        return macro
    scanner.at = start
    return (fetchItem(scanner),)


def fetch(scanner: Scanner, isUID: bool = False) -> Fetch:
    """FETCH, or UID FETCH, whose answers name the UID first whether or not it was asked for (RFC 3501 §6.4.8)."""
    scanner.space()
    messages = scanner.sequenceSet()
    scanner.space()
    items = _items(scanner)
    modifiers = fetchModifiers(scanner, isUID)
    if modifiers.changedSince is not None and Attribute.MODSEQ not in items:
        items = (*items, Attribute.MODSEQ)
    impliesUID = isUID and Attribute.UID not in items
    if impliesUID:
        items = (Attribute.UID, *items)
    return Fetch(messages, items, isUID, impliesUID, modifiers)


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"FETCH": fetch,
    b"UID FETCH": lambda scanner: fetch(scanner, isUID=True),
}
