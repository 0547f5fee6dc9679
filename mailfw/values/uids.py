"""Sets of UIDs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from attrs import frozen


@frozen
class UIDSet:
    """A set of UIDs, or of sequence numbers, as sorted, disjoint, non-adjacent ranges (RFC 9051 §9 `sequence-set`).

    Every operation is linear in the number of ranges, never in the number of UIDs.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, *uids: int) -> UIDSet:
        """The set of these numbers."""
        return cls.fromUIDs(uids)

    @classmethod
    def fromUIDs(cls, uids: Iterable[int]) -> UIDSet:
        """From numbers in any order, repeats allowed. Sorted input costs no sort."""
        ranges: list[tuple[int, int]] = []
        isSorted = True
        low = high = -1
        for uid in uids:
            if uid == high + 1 and high >= 0:
                high = uid
            elif low <= uid <= high:
                continue
            else:
                if high >= 0:
                    ranges.append((low, high))
                    isSorted = isSorted and uid > high
                low = high = uid
        if high >= 0:
            ranges.append((low, high))
        return cls(tuple(ranges)) if isSorted else cls.fromRanges(ranges)

    @classmethod
    def fromRanges(cls, ranges: Iterable[tuple[int, int]]) -> UIDSet:
        """From ranges in any order, overlapping or reversed (`4:2` is `2:4`, RFC 9051 §9)."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted((low, high) if low <= high else (high, low) for low, high in ranges):
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    @classmethod
    def parse(cls, text: str) -> UIDSet:
        """Read what `str` wrote: `1:3,7`; the empty string is the empty set."""
        ranges = []
        for piece in filter(None, text.split(",")):
            low, _, high = piece.partition(":")
            ranges.append((int(low), int(high or low)))
        return cls.fromRanges(ranges)

    def __str__(self) -> str:
        return ",".join(f"{low}:{high}" if low != high else str(low) for low, high in self.ranges)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __contains__(self, uid: int) -> bool:
        at = bisect_right(self.ranges, (uid, 1 << 62)) - 1
        return at >= 0 and uid <= self.ranges[at][1]

    def __or__(self, other: UIDSet) -> UIDSet:
        return UIDSet.fromRanges(self.ranges + other.ranges)

    def __and__(self, other: UIDSet) -> UIDSet:
        found: list[tuple[int, int]] = []
        mine, theirs = list(self.ranges), list(other.ranges)
        i = j = 0
        while i < len(mine) and j < len(theirs):
            low, high = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
            if low <= high:
                found.append((low, high))
            if mine[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return UIDSet(tuple(found))

    def __sub__(self, other: UIDSet) -> UIDSet:
        left: list[tuple[int, int]] = []
        j = 0
        for low, high in self.ranges:
            while j and other.ranges[j - 1][1] >= low:
                j -= 1
            while j < len(other.ranges) and other.ranges[j][0] <= high:
                cutLow, cutHigh = other.ranges[j]
                if cutHigh >= low:
                    if cutLow > low:
                        left.append((low, cutLow - 1))
                    low = cutHigh + 1
                j += 1
            if low <= high:
                left.append((low, high))
        return UIDSet(tuple(left))

    @property
    def first(self) -> int:
        """The lowest UID. The set is not empty."""
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        """The highest UID. The set is not empty."""
        return self.ranges[-1][1]


ALL_UIDS = UIDSet(((1, 0xFFFFFFFF),))

NO_UIDS = UIDSet()
