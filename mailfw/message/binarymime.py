"""A message that came as BINARYMIME (RFC 3030 §3), made one of lines: what every store, reader and next hop can take.

Parts that say that they are binary become base64 where their octets are no lines; nothing else changes. What is still no lines
then (NUL in a header, a bare LF in a part that calls itself text) was never what it said it was, and is for others to refuse.
"""

from __future__ import annotations

import re

from mailfw.message.header import hasHeaderEnd
from mailfw.message.mime import Part, scan
from mailfw.message.sevenbit import Edit, edited, encodingField, inBase64

LINE = 998
"""Octets of a line that every system passes on (RFC 5322 §2.1.1)."""

_NO_LINES = re.compile(rb"\0|\r(?!\n)|(?<!\r)\n|[^\n]{%d}" % (LINE + 2))


def isOfLines(body: bytes) -> bool:
    """Whether octets are lines that end in CRLF, none of them over `LINE`, without NUL."""
    return _NO_LINES.search(body) is None


def withoutBinary(content: bytes) -> bytes:
    """The same message with its binary parts in base64."""
    edits: list[Edit] = []
    tree = scan(content)
    for part in tree.walk():
        edits += _edits(content, part, part is tree)
    return edited(content, edits)


def _edits(content: bytes, part: Part, isWhole: bool) -> list[Edit]:
    encoding = (part.value(b"content-transfer-encoding") or b"").lower()
    if encoding != b"binary" or not hasHeaderEnd(content[part.start : part.bodyStart]):
        return []
    if part.children:
        return [encodingField(content, part, b"8bit")]
    body = content[part.bodyStart : part.end]
    if isOfLines(body):
        return [encodingField(content, part, b"8bit")]
    start, end, field = encodingField(content, part, b"base64")
    if isWhole and part.value(b"mime-version") is None:
        field = b"MIME-Version: 1.0\r\n" + field
    return [(start, end, field), (part.bodyStart, part.end, inBase64(body))]
