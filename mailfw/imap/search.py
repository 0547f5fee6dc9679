"""SEARCH (RFC 3501 §6.4.4): the session's part in the key, then criteria evaluated where the rows are read."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from mailfw.imap import condstore
from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.grammar.search import AllOf, AnyOf, Key, Messages, Not, Recent, Search
from mailfw.imap.selected import SelectedMailbox
from mailfw.interfaces import Row
from mailfw.message import criteria
from mailfw.message.criteria import Criterion
from mailfw.message.search import Search as Evaluation
from mailfw.message.search import compile as compileCriterion
from mailfw.values import ALL_UIDS, Column, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


T = TypeVar("T")

Naming = Callable[["array[int]"], "array[int]"]
"""Makes of UIDs, ascending, what is answered: these, or sequence numbers."""


def criterion(key: Key, view: SelectedMailbox) -> Criterion:
    """A search key with all that only the session knows put in. Numbers that no message has match nothing."""
    if isinstance(key, AllOf):
        return criteria.And(tuple(criterion(each, view) for each in key.keys))
    if isinstance(key, AnyOf):
        return criteria.Or(tuple(criterion(each, view) for each in key.keys))
    if isinstance(key, Not):
        return criteria.Not(criterion(key.key, view))
    if isinstance(key, Recent):
        return criteria.UIDs(UIDSet(((view.recentFrom, ALL_UIDS.last),)))
    if isinstance(key, Messages):
        return criteria.UIDs(_uids(key, view))
    return key


def _uids(key: Messages, view: SelectedMailbox) -> UIDSet:
    if key.isUID:
        return key.numbers.resolve(view.lastUID)
    numbers = key.numbers.resolve(view.count) & UIDSet(((1, view.count),) if view.count else ())
    return view.uidsOfNumbers(numbers)


def scope(wanted: Criterion) -> UIDSet:
    """UIDs among which all matches are, as far as the criterion itself says so."""
    if isinstance(wanted, criteria.UIDs):
        return wanted.uids
    uids = ALL_UIDS
    if isinstance(wanted, criteria.And):
        for each in wanted.criteria:
            if isinstance(each, criteria.UIDs):
                uids &= each.uids
    return uids


async def search(session: Session, command: Search) -> Reply:
    """RFC 3501 §6.4.4. The answer is sent even when nothing was found."""
    view = session.view
    wanted = criterion(command.key, view)
    uids = scope(wanted) & UIDSet(((1, view.lastUID),) if view.lastUID else ())
    candidates = await view.mailbox.candidates(wanted)
    if candidates is not None:
        uids &= candidates
    naming = _identity if command.isUID else _numbering(view.uids)
    if command.asksModSeq:
        condstore.used(session)
        found = array("I", await _evaluate(session, uids, compileCriterion(wanted), _identity))
        await session.send(_answer(naming(found), await condstore.highestOf(session, UIDSet.fromUIDs(found))))
    else:
        await session.send(_answer(await _evaluate(session, uids, compileCriterion(wanted), naming)))
    return ok("searched")


def _answer(numbers: Iterable[int], modSeq: int = 0) -> Iterator[bytes]:
    """`mailbox-data = "SEARCH" [1*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]]` (RFC 7162 §7)"""
    yield b"* SEARCH"
    yield from map(b" %d".__mod__, numbers)
    if modSeq:
        yield b" (MODSEQ %d)" % modSeq
    yield b"\r\n"


def _identity(uids: array[int]) -> array[int]:
    return uids


def _numbering(view: memoryview) -> Naming:
    """Turns UIDs, ascending, into sequence numbers."""

    def numbers(uids: array[int]) -> array[int]:
        found, at = array("I"), 0
        for uid in uids:
            at = bisect_left(view, uid, at)
            if at < len(view) and view[at] == uid:
                found.append(at + 1)
        return found

    return numbers


async def _evaluate(session: Session, uids: UIDSet, evaluation: Evaluation, named: Naming) -> Iterable[int]:
    """The messages that match: first what columns decide that cost little to read, then the rest.

    :param named: makes of UIDs what is to be answered; called in reader threads.
    """
    cheap = evaluation.cheapColumns
    if not cheap or cheap == evaluation.columns:
        return await _matching(session, uids, evaluation, named)

    def decide(rows: Sequence[Row]) -> Iterator[tuple[array[int], array[int]]]:
        yes, perhaps = array("I"), array("I")
        for row in rows:
            verdict = evaluation.decide(row)
            if verdict is not False:
                (perhaps if verdict is None else yes).append(row[-1])
        yield named(yes), perhaps

    pages = await _read(session, uids, cheap, decide)
    left = UIDSet.fromUIDs(chain.from_iterable(perhaps for _, perhaps in pages))
    sure = chain.from_iterable(yes for yes, _ in pages)
    return merge(sure, await _matching(session, left, evaluation, named))


async def _matching(session: Session, uids: UIDSet, evaluation: Evaluation, named: Naming) -> Iterable[int]:
    def match(rows: Sequence[Row]) -> Iterator[array[int]]:
        yield named(array("I", [row[-1] for row in rows if evaluation.matches(row)]))

    return chain.from_iterable(await _read(session, uids, evaluation.columns, match))


async def _read(
    session: Session, uids: UIDSet, columns: Sequence[Column], render: Callable[[Sequence[Row]], Iterable[T]]
) -> list[T]:
    """What `render` makes of messages, whose UID is the last column."""
    items: list[T] = []
    await session.walk(session.view.mailbox.rows(uids, (*columns, Column.UID), render), items.extend)
    return items


HANDLERS: Mapping[type, Handler] = {Search: search}
