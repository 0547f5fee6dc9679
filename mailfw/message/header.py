"""Header fields by offset (RFC 5322 §2.2, §3.6.8).

A header ends with the first empty line, which belongs to it; where there is none, everything is header and the body is
empty. A field is a line that starts with a name and a colon, and the lines after it that start with white space. Any
other line (mbox's `From `, a line without a colon) is no field: it keeps its place in the header and is otherwise
passed over, with its continuation lines. Fields that begin past `MAX_FIELDS` or `MAX_OCTETS` are not seen, and a value
that crosses `MAX_OCTETS` is cut there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator

from attrs import frozen

MAX_FIELDS = 10_000
MAX_OCTETS = 1 << 20

# field = field-name *WSP ":" unstructured CRLF (RFC 5322 §3.6.8, §4.5). Names may hold octets above 127, as broken
# programs write them. Every repetition is possessive, so that no line is walked twice.
_REST = rb"[ \t]*+:[ \t]*+([^\r\n]*+(?:(?:\r(?!\n)|\r?\n(?=[ \t]))[^\r\n]*+)*+)(?:\r?\n)?+"
_FIELD = re.compile(rb"^([^\x00-\x20\x7f:]++)" + _REST, re.MULTILINE)
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_LINE_BREAK = re.compile(rb"\r?\n")
_NEAR = 16384
_MAX_ALTERNATIVES = 32

# Lists that a message may have only once, and sometimes has twice: nobody in them may be hidden from the reader.
_JOINED = frozenset((b"to", b"cc", b"bcc"))


@frozen
class Field:
    """One field of a header.

    :ivar name: as written.
    :ivar rawValue: after the colon and its white space, still folded, without the last line break.
    :ivar start: offset of its first octet.
    :ivar end: offset after its last line break.
    """

    name: bytes
    rawValue: bytes
    start: int
    end: int

    @property
    def value(self) -> bytes:
        """The value unfolded, without white space around it."""
        return unfold(self.rawValue)


def headerEnd(content: bytes, start: int = 0, end: int | None = None) -> int:
    """Where the body begins: after the empty line that ends the header at `start`; at `end` where there is none."""
    if end is None:
        end = len(content)
    if content.startswith(b"\r\n", start, end):
        return start + 2
    if content.startswith(b"\n", start, end):
        return start + 1
    near = content.find(b"\n\r\n", start, min(end, start + _NEAR))
    if near >= 0:
        bare = content.find(b"\n\n", start, near + 1)
        return bare + 2 if bare >= 0 else near + 3
    found = _EMPTY_LINE.search(content, start, end)
    return found.end() if found else end


def hasHeaderEnd(content: bytes, searched: int = 0) -> bool:
    """Whether the empty line after the header has been seen, when content is still coming in.

    :param searched: how much of `content` was there when this was asked last.
    """
    return content.startswith((b"\r\n", b"\n")) or _EMPTY_LINE.search(content, max(0, searched - 2)) is not None


def scan(content: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the header in `content[start:end]`, in order."""
    end = len(content) if end is None else end
    stop = min(end, start + MAX_OCTETS)
    for number, match in enumerate(_FIELD.finditer(content, start, stop)):
        if number == MAX_FIELDS:
            return
        yield Field(match[1], match[2], match.start(), match.end())


def firstFields(content: bytes, start: int, end: int) -> dict[bytes, bytes]:
    """The first field of each name, lower-case name → folded value; To, Cc and Bcc joined where they are repeated."""
    found = _pairs(content, start, end)
    found.reverse()
    fields = {name.lower(): value for name, value in found}
    if len(fields) != len(found):
        seen: dict[bytes, list[bytes]] = {}
        for name, value in reversed(found):
            if (lowered := name.lower()) in _JOINED:
                seen.setdefault(lowered, []).append(value)
        for lowered, repeated in seen.items():
            fields[lowered] = b", ".join(repeated)
    return fields


def _pairs(content: bytes, start: int, end: int) -> list[tuple[bytes, bytes]]:
    """Name and folded value of every field: what `scan` finds, all at once."""
    found: list[tuple[bytes, bytes]] = _FIELD.findall(content, start, min(end, start + MAX_OCTETS))
    del found[MAX_FIELDS:]
    return found


def unfold(value: bytes) -> bytes:
    """Take the line breaks out (RFC 5322 §2.2.3) and the white space off both ends."""
    if b"\n" in value:
        value = _LINE_BREAK.sub(b"", value)
    return value.strip(b" \t\r\n")


def values(header: bytes, name: bytes) -> list[bytes]:
    """The unfolded values of every field of that name, in order."""
    wanted = name.lower()
    return [unfold(value) for each, value in _pairs(header, 0, len(header)) if each.lower() == wanted]


def select(header: bytes, names: Collection[bytes]) -> bytes:
    """The fields of these names with their folding, then an empty line (RFC 9051 §6.4.5.1 HEADER.FIELDS).

    The empty line is the header's own, and CRLF where it has none.
    """
    body = _emptyLineStart(header)
    if not 0 < len(names) <= _MAX_ALTERNATIVES:
        pieces = [match[0] for match in _chosen(header, names, body)]
        if pieces and not pieces[-1].endswith(b"\n"):
            pieces.append(b"\r\n")
        return b"".join((*pieces, header[body:] or b"\r\n"))
    lines = b"\n" + header[:body]
    found: list[bytes] = _beginning(tuple(names)).findall(lines)  # each with the LF before it, and without its own
    if not found:
        return header[body:] or b"\r\n"
    isCut = not lines.endswith(b"\n") and lines.endswith(found[-1])
    return b"%b%b%b" % (b"".join(found)[1:], b"\r\n" if isCut else b"\n", header[body:] or b"\r\n")


def withoutFields(header: bytes, names: Collection[bytes]) -> bytes:
    """The header without the fields of these names; every other octet stays (RFC 9051 §6.4.5.1 HEADER.FIELDS.NOT).

    There is no bound to it: whoever takes Bcc out relies on none being left.
    """
    pieces = []
    at = 0
    for match in _chosen(header, names, len(header)):
        pieces.append(header[at : match.start()])
        at = match.end()
    pieces.append(header[at:])
    return b"".join(pieces)


def _chosen(header: bytes, names: Collection[bytes], end: int) -> Iterator[re.Match[bytes]]:
    """The whole fields of these names in `header[:end]`."""
    if 0 < len(names) <= _MAX_ALTERNATIVES:
        return _named(frozenset(names)).finditer(header, 0, end)
    wanted = frozenset(name.lower() for name in names)
    return (match for match in _FIELD.finditer(header, 0, end) if match[1].lower() in wanted)


@functools.lru_cache(64)
def _named(names: frozenset[bytes]) -> re.Pattern[bytes]:
    """Finds the fields of these names several times faster than looking at each."""
    return re.compile(rb"^(?:" + b"|".join(map(re.escape, sorted(names))) + rb")" + _REST, re.MULTILINE | re.IGNORECASE)


@functools.lru_cache(64)
def _beginning(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Finds them in half the time, because it begins with a literal: the LF before each. The one at its end is the next's."""
    value = rb"[^\r\n]*+(?:(?:\r(?!\n)|\r?\n(?=[ \t]))[^\r\n]*+)*+"
    return re.compile(rb"\n(?i:" + b"|".join(map(re.escape, names)) + rb")[ \t]*+:" + value + rb"(?:\r(?=\n))?+")


def _emptyLineStart(header: bytes) -> int:
    """Where the empty line at the end of a header begins; its length where there is none."""
    if header in (b"\r\n", b"\n"):
        return 0
    if header.endswith(b"\n\r\n"):
        return len(header) - 2
    return len(header) - 1 if header.endswith(b"\n\n") else len(header)
