"""What is under way in an account's files, so that a crash leaves no entry torn.

One small file for each account (calls for an account never overlap), holding at most one record: a digest, a description in JSON,
octets. A record is durable when a writer returns. `begin` writes in place, and may only be called while nothing is under way: a
record that a crash tore is then one of something that had not begun. `advance` replaces the record of what is under way at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from mailfw.storage.files import FILE_MODE, readFile, replaceFile, syncDirectory, writeAllAt

Record = Mapping[str, Any]
"""What JSON can say (hence Any); `operation` and `file` are always there."""


class Journal:
    """The journal at a path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> tuple[Record, bytes] | None:
        """The record and its octets; None: nothing was under way."""
        content = readFile(self._path)
        if not content:
            return None
        digest, _, rest = content.partition(b"\n")
        if digest != hashlib.blake2b(rest).hexdigest().encode():
            return None
        description, _, octets = rest.partition(b"\n")
        return json.loads(description), octets

    def begin(self, record: Record, octets: bytes = b"") -> None:
        """Note what is going to be done."""
        content = _pack(record, octets)
        isNew = not os.path.exists(self._path)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            writeAllAt(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if isNew:
            syncDirectory(os.path.dirname(self._path))

    def advance(self, record: Record, octets: bytes = b"") -> None:
        """Note the next step of what is under way."""
        replaceFile(self._path, _pack(record, octets))

    @property
    def isEmpty(self) -> bool:
        """Whether nothing was under way; asked before each use of the account's files."""
        try:
            return os.stat(self._path).st_size == 0
        except FileNotFoundError:
            return True

    def clear(self) -> None:
        """Nothing is under way any more."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _pack(record: Record, octets: bytes) -> bytes:
    rest = json.dumps(record).encode("ascii") + b"\n" + octets
    return hashlib.blake2b(rest).hexdigest().encode() + b"\n" + rest
