"""Commands that search: SEARCH, SORT, THREAD, ESEARCH and CANCELUPDATE, and what they are to answer with.

RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267, RFC 5957, RFC 6203, RFC 7377, RFC 9394.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.partial import Partial, partial
from mailfw.imap.grammar.response import Reply
from mailfw.imap.grammar.search import Key, charset, optionalCharset, program
from mailfw.imap.grammar.sources import Source, sources
from mailfw.imap.grammar.tokens import RefusedArgument, Scanner
from mailfw.message.sort import Kind, SortKey
from mailfw.message.thread import Algorithm

MAX_SORT_KEYS = 20


class Return(enum.Enum):
    """`search-return-opt`: what is to be answered, remembered, or told of later."""

    MIN = b"MIN"
    MAX = b"MAX"
    ALL = b"ALL"
    COUNT = b"COUNT"
    PARTIAL = b"PARTIAL"
    RELEVANCY = b"RELEVANCY"
    SAVE = b"SAVE"
    CONTEXT = b"CONTEXT"
    UPDATE = b"UPDATE"


@frozen
class Returns:
    """`search-return-opts` (RFC 4466 §2.6.1)"""

    options: frozenset[Return]
    partial: Partial | None = None

    def __contains__(self, option: Return) -> bool:
        return option in self.options


@frozen
class Search:
    """`search = "SEARCH" [search-return-opts] SP search-program` (RFC 4466 §2.6.1)

    :ivar returns: None where the client wants the SEARCH response of RFC 3501.
    """

    key: Key
    isUID: bool = False
    returns: Returns | None = None


@frozen
class Sort:
    """`sort = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria` (RFC 5256 §5, RFC 5267 §5)"""

    order: tuple[SortKey, ...]
    key: Key
    isUID: bool = False
    returns: Returns | None = None


@frozen
class Thread:
    """`thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria` (RFC 5256 §5)"""

    algorithm: Algorithm
    key: Key
    isUID: bool = False


@frozen
class ESearch:
    """`esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program` (RFC 7377 §4)

    :ivar sources: where to look; None is the selected mailbox.
    """

    key: Key
    returns: Returns
    sources: tuple[Source, ...] | None = None


@frozen
class Unsearchable:
    """A search that must fail, and yet changes what is saved: to nothing (RFC 5182 §2.1)."""

    reply: Reply


@frozen
class CancelUpdate:
    """`"CANCELUPDATE" 1*(SP quoted)` (RFC 5267 §5). :ivar tags: of the commands that asked for updates."""

    tags: tuple[bytes, ...]


# --- What to return --------------------------------------------------------------------------------------------------

_OPTIONS = {option.value: option for option in Return}


def _returns(scanner: Scanner) -> Returns | None:
    """`["RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" SP]`; an empty list asks for ALL (RFC 4731 §3.1)"""
    if not scanner.takesWord(b"RETURN"):
        return None
    scanner.space()
    partials: list[Partial] = []

    def option() -> Return:
        found = _OPTIONS.get(scanner.keyword())
        if found is None:
            raise scanner.bad("unknown RETURN option")
        if found is Return.PARTIAL:
            scanner.space()
            partials.append(partial(scanner))
        return found

    options = frozenset(scanner.parenthesised(option, isEmptyAllowed=True, maximum=len(Return) * 2))
    if len(partials) > 1 or (partials and Return.ALL in options):
        raise scanner.bad("one PARTIAL or ALL is enough")
    scanner.space()
    return Returns(options or frozenset((Return.ALL,)), partials[0] if partials else None)


def _saving(returns: Returns | None, scanner: Scanner, command: Callable[[], object]) -> object:
    """A command, or what is left of it where it cannot be searched for."""
    try:
        return command()
    except RefusedArgument as refused:
        if returns is None or Return.SAVE not in returns:
            raise
        scanner.at = len(scanner.octets)
        return Unsearchable(refused.reply)


# --- Commands --------------------------------------------------------------------------------------------------------


def _search(scanner: Scanner, isUID: bool = False) -> object:
    scanner.space()
    returns = _returns(scanner)
    return _saving(returns, scanner, lambda: Search(program(scanner, optionalCharset(scanner)), isUID, returns))


_SORT_KINDS = {kind.value.encode("ascii"): kind for kind in Kind}


def _sortKey(scanner: Scanner) -> SortKey:
    """`sort-criterion = ["REVERSE" SP] sort-key` (RFC 5256 §5)"""
    word = scanner.keyword()
    isReverse = word == b"REVERSE"
    if isReverse:
        scanner.space()
        word = scanner.keyword()
    kind = _SORT_KINDS.get(word)
    if kind is None:
        raise scanner.bad("unknown sort key")
    return SortKey(kind, isReverse)


def _criteria(scanner: Scanner) -> Key:
    """`search-criteria = charset 1*(SP search-key)` (RFC 5256 §5)"""
    codec = charset(scanner)
    scanner.space()
    return program(scanner, codec)


def _sort(scanner: Scanner, isUID: bool = False) -> object:
    scanner.space()
    returns = _returns(scanner)
    order = tuple(scanner.parenthesised(lambda: _sortKey(scanner), maximum=MAX_SORT_KEYS))
    scanner.space()
    return _saving(returns, scanner, lambda: Sort(order, _criteria(scanner), isUID, returns))


_ALGORITHMS = {algorithm.value.encode("ascii"): algorithm for algorithm in Algorithm}


def _thread(scanner: Scanner, isUID: bool = False) -> Thread:
    scanner.space()
    algorithm = _ALGORITHMS.get(scanner.keyword())
    if algorithm is None:
        raise scanner.bad("unknown threading algorithm")
    scanner.space()
    return Thread(algorithm, _criteria(scanner), isUID)


def _esearch(scanner: Scanner) -> object:
    scanner.space()
    found = None
    if scanner.takesWord(b"IN"):
        scanner.space()
        found = sources(scanner)
        scanner.space()
    returns = _returns(scanner) or Returns(frozenset((Return.ALL,)))
    return _saving(returns, scanner, lambda: ESearch(program(scanner, optionalCharset(scanner)), returns, found))


def _cancelUpdate(scanner: Scanner) -> CancelUpdate:
    tags: list[bytes] = []
    while not scanner.isAtEnd or not tags:
        scanner.space()
        tags.append(scanner.quoted())
    return CancelUpdate(tuple(tags))


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"SEARCH": _search,
    b"UID SEARCH": lambda scanner: _search(scanner, isUID=True),
    b"SORT": _sort,
    b"UID SORT": lambda scanner: _sort(scanner, isUID=True),
    b"THREAD": _thread,
    b"UID THREAD": lambda scanner: _thread(scanner, isUID=True),
    b"ESEARCH": _esearch,
    b"CANCELUPDATE": _cancelUpdate,
}
