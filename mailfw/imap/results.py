"""What a search answers: the SEARCH and SORT responses, and ESEARCH (RFC 3501 §7.2.5; RFC 4731; RFC 5267 §3, §4.4).

Results come as UIDs in the order asked for, and are named by number or UID only while they are written, piece by piece.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from attrs import frozen

from mailfw.imap.grammar.response import string
from mailfw.imap.grammar.searching import Return, Returns
from mailfw.imap.grammar.sequence import ranges

_PIECE = 500

_MATCHES = frozenset((Return.ALL, Return.COUNT))


def numbered(view: memoryview, uids: Iterable[int]) -> Iterator[int]:
    """The sequence numbers of messages; those that are not in the view have none."""
    at = 0
    for uid in uids:
        if at >= len(view) or view[at] != uid:
            at = bisect_left(view, uid)
            if at >= len(view) or view[at] != uid:
                continue
        at += 1
        yield at


@frozen(eq=False)
class Results:
    """What was found.

    :ivar uids: in the order that was asked for.
    :ivar name: makes of UIDs what the client is told: these, or sequence numbers.
    :ivar scores: how well each fits, 1 to 100, where that was asked for (RFC 6203 §4).
    :ivar modSeq: the highest of what is answered, where MODSEQ was among the keys (RFC 7162 §3.1.5); 0: it was not.
    """

    uids: array[int]
    name: Callable[[Iterable[int]], Iterable[int]]
    scores: Sequence[int] = ()
    modSeq: int = 0

    def plain(self, word: bytes) -> Iterator[bytes]:
        """`mailbox-data = ("SEARCH" / "SORT") *(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`"""
        yield b"* " + word
        numbers = iter(self.name(self.uids))
        while piece := b"".join(map(b" %d".__mod__, islice(numbers, _PIECE))):
            yield piece
        if self.modSeq:
            yield b" (MODSEQ %d)" % self.modSeq
        yield b"\r\n"

    def extended(self, returns: Returns, correlators: bytes, isUID: bool) -> Iterator[bytes]:
        """`esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)` (RFC 4731 §5)"""
        yield b"* ESEARCH (%b)%b" % (correlators, b" UID" if isUID else b"")
        uids = self.uids
        if uids:
            if Return.MIN in returns:
                yield b" MIN %d" % self._one(uids[0])
            if Return.MAX in returns:
                yield b" MAX %d" % self._one(uids[-1])
            if Return.ALL in returns:
                yield b" ALL "
                yield from self._set(uids)
        if Return.COUNT in returns:
            yield b" COUNT %d" % len(uids)
        if returns.partial is not None:
            start, end = returns.partial.within(len(uids))
            yield b" PARTIAL (%b " % returns.partial.label
            yield from self._set(uids[start:end]) if start < end else (b"NIL",)
            yield b")"
        if Return.RELEVANCY in returns:
            start, end = (0, len(uids)) if returns.partial is None else returns.partial.within(len(uids))
            yield b" RELEVANCY (%b)" % b" ".join(map(b"%d".__mod__, self.scores[start:end]))
        if self.modSeq:
            yield b" MODSEQ %d" % self.modSeq
        yield b"\r\n"

    def _one(self, uid: int) -> int:
        return next(iter(self.name((uid,))))

    def _set(self, uids: Iterable[int]) -> Iterator[bytes]:
        separator = b""
        for each in ranges(self.name(uids)):
            yield separator + each
            separator = b","


def correlator(tag: bytes) -> bytes:
    """`"TAG" SP tag-string` (RFC 4466 §2.6.2)"""
    return b"TAG " + string(tag)


def chosen(returns: Returns, uids: array[int]) -> array[int]:
    """Those of the results that the answer names: what SAVE saves, and whose MODSEQ counts (RFC 5182 §2.4, RFC 9394 §3.2,
    RFC 7162 §3.1.10). Without MIN, MAX and PARTIAL, or beside COUNT and ALL, that is all of them.
    """
    ends = [option for option in (Return.MIN, Return.MAX) if option in returns]
    if returns.options & _MATCHES or not (ends or returns.partial) or not uids:
        return uids
    start, end = returns.partial.within(len(uids)) if returns.partial is not None else (0, 0)
    return array("I", [*uids[start:end], *(uids[0 if option is Return.MIN else -1] for option in ends)])
