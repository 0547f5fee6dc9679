"""Batches hold as many messages as was asked for, all of them together all messages, and none twice (RFC 10022 §3.1)."""

from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailfw.imap.batches import ranges


def bounds(uids, size, first, last):
    return [tuple(map(int, each.split(b":"))) for each in ranges(memoryview(array("I", uids)), size, first, last)]


def test_the_example_of_the_rfc():
    uids = [*range(1, 824), *range(7830, 9830), *range(20351, 22351), *range(99696, 101695), 215295]
    assert bounds(uids, 2000, 1, 4) == [(215295, 22351), (22350, 9830), (9829, 824), (823, 1)]
    assert bounds(uids, 2000, 2, 3) == [(22350, 9830), (9829, 824)]
    assert bounds(uids, 2000, 6, 8) == []
    assert bounds(uids, 7000, 1, 1) == [(215295, 1)]


@given(st.sets(st.integers(1, 10_000), max_size=200), st.integers(1, 50))
def test_every_message_is_in_one_batch(uids, size):
    uids = sorted(uids)
    found = bounds(uids, size, 1, -(-len(uids) // size))
    held = [[uid for uid in uids if low <= uid <= high] for high, low in found]
    assert [uid for batch in reversed(held) for uid in batch] == uids
    assert all(len(batch) == size for batch in held[:-1]) and all(len(batch) <= size for batch in held)
    assert not found or found[-1][1] == 1
    assert all(low == high + 1 for (_, low), (high, _) in pairwise(found))
