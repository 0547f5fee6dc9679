"""Changes of a text file in place, each safe against a crash at any moment. The file is locked meanwhile, and keeps its inode.

| operation | noted in the journal, durably, first | after a crash |
| --- | --- | --- |
| append | where the new entries begin and end, their digest | they are there whole, or are cut off |
| move | octets for a place further ahead, and what is still to be moved | the step is done again, and the rest done |
| cut | where the file is to end | it is cut there |

Entries are removed by moving those behind them forward, step by step, and cutting what is then left over at the end. A step
copies its octets into the journal before it overwrites anything: removing needs room for one step, however large the file is.
Other programs may append after a crash and before it is repaired: what they appended is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from mailfw.storage.files import readAt, writeAllAt
from mailfw.storage.textfile.journal import Journal, Record

STEP = 8 << 20
_TAIL = 4096
_FRONT = 4096
_HEAD = 256
_WORTHWHILE = 1 << 18

Piece = tuple[int, int] | str
"""Octets that stay: from one offset to another; or new ones (Latin-1, so that JSON can hold them)."""


Candidates = Callable[[int, int], Iterable[int]]
"""Where between two offsets an entry may begin, in the middle of a line too: another program may have appended to a torn one."""


class Changes:
    """Changes of one open, locked file.

    :param name: the file's path under the store's root, for the journal.
    """

    def __init__(self, descriptor: int, name: str, journal: Journal) -> None:
        self._descriptor = descriptor
        self._name = name
        self._journal = journal

    # --- Append ---

    def append(self, parts: Callable[[], Iterator[bytes]], starts: Sequence[int]) -> None:
        """Add octets at the end, all or none. `parts` makes the same octets each time; `starts`: where entries begin in them."""
        old = os.fstat(self._descriptor).st_size
        digest = hashlib.blake2b()
        front = b""
        length = 0
        for part in parts():
            digest.update(part)
            front += part[: _FRONT - len(front)]
            length += len(part)
        record = {
            **self._record("append"),
            "old": old,
            "new": old + length,
            "digest": digest.hexdigest(),
            "before": self._digest(max(0, old - _TAIL), old),
            "starts": list(starts),
        }
        self._journal.begin(record, front)
        try:
            at = old
            for part in _gathered(parts()):
                writeAllAt(self._descriptor, part, at)
                at += len(part)
            os.fsync(self._descriptor)
            self._journal.clear()
        except BaseException:
            os.ftruncate(self._descriptor, old)
            os.fsync(self._descriptor)
            self._journal.clear()
            raise

    def _repairAppend(self, record: Record, front: bytes, candidates: Candidates) -> None:
        old, new, size = record["old"], record["new"], os.fstat(self._descriptor).st_size
        if size <= old or record["before"] != self._digest(max(0, old - _TAIL), old):
            return  # nothing was written, or another program has rewritten the file since
        if size >= new and self._digest(old, new) == record["digest"]:
            return
        own = {old + start: front[start : start + _HEAD] for start in record["starts"]}
        spans = pairwise([*candidates(old, size), size])
        foreign = next((start for start, end in spans if start not in own or not self._isOwn(start, end, own[start])), None)
        if foreign is not None:
            self.rearrange([(foreign, size)], old)
        elif size <= new:
            self._cut(old, isFirst=True)

    def _isOwn(self, start: int, end: int, expected: bytes) -> bool:
        """Whether what is there may be the torn rest of what we wanted to write. (A power cut may leave NULs.)"""
        return expected.startswith(readAt(self._descriptor, start, min(end - start, len(expected))).rstrip(b"\0"))

    # --- Move and cut ---

    def rearrange(self, pieces: Sequence[Piece], to: int) -> None:
        """Put these pieces, in their order, at `to`, and end the file after them. Each moves towards the front, or stays."""
        self._move(list(pieces), to, isFirst=True)

    def _move(self, pieces: list[Piece], to: int, isFirst: bool) -> None:
        while pieces:
            octets, pieces = self._take(pieces)
            record = {**self._record("move"), "size": os.fstat(self._descriptor).st_size, "to": to, "pieces": pieces}
            (self._journal.begin if isFirst else self._journal.advance)(record, octets)
            isFirst = False
            writeAllAt(self._descriptor, octets, to)
            os.fsync(self._descriptor)
            to += len(octets)
        self._cut(to, isFirst)

    def _take(self, pieces: list[Piece]) -> tuple[bytes, list[Piece]]:
        """The octets of the next step, and the pieces that are left."""
        taken: list[bytes] = []
        room = STEP
        for count, piece in enumerate(pieces):
            if room <= 0:
                return b"".join(taken), pieces[count:]
            if isinstance(piece, str):
                taken.append(piece.encode("latin-1"))
            else:
                start, end = piece
                taken.append(readAt(self._descriptor, start, min(room, end - start)))
                if end - start > room:
                    return b"".join(taken), [(start + room, end), *pieces[count + 1 :]]
            room -= len(taken[-1])
        return b"".join(taken), []

    def _cut(self, to: int, isFirst: bool) -> None:
        size = os.fstat(self._descriptor).st_size
        record = {**self._record("cut"), "size": size, "to": to, "left": self._digest(to, min(to + _TAIL, size))}
        (self._journal.begin if isFirst else self._journal.advance)(record)
        self._finish(to)

    def _finish(self, to: int) -> None:
        os.ftruncate(self._descriptor, to)
        os.fsync(self._descriptor)
        self._journal.clear()

    def _repairMove(self, record: Record, octets: bytes) -> None:
        size, to = record["size"], record["to"]
        pieces: list[Piece] = [piece if isinstance(piece, str) else (piece[0], piece[1]) for piece in record["pieces"]]
        grown = os.fstat(self._descriptor).st_size
        if grown < size:
            return  # another program has rewritten it since
        writeAllAt(self._descriptor, octets, to)
        os.fsync(self._descriptor)
        if grown > size:
            pieces.append((size, grown))
        self._move(pieces, to + len(octets), isFirst=False)

    def _repairCut(self, record: Record) -> None:
        size, to = record["size"], record["to"]
        grown = os.fstat(self._descriptor).st_size
        if grown < size or record["left"] != self._digest(to, min(to + _TAIL, size)):
            return  # it was cut
        if grown > size:
            self._move([(size, grown)], to, isFirst=False)
        else:
            self._finish(to)

    # --- After a crash ---

    def repair(self, record: Record, octets: bytes, candidates: Candidates) -> None:
        """Bring to its end, or undo, what was under way."""
        if record["inode"] == os.fstat(self._descriptor).st_ino:
            if record["operation"] == "append":
                self._repairAppend(record, octets, candidates)
            elif record["operation"] == "move":
                self._repairMove(record, octets)
            else:
                self._repairCut(record)
        self._journal.clear()

    def _record(self, operation: str) -> dict[str, object]:
        return {"operation": operation, "file": self._name, "inode": os.fstat(self._descriptor).st_ino}

    def _digest(self, start: int, end: int) -> str:
        digest = hashlib.blake2b()
        while start < end and (piece := readAt(self._descriptor, start, min(STEP, end - start))):
            digest.update(piece)
            start += len(piece)
        return digest.hexdigest()


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets in pieces that are worth a system call."""
    waiting: list[bytes] = []
    length = 0
    for part in parts:
        waiting.append(part)
        length += len(part)
        if length >= _WORTHWHILE:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)
