"""Mail that lies in files: what a source of it says, and how it is read in threads, batch by batch."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import IO, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred

from mailfw.moving.batches import BATCH, BATCH_OCTETS, SPOOL_FROM, Batch, Carried, Digest
from mailfw.values import Flag, MessageSource, NewMessage

T = TypeVar("T")

MAX_MESSAGE = 256 << 20
"""Octets of a message: whatever is larger is no mail, and a store would hold it in memory."""

InThread = Callable[[Callable[[], T]], Awaitable[T]]
"""Does what blocks, elsewhere."""


_BY_FOLDED = {flag.lower(): flag for flag in (Flag.SEEN, Flag.ANSWERED, Flag.FLAGGED, Flag.DELETED, Flag.DRAFT)}
_KEYWORD = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]{1,100}")


def ours(flags: Iterable[object]) -> frozenset[str]:
    """Those of somebody else's flags that can be ours, as we spell them."""
    words = (flag for flag in flags if isinstance(flag, str))
    spelled = (_BY_FOLDED.get(word.lower(), "") if word.startswith("\\") else word for word in words)
    return frozenset(word for word in spelled if word in _BY_FOLDED.values() or _KEYWORD.fullmatch(word))


@frozen
class Found:
    """A message. :ivar content: its octets in pieces, to be walked once. :ivar place: names it, for people."""

    content: Iterable[bytes]
    flags: frozenset[str]
    date: float | None
    place: str


@frozen
class Folder:
    """Messages that belong together. `read` and `count` block.

    :ivar name: where they go.
    :ivar read: walks over them; what cannot be read it says in `losses`.
    :ivar count: how many there are, about.
    """

    name: str
    read: Callable[[], Iterator[Found]]
    count: Callable[[], int]
    isSubscribed: bool = True
    losses: list[str] = field(factory=list)


class Gathered:
    """The messages of a folder in batches, the next being read while the last is written."""

    def __init__(self, folder: Folder, inThread: InThread[Batch]) -> None:
        self._folder = folder
        self._found = folder.read()
        self._inThread = inThread

    async def __aiter__(self) -> AsyncIterator[Batch]:
        reading = self._begin()
        try:
            while (batch := await reading).messages:
                reading = self._begin()
                yield batch
        finally:
            reading.addCallbacks(lambda batch: batch.close() if batch is not None else None, lambda failure: None)

    def _begin(self) -> Deferred[Batch]:
        async def read() -> Batch:
            return await self._inThread(self._next)

        return Deferred.fromCoroutine(read())

    def _next(self) -> Batch:
        batch = Batch()
        while len(batch.messages) < BATCH and batch.octets < BATCH_OCTETS:
            found = next(self._found, None)
            if found is None:
                break
            try:
                carried, file = spooled(found)
            except (OSError, ValueError) as error:
                self._folder.losses.append(f"{found.place}: {error}")
                continue
            batch.messages.append(carried)
            batch.octets += carried.message.source.size
            batch.files += [file] if file is not None else []
        return batch


def spooled(found: Found) -> tuple[Carried, IO[bytes] | None]:
    """A message ready to go, in memory or in a file. :raises ValueError: it is too large for mail."""
    spool = Spool()
    try:
        for piece in found.content:
            spool.feed(piece)
    except BaseException:
        spool.close()
        raise
    source, file = spool.finish()
    return Carried(0, NewMessage(source, found.flags, found.date), spool.digest.finish()), file


class Spool:
    """A message that comes in pieces. :ivar digest: of what has come."""

    def __init__(self) -> None:
        self.digest = Digest()
        self._pieces: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def feed(self, piece: bytes) -> None:
        """Some more octets. :raises ValueError: they are more than mail has."""
        self._size += len(piece)
        if self._size > MAX_MESSAGE:
            raise ValueError(f"what is larger than {MAX_MESSAGE >> 20} MiB is no mail")
        self.digest.feed(piece)
        if self._file is None and self._size > SPOOL_FROM:
            self._file = NamedTemporaryFile(prefix="mailfw-")  # noqa: SIM115 - whoever has the message closes it
            self._file.write(b"".join(self._pieces))
            self._pieces = []
        if self._file is None:
            self._pieces.append(piece)
        else:
            self._file.write(piece)

    def finish(self) -> tuple[MessageSource, IO[bytes] | None]:
        """The message, and the file that it is in, if it is in one."""
        if self._file is None:
            return MessageSource(b"".join(self._pieces)), None
        self._file.flush()
        return MessageSource(path=self._file.name, length=self._size), self._file

    def close(self) -> None:
        """It comes to nothing."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
