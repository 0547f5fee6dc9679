"""What was under way in an account's files when something failed or the power went: brought to its end, or undone.

An intent with messages to add goes forward only when all of them are in their folders; otherwise those that are there are removed
again. One without goes forward. Every step may be repeated. What the state does not know afterwards, `reconcile` finds; the
intent supplies the flags that the format cannot keep.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from mailfw.interfaces import ISimpleFlags, ISimpleFolders, ISimpleStore
from mailfw.storage.simple.effects import Add, Effects, Held
from mailfw.values import Entry

Flags = dict[tuple[str, str], frozenset[str]]


def write(effects: Effects) -> str:
    """The effects as text; to be written again whenever more keys were chosen. Messages that are added only to be removed again
    (`passing`) are told apart: they need not be there for all to have been added."""
    passing = [one for one in effects.drops if isinstance(one, Add)]
    staying = [one for one in effects.adds if one not in passing]
    return json.dumps(
        {
            "makes": effects.makes,
            "count": len(staying),
            "adds": [[add.folder, add.key, sorted(add.flags)] for add in staying if add.key],
            "uids": [[add.folder, add.key, add.uid] for add in staying if add.uid and add.key],
            "passing": [[add.folder, add.key] for add in passing if add.key],
            "marks": [[one.message.folder, _key(one.message), sorted(one.flags)] for one in effects.marks],
            "drops": [[one.folder, one.entry.key] for one in effects.drops if isinstance(one, Held)],
            "sizes": effects.sizes,
            "renames": effects.renames,
            "deletes": effects.deletes,
        }
    )


def _key(message: Held | Add) -> str:
    return message.key if isinstance(message, Add) else message.entry.key


@frozen
class Ended:
    """What the state has to learn.

    :ivar isForward: the intent was brought to its end; False: undone.
    :ivar flags: (folder, key) → the flags of messages that were added or marked.
    :ivar uids: (folder, key) → the UID that a message has to have.
    """

    isForward: bool
    flags: Mapping[tuple[str, str], frozenset[str]]
    renames: tuple[tuple[str, str], ...]
    uids: Mapping[tuple[str, str], int] = field(factory=dict)


@define
class Recovery:
    """Ends one intent of an account. Blocks."""

    store: ISimpleStore
    account: str
    plan: dict[str, Any]  # as `write` wrote it
    _scans: dict[str, dict[str, Entry]]

    @classmethod
    def of(cls, store: ISimpleStore, account: str, text: str) -> Recovery:
        """From an intent's text."""
        return cls(store, account, json.loads(text), {})

    def run(self) -> Ended:
        """Forward or back, whatever the files say."""
        plan = self.plan
        adds = plan["adds"]
        isForward = len(adds) == plan["count"] and all(self._entry(folder, key) is not None for folder, key, _ in adds)
        if not isForward:
            for folder, key in [*(one[:2] for one in adds), *plan["passing"]]:
                self._drop(folder, key)
            self._unmake(plan["makes"])
            return Ended(False, {}, ())
        flags: Flags = {(folder, key): frozenset(some) for folder, key, some in adds + plan["marks"]}
        for folder, key, some in plan["marks"]:
            self._mark(folder, key, frozenset(some))
        for folder, key in plan["passing"]:
            self._drop(folder, key)
        self._dropAll(plan["drops"])
        renames = tuple((old, new) for old, new in plan["renames"])
        self._renameFolders(renames)
        self._deleteFolders(plan["deletes"])
        uids = {(folder, key): uid for folder, key, uid in plan.get("uids", ())}
        return Ended(True, flags, renames, uids)

    def _entry(self, folder: str, key: str) -> Entry | None:
        if folder not in self._scans:
            isThere = folder == "INBOX" or folder in set(self.store.folders(self.account))
            self._scans[folder] = {one.key: one for one in self.store.scan(self.account, folder)} if isThere else {}
        return self._scans[folder].get(key)

    def _unmake(self, names: list[str]) -> None:
        """Remove folders that were made, unless somebody has put messages there."""
        there = set(self.store.folders(self.account)) if names else set()
        for name in reversed(names):
            if name in there and not list(self.store.scan(self.account, name)):
                ISimpleFolders(self.store).deleteFolder(self.account, name)

    def _dropAll(self, drops: list[tuple[str, str]]) -> None:
        """Remove what is still to be removed. A folder in which nothing is left to do is let alone: where keys are digests, the
        key of a message that was removed may be that of an equal one now."""
        left: Counter[str] = Counter(folder for folder, _ in drops)
        came = Counter(folder for folder, _, _ in self.plan["adds"])
        for folder, key in drops:
            self._entry(folder, key)
            if len(self._scans[folder]) > self.plan["sizes"][folder] + came[folder] - left[folder]:
                self._drop(folder, key)

    def _drop(self, folder: str, key: str) -> None:
        entry = self._entry(folder, key)
        if entry is not None:
            self.store.remove(self.account, folder, [entry])

    def _mark(self, folder: str, key: str, flags: frozenset[str]) -> None:
        entry = self._entry(folder, key)
        if entry is not None and ISimpleFlags.providedBy(self.store):
            (self._scans[folder][key],) = ISimpleFlags(self.store).setFlags(self.account, folder, [(entry, flags)])

    def _renameFolders(self, renames: tuple[tuple[str, str], ...]) -> None:
        if renames:
            folders = ISimpleFolders(self.store)
            for old, new in renames:
                names = set(self.store.folders(self.account))
                if old in names and new not in names:
                    folders.renameFolder(self.account, old, new)

    def _deleteFolders(self, names: list[str]) -> None:
        for name in names:
            if name in set(self.store.folders(self.account)):
                ISimpleFolders(self.store).deleteFolder(self.account, name)
