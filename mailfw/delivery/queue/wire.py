"""The queue's values as JSON and back, for workers in other processes.

A value is the list of its fields in their order, a set a sorted list, a mapping a list of pairs, an enumeration its value. So
both ends have to be of one version, which they tell each other first. Octets of messages are never in it.
"""

from __future__ import annotations

import enum
import functools
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import attrs

from mailfw.delivery.queue.entry import Entry, QueuedMessage, Settlement

T = TypeVar("T")
Unpack = Callable[[Any], Any]


def pack(value: Any) -> Any:
    """What JSON can say, for any value of the queue."""
    return _packer(cast(Any, type(value)))(value)


@functools.cache
def _packer(kind: Any) -> Callable[[Any], Any]:
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
        return lambda value: [pack(getattr(value, name)) for name in names]
    if issubclass(kind, enum.Enum):
        return lambda value: value.value
    if issubclass(kind, frozenset):
        return sorted
    if issubclass(kind, dict):
        return lambda value: [[pack(key), pack(item)] for key, item in value.items()]
    if issubclass(kind, tuple | list):
        return lambda value: [pack(item) for item in value]
    return lambda value: value


def unpack(kind: type[T], packed: Any) -> T:
    """The value of that class that was packed. :raises ValueError, TypeError: it is no such value."""
    return cast(T, _unpacker(cast(Any, kind))(packed))


@functools.cache
def _unpacker(kind: Any) -> Unpack:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (_unpacker(each) for each in arguments if each is not types.NoneType)
        return lambda packed: None if packed is None else inner(packed)
    if origin in (tuple, frozenset):
        item = _unpacker(arguments[0])
        return lambda packed: origin(map(item, packed))
    if attrs.has(kind):
        hints = typing.get_type_hints(kind)
        items = [_unpacker(hints[field.name]) for field in attrs.fields(kind)]
        return lambda packed: kind(*(item(each) for item, each in zip(items, packed, strict=True)))
    return kind if issubclass(kind, enum.Enum) else lambda packed: packed


def packEntries(entries: Sequence[Entry]) -> Any:
    """Entries, with each message that several of them share once."""
    messages = {entry.message.id: entry.message for entry in entries}
    return [pack(list(messages.values())), [[entry.id, entry.message.id, *map(pack, _rest(entry))] for entry in entries]]


def unpackEntries(packed: Any) -> list[Entry]:
    """What `packEntries` packed."""
    messages = {message.id: message for message in (unpack(QueuedMessage, each) for each in packed[0])}
    items = _restUnpackers()
    return [
        Entry(id, messages[message], *(item(each) for item, each in zip(items, rest, strict=True)))
        for id, message, *rest in packed[1]
    ]


@functools.cache
def _restUnpackers() -> list[Unpack]:
    hints = typing.get_type_hints(Entry)
    return [_unpacker(hints[name]) for name in _REST]


_REST = [field.name for field in attrs.fields(Entry)][2:]
"""The fields of an entry behind its number and its message."""


def _rest(entry: Entry) -> list[object]:
    return [getattr(entry, name) for name in _REST]


def packSettlements(settlements: Sequence[Settlement]) -> Any:
    """Settlements, with their entries."""
    words = [field.name for field in attrs.fields(Settlement)][1:]
    entries = packEntries([settled.entry for settled in settlements])
    return [entries, [[getattr(settled, word) for word in words] for settled in settlements]]


def unpackSettlements(packed: Any) -> list[Settlement]:
    """What `packSettlements` packed."""
    return [Settlement(entry, *words) for entry, words in zip(unpackEntries(packed[0]), packed[1], strict=True)]
