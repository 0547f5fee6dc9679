"""Multi-line responses: octets to dot-stuffed octets and back, in pieces of any size.

Pure: no I/O, no Twisted. Invariants:

- What comes out does not depend on where the input was cut.
- Work is linear in the octets and done by whole-buffer operations; the state between pieces is a few octets.
- A client that takes a bare LF for the end of a line cannot be made to see the end of the response inside a message:
  every dot after an LF is doubled, whether or not a CR stands before it.
"""

from __future__ import annotations

TERMINATOR = b".\r\n"


class Stuffer:
    """Makes a message into the body of a multi-line response (RFC 1939 §3).

    >>> stuffer = Stuffer()
    >>> stuffer.feed(b"one\\r\\n.two\\r\\n") + stuffer.end()
    b'one\\r\\n..two\\r\\n.\\r\\n'
    """

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, data: bytes) -> bytes:
        """The next piece of the message, dots doubled where a line begins with one."""
        if not data:
            return b""
        stuffed = data.replace(b"\n.", b"\n..")
        if data.startswith(b".") and self._tail.endswith(b"\n"):
            stuffed = b"." + stuffed
        self._tail = (self._tail + data)[-2:] if len(data) < 2 else data[-2:]
        return stuffed

    def end(self) -> bytes:
        """What ends the response; first the end of the last line, when the message has none."""
        return TERMINATOR if self._tail == b"\r\n" else b"\r\n" + TERMINATOR


class Unstuffer:
    """Gives back the message from the body of a multi-line response, as `Stuffer` made it.

    A sink: `feed` returns None while it wants more, and at the end of the response what came after it. The message
    gathers until it is taken.
    """

    def __init__(self) -> None:
        # The line before the response stands in for a first line end, and is left out again.
        self._held = b"\r\n"
        self._skipped = 2
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        """Take in the next octets of the connection."""
        data = self._held + data
        end = data.find(b"\r\n" + TERMINATOR)
        if end >= 0:
            self._emit(data[: end + 2])
            return data[end + 2 + len(TERMINATOR) :]
        self._held = next((mark for mark in _UNDECIDED if data.endswith(mark)), b"")
        self._emit(data[: len(data) - len(self._held)])
        return None

    def take(self) -> bytes:
        """What was decoded since the last call."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def _emit(self, data: bytes) -> None:
        if data:
            self._chunks.append(data.replace(b"\n.", b"\n")[self._skipped :])
            self._skipped = 0


_UNDECIDED = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r", b"\n")
"""Where a piece ends so, the next decides whether that was the end of the response or a doubled dot; longest first."""


class Top:
    """Cuts a message after its header, the empty line and so many lines of its body (RFC 1939 §7, TOP).

    :ivar isDone: no further octet of the message is wanted.
    """

    def __init__(self, lines: int) -> None:
        self.isDone = False
        self._lines = lines
        self._inHeader = True
        self._tail = b"\n"

    def feed(self, data: bytes) -> bytes:
        """The next piece of the message, cut where enough has come."""
        start = self._endOfHeader(data) if self._inHeader else 0
        if self._inHeader:
            return data
        end = self._endOfLines(data, start)
        self.isDone = self._lines == 0
        return data[:end]

    def _endOfHeader(self, data: bytes) -> int:
        """Index in `data` after the empty line that ends the header; a bare LF ends a line too."""
        joined = self._tail + data
        ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := joined.find(mark)) >= 0]
        self._inHeader = not ends
        if ends:
            return min(ends) - len(self._tail)
        self._tail = joined[-2:]
        return 0

    def _endOfLines(self, data: bytes, start: int) -> int:
        """Index in `data` after the last line wanted; counts down those that are there."""
        there = data.count(b"\n", start)
        if there < self._lines:
            self._lines -= there
            return len(data)
        end = start
        for _ in range(self._lines):
            end = data.index(b"\n", end) + 1
        self._lines = 0
        return end
