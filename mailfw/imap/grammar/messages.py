"""Commands about messages of the selected mailbox, but FETCH and SEARCH (RFC 3501 §6.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.modifiers import unchangedSince
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import Scanner
from mailfw.values import FlagChange


@frozen
class Check:
    """`CHECK` (RFC 3501 §6.4.1)"""


@frozen
class Close:
    """`CLOSE` (RFC 3501 §6.4.2)"""


@frozen
class Unselect:
    """`UNSELECT` (RFC 3691 §2)"""


@frozen
class Expunge:
    """`EXPUNGE` (RFC 3501 §6.4.3), or `UID EXPUNGE sequence-set` (RFC 4315 §2.1). :ivar messages: None is all."""

    messages: SequenceSet | None = None


@frozen
class Store:
    """`store = "STORE" SP sequence-set [store-modifiers] SP store-att-flags` (RFC 3501 §6.4.6, RFC 4466 §2.5)

    :ivar isSilent: the client knows the flags it sets, and asks not to be told.
    :ivar unchangedSince: leave messages alone that have a higher MODSEQ (RFC 7162 §3.1.3).
    """

    messages: SequenceSet
    change: FlagChange
    flags: frozenset[str]
    isSilent: bool = False
    isUID: bool = False
    unchangedSince: int | None = None


@frozen
class Copy:
    """`copy = "COPY" SP sequence-set SP mailbox` (RFC 3501 §6.4.7)"""

    messages: SequenceSet
    mailbox: str
    isUID: bool = False


@frozen
class Move:
    """`move = "MOVE" SP sequence-set SP mailbox` (RFC 6851 §4.1)"""

    messages: SequenceSet
    mailbox: str
    isUID: bool = False


_CHANGES = {b"FLAGS": FlagChange.REPLACE, b"+FLAGS": FlagChange.ADD, b"-FLAGS": FlagChange.REMOVE}


def _storeFlags(scanner: Scanner) -> frozenset[str]:
    """`(flag-list / (flag *(SP flag)))`"""
    if scanner.peek() == b"(":
        return scanner.flagList()
    flags = [scanner.flag()]
    while scanner.takes(b" "):
        flags.append(scanner.flag())
    return frozenset(flags)


def _store(scanner: Scanner, isUID: bool = False) -> Store:
    scanner.space()
    messages = scanner.sequenceSet()
    scanner.space()
    since = unchangedSince(scanner)
    word, dot, silent = scanner.keyword().partition(b".")
    if word not in _CHANGES or (dot and silent != b"SILENT"):
        raise scanner.bad("expected FLAGS, +FLAGS or -FLAGS")
    scanner.space()
    return Store(messages, _CHANGES[word], _storeFlags(scanner), bool(dot), isUID, since)


def _target(scanner: Scanner) -> tuple[SequenceSet, str]:
    scanner.space()
    messages = scanner.sequenceSet()
    scanner.space()
    return messages, scanner.mailbox()


def _uidExpunge(scanner: Scanner) -> Expunge:
    scanner.space()
    return Expunge(scanner.sequenceSet())


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"CHECK": lambda scanner: Check(),
    b"CLOSE": lambda scanner: Close(),
    b"UNSELECT": lambda scanner: Unselect(),
    b"EXPUNGE": lambda scanner: Expunge(),
    b"STORE": _store,
    b"COPY": lambda scanner: Copy(*_target(scanner)),
    b"MOVE": lambda scanner: Move(*_target(scanner)),
    b"UID EXPUNGE": _uidExpunge,
    b"UID STORE": lambda scanner: _store(scanner, isUID=True),
    b"UID COPY": lambda scanner: Copy(*_target(scanner), isUID=True),
    b"UID MOVE": lambda scanner: Move(*_target(scanner), isUID=True),
}
