"""Parts that hold NUL, put so that every protocol can carry them (RFC 3516 §4.4, §6).

A client may append parts as they are, without an encoding (`Content-Transfer-Encoding: binary`). Whoever fetches the message
without BINARY must get it in one that has no NUL, and BODYSTRUCTURE must say so. So a part that holds NUL is kept in base64;
decoded it is what the client sent, octet for octet. Whatever holds none is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailfw.message import structure
from mailfw.message.decoding import IDENTITY, UnknownEncoding
from mailfw.message.edit import hasField
from mailfw.message.header import withoutFields
from mailfw.message.mime import Part, scan
from mailfw.message.sevenbit import BASE64_LINE, inBase64

_STEP = 1000 * BASE64_LINE
"""Octets that are encoded at a time."""

_ENCODING = b"Content-Transfer-Encoding"


def withoutNUL(content: bytes) -> Iterator[bytes]:
    """The message with each part that holds NUL in base64, which comes in small pieces: nothing large is in memory a second time.

    :raises UnknownEncoding: NUL stands where nothing can be encoded: in a header, between parts, in what has an encoding already.
    """
    root = scan(content)
    at = 0
    for part in root.walk():
        if not part.children and content.find(b"\0", part.bodyStart, part.end) >= 0:
            yield _withoutNUL(content[at : part.start] + _header(part, content, part is root))
            yield from _body(part, content)
            at = part.end
    yield _withoutNUL(content[at:])


def _withoutNUL(octets: bytes) -> bytes:
    if b"\0" in octets:
        raise UnknownEncoding("NUL stands where it cannot be encoded")
    return octets


def _header(part: Part, content: bytes, isRoot: bool) -> bytes:
    if structure.encoding(part) not in IDENTITY:
        raise UnknownEncoding("an encoded part holds NUL")
    header = withoutFields(content[part.start : part.bodyStart], (_ENCODING,))
    version = b"MIME-Version: 1.0\r\n" if isRoot and not hasField(header, b"MIME-Version") else b""
    return b"%b%b: base64\r\n%b" % (version, _ENCODING, header)


def _body(part: Part, content: bytes) -> Iterator[bytes]:
    """Base64 in lines; the last line break of a part in a multipart belongs to the delimiter behind it."""
    body = memoryview(content)[part.bodyStart : part.end]
    for start in range(0, len(body), _STEP):
        some = body[start : start + _STEP]
        isLast = start + len(some) == len(body)
        yield inBase64(some).removesuffix(b"\r\n" if isLast and part.end < len(content) else b"")
