"""Sort keys (RFC 5256 §3 SORT, RFC 5957 DISPLAYFROM and DISPLAYTO), made of what stores keep about messages: no header is
read.

`compile` makes an `Order`, which turns rows into tuples that compare as the messages are to be arranged, UIDs last: so that no
two are equal, and pages sorted apart, where they are read, merge into the whole. Texts compare by `text.fold`, code point by
code point (RFC 5051, nearly); what is absent is the empty text, which comes first. Of a text the first `_LENGTH` characters
count, so that nobody's subject fills the memory.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import frozen

from mailfw.message import date, envelope, words
from mailfw.message.address import Mailbox
from mailfw.message.envelope import Item
from mailfw.message.search import Row
from mailfw.message.subject import comparable
from mailfw.message.text import fold
from mailfw.values import Column

Key = tuple[Any, ...]  # texts and numbers, at each place of one type, the UID last

_LENGTH = 1000
_COMPLEMENT = bytes(range(255, -1, -1))


class Kind(enum.Enum):
    """What messages can be sorted by."""

    ARRIVAL = "ARRIVAL"  # the internal date
    CC = "CC"  # the local part of the first address
    DATE = "DATE"  # the Date field in UTC, else the internal date (RFC 5256 §2.2)
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"  # the base subject (RFC 5256 §2.1)
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"  # the first address as people see it (RFC 5957 §3)
    DISPLAYTO = "DISPLAYTO"
    RELEVANCY = "RELEVANCY"  # how well a message fits, the best first (RFC 6203 §6)


@frozen
class SortKey:
    """`sort-criterion = ["REVERSE" SP] sort-key`, RFC 5256 §5."""

    kind: Kind
    isReverse: bool = False


_ITEM = {
    Kind.CC: Item.CC,
    Kind.DATE: Item.DATE,
    Kind.FROM: Item.FROM,
    Kind.SUBJECT: Item.SUBJECT,
    Kind.TO: Item.TO,
    Kind.DISPLAYFROM: Item.FROM,
    Kind.DISPLAYTO: Item.TO,
}
_COLUMNS = {
    Kind.ARRIVAL: (Column.INTERNAL_DATE,),
    Kind.DATE: (Column.INTERNAL_DATE, Column.ENVELOPE),
    Kind.SIZE: (Column.SIZE,),
    Kind.RELEVANCY: (),
}
_Value = Callable[[Row, Sequence[bytes]], Any]


@frozen(eq=False)
class Order:
    """An order of messages, to be used from any thread.

    :ivar columns: what a row must hold, in this order.
    """

    columns: tuple[Column, ...]
    _values: tuple[_Value, ...]
    _envelope: int
    _lastItem: Item

    def sortKey(self, row: Row) -> Key:
        """What compares as the message is to be arranged among the others: less comes first."""
        items = envelope.items(row[self._envelope], self._lastItem) if self._envelope >= 0 else ()
        return (*[value(row, items) for value in self._values], row[-1])

    def page(self, rows: Iterable[Row]) -> list[Key]:
        """The keys of some messages in order, for `merged`."""
        return sorted(map(self.sortKey, rows))


def compile(keys: Sequence[SortKey], scores: Mapping[int, int] = MappingProxyType({})) -> Order:
    """The order that sorting by these keys gives, the first being the most significant. What all of them leave equal is in the
    order of the UIDs, and so of the sequence numbers, REVERSE or not. A kind named again decides nothing any more.

    :param scores: of messages by UID, for RELEVANCY.
    """
    chosen: dict[Kind, SortKey] = {}
    for key in keys:
        chosen.setdefault(key.kind, key)
    needed = {column for kind in chosen for column in _COLUMNS.get(kind, (Column.ENVELOPE,))}
    columns = (*sorted(needed, key=lambda column: column.value), Column.UID)
    at = {column: place for place, column in enumerate(columns)}
    lastItem = max((_ITEM[kind] for kind in chosen if kind in _ITEM), default=Item.DATE)
    return Order(columns, tuple(_value(key, at, scores) for key in chosen.values()), at.get(Column.ENVELOPE, -1), lastItem)


def merged(pages: Iterable[list[Key]]) -> Iterator[int]:
    """The UIDs of sorted pages in the order of all. A step at a time: a sort of everything would hold the interpreter as long
    as it takes."""
    return (key[-1] for key in heapq.merge(*pages))


def sentDate(item: bytes, internalDate: float) -> int:
    """The moment of an ENVELOPE's date item, else the internal date: seconds since the epoch, UTC (RFC 5256 §2.2)."""
    value = envelope.text(item)
    sent = date.timestamp(value) if value else None
    return int(internalDate if sent is None else sent)


def _value(key: SortKey, at: dict[Column, int], scores: Mapping[int, int]) -> _Value:
    kind = key.kind
    if kind is Kind.RELEVANCY:
        direction = 1 if key.isReverse else -1
        return lambda row, items: direction * scores.get(row[-1], 0)
    if kind in (Kind.ARRIVAL, Kind.DATE, Kind.SIZE):
        sign = -1 if key.isReverse else 1
        place = at[Column.SIZE if kind is Kind.SIZE else Column.INTERNAL_DATE]
        if kind is Kind.DATE:
            return lambda row, items: sign * sentDate(items[Item.DATE], row[place])
        return lambda row, items: sign * int(row[place])
    item = _ITEM[kind]
    read = _subject if kind is Kind.SUBJECT else _display if kind in (Kind.DISPLAYFROM, Kind.DISPLAYTO) else _local
    if key.isReverse:
        return lambda row, items: _descending(read(items[item]))
    return lambda row, items: read(items[item])


def _subject(item: bytes) -> str:
    return comparable(envelope.text(item) or b"").text[:_LENGTH]


def _local(item: bytes) -> str:
    """addr-mailbox of the first address, which of a group is its name."""
    first = envelope.firstAddress(item)
    if first is None:
        return ""
    return _folded(first.local if isinstance(first, Mailbox) else first.name)


def _display(item: bytes) -> str:
    """The display name, else the address; of a group its name (RFC 5957 §3)."""
    first = envelope.firstAddress(item)
    if first is None:
        return ""
    if isinstance(first, Mailbox):
        return _folded(first.name or b"") or _folded(first.address)
    return _folded(first.name)


def _folded(value: bytes) -> str:
    return fold(words.decode(value[: 4 * _LENGTH]))[:_LENGTH].replace("\0", "")


def _descending(text: str) -> bytes:
    """Octets that compare the other way round: as UTF-8 the text would compare as it is, complemented it goes backwards, and a
    text comes after those that it begins."""
    return text.encode("utf-8", "surrogatepass").translate(_COMPLEMENT) + b"\xff"
