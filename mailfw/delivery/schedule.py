"""When a message is tried again, when its sender is told that it waits, and when it is given up.

Pure. `["5m", "15m*16", "1h"]` is the default of RFC 5321 §4.5.4.1's advice as we take it: first after five minutes, then sixteen
times every quarter of an hour, then hourly; the last one repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import frozen

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_INTERVAL = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([smhd])(?:\s*\*\s*([0-9]{1,4}))?")
_JITTER = 0.1


def parseInterval(text: str) -> tuple[float, int]:
    """`interval = number unit ["*" times]`; unit is `s`, `m`, `h` or `d`. → seconds, times.

    :raises ValueError: it is none; the text says how to write one.
    """
    match = _INTERVAL.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0 or (match[3] is not None and int(match[3]) < 1):
        raise ValueError(f'"{text}" is no interval: write "5m", or "15m*16" for sixteen of them')
    return float(match[1]) * _SECONDS[match[2]], int(match[3] or 1)


def parseIntervals(texts: Sequence[str]) -> tuple[tuple[float, int], ...]:
    """:raises ValueError: one of them is no interval, or there is none."""
    if not texts:
        raise ValueError('a retry schedule has at least one interval: ["5m", "15m*16", "1h"]')
    return tuple(map(parseInterval, texts))


@frozen
class Schedule:
    """:ivar intervals: seconds and how many times, one after the other; the last repeats.
    :ivar warnAfter: seconds after which the sender is told once that the message waits; 0: never.
    :ivar giveUpAfter: seconds after which it is returned.
    """

    intervals: tuple[tuple[float, int], ...] = ((300.0, 1), (900.0, 16), (3600.0, 1))
    warnAfter: float = 4 * 3600.0
    giveUpAfter: float = 5 * 86400.0

    def interval(self, attempts: int) -> float:
        """Seconds from the attempt of that number (1 is the first) to the next."""
        for seconds, times in self.intervals:
            if attempts <= times:
                return seconds
            attempts -= times
        return self.intervals[-1][0]

    def next(self, attempts: int, now: float, random: Callable[[], float]) -> float:
        """When to try again after so many attempts. Up to a tenth earlier or later, so that what came together does not stay
        together.

        :param random: gives numbers from 0 up to 1.
        """
        return now + self.interval(attempts) * (1 - _JITTER + 2 * _JITTER * random())

    def isTimeToWarn(self, since: float, now: float) -> bool:
        """Whether the sender is to be told of a message that waits since then."""
        return 0 < self.warnAfter <= now - since

    def isTimeToGiveUp(self, since: float, now: float) -> bool:
        """Whether a message that waits since then is tried no more."""
        return now - since >= self.giveUpAfter
