"""How messages stand in a text file, one entry after another: `mboxrd`, and the textbook's `simple` form. No I/O here.

    mboxrd   ENTRY = "From " sender SP STAMP LF  TEXT  LF
    simple   ENTRY = "From: " sender LF  "To: " recipient LF  "X-Mailfw-Stored: " STAMP LF  TEXT  LF
                   / "From:" …                  as a person wrote it, without the third line

TEXT is the message with LF for CRLF (STAMP says where that is not so; see `stamp`), and reversibly quoted:

- A line that begins with the format's mark (`From `, `From:`), or with `>`s and the mark, has one more `>` before it. So no
  content can end an entry or begin one.
- A header field that other programs keep their own notes in (Status, X-UID, Content-Length …) has `X-Mailfw-` put before its
  name. Where one stands without that, another program wrote it, and it is left out when the message is read.

What is decoded is what SMTP accepted, octet for octet. Entries of other programs are decoded by the same rules; those that a
person wrote are served as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from attrs import frozen

from mailfw.storage.newlines import blockToCRLF, wholeLines
from mailfw.storage.textfile import stamp
from mailfw.storage.textfile.stamp import Stamp

HEAD_OCTETS = 2048
"""How much of an entry is enough to read its head."""

_STORED = b"X-Mailfw-Stored: "
_NOTES = rb"(?:Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase|Content-Length|Lines):"
_NOTE = re.compile(rb"^" + _NOTES + rb"[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*", re.IGNORECASE | re.MULTILINE)
_HIDE = re.compile(rb"^((?:X-Mailfw-)*" + _NOTES + rb")", re.IGNORECASE | re.MULTILINE)
_SHOW = re.compile(rb"^X-Mailfw-((?:X-Mailfw-)*" + _NOTES + rb")", re.IGNORECASE | re.MULTILINE)
_EMPTY_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
_HANDWRITTEN_HEADER = re.compile(rb"(?:(?:[A-Za-z][A-Za-z0-9-]*:(?:[ \t][^\n]*|\r?)|[ \t]+[^\s][^\n]*)(?:\n|\Z))*")


@frozen
class Head:
    """What precedes an entry's text.

    :ivar length: its octets.
    :ivar stamp: None: a person wrote the entry, and its text is all of it.
    """

    length: int
    stamp: Stamp | None


class Format(Protocol):
    """A way to keep entries apart.

    :ivar mark: what an entry's first line begins with.
    :ivar isFriendly: names of the first domain stand without it.
    """

    name: str
    mark: bytes
    isFriendly: bool

    def head(self, text: bytes) -> Head | None:
        """Read an entry's head from its first HEAD_OCTETS; None: no entry begins so."""

    def isCertain(self, text: bytes) -> bool:
        """Whether an entry begins so even in the middle of a line, that is, behind what a crash left there."""

    def newHead(self, sender: str, recipient: str, stamp: Stamp) -> bytes:
        """The head of a new entry."""


class Mboxrd:
    """RFC 4155, with the quoting that can be undone."""

    name = "mboxrd"
    mark = b"From "
    isFriendly = False

    def head(self, text: bytes) -> Head | None:
        """A line that only begins with "From " begins no entry: other programs do not quote all of those."""
        line = _firstLine(text)
        if len(line) == HEAD_OCTETS:
            return None
        found = stamp.find(line.decode("latin-1").rstrip("\r\n"))
        return None if found is None else Head(len(line), found[1])

    def isCertain(self, text: bytes) -> bool:
        return self.head(text) is not None

    def newHead(self, sender: str, recipient: str, stamp: Stamp) -> bytes:
        return f"From {sender} {stamp}\n".encode("ascii")


class Simple:
    """The textbook's form."""

    name = "simple"
    mark = b"From:"
    isFriendly = True

    def head(self, text: bytes) -> Head | None:
        sender = _firstLine(text)
        recipient = _firstLine(text[len(sender) :])
        stored = _firstLine(text[len(sender) + len(recipient) :])
        if not recipient.startswith(b"To: ") or not stored.startswith(_STORED):
            return Head(0, None)
        found = stamp.find(stored.decode("latin-1").rstrip("\r\n"))
        return Head(0, None) if found is None else Head(len(sender) + len(recipient) + len(stored), found[1])

    def isCertain(self, text: bytes) -> bool:
        return text[len(_firstLine(text)) :].startswith(b"To:")

    def newHead(self, sender: str, recipient: str, stamp: Stamp) -> bytes:
        return f"From: {sender}\nTo: {recipient}\n{_STORED.decode()}{stamp}\n".encode("ascii")


def numbered(head: bytes, number: int) -> bytes:
    """An entry's head, with its number noted. (What a person wrote has no head, and no place for it.)"""
    return head.rstrip(b"\r\n") + f" #{number}\n".encode() if head else head


def _firstLine(text: bytes) -> bytes:
    return text[: text.find(b"\n") + 1] or text


# --- Text ------------------------------------------------------------------------------------------------------------


@frozen
class Shape:
    """What a message's line ends are like.

    :ivar isExact: they are not all CRLF, the last included: LF alone could not stand for them.
    """

    isExact: bool
    isUnended: bool


def shape(content: Iterable[bytes]) -> Shape:
    """Look at a message before it is written."""
    LFs = CRs = pairs = 0
    last = b""
    for chunk in content:
        LFs += chunk.count(b"\n")
        CRs += chunk.count(b"\r")
        pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk.startswith(b"\n"))
        last = chunk[-1:] or last
    return Shape(isExact=not LFs == CRs == pairs or last not in (b"", b"\n"), isUnended=last not in (b"", b"\n"))


def encode(content: Iterable[bytes], mark: bytes, shape: Shape) -> Iterator[bytes]:
    """A message's text as it stands in the file, with the line that ends an entry."""
    quotable = re.compile(rb"^(>*" + mark + rb")", re.MULTILINE)
    isHeader = True
    for block in wholeLines(content):
        if not shape.isExact:
            block = block.replace(b"\r\n", b"\n")
        if isHeader:
            end = _EMPTY_LINE.search(block)
            isHeader = end is None
            header = block if end is None else block[: end.start()]
            block = _HIDE.sub(rb"X-Mailfw-\1", header) + block[len(header) :]
        yield quotable.sub(rb">\1", block) if mark in block else block
    yield b"\n\n" if shape.isUnended else b"\n"


def decode(text: Iterable[bytes], mark: bytes, stamp: Stamp) -> Iterator[bytes]:
    """The message that `encode` made `text` of, the line that ends the entry (and one that ends an unended message) being off."""
    quoted = re.compile(rb"^>(>*" + mark + rb")", re.MULTILINE)
    header: list[bytes] | None = []
    last = b""
    for block in wholeLines(text):
        last = block[-1:]
        block = quoted.sub(rb"\1", block) if mark in block else block
        if header is not None:
            end = _EMPTY_LINE.search(block)
            header.append(block if end is None else block[: end.start()])
            if end is None:
                continue
            yield _ended(withoutNotes(b"".join(header)), stamp)
            header, block = None, block[end.start() :]
        yield _ended(block, stamp)
    if header:
        yield _ended(withoutNotes(b"".join(header)), stamp)
    if last not in (b"", b"\n") and not stamp.isExact:
        yield b"\r\n"


def withoutNotes(header: bytes) -> bytes:
    """A header without the notes of other programs, and with the message's own fields of such names."""
    return _SHOW.sub(rb"\1", _NOTE.sub(b"", header))


def _ended(block: bytes, stamp: Stamp) -> bytes:
    return block if stamp.isExact else blockToCRLF(block)


def decodeHandwritten(text: Iterable[bytes]) -> Iterator[bytes]:
    """What a person wrote, blank lines at its end being off: as it stands, but for CRLF and the empty line after the header.

    The header ends before the first line that is no field (a name, a colon, a space) and continues none.
    """
    isHeader = True
    last = b""
    for block in wholeLines(text):
        last = block[-1:]
        if isHeader:
            match = _HANDWRITTEN_HEADER.match(block)
            end = match.end() if match else 0
            isHeader = end == len(block)
            if not isHeader and not _EMPTY_LINE.match(block[end : end + 2]):
                block = block[:end] + b"\n" + block[end:]
        yield blockToCRLF(block)
    if last not in (b"", b"\n"):
        yield b"\r\n"
    if isHeader:
        yield b"\r\n"
