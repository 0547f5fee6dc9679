"""The octets of a message, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen


@frozen
class MessageSource:
    """A message's octets before a store has them: a prefix of stamped headers, then bytes in memory or part of a file.

    The file belongs to whoever made the source (a spool), and stays unchanged while the source is used. A source can be
    read many times and from any thread, and can cross to another process of the same machine.

    :ivar data: the content after the prefix, when it is in memory.
    :ivar path: the file that holds it otherwise, from `offset`, `length` octets.
    """

    data: bytes = b""
    prefix: bytes = b""
    path: str = ""
    offset: int = 0
    length: int = 0

    @property
    def size(self) -> int:
        """Octets in all, prefix included."""
        return len(self.prefix) + (self.length if self.path else len(self.data))

    def withPrefix(self, header: bytes) -> MessageSource:
        """The same message with more header lines (each ended by CRLF) before it."""
        return evolve(self, prefix=header + self.prefix)

    def read(self) -> bytes:
        """The whole content at once."""
        if not self.path:
            return self.prefix + self.data if self.prefix else self.data
        return b"".join(self.chunks(self.length or 1))

    def chunks(self, length: int = 65536) -> Iterator[bytes]:
        """The content in pieces of at most `length` octets (the prefix apart)."""
        if self.prefix:
            yield self.prefix
        if not self.path:
            for start in range(0, len(self.data), length):
                yield self.data[start : start + length]
            return
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            rest = self.length
            while rest and (piece := file.read(min(rest, length))):
                rest -= len(piece)
                yield piece
            if rest:
                raise EOFError(f"a spooled message lost {rest} octets")
