"""DEFLATE between a connection and its transport (RFC 1951; RFC 4978).

What comes out is compressed as it is written, and flushed when nothing more is about to be: so the other side can always read all
that was said, and an answer of many lines costs one boundary.

What comes in is inflated by steps of at most as many octets as are wanted: 64 KiB can stand for 64 MiB, and then they wait as
they came. Windows are chosen for many connections that mostly wait: 100 KiB each, where zlib's own choice is 300.
"""

from __future__ import annotations

import zlib

_LEVEL = 4
"""Half a millisecond for 64 KiB of responses, which become a fifth."""

_WINDOW = -13
"""8 KiB back, without header and checksum."""

_MEMORY = 6

_ANY_WINDOW = -zlib.MAX_WBITS

_SPACE, _DELETE = 0x20, 0x7F

_REST_LIMIT = 65536
"""Octets that may come behind the end of the stream before the server has read so far."""


class BrokenStream(Exception):
    """What came in is no DEFLATE stream."""


class Deflate:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self._deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
        self._inflater = zlib.decompressobj(_ANY_WINDOW)
        self._compressed = b""
        self._mayHaveMore = False

    # --- Out -------------------------------------------------------------------------------------------------------

    def compress(self, data: bytes) -> bytes:
        """What can be sent of it so far."""
        return self._deflater.compress(data)

    def flush(self) -> bytes:
        """The rest of everything."""
        return self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """The rest, and the mark that nothing more is compressed."""
        return self._deflater.flush(zlib.Z_FINISH)

    # --- In --------------------------------------------------------------------------------------------------------

    @property
    def hasInput(self) -> bool:
        """Whether octets wait to be inflated."""
        return bool(self._compressed) or self._mayHaveMore

    @property
    def waiting(self) -> int:
        """How many octets wait to be inflated."""
        return len(self._compressed)

    def feed(self, data: bytes) -> None:
        """These octets came."""
        self._compressed += data

    def take(self, room: int) -> bytes:
        """At most `room` octets of what came; none: nothing more can be had before more comes.

        :raises BrokenStream: it is no such stream, or goes on behind its end.
        """
        if not self.hasInput:
            return b""
        try:
            data = self._inflater.decompress(self._compressed, room)
        except zlib.error as error:
            raise BrokenStream(str(error)) from None
        self._compressed = self._inflater.unconsumed_tail
        self._mayHaveMore = len(data) == room and not self._inflater.eof
        if len(self._inflater.unused_data) > _REST_LIMIT:
            raise BrokenStream("the stream has ended, and the client goes on")
        return data

    def rest(self, data: bytes = b"") -> bytes | None:
        """What came behind the other side's end of the stream, as it came; None: the end is still to come.

        That end may come with the last that was compressed, or later, or never: a client may just go on uncompressed. What begins
        as no command does belongs to the stream still: the mark of a flush, the mark of its end.

        :param data: what has come since this was asked last.
        :raises BrokenStream: there is more inside the stream.
        """
        if data and not self._inflater.eof and _SPACE <= data[0] < _DELETE:
            return data
        self._compressed += data
        if self.take(1):
            raise BrokenStream("more was compressed than was expected")
        return self._inflater.unused_data if self._inflater.eof else None
