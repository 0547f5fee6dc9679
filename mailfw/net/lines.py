"""Input cut into lines, or given whole to whoever wants octets. Pure, and linear however the input is split.

What is kept of a line is bounded by the limits of `next`; of one that is longer, its ends are kept.
"""

from __future__ import annotations

from attrs import frozen

LINE_ENDS = 64
"""Octets of either end of a line that was too long: its tag, and whether a literal follows."""


@frozen
class LongLine:
    """A line over the limit.

    :ivar start: :ivar end: what it begins and ends with.
    :ivar size: octets. One that is over the tolerance, too, may not have ended yet.
    """

    start: bytes
    end: bytes
    size: int


class Lines:
    """Input that nobody has looked at yet.

    :ivar isCRLF: the last line ended in CRLF, not in LF alone.
    :ivar partialSize: octets that came of a line whose end has not come.
    """

    __slots__ = ("_at", "_buffer", "_partial", "isCRLF", "partialSize")

    def __init__(self) -> None:
        self.isCRLF = True
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._buffer = b""
        self._at = 0  # where in the buffer the next line starts
        self._partial: list[bytes] = []  # the start of a line whose end has not come
        self.partialSize = 0

    @property
    def hasMore(self) -> bool:
        """Whether there are octets for a further step."""
        return self._at < len(self._buffer)

    @property
    def isEmpty(self) -> bool:
        """Whether there is nothing at all, the start of a line not either."""
        return not self._partial and self._at >= len(self._buffer)

    def feed(self, data: bytes) -> None:
        """More came."""
        self._buffer = data if self._at >= len(self._buffer) else self._buffer[self._at :] + data
        self._at = 0

    def take(self) -> bytes:
        """All that is there, at the start of a line."""
        data = self._buffer[self._at :] if self._at else self._buffer
        self._buffer, self._at = b"", 0
        return data

    def next(self, limit: int, tolerance: int = 0) -> bytes | LongLine | None:
        """The next line, without its end; None: its end has not come.

        :param limit: octets that it may have, its end not counted.
        :param tolerance: octets of a longer one that are read past to its end.
        """
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            return self._keep(limit, tolerance)
        line = self._buffer[self._at : end]
        self._at = end + 1
        size = self.partialSize + len(line)
        if self._partial:
            line = b"".join([*self._partial, line])
            self._partial, self.partialSize = [], 0
        self.isCRLF = line.endswith(b"\r")
        if self.isCRLF:
            line, size = line[:-1], size - 1
        return line if size <= limit else _long(line, size)

    def _keep(self, limit: int, tolerance: int) -> LongLine | None:
        """The end has not come: what there is, is the start; of one that is too long already, the ends."""
        piece = self.take()
        self._partial.append(piece)
        self.partialSize += len(piece)
        if self.partialSize <= limit + 1:  # a CR may be part of the end
            return None
        long = _long(b"".join(self._partial), self.partialSize)
        if self.partialSize > tolerance + 1:
            return long
        self._partial = [long.start, long.end]
        return None


def _long(line: bytes, size: int) -> LongLine:
    return LongLine(line[:LINE_ENDS], line[-LINE_ENDS:], size)
