"""What a search found: SEARCH, SORT, ESEARCH and THREAD responses, as a client reads them (RFC 3501 §7.2.5; RFC 4731, RFC 5256,
RFC 5267, RFC 7377, RFC 9394).

What comes out is never larger than what came in: sets stay ranges.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping

from attrs import evolve, field, frozen

from mailfw.imap.grammar.tokens import Scanner
from mailfw.imap.grammar.words import Value, integer, mailboxName, match, nil, text, value, word
from mailfw.values import UIDSet

MAX_DEPTH = 1000
"""Depth of a thread; what is deeper hangs there."""

MAX_RETURNED = 1000
"""Items of one ESEARCH response."""

_NUMBERS = re.compile(rb"[1-9][0-9]{0,9}")
_RANGES = re.compile(rb"[0-9]+(?::[0-9]+)?(?:,[0-9]+(?::[0-9]+)?)*+")
_MAX_UID = 0xFFFFFFFF


@frozen
class Ranges:
    """Numbers in an order of their own, as ranges that go up: of a COPYUID, or of a search that sorts.

    However many it stands for, only what is taken from the iterator is made.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, octets: bytes) -> Ranges:
        """`sequence-set` without `*`; `5:3` is 3, 4, 5. :raises ValueError: it is none."""
        if not _RANGES.fullmatch(octets):
            raise ValueError("not a set of numbers")
        found = []
        for item in octets.split(b","):
            low, _, high = item.partition(b":")
            first, last = sorted((int(low), int(high or low)))
            if not 0 < first <= last <= _MAX_UID:
                raise ValueError("no message has such a number")
            found.append((first, last))
        return cls(tuple(found))

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    @property
    def uids(self) -> UIDSet:
        """The same without their order."""
        return UIDSet.fromRanges(self.ranges)


@frozen(eq=False)
class Found:
    """SEARCH's and SORT's responses (RFC 3501 §7.2.5). :ivar numbers: in their order. :ivar modSeq: 0: there is none."""

    numbers: array[int]
    modSeq: int = 0
    isSorted: bool = False


@frozen
class ExtendedFound:
    """`esearch-response` (RFC 4466 §2.6.2, RFC 4731, RFC 5267, RFC 7377).

    :ivar tag: of the command that asked; empty: it is not said.
    :ivar all: and :ivar partial: None where there is none, or where there is nothing.
    :ivar partialRange: the range that the partial results are of.
    :ivar added: and :ivar removed: where results come and go, 0 at a place not known (RFC 5267 §4.3).
    :ivar mailbox: and :ivar uidValidity: where it was found, of a search in many (RFC 7377 §2.1).
    :ivar other: what else is said, by name in capitals.
    """

    tag: bytes = b""
    isUID: bool = False
    minimum: int | None = None
    maximum: int | None = None
    count: int | None = None
    all: Ranges | None = None
    modSeq: int = 0
    partialRange: bytes = b""
    partial: Ranges | None = None
    relevancy: tuple[int, ...] = ()
    added: tuple[tuple[int, Ranges], ...] = ()
    removed: tuple[tuple[int, Ranges], ...] = ()
    mailbox: str | None = None
    uidValidity: int = 0
    other: Mapping[str, Value] = field(factory=dict)


@frozen
class Threads:
    """`"THREAD" [SP 1*thread-list]` (RFC 5256 §5), flat: each message before those below it.

    :ivar numbers: 0 for what only holds a thread together whose first message is missing.
    :ivar depths: how many messages are above each; a thread begins at each 0.
    """

    numbers: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()


def ranges(scanner: Scanner) -> Ranges:
    try:
        return Ranges.parse(match(scanner, _RANGES, "a set of numbers"))
    except ValueError as error:
        raise scanner.bad(str(error)) from None


# --- SEARCH and SORT -------------------------------------------------------------------------------------------------


def searched(scanner: Scanner, isSorted: bool = False) -> Found:
    """`*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`"""
    octets, bracket, _ = scanner.octets[scanner.at :].partition(b"(")
    numbers = octets.split()
    if not all(map(_NUMBERS.fullmatch, numbers)) or (numbers and max(map(int, numbers)) > _MAX_UID):
        raise scanner.bad("expected numbers")
    scanner.at += len(octets) + len(bracket)
    modSeq = 0
    if bracket:
        if not scanner.takesWord(b"MODSEQ"):
            raise scanner.bad("expected MODSEQ")
        scanner.space()
        modSeq = integer(scanner)
        scanner.expect(b")")
    return Found(array("I", map(int, numbers)), modSeq, isSorted)


# --- ESEARCH ---------------------------------------------------------------------------------------------------------


def extendedSearch(scanner: Scanner) -> ExtendedFound:
    """`esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)` (RFC 4466 §2.6.2)"""
    found = ExtendedFound()
    other: dict[str, Value] = {}
    for _ in range(MAX_RETURNED):
        if not scanner.takes(b" ") or scanner.isAtEnd:
            break
        if scanner.peek() == b"(":
            found = _correlated(scanner, found)
            continue
        name = word(scanner).upper()
        if name == b"UID":
            found = evolve(found, isUID=True)
            continue
        scanner.space()
        read = _RETURNED.get(name)
        if read is not None:
            found = read(scanner, found)
        else:
            other[name.decode("ascii", "replace")] = value(scanner)
    return evolve(found, other=other)


def _correlated(scanner: Scanner, found: ExtendedFound) -> ExtendedFound:
    """`search-correlator = SP "(" one-correlator *(SP one-correlator) ")"` (RFC 7377 §4)"""

    def one() -> None:
        nonlocal found
        name = word(scanner).upper()
        scanner.space()
        if name == b"TAG":
            found = evolve(found, tag=text(scanner))
        elif name == b"MAILBOX":
            found = evolve(found, mailbox=mailboxName(scanner))
        elif name == b"UIDVALIDITY":
            found = evolve(found, uidValidity=integer(scanner))
        else:
            value(scanner)

    scanner.parenthesised(one)
    return found


def _partial(scanner: Scanner, found: ExtendedFound) -> ExtendedFound:
    """`"PARTIAL" SP "(" partial-range SP partial-results ")"` (RFC 9394 §4)"""
    scanner.expect(b"(")
    range_ = word(scanner)
    scanner.space()
    results = ranges(scanner) if scanner.peek().isdigit() else None
    if results is None:
        nil(scanner)
    scanner.expect(b")")
    return evolve(found, partialRange=range_, partial=results)


def _updates(scanner: Scanner) -> tuple[tuple[int, Ranges], ...]:
    """`"(" context-position SP sequence-set *(SP context-position SP sequence-set) ")"` (RFC 5267 §5)"""

    def one() -> tuple[int, Ranges]:
        place = integer(scanner)
        scanner.space()
        return place, ranges(scanner)

    return tuple(scanner.parenthesised(one))


_RETURNED: Mapping[bytes, Callable[[Scanner, ExtendedFound], ExtendedFound]] = {
    b"MIN": lambda scanner, found: evolve(found, minimum=integer(scanner)),
    b"MAX": lambda scanner, found: evolve(found, maximum=integer(scanner)),
    b"COUNT": lambda scanner, found: evolve(found, count=integer(scanner)),
    b"ALL": lambda scanner, found: evolve(found, all=ranges(scanner)),
    b"MODSEQ": lambda scanner, found: evolve(found, modSeq=integer(scanner)),
    b"PARTIAL": _partial,
    b"RELEVANCY": lambda scanner, found: evolve(
        found, relevancy=tuple(scanner.parenthesised(lambda: integer(scanner), isEmptyAllowed=True))
    ),
    b"ADDTO": lambda scanner, found: evolve(found, added=found.added + _updates(scanner)),
    b"REMOVEFROM": lambda scanner, found: evolve(found, removed=found.removed + _updates(scanner)),
}


# --- THREAD ----------------------------------------------------------------------------------------------------------


def threads(scanner: Scanner) -> Threads:
    """`thread-list = "(" (thread-members / thread-nested) ")"`; `thread-members = nz-number *(SP nz-number) [SP thread-nested]`;
    `thread-nested = 2*thread-list` (RFC 5256 §5)
    """
    numbers: list[int] = []
    depths: list[int] = []
    starts: list[int] = []  # of each open list, the depth at which what is in it began
    depth = 0
    isFirst = False  # nothing stands in the open list so far
    scanner.takes(b" ")
    while not scanner.isAtEnd:
        if scanner.takes(b"("):
            if isFirst:  # what holds the thread together is not there
                numbers.append(0)
                depths.append(min(depth, MAX_DEPTH))
                depth += 1
            starts.append(depth)
            isFirst = True
        elif scanner.takes(b")"):
            if not starts:
                raise scanner.bad("a parenthesis too many")
            depth = starts.pop()
            isFirst = False
        elif not starts:
            raise scanner.bad("expected a thread")
        elif not scanner.takes(b" "):
            numbers.append(scanner.nzNumber())
            depths.append(min(depth, MAX_DEPTH))
            depth += 1
            isFirst = False
    if starts:
        raise scanner.bad("a thread does not end")
    return Threads(tuple(numbers), tuple(depths))
