"""A message's content while it comes in: what is kept, what is wrong with it, and when enough is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mailfw.message.binarymime import withoutBinary
from mailfw.smtp.data import Inspection, Normalizer
from mailfw.smtp.reply import Reply, reply
from mailfw.smtp.stamp import HEADER_LIMIT, headerOf, isLooping
from mailfw.values import MessageSource

if TYPE_CHECKING:
    from mailfw.net.limits import Limits
    from mailfw.net.spool import SpoolDirectory


_NO_ROOM = reply(452, "4.3.1", "no room for the message at the moment")


class Content:
    """One message's octets, over all of DATA or of a sequence of BDAT chunks.

    Whatever goes wrong, it goes on counting and keeps nothing more, so that the client can be told at the end, in the right
    place. Only a client that sends twice what is allowed is not heard out: `isHopeless`.

    :param isNormalized: bare CR and LF are made CRLF, not refused.
    :param isBinary: it may be no lines (RFC 3030 §3); `encode` makes it such.
    :param failed: is told once when the spool cannot be written.
    """

    def __init__(
        self, spools: SpoolDirectory, limits: Limits, isNormalized: bool, isBinary: bool, failed: Callable[[], None]
    ) -> None:
        self._spools = spools
        self._spool = spools.open()
        self._isBinary = isBinary
        self._limits = limits
        self._failed = failed
        self._hasFailed = False
        self._normalizer = Normalizer(self._keep) if isNormalized and not isBinary else None
        self._inspection = Inspection(limits.bodyLine)
        self._refused = 0
        self._source: MessageSource | None = None
        self._headerSize: int | None = None  # once it was encoded

    @property
    def size(self) -> int:
        """Octets that came."""
        return self._inspection.size + self._refused

    @property
    def isTooLarge(self) -> bool:
        """Whether more came, or was announced, than a message may have."""
        return self.size > self._limits.messageSize

    @property
    def isHopeless(self) -> bool:
        """Whether so much more came that the client is cut off."""
        return self.size > 2 * self._limits.messageSize

    @property
    def headerSize(self) -> int:
        """Octets of the header with its empty line; -1: there is no empty line."""
        return self._inspection.headerSize if self._headerSize is None else self._headerSize

    def take(self, piece: bytes) -> None:
        """More octets, decoded."""
        if self.isTooLarge or self._hasFailed:
            self._refused += len(piece)
        elif self._normalizer is not None:
            self._normalizer.feed(piece)
        else:
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self._inspection.feed(piece)
        if self.isTooLarge:
            self._spool.discard()
            return
        try:
            self._spool.write(piece)
        except OSError:
            self._hasFailed = True
            self._failed()
            self._spool.discard()

    def finish(self) -> MessageSource | Reply:
        """All has come: the message, or why it is refused."""
        if self._normalizer is not None:
            self._normalizer.finish()
        if (refused := self.fault()) is not None:
            return refused
        try:
            self._source = self._spool.finish()
            isLoop = isLooping(self.header(), self._limits.receivedHeaders)
        except OSError:
            self._failed()
            return _NO_ROOM
        return reply(554, "5.4.6", "too many Received fields: the message is in a loop") if isLoop else self._source

    def fault(self) -> Reply | None:
        """What can be said against the octets that came."""
        found = self._inspection
        if self.isTooLarge:
            return reply(552, "5.3.4", f"message over {self._limits.messageSize} octets")
        if self._hasFailed:
            return _NO_ROOM
        if found.headerSize > HEADER_LIMIT:
            return reply(552, "5.3.4", f"message header over {HEADER_LIMIT} octets")
        return None if self._isBinary else self._faultOfLines(found)

    def _faultOfLines(self, found: Inspection) -> Reply | None:
        if found.hasNUL:
            return reply(554, "5.6.0", "message contains NUL")
        if self._normalizer is None and found.hasBareEnds:
            return reply(554, "5.6.0", "message contains a bare CR or a bare LF; lines end in CRLF")
        if found.isLineTooLong:
            return reply(554, "5.6.0", f"message contains a line over {self._limits.bodyLine} octets")
        return None

    @property
    def mustBeEncoded(self) -> bool:
        """Whether it is no lines yet."""
        return self._isBinary

    def encode(self) -> MessageSource | Reply:
        """After `finish`: the message with its binary parts in base64. Blocking, and holds the message in memory."""
        assert self._source is not None
        octets = withoutBinary(self._source.read())
        found = Inspection(self._limits.bodyLine)
        found.feed(octets)
        if (refused := self._faultOfLines(found)) is not None:
            return refused
        self._spool.discard()
        self._spool, self._headerSize = self._spools.open(), found.headerSize
        try:
            self._spool.write(octets)
            self._source = self._spool.finish()
        except OSError:
            self._failed()
            return _NO_ROOM
        return self._source

    def header(self) -> bytes:
        """The header with its empty line; what there is of the content where it has none."""
        assert self._source is not None
        return headerOf(self._source, self.headerSize)

    def discard(self) -> None:
        """Forget it; its source is used no more."""
        self._spool.discard()


class Sink(Protocol):
    """Takes a message's octets off the wire: `data.DataDecoder`, `data.ChunkCounter`."""

    def feed(self, data: bytes, /) -> bytes | None:
        """None: wants more; octets: has had enough, and these are left over."""


class BoundedSink:
    """A sink that has had enough, too, when its content is beyond hope."""

    def __init__(self, sink: Sink, content: Content) -> None:
        self._sink = sink
        self._content = content

    def feed(self, data: bytes) -> bytes | None:
        """As the sink does."""
        rest = self._sink.feed(data)
        return b"" if rest is None and self._content.isHopeless else rest
