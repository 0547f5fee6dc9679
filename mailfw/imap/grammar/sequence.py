"""Sequence sets: which messages a command is about, before anybody knows what `*` stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attrs import frozen

from mailfw.values import UIDSet

STAR = 0
"""Stands for `*`: no message has this number."""

_MAX_NUMBER = 0xFFFFFFFF
_NUMBER = rb"(?:[1-9][0-9]{0,9}|\*)"
_RANGE = _NUMBER + rb"(?::" + _NUMBER + rb")?"
_SET = re.compile(_RANGE + rb"(?:," + _RANGE + rb")*+")


@frozen
class SequenceSet:
    """`sequence-set` of RFC 3501 §9, as the client wrote it, but that single numbers come first.

    :ivar ranges: pairs, `STAR` for `*`; a pair may be reversed, and a single number is a pair of equals.
    :ivar isSaved: `$`, what the last SEARCH saved (RFC 5182 §3 `seq-last-command`); it stands alone, without ranges.
    """

    ranges: tuple[tuple[int, int], ...]
    isSaved: bool = False

    @classmethod
    def parse(cls, text: bytes) -> SequenceSet:
        """Read a set.

        :raises ValueError: it is none, or a number is 0 or above 2^32 - 1.
        """
        if text == b"$":
            return SAVED
        if not _SET.fullmatch(text):
            raise ValueError("not a set of message numbers")
        items = text.replace(b"*", b"0").split(b",")  # STAR
        spans = [item for item in items if b":" in item] if b":" in text else []
        singles = [item for item in items if b":" not in item] if len(spans) < len(items) else []
        numbers = list(map(int, singles))
        ends = list(map(int, b":".join(spans).split(b":"))) if spans else []
        if max(max(numbers, default=0), max(ends, default=0)) > _MAX_NUMBER:
            raise ValueError("a message number is too large")
        return cls((*zip(numbers, numbers, strict=True), *zip(ends[::2], ends[1::2], strict=True)))

    def resolve(self, highest: int) -> UIDSet:
        """The numbers meant, where `*` is `highest`. `n:*` holds it even when `n` is above it (RFC 3501 §9)."""
        return UIDSet.fromRanges((low or highest, high or highest) for low, high in self.ranges)


SAVED = SequenceSet((), isSaved=True)


def runs(numbers: Iterable[int]) -> bytes:
    """Numbers in their own order as a `uid-set` (RFC 4315 §4): neighbours become ranges, nothing is sorted."""
    return b",".join(ranges(numbers))


def ranges(numbers: Iterable[int]) -> Iterator[bytes]:
    """The same, range by range. A range only goes up, for `5:3` would mean 3,4,5 (RFC 5267 §3.2)."""
    low = high = -1
    for number in numbers:
        if number == high + 1 and high >= 0:
            high = number
            continue
        if high >= 0:
            yield b"%d:%d" % (low, high) if low != high else b"%d" % low
        low = high = number
    if high >= 0:
        yield b"%d:%d" % (low, high) if low != high else b"%d" % low
