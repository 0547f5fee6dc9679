"""mbox files of any program, read and written in pieces: no file, no message and no line of it is ever in memory as a whole.

An entry begins with a line `From sender DATE` and ends before the next, or, where a `Content-Length` says where and is right
about it, there. How a line that looks like a beginning is quoted depends on the variant, which the file's content tells.

What other programs note in headers – Status, X-Status, X-Keywords, X-Mozilla-Status – is made flags; fields that say only how
an entry stands in its file are left out of the message. What `entry` writes, `read` gives back octet for octet.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterable, Iterator

from attrs import define, frozen

from mailfw.moving.folder import ours
from mailfw.storage.textfile.formats import encode, shape, withoutNotes
from mailfw.storage.textfile.stamp import Stamp, find
from mailfw.values import Flag

_CHUNK = 1 << 18
_LINE = 2048  # octets of a line that begins an entry
_HEADER = 1 << 20  # octets of a header that is looked into
_MARK = b"\nFrom "

_END_OF_HEADER = re.compile(rb"^\r?\n", re.MULTILINE)
_FIELD = rb"^%s:[ \t]*([^\r\n]*)"
_STATUS = re.compile(_FIELD % rb"(X-Status|Status|X-Keywords|X-Mozilla-Status|X-Mozilla-Keys)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(_FIELD % rb"Content-Length", re.IGNORECASE | re.MULTILINE)
_FOLDER_DATA = re.compile(rb"^Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r?$", re.MULTILINE)
_QUOTED_TWICE = re.compile(rb"^>>+From ", re.MULTILINE)
_UNQUOTED = re.compile(rb"^From ", re.MULTILINE)

_LETTERS = {"R": Flag.SEEN, "A": Flag.ANSWERED, "F": Flag.FLAGGED, "T": Flag.DRAFT, "D": Flag.DELETED}
_MOZILLA = {0x1: Flag.SEEN, 0x2: Flag.ANSWERED, 0x4: Flag.FLAGGED, 0x8: Flag.DELETED, 0x1000: Flag.FORWARDED}


class Variant(enum.Enum):
    """What `>` before `From ` at the beginning of a line means."""

    RD = "mboxrd"  # one of them is quoting
    O = "mboxo"  # a single one is quoting
    CL = "mboxcl"  # a single one is quoting, and Content-Length counts
    CL2 = "mboxcl2"  # nothing is quoted, Content-Length counts

    @property
    def quoting(self) -> re.Pattern[bytes] | None:
        """What is replaced by its group."""
        if self is Variant.CL2:
            return None
        return re.compile(rb"^>(>*From )" if self is Variant.RD else rb"^>(From )", re.MULTILINE)


@frozen
class Entry:
    """Where a message stands. :ivar start: of its header, :ivar body: of its body, :ivar end: behind its last octet.
    :ivar header: as it stands there, as far as it is looked into.
    """

    start: int
    body: int
    end: int
    stamp: Stamp
    header: bytes
    hasLength: bool

    @property
    def flags(self) -> frozenset[str]:
        """What other programs noted of it."""
        found: set[str] = set()
        for name, value in _STATUS.findall(self.header):
            text, kind = value.decode("ascii", "replace").strip(), name.lower()
            if kind in (b"status", b"x-status"):
                found.update(_LETTERS[letter] for letter in text if letter in _LETTERS)
            elif kind == b"x-mozilla-status":
                number = int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,8}", text) else 0
                found.update(flag for bit, flag in _MOZILLA.items() if number & bit)
            else:
                found.update(ours(text.split()))
        return frozenset(found)

    @property
    def isMessage(self) -> bool:
        """Whether it is one: pine and UW IMAP keep data about the folder in what looks like one."""
        return _FOLDER_DATA.search(self.header) is None


def isMbox(beginning: bytes) -> bool:
    """Whether a file begins as an mbox does."""
    return _begins(beginning.lstrip(b"\r\n").partition(b"\n")[0])


def _begins(line: bytes) -> bool:
    """Whether an entry begins with that line."""
    return line.startswith(b"From ") and len(line) < _LINE and find(line.decode("latin-1").rstrip("\r\n")) is not None


@define
class Mbox:
    """One file. :ivar descriptor: open for reading, the caller's. :ivar variant: None: to be told by the content."""

    descriptor: int
    variant: Variant | None = None

    def entries(self) -> Iterator[Entry]:
        """All of them, in their order."""
        end = os.fstat(self.descriptor).st_size
        at = next(self._beginnings(0, end), end)
        while at < end:
            entry = self._entry(at, end)
            at = entry.end if entry.hasLength else next(self._beginnings(entry.body, end), end)
            if not entry.hasLength:
                entry = Entry(entry.start, entry.body, self._unseparated(entry.body, at), entry.stamp, entry.header, False)
            yield entry
            if entry.hasLength:
                at = next(self._beginnings(at, end), end)

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The message, octet for octet, in pieces."""
        if self.variant is None:
            self.variant = self.tell()
        isExact, quoting = entry.stamp.isExact, self.variant.quoting
        end = max(entry.start, entry.end - entry.stamp.isUnended)
        header = self._read(entry.start, min(entry.body, end) - entry.start)
        header = withoutNotes(quoting.sub(rb"\1", header) if quoting is not None else header)
        yield header if isExact else _toCRLF(header)
        isMiddle, last, held = bool(header) and not header.endswith(b"\n"), header[-1:], b""
        for piece in self._pieces(entry.body, end):
            block = held + piece
            held = b"\r" if block.endswith(b"\r") and not isExact else b""
            block = block[: -len(held)] if held else block
            head = b""
            if isMiddle:  # a line that is longer than a piece goes on
                cut = block.find(b"\n") + 1 or len(block)
                head, block = block[:cut], block[cut:]
            if quoting is not None and b"From " in block:
                block = quoting.sub(rb"\1", block)
            whole = head + block
            isMiddle = not whole.endswith(b"\n") if whole else isMiddle
            last = whole[-1:] or last
            yield whole if isExact else _toCRLF(whole)
        if held:
            yield held
            last = held
        if last not in (b"", b"\n") and not isExact:
            yield b"\r\n"

    def tell(self) -> Variant:
        """Which variant it is. Where lines have two `>` before `From `, one of them was put there; where none has, there is no
        difference."""
        seen = Variant.O
        for entry in self.entries():
            for piece in self._pieces(entry.start, entry.end):
                if entry.hasLength and _UNQUOTED.search(piece):
                    return Variant.CL2
                if _QUOTED_TWICE.search(piece) and not entry.hasLength:
                    return Variant.RD
            if entry.hasLength:
                seen = Variant.CL
        return seen

    # --- Where things are

    def _entry(self, at: int, end: int) -> Entry:
        line = self._line(at)
        start = at + len(line)
        found = find(line.decode("latin-1").rstrip("\r\n"))
        assert found is not None
        header = self._read(start, min(_HEADER, end - start))
        following = header.find(_MARK)
        match = _END_OF_HEADER.search(header)
        if match is not None and following >= 0 and following < match.start():
            after = next(self._beginnings(start, end), end)
            if after - start < match.start():  # no empty line ends this header: the next entry does
                return Entry(start, after, after, found[1], header[: after - start], False)
        size = match.start() if match is not None else self._withoutEnd(start, end, len(header))
        header, body = header[:size], start + size
        past = self._past(body, end, header)
        return Entry(start, body, past if past is not None else end, found[1], header, past is not None)

    def _withoutEnd(self, start: int, end: int, size: int) -> int:
        return min(size, next(self._beginnings(start, end), end) - start)

    def _past(self, body: int, end: int, header: bytes) -> int | None:
        """Where Content-Length says that the body ends; None: it does not say, or it is not so."""
        match = _LENGTH.search(header)
        text = match[1].strip() if match else b""
        if not text.isdigit() or len(text) > 15:
            return None
        empty = 2 if self._read(body, 2) == b"\r\n" else 1
        past = body + empty + int(text)
        if past > end or past < body:
            return None
        behind = self._read(past, 4)
        skipped = len(behind) - len(behind.lstrip(b"\r\n"))
        isRight = past + skipped >= end or (self._isBeginning(past + skipped) and self._read(past + skipped - 1, 1) == b"\n")
        return past if isRight else None

    def _beginnings(self, start: int, end: int) -> Iterator[int]:
        """Where entries begin, by their lines."""
        if start == 0 and self._isBeginning(0):
            yield 0  # a file may begin with empty lines, too: those are found below
        at = max(0, start - 1)
        window = b""
        while at + len(window) < end:
            piece = self._read(at + len(window), min(_CHUNK, end - at - len(window)))
            if not piece:
                return
            window += piece
            found = window.find(_MARK)
            while found >= 0:
                line = window[found + 1 : window.find(b"\n", found + 1, found + 1 + _LINE) + 1]
                if _begins(line) if line else self._isBeginning(at + found + 1):
                    yield at + found + 1
                found = window.find(_MARK, found + 1)
            kept = min(len(window), len(_MARK) - 1)
            at += len(window) - kept
            window = window[len(window) - kept :]

    def _isBeginning(self, at: int) -> bool:
        return _begins(self._line(at))

    def _line(self, at: int) -> bytes:
        octets = self._read(at, _LINE)
        return octets[: octets.find(b"\n") + 1] or octets

    def _unseparated(self, start: int, end: int) -> int:
        """The end of a text without the empty line that keeps entries apart."""
        tail = self._read(max(start, end - 4), min(4, end - start))
        if tail == b"\n" or tail.endswith(b"\n\n"):
            return end - 1
        return end - 2 if tail == b"\r\n" or tail.endswith(b"\n\r\n") else end

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Octets in pieces that end with a line, unless the line is too long for that."""
        while start < end:
            piece = self._read(start, min(_CHUNK, end - start))
            if not piece:
                return
            whole = piece.rfind(b"\n") + 1
            if whole and start + len(piece) < end:
                piece = piece[:whole]
            start += len(piece)
            yield piece

    def _read(self, at: int, length: int) -> bytes:
        return os.pread(self.descriptor, length, at) if length > 0 else b""


def entry(content: Iterable[bytes], again: Iterable[bytes], flags: Iterable[str], date: float) -> Iterator[bytes]:
    """A message as mboxrd has it. :param content: and :param again: its octets, twice, for they are looked at before."""
    form = shape(content)
    stamp = Stamp(date, form.isExact, form.isUnended)
    yield f"From MAILER-DAEMON {stamp}\n".encode("ascii")
    notes = _notes(frozenset(flags))
    for piece in encode(again, b"From ", form):
        if notes and not piece.startswith((b" ", b"\t")):  # it would go on with them
            yield notes
        notes = b""
        yield piece


def _notes(flags: frozenset[str]) -> bytes:
    """Status, X-Status, X-Keywords, as mutt and Dovecot write them."""
    lines = ["Status: " + "R" * (Flag.SEEN in flags) + "O"]
    letters = "".join(letter for letter, flag in _LETTERS.items() if flag in flags and letter != "R")
    lines += [f"X-Status: {letters}"] if letters else []
    keywords = sorted(flag for flag in flags if not flag.startswith("\\"))
    lines += [f"X-Keywords: {' '.join(keywords)}"] if keywords else []
    return "".join(f"{line}\n" for line in lines).encode("ascii", "replace")


def _toCRLF(block: bytes) -> bytes:
    return block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
