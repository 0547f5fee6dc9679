"""Sizes and times as people write them."""

from __future__ import annotations

import pytest

from mailfw.app.quantities import octets, seconds, sizeText


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (0, 0),
        (512, 512),
        ("512", 512),
        ("10 MB", 10_000_000),
        ("50 MiB", 50 << 20),
        ("1.5KiB", 1536),
        ("2 gib", 2 << 30),
        ("3 B", 3),
    ],
)
def test_sizes(written: object, value: int) -> None:
    assert octets(written) == value


@pytest.mark.parametrize("written", ["", "MiB", "5 MIBB", "-1", -1, True, None, 1.5, "1 000", "5 m"])
def test_whatIsNoSizeIsToldHowToWriteOne(written: object) -> None:
    with pytest.raises(ValueError, match='is no size: write "50 MiB"'):
        octets(written)


@pytest.mark.parametrize(
    ("written", "value"), [(90, 90.0), (0.5, 0.5), ("90s", 90.0), ("15m", 900.0), ("4h", 14400.0), ("5d", 432000.0)]
)
def test_times(written: object, value: float) -> None:
    assert seconds(written) == value


@pytest.mark.parametrize("written", ["", "5", "5 weeks", "m", -1, True, None, "1h30m"])
def test_whatIsNoTimeIsToldHowToWriteOne(written: object) -> None:
    with pytest.raises(ValueError, match='is no time: write "90s"'):
        seconds(written)


def test_sizesForPeople() -> None:
    assert [sizeText(value) for value in (0, 999, 1536, 50 << 20, 5 << 40)] == ["0 B", "999 B", "1.5 KiB", "50 MiB", "5 TiB"]
