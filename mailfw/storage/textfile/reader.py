"""What entries a text file holds, found by reading it once from front to back, in pieces.

Files are read and never mapped into memory: a program that shortens a mapped file would kill us.

An entry's key is the digest of its decoded content and a number: the n-th entry with that content in the file, counting on from
any number that is noted in an entry (see `stamp`). So keys do not depend on what other programs note in headers, nor change when
entries before theirs are removed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator

from attrs import define, evolve, field, frozen

from mailfw.storage.files import readAt
from mailfw.storage.textfile.changes import Piece
from mailfw.storage.textfile.formats import HEAD_OCTETS, Format, Head, decode, decodeHandwritten, numbered
from mailfw.storage.textfile.stamp import Stamp
from mailfw.values import Entry

_CHUNK = 1 << 18
_HEADS = 16
_DIGEST_OCTETS = 20

Mark = tuple[int, int, int]
"""A file's inode, size and time of last change (ns): equal while nobody has changed it."""


def newDigest() -> hashlib.blake2b:
    """The hash that keys are made with."""
    return hashlib.blake2b(digest_size=_DIGEST_OCTETS)


def digestOf(content: Iterable[bytes]) -> str:
    """A content's digest, in hexadecimal digits."""
    digest = newDigest()
    for chunk in content:
        digest.update(chunk)
    return digest.hexdigest()


def splitKey(key: str) -> tuple[str, int]:
    """A key's digest and number; a number of 0 where it is no key of ours."""
    digest, _, number = key.partition(".")
    return digest, int(number) if number.isdecimal() else 0


def markOf(status: os.stat_result) -> Mark:
    """The mark of a file."""
    return status.st_ino, status.st_size, status.st_mtime_ns


@frozen
class Span:
    """Where an entry is: from its first octet to that of the next entry, or to the end."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    @classmethod
    def parse(cls, locator: str) -> Span:
        """What `str` wrote; an empty span for anything else."""
        start, _, end = locator.partition("-")
        return cls(int(start), int(end)) if start.isdecimal() and end.isdecimal() else cls(0, 0)

    def __bool__(self) -> bool:
        return self.start < self.end


@define
class Index:
    """The entries of a file as it was at `mark`.

    :ivar isSettled: any later change will show in the mark. (Times have steps: another change in the same step might not.)
    :ivar numbers: for each digest the highest number in use.
    """

    mark: Mark
    isSettled: bool
    entries: list[Entry] = field(factory=list)
    numbers: dict[str, int] = field(factory=dict)

    def number(self, digest: str, noted: int = 0) -> int:
        """The number of the next entry with that content, given what is noted in it; it is in use from now on."""
        number = self.numbers[digest] = max(self.numbers.get(digest, 0) + 1, noted)
        return number

    def add(self, entry: Entry) -> bool:
        """One more entry, with the key it has. Returns whether its number is the one that follows."""
        digest, number = splitKey(entry.key)
        isNext = number == self.numbers.get(digest, 0) + 1
        self.numbers[digest] = number
        self.entries.append(entry)
        return isNext

    def extendLast(self, length: int) -> None:
        """So many octets more belong to the last entry."""
        if self.entries and length:
            span = Span.parse(self.entries[-1].locator)
            self.entries[-1] = evolve(self.entries[-1], locator=str(Span(span.start, span.end + length)))


class Reader:
    """Reads the entries of one open, locked file. To be thrown away when the file is changed or unlocked.

    :param ahead: octets to be read at a time, at least: many where entries are read one after another, few to read a single one.
    """

    def __init__(self, descriptor: int, format: Format, ahead: int = 1 << 20) -> None:
        self._descriptor = descriptor
        self._format = format
        self._ahead = ahead
        self._window = b""
        self._windowStart = 0
        self._heads: dict[int, Head | None] = {}

    def _at(self, start: int, length: int) -> bytes:
        """So many octets, or what there is."""
        if length >= _CHUNK:
            return readAt(self._descriptor, start, length)
        offset = start - self._windowStart
        if offset < 0 or offset + length > len(self._window):
            self._window, self._windowStart, offset = readAt(self._descriptor, start, max(length, self._ahead)), start, 0
        return self._window[offset : offset + length]

    # --- Which entries there are ---

    def index(self, isSettled: bool, former: Index | None = None) -> Index:
        """All entries. Where `former` still describes the front of the file, only what came behind it is read."""
        status = os.fstat(self._descriptor)
        mark = markOf(status)
        if former is not None and self._isGrown(former, mark):
            last = former.entries.pop()
            digest, number = splitKey(last.key)
            former.numbers[digest] = number - 1
            found = Index(mark, isSettled, former.entries, former.numbers)
            start = Span.parse(last.locator).start
        else:
            found, start = Index(mark, isSettled), 0
        for span in self._spans(start, mark[1]):
            digest, size, stamp = self._measure(span)
            number = found.number(digest, stamp.number if stamp else 0)
            date = stamp.date if stamp else float(int(status.st_mtime))
            found.entries.append(Entry(f"{digest}.{number}", str(span), None, date, size))
        return found

    def _isGrown(self, former: Index, mark: Mark) -> bool:
        """Whether the file has grown at its end: all entries begin where they did, and the last is the same as before."""
        if not former.isSettled or not former.entries or mark[0] != former.mark[0] or mark[1] <= former.mark[1]:
            return False
        spans = [Span.parse(entry.locator) for entry in former.entries]
        last = next(self._spans(spans[-1].start, mark[1]), None)
        if last is None or last.start != spans[-1].start or not former.entries[-1].key.startswith(self._measure(last)[0]):
            return False
        return all(self._beginsAt(span.start) for span in spans)

    def _beginsAt(self, start: int) -> bool:
        mark = self._format.mark
        if not start:
            return self._at(0, len(mark)) == mark
        return self._at(start - 1, len(mark) + 1) == b"\n" + mark

    def _spans(self, start: int, end: int) -> Iterator[Span]:
        """The entries from `start`, where a line begins, to `end`."""
        begun = -1
        for at in self._marked(start, end):
            if self._head(at, end) is not None:
                if begun >= 0:
                    yield Span(begun, at)
                begun = at
        if begun >= 0:
            yield Span(begun, end)

    def _marked(self, start: int, end: int) -> Iterator[int]:
        """Where lines begin with the format's mark."""
        sought = b"\n" + self._format.mark
        window = b"\n"
        at = start - 1  # the offset of the window's first octet
        while start < end:
            piece = readAt(self._descriptor, start, min(_CHUNK, end - start))
            if not piece:
                return
            window += piece
            start += len(piece)
            found = window.find(sought)
            while found >= 0:
                yield at + found + 1
                found = window.find(sought, found + 1)
            kept = window[-(len(sought) - 1) :]
            at += len(window) - len(kept)
            window = kept

    def candidates(self, start: int, end: int) -> Iterator[int]:
        """Where an entry may begin, in the middle of a line too unless it is quoted there: another program may have appended it
        to a torn line."""
        mark = self._format.mark
        at = start
        while at < end and (piece := readAt(self._descriptor, at, _CHUNK)):
            for match in re.finditer(b"(?<!>)" + mark, piece):
                found = at + match.start()
                if found < end and self._isCandidate(found, end):
                    yield found
            at += max(1, len(piece) - len(mark) + 1)

    def _isCandidate(self, start: int, end: int) -> bool:
        if self._beginsAt(start):
            return self._head(start, end) is not None
        return self._format.isCertain(self._at(start, min(HEAD_OCTETS, end - start)))

    def tail(self, end: int) -> bytes:
        """The last octets before `end`: enough to tell whether an empty line ends the entry there."""
        return readAt(self._descriptor, max(0, end - 4), min(4, end))

    # --- What is in an entry ---

    def moved(self, entries: Iterable[Entry], to: int, index: Index) -> list[Piece]:
        """Which octets make these entries stand one after another from `to`; they are added to `index` as they will be.

        An entry that followed one with the same content, now gone, gets its number noted, so that it keeps its key. (Not one that
        a person wrote: it has no place for it, and takes the key of its twin.)
        """
        pieces: list[Piece] = []
        for entry in entries:
            span = Span.parse(entry.locator)
            head = b""
            start = span.start
            entryStart = to
            if not index.add(entry):
                found = self._head(span.start, span.end)
                if found is not None and found.length and not (found.stamp and found.stamp.number):
                    start += found.length
                    head = numbered(self._at(span.start, found.length), splitKey(entry.key)[1])
            if head:
                pieces.append(head.decode("latin-1"))
            if not head and pieces and not isinstance(pieces[-1], str) and pieces[-1][1] == start:
                pieces[-1] = (pieces[-1][0], span.end)
            else:
                pieces.append((start, span.end))
            to += len(head) + span.end - start
            index.entries[-1] = evolve(entry, locator=str(Span(entryStart, to)))
        return pieces

    def content(self, span: Span) -> Iterator[bytes]:
        """The message of an entry; nothing where there is none."""
        head = self._head(span.start, span.end) if self._beginsAt(span.start) else None
        if head is None:
            return iter(())
        start, stamp = span.start + head.length, head.stamp
        if stamp is None:
            return decodeHandwritten(self._blocks(start, self._trimmed(start, span.end)))
        end = span.end - self._separatorLength(start, span.end)
        return decode(self._blocks(start, end - (stamp.isUnended and end > start)), self._format.mark, stamp)

    def _head(self, start: int, end: int) -> Head | None:
        if start not in self._heads:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[start] = self._format.head(self._at(start, min(HEAD_OCTETS, end - start)))
        return self._heads[start]

    def _measure(self, span: Span) -> tuple[str, int, Stamp | None]:
        """An entry's digest, the size of its message, and its stamp."""
        digest = newDigest()
        size = 0
        for piece in self.content(span):
            digest.update(piece)
            size += len(piece)
        head = self._head(span.start, span.end)
        return digest.hexdigest(), size, head.stamp if head else None

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        while start < end and (piece := self._at(start, min(_CHUNK, end - start))):
            yield piece
            start += len(piece)

    def _separatorLength(self, start: int, end: int) -> int:
        """Octets of the empty line that ends an entry's text; 0 where another program left it out."""
        tail = self._at(max(start, end - 4), min(4, end - start))
        if tail == b"\n" or tail.endswith(b"\n\n"):
            return 1
        return 2 if tail == b"\r\n" or tail.endswith(b"\n\r\n") else 0

    def _trimmed(self, start: int, end: int) -> int:
        """Where a text ends when its last line ends are taken off."""
        while start < end:
            piece = self._at(max(start, end - _CHUNK), min(_CHUNK, end - start))
            stripped = len(piece.rstrip(b"\r\n"))
            end -= len(piece) - stripped
            if stripped or not piece:
                break
        return end
