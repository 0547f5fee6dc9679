"""LIST with all that was added to it (RFC 5258 §6; RFC 5819, RFC 6154, RFC 8440, RFC 9590)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from attrs import evolve, frozen

from mailfw.imap.grammar.mailboxes import StatusItem, statusItems
from mailfw.imap.grammar.metadata import entries
from mailfw.imap.grammar.tokens import Scanner

MAX_PATTERNS = 100
"""Patterns of one LIST: each is compared with every name."""


class Selection(enum.Enum):
    """`list-select-opt`: which names are wanted."""

    SUBSCRIBED = b"SUBSCRIBED"
    REMOTE = b"REMOTE"
    RECURSIVE_MATCH = b"RECURSIVEMATCH"
    SPECIAL_USE = b"SPECIAL-USE"


CRITERIA = (Selection.SUBSCRIBED, Selection.SPECIAL_USE)
"""`list-select-base-opt`: options that can be met by a name; the others only say how to look."""


class Returned(enum.Enum):
    """`return-option` without an argument: what is to be told of each name."""

    SUBSCRIBED = b"SUBSCRIBED"
    CHILDREN = b"CHILDREN"
    SPECIAL_USE = b"SPECIAL-USE"
    MY_RIGHTS = b"MYRIGHTS"  # RFC 8440 §5


@frozen
class Wanted:
    """`list-return-opts`

    :ivar status: items of RETURN (STATUS (…)), RFC 5819 §4.
    :ivar metadata: entries of RETURN (METADATA (…)), RFC 9590 §5.
    """

    options: frozenset[Returned] = frozenset()
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()

    @property
    def isPlain(self) -> bool:
        """Whether nothing is wanted that is not in the LIST responses themselves."""
        return not (self.status or self.metadata or Returned.MY_RIGHTS in self.options)


@frozen
class ListMailboxes:
    """`list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]` (RFC 5258 §6)

    :ivar reference: and :ivar patterns: as they came, for a reference is no mailbox's name, and wildcards may stand in
        what is encoded.
    :ivar isExtended: any of the three ways of extending it was used (§1).
    """

    reference: bytes
    patterns: tuple[bytes, ...]
    isExtended: bool = False
    selection: frozenset[Selection] = frozenset()
    wanted: Wanted = Wanted()


@frozen
class ListSubscribed:
    """`lsub = "LSUB" SP mailbox SP list-mailbox` (RFC 3501 §6.3.9)"""

    reference: bytes
    pattern: bytes


def _selection(scanner: Scanner) -> frozenset[Selection]:
    """`list-select-opts`; RECURSIVEMATCH only beside something to match."""

    def option() -> Selection:
        try:
            return Selection(scanner.keyword())
        except ValueError:
            raise scanner.bad("unknown selection option") from None

    options = frozenset(scanner.parenthesised(option, isEmptyAllowed=True))
    if Selection.RECURSIVE_MATCH in options and options.isdisjoint(CRITERIA):
        raise scanner.bad("RECURSIVEMATCH stands beside what is to be matched")
    return options


def _status(scanner: Scanner, wanted: Wanted) -> Wanted:
    """`status-option = "STATUS" SP "(" status-att *(SP status-att) ")"` (RFC 5819 §4)"""
    scanner.space()
    return evolve(wanted, status=statusItems(scanner))


def _metadata(scanner: Scanner, wanted: Wanted) -> Wanted:
    """`"METADATA" SP "(" entry *(SP entry) ")"` (RFC 9590 §5)"""
    scanner.space()
    if scanner.peek() != b"(":
        raise scanner.bad("expected a list of metadata entries")
    return evolve(wanted, metadata=entries(scanner))


RETURNED: Mapping[bytes, Callable[[Scanner, Wanted], Wanted]] = {b"STATUS": _status, b"METADATA": _metadata}
"""Return options that have a grammar of their own."""


def _wanted(scanner: Scanner) -> Wanted:
    """`"(" [return-option *(SP return-option)] ")"`"""
    wanted = Wanted()

    def option() -> None:
        nonlocal wanted
        word = scanner.keyword()
        if word in RETURNED:
            wanted = RETURNED[word](scanner, wanted)
            return
        try:
            wanted = evolve(wanted, options=wanted.options | {Returned(word)})
        except ValueError:
            raise scanner.bad("unknown return option") from None

    scanner.parenthesised(option, isEmptyAllowed=True)
    return wanted


def listMailboxes(scanner: Scanner) -> ListMailboxes:
    """LIST, plain or extended."""
    scanner.space()
    isExtended = scanner.peek() == b"("
    selection = frozenset[Selection]()
    if isExtended:
        selection = _selection(scanner)
        scanner.space()
    reference = scanner.astring()
    scanner.space()
    if scanner.peek() == b"(":
        isExtended = True
        patterns = tuple(scanner.parenthesised(scanner.listMailbox, maximum=MAX_PATTERNS))
    else:
        patterns = (scanner.listMailbox(),)
    wanted = Wanted()
    if scanner.takes(b" "):
        isExtended = True
        if scanner.keyword() != b"RETURN":
            raise scanner.bad("expected RETURN")
        scanner.space()
        wanted = _wanted(scanner)
    return ListMailboxes(reference, patterns, isExtended, selection, wanted)


def _listSubscribed(scanner: Scanner) -> ListSubscribed:
    scanner.space()
    reference = scanner.astring()
    scanner.space()
    return ListSubscribed(reference, scanner.listMailbox())


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {b"LIST": listMailboxes, b"LSUB": _listSubscribed}
