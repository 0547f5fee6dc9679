"""Dovecot's {CRAM-MD5}: the two MD5 states after the padded key (RFC 2104), kept in place of the password.

hashlib does not show MD5's inner state, so its one compression step is here (RFC 1321 §3.4). Only stored rows are
read: nobody should store a password in this way today.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct

SIZE = 32
"""Octets in what is kept."""

_INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SINES = [int(abs(math.sin(step + 1)) * (1 << 32)) for step in range(64)]
_SHIFTS = [(7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21)]


def _compress(block: bytes) -> bytes:
    """The state after the first 64 octets, as four little-endian words."""
    words = struct.unpack("<16I", block)
    a, b, c, d = _INITIAL
    for step in range(64):
        turn, place = divmod(step, 16)
        if turn == 0:
            mixed, word = (b & c) | (~b & d), place
        elif turn == 1:
            mixed, word = (d & b) | (~d & c), (5 * place + 1) % 16
        elif turn == 2:
            mixed, word = b ^ c ^ d, (3 * place + 5) % 16
        else:
            mixed, word = c ^ (b | ~d), (7 * place) % 16
        total = (a + mixed + _SINES[step] + words[word]) & 0xFFFFFFFF
        shift = _SHIFTS[turn][step % 4]
        a, b, c, d = d, (b + (total << shift | total >> (32 - shift))) & 0xFFFFFFFF, b, c
    after = ((before + now) & 0xFFFFFFFF for before, now in zip(_INITIAL, (a, b, c, d), strict=True))
    return struct.pack("<4I", *after)


def matches(kept: bytes, password: bytes) -> bool:
    """Whether these SIZE octets (outer state, inner state) were made from this password."""
    key = password if len(password) <= 64 else hashlib.md5(password, usedforsecurity=False).digest()
    padded = key.ljust(64, b"\0")
    made = _compress(bytes(octet ^ 0x5C for octet in padded)) + _compress(bytes(octet ^ 0x36 for octet in padded))
    return hmac.compare_digest(made, kept)
