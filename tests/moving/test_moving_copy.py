"""Mail is carried from any store to any other: all of it, once, whatever interrupts it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailfw.interfaces import IAccount, IMailStore, IStoreAccounts
from mailfw.moving import AccountSummary, Carrier, Journal, Progress, Stopped
from mailfw.moving import batches as batchesModule
from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.simple.content import FileContent
from mailfw.storage.simple.store import openSimple, statePath
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.promises.home import HomeContext, append, contents, flagsOf, message, promise, read, uidsOf
from mailfw.values import (
    Column,
    Create,
    Delete,
    Expunge,
    FlagChange,
    Identity,
    MessageSource,
    Operation,
    Result,
    SetMetadata,
    SetRights,
    SpecialUse,
    Subscribe,
    Target,
    UIDSet,
)

ME = "mbrain@localhost"
STORES = ("sqlite", "memory", "maildir", "textfile")


def openStore(kind: str, directory: Path) -> IMailStore:
    """A store of a kind, in a data directory of its own."""
    directory.mkdir(exist_ok=True)
    context = HomeContext(str(directory), Clock(), isInline=True)
    context.mailboxes = ()
    if kind == "sqlite":
        return sqlite.openStore("mail?shards=2", context)
    if kind == "memory":
        return memory.openStore("", context)
    plugin = {"maildir": maildir, "textfile": textfile}[kind]
    simple = plugin.openSimpleStore("mail", context)
    return openSimple(simple, statePath(f"{kind}:mail", context.data), context)


async def opened(store: IMailStore, name: str = ME) -> IAccount:
    return await store.openAccount(Identity(name, isAdmin=True), name)


async def furnish(account: IAccount) -> None:
    """Mail of every sort, with gaps among the UIDs."""
    await account.apply([Create("Sent", frozenset({SpecialUse.SENT}))])
    await account.apply([Create("Work/Plans"), Subscribe("Work/Plans"), Subscribe("Elsewhere")])
    await append(account, *map(message, range(1, 8)))
    await append(account, message(8), flags=frozenset({"\\Seen", "$Work"}))
    await append(account, message(9), message(9), mailbox="Work/Plans", flags=frozenset({"\\Flagged"}))
    await account.apply([Expunge("INBOX", UIDSet.of(2, 5), onlyDeleted=False)])
    await account.apply([SetMetadata("Work/Plans", (("/private/comment", b"later"),))])
    await account.apply([SetRights("Work/Plans", "jsmith@localhost", FlagChange.REPLACE, "lr")])


async def mailOf(account: IAccount) -> dict[str, Any]:
    """What is to be the same on both sides."""
    found: dict[str, Any] = {}
    for info in await account.mailboxes():
        found[info.name] = (info.isSelectable, info.isSubscribed, info.specialUse)
        if info.isSelectable:
            mailbox = await account.open(info.name)
            status = await mailbox.status()
            dates = dict(await read(mailbox, Column.UID, Column.INTERNAL_DATE))
            beside = await account.metadata(info.name, ["/private"], None), await account.rights(info.name)
            mail = await contents(mailbox), await flagsOf(mailbox), dates
            found[info.name] += (status.uidValidity, status.uidNext, *beside, *mail)
    return found


async def carry(source: IAccount, target: IAccount, journal: Journal, progress: Progress | None = None) -> AccountSummary:
    return await Carrier(source, target, "from", "to", journal, progress or Progress()).carry()


def journalIn(directory: Path) -> Journal:
    return Journal(str(directory / "moving.sqlite"), Clock(), isInline=True)


@pytest.mark.parametrize("to", STORES)
@pytest.mark.parametrize("origin", STORES)
@promise
async def testEverythingComesAlong(tmp_path: Path, origin: str, to: str) -> None:
    first, second = openStore(origin, tmp_path / "from"), openStore(to, tmp_path / "to")
    source = await opened(first)
    await furnish(source)
    before = await mailOf(source)
    target, journal = await opened(second), journalIn(tmp_path)
    summary = await carry(source, target, journal)
    assert await mailOf(target) == before == await mailOf(source)
    assert (summary.copied, summary.losses) == (8, [])
    again = await carry(source, target, journal)
    assert (again.copied, [one.already for one in again.mailboxes]) == (0, [6, 0, 2])
    await append(source, message(20), mailbox="Sent")
    assert (await carry(source, target, journal)).copied == 1
    assert await mailOf(target) == await mailOf(source)
    for each in (first, second, journal):
        await each.close()


class Interrupted(Exception):
    """What a crash would do."""


class Crashing:
    """An account, or a journal, that is cut off before or after its n-th change."""

    def __init__(self, original: Any, count: list[int]) -> None:
        self._original = original
        self._count = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    async def apply(self, operations: Sequence[Operation]) -> list[Result]:
        self._tick()
        results: list[Result] = await self._original.apply(operations)
        self._tick()
        return results

    async def write(self, *words: Any) -> None:
        self._tick()
        await self._original.write(*words)

    def _tick(self) -> None:
        self._count[0] -= 1
        if not self._count[0]:
            raise Interrupted


@pytest.mark.parametrize("isForgetful", [False, True])
@pytest.mark.parametrize("to", ["sqlite", "maildir", "textfile"])
@promise
async def testWhateverInterruptsItNothingComesTwiceOrIsMissing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, isForgetful: bool
) -> None:
    monkeypatch.setattr(batchesModule, "BATCH", 2)
    first = openStore("sqlite", tmp_path / "from")
    source = await opened(first)
    await furnish(source)
    before = await mailOf(source)
    at, isInterrupted = 0, True
    while isInterrupted:
        at += 1
        directory = tmp_path / f"to{at}"
        second = openStore(to, directory)
        target, journal, count = await opened(second), journalIn(directory), [at]
        try:
            crashing: Any = Crashing(target, count)
            noting: Any = Crashing(journal, count)
            await carry(source, crashing, noting)
            isInterrupted = False
        except Interrupted:
            pass
        if isForgetful:
            await journal.close()
            os.unlink(directory / "moving.sqlite")
            journal = journalIn(directory)
        await carry(source, target, journal)
        assert await mailOf(target) == before, at
        await journal.close()
        await second.close()
    assert at > 20
    await first.close()


@pytest.mark.parametrize("to", STORES)
@promise
async def testWhereOthersHaveMailNothingIsLostAndNumbersAreNew(tmp_path: Path, to: str) -> None:
    first, second = openStore("sqlite", tmp_path / "from"), openStore(to, tmp_path / "to")
    source, target, journal = await opened(first), await opened(second), journalIn(tmp_path)
    await append(source, *map(message, range(1, 5)))
    await append(target, message(50))
    summary = await carry(source, target, journal)
    inbox = await target.open("INBOX")
    assert sorted((await contents(inbox)).values()) == sorted(map(message, (1, 2, 3, 4, 50)))
    assert "UIDs" in summary.losses[0]
    assert (await carry(source, target, journal)).copied == 0
    for each in (first, second, journal):
        await each.close()


@promise
async def testFoldersThatAreNoMailboxesAreNamed(tmp_path: Path) -> None:
    """Another program made them. Whoever moves to another store has to know of the mail that stays behind."""
    first, second = openStore("maildir", tmp_path / "from"), openStore("sqlite", tmp_path / "to")
    source, target, journal = await opened(first), await opened(second), journalIn(tmp_path)
    await source.apply([Create("Sent")])
    await append(source, message(1), mailbox="Sent")
    (sent,) = tmp_path.rglob(".Sent")
    shutil.copytree(sent, sent.with_name(".100%"))
    told = "'100%' and the mail in it, for no mailbox can be called so: rename the folder"
    assert [(await carry(source, target, journal)).losses for _ in range(2)] == [[told], [told]]
    sent.with_name(".100%").rename(sent.with_name(".100 percent"))
    assert ((await carry(source, target, journal)).losses, len(await mailOf(target))) == ([], 3)
    for each in (first, second, journal):
        await each.close()


@promise
async def testMailThatCameAfterwardsOnBothSidesIsThereOnceWithNumbersOfItsOwn(tmp_path: Path) -> None:
    first, second = openStore("sqlite", tmp_path / "from"), openStore("sqlite", tmp_path / "to")
    source, target, journal = await opened(first), await opened(second), journalIn(tmp_path)
    await append(source, message(1), message(2))
    await carry(source, target, journal)
    await second.deliver(MessageSource(message(30)), [Target(ME)])
    await append(source, message(3), message(4))
    summary = await carry(source, target, journal)
    inbox = await target.open("INBOX")
    found = await contents(inbox)
    assert {uid: found[uid] for uid in (1, 2, 3)} == {1: message(1), 2: message(2), 3: message(30)}
    assert sorted(found.values()) == sorted(map(message, (1, 2, 3, 4, 30)))
    assert min(uid for uid, content in found.items() if content in (message(3), message(4))) > 4
    assert summary.copied == 2 and summary.losses
    for each in (first, second, journal):
        await each.close()


@promise
async def testAMailboxThatWasMadeAnewIsAnother(tmp_path: Path) -> None:
    first, second = openStore("sqlite", tmp_path / "from"), openStore("sqlite", tmp_path / "to")
    source, target, journal = await opened(first), await opened(second), journalIn(tmp_path)
    await source.apply([Create("Work")])
    await append(source, message(1), mailbox="Work")
    await carry(source, target, journal)
    await source.apply([Delete("Work")])
    await source.apply([Create("Work")])
    await append(source, message(2), mailbox="Work")
    await carry(source, target, journal)
    assert list((await contents(await target.open("Work"))).values()) == [message(1), message(2)]
    for each in (first, second, journal):
        await each.close()


@promise
async def testWhoeverStopsItCanGoOn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batchesModule, "BATCH", 2)
    first, second = openStore("memory", tmp_path / "from"), openStore("memory", tmp_path / "to")
    source, target, journal = await opened(first), await opened(second), journalIn(tmp_path)
    await append(source, *map(message, range(1, 10)))

    class Impatient(Progress):
        def check(self) -> None:
            self.isStopped = self.messages >= 4
            super().check()

    with pytest.raises(Stopped):
        await carry(source, target, journal, Impatient())
    assert await uidsOf(await target.open("INBOX")) == [1, 2, 3, 4]
    progress = Progress()
    assert (await carry(source, target, journal, progress)).copied == 5
    assert progress.messages == 9
    for each in (first, second, journal):
        await each.close()


@promise
async def testLargeMessagesWaitInFiles(tmp_path: Path) -> None:
    first, second = openStore("sqlite", tmp_path / "from"), openStore("sqlite", tmp_path / "to")
    source, target, journal = await opened(first), await opened(second), journalIn(tmp_path)
    large = message(1, body="x" * 70 + "\r\n" + "y" * 3_000_000 + "\r\n")
    await append(source, large, message(2), large)
    await carry(source, target, journal)
    assert await contents(await target.open("INBOX")) == {1: large, 2: message(2), 3: large}
    for each in (first, second, journal):
        await each.close()


@pytest.mark.parametrize("kind", STORES)
@promise
async def testAStoreSaysWhoseMailItHas(tmp_path: Path, kind: str) -> None:
    store = openStore(kind, tmp_path / "store")
    names = ["John.Smith@example.net".lower(), "mbrain@localhost", "ü@localhost"]
    for name in names:
        await store.deliver(MessageSource(message(1)), [Target(name)])
    assert IStoreAccounts.providedBy(store)
    assert await IStoreAccounts(store).accounts() == sorted(names)
    await store.close()
    if kind in ("maildir", "textfile"):
        for file in (tmp_path / "store" / "state").iterdir():
            file.unlink()
        again = openStore(kind, tmp_path / "store")
        assert await IStoreAccounts(again).accounts() == sorted(names)
        await again.close()


@pytest.mark.parametrize("to", STORES)
@promise
async def testWhatCannotBeReadKeepsNothingElse(tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program removes a message between its being listed and its being read; and one comes back from a backup."""
    monkeypatch.setattr(batchesModule, "BATCH", 2)
    source, target = openStore("maildir", tmp_path / "from"), openStore(to, tmp_path / "to")
    journal = journalIn(tmp_path)
    account, theirs = await opened(source), await opened(target)
    await append(account, *map(message, range(1, 8)))
    places = {path.read_bytes(): path for path in (tmp_path / "from" / "mail" / "mbrain" / "new").iterdir()}
    content = FileContent.read

    def removing(self: FileContent, start: int = 0, length: int = -1) -> bytes:
        for number in (4, 7):
            places[message(number)].unlink(missing_ok=True)
        return content(self, start, length)

    with monkeypatch.context() as patched:
        patched.setattr(FileContent, "read", removing)
        summary = await carry(account, theirs, journal)
    told = "INBOX: what was removed or changed meanwhile, or is damaged, UID 4, 7: give the command again"
    assert (summary.copied, summary.losses) == (5, [told])
    inbox = await theirs.open("INBOX")
    assert set((await contents(inbox)).values()) == {message(number) for number in (1, 2, 3, 5, 6)}
    for number in (4, 7):
        places[message(number)].write_bytes(message(number))
    for copied in (2, 0):
        summary = await carry(account, theirs, journal)
        assert summary.copied == copied
        assert sorted((await contents(inbox)).values()) == [message(number) for number in range(1, 8)]
    for each in (source, target, journal):
        await each.close()
