"""What is counted, and percentiles of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailfw.tally import BOUNDS, Histogram, percentile

TIMES = st.lists(st.floats(0.0, 40.0), min_size=1, max_size=200)


def histogram(times: list[float]) -> Histogram:
    made = Histogram()
    for each in times:
        made.add(each)
    return made


def bucketOf(value: float) -> tuple[float, float]:
    """The bounds between which a time is kept."""
    for least, most in pairwise((0.0, *BOUNDS)):
        if value <= most:
            return least, most
    return BOUNDS[-1], BOUNDS[-1]


@given(TIMES, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_aPercentileIsInTheBucketOfTheTimeThatItStandsFor(times: list[float], share: float) -> None:
    counts = histogram(times).counts
    rank = next(n for n in range(1, len(times) + 1) if n >= sum(counts) * share)
    least, most = bucketOf(sorted(times)[rank - 1])
    found = percentile(counts, share)
    assert found is not None
    assert least <= found <= most


@given(TIMES)
def test_aHistogramLosesNothing(times: list[float]) -> None:
    made = histogram(times)
    assert sum(made.counts) == len(times)
    assert made.seconds == sum(times)


@given(TIMES)
def test_higherPercentilesAreNotShorter(times: list[float]) -> None:
    counts = histogram(times).counts
    found = [percentile(counts, share / 100) or 0.0 for share in (1, 25, 50, 75, 90, 99, 100)]
    assert found == sorted(found)


def test_aTimeAtABoundIsWithinIt() -> None:
    """As Prometheus has it: `le` is less or equal."""
    assert histogram([BOUNDS[3]]).counts[3] == 1


def test_ofNothingThereIsNoPercentile() -> None:
    assert percentile(Histogram().counts, 0.5) is None


def test_whatTookLongerThanTheLastBoundIsSaidToTakeThat() -> None:
    assert percentile(histogram([99.0]).counts, 0.5) == BOUNDS[-1]
