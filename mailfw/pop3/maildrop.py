"""An account's INBOX as POP3 sees it: numbered once at login, changed once at QUIT, and one session's at a time.

Invariants:

- Numbers, sizes and octets in all are those of the moment of login, whatever happens to the mailbox meanwhile
  (RFC 1939 §5). A message that somebody else expunged keeps its number, and reading it is refused.
- Nothing changes in the store before `update`. Then what is marked is removed, and what was retrieved whole and stays has been
  seen (docs/decisions/064).
- Memory is twelve octets a message, and some for each retrieved or marked; no listing is ever in memory as a whole, and none
  is made in longer stretches than `LINES` lines.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any

from mailfw.errors import InUse, Refusal, Vanished
from mailfw.interfaces import IAccount, IMailbox, IMailStore, Row
from mailfw.pop3.multiline import Top
from mailfw.values import ALL_UIDS, Column, Expunge, Flag, FlagChange, Operation, SetFlags, UIDSet

INBOX = "INBOX"

LINES = 2000
"""Lines of a listing made at a time: about a millisecond's work."""

CHUNK = 262144
"""Octets of a message read at a time."""

TOP_CHUNK = 16384
"""Octets read first for TOP: holds nearly every header and a screenful of text."""


class NoSuchMessage(Refusal):
    """No message has that number in this session, or it is marked deleted."""

    summary = "no such message"


class MaildropLeases:
    """Which maildrops are held by a session now (RFC 1939 §4); IMAP sessions are not concerned.

    A lease is part of the process and ends with the connection, so that no crash can leave a maildrop locked.
    """

    def __init__(self) -> None:
        self._held: set[tuple[IMailStore, str]] = set()

    def acquire(self, store: IMailStore, account: str) -> Callable[[], None]:
        """Take the maildrop of a canonical account name; what is returned gives it back, however often it is called.

        :raises InUse: another session has it.
        """
        key = store, account
        if key in self._held:
            raise InUse("maildrop is in use by another session")
        self._held.add(key)
        isHeld = True

        def release() -> None:
            nonlocal isHeld
            if isHeld:
                isHeld = False
                self._held.remove(key)

        return release


class Maildrop:
    """One session's view of an INBOX.

    :ivar messages: how many are not marked deleted. :ivar octets: how many octets these have.
    """

    def __init__(self, account: IAccount, mailbox: IMailbox, uids: array[int], sizes: array[int]) -> None:
        self._account = account
        self._mailbox = mailbox
        self._uids = uids
        self._sizes = sizes
        self._deleted: set[int] = set()
        self._retrieved: set[int] = set()
        self.messages = len(uids)
        self.octets = sum(sizes)

    @classmethod
    async def open(cls, account: IAccount) -> Maildrop:
        """Number the messages that are there now."""
        mailbox = await account.open(INBOX)
        uids, sizes = array("I"), array("Q")
        async for pages in mailbox.rows(ALL_UIDS, (Column.UID, Column.SIZE), _columns):
            for pageUIDs, pageSizes in pages:
                uids.extend(pageUIDs)
                sizes.extend(pageSizes)
        return cls(account, mailbox, uids, sizes)

    def size(self, number: int) -> int:
        """Octets of a message, as they are sent but for doubled dots. :raises NoSuchMessage:"""
        self._uid(number)
        return self._sizes[number - 1]

    async def uniqueId(self, number: int) -> str:
        """The message's unique id (RFC 1939 §7). :raises NoSuchMessage: :raises Vanished: it has been expunged meanwhile."""
        uid = self._uid(number)
        async for lines in self._mailbox.rows(UIDSet.of(uid), (Column.UID, Column.UIDL), _second):
            return str(lines[0])
        raise Vanished()

    async def sizeLines(self) -> AsyncGenerator[bytes, None]:
        """`number size` lines of all messages that are not marked deleted."""
        deleted = frozenset(self._deleted)
        for start in range(0, len(self._sizes), LINES):
            page = enumerate(self._sizes[start : start + LINES], start + 1)
            yield b"".join([b"%d %d\r\n" % pair for pair in page if pair[0] not in deleted])

    async def uniqueIdLines(self) -> AsyncGenerator[bytes, None]:
        """`number uid` lines of all messages that are not marked deleted, and not expunged meanwhile."""
        uids, deleted = self._uids, frozenset(self._deleted)
        if not uids:
            return

        def render(rows: Sequence[Row]) -> Iterable[bytes]:
            numbered = ((bisect_left(uids, uid) + 1, uidl) for uid, uidl in rows)
            return [b"".join([b"%d %s\r\n" % (number, uidl.encode()) for number, uidl in numbered if number not in deleted])]

        span = UIDSet(((uids[0], uids[-1]),))
        async for chunks in self._mailbox.rows(span, (Column.UID, Column.UIDL), render):
            yield b"".join(chunks)

    async def content(self, number: int) -> AsyncGenerator[bytes, None]:
        """The whole message. :raises NoSuchMessage: :raises Vanished:"""
        async for data in self._read(number, CHUNK):
            yield data
        self._retrieved.add(number)

    async def top(self, number: int, lines: int) -> AsyncGenerator[bytes, None]:
        """Its header, the empty line, and so many lines of its body. :raises NoSuchMessage: :raises Vanished:"""
        cutter = Top(lines)
        async for data in self._read(number, TOP_CHUNK):
            yield cutter.feed(data)
            if cutter.isDone:
                return

    def delete(self, number: int) -> None:
        """Mark a message deleted. :raises NoSuchMessage: there is none, or it is marked already."""
        self._uid(number)
        self._deleted.add(number)
        self.messages -= 1
        self.octets -= self._sizes[number - 1]

    def undelete(self) -> None:
        """Take all marks away."""
        self.messages = len(self._uids)
        self.octets += sum(self._sizes[number - 1] for number in self._deleted)
        self._deleted.clear()

    async def update(self) -> None:
        """Remove what is marked, exactly that, all or nothing; what somebody else removed before is no error.

        That others cannot be given \\Seen is no error either where there is nothing to remove: nobody has asked for it.
        """
        operations: list[Operation] = []
        if seen := self._retrieved - self._deleted:
            operations.append(
                SetFlags(INBOX, self._uidSet(seen), FlagChange.ADD, frozenset((Flag.SEEN,)), uidValidity=self._validity)
            )
        if self._deleted:
            operations.append(Expunge(INBOX, self._uidSet(self._deleted), onlyDeleted=False, uidValidity=self._validity))
        try:
            if operations:
                await self._account.apply(operations)
        except Refusal:
            if self._deleted:
                raise

    @property
    def _validity(self) -> int:
        return self._mailbox.info.uidValidity

    def _uidSet(self, numbers: Iterable[int]) -> UIDSet:
        return UIDSet.fromUIDs(sorted(self._uids[number - 1] for number in numbers))

    def _uid(self, number: int) -> int:
        if number > len(self._uids) or number in self._deleted:
            raise NoSuchMessage()
        return self._uids[number - 1]

    async def _read(self, number: int, length: int) -> AsyncGenerator[bytes, None]:
        """The message in pieces: the first of `length` octets, the others of CHUNK."""
        uid, start = self._uid(number), 0
        while data := await self._mailbox.read(uid, start, length):
            yield data
            if len(data) < length:
                return
            start, length = start + len(data), CHUNK


def _columns(rows: Sequence[Row]) -> Iterable[tuple[array[int], array[int]]]:
    return [(array("I", [uid for uid, _ in rows]), array("Q", [size for _, size in rows]))]


def _second(rows: Sequence[Row]) -> Iterable[Any]:
    # A row's values have the types that `values.Column` names.
    return [value for _, value in rows]
