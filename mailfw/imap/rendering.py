"""FETCH responses, made of a store's rows in the threads where these are read (RFC 3501 §7.4.2).

A renderer is called with up to 500 rows at a time and yields octets, a message after another. What is in columns is
only joined; octets of messages are read by range, a large section in pieces, each when the client has taken the last.

No NUL ever leaves here (RFC 3501 §4.3.1, §9): files that other programs wrote may hold some, and clients' strings end there.
Each is sent as 0x80, which stands for no character either; sizes and offsets stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mailfw.errors import Vanished
from mailfw.imap.grammar import response
from mailfw.imap.grammar.dates import internalDate
from mailfw.imap.grammar.fetch import Attribute, BinarySection, BodySection, FetchItem
from mailfw.imap.manner import PLAIN, Manner
from mailfw.imap.trees import TreeKeeper
from mailfw.interfaces import IContent, Row
from mailfw.message import section
from mailfw.message.section import Range, Text
from mailfw.message.structure import plainBody
from mailfw.values import Column, UIDSet

PIECE = 65536
"""Octets of a message that are read at once where it is sent as it stands."""

_COLUMNS: Mapping[Attribute, Column] = {
    Attribute.UID: Column.UID,
    Attribute.FLAGS: Column.FLAGS,
    Attribute.INTERNAL_DATE: Column.INTERNAL_DATE,
    Attribute.SIZE: Column.SIZE,
    Attribute.ENVELOPE: Column.ENVELOPE,
    Attribute.BODY: Column.BODY_STRUCTURE,
    Attribute.BODY_STRUCTURE: Column.BODY_STRUCTURE,
    Attribute.MODSEQ: Column.MODSEQ,
    Attribute.EMAIL_ID: Column.EMAIL_ID,
    Attribute.THREAD_ID: Column.THREAD_ID,
    Attribute.SAVE_DATE: Column.SAVE_DATE,
    Attribute.PREVIEW: Column.PREVIEW,
    Attribute.LAZY_PREVIEW: Column.KEPT_PREVIEW,
}


@lru_cache(maxsize=16384)
def _flags(flags: frozenset[str]) -> bytes:
    return b"FLAGS (%b)" % response.flags(flags)


@lru_cache(maxsize=16384)
def _recentFlags(flags: frozenset[str]) -> bytes:
    return b"FLAGS (%b)" % response.flags((*flags, response.RECENT))


def _preview(text: str | None) -> bytes:
    """A LAZY preview that nobody made so far is NIL (RFC 8970 §4.1)."""
    return b"PREVIEW " + response.nstring(None if text is None else text.encode("utf-8"))


_FORMATS: Mapping[Attribute, Callable[[Any], bytes]] = {
    Attribute.UID: b"UID %d".__mod__,
    Attribute.FLAGS: _flags,
    Attribute.INTERNAL_DATE: lambda seconds: b"INTERNALDATE " + internalDate(seconds),
    Attribute.SIZE: b"RFC822.SIZE %d".__mod__,
    Attribute.ENVELOPE: b"ENVELOPE %b".__mod__,
    Attribute.BODY: lambda structure: b"BODY " + plainBody(structure),
    Attribute.BODY_STRUCTURE: b"BODYSTRUCTURE %b".__mod__,
    Attribute.MODSEQ: b"MODSEQ (%d)".__mod__,
    Attribute.EMAIL_ID: lambda name: b"EMAILID (%b)" % name.encode("ascii"),
    Attribute.THREAD_ID: lambda name: b"THREADID (%b)" % name.encode("ascii"),
    Attribute.SAVE_DATE: lambda seconds: b"SAVEDATE " + internalDate(seconds),
    Attribute.PREVIEW: _preview,
    Attribute.LAZY_PREVIEW: _preview,
}


class Renderer:
    """Renders the items of one FETCH.

    :ivar columns: what it wants of each row.
    :ivar count: messages rendered so far.
    :ivar isInside: a response has been begun and not ended: should the source fail now, no reply makes sense any more.
    :param uids: the view's, to number messages by; it must not change meanwhile.
    :param learn: given the flags of a message, what must be said of keywords before it.
    :param marked: new flags of messages that this FETCH itself has given \\Seen: they are told beside the rest.
    """

    def __init__(
        self,
        items: Sequence[FetchItem],
        uids: memoryview,
        recents: UIDSet,
        marked: Mapping[int, frozenset[str]] | None = None,
        trees: TreeKeeper | None = None,
        manner: Manner = PLAIN,
        learn: Callable[[frozenset[str]], bytes] = lambda flags: b"",
    ) -> None:
        self.count = 0
        self._learn = learn
        self._learnt: set[frozenset[str]] = set()
        self._isUIDOnly = manner.isUIDOnly
        self._head = b"* %d UIDFETCH (" if manner.isUIDOnly else b"* %d FETCH ("
        self.isInside = False
        self._uids = uids
        self._recents = recents
        self._marked = {} if marked is None or Attribute.FLAGS in items else marked
        self._trees = trees or TreeKeeper()
        columns = [Column.UID]
        for item in items:
            columns += columnsOf(item)
        self.columns = tuple(dict.fromkeys(columns))
        self._flagsAt = self.columns.index(Column.FLAGS) if Column.FLAGS in self.columns else None
        isAtHand = not self._marked and all(map(_isAtHand, items))
        atHand = [item for item in items if isAtHand or isinstance(item, Attribute)]
        self._attributes = [self._part(item) for item in atHand]
        self._items = tuple(items)
        self._binaries = tuple(item for item in items if isinstance(item, BinarySection))
        self._hasSections = not isAtHand

    def _part(self, item: FetchItem) -> tuple[int, Callable[[Any], bytes]]:
        """Where in a row a part of the answer comes from, and what makes it of the value there."""
        if isinstance(item, Attribute):
            return self.columns.index(_COLUMNS[item]), _FORMATS[item]
        assert isinstance(item, BodySection)
        wanted = item  # mypy forgets in the lambda what `item` was found to be
        at = self.columns.index(Column.HEADER)
        return at, lambda header: _literal(wanted, section.picked(wanted.section, _withoutNUL(header)))

    def __call__(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """`message-data = nz-number SP ("EXPUNGE" / ("FETCH" SP msg-att))`, one for each row; `uidfetch-resp = uniqueid SP
        "UIDFETCH" SP msg-att` (RFC 9586 §4) where numbers are not wanted.
        """
        return self._withSections(rows) if self._hasSections else self._withoutSections(rows)

    def _numbered(self, rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
        uids, at = self._uids, 0
        for row in rows:
            uid = row[0]
            if at >= len(uids) or uids[at] != uid:
                at = bisect_left(uids, uid)
                if at >= len(uids) or uids[at] != uid:
                    continue  # it came after the client was told last
            at += 1
            yield uid if self._isUIDOnly else at, row

    def _withoutSections(self, rows: Sequence[Row]) -> Iterator[bytes]:
        plain = self._attributes
        recent = [(index, _recentFlags if format_ is _flags else format_) for index, format_ in plain]
        recents, line = self._recents, self._head + b"%b)\r\n"
        recentFrom = recents.first if recents else 0xFFFFFFFF
        for number, row in self._numbered(rows):
            if news := self._keywords(row):
                yield news
            parts = plain if row[0] < recentFrom or row[0] not in recents else recent
            self.count += 1
            yield line % (number, b" ".join([format_(row[index]) for index, format_ in parts]))

    def _keywords(self, row: Row) -> bytes:
        """What must be said before this row: another session may have made a keyword since the last news (RFC 3501 §7.2.6)."""
        if self._flagsAt is None or row[self._flagsAt] in self._learnt:
            return b""
        self._learnt.add(row[self._flagsAt])
        return self._learn(row[self._flagsAt])

    # --- Octets of messages ----------------------------------------------------------------------------------------

    def _withSections(self, rows: Sequence[Row]) -> Iterator[bytes]:
        for number, row in self._numbered(rows):
            pieces = self._message(number, row)
            try:
                first = next(pieces)
            except Vanished:
                continue  # before anything was said of it
            if news := self._keywords(row):
                yield news
            self.isInside = True
            yield first
            yield from pieces
            self.isInside = False
            self.count += 1

    def _message(self, number: int, row: Row) -> Iterator[bytes]:
        """One response, in pieces of at least `PIECE` octets but the last."""
        gathered, size = [self._head % number], 0
        for octets in self._answers(row):
            gathered.append(octets)
            size += len(octets)
            if size >= PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
        yield b"".join((*gathered, b")\r\n"))

    def _answers(self, row: Row) -> Iterator[bytes]:
        message = Message(self.columns, row, self._trees)
        message.decode(self._binaries)  # whatever cannot be decoded is refused before anything is said of the message
        isRecent = row[0] in self._recents
        separator = b""
        attributes = iter(self._attributes)
        for item in self._items:
            yield separator
            separator = b" "
            if isinstance(item, BodySection):
                yield from message.answer(item)
            elif isinstance(item, BinarySection):
                yield from message.binary(item)
            else:
                index, format_ = next(attributes)
                yield (_recentFlags if isRecent and format_ is _flags else format_)(row[index])
        flags = self._marked.get(row[0])
        if flags is not None:
            yield separator + (_recentFlags if isRecent else _flags)(flags)


def _literal(wanted: BodySection, octets: bytes) -> bytes:
    """`section-name SP literal`, of the part that is wanted."""
    octets = _part(wanted, octets)
    return b"%b {%d}\r\n%b" % (wanted.label, len(octets), octets)


def _part(wanted: BodySection, octets: bytes) -> bytes:
    return octets if wanted.partial is None else octets[wanted.partial[0] : sum(wanted.partial)]


def _isAtHand(item: FetchItem) -> bool:
    """Whether the columns of a row say it, without a look at the message's octets."""
    return isinstance(item, Attribute) or (isinstance(item, BodySection) and item.section.needsHeaderOnly)


def columnsOf(item: FetchItem) -> tuple[Column, ...]:
    if isinstance(item, Attribute):
        return (_COLUMNS[item],)
    if isinstance(item, BinarySection):
        return (Column.CONTENT,)
    wanted = item.section
    if wanted.needsHeaderOnly:
        return (Column.HEADER,)
    if wanted.text is Text.TEXT and not wanted.path:
        return Column.HEADER, Column.CONTENT
    return (Column.CONTENT,)


class Message:
    """One row, as sections see it."""

    def __init__(self, columns: Sequence[Column], row: Row, trees: TreeKeeper) -> None:
        values = dict(zip(columns, row, strict=True))
        self._uid: int = row[0]
        self._header: bytes = _withoutNUL(values.get(Column.HEADER, b""))
        self._content: IContent | None = values.get(Column.CONTENT)
        self._trees = trees
        self._decoded: dict[tuple[int, ...], bytes | None] = {}

    def answer(self, wanted: BodySection) -> Iterator[bytes]:
        """`section-name SP nstring`: NIL for what does not exist, a literal for what does, if only an empty one."""
        found = self.find(wanted.section)
        if found is None:
            yield wanted.label + b" NIL"
        elif isinstance(found, bytes):
            yield _literal(wanted, found)
        else:
            start, end = found if wanted.partial is None else section.partial(found, *wanted.partial)
            yield b"%b {%d}\r\n" % (wanted.label, end - start)
            yield from self.pieces(start, end)

    def octets(self, wanted: BodySection) -> Iterator[bytes] | None:
        """What `answer` puts into its literal; None for what does not exist."""
        found = self.find(wanted.section)
        if found is None:
            return None
        if isinstance(found, bytes):
            return iter((_part(wanted, found),))
        return self.pieces(*(found if wanted.partial is None else section.partial(found, *wanted.partial)))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """A range of the message's octets."""
        for at in range(start, end, PIECE):
            yield self._read(at, min(end, at + PIECE))

    def decode(self, items: Sequence[BinarySection]) -> None:
        """Undo the encodings of some parts. :raises UnknownEncoding: of one of them that cannot be."""
        for item in items:
            if item.path not in self._decoded:
                content = self._content
                assert content is not None
                self._decoded[item.path] = section.binary(
                    item.path, content.read(), self._trees.tree(self._uid, content)
                )

    def binary(self, item: BinarySection) -> Iterator[bytes]:
        """`section-binary SP (nstring / literal8)`, or the number of octets; a part that is not there has none."""
        found = self._decoded[item.path]
        if item.isSize:
            yield b"%b %d" % (item.label, len(found or b""))
        elif found is None:
            yield item.label + b" NIL"
        else:
            if item.partial is not None:
                found = found[item.partial[0] : sum(item.partial)]
            yield b"%b %b{%d}\r\n" % (item.label, b"~" if b"\0" in found else b"", len(found))
            for at in range(0, len(found), PIECE):
                yield found[at : at + PIECE]

    def find(self, wanted: section.Section) -> bytes | Range | None:
        """A section's octets where they had to be picked, or its range."""
        if wanted.needsHeaderOnly:
            return section.picked(wanted, self._header)
        content = self._content
        assert content is not None
        located = section.locate(wanted, content.size, len(self._header), lambda: self._trees.tree(self._uid, content))
        if located is None or wanted.text not in (Text.FIELDS, Text.FIELDS_NOT):
            return located
        return section.picked(wanted, self._read(*located))

    def _read(self, start: int, end: int) -> bytes:
        assert self._content is not None
        octets = self._content.read(start, end - start)
        if len(octets) != end - start:
            raise Vanished()  # its length has been announced
        return _withoutNUL(octets)


def _withoutNUL(octets: bytes) -> bytes:
    return octets.replace(b"\0", b"\x80")
