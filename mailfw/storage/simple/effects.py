"""What operations do to files, worked out before anything is done: and the two places that go with it.

`Rehearsed` is where the engine believes the octets to be while operations are rehearsed; it notes each effect. `Files` is where
they are when the operations are done for good, after the files were changed.

Effects happen in phases: folders are made, messages added, flagged, removed; then folders are renamed and deleted. Operations
that would need another order (a message put into a folder that the same call renames first) are refused, for their intent could
not be told apart after a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import define, field, frozen

from mailfw.errors import NotSupported, Vanished
from mailfw.sql import Connection
from mailfw.storage.content import Arriving
from mailfw.storage.flags import decode
from mailfw.storage.transaction import MailboxRef, Stored
from mailfw.values import Entry, MessageSource

_FILE = "SELECT name, locator FROM file WHERE mailbox = ? AND uid = ?"
_ADD_FILE = "INSERT INTO file (mailbox, name, uid, locator) VALUES (?, ?, ?, ?)"
_REMOVE_FILE = "DELETE FROM file WHERE mailbox = ? AND uid = ?"
_MOVE_FILE = "UPDATE file SET locator = ? WHERE mailbox = ? AND uid = ?"


@frozen
class Held:
    """A message that is in a folder already."""

    folder: str
    entry: Entry


@define(eq=False)
class Add:
    """A message to be added to a folder.

    :ivar origin: where its octets are: a source, a message in a folder, or one that is itself to be added.
    :ivar uid: which it has to have; 0: the next one.
    :ivar key: chosen by the store before it is added.
    :ivar entry: what the store said when it had been added.
    """

    folder: str
    origin: MessageSource | Held | Add
    flags: frozenset[str]
    internalDate: float
    key: str = ""
    entry: Entry | None = None
    uid: int = 0


@define(eq=False)
class Mark:
    """Flags for a message. :ivar entry: the store's, when it has been done."""

    message: Held | Add
    mailbox: int
    uid: int
    flags: frozenset[str]
    entry: Entry | None = None


@define
class Effects:
    """All that some operations do to files, by phases.

    :ivar sizes: how many messages are in a folder from which some are dropped, before anything is done.
    """

    makes: list[str] = field(factory=list)
    adds: list[Add] = field(factory=list)
    marks: list[Mark] = field(factory=list)
    drops: list[Held | Add] = field(factory=list)
    renames: list[tuple[str, str]] = field(factory=list)
    deletes: list[str] = field(factory=list)
    sizes: dict[str, int] = field(factory=dict)

    @property
    def count(self) -> int:
        """How many messages and folders are concerned."""
        messages = len(self.adds) + len(self.marks) + len(self.drops)
        return messages + len(self.makes) + len(self.renames) + len(self.deletes)

    @property
    def needsIntent(self) -> bool:
        """Whether the files alone could not tell, after a crash, what was meant."""
        return self.count > 1 or any(add.uid for add in self.adds)


class Rehearsed:
    """An `IPlace` that notes what would be done.

    :ivar kept: the flags that the format has; None: all of them; empty: none.
    """

    hasGrace = False

    def __init__(self, kept: frozenset[str] | None, hasFolders: bool) -> None:
        self.effects = Effects()
        self._kept = None if kept is None else frozenset(flag.lower() for flag in kept)
        self._hasFolders = hasFolders
        self._pending: dict[tuple[int, int], Add] = {}

    def keep(self, connection: Connection, email: int, arriving: Arriving) -> None:
        """The files have it."""

    def share(self, connection: Connection, content: int) -> None:
        """Files are never shared."""
        raise NotSupported()

    def appended(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """Messages come from outside."""
        self._folderMustStand()
        for uid, (arriving, row) in zip(uids, messages, strict=True):
            self._add(mailbox, uid, row, arriving.source)

    def adopted(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """They do, and have to have these UIDs."""
        self._folderMustStand()
        for uid, (arriving, row) in zip(uids, messages, strict=True):
            self._add(mailbox, uid, row, arriving.source).uid = uid

    def copied(
        self,
        connection: Connection,
        source: MailboxRef,
        target: MailboxRef,
        uids: Sequence[int],
        messages: Sequence[Stored],
        isMove: bool,
    ) -> None:
        """Messages come from a folder."""
        self._folderMustStand()
        for uid, row in zip(uids, messages, strict=True):
            held = self._message(connection, source, row)
            self._add(target, uid, row, held)
            if isMove:
                self.effects.drops.append(held)

    def expunged(self, connection: Connection, mailbox: MailboxRef, messages: Sequence[Stored]) -> None:
        """Messages go."""
        self._folderMustStand()
        self.effects.drops += [self._message(connection, mailbox, row) for row in messages]

    def flagged(self, connection: Connection, mailbox: MailboxRef, before: Sequence[Stored], after: Sequence[Stored]) -> None:
        """Flags change; only those that the format has concern the files."""
        self._folderMustStand()
        for old, new in zip(before, after, strict=True):
            flags = decode(new.bits, new.keywords)
            if self._inFormat(decode(old.bits, old.keywords)) != self._inFormat(flags):
                self.effects.marks.append(Mark(self._message(connection, mailbox, new), mailbox.id, new.uid, flags))

    def created(self, connection: Connection, name: str) -> None:
        """A folder is made."""
        self._folderMustStand()
        self._mustHaveFolders()
        self.effects.makes.append(name)

    def renamed(self, connection: Connection, names: Sequence[tuple[str, str]]) -> None:
        """Folders get other names."""
        self._mustHaveFolders()
        if self.effects.deletes:
            raise NotSupported("folders are deleted last here")
        self.effects.renames += names

    def deleted(self, connection: Connection, name: str) -> None:
        """A folder goes."""
        self._mustHaveFolders()
        self.effects.deletes.append(name)

    def _inFormat(self, flags: frozenset[str]) -> frozenset[str]:
        folded = frozenset(flag.lower() for flag in flags)
        return folded if self._kept is None else folded & self._kept

    def _add(self, mailbox: MailboxRef, uid: int, row: Stored, origin: MessageSource | Held | Add) -> Add:
        add = Add(mailbox.name, origin, decode(row.bits, row.keywords), row.internalDate)
        self._pending[mailbox.id, uid] = add
        self.effects.adds.append(add)
        return add

    def _message(self, connection: Connection, mailbox: MailboxRef, row: Stored) -> Held | Add:
        pending = self._pending.get((mailbox.id, row.uid))
        if pending is not None:
            return pending
        found = connection.execute(_FILE, (mailbox.id, row.uid)).fetchone()
        if found is None:
            raise Vanished()
        return Held(mailbox.name, Entry(found[0], found[1], decode(row.bits, row.keywords), row.internalDate, row.size))

    def _folderMustStand(self) -> None:
        if self.effects.renames or self.effects.deletes:
            raise NotSupported("folders are renamed and deleted last here")

    def _mustHaveFolders(self) -> None:
        if not self._hasFolders:
            raise NotSupported("this store has no folders but those that are there")


class Files:
    """An `IPlace` in which everything has happened: it notes what the store said.

    :ivar adds: what was added, in the order of the rehearsal.
    """

    hasGrace = False

    def __init__(self, effects: Effects) -> None:
        self._adds: Iterator[Add] = iter(effects.adds)
        self._marks = {(mark.mailbox, mark.uid): mark.entry for mark in effects.marks}

    def keep(self, connection: Connection, email: int, arriving: Arriving) -> None:
        """The files have it."""

    def share(self, connection: Connection, content: int) -> None:
        """Files are never shared."""
        raise NotSupported()

    def appended(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """Each has the next file."""
        self._note(connection, mailbox, uids)

    def adopted(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """Likewise."""
        self._note(connection, mailbox, uids)

    def copied(
        self,
        connection: Connection,
        source: MailboxRef,
        target: MailboxRef,
        uids: Sequence[int],
        messages: Sequence[Stored],
        isMove: bool,
    ) -> None:
        """Each has the next file; the first ones may be gone."""
        if isMove:
            self.expunged(connection, source, messages)
        self._note(connection, target, uids)

    def expunged(self, connection: Connection, mailbox: MailboxRef, messages: Sequence[Stored]) -> None:
        """Their files are gone."""
        connection.executemany(_REMOVE_FILE, [(mailbox.id, row.uid) for row in messages])

    def flagged(self, connection: Connection, mailbox: MailboxRef, before: Sequence[Stored], after: Sequence[Stored]) -> None:
        """Their files may be elsewhere now."""
        for row in after:
            entry = self._marks.get((mailbox.id, row.uid))
            if entry is not None:
                connection.execute(_MOVE_FILE, (entry.locator, mailbox.id, row.uid))

    def created(self, connection: Connection, name: str) -> None:
        """It is there."""

    def renamed(self, connection: Connection, names: Sequence[tuple[str, str]]) -> None:
        """It has its name: files are known by mailbox id."""

    def deleted(self, connection: Connection, name: str) -> None:
        """It is gone; its rows are cleared away with the mailbox's."""

    def _note(self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int]) -> None:
        for uid in uids:
            entry = next(self._adds).entry
            assert entry is not None
            connection.execute(_ADD_FILE, (mailbox.id, entry.key, uid, entry.locator))
