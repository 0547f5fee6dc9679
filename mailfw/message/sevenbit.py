"""A message rewritten so that it can travel where octets above 127 cannot (RFC 6152 §3, RFC 2045 §6).

Text becomes quoted-printable and anything else base64; what was ASCII stays octet for octet. Headers cannot be rewritten without
changing what they say, so a message whose header is not ASCII stays as it is, and is no such message.
"""

from __future__ import annotations

import base64
import binascii

from mailfw.message.header import hasHeaderEnd
from mailfw.message.header import scan as scanFields
from mailfw.message.mime import Part, scan

_AS_IT_IS = (b"", b"7bit", b"8bit", b"binary")

BASE64_LINE = 57
"""Octets that make a line of 76 characters (RFC 2045 §6.8)."""

Edit = tuple[int, int, bytes]


def sevenBit(content: bytes) -> bytes | None:
    """The same message in ASCII; None where that cannot be."""
    if content.isascii():
        return content
    edits: list[Edit] = []
    tree = scan(content)
    for part in tree.walk():
        edits += _edits(content, part, part is tree)
    converted = edited(content, edits)
    return converted if converted.isascii() else None


def edited(content: bytes, edits: list[Edit]) -> bytes:
    """The content with other octets in some places, which do not overlap."""
    pieces, at = [], 0
    for start, end, replacement in sorted(edits):
        pieces += [content[at:start], replacement]
        at = end
    pieces.append(content[at:])
    return b"".join(pieces)


def _edits(content: bytes, part: Part, isWhole: bool) -> list[Edit]:
    """What has to change in one part; nothing where it cannot, so that the result is seen not to be ASCII."""
    encoding = (part.value(b"content-transfer-encoding") or b"").lower()
    if part.children:
        isTold = encoding in (b"8bit", b"binary")
        return [encodingField(content, part, b"7bit")] if isTold else []
    body = content[part.bodyStart : part.end]
    if body.isascii() or encoding not in _AS_IT_IS or not hasHeaderEnd(content[part.start : part.bodyStart]):
        return []
    isText = part.contentType.mediaType.startswith(b"text/") and encoding != b"binary"
    field = encodingField(content, part, b"quoted-printable" if isText else b"base64")
    if isWhole and part.value(b"mime-version") is None:
        field = (field[0], field[1], b"MIME-Version: 1.0\r\n" + field[2])
    return [field, (part.bodyStart, part.end, _quoted(body) if isText else inBase64(body))]


def encodingField(content: bytes, part: Part, encoding: bytes) -> Edit:
    """What makes a part's Content-Transfer-Encoding that."""
    line = b"Content-Transfer-Encoding: %b\r\n" % encoding
    for field in scanFields(content, part.start, part.bodyStart):
        if field.name.lower() == b"content-transfer-encoding":
            return field.start, field.end, line
    return part.start, part.start, line


def _quoted(body: bytes) -> bytes:
    return binascii.b2a_qp(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def inBase64(body: bytes | memoryview) -> bytes:
    """Octets in lines of base64 (RFC 2045 §6.8)."""
    return b"".join(base64.b64encode(body[at : at + BASE64_LINE]) + b"\r\n" for at in range(0, len(body), BASE64_LINE))
