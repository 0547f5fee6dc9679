"""Dates of messages (RFC 5322 §3.3, §4.3), also as careless programs write them.

date-time = [day-name ","] day month year hour ":" minute [":" second] zone
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone

_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# obs-zone (RFC 5322 §4.3), hours from UTC. Military letters, and names that say nothing, count as UTC.
_ZONES = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}

_TIME = rb"(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?:\.\d++)?"
_ZONE = rb"(?:[ \t]*([+-]\d{1,2}:?\d{2}|[A-Za-z]++))?"
_DAY_FIRST = re.compile(
    rb"(?:[A-Za-z]++\.?[ \t]*,?[ \t]*)?(\d{1,2})(?:[ \t]++|-)([A-Za-z]{3})[A-Za-z]*+\.?(?:[ \t]++|-)(\d{2,4})"
    rb"(?:,?[ \t]++" + _TIME + _ZONE + rb")?"
)
_MONTH_FIRST = re.compile(  # asctime: Thu Feb 15 01:02:03 [zone] 2007
    rb"(?:[A-Za-z]++,?[ \t]++)?([A-Za-z]{3})[A-Za-z]*+[ \t]++(\d{1,2}),?[ \t]++" + _TIME + _ZONE + rb"[ \t]++(\d{4})"
)
_ISO = re.compile(rb"(\d{4})-(\d{2})-(\d{2})(?:[Tt \t]++" + _TIME + _ZONE + rb")?")
_USUAL = re.compile(rb"(?:[A-Z][a-z]{2}, )?(\d{1,2} [A-Z][a-z]{2} \d{4}) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d) ([+-]\d{4})(?!\d)")
_COMMENT = re.compile(rb"\([^()]*+\)")
_MAX_OCTETS = 200


def parse(value: bytes) -> datetime | None:
    """The moment that a Date field names, in the zone that it names; None where it is no date.

    A missing time is midnight, a missing or unknown zone UTC, a leap second the second before it.
    """
    value = value[:_MAX_OCTETS].strip()
    found = _DAY_FIRST.match(value)
    if found is None and b"(" in value:
        value = _COMMENT.sub(b" ", value).strip()
        found = _DAY_FIRST.match(value)
    if found is not None:
        day, month, year, hour, minute, second, zone = found.groups()
    elif (found := _MONTH_FIRST.match(value)) is not None:
        month, day, hour, minute, second, zone, year = found.groups()
    elif (found := _ISO.match(value)) is not None:
        year, month, day, hour, minute, second, zone = found.groups()
    else:
        return None
    number = _MONTH.get(month.lower()) or (int(month) if month.isdigit() else 0)
    try:
        return datetime(
            _year(year), number, int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59),
            tzinfo=_zone(zone) if zone else UTC,
        )  # fmt: skip
    except ValueError:
        return None


def timestamp(value: bytes) -> float | None:
    """The moment that a Date field names, seconds since the epoch, UTC; None where it is no date. `parse`, but several times as
    fast for what nearly every program writes, because days and zones repeat."""
    found = _USUAL.match(value)
    if found is None:
        moment = parse(value)
        return None if moment is None else moment.timestamp()
    midnight = _midnight(found[1])
    if midnight is None:
        return None
    return midnight + int(found[2]) * 3600 + int(found[3]) * 60 + int(found[4]) - _zoneSeconds(found[5])


def render(timestamp: float, offset: int = 0) -> bytes:
    """A date-time as RFC 5322 §3.3 has it.

    :param timestamp: seconds since the epoch, UTC.
    :param offset: minutes east of UTC in which to write it.
    """
    when = datetime(1970, 1, 1) + timedelta(seconds=int(timestamp), minutes=offset)
    sign = "-" if offset < 0 else "+"
    month = _MONTHS[when.month - 1].decode().capitalize()
    zone = f"{sign}{abs(offset) // 60:02d}{abs(offset) % 60:02d}"
    text = f"{_DAYS[when.weekday()]}, {when.day} {month} {when.year:04d} {when:%H:%M:%S} {zone}"
    return text.encode("ascii")


def _year(text: bytes) -> int:
    """Two digits are 1950 to 2049, three count from 1900 (RFC 5322 §4.3)."""
    year = int(text)
    if len(text) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(text) == 3 else year


@functools.lru_cache(16384)
def _midnight(day: bytes) -> float | None:
    moment = parse(day)
    return None if moment is None else moment.timestamp()


@functools.lru_cache(256)
def _zoneSeconds(zone: bytes) -> float:
    return _zone(zone).utcoffset(None).total_seconds()


@functools.lru_cache(256)
def _zone(text: bytes) -> timezone:
    if text[:1] not in b"+-":
        return timezone(timedelta(hours=_ZONES.get(text.lower(), 0)))
    digits = text[1:].replace(b":", b"")
    minutes = int(digits[:-2]) * 60 + int(digits[-2:])
    if minutes >= 24 * 60:
        return UTC
    return timezone(timedelta(minutes=-minutes if text.startswith(b"-") else minutes))
