"""Sections of a message: what IMAP's BODY[…] and BINARY[…] name (RFC 9051 §6.4.5.1).

    section      = "[" [section-spec] "]"
    section-spec = section-msgtext / (section-part ["." section-text])
    section-part = nz-number *("." nz-number)

A section is a range of the content wherever that is possible, so that a server needs to read no more than that. What
does not exist (a part number without a part; HEADER or TEXT of a part that is no message) is None, which IMAP sends as
NIL; what exists and holds nothing is empty. Part 1 of a message that is no multipart is its body, and `1.MIME` its
header.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import frozen

from mailfw.message import decoding, structure
from mailfw.message.header import select, withoutFields
from mailfw.message.mime import Part

Range = tuple[int, int]


class Text(enum.Enum):
    """What of a part is meant."""

    ALL = ""  # the body of a part; header and body of the message
    HEADER = "HEADER"
    FIELDS = "HEADER.FIELDS"
    FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@frozen
class Section:
    """A section specifier.

    :ivar path: part numbers from 1; empty for the message itself.
    :ivar fields: the names after HEADER.FIELDS and HEADER.FIELDS.NOT, as the client wrote them.
    """

    path: tuple[int, ...] = ()
    text: Text = Text.ALL
    fields: tuple[bytes, ...] = ()

    @property
    def needsTree(self) -> bool:
        """Whether the MIME tree must be known to find it."""
        return bool(self.path)

    @property
    def needsHeaderOnly(self) -> bool:
        """Whether the message's own header holds all of it."""
        return not self.path and self.text in (Text.HEADER, Text.FIELDS, Text.FIELDS_NOT)


def locate(section: Section, size: int, headerSize: int, tree: Callable[[], Part]) -> Range | None:
    """Where a section is: start and end in the content. For HEADER.FIELDS and its NOT, that is the header to pick from.

    :param size: octets of the whole message.
    :param headerSize: octets of its header with the empty line.
    :param tree: gives the scanned message; called only when the section has a path.
    """
    if section.path:
        return locatePart(section, tree())
    if section.text is Text.ALL:
        return 0, size
    if section.text is Text.MIME:
        return None
    return (headerSize, size) if section.text is Text.TEXT else (0, headerSize)


def locatePart(section: Section, root: Part) -> Range | None:
    """`locate` for a section with a path."""
    part = find(root, section.path)
    if part is None:
        return None
    if section.text is Text.ALL:
        return part.bodyStart, part.end
    if section.text is Text.MIME:
        return part.start, part.bodyStart
    if not part.contentType.isMessage:
        return None
    message = part.children[0]
    if section.text is Text.TEXT:
        return message.bodyStart, message.end
    return message.start, message.bodyStart


def find(root: Part, path: tuple[int, ...]) -> Part | None:
    """The part with that number; None where there is none. The empty path is the message itself.

    A message that is no multipart has one part, number 1, which is the message itself seen as a part.
    """
    part, isMessage = root, True
    for number in path:
        if not isMessage and part.contentType.isMessage:
            part, isMessage = part.children[0], True
        if part.contentType.isMultipart:
            if number > len(part.children):
                return None
            part = part.children[number - 1]
        elif not isMessage or number != 1:
            return None
        isMessage = False
    return part


def picked(section: Section, located: bytes) -> bytes:
    """A section's octets from those in the range that `locate` gave."""
    if section.text is Text.FIELDS:
        return select(located, section.fields)
    if section.text is Text.FIELDS_NOT:
        return withoutFields(located, section.fields)
    return located


def extract(section: Section, content: bytes, root: Part) -> bytes | None:
    """A section of a scanned message, or None where it does not exist."""
    located = locate(section, len(content), root.bodyStart, lambda: root)
    return None if located is None else picked(section, content[slice(*located)])


def binary(path: tuple[int, ...], content: bytes, root: Part) -> bytes | None:
    """A part with its Content-Transfer-Encoding undone (RFC 9051 §6.4.5 BINARY), or None where it does not exist.

    The empty path is the whole message as it stands; so is a multipart or a message, which only 7bit, 8bit and binary
    may encode (RFC 2045 §6.4).

    :raises decoding.UnknownEncoding: the part's encoding cannot be undone.
    """
    if not path:
        return content
    part = find(root, path)
    return None if part is None else decoded(part, content)


def decoded(part: Part, content: bytes) -> bytes:
    """The body of a part with its Content-Transfer-Encoding undone.

    :raises decoding.UnknownEncoding: the encoding cannot be undone.
    """
    body = content[part.bodyStart : part.end]
    return body if part.children else decoding.decode(body, structure.encoding(part))


def partial(located: Range, offset: int, length: int) -> Range:
    """`<offset.length>` of a range; past its end it is empty (RFC 9051 §6.4.5)."""
    start = min(located[0] + offset, located[1])
    return start, min(start + length, located[1])
