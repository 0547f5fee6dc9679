"""How a message's octets are laid down in the database, and read back by range.

Up to `BLOB_FROM` they are in a row: the header as it is, the body as it is or, where that pays, as independent zstd frames of
`FRAME` octets each, so that a part is read by unpacking only the frames it touches. Larger ones are a blob, with a copy of the
header in the row. The encoding's number is written beside them: numbers never change their meaning.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Callable

import zstandard
from attrs import define, frozen
from zope.interface import implementer

from mailfw.errors import Vanished
from mailfw.interfaces import IContent
from mailfw.sql import Connection
from mailfw.sql.blobs import IBlobStore
from mailfw.storage.summary import ABSENT, Derived, derive
from mailfw.values import MessageSource

RAW = 0
ZSTD = 1
BLOB = 2

BLOB_FROM = 256 * 1024
COMPRESS_FROM = 6 * 1024  # below it packing costs more time than it saves in writing
FRAME = 64 * 1024
WORTH = 0.85  # packed octets kept only when they are at most this part
BLOB_HEADER = 64 * 1024
LEVEL = 1

_local = threading.local()


def pack(body: bytes) -> bytes | None:
    """The body as zstd frames behind a table of their lengths; None where that does not pay."""
    if len(body) < COMPRESS_FROM:
        return None
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    frames = [compressor.compress(body[start : start + FRAME]) for start in range(0, len(body), FRAME)]
    if sum(map(len, frames)) > len(body) * WORTH:
        return None
    return struct.pack(f"<II{len(frames)}I", len(body), len(frames), *map(len, frames)) + b"".join(frames)


def unpack(packed: bytes, start: int, end: int) -> bytes:
    """The octets from `start` to before `end` of what `pack` packed."""
    size, count = struct.unpack_from("<II", packed)
    lengths = struct.unpack_from(f"<{count}I", packed, 8)
    end = min(end, size)
    if start >= end:
        return b""
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    first, last = start // FRAME, (end - 1) // FRAME
    at = 8 + 4 * count + sum(lengths[:first])
    pieces = []
    for length in lengths[first : last + 1]:
        pieces.append(decompressor.decompress(packed[at : at + length], max_output_size=FRAME))
        at += length
    return b"".join(pieces)[start - first * FRAME : end - first * FRAME]


@frozen
class Laid:
    """A content ready for its row.

    :ivar body: for a blob, its name in ASCII.
    """

    encoding: int
    header: bytes
    body: bytes


@define
class Arriving:
    """A message source on its way into a store. `prepare` does the work that needs no database, once, in any thread.

    :ivar blobs: where a large body goes; None where the octets are kept elsewhere (a simple store), which wants a digest.
    """

    source: MessageSource
    blobs: IBlobStore | None
    size: int = 0
    derived: Derived = ABSENT
    digest: str = ""
    laid: Laid | None = None
    _isPrepared: bool = False

    @classmethod
    def unread(cls, size: int) -> Arriving:
        """A message that nobody looks into before somebody asks for more than its size."""
        return cls(MessageSource(), None, size, isPrepared=True)

    def prepare(self) -> None:
        """Derive everything, compress, write and sync the blob.

        :raises Unavailable: a blob cannot be written now.
        """
        if self._isPrepared:
            return
        content = self.source.read()
        self.size = len(content)
        self.derived = derive(content)
        if self.blobs is None:
            self.digest = digestOf(content)
        else:
            self.laid = _lay(content, self.derived.headerSize, self.blobs)
        self._isPrepared = True


def digestOf(content: bytes) -> str:
    """What names a content wherever it lies: EMAILID where the octets are not ours."""
    return hashlib.sha256(content).hexdigest()[:40]


def _lay(content: bytes, headerSize: int, blobs: IBlobStore) -> Laid:
    header = content[:headerSize]
    if len(content) > BLOB_FROM:
        ref = blobs.put(content[start : start + FRAME] for start in range(0, len(content), FRAME))
        return Laid(BLOB, header if len(header) <= BLOB_HEADER else b"", ref.encode())
    body = content[headerSize:]
    packed = pack(body)
    return Laid(RAW, header, body) if packed is None else Laid(ZSTD, header, packed)


_SELECT = "SELECT encoding, header, body FROM content WHERE id = ?"


@implementer(IContent)
class StoredContent:
    """A content in the database or a blob, read where the call is made."""

    __slots__ = ("_blobs", "_connection", "_content", "size")

    def __init__(self, connection: Callable[[], Connection], blobs: IBlobStore, content: int, size: int) -> None:
        self._connection = connection
        self._blobs = blobs
        self._content = content
        self.size = size

    def read(self, start: int = 0, length: int = -1) -> bytes:
        row = self._connection().execute(_SELECT, (self._content,)).fetchone()
        if row is None:
            raise Vanished()
        encoding, header, body = row
        end = self.size if length < 0 else min(start + length, self.size)
        if start >= end:
            return b""
        if end <= len(header):
            return bytes(header[start:end])
        if encoding == BLOB:
            return self._blobs.get(body.decode(), start, end - start)
        split = len(header)
        read = unpack(body, max(start - split, 0), end - split) if encoding == ZSTD else body[max(start - split, 0) : end - split]
        return bytes(header[start:] + read)
