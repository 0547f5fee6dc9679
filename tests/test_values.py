"""The nouns: sets of UIDs behave as sets, addresses read and write, sources read back."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.values import ALL_UIDS, Address, MessageSource, Recipient, UIDSet, canonicalFlag

uids = st.sets(st.integers(1, 60))
ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=12)


def isNormal(s):
    """Sorted, disjoint, and with a gap between any two ranges."""
    return all(low <= high for low, high in s.ranges) and all(
        before[1] + 1 < after[0] for before, after in zip(s.ranges, s.ranges[1:], strict=False)
    )


@given(st.lists(st.integers(1, 60)))
def test_a_set_of_uids_has_what_it_was_made_of(numbers):
    s = UIDSet.fromUIDs(numbers)
    assert isNormal(s)
    assert list(s) == sorted(set(numbers))
    assert len(s) == len(set(numbers))
    assert UIDSet.parse(str(s)) == s


@given(ranges)
def test_ranges_in_any_order_and_reversed(pairs):
    s = UIDSet.fromRanges(pairs)
    assert isNormal(s)
    assert set(s) == {n for a, b in pairs for n in range(min(a, b), max(a, b) + 1)}


@given(uids, uids)
def test_set_algebra(a, b):
    x, y = UIDSet.fromUIDs(a), UIDSet.fromUIDs(b)
    for result, expected in ((x | y, a | b), (x & y, a & b), (x - y, a - b)):
        assert isNormal(result)
        assert set(result) == expected
    assert all((n in x) == (n in a) for n in range(62))
    assert bool(x) == bool(a)
    if a:
        assert (x.first, x.last) == (min(a), max(a))


def test_algebra_is_linear_in_the_ranges():
    evens, thirds = UIDSet.fromUIDs(range(0, 600_000, 2)), UIDSet.fromUIDs(range(0, 600_000, 3))
    assert len(evens & thirds) == 100_000
    assert len(evens - thirds) == 200_000
    assert ALL_UIDS - UIDSet.of(1) == UIDSet(((2, 0xFFFFFFFF),))


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("jsmith@Example.ORG", "jsmith", "example.org"),
        (' "a b"@example.org ', "a b", "example.org"),
        ('"a\\"b"@example.org', 'a"b', "example.org"),
        ("jürgen@köln.example", "jürgen", "köln.example"),
        ("a+b@[192.0.2.1]", "a+b", "[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "a", "[ipv6:2001:db8::1]"),
    ],
)
def test_addresses(text, local, domain):
    address = Address.parse(text)
    assert (address.local, address.domain) == (local, domain)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "a", "@b", "a@", "a b@c", "a..b@c", "a@b c", "<a@b>", 'a@b"', "a\n@b", '"a\x00"@b', "a@b,c"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="is not an address"):
        Address.parse(text)


def test_values_compare_hash_and_cross_processes():
    recipient = Recipient(Address("a", "b.example"), frozenset({"never"}))
    copy = pickle.loads(pickle.dumps(recipient))
    assert copy == recipient
    assert hash(copy) == hash(recipient)


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(0, 20))
def test_a_source_reads_the_same_from_memory_and_from_a_part_of_a_file(tmp_path_factory, data, step, offset):
    path = tmp_path_factory.mktemp("source") / "f"
    path.write_bytes(b"#" * offset + data + b"tail")
    inMemory = MessageSource(data, prefix=b"P: 1\r\n")
    inFile = MessageSource(path=str(path), offset=offset, length=len(data), prefix=b"P: 1\r\n")
    for source in (inMemory, inFile):
        assert source.read() == b"".join(source.chunks(step)) == b"P: 1\r\n" + data
        assert source.size == 6 + len(data)


def test_a_file_that_got_shorter_is_noticed(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with pytest.raises(EOFError):
        MessageSource(path=str(path), length=4).read()


def test_system_flags_have_one_spelling():
    assert canonicalFlag("\\seen") == "\\Seen"
    assert canonicalFlag("$Forwarded") == "$Forwarded"
