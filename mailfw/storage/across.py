"""Copies and moves between accounts, whichever database files these are in.

A copy is atomic in the destination. A move is a durable copy and then an expunge: a crash between may leave both, never neither.
However much is copied, `MEMORY` octets of it are in memory at once; the rest waits in a temporary file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import IO, Self

from mailfw.errors import NoPermission, NotSupported, UIDValidityChanged, Unavailable
from mailfw.interfaces import IAccount, Row
from mailfw.values import (
    Append,
    Appended,
    Column,
    Copied,
    Copy,
    Expunge,
    MessageSource,
    Move,
    NewMessage,
    Operation,
    UIDSet,
)

MEMORY = 4 << 20

_COLUMNS = (Column.UID, Column.FLAGS, Column.INTERNAL_DATE, Column.CONTENT)


class Across:
    """Opens the other account as the same identity, so that its rights decide."""

    def __init__(self, openAccount: Callable[[str], Awaitable[IAccount]]) -> None:
        self._openAccount = openAccount

    async def transfer(self, source: IAccount, operations: Sequence[Operation]) -> Copied:
        """Do the one operation, a Copy or Move whose account is another.

        :raises NotSupported: there are other operations beside it, which could not be undone together with it.
        :raises NoPermission: the identity may not use the other account, or may not take messages out of this one.
        """
        operation = operations[0]
        if len(operations) > 1 or not isinstance(operation, (Copy, Move)):
            raise NotSupported("a copy to another account stands alone")
        target = await self._openAccount(operation.account)
        mailbox = await source.open(operation.mailbox)
        if operation.uidValidity not in (0, mailbox.info.uidValidity):
            raise UIDValidityChanged()
        if isinstance(operation, Move) and not set("te") <= set(mailbox.info.rights):
            raise NoPermission()
        messages: list[tuple[int, NewMessage]] = []
        with _Waiting() as waiting:
            async for items in mailbox.rows(operation.uids, _COLUMNS, waiting.read):
                messages += items
            waiting.flush()
            results = await target.apply([Append(operation.target, tuple(message for _, message in messages))])
        appended = results[0]
        assert isinstance(appended, Appended)
        uids = tuple(uid for uid, _ in messages)
        if isinstance(operation, Move):
            moved = UIDSet.fromUIDs(uids)
            await source.apply([Expunge(operation.mailbox, moved, False, operation.uidValidity)])
        return Copied(appended.uidValidity, uids, appended.uids, appended.modSeq)


class _Waiting:
    """Messages on their way, read from one store and not yet in the other."""

    def __init__(self) -> None:
        self._room = MEMORY
        self._file: IO[bytes] | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with suppress(OSError):  # it writes what is still in memory, for which there may be no room
            self._opened.close()
        if isinstance(error, OSError):
            raise Unavailable() from error

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[int, NewMessage]]:
        """A `render`. :raises OSError: the disk is full."""
        for uid, flags, date, content in rows:
            yield uid, NewMessage(self._source(content.read()), flags, date)

    def flush(self) -> None:
        """The sources can be read now. :raises OSError: the disk is full."""
        if self._file is not None:
            self._file.flush()

    def _source(self, octets: bytes) -> MessageSource:
        if len(octets) <= self._room:
            self._room -= len(octets)
            return MessageSource(octets)
        if self._file is None:
            self._file = self._opened.enter_context(NamedTemporaryFile(prefix="mailfw-"))  # noqa: SIM115 - the stack is one
        start = self._file.tell()
        self._file.write(octets)
        return MessageSource(path=self._file.name, offset=start, length=len(octets))
