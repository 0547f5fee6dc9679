"""When messages are tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.delivery.schedule import Schedule, parseInterval, parseIntervals

HOUR = 3600


def test_the_default_is_five_minutes_then_quarters_for_four_hours_then_hours():
    schedule = Schedule()
    assert [schedule.interval(n) for n in (1, 2, 17, 18, 500)] == [300, 900, 900, 3600, 3600]
    assert parseIntervals(["5m", "15m*16", "1h"]) == schedule.intervals


@pytest.mark.parametrize(
    ("text", "found"),
    [("90s", (90, 1)), (" 15m * 16 ", (900, 16)), ("1.5h", (5400, 1)), ("2d*3", (172800, 3))],
)
def test_intervals(text, found):
    assert parseInterval(text) == found


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "5m*0", "-5m", "5m*", "5 weeks", "5m*16*2", "5m\n6m"])
def test_what_is_no_interval_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="15m\\*16"):
        parseInterval(text)


def test_an_empty_schedule_is_none():
    with pytest.raises(ValueError, match="at least one"):
        parseIntervals([])


@given(st.integers(1, 10000), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_a_tenth(attempts, chance):
    schedule = Schedule()
    interval = schedule.interval(attempts)
    assert 0.9 * interval - 0.001 <= schedule.next(attempts, 1000.0, lambda: chance) - 1000.0 <= 1.1 * interval + 0.001


def test_warning_and_giving_up():
    schedule = Schedule()
    assert not schedule.isTimeToWarn(0, 4 * HOUR - 1)
    assert schedule.isTimeToWarn(0, 4 * HOUR)
    assert not schedule.isTimeToGiveUp(0, 120 * HOUR - 1)
    assert schedule.isTimeToGiveUp(0, 120 * HOUR)
    assert not Schedule(warnAfter=0).isTimeToWarn(0, 1e9)
