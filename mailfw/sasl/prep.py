"""SASLprep (RFC 4013): how a password is written before it is hashed for SCRAM, so that both sides hash the same octets."""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslPrep(text: str) -> str:
    """`text` prepared as RFC 4013 §2 asks of a query string.

    Code points that Unicode 3.2 did not know are let through (in stored strings too, where RFC 4013 forbids them):
    today's passwords hold them, and every client sends them as they are.

    :raises ValueError: it holds prohibited characters (controls, surrogates, …) or mixes directions (RFC 3454 §6).
    """
    if text.isascii():
        prepared = text
    else:
        mapped = (
            " " if stringprep.in_table_c12(character) else character
            for character in text
            if not stringprep.in_table_b1(character)
        )
        prepared = unicodedata.normalize("NFKC", "".join(mapped))
    if any(isProhibited(character) for isProhibited in _PROHIBITED for character in prepared):
        raise ValueError("prohibited characters")
    _checkDirections(prepared)
    return prepared


def _checkDirections(text: str) -> None:
    """RFC 3454 §6: right-to-left text has no left-to-right characters in it, and begins and ends right-to-left."""
    rightToLeft = [stringprep.in_table_d1(character) for character in text]
    if not any(rightToLeft):
        return
    if any(map(stringprep.in_table_d2, text)) or not (rightToLeft[0] and rightToLeft[-1]):
        raise ValueError("mixed directions")
