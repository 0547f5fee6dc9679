"""What differs from one run to the next, and is made alike before the book is compared with what happened. The one place for it.

On a page `...` stands for any text in a line, and on a line of its own for any number of lines.
"""

from __future__ import annotations

import re

PORTS = (1022, 1024, 1025, 1110, 1143, 1465, 1587, 1993, 1995, 2025, 2110, 2143, 2587, 5353, 8080, 9025, 10023, 11332, 11333)
"""Ports that pages speak of. Each is another one in a test, so that tests disturb nobody, and each other neither."""

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"

PLACEHOLDERS = {
    "moment": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:[+-]\d{4}|Z)?",
    "mail date": rf"{_DAY}, +\d{{1,2}} {_MONTH} \d{{4}} \d\d:\d\d:\d\d [+-]\d{{4}}",
    "mbox date": rf"{_DAY} {_MONTH} +\d{{1,2}} \d\d:\d\d:\d\d \d{{4}}",
    "internal date": rf"[ \d]\d-{_MONTH}-\d{{4}} \d\d:\d\d:\d\d [+-]\d{{4}}",
    "id": r"\b[0-9a-f]{8}-[0-9a-f]{12}\b",
    "message id": r"<[0-9a-f]{16,}@[^<>\s]+>|<[0-9A-Za-z.+-]*\d{4}[0-9A-Za-z.+-]*@[^<>\s]+>",
    "validity": r"(?<=UIDVALIDITY )\d+|(?<=COPYUID )\d+",
    "unique id": r"\b[0-9a-f]{40}\.\d+\b",
    "swaks": r"\bswaks v[\d.]+",
    "version": r"\bmailfw \d+\.\d[\w.]*",
    "process": r"\bpid \d+",
    "job": r"^\[1\] \d+$",
    "age": r"\b\d+(?:\.\d+)? (?:s|min)\b",
    "uptime": r"\bup \d+:\d\d:\d\d",
    "peer": r"(?<=127\.0\.0\.1:)\d{5}\b",
    "boundary": r"={10,}\d+==|_MIME_BOUNDARY_\d+_\d+|\breport-[0-9a-f]{32}",
    "time": r"\b\d+(?:\.\d+)?s\b",
}
"""By the name of each: what it looks like."""

_ANY = re.compile("|".join(f"(?P<p{number}>{pattern})" for number, pattern in enumerate(PLACEHOLDERS.values())))
_NAMES = list(PLACEHOLDERS)


class Mismatch(AssertionError):
    """A page tells something else than what happens."""


def alike(line: str) -> str:
    """A line as it is compared: with names for what differs, without blanks at its end.

    Columns are two blanks apart, for one of them is wider when what differs is longer.
    """
    named = _ANY.sub(lambda match: f"<{_NAMES[int((match.lastgroup or 'p0')[1:])]}>", line)
    return re.sub(r"(?<=\S) {3,}(?=\S)", "  ", named).rstrip()


def fits(expected: str, actual: str) -> bool:
    """Whether a line of a page is what a line of a run may look like."""
    if "..." not in expected:
        return alike(expected) == alike(actual)
    pieces = [re.escape(alike(piece).strip(" ")) for piece in expected.split("...")]
    return re.fullmatch(r".*".join(rf"\s*{piece}\s*" for piece in pieces), alike(actual)) is not None


def difference(expected: list[str], actual: list[str]) -> str:
    """Where two texts differ, in words; empty where they do not."""
    return "" if _matches(expected, actual) else _shown(expected, actual)


def _matches(expected: list[str], actual: list[str]) -> bool:
    for place, line in enumerate(expected):
        if line == "...":
            rest = expected[place + 1 :]
            return any(_matches(rest, actual[start:]) for start in range(place, len(actual) + 1))
        if place >= len(actual) or not fits(line, actual[place]):
            return False
    return len(expected) == len(actual)


def _shown(expected: list[str], actual: list[str]) -> str:
    told = ["the page says", *(f"  | {line}" for line in expected)]
    return "\n".join([*told, "what happens", *(f"  | {line}" for line in actual)])
