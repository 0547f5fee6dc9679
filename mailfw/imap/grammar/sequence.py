"""Sequence sets: which messages a command is about, before anybody knows what `*` stands for."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from mailfw.values import UIDSet

STAR = 0
"""Stands for `*`: no message has this number."""

_MAX_NUMBER = 0xFFFFFFFF


def _number(text: bytes) -> int:
    if text == b"*":
        return STAR
    if not text.isdigit() or text[0] == 0x30 or len(text) > 10:
        raise ValueError(f"{text.decode('ascii')[:20]!r} is not a message number")
    return int(text)


@frozen
class SequenceSet:
    """`sequence-set` of RFC 3501 §9, as the client wrote it.

    :ivar ranges: pairs in their order, `STAR` for `*`; a pair may be reversed, and a single number is a pair of equals.
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: bytes) -> SequenceSet:
        """Read digits, `*`, `:` and `,`; other octets were sorted out by the caller.

        :raises ValueError: they are not in the right order, or a number is 0 or above 2^32 - 1.
        """
        ranges = []
        for item in text.split(b","):
            low, colon, high = item.partition(b":")
            first = _number(low)
            ranges.append((first, _number(high) if colon else first))
        if max(map(max, ranges)) > _MAX_NUMBER:
            raise ValueError("a message number is too large")
        return cls(tuple(ranges))

    @property
    def hasStar(self) -> bool:
        """Whether `*` stands anywhere in it."""
        return any(STAR in pair for pair in self.ranges)

    def resolve(self, highest: int) -> UIDSet:
        """The numbers meant, where `*` is `highest`. `n:*` holds the highest even when `n` is above it (RFC 3501 §9)."""
        return UIDSet.fromRanges((low or highest, high or highest) for low, high in self.ranges)


def runs(numbers: Iterable[int]) -> bytes:
    """Numbers in their own order as a `uid-set` (RFC 4315 §4): ascending neighbours become ranges, nothing is sorted."""
    parts: list[tuple[int, int]] = []
    low = high = -1
    for number in numbers:
        if number == high + 1 and high >= 0:
            high = number
            continue
        if high >= 0:
            parts.append((low, high))
        low = high = number
    if high >= 0:
        parts.append((low, high))
    return b",".join(b"%d:%d" % pair if pair[0] != pair[1] else b"%d" % pair[0] for pair in parts)
