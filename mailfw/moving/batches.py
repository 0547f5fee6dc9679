"""Messages of a mailbox in batches, the next being read while the last is written."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import IO

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from mailfw.errors import Vanished
from mailfw.interfaces import IAccount, IContent, IMailbox, Row
from mailfw.values import Column, MailboxInfo, MailboxStatus, MessageSource, NewMessage, UIDSet

BATCH = 500  # messages
BATCH_OCTETS = 8 << 20
SPOOL_FROM = 1 << 20  # octets of a message that waits in a file

_COLUMNS = (Column.UID, Column.FLAGS, Column.INTERNAL_DATE, Column.CONTENT)


@frozen
class Carried:
    """A message on its way. :ivar digest: of its content, however a store keeps line ends."""

    uid: int
    message: NewMessage
    digest: bytes = b""


@define
class Batch:
    """Messages in the order of their UIDs. :ivar octets: theirs. `close` when they are where they go.

    :ivar gone: UIDs of messages whose contents are gone; the last batch may have no others.
    """

    messages: list[Carried] = field(factory=list)
    octets: int = 0
    gone: list[int] = field(factory=list)
    files: list[IO[bytes]] = field(factory=list)

    def close(self) -> None:
        """Let go of large contents."""
        for file in self.files:
            with suppress(OSError):
                file.close()


def digestOf(content: bytes) -> bytes:
    """What a content is known by across stores, of which some keep line ends in their own way."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n").rstrip()).digest()


class Digest:
    """`digestOf`, piece by piece."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held: list[bytes] = []  # white space, which counts only where more follows

    def feed(self, piece: bytes) -> None:
        """Some more octets."""
        end = len(piece.rstrip())
        if not end:
            self._held.append(piece)
            return
        self._hash.update(b"".join([*self._held, piece[:end]]).replace(b"\r\n", b"\n"))
        self._held = [piece[end:]]

    def finish(self) -> bytes:
        """What the content is known by."""
        return self._hash.digest()


def contentDigests(rows: Sequence[Row]) -> list[bytes]:
    """Of rows of `Column.CONTENT`, without having large ones in memory."""
    found = []
    for (content,) in rows:
        with suppress(Vanished):
            found.append(_digestIn(content))
    return found


def _digestIn(content: IContent) -> bytes:
    digest = Digest()
    for start in range(0, content.size, SPOOL_FROM):
        digest.feed(content.read(start, SPOOL_FROM))
    return digest.finish()


class Batches:
    """The messages of a mailbox.

    :param wantsDigests: they are to be compared.
    """

    def __init__(self, mailbox: IMailbox, uids: UIDSet, wantsDigests: bool) -> None:
        self._rows = mailbox.rows(uids, _COLUMNS, self._render)
        self._wantsDigests = wantsDigests
        self._rest: list[tuple[Carried, IO[bytes] | None] | int] = []

    async def __aiter__(self) -> AsyncIterator[Batch]:
        reading = Deferred.fromCoroutine(self._next())
        try:
            while (batch := await reading).messages or batch.gone:
                reading = Deferred.fromCoroutine(self._next())
                yield batch
        finally:
            reading.addCallbacks(lambda batch: batch.close() if batch is not None else None, lambda failure: None)

    async def _next(self) -> Batch:
        batch = Batch()
        while len(batch.messages) < BATCH and batch.octets < BATCH_OCTETS:
            if not self._rest:
                self._rest = await anext(self._rows, [])
                if not self._rest:
                    break
            found = self._rest.pop(0)
            if isinstance(found, int):
                batch.gone.append(found)
                continue
            carried, file = found
            batch.messages.append(carried)
            batch.octets += carried.message.source.size
            batch.files += [file] if file is not None else []
        return batch

    def _render(self, rows: Sequence[Row]) -> Iterator[tuple[Carried, IO[bytes] | None] | int]:
        for uid, flags, date, content in rows:
            try:
                octets = content.read()
            except Vanished:
                yield int(uid)
                continue
            digest = digestOf(octets) if self._wantsDigests else b""
            file = None
            source = MessageSource(octets)
            if len(octets) > SPOOL_FROM:
                file = NamedTemporaryFile(prefix="mailfw-")  # noqa: SIM115 - the batch closes it
                file.write(octets)
                file.flush()
                source = MessageSource(path=file.name, length=len(octets))
            yield Carried(uid, NewMessage(source, flags, date), digest), file


class StoredMailbox:
    """A mailbox of a store, as one that mail comes from."""

    def __init__(self, mailbox: IMailbox) -> None:
        self._mailbox = mailbox

    async def status(self) -> MailboxStatus:
        """Its counters."""
        return await self._mailbox.status()

    def batches(self, uids: UIDSet, wantsDigests: bool) -> AsyncIterable[Batch]:
        """Its messages."""
        return Batches(self._mailbox, uids, wantsDigests)

    async def count(self, uids: UIDSet) -> int:
        """How many messages there are of these."""
        count = 0
        async for some in self._mailbox.rows(uids, (Column.UID,), lambda rows: [len(rows)]):
            count += sum(some)
        return count


class StoredAccount:
    """An account of a store, as one that mail comes from."""

    def __init__(self, account: IAccount) -> None:
        self.owner = account.owner
        self.metadata = account.metadata
        self.rights = account.rights
        self.mailboxes = account.mailboxes
        self._account = account

    async def open(self, info: MailboxInfo) -> StoredMailbox:
        """:raises NoSuchMailbox:"""
        return StoredMailbox(await self._account.open(info.name))

    def label(self, info: MailboxInfo) -> str:
        """What tells it from others that go to the same place: none does."""
        return ""
