"""Sizes and times as people write them in configuration and on the command line."""

from __future__ import annotations

import re

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def octets(value: object) -> int:
    """A size: `50 MiB`, `10 MB`, or a number of octets.

    :raises ValueError: it is none; the text says how to write one.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f'{_shown(value)} is no size: write "50 MiB", "10 MB" or a number of octets')
    return int(float(match[1]) * _UNITS[match[2].lower()])


def seconds(value: object) -> float:
    """A time: `90s`, `15m`, `4h`, `5d`, or a number of seconds.

    :raises ValueError: it is none; the text says how to write one.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{_shown(value)} is no time: write "90s", "15m", "4h", "5d" or a number of seconds')
    return float(match[1]) * _SECONDS[match[2]]


def sizeText(value: int) -> str:
    """A number of octets for people: `50 MiB`, `1.5 KiB`, `12 B`."""
    scaled, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if scaled < 1024:
            break
        scaled, unit = scaled / 1024, larger
    return f"{scaled:.1f}".removesuffix(".0") + f" {unit}"


def spanText(value: float) -> str:
    """Seconds for people: `5 s`, `12 min`, `3 h`, `4 days`."""
    scaled = max(value, 0.0)
    for unit, length in (("s", 120.0), ("min", 120.0), ("h", 48.0)):
        if scaled < length:
            return f"{scaled:.0f} {unit}"
        scaled /= 24 if unit == "h" else 60
    return f"{scaled:.0f} days"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
