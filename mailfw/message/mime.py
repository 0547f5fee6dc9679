"""The MIME tree of a message as offsets into its content (RFC 2045, RFC 2046).

`scan` looks at every octet once a level, with the interpreter's own searches, and never at lines one by one. It always
gives a tree:

- A delimiter is a line that is the boundary, perhaps closed by `--`, and white space: so boundaries may be prefixes of
  each other. The line break before it is the delimiter's (RFC 2046 §5.1.1). A delimiter of an outer multipart ends
  everything inside.
- A multipart without a boundary, or whose boundary is never met, is plain text: somebody can still read it.
- Past `MAX_DEPTH`, `MAX_PARTS`, or the work allowed for, a multipart or a message inside a message is
  `application/octet-stream`, and a multipart's last part reaches to its end. Past `_HEADER_OCTETS` headers are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field

from mailfw.message.header import firstFields, headerEnd, unfold
from mailfw.message.parameter import MESSAGE, OPAQUE, TEXT_PLAIN, ContentType, contentType

MAX_DEPTH = 100
MAX_PARTS = 10_000

# What `scan` may spend on looking for boundaries, in octets searched; a line that only resembles a delimiter costs as
# much as `_RESEMBLANCE` of them. Small messages may nest to any allowed depth; a large one could otherwise be searched
# a hundred times.
_WORK = 32 << 20
_WORK_PER_OCTET = 10
_RESEMBLANCE = 512
# Octets of header that are understood, all parts together: addresses and parameters cost much more than boundaries.
_HEADER_OCTETS = 2 << 20

_DELIMITER_END = re.compile(rb"(--)?+[ \t]*+(?:\r?\n|\r?\Z)")


@define(eq=False)
class Part:
    """One part of a message: the message itself, a part of a multipart, or the message in a message/rfc822 part.

    :ivar start: offset of its header.
    :ivar bodyStart: offset after the empty line that ends its header.
    :ivar end: offset after its last octet.
    :ivar fields: the first header field of each name, lower-case name → folded value (`header.firstFields`).
    :ivar contentType: what it counts as: when it is a multipart or a message, it has children.
    :ivar children: a multipart's parts; the one message in a message/rfc822 part.
    """

    start: int
    bodyStart: int
    end: int
    fields: dict[bytes, bytes]
    contentType: ContentType
    children: list[Part]
    _lines: int = field(default=-1, init=False)

    @property
    def octets(self) -> int:
        """Octets of the body."""
        return self.end - self.bodyStart

    def lines(self, content: bytes) -> int:
        """Lines of the body: how many line breaks are in it. Each octet is counted once, however deep the tree."""
        if self._lines < 0:
            count, at = 0, self.bodyStart
            for child in self.children:
                count += content.count(b"\n", at, child.bodyStart) + child.lines(content)
                at = child.end
            self._lines = count + content.count(b"\n", at, self.end)
        return self._lines

    def value(self, name: bytes) -> bytes | None:
        """The unfolded value of the first field of that lower-case name, or None."""
        value = self.fields.get(name)
        return None if value is None else unfold(value)

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order of the content."""
        pending = [self]
        while pending:
            part = pending.pop()
            yield part
            pending.extend(reversed(part.children))


def scan(content: bytes) -> Part:
    """The tree of a whole message."""
    return _Scan(content).part(0, len(content), TEXT_PLAIN, 0)


class _Scan:
    """One pass over a message, and what is left of its bounds."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._parts = MAX_PARTS
        self._headerOctets = _HEADER_OCTETS
        self._work = _WORK + _WORK_PER_OCTET * len(content)

    def part(self, start: int, end: int, default: ContentType, depth: int) -> Part:
        content = self._content
        self._parts -= 1
        bodyStart = headerEnd(content, start, end)
        fields = firstFields(content, start, min(bodyStart, start + self._headerOctets))
        self._headerOctets = max(0, self._headerOctets - (bodyStart - start))
        value = fields.get(b"content-type")
        kind = default if value is None else contentType(unfold(value))
        children: list[Part] = []
        if kind.isMultipart:
            kind = self._multipart(kind, bodyStart, end, depth + 1, children)
        elif kind.isMessage:
            if depth < MAX_DEPTH and self._parts > 0:
                children.append(self.part(bodyStart, end, TEXT_PLAIN, depth + 1))
            else:
                kind = OPAQUE
        return Part(start, bodyStart, end, fields, kind, children)

    def _multipart(self, kind: ContentType, start: int, end: int, depth: int, children: list[Part]) -> ContentType:
        """Append the parts in the body `start:end` to `children`. → what the multipart counts as."""
        boundary = kind.boundary
        if boundary is None:
            return TEXT_PLAIN
        self._work -= end - start
        if depth > MAX_DEPTH or self._parts <= 0 or self._work <= 0:
            return OPAQUE
        default = MESSAGE if kind.mediaType == b"multipart/digest" else TEXT_PLAIN
        for partStart, partEnd in self._pieces(b"\n--" + boundary, start, end):
            children.append(self.part(partStart, partEnd, default, depth))
        return kind if children else TEXT_PLAIN

    def _pieces(self, needle: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The ranges between the delimiters in `start:end`.

        :param needle: the boundary with the line feed and the dashes before it.
        """
        content, length = self._content, len(needle)
        partStart = -1
        at = content.find(needle, start - 1, end)
        while at >= 0:
            delimiter = _DELIMITER_END.match(content, at + length, end)
            if delimiter is None:
                self._work -= _RESEMBLANCE
                if self._work <= 0:
                    break
                at = content.find(needle, at + 1, end)
                continue
            if partStart >= 0:
                if self._parts <= 1:
                    break
                cut = at - 1 if content.startswith(b"\r", at - 1) else at
                yield partStart, max(cut, partStart)
            if delimiter[1]:
                return
            partStart = delimiter.end()
            at = content.find(needle, partStart - 1, end)
        if partStart >= 0:
            yield partStart, end
