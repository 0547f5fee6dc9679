"""Which messages of a mailbox match a search key: what SEARCH, SORT, THREAD and all that follows from them begin with.

The session's part is put into the key, a store's indexes say where to look, and what is left is decided where rows are
read: first by columns that are at hand, then by headers, at last by contents.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from mailfw.imap.grammar.response import bad
from mailfw.imap.grammar.search import AllOf, AnyOf, Fuzzy, Key, Messages, Not, Recent
from mailfw.imap.grammar.tokens import RefusedArgument
from mailfw.imap.progress import Progress
from mailfw.interfaces import IMailbox, Row
from mailfw.message import criteria
from mailfw.message.criteria import Criterion
from mailfw.message.search import Search as Evaluation
from mailfw.message.search import compile as compileCriterion
from mailfw.values import ALL_UIDS, Column, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.selected import SelectedMailbox
    from mailfw.imap.session import Session

T = TypeVar("T")

FEW = 50
"""Messages that are looked at at once, without asking an index about them."""


def criterion(key: Key, view: SelectedMailbox, isFuzzy: bool = False) -> Criterion:
    """A search key with all that only the session knows put in. Numbers that no message has match nothing.

    :raises RefusedArgument: there are numbers in it, and the client wants none (RFC 9586 §3.5).
    """
    match key:
        case AllOf():
            return criteria.And(tuple([criterion(each, view, isFuzzy) for each in key.keys]))
        case AnyOf():
            return criteria.Or(tuple([criterion(each, view, isFuzzy) for each in key.keys]))
        case Not():
            return criteria.Not(criterion(key.key, view, isFuzzy))
        case Fuzzy():
            return criterion(key.key, view, isFuzzy=True)
        case Recent():
            return criteria.UIDs(view.recents)
        case Messages():
            return criteria.UIDs(_uids(key, view))
    return criteria.fuzzy(key) if isFuzzy else key


def _uids(key: Messages, view: SelectedMailbox) -> UIDSet:
    if key.numbers.isSaved:
        return view.savedUIDs
    if key.isUID:
        return key.numbers.resolve(view.lastUID)
    if view.manner.isUIDOnly:
        raise RefusedArgument(bad("message numbers are not allowed", b"UIDREQUIRED"))
    numbers = key.numbers.resolve(view.count) & UIDSet(((1, view.count),) if view.count else ())
    return view.uidsOfNumbers(numbers)


def hasKey(key: Key, kind: type) -> bool:
    """Whether a key of that kind is anywhere in it."""
    return any(isinstance(each, kind) for each in _keys(key))


def hasNumbers(key: Key) -> bool:
    """Whether messages are meant by number anywhere in it."""
    return any(isinstance(each, Messages) and not (each.isUID or each.numbers.isSaved) for each in _keys(key))


def _keys(key: Key) -> Iterator[Key | Criterion]:
    """A key with all that it is made of."""
    pending: list[Key] = [key]
    while pending:
        each = pending.pop()
        yield each
        if isinstance(each, AllOf | AnyOf):
            pending += each.keys
        elif isinstance(each, Not | Fuzzy):
            pending.append(each.key)


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


async def matching(session: Session, view: SelectedMailbox, wanted: Criterion, among: UIDSet = ALL_UIDS) -> array[int]:
    """UIDs, ascending, of the messages in a view that match.

    :raises LimitExceeded: the criterion is nested too deeply.
    """
    uids = scope(wanted) & among & UIDSet(((1, view.lastUID),) if view.lastUID else ())
    evaluation = await session.channel.think(partial(compileCriterion, wanted, session.channel.now()))
    count = view.countOf(uids)
    if count > FEW:
        candidates = await view.mailbox.candidates(wanted)
        if candidates is not None:
            uids &= candidates
            count = view.countOf(uids)
    found: list[array[int]] = []
    with Progress(session, count) as progress:
        for stage in range(len(evaluation.stages)):
            decided, uids = await _stage(session, view.mailbox, uids, evaluation, stage, progress)
            found += decided
    return array("I", sorted(chain.from_iterable(found)))


async def _stage(
    session: Session, mailbox: IMailbox, uids: UIDSet, evaluation: Evaluation, stage: int, progress: Progress
) -> tuple[list[array[int]], UIDSet]:
    """The messages that match for certain, and those that the next stage is to decide."""

    # Contents are looked at one by one, so that a store can break off between them and let others have their turn.
    pace = 1 if Column.CONTENT in evaluation.stages[stage] else sys.maxsize

    def decide(rows: Sequence[Row]) -> Iterator[tuple[array[int], UIDSet, int]]:
        for start in range(0, len(rows), pace):
            some = rows[start : start + pace]
            yes, perhaps = array("I"), array("I")
            for row in some:
                verdict = evaluation.decide(row, stage)
                if verdict is not False:
                    (perhaps if verdict is None else yes).append(row[-1])
            yield yes, UIDSet.fromUIDs(perhaps), len(some) - len(perhaps)

    found: list[array[int]] = []
    undecided: list[tuple[int, int]] = []

    def take(pages: Iterable[tuple[array[int], UIDSet, int]]) -> None:
        for yes, perhaps, count in pages:
            found.append(yes)
            undecided.extend(perhaps.ranges)
            progress.done += count

    await session.walk(read(mailbox, uids, evaluation.stages[stage], decide), take)
    return found, UIDSet.fromRanges(undecided)


def read(
    mailbox: IMailbox, uids: UIDSet, columns: Sequence[Column], render: Callable[[Sequence[Row]], Iterable[T]]
) -> AsyncIterator[list[T]]:
    """What `render` makes of messages, whose UID is the last column."""
    return mailbox.rows(uids, columns if columns[-1:] == (Column.UID,) else (*columns, Column.UID), render)
