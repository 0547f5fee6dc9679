"""Dates on the wire (RFC 3501 §9 `date`, `date-time`)."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from time import gmtime

from mailfw.imap.grammar.tokens import Scanner

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS = {month.lower(): number for number, month in enumerate(MONTHS, 1)}
_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(
    rb"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, which four digits can tell


def _month(scanner: Scanner, text: bytes) -> int:
    number = _MONTH_NUMBERS.get(text.lower())
    if number is None:
        raise scanner.bad("no month has that name")
    return number


def searchDate(scanner: Scanner) -> date:
    """`date = date-text / DQUOTE date-text DQUOTE`; `date-text = date-day "-" date-month "-" date-year`"""
    text = scanner.astring()
    found = _DATE.fullmatch(text)
    if found is None:
        raise scanner.bad("expected a date such as 1-Feb-1994")
    try:
        return date(int(found[3]), _month(scanner, found[2]), int(found[1]))
    except ValueError:
        raise scanner.bad("there is no such day") from None


def dateTime(scanner: Scanner) -> float:
    """`date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE` → seconds since the
    epoch, UTC.
    """
    found = _DATE_TIME.fullmatch(scanner.quoted())
    if found is None:
        raise scanner.bad('expected a date and time such as " 1-Feb-1994 08:00:00 +0100"')
    day, year, hour, minute, second, zoneHours, zoneMinutes = (int(found[group]) for group in (1, 3, 4, 5, 6, 8, 9))
    month = _month(scanner, found[2])
    offset = timedelta(hours=zoneHours, minutes=zoneMinutes)
    try:
        zone = timezone(-offset if found[7] == b"-" else offset)
        # A leap second exists on the wire and in no clock of ours.
        return datetime(year, month, day, hour, minute, second - (second == 60), tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        raise scanner.bad("there is no such time") from None


@lru_cache(maxsize=4096)
def _minute(minute: int) -> tuple[bytes, bytes]:
    year, month, day, hour, minutes = gmtime(minute * 60)[:5]
    return b'"%2d-%b-%04d %02d:%02d:' % (day, MONTHS[month - 1], year, hour, minutes), b' +0000"'


def internalDate(seconds: float) -> bytes:
    """Seconds since the epoch as `date-time`, in UTC. Formatting is shared by all messages of a minute."""
    minute, second = divmod(int(min(max(seconds, _FIRST_SECOND), _LAST_SECOND)), 60)
    before, after = _minute(minute)
    return b"%b%02d%b" % (before, second, after)
