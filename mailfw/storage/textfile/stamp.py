"""What is noted of a message where its entry begins: when it came, and how to give its octets back exactly.

    STAMP = DATE [SP ZONE] *(SP WORD)         DATE as asctime(3) writes it, "Mon Jan  1 00:00:00 2024"
    WORD  = "exact"       line ends stand in the file as they are in the message; otherwise each LF stands for CRLF
          / "unended"     the message's last line has no line end; the one in the file is not its own
          / "#" number    which of several entries with the same content this is

Ours always have the zone +0000. A date without zone, as other programs write it, is local time (RFC 4155 wishes for UTC, but no
program on this system does it so).
"""

from __future__ import annotations

import calendar
import re
import time

from attrs import frozen

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LATEST = 253402300799  # the end of the year 9999
_ZONE = r"[+-]\d{4}|[A-Z]{1,5}"
_STAMP = re.compile(
    rf"(?:{'|'.join(_DAYS)}) +({'|'.join(_MONTHS)}) +(\d\d?) +(\d\d?):(\d\d)(?::(\d\d))? +"
    rf"(?:({_ZONE}) +)?(\d{{4}})(?: ({_ZONE}))?(?= |$)(.*)"
)


@frozen
class Stamp:
    """:ivar date: seconds since the epoch, UTC.
    :ivar number: 0 where none is noted.
    """

    date: float
    isExact: bool = False
    isUnended: bool = False
    number: int = 0

    @property
    def notedDate(self) -> float:
        """The date as it will be read again: a whole second of the years 1970 to 9999."""
        return float(min(max(self.date // 1, 0), _LATEST))

    def __str__(self) -> str:
        at = time.gmtime(self.notedDate)
        words = [
            f"{_DAYS[at.tm_wday]} {_MONTHS[at.tm_mon - 1]} {at.tm_mday:2} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}",
            f"{at.tm_year:04} +0000",
        ]
        words += ["exact"] * self.isExact + ["unended"] * self.isUnended + [f"#{self.number}"] * bool(self.number)
        return " ".join(words)


def find(text: str) -> tuple[str, Stamp] | None:
    """The first stamp in a line, and what stands before it; None: there is none."""
    match = _STAMP.search(text)
    if match is None:
        return None
    month, day, hour, minute, second, zone, year, laterZone, rest = match.groups()
    fields = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second or 0))
    words = rest.split()
    number = next((int(word[1:]) for word in words if re.fullmatch(r"#\d{1,9}", word)), 0)
    stamp = Stamp(_seconds(fields, laterZone or zone or ""), "exact" in words, "unended" in words, number)
    return text[: match.start()], stamp


def _seconds(fields: tuple[int, int, int, int, int, int], zone: str) -> float:
    if zone[:1] in ("+", "-"):
        offset = int(zone[1:3]) * 3600 + int(zone[3:]) * 60
        return float(calendar.timegm(fields) - (offset if zone[0] == "+" else -offset))
    if zone in ("UTC", "GMT", "Z", "UT"):
        return float(calendar.timegm(fields))
    try:
        return time.mktime((*fields, 0, 0, -1))
    except (OverflowError, ValueError):
        return float(calendar.timegm(fields))
