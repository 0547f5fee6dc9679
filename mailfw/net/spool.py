"""Where a message's octets wait while it is under way: in memory as long as it is small, then in a file.

A spool file is readable by nobody else, has lost its meaning once its transaction is over, and is removed by `discard`, or at the
next start when the process died meanwhile. It is not fsynced: nothing is acknowledged before a store or the queue has it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import BinaryIO

from mailfw.values import MessageSource


class SpoolDirectory:
    """The directory of spool files; `memory` is how many octets of a message stay in memory."""

    def __init__(self, path: str, memory: int = 262144) -> None:
        self.path = path
        self.memory = memory

    def prepare(self) -> None:
        """Make the directory and remove what a killed process left. Only the owner of the data directory may call this."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        for name in os.listdir(self.path):
            if name.startswith("spool-"):
                os.unlink(os.path.join(self.path, name))

    def open(self) -> Spool:
        """A new, empty spool."""
        return Spool(self)


class Spool:
    """One message's octets, written once from start to end, then read as a `MessageSource`.

    :ivar size: octets written.
    """

    def __init__(self, directory: SpoolDirectory) -> None:
        self._directory = directory
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self._path = ""
        self.size = 0

    def write(self, data: bytes) -> None:
        """:raises OSError: the disk is full; the spool is of no use any more and is to be discarded."""
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._chunks.append(data)
        if self.size > self._directory.memory:
            self._overflow()

    def _overflow(self) -> None:
        handle, self._path = tempfile.mkstemp(prefix="spool-", dir=self._directory.path)
        self._file = os.fdopen(handle, "wb", buffering=1 << 18)
        chunks, self._chunks = self._chunks, []
        self._file.writelines(chunks)

    def finish(self) -> MessageSource:
        """What was written; the source is good until `discard`."""
        if self._file is not None:
            self._file.flush()
            return MessageSource(path=self._path, length=self.size)
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return MessageSource(data=self._chunks[0] if self._chunks else b"")

    def discard(self) -> None:
        """Forget it. May be called more than once."""
        self._chunks = []
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                file.close()  # it writes what is still in memory, for which there may be no room
            os.unlink(self._path)
