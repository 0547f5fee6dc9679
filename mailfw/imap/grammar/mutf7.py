"""Modified UTF-7, in which IMAP4rev1 writes mailbox names (RFC 3501 §5.1.3).

A name has exactly one right spelling. Others are refused, not repaired: two spellings of one name would be two
mailboxes to a client, and one to the store.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*+)-")
_TO_SHIFT = re.compile(r"&|[^\x20-\x7e]+")


def _shift(match: re.Match[str]) -> str:
    text = match[0]
    if text == "&":
        return "&-"
    base64 = b64encode(text.encode("utf-16-be"), b"+,").rstrip(b"=")
    return f"&{base64.decode('ascii')}-"


def _unshift(match: re.Match[bytes]) -> bytes:
    base64 = match[1]
    if not base64:
        return b"&"
    return b64decode(base64 + b"=" * (-len(base64) % 4), b"+,", validate=True).decode("utf-16-be").encode("utf-8")


def encode(name: str) -> bytes:
    """A name to its modified UTF-7.

    :raises ValueError: the name holds half a surrogate pair.
    """
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _TO_SHIFT.sub(_shift, name).encode("ascii")


def decode(octets: bytes) -> str:
    """Modified UTF-7 to the name.

    :raises ValueError: it is not modified UTF-7, or not the one right spelling of the name.
    """
    if not octets.isascii():
        raise ValueError("not modified UTF-7: an octet above 127")
    if b"&" not in octets and octets.decode("ascii").isprintable():
        return octets.decode("ascii")
    try:
        name = _SHIFTED.sub(_unshift, octets).decode("utf-8")
        canonical = encode(name)
    except (Base64Error, ValueError):
        raise ValueError("not modified UTF-7") from None
    if canonical != octets:
        raise ValueError(f"not canonical modified UTF-7; it would be {canonical.decode('ascii')}"[:200])
    return name
