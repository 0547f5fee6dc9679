"""Encoded-words (RFC 2047, RFC 2231 §5): text of any charset in header fields.

    encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="

Read more widely than written: inside quoted strings, glued to other text, and with a character cut in two between
neighbouring words of one charset.
"""

from __future__ import annotations

import binascii
import re

from mailfw.message import charset, decoding

_WORD = re.compile(rb"=\?([^?*\s]++)(?:\*[^?\s]*+)?\?([bBqQ])\?([^?\r\n]*+)\?=")


def decode(value: bytes) -> str:
    """An unfolded value as text. Octets above 127 outside encoded-words are read as `charset.decode` reads them."""
    if b"=?" not in value:
        return value.decode("ascii") if value.isascii() else charset.decode(value)
    pieces: list[str] = []
    pending: list[bytes] = []  # decoded octets of neighbouring words in `pendingCharset`
    pendingCharset = b""
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        at = match.end()
        isNeighbour = bool(pending) and not between.strip(b" \t\r\n")
        if pending and not (isNeighbour and match[1].lower() == pendingCharset):
            pieces.append(charset.decode(b"".join(pending), pendingCharset))
            pending = []
        if between and not isNeighbour:
            pieces.append(charset.decode(between))
        pendingCharset = match[1].lower()
        pending.append(_octets(match[2], match[3]))
    if pending:
        pieces.append(charset.decode(b"".join(pending), pendingCharset))
    pieces.append(charset.decode(value[at:]))
    return "".join(pieces)


def _octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"bB":
        return decoding.base64(text)
    return binascii.a2b_qp(text, header=True)
