"""The content of a message on its way in and out: DATA's dot-stuffing, BDAT's counting, and what is wrong with the octets.

Pure, linear, and split-invariant: the same content, facts and rest come out whether the octets arrive whole, one by one or cut
anywhere. Nothing loops over lines: every search runs over a whole chunk, and no chunk is kept (at most four octets are held
back).

**Only CR LF . CR LF ends DATA** (RFC 5321 §4.1.1.4). Whatever else some server takes for an end (LF.LF, CR.CR, CRLF.LF …) is
content here, and content with a bare CR or LF is refused by the session, so that no message can hide a second one from us or
from whoever gets it next.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

_END = b"\r\n.\r\n"
_STARTS_OF_END = tuple(_END[:length] for length in (4, 3, 2, 1))

Take = Callable[[bytes], object]


@define(eq=False)
class Inspection:
    """What content holds, told once all of it went through `feed`.

    :ivar longestLine: the bound on a line: so many octets and a CR before its LF.
    :ivar size: octets so far.
    :ivar headerSize: octets up to and with the empty line that ends the header; -1 where no empty line came.
    """

    longestLine: int
    size: int = field(init=False, default=0)
    hasNUL: bool = field(init=False, default=False)
    isLineTooLong: bool = field(init=False, default=False)
    headerSize: int = field(init=False, default=-1)
    _carriageReturns: int = field(init=False, default=0)
    _lineFeeds: int = field(init=False, default=0)
    _pairs: int = field(init=False, default=0)
    _tail: bytes = field(init=False, default=b"\r\n")  # the last octets seen; at first, the line end before the content
    _lineSize: int = field(init=False, default=0)

    @property
    def hasBareEnds(self) -> bool:
        """Whether there is a CR without LF or a LF without CR (RFC 5321 §2.3.8)."""
        return not self._carriageReturns == self._lineFeeds == self._pairs

    def feed(self, piece: bytes) -> None:
        """Look at the next octets."""
        self._carriageReturns += piece.count(b"\r")
        self._lineFeeds += piece.count(b"\n")
        self._pairs += piece.count(b"\r\n") + (self._tail.endswith(b"\r") and piece.startswith(b"\n"))
        self.hasNUL = self.hasNUL or b"\0" in piece
        if self.headerSize < 0:
            at = (self._tail + piece).find(b"\r\n\r\n")
            if at >= 0:
                self.headerSize = self.size - len(self._tail) + at + 4
        if not self.isLineTooLong:
            self._measure(piece)
        self._tail = piece[-3:] if len(piece) > 2 else (self._tail + piece)[-3:]
        self.size += len(piece)

    def _measure(self, piece: bytes) -> None:
        """Look for a line over the bound, jumping from a line's start to the last LF within reach of it: two jumps for each
        length of the bound, however short the lines."""
        reach = self.longestLine + 2
        length = len(piece)
        start = -self._lineSize
        while start + reach <= length:
            at = piece.rfind(b"\n", max(start, 0), start + reach)
            if at < 0:
                self.isLineTooLong = True
                return
            start = at + 1
        at = piece.rfind(b"\n", max(start, 0))
        self._lineSize = length - (at + 1 if at >= 0 else start)


class DataDecoder:
    """Takes the dot-stuffing out of what follows DATA, and finds its end (RFC 5321 §4.5.2).

    :param take: is called with each piece of the content, never with an empty one.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        # The CRLF of the DATA line is the line end before the first line: it is no part of the content.
        self._held = b"\r\n"
        self._isFirst = True

    def feed(self, data: bytes) -> bytes | None:
        """Take the next octets. Returns None while the end has not come, then what follows it (perhaps nothing)."""
        data = self._held + data
        end = data.find(_END)
        if end >= 0:
            self._pass(data[: end + 2])
            return data[end + 5 :]
        held = next((start for start in _STARTS_OF_END if data.endswith(start)), b"")
        self._pass(data[: len(data) - len(held)])
        self._held = held
        return None

    def _pass(self, piece: bytes) -> None:
        """Hand on octets whose line starts are all in sight."""
        if not piece:
            return
        piece = piece.replace(b"\r\n.", b"\r\n")
        if self._isFirst:
            self._isFirst = False
            piece = piece[2:]
        if piece:
            self._take(piece)


class ChunkCounter:
    """Takes the octets of one BDAT chunk (RFC 3030 §2)."""

    def __init__(self, take: Take, size: int) -> None:
        self._take = take
        self._left = size

    def feed(self, data: bytes) -> bytes | None:
        """Take the next octets. Returns None while the chunk is not complete, then what follows it (perhaps nothing)."""
        piece = data[: self._left]
        self._left -= len(piece)
        if piece:
            self._take(piece)
        return None if self._left else data[len(piece) :]


class Normalizer:
    """Makes every bare CR and bare LF a CRLF, for listeners that are told to mend such mail and not to refuse it.

    :param take: is called with each mended piece, never with an empty one.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._held = b""

    def feed(self, piece: bytes) -> None:
        """Take the next octets; a CR at their end waits for what follows it."""
        piece = self._held + piece
        self._held = b"\r" if piece.endswith(b"\r") else b""
        self._pass(piece.removesuffix(b"\r"))

    def finish(self) -> None:
        """There is no more."""
        self._pass(self._held)
        self._held = b""

    def _pass(self, piece: bytes) -> None:
        if piece:
            self._take(piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n"))


class DataEncoder:
    """Puts dot-stuffing into a message that is sent after DATA; right at every cut between two pieces."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, piece: bytes) -> bytes:
        """The wire form of the next octets of the content."""
        joined = self._tail + piece
        wire = joined.replace(b"\r\n.", b"\r\n..")[len(self._tail) :]
        self._tail = joined[-2:]
        return wire

    def finish(self) -> bytes:
        """What ends the content: the dot line, after a CRLF where the content had none at its end (RFC 5321 §4.1.1.4)."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
