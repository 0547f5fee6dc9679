"""Parameters of SELECT and modifiers of FETCH and STORE, in parentheses (RFC 4466 §2.1, §2.4, §2.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from mailfw.imap.grammar.partial import Partial, partial
from mailfw.imap.grammar.sequence import STAR, SequenceSet
from mailfw.imap.grammar.tokens import Scanner
from mailfw.values import UIDSet

MAX_MODSEQ = (1 << 63) - 1

_NOTHING = UIDSet()

Argument = Callable[[Scanner], Any]
"""Reads what stands behind a modifier's name: of each modifier its own type, hence `Any`."""


@frozen
class Resync:
    """What a client knows of a mailbox that it opens again (RFC 7162 §3.2.5).

    :ivar known: UIDs of messages that it has; None is all up to the last there was.
    :ivar numbers: some sequence numbers, and :ivar uids: the UIDs that messages with these numbers had, pairwise.
    """

    uidValidity: int
    modSeq: int
    known: UIDSet | None = None
    numbers: UIDSet = _NOTHING
    uids: UIDSet = _NOTHING


@frozen
class SelectParameters:
    """:ivar isCondstore: MODSEQ is to be told from now on (RFC 7162 §3.1.8)."""

    isCondstore: bool = False
    resync: Resync | None = None


@frozen
class FetchModifiers:
    """:ivar changedSince: only messages with a higher MODSEQ (RFC 7162 §3.1.4.1).
    :ivar wantsVanished: UIDs expunged since then too (§3.2.6).
    :ivar partial: only so many messages of the set (RFC 9394 §3.3).
    """

    changedSince: int | None = None
    wantsVanished: bool = False
    partial: Partial | None = None


NO_PARAMETERS = SelectParameters()
NO_MODIFIERS = FetchModifiers()


def modSequence(scanner: Scanner, isZeroAllowed: bool = False) -> int:
    """`mod-sequence-value = 1*DIGIT`, below 2^63, and `mod-sequence-valzer`, which may be 0 (RFC 7162 §7)"""
    word = scanner.atom()
    number = int(word) if word.isdigit() and len(word) < 20 else -1
    if not (0 if isZeroAllowed else 1) <= number <= MAX_MODSEQ:
        raise scanner.bad("expected a mod-sequence")
    return number


def _modifiers(scanner: Scanner, known: Mapping[bytes, Argument]) -> dict[bytes, Any]:
    """`"(" modifier *(SP modifier) ")"`, each at most once"""
    found: dict[bytes, Any] = {}

    def modifier() -> None:
        name = scanner.keyword()
        if name not in known:
            raise scanner.bad("unknown parameter")
        if name in found:
            raise scanner.bad("a parameter stands twice")
        found[name] = known[name](scanner)

    scanner.parenthesised(modifier)
    return found


def _nothing(scanner: Scanner) -> bool:
    return True


def _since(scanner: Scanner) -> int:
    """`SP mod-sequence-valzer`; 0, which RFC 7162 does not have for CHANGEDSINCE, means all that ever changed"""
    scanner.space()
    return modSequence(scanner, isZeroAllowed=True)


# --- SELECT ----------------------------------------------------------------------------------------------------------


def _starless(scanner: Scanner) -> UIDSet:
    """`known-uids = sequence-set`, in which `*` is not allowed"""
    messages: SequenceSet = scanner.sequenceSet()
    if any(STAR in pair for pair in messages.ranges):
        raise scanner.bad("* is not allowed here")
    return messages.resolve(1)


def _resync(scanner: Scanner) -> Resync:
    """`SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"` (RFC 7162 §7)"""
    scanner.space()
    scanner.expect(b"(")
    uidValidity = scanner.nzNumber()
    scanner.space()
    modSeq = modSequence(scanner, isZeroAllowed=True)
    known, numbers, uids = None, UIDSet(), UIDSet()
    hasMore = scanner.takes(b" ")
    if hasMore and scanner.peek() != b"(":
        known = _starless(scanner)
        hasMore = scanner.takes(b" ")
    if hasMore:
        scanner.expect(b"(")
        numbers = _starless(scanner)
        scanner.space()
        uids = _starless(scanner)
        if len(numbers) != len(uids):
            raise scanner.bad("as many numbers as UIDs are expected")
        scanner.expect(b")")
    scanner.expect(b")")
    return Resync(uidValidity, modSeq, known, numbers, uids)


def selectParameters(scanner: Scanner) -> SelectParameters:
    """`select-params = SP "(" select-param *(SP select-param) ")"`, or nothing"""
    if not scanner.takes(b" "):
        return NO_PARAMETERS
    found = _modifiers(scanner, {b"CONDSTORE": _nothing, b"QRESYNC": _resync})
    return SelectParameters(b"CONDSTORE" in found, found.get(b"QRESYNC"))


# --- FETCH and STORE -------------------------------------------------------------------------------------------------


def _partial(scanner: Scanner) -> Partial:
    """`SP partial-range`"""
    scanner.space()
    return partial(scanner)


def fetchModifiers(scanner: Scanner, isUID: bool) -> FetchModifiers:
    """`fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"`, or nothing. VANISHED and PARTIAL are for UID FETCH,
    VANISHED only beside CHANGEDSINCE (RFC 7162 §3.2.6, RFC 9394 §3.3).
    """
    if not scanner.takes(b" "):
        return NO_MODIFIERS
    known: dict[bytes, Argument] = {b"CHANGEDSINCE": _since}
    if isUID:
        known |= {b"VANISHED": _nothing, b"PARTIAL": _partial}
    found = _modifiers(scanner, known)
    if b"VANISHED" in found and b"CHANGEDSINCE" not in found:
        raise scanner.bad("VANISHED needs CHANGEDSINCE")
    return FetchModifiers(found.get(b"CHANGEDSINCE"), b"VANISHED" in found, found.get(b"PARTIAL"))


def unchangedSince(scanner: Scanner) -> int | None:
    """`store-modifiers = SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"` where it comes next, and the space behind it"""
    if scanner.peek() != b"(":
        return None
    found: int = _modifiers(scanner, {b"UNCHANGEDSINCE": _since})[b"UNCHANGEDSINCE"]
    scanner.space()
    return found
