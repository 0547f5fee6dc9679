"""A part of a list of results, counted from either end (RFC 9394 §4)."""

from __future__ import annotations

import re

from attrs import frozen

from mailfw.imap.grammar.tokens import MAX_NUMBER, Scanner

_RANGE = re.compile(rb"(-?)([1-9][0-9]{0,9}):(-?)([1-9][0-9]{0,9})")


@frozen
class Partial:
    """`partial-range`: from the `low`th result to the `high`th; the first, or from the end the last, is 1.

    :ivar label: the range as the client wrote it, which the answer of a search repeats.
    """

    low: int
    high: int
    isFromEnd: bool
    label: bytes

    @property
    def size(self) -> int:
        """Results in it at the most."""
        return self.high - self.low + 1

    def within(self, count: int) -> tuple[int, int]:
        """The places, start and end, that it means in a list of so many; start and end are equal where it means none."""
        low, high = min(self.low - 1, count), min(self.high, count)
        return (count - high, count - low) if self.isFromEnd else (low, high)


def partial(scanner: Scanner) -> Partial:
    """`partial-range = nz-number ":" nz-number / "-" nz-number ":" "-" nz-number`; the order of the two does not matter."""
    label = scanner.atom()
    found = _RANGE.fullmatch(label)
    if found is None or found[1] != found[3]:
        raise scanner.bad("expected a range such as 1:500 or -1:-500")
    low, high = sorted((int(found[2]), int(found[4])))
    if high > MAX_NUMBER:
        raise scanner.bad("a number is too large")
    return Partial(low, high, bool(found[1]), label)
