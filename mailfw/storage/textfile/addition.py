"""Entries on their way to the end of a text file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from mailfw.storage.textfile.formats import Format, Shape, encode, shape
from mailfw.storage.textfile.reader import Span
from mailfw.storage.textfile.stamp import Stamp
from mailfw.values import Entry, MessageSource, NewMessage

_HEADER_OCTETS = 16384
_LINE_OCTETS = 1000
_SENDER = re.compile(r"[!-~]{1,256}")
_NOBODY = "MAILER-DAEMON"


@frozen
class _Addend:
    head: bytes
    source: MessageSource
    shape: Shape
    entry: Entry


class Addition:
    """The octets that put some messages behind what a file holds.

    :param account: whose file it is, for the format that says so.
    :param end: the file's size.
    :param tail: its last octets.
    :ivar starts: where each entry begins, counted from `end`.
    :ivar bridge: what completes an entry that another program, or a person, left without an empty line.
    """

    def __init__(self, format: Format, account: str, firstDomain: str, end: int, tail: bytes) -> None:
        self._format = format
        self._firstDomain = firstDomain
        self._recipient = _printable(self._friendly(account))
        self._end = end
        self._addends: list[_Addend] = []
        self.bridge = b"" if not tail or tail.endswith((b"\n\n", b"\n\r\n")) else b"\n" if tail.endswith(b"\n") else b"\n\n"
        self.starts: list[int] = []
        self._length = len(self.bridge)

    def add(self, message: NewMessage, date: float, key: str, number: int) -> None:
        """One more entry. `number` is noted in it, unless it is 0."""
        source = message.source
        looks = shape(source.chunks())
        stamp = Stamp(date, looks.isExact, looks.isUnended, number)
        head = self._format.newHead(self._friendly(_sender(source)), self._recipient, stamp)
        start = self._length
        self._length += len(head) + sum(map(len, encode(source.chunks(), self._format.mark, looks)))
        self.starts.append(start)
        span = Span(self._end + start, self._end + self._length)
        entry = Entry(key, str(span), None, stamp.notedDate, source.size)
        self._addends.append(_Addend(head, source, looks, entry))

    @property
    def entries(self) -> list[Entry]:
        """The entries, as a scan will find them."""
        return [addend.entry for addend in self._addends]

    def parts(self) -> Iterator[bytes]:
        """All octets; the same each time."""
        yield self.bridge
        for addend in self._addends:
            yield addend.head
            yield from encode(addend.source.chunks(), self._format.mark, addend.shape)

    def _friendly(self, address: str) -> str:
        """An address as the textbook writes it: without the domain, when that is the first."""
        return address.removesuffix(f"@{self._firstDomain}") if self._format.isFriendly else address


def _sender(source: MessageSource) -> str:
    """Who sent a message: its Return-Path, or else the first address in its From."""
    header = _header(source)
    for name in (b"return-path:", b"from:"):
        for line in header:
            if line[: len(name)].lower() == name:
                words = line[len(name) :].decode("latin-1").replace("<", " ").replace(">", " ").replace(",", " ").split()
                address = next((word for word in words if "@" in word), "")
                return _printable(address)
    return _NOBODY


def _printable(name: str) -> str:
    """A name that can stand in a line of words."""
    return name if _SENDER.fullmatch(name) else _NOBODY


def _header(source: MessageSource) -> list[bytes]:
    """The first lines of a message, as many as a sender may be found in."""
    front = b""
    for chunk in source.chunks(_HEADER_OCTETS):
        front += chunk[: _HEADER_OCTETS - len(front)]
        if len(front) == _HEADER_OCTETS:
            break
    lines = front.split(b"\n")
    end = next((at for at, line in enumerate(lines) if not line.strip()), len(lines))
    return [line[:_LINE_OCTETS] for line in lines[:end]]
