"""Sequence sets."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.imap.grammar.sequence import SequenceSet, runs
from mailfw.values import UIDSet


@pytest.mark.parametrize(
    ("text", "highest", "numbers"),
    [
        (b"1", 9, "1"),
        (b"1:3,7", 9, "1:3,7"),
        (b"4:2", 9, "2:4"),
        (b"*", 9, "9"),
        (b"5:*", 9, "5:9"),
        (b"*:5", 9, "5:9"),
        (b"559:*", 9, "9:559"),  # RFC 3501 §6.4.8: always includes the last message
        (b"*:*", 9, "9"),
        (b"2,1,2,1:2", 9, "1:2"),
        (b"4294967295", 9, "4294967295"),
        (b"1:*", 1, "1"),
    ],
)
def test_what_a_set_means(text, highest, numbers):
    assert str(SequenceSet.parse(text).resolve(highest)) == numbers


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"01",
        b"1,",
        b",1",
        b"1:",
        b":1",
        b"1:2:3",
        b"1;2",
        b"4294967296",
        b"99999999999",
        b"1,*:",
        b"**",
        b"1*",
        b"-1",
    ],
)
def test_what_is_no_set(text):
    with pytest.raises(ValueError, match="message number"):
        SequenceSet.parse(text)


@pytest.mark.parametrize("item", [b"%d", b"%d:*", b"9:%d"])
def test_fifty_thousand_items_are_read_at_once(item):
    text = b",".join(item % number for number in range(1, 100_001, 2))
    best = 1.0
    for _ in range(3):
        start = time.process_time()
        SequenceSet.parse(text)
        best = min(best, time.process_time() - start)
    assert best < 0.05


@given(st.lists(st.integers(1, 50), max_size=30))
def test_runs_keep_the_order(numbers):
    text = runs(numbers)
    read = []
    for item in filter(None, text.split(b",")):
        low, _, high = item.partition(b":")
        read += range(int(low), int(high or low) + 1)
    assert read == numbers


def test_runs_of_a_set_are_its_ranges():
    assert runs(UIDSet.parse("3:7,9,20:21")) == b"3:7,9,20:21"
    assert runs([]) == b""
