"""Octets too large for a row: files of their own, beside the database.

Guarantees: `put` returns when octets and name are on disk, before any transaction names them; so a blob that is named is there.
A blob that nobody names (the transaction never came) is an orphan: `orphans` finds it once it is old enough that no
transaction can still be on its way.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress

from zope.interface import Interface, implementer

from mailfw.errors import Unavailable, Vanished

_FOLDER = re.compile(r"[0-9a-f]{2}")


class IBlobStore(Interface):
    """A place for octets that are written once. Every method blocks and may be called from any thread."""

    def put(chunks: Iterable[bytes]) -> str:
        """Keep these octets; durable on return. Returns the name under which they are found.

        :raises Unavailable: they cannot be kept now.
        """

    def get(ref: str, start: int, length: int) -> bytes:
        """At most `length` octets from `start`. :raises Vanished: there is no such blob."""

    def path(ref: str) -> str:
        """The file of this machine that the blob is, for whoever streams it; empty where it is none."""

    def drop(ref: str) -> None:
        """Forget a blob; no error when it is not there."""

    def orphans(before: float) -> Iterator[str]:
        """Names of blobs that were put before that time (seconds since the epoch); the caller knows which are in use."""


@implementer(IBlobStore)
class FileBlobs:
    """Blobs as files `ab/abcdef…` under a directory, 0600."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def put(self, chunks: Iterable[bytes]) -> str:
        ref = secrets.token_hex(16)
        path = self.path(ref)
        try:
            self._makeFolder(os.path.dirname(path))
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            _syncFolder(os.path.dirname(path))
        except OSError as error:
            self.drop(ref)
            raise Unavailable() from error
        return ref

    def get(self, ref: str, start: int, length: int) -> bytes:
        try:
            with open(self.path(ref), "rb", buffering=0) as file:
                return os.pread(file.fileno(), length, start)
        except FileNotFoundError as error:
            raise Vanished() from error

    def path(self, ref: str) -> str:
        return os.path.join(self._directory, ref[:2], ref)

    def drop(self, ref: str) -> None:
        try:
            os.unlink(self.path(ref))
        except FileNotFoundError:
            pass

    def orphans(self, before: float) -> Iterator[str]:
        if not os.path.isdir(self._directory):
            return
        for folder in sorted(os.listdir(self._directory)):
            if not _FOLDER.fullmatch(folder):
                continue  # what others leave there, as `lost+found` of a disk
            with os.scandir(os.path.join(self._directory, folder)) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if entry.stat().st_mtime < before:
                            yield entry.name

    def _makeFolder(self, folder: str) -> None:
        if not os.path.isdir(folder):
            for one in (self._directory, folder):
                os.makedirs(one, 0o700, exist_ok=True)
                _syncFolder(os.path.dirname(one) or ".")


@implementer(IBlobStore)
class MemoryBlobs:
    """Blobs in a dictionary, for a database in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, chunks: Iterable[bytes]) -> str:
        ref = secrets.token_hex(16)
        self._blobs[ref] = b"".join(chunks)
        return ref

    def get(self, ref: str, start: int, length: int) -> bytes:
        try:
            return self._blobs[ref][start : start + length]
        except KeyError as error:
            raise Vanished() from error

    def path(self, ref: str) -> str:
        return ""

    def drop(self, ref: str) -> None:
        self._blobs.pop(ref, None)

    def orphans(self, before: float) -> Iterator[str]:
        return iter(())


def drop(blobs: IBlobStore, refs: Iterable[str]) -> None:
    """Forget some blobs."""
    for ref in refs:
        blobs.drop(ref)


def _syncFolder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
