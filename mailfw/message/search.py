"""Evaluates search criteria on messages: what is cheap to know is asked first, and content only when nothing else decides.

`compile` turns a criterion into steps in a row, each a test with the step that follows when it holds and when it does not: so
evaluation never recurses, and stops at the first step that decides. It can be run in stages: `decide` with the columns that cost
nothing to read, then with the header for those messages that this left open, and with their content for what is left then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from attrs import frozen

from mailfw.errors import LimitExceeded
from mailfw.message import criteria, fields, mime
from mailfw.message import date as dates
from mailfw.message.criteria import Criterion, Dating
from mailfw.message.envelope import dateOf
from mailfw.message.fuzzy import Word
from mailfw.message.text import Needle
from mailfw.values import Column, canonicalFlag

MAX_DEPTH = 100

Row = Sequence[Any]  # of each column its own type (values.Column)

_TRUE, _FALSE = -1, -2
_COST = {Column.ENVELOPE: 1, Column.FIELDS: 1, Column.HEADER: 2, Column.CONTENT: 3}
_AT_HAND = 1  # what the first stage may cost; the others look at the header, and at the content
_DATE_COLUMN = {
    Dating.ARRIVED: Column.INTERNAL_DATE,
    Dating.SAVED: Column.SAVE_DATE,
    Dating.SENT: Column.ENVELOPE,
}


class _Message:
    """A row under evaluation, and what was made of it so far."""

    __slots__ = ("_content", "_root", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self._content: bytes | None = None
        self._root: mime.Part | None = None

    def content(self, index: int) -> tuple[mime.Part, bytes]:
        """The message scanned, and its octets; read once."""
        if self._content is None or self._root is None:
            self._content = self.row[index].read()
            self._root = mime.scan(self._content)
        return self._root, self._content


_Test = Callable[[_Message], bool]


@frozen
class _Step:
    test: _Test
    cost: int
    whenTrue: int
    whenFalse: int


@frozen(eq=False)
class Search:
    """A criterion ready to be evaluated, from any thread, any number of times.

    :ivar columns: what a row must hold, in this order, to be evaluated whole.
    :ivar stages: the first of them, as many as each stage needs; the last stage needs all.
    """

    columns: tuple[Column, ...]
    stages: tuple[tuple[Column, ...], ...]
    _limits: tuple[int, ...]
    _steps: tuple[_Step, ...]
    _entry: int

    def matches(self, row: Row) -> bool:
        """Whether a message matches. Reads its content if nothing else decides: blocking."""
        message = _Message(row)
        at = self._entry
        while at >= 0:
            step = self._steps[at]
            at = step.whenTrue if step.test(message) else step.whenFalse
        return at == _TRUE

    def decide(self, row: Row, stage: int) -> bool | None:
        """Whether a message matches, from the columns of a stage alone; None where these do not tell. Of the last stage it is
        `matches`."""
        limit = self._limits[stage]
        message = _Message(row)
        at = self._entry
        while at >= 0:
            step = self._steps[at]
            if step.cost > limit:
                return None
            at = step.whenTrue if step.test(message) else step.whenFalse
        return at == _TRUE


def compile(criterion: Criterion, now: float = 0.0) -> Search:
    """Make a criterion ready.

    :param now: seconds since the epoch, UTC, for Younger and Older.
    :raises LimitExceeded: it is nested deeper than `MAX_DEPTH`.
    """
    columns = _columns(criterion)
    compiler = _Compiler({column: index for index, column in enumerate(columns)}, now)
    entry = compiler.place(criterion, _TRUE, _FALSE)
    stages = _stages(columns)
    return Search(columns, tuple(stages), tuple(stages.values()), tuple(compiler.steps), entry)


def _stages(columns: tuple[Column, ...]) -> dict[tuple[Column, ...], int]:
    """The columns of each stage, and what a step of it may cost; stages that would look at nothing more than the one before, or
    at nothing at all, are left out."""
    limits = sorted({max(_COST.get(column, 0), _AT_HAND) for column in columns}) or [_AT_HAND]
    return {tuple(one for one in columns if _COST.get(one, 0) <= limit): limit for limit in limits}


def _columns(criterion: Criterion) -> tuple[Column, ...]:
    """Every column that a test needs, the cheap ones first. Refuses what is nested too deep, before anything recurses into it."""
    needed: set[Column] = set()
    pending = [(criterion, 0)]
    while pending:
        each, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise LimitExceeded("search criteria are nested too deep")
        if isinstance(each, criteria.And | criteria.Or):
            pending += ((inner, depth + 1) for inner in each.criteria)
        elif isinstance(each, criteria.Not):
            pending.append((each.criterion, depth + 1))
        else:
            needed.update(_columnsOf(each))
    return tuple(sorted(needed, key=lambda column: (_COST.get(column, 0), column.value)))


def _columnsOf(leaf: Criterion) -> tuple[Column, ...]:
    match leaf:
        case criteria.HasFlag():
            return (Column.FLAGS,)
        case criteria.UIDs():
            return (Column.UID,)
        case criteria.Larger() | criteria.Smaller():
            return (Column.SIZE,)
        case criteria.Before() | criteria.On() | criteria.Since():
            return (_DATE_COLUMN[leaf.dating],)
        case criteria.Younger() | criteria.Older():
            return (Column.INTERNAL_DATE,)
        case criteria.ModSeq():
            return (Column.MODSEQ,)
        case criteria.EmailId():
            return (Column.EMAIL_ID,)
        case criteria.ThreadId():
            return (Column.THREAD_ID,)
        case criteria.Header():
            return (Column.FIELDS, Column.HEADER) if _isPacked(leaf) else (Column.HEADER,)
        case criteria.Body() | criteria.Text():
            return (Column.CONTENT,) if leaf.text else ()
    return ()


class _Compiler:
    """Lays criteria out as steps, from the last to the first, so that each knows where to go on."""

    def __init__(self, indexes: dict[Column, int], now: float) -> None:
        self.steps: list[_Step] = []
        self._indexes = indexes
        self._now = now
        self._costs: dict[int, int] = {}

    def place(self, criterion: Criterion, whenTrue: int, whenFalse: int) -> int:
        """The step at which the evaluation of `criterion` begins."""
        match criterion:
            case criteria.All() | criteria.Body(text="") | criteria.Text(text=""):  # nothing is in everything
                return whenTrue
            case criteria.Not():
                return self.place(criterion.criterion, whenFalse, whenTrue)
            case criteria.And():
                entry = whenTrue
                for inner in sorted(criterion.criteria, key=self._cost, reverse=True):
                    entry = self.place(inner, entry, whenFalse)
                return entry
            case criteria.Or():
                entry = whenFalse
                for inner in sorted(criterion.criteria, key=self._cost, reverse=True):
                    entry = self.place(inner, whenTrue, entry)
                return entry
        if isinstance(criterion, criteria.Header) and _isPacked(criterion):
            return self._placePacked(criterion, whenTrue, whenFalse)
        return self._step(self._test(criterion), self._cost(criterion), whenTrue, whenFalse)

    def _placePacked(self, leaf: criteria.Header, whenTrue: int, whenFalse: int) -> int:
        """The fields that are kept decide, and the header where they are not kept."""
        needle, name, at = _needle(leaf), leaf.name.encode("ascii"), self._indexes[Column.FIELDS]
        inHeader = self._step(self._test(leaf), _COST[Column.HEADER], whenTrue, whenFalse)
        inFields = self._step(
            lambda message: fields.isIn(needle, message.row[at], name), _COST[Column.FIELDS], whenTrue, whenFalse
        )
        return self._step(lambda message: message.row[at] is not None, _COST[Column.FIELDS], inFields, inHeader)

    def _step(self, test: _Test, cost: int, whenTrue: int, whenFalse: int) -> int:
        self.steps.append(_Step(test, cost, whenTrue, whenFalse))
        return len(self.steps) - 1

    def _cost(self, criterion: Criterion) -> int:
        """What the dearest test in it costs. Looked up by identity: comparing criteria would look through all of each."""
        cost = self._costs.get(id(criterion))
        if cost is None:
            match criterion:
                case criteria.And() | criteria.Or():
                    cost = max(map(self._cost, criterion.criteria), default=0)
                case criteria.Not():
                    cost = self._cost(criterion.criterion)
                case _:
                    cost = _COST.get(_columnsOf(criterion)[0], 0) if _columnsOf(criterion) else 0
            self._costs[id(criterion)] = cost
        return cost

    def _test(self, leaf: Criterion) -> _Test:
        at = self._indexes[_columnsOf(leaf)[-1]]
        match leaf:
            case criteria.HasFlag():
                return _flagTest(at, leaf.flag)
            case criteria.UIDs():
                return lambda message: message.row[at] in leaf.uids
            case criteria.Larger():
                return lambda message: bool(message.row[at] > leaf.octets)
            case criteria.Smaller():
                return lambda message: bool(message.row[at] < leaf.octets)
            case criteria.Before() | criteria.On() | criteria.Since():
                return _sentTest(at, leaf) if leaf.dating is Dating.SENT else _dayTest(at, leaf)
            case criteria.Younger():
                return lambda message: bool(message.row[at] >= self._now - leaf.seconds)
            case criteria.Older():
                return lambda message: bool(message.row[at] <= self._now - leaf.seconds)
            case criteria.ModSeq():
                return lambda message: bool(message.row[at] >= leaf.modSeq)
            case criteria.EmailId():
                return lambda message: bool(message.row[at] == leaf.emailId)
            case criteria.ThreadId():
                return lambda message: bool(message.row[at] == leaf.threadId)
        return _textTest(at, leaf)


def _flagTest(at: int, flag: str) -> _Test:
    canonical = canonicalFlag(flag)
    if canonical.startswith("\\"):
        return lambda message: canonical in message.row[at]
    keyword = flag.lower()
    return lambda message: keyword in _lowered(message.row[at])


@functools.lru_cache(1024)
def _lowered(flags: frozenset[str]) -> frozenset[str]:
    return frozenset(map(str.lower, flags))


_Dated = criteria.Before | criteria.On | criteria.Since


def _bounds(leaf: _Dated) -> tuple[date, date]:
    """The days that match: from the first, before the second."""
    following = leaf.day + timedelta(days=1) if leaf.day < date.max else date.max
    match leaf:
        case criteria.Before():
            return date.min, leaf.day
        case criteria.On():
            return leaf.day, following
    return leaf.day, date.max


def _dayTest(at: int, leaf: _Dated) -> _Test:
    first, end = (datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in _bounds(leaf))
    return lambda message: bool(first <= message.row[at] < end)


def _sentTest(at: int, leaf: _Dated) -> _Test:
    first, end = _bounds(leaf)

    def isSentThen(message: _Message) -> bool:
        value = dateOf(message.row[at])
        sent = dates.parse(value) if value else None
        return sent is not None and first <= sent.date() < end

    return isSentThen


def _textTest(at: int, leaf: Criterion) -> _Test:
    match leaf:
        case criteria.Header():
            needle, name = _needle(leaf), leaf.name.encode("utf-8")
            return lambda message: needle.isInField(message.row[at], name)
        case criteria.Body():
            needle = _needle(leaf)
            return lambda message: needle.isInBody(*message.content(at))
        case criteria.Text():
            needle = _needle(leaf)
            return lambda message: _isInMessage(needle, *message.content(at))
    raise TypeError(f"{leaf!r} is no criterion")


def _isPacked(leaf: criteria.Header) -> bool:
    return fields.isPacked(leaf.name.encode("utf-8"), Needle.of(leaf.text))


def _needle(leaf: criteria.Header | criteria.Body | criteria.Text) -> Needle:
    return Word.of(leaf.text) if leaf.isFuzzy else Needle.of(leaf.text)


def _isInMessage(needle: Needle, root: mime.Part, content: bytes) -> bool:
    return needle.isInHeader(content[: root.bodyStart]) or needle.isInBody(root, content)
