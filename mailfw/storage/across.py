"""Copies and moves between accounts, whichever database files these are in.

A copy is atomic in the destination. A move is a durable copy and then an expunge: a crash between may leave both, never neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from mailfw.errors import NoPermission, NotSupported, UIDValidityChanged
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
        async for items in mailbox.rows(operation.uids, _COLUMNS, _read):
            messages += items
        results = await target.apply([Append(operation.target, tuple(message for _, message in messages))])
        appended = results[0]
        assert isinstance(appended, Appended)
        uids = tuple(uid for uid, _ in messages)
        if isinstance(operation, Move):
            moved = UIDSet.fromUIDs(uids)
            await source.apply([Expunge(operation.mailbox, moved, False, operation.uidValidity)])
        return Copied(appended.uidValidity, uids, appended.uids, appended.modSeq)


def _read(rows: Sequence[Row]) -> list[tuple[int, NewMessage]]:
    return [(uid, NewMessage(MessageSource(content.read()), flags, date)) for uid, flags, date, content in rows]
