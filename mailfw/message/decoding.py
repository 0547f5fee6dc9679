"""Content-Transfer-Encodings (RFC 2045 §6), decoded as people's programs expect: whatever is no code is passed over."""

from __future__ import annotations

import binascii
import re

from mailfw.errors import Refusal

_NO_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
IDENTITY = frozenset((b"", b"7bit", b"8bit", b"binary"))
"""Encodings that leave every octet as it is, in lower case."""

# White space at the end of a line was added on the way (RFC 2045 §6.7 rule 3). The lookbehind keeps long runs linear.
_TRAILING_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
# The same, found seven times as fast, because it begins with a literal: most text has none.
_ENDED_BY_SPACE = re.compile(rb"\n(?:(?<=[ \t]\n)|(?<=[ \t]\r\n))")
_LONE_CR = re.compile(rb"=(?=\r(?!\n))")


class UnknownEncoding(Refusal):
    """The part has a Content-Transfer-Encoding that nobody here can decode (RFC 9051 §7.1 UNKNOWN-CTE)."""

    summary = "unknown content transfer encoding"


def decode(data: bytes, encoding: bytes) -> bytes:
    """The octets that `data` stands for.

    :param encoding: the mechanism's name in any case, without comments.
    :raises UnknownEncoding: it is none of 7bit, 8bit, binary, quoted-printable, base64.
    """
    name = encoding.lower()
    if name in IDENTITY:
        return data
    if name == b"base64":
        return base64(data)
    if name == b"quoted-printable":
        return quotedPrintable(data)
    raise UnknownEncoding()


def base64(data: bytes) -> bytes:
    """Base64 (RFC 2045 §6.8) without its line breaks and any other foreign octet. Padding may be missing, or stand in
    the middle, where two encoded pieces were joined; a last group of a single character is dropped."""
    data = data.translate(None, _NO_BASE64)
    pieces = data.split(b"=") if b"=" in data else [data]
    return b"".join(binascii.a2b_base64(_padded(piece)) for piece in pieces if len(piece) > 1)


def _padded(group: bytes) -> bytes:
    rest = len(group) % 4
    return group[:-1] if rest == 1 else group + b"=" * (-rest % 4)


def quotedPrintable(data: bytes) -> bytes:
    """Quoted-printable (RFC 2045 §6.7); an `=` that begins no code stays as it is."""
    if _ENDED_BY_SPACE.search(data) or data.endswith((b" ", b"\t")):
        data = _TRAILING_SPACE.sub(b"", data)
    if b"=\r" in data:
        data = _LONE_CR.sub(b"=3D", data)
    return binascii.a2b_qp(data)
