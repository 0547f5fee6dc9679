"""A mailbox tree against a model of it: whatever is done in whatever order, every store agrees with forty lines of dictionary."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mailfw.errors import MailboxExists, NoPermission, NoSuchMailbox, Refusal
from mailfw.interfaces import IAccount, IMailStore, IStoreContext
from mailfw.storage.memory import memory
from mailfw.storage.sqlite import sqlite
from mailfw.testing.promises.home import Home, append, assertCountersAreTrue, contents, flagsOf, message
from mailfw.values import (
    Copy,
    Create,
    Delete,
    Expunge,
    FlagChange,
    Move,
    Operation,
    Rename,
    SetFlags,
    UIDSet,
)

T = TypeVar("T")

NAMES = st.sampled_from(["INBOX", "Archive", "a", "a/b", "a/b/c", "d"])
FLAGS = st.frozensets(st.sampled_from(["\\Seen", "\\Deleted", "\\Flagged", "$Work", "$Home"]))
UIDS = st.frozensets(st.integers(1, 12)).map(UIDSet.fromUIDs)


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """What an inline store does at once."""
    found: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(found.append)
    assert found, "an inline store waited"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]  # type: ignore[no-any-return]


@define
class Box:
    """A mailbox of the model: UID → content and flags."""

    messages: dict[int, tuple[bytes, frozenset[str]]] = field(factory=dict)
    uidNext: int = 1

    def add(self, content: bytes, flags: frozenset[str]) -> None:
        self.messages[self.uidNext] = (content, flags)
        self.uidNext += 1


class Machine(RuleBasedStateMachine):
    """Does the same to a store and to the model."""

    @staticmethod
    def openStore(directory: str, context: IStoreContext) -> IMailStore:
        raise NotImplementedError

    isPersistent = True

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.home = Home(self, os.path.join(self.directory.name, "home"), isInline=True)
        os.mkdir(self.home.directory)
        self.boxes: dict[str, Box] = {name: Box() for name in ("INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive")}
        self.count = 0
        self.seen: dict[str, tuple[int, dict[int, frozenset[str]]]] = {}  # what a polling reader knows of each mailbox id
        self.account: IAccount

    @initialize()
    def start(self) -> None:
        self.home.start()
        self.account = now(self.home.account())

    def teardown(self) -> None:
        now(self.home.close())
        self.directory.cleanup()

    def do(self, operation: Operation, *refusals: type[Refusal]) -> bool:
        """Apply; the refusals that the model expects, and no others, come out."""
        if refusals:
            with pytest.raises(refusals):
                now(self.account.apply([operation]))
            return False
        now(self.account.apply([operation]))
        return True

    @rule(name=NAMES, flags=FLAGS, number=st.integers(1, 3))
    def append(self, name: str, flags: frozenset[str], number: int) -> None:
        self.count += 1
        some = [message(self.count * 10 + one) for one in range(number)]
        if name not in self.boxes:
            with pytest.raises(NoSuchMailbox):
                now(append(self.account, *some, mailbox=name))
            return
        now(append(self.account, *some, mailbox=name, flags=flags))
        for content in some:
            self.boxes[name].add(content, flags)

    @rule(name=NAMES, uids=UIDS, change=st.sampled_from(FlagChange), flags=FLAGS)
    def setFlags(self, name: str, uids: UIDSet, change: FlagChange, flags: frozenset[str]) -> None:
        if not self.do(SetFlags(name, uids, change, flags), *([] if name in self.boxes else [NoSuchMailbox])):
            return
        messages = self.boxes[name].messages
        for uid in messages.keys() & set(uids):
            content, old = messages[uid]
            changed = {FlagChange.ADD: old | flags, FlagChange.REMOVE: old - flags, FlagChange.REPLACE: flags}[change]
            messages[uid] = (content, changed)

    @rule(name=NAMES, other=NAMES, uids=UIDS, isMove=st.booleans())
    def copy(self, name: str, other: str, uids: UIDSet, isMove: bool) -> None:
        isThere = name in self.boxes and other in self.boxes
        operation = (Move if isMove else Copy)(name, uids, other)
        if not self.do(operation, *([] if isThere else [NoSuchMailbox])):
            return
        source = self.boxes[name].messages
        for uid in sorted(source.keys() & set(uids)):
            self.boxes[other].add(*source[uid])
            if isMove:
                del source[uid]

    @rule(name=NAMES, uids=UIDS, onlyDeleted=st.booleans())
    def expunge(self, name: str, uids: UIDSet, onlyDeleted: bool) -> None:
        if not self.do(Expunge(name, uids, onlyDeleted), *([] if name in self.boxes else [NoSuchMailbox])):
            return
        messages = self.boxes[name].messages
        for uid in messages.keys() & set(uids):
            if not onlyDeleted or "\\Deleted" in messages[uid][1]:
                del messages[uid]

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        if self.do(Create(name), *([MailboxExists] if name in self.boxes else [])):
            self.boxes[name] = Box()

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name == "INBOX":
            self.do(Delete(name), NoPermission)
        elif self.do(Delete(name), *([] if name in self.boxes else [Refusal])):
            del self.boxes[name]

    @rule(name=NAMES, newName=NAMES)
    def rename(self, name: str, newName: str) -> None:
        moved = [one for one in self.boxes if one == name or one.startswith(name + "/")]
        targets = [newName + one[len(name) :] for one in moved]
        if name == "INBOX":
            moved, targets = ["INBOX"], [newName]
        isPossible = bool(moved) and not any(one in self.boxes for one in (newName, *targets))
        if not isPossible or (newName.startswith(name + "/") and name != "INBOX"):
            self.do(Rename(name, newName), Refusal)
            return
        self.do(Rename(name, newName))
        if name == "INBOX":
            self.boxes[newName] = Box()
            inbox = self.boxes["INBOX"]
            for uid in sorted(inbox.messages):
                self.boxes[newName].add(*inbox.messages.pop(uid))
        else:
            boxes = [self.boxes.pop(one) for one in moved]
            self.boxes.update(zip(targets, boxes, strict=True))

    @rule()
    def reopen(self) -> None:
        if self.isPersistent:
            self.account = now(self.home.reopen())

    @rule()
    def wait(self) -> None:
        self.home.clock.advance(400)

    @invariant()
    def agreesWithTheModel(self) -> None:
        if not hasattr(self, "account"):
            return
        infos = {info.name for info in now(self.account.mailboxes()) if info.isSelectable}
        assert infos == set(self.boxes)
        for name, box in self.boxes.items():
            mailbox = now(self.account.open(name))
            snapshot = now(mailbox.snapshot())
            assert list(snapshot.uids) == sorted(box.messages)
            assert snapshot.status.uidNext == box.uidNext
            flags = now(flagsOf(mailbox))
            found = now(contents(mailbox))
            assert {uid: (found[uid], flags[uid]) for uid in found} == box.messages
            self.poll(mailbox, flags)
        now(assertCountersAreTrue(self.account))

    def poll(self, mailbox: Any, flags: dict[int, frozenset[str]]) -> None:
        """A reader that only ever asks for changes knows the same."""
        modSeq, known = self.seen.get(mailbox.info.mailboxId, (0, {}))
        changes = now(mailbox.changesSince(modSeq))
        known.update({one.uid: one.flags for one in changes.changed})
        for uid in changes.vanished:
            known.pop(uid, None)
        assert known == flags
        assert changes.modSeq >= modSeq
        self.seen[mailbox.info.mailboxId] = (changes.modSeq, known)


class SQLiteMachine(Machine):
    @staticmethod
    def openStore(directory: str, context: IStoreContext) -> IMailStore:
        return sqlite.openStore("mail?shards=1", context)


class MemoryMachine(Machine):
    isPersistent = False

    @staticmethod
    def openStore(directory: str, context: IStoreContext) -> IMailStore:
        return memory.openStore("", context)


@pytest.mark.prove
@pytest.mark.parametrize("machine", [SQLiteMachine, MemoryMachine])
def testEveryStoreAgreesWithTheModel(machine: type[Machine], isProof: bool) -> None:
    bounds = settings(
        max_examples=1000 if isProof else 20,
        stateful_step_count=50 if isProof else 25,
        derandomize=not isProof,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=bounds)  # type: ignore[no-untyped-call]
