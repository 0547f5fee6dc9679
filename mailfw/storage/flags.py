"""Flags as the database keeps them: system flags as bits, keywords as one text, sorted, with spaces between.

Decoded sets are shared: equal sets of flags are mostly the same object, so that whoever renders them can cache by identity.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailfw.errors import InvalidName
from mailfw.storage.names import keyword
from mailfw.values import Flag

SEEN = 1
ANSWERED = 2
FLAGGED = 4
DELETED = 8
DRAFT = 16

_BITS = {
    Flag.SEEN.lower(): SEEN,
    Flag.ANSWERED.lower(): ANSWERED,
    Flag.FLAGGED.lower(): FLAGGED,
    Flag.DELETED.lower(): DELETED,
    Flag.DRAFT.lower(): DRAFT,
}
_NAMES = {SEEN: Flag.SEEN, ANSWERED: Flag.ANSWERED, FLAGGED: Flag.FLAGGED, DELETED: Flag.DELETED, DRAFT: Flag.DRAFT}
SYSTEM_FLAGS = frozenset(_NAMES.values())
_CACHE_SIZE = 10_000

NO_FLAGS: frozenset[str] = frozenset()


def encode(flags: Iterable[str]) -> tuple[int, frozenset[str]]:
    """System flags as bits, and the keywords as they came. \\Recent, which nobody can set, is left out (RFC 3501 §2.3.2).

    :raises InvalidName: a flag is neither a system flag nor can be a keyword.
    """
    bits = 0
    keywords = []
    for flag in flags:
        if flag.startswith("\\"):
            folded = flag.lower()
            bit = _BITS.get(folded)
            if bit is not None:
                bits |= bit
            elif folded != "\\recent":
                raise InvalidName("there is no such system flag")
        else:
            keywords.append(keyword(flag))
    return bits, frozenset(keywords)


class Decoder:
    """(bits, keywords text) → the set of flags, cached."""

    def __init__(self) -> None:
        self._sets: dict[tuple[int, str], frozenset[str]] = {(0, ""): NO_FLAGS}

    def __call__(self, bits: int, keywords: str) -> frozenset[str]:
        found = self._sets.get((bits, keywords))
        if found is None:
            if len(self._sets) >= _CACHE_SIZE:
                self._sets.clear()
            names = [name for bit, name in _NAMES.items() if bits & bit]
            found = self._sets[bits, keywords] = frozenset(names + keywords.split())
        return found


decode = Decoder()
