"""GETMETADATA and SETMETADATA (RFC 5464 §5), and METADATA among LIST's return options (RFC 9590 §5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.tokens import Scanner

MAX_ENTRIES = 1000
"""Entries of one command."""

_ENTRY = re.compile(rb"/(?:private|shared)(?:/[^/*%\x00-\x1f\x7f-\xff]+)*", re.IGNORECASE)
_MAX_ENTRY = 1000


@frozen
class GetMetadata:
    """`getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`

    :ivar mailbox: empty for the server.
    :ivar entries: names in lower case.
    :ivar maximum: octets of a value that is wanted; None: of any.
    :ivar depth: levels below each entry; None: all.
    """

    mailbox: str
    entries: tuple[str, ...]
    maximum: int | None = None
    depth: int | None = 0


@frozen
class SetMetadata:
    """`setmetadata = "SETMETADATA" SP mailbox SP entry-values`. :ivar entries: each with its value, None to remove it."""

    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...]


def entry(scanner: Scanner, isWhole: bool = False) -> str:
    """`entry = astring`, a path below /private or /shared, in lower case (RFC 5464 §3.2).

    :param isWhole: it must be able to have a value: two components at least, four of a vendor's.
    """
    found = scanner.astring()
    if len(found) > _MAX_ENTRY or not _ENTRY.fullmatch(found):
        raise scanner.bad("no metadata entry can have that name")
    name = found.decode("ascii").lower()
    components = name.split("/")[1:]
    if isWhole and len(components) < (4 if components[1:2] == ["vendor"] else 2):
        raise scanner.bad("the name of the entry is too short")
    return name


def entries(scanner: Scanner) -> tuple[str, ...]:
    """`entries = entry / "(" entry *(SP entry) ")"`; also without parentheses, as the RFC's examples have it (§4.4.1)"""
    if scanner.peek() == b"(":
        return tuple(dict.fromkeys(scanner.parenthesised(lambda: entry(scanner), maximum=MAX_ENTRIES)))
    found = [entry(scanner)]
    while scanner.takes(b" "):
        found.append(entry(scanner))
    return tuple(dict.fromkeys(found))


def _options(scanner: Scanner) -> Mapping[str, int | None]:
    """`getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"`: MAXSIZE and DEPTH (§4.2.1, §4.2.2)"""

    def option() -> tuple[str, int | None]:
        word = scanner.keyword()
        scanner.space()
        if word == b"MAXSIZE":
            return "maximum", scanner.number()
        if word != b"DEPTH":
            raise scanner.bad("unknown option of GETMETADATA")
        depths: Mapping[bytes, int | None] = {b"0": 0, b"1": 1, b"INFINITY": None}
        depth = scanner.keyword()
        if depth not in depths:
            raise scanner.bad("the depth is 0, 1 or infinity")
        return "depth", depths[depth]

    return dict(scanner.parenthesised(option))


def _getMetadata(scanner: Scanner) -> GetMetadata:
    """Options stand before the mailbox in the grammar, and behind it in the RFC's examples: both are understood."""
    scanner.space()
    options: Mapping[str, int | None] = {}
    if scanner.peek() == b"(":
        options = _options(scanner)
        scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    if scanner.octets.startswith(b"(", scanner.at) and scanner.octets[scanner.at + 1 : scanner.at + 2].isalpha():
        options = _options(scanner)
        scanner.space()
    return GetMetadata(mailbox, entries(scanner), **options)


def _value(scanner: Scanner) -> bytes | None:
    """`value = nstring / literal8`"""
    return scanner.literal().octets if scanner.octets.startswith(b"~{", scanner.at) else scanner.nstring()


def _setMetadata(scanner: Scanner) -> SetMetadata:
    """`entry-values = "(" entry-value *(SP entry-value) ")"`"""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()

    def pair() -> tuple[str, bytes | None]:
        name = entry(scanner, isWhole=True)
        scanner.space()
        return name, _value(scanner)

    return SetMetadata(mailbox, tuple(dict(scanner.parenthesised(pair, maximum=MAX_ENTRIES)).items()))


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {b"GETMETADATA": _getMetadata, b"SETMETADATA": _setMetadata}
