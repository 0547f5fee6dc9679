"""Doing to the files what operations need, phase by phase, under an intent where more than one thing is concerned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import TypeVar

from attrs import define

from mailfw.interfaces import ISimpleFlags, ISimpleFolders, ISimpleStore
from mailfw.sql import Connection, Database
from mailfw.storage.simple import intents
from mailfw.storage.simple.effects import Add, Effects, Held, Mark
from mailfw.values import Entry, MessageSource, NewMessage

T = TypeVar("T")
GROUP_OCTETS = 16 * 1024 * 1024  # of messages that are copied, held in memory at a time

_ADD_INTENT = "INSERT INTO intent (account, plan) VALUES (?, ?)"
_SET_INTENT = "UPDATE intent SET plan = ? WHERE id = ?"
_SIZE = "SELECT messages FROM mailbox WHERE account = ? AND name = ?"
_FORGET_INTENT = "DELETE FROM intent WHERE id = ?"


@define
class Performance:
    """One `apply` on the files of an account. Blocks; called in the account's strand.

    :ivar intent: key of the intent's row; 0 while none was written.
    """

    store: ISimpleStore
    database: Database
    account: str
    key: int
    effects: Effects
    intent: int = 0

    def run(self) -> None:
        """Change the files. When this raises, `intent` says whether something may be half done."""
        effects, account = self.effects, self.account
        for folder in {one.folder for one in effects.drops}:
            effects.sizes[folder] = self._size(folder)
        self._note()
        for name in effects.makes:
            ISimpleFolders(self.store).createFolder(account, name)
        for group in self._groups():
            if effects.needsIntent:
                self._note()
            self._append(group)
        for folder, marks in _byFolder(effects.marks, lambda one: one.message.folder):
            self._mark(folder, marks)
        for folder, drops in _byFolder(effects.drops, lambda one: one.folder):
            self.store.remove(account, folder, [_entry(one) for one in drops])
        for old, new in effects.renames:
            ISimpleFolders(self.store).renameFolder(account, old, new)
        for name in effects.deletes:
            ISimpleFolders(self.store).deleteFolder(account, name)

    def undo(self) -> None:
        """The state could not be completed: take messages out again that were only added, so that no repeat doubles them. What
        cannot be taken back stays, and so does the intent."""
        effects = self.effects
        if not (effects.marks or effects.drops or effects.renames or effects.deletes):
            for folder, adds in _byFolder(effects.adds, lambda one: one.folder):
                self.store.remove(self.account, folder, [_entry(one) for one in adds])

    def forget(self, connection: Connection) -> None:
        """In the transaction that completes the state: the intent is fulfilled."""
        if self.intent:
            connection.execute(_FORGET_INTENT, (self.intent,))

    def _size(self, folder: str) -> int:
        row = self.database.readHere(lambda connection: connection.execute(_SIZE, (self.key, folder)).fetchone())
        return 0 if row is None else int(row[0])

    def _note(self) -> None:
        """Write down what is going to happen, with the keys that are chosen by now."""
        if self.effects.needsIntent:
            self.intent = self.database.call(partial(self._write, intents.write(self.effects)))

    def _write(self, plan: str, connection: Connection) -> int:
        if self.intent:
            connection.execute(_SET_INTENT, (plan, self.intent))
            return self.intent
        number = connection.execute(_ADD_INTENT, (self.key, plan)).lastrowid
        assert number is not None
        return number

    # --- Adding

    def _groups(self) -> Iterator[list[tuple[Add, NewMessage]]]:
        """What can be added in one go: different keys, and not too much in memory. A key that repeats one of the group (two equal
        messages, in a format whose keys are digests) is asked for again when the group has been added."""
        group: list[tuple[Add, NewMessage]] = []
        keys: set[tuple[str, str]] = set()
        octets = 0
        for add in self.effects.adds:
            message = NewMessage(self._source(add), add.flags, add.internalDate)
            key = self._newKey(add, message)
            if group and ((add.folder, key) in keys or octets > GROUP_OCTETS):
                yield group
                group, keys, octets = [], set(), 0
                key = self._newKey(add, message)
            add.key = key
            keys.add((add.folder, key))
            octets += len(message.source.data)
            group.append((add, message))
        if group:
            yield group

    def _newKey(self, add: Add, message: NewMessage) -> str:
        """The key that the store foretells. What nobody can write down is refused before the store has a message under it: every
        later scan would find that, and fail. :raises TypeError:"""
        key: object = self.store.newKey(self.account, add.folder, message)
        if not isinstance(key, str) or not key:
            raise TypeError(f"newKey of {type(self.store).__name__} returned {key!r}, which is no key")
        key.encode()
        return key

    def _source(self, add: Add) -> MessageSource:
        origin = add.origin
        while isinstance(origin, Add):
            origin = origin.origin
        if isinstance(origin, Held):
            return MessageSource(self.store.read(self.account, origin.folder, origin.entry))
        return origin

    def _append(self, group: list[tuple[Add, NewMessage]]) -> None:
        for folder, some in _byFolder(group, lambda one: one[0].folder):
            entries = self.store.append(self.account, folder, [(add.key, message) for add, message in some])
            for (add, _), entry in zip(some, entries, strict=True):
                add.entry = entry

    # --- Flags

    def _mark(self, folder: str, marks: list[Mark]) -> None:
        pairs = [(_entry(one.message), one.flags) for one in marks]
        for mark, entry in zip(marks, ISimpleFlags(self.store).setFlags(self.account, folder, pairs), strict=True):
            mark.entry = entry
            if isinstance(mark.message, Add):
                mark.message.entry = entry


def _entry(message: Held | Add) -> Entry:
    entry = message.entry
    assert entry is not None
    return entry


def _byFolder(items: Iterable[T], folder: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    return [(name, list(some)) for name, some in groupby(items, folder)]
