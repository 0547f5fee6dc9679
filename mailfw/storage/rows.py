"""Reading messages in bulk: keyset pages, only the columns that were asked for, rendered where they are read.

A `Reading` is one call of `IMailbox.rows`. Each `step` runs in a reader thread, yields what fits one crossing to the reactor, and
leaves nothing open in the database: the next step starts behind the last UID.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Generic, TypeVar

from attrs import frozen

from mailfw.interfaces import IContent, Row
from mailfw.sql import Connection
from mailfw.storage.changes import counters
from mailfw.storage.content import digestOf
from mailfw.storage.flags import decode
from mailfw.storage.summary import FORMAT_VERSION, Derived, derive, preview
from mailfw.storage.transaction import clipped
from mailfw.values import Column, UIDSet

T = TypeVar("T")
Raw = tuple[Any, ...]  # a row of the database, its columns chosen by the query
Loader = Callable[[Callable[[Connection], list[Raw]]], list[Raw]]
Stale = tuple[int, Derived, str]

PAGE = 500
CROSSING = 256 * 1024
ITEM = 500  # what an item counts that is not bytes

_CONTENT = (Column.CONTENT, Column.HEADER, Column.PREVIEW)
_DERIVED = {
    Column.ENVELOPE: "e.envelope",
    Column.BODY_STRUCTURE: "e.structure",
    Column.HEADER: "e.header_size",
    Column.REFERENCES: "e.refs",
}
_PLAIN = {
    Column.UID: ("m.uid",),
    Column.FLAGS: ("m.flags", "m.keywords"),
    Column.MODSEQ: ("m.modseq",),
    Column.INTERNAL_DATE: ("m.internal_date",),
    Column.SAVE_DATE: ("m.save_date",),
    Column.SIZE: ("m.size",),
    Column.EMAIL_ID: ("m.email", "e.digest"),
    Column.THREAD_ID: ("e.thread", "m.email"),
    Column.UIDL: ("m.mailbox", "m.uid"),
}


@frozen
class Source:
    """What a kind of store adds to reading.

    :ivar columns: of the database, that `content` wants.
    :ivar content: makes the handle of a message from these columns.
    :ivar uidlColumns: that `uidl` wants.
    :ivar joins: FROM clauses that these need.
    :ivar derives: EMAIL_ID and THREAD_ID too come from looking into the message.
    """

    columns: tuple[str, ...]
    content: Callable[..., IContent]
    uidlColumns: tuple[str, ...]
    uidl: Callable[..., str]
    joins: str = ""
    derives: bool = False


@frozen
class Query:
    """A page's statement, and how a row of it becomes the caller's.

    :ivar isDerived: `format` is the third column, and rows of another version are to be looked into.
    """

    sql: str
    fields: tuple[str, ...]
    isDerived: bool
    needsContent: bool

    def at(self, field: str) -> int:
        """The place of a database column."""
        return self.fields.index(field)


@lru_cache(1000)
def query(
    columns: tuple[Column, ...], contentColumns: tuple[str, ...], uidlColumns: tuple[str, ...], joins: str, derives: bool
) -> Query:
    """The statement for these columns; it reads and joins no more than they need."""
    isDerived = any(column in _DERIVED for column in columns) or (
        derives and (Column.EMAIL_ID in columns or Column.THREAD_ID in columns)
    )
    needsContent = any(column in _CONTENT for column in columns)
    fields = ["m.uid", "m.email"]
    if isDerived:
        fields += ["e.format", *(_DERIVED[column] for column in columns if column in _DERIVED)]
    for column in columns:
        fields += uidlColumns if column is Column.UIDL else _PLAIN.get(column, ())
    if needsContent or isDerived:
        fields += contentColumns
    chosen = tuple(dict.fromkeys(fields))
    email = " JOIN email e ON e.id = m.email" if any(field.startswith("e.") for field in chosen) else ""
    joined = joins if any(field.startswith("f.") for field in chosen) else ""
    sql = (
        f"SELECT {', '.join(chosen)} FROM message m{email}{joined} "
        f"WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid LIMIT ?"
    )
    return Query(sql, chosen, isDerived, needsContent)


class Reading(Generic[T]):
    """One walk over some messages of a mailbox.

    :ivar stale: emails that had to be looked into since the last step: their key, what was derived, their content's digest.
    """

    def __init__(
        self,
        source: Source,
        mailbox: int,
        uids: UIDSet,
        columns: Sequence[Column],
        render: Callable[[Sequence[Row]], Iterable[T]],
    ) -> None:
        self._source = source
        self._mailbox = mailbox
        self._uids = uids
        self._render = render
        self._query = query(tuple(columns), source.columns, source.uidlColumns, source.joins, source.derives)
        self._makers = [self._maker(column) for column in columns]
        self._next = 0
        self._items: Iterator[T] | None = None
        self.isDone = not uids
        self.stale: list[Stale] = []

    @property
    def needsFiles(self) -> bool:
        """Whether steps may look into messages."""
        return self._query.needsContent or self._query.isDerived

    def step(self, load: Loader, keep: Callable[[list[Stale]], None] | None = None) -> list[T]:
        """The next items, about `CROSSING` octets of them; `isDone` when there are no more.

        :param load: calls a function with a connection.
        :param keep: is given the stale at once, before anything is rendered, and the page is then read anew.
        :raises UIDValidityChanged: the mailbox was deleted.
        """
        items: list[T] = []
        octets = 0
        while not self.isDone and octets < CROSSING:
            if self._items is None:
                page = self._page(load, keep)
                if not page:
                    self.isDone = True
                    break
                self._items = iter(self._render(page))
            for item in self._items:
                items.append(item)
                octets += len(item) if isinstance(item, (bytes, bytearray)) else ITEM
                if octets >= CROSSING:
                    return items
            self._items = None
        return items

    def _page(self, load: Loader, keep: Callable[[list[Stale]], None] | None) -> list[Row]:
        first = self._next
        raws = load(self._load)
        if self._query.isDerived:
            at = self._query.at("e.format")
            if any(raw[at] != FORMAT_VERSION for raw in raws):
                fresh = [raw if raw[at] == FORMAT_VERSION else self._fresh(raw) for raw in raws]
                if keep is not None:
                    keep(self.stale)
                    self.stale = []
                    self._next = first
                    fresh = load(self._load)
                raws = fresh
        makers = self._makers
        return [tuple([make(raw) for make in makers]) for raw in raws]

    def _load(self, connection: Connection) -> list[Raw]:
        counters(connection, self._mailbox)
        raws: list[Raw] = []
        uids = self._rest()
        for low, high in clipped(connection, self._mailbox, uids) if uids else ():
            isSifted = len(uids.ranges) > 1 and (low, high) == (uids.first, uids.last)
            at = low
            while at <= high and len(raws) < PAGE:
                found = connection.execute(self._query.sql, (self._mailbox, at, high, PAGE - len(raws))).fetchall()
                raws += [raw for raw in found if raw[0] in uids] if isSifted else found
                if not found:
                    break
                at = found[-1][0] + 1
            if len(raws) >= PAGE:
                break
        if raws:
            self._next = raws[-1][0] + 1
        return raws

    def _rest(self) -> UIDSet:
        """The UIDs from the next one on."""
        ranges = self._uids.ranges
        at = bisect_left(ranges, self._next, key=itemgetter(1))
        if at == len(ranges):
            return UIDSet()
        return UIDSet(((max(ranges[at][0], self._next), ranges[at][1]), *ranges[at + 1 :]))

    def _fresh(self, raw: Raw) -> Raw:
        """The row as it would be, had the message been looked into by this version of the message room."""
        content = self._content(raw).read()
        derived = derive(content)
        self.stale.append((raw[1], derived, digestOf(content) if self._source.derives else ""))
        new = {
            "e.format": derived.format,
            "e.envelope": derived.envelope,
            "e.structure": derived.structure,
            "e.header_size": derived.headerSize,
            "e.refs": derived.references,
        }
        return tuple(new.get(field, value) for field, value in zip(self._query.fields, raw, strict=True))

    def _content(self, raw: Raw) -> IContent:
        return self._source.content(*(raw[self._query.at(field)] for field in self._source.columns))

    def _maker(self, column: Column) -> Callable[[Raw], Any]:
        at = self._query.at
        if column is Column.FLAGS:
            bits, keywords = at("m.flags"), at("m.keywords")
            return lambda raw: decode(raw[bits], raw[keywords])
        if column is Column.EMAIL_ID:
            email, digest = at("m.email"), at("e.digest")
            return lambda raw: f"S{raw[digest]}" if raw[digest] else f"M{raw[email]:x}"
        if column is Column.THREAD_ID:
            thread, own = at("e.thread"), at("m.email")
            return lambda raw: f"T{raw[thread] or raw[own]:x}"
        if column is Column.UIDL:
            uidl, places = self._source.uidl, [at(field) for field in self._source.uidlColumns]
            return lambda raw: uidl(*[raw[place] for place in places])
        if column is Column.REFERENCES:
            references = at("e.refs")
            return lambda raw: tuple(raw[references].split("\n")) if raw[references] else ()
        if column is Column.HEADER:
            size = at("e.header_size")
            return lambda raw: self._content(raw).read(0, raw[size])
        if column is Column.PREVIEW:
            return lambda raw: preview(self._content(raw).read())
        if column is Column.CONTENT:
            return self._content
        return itemgetter(at(_DERIVED.get(column) or _PLAIN[column][0]))
