"""Mail comes from files: each message once, with what its files say of it, whatever interrupts it."""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mailfw.interfaces import IAccount
from mailfw.moving import AccountSummary, Files, Importer, Journal, Progress
from mailfw.moving import folder as folderModule
from mailfw.storage.sqlite import sqlite
from mailfw.storage.store import Store
from mailfw.testing.promises.home import OWNER, HomeContext, append, contents, flagsOf, message, promise, read
from mailfw.values import ALL_UIDS, Column, Expunge, Identity

ADMIN = Identity(OWNER, isAdmin=True)
DATE = "Sat Nov 21 18:57:12 2026 +0000"


def openStore(directory: Path) -> Store:
    directory.mkdir(exist_ok=True)
    context = HomeContext(str(directory), Clock(), isInline=True)
    context.mailboxes = ()
    return sqlite.openStore("mail?shards=1", context)


def journalIn(directory: Path) -> Journal:
    return Journal(str(directory / "moving.sqlite"), Clock(), isInline=True)


def here(work: Callable[[], Any]) -> Deferred[Any]:
    return succeed(work())


async def bring(account: IAccount, journal: Journal, files: Files) -> AccountSummary:
    return await Importer(account, "to", journal, Progress(), here).bring(files.path, files.folders())


async def mailOf(account: IAccount) -> dict[str, list[bytes]]:
    found = {}
    for info in await account.mailboxes():
        if info.isSelectable:
            found[info.name] = sorted((await contents(await account.open(info.name))).values())
    return found


def mbox(path: Path, *numbers: int) -> Path:
    text = b"".join(b"From a %s\n%s\n" % (DATE.encode(), message(number).replace(b"\r\n", b"\n")) for number in numbers)
    path.write_bytes(text)
    return path


@pytest.fixture
def isSmall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folderModule, "BATCH", 2)


@promise
async def testOnlyWhatIsNewIsBroughtAndWhatWasRemovedStaysRemoved(tmp_path: Path, isSmall: None) -> None:
    store, journal = openStore(tmp_path / "to"), journalIn(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    await append(account, message(2))
    path = mbox(tmp_path / "mbox", 1, 2, 3, 3)
    summary = await bring(account, journal, Files(str(path)))
    assert (summary.copied, summary.mailboxes[0].already, summary.losses) == (3, 1, [])
    assert await mailOf(account) == {"INBOX": sorted(map(message, (1, 2, 3, 3)))}
    inbox = await account.open("INBOX")
    assert dict(await read(inbox, Column.UID, Column.INTERNAL_DATE))[2] == 1795287432.0
    await account.apply([Expunge("INBOX", ALL_UIDS, onlyDeleted=False)])
    mbox(path, 1, 2, 3, 3, 4, 3)
    assert (await bring(account, journal, Files(str(path)))).copied == 2
    assert await mailOf(account) == {"INBOX": sorted(map(message, (3, 4)))}
    for each in (store, journal):
        await each.close()


class Interrupted(Exception):
    """What a crash would do."""


class Crashing:
    """An account, or a journal, that is cut off before or after its n-th change."""

    def __init__(self, original: Any, count: list[int]) -> None:
        self._original, self._count = original, count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    async def apply(self, *words: Any) -> Any:
        return await self._around(self._original.apply, words)

    async def remember(self, *words: Any) -> Any:
        return await self._around(self._original.remember, words)

    async def _around(self, change: Callable[..., Any], words: Any) -> Any:
        self._tick()
        result = await change(*words)
        self._tick()
        return result

    def _tick(self) -> None:
        self._count[0] -= 1
        if not self._count[0]:
            raise Interrupted


@promise
async def testWhateverInterruptsItEachMessageComesOnce(tmp_path: Path, isSmall: None) -> None:
    path = mbox(tmp_path / "Work.mbox", *range(1, 8))
    at, isInterrupted = 0, True
    while isInterrupted:
        at += 1
        directory = tmp_path / f"to{at}"
        store = openStore(directory)
        journal, count = journalIn(directory), [at]
        account = await store.openAccount(ADMIN, OWNER)
        crashing: Any = Crashing(account, count)
        noting: Any = Crashing(journal, count)
        try:
            await bring(crashing, noting, Files(str(path)))
            isInterrupted = False
        except Interrupted:
            pass
        await bring(account, journal, Files(str(path)))
        assert (await mailOf(account))["Work"] == sorted(map(message, range(1, 8))), at
        await journal.close()
        await store.close()
    assert at > 12


def maildir(path: Path) -> None:
    """As Dovecot keeps it."""
    box = mailbox.Maildir(path)
    (path / "dovecot-keywords").write_text("0 $Work\n1 Later\n")
    (path / "subscriptions").write_text("V\t2\n\nWork\tPlans\n")
    for number, letters in ((1, "S"), (2, "FSab"), (3, "")):
        name = f"{number}.M1P1.host,S=10" + (f":2,{letters}" if letters else "")
        file = path / ("cur" if letters else "new") / name
        file.write_bytes(message(number).replace(b"\r\n", b"\n"))
        os.utime(file, (1e9 + number, 1e9 + number))
    for name in ("Work.Plans", "Entw&APw-rfe"):
        box.add_folder(name)
        (path / f".{name}" / "cur" / "1.a:2,D").write_bytes(message(9))


@promise
async def testAMaildirComesWithItsFoldersFlagsAndDates(tmp_path: Path) -> None:
    store, journal = openStore(tmp_path / "to"), journalIn(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    maildir(tmp_path / "Maildir")
    os.symlink("/etc/passwd", tmp_path / "Maildir" / "cur" / "4.evil:2,S")
    os.mkfifo(tmp_path / "Maildir" / "new" / "5.fifo")
    os.symlink(tmp_path / "Maildir", tmp_path / "Maildir" / ".Loop")
    for name in ("...", ".a..b", ".a\\2f\\2e\\2e"):
        (tmp_path / "Maildir" / name / "cur").mkdir(parents=True)
    before = sorted(tmp_path.glob("Maildir/**/*"))
    summary = await bring(account, journal, Files(str(tmp_path / "Maildir")))
    assert sorted(tmp_path.glob("Maildir/**/*")) == before
    said = [loss.partition(" over: ")[2] for loss in summary.losses]
    assert said == ["it is a symbolic link", "Invalid argument"]
    expected = {"INBOX": sorted(map(message, (1, 2, 3))), "Work/Plans": [message(9)], "Entwürfe": [message(9)]}
    assert await mailOf(account) == expected
    inbox = await account.open("INBOX")
    assert list((await flagsOf(inbox)).values()) == [{"\\Seen"}, {"\\Seen", "\\Flagged", "$Work", "Later"}, frozenset()]
    assert [date for _, date in await read(inbox, Column.UID, Column.INTERNAL_DATE)] == [1e9 + 1, 1e9 + 2, 1e9 + 3]
    subscribed = {info.name for info in await account.mailboxes() if info.isSubscribed}
    assert "Work/Plans" in subscribed and "Entwürfe" not in subscribed
    assert (await bring(account, journal, Files(str(tmp_path / "Maildir")))).copied == 0
    for each in (store, journal):
        await each.close()


@promise
async def testAMaildirWithoutItsEmptyDirectoriesIsOne(tmp_path: Path) -> None:
    """As what keeps none brings it back: some programs copy files alone."""
    store, journal = openStore(tmp_path / "to"), journalIn(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    top = tmp_path / "Mail"
    for path in ("cur/1.a:2,S", "tmp/9.broken-off", ".Work/new/2.a", ".Sent/cur/3.a:2,S"):
        (top / path).parent.mkdir(parents=True)
        (top / path).write_bytes(message(int(os.path.basename(path)[0])))
    summary = await bring(account, journal, Files(str(top)))
    assert summary.losses == []
    found = {name: mail for name, mail in (await mailOf(account)).items() if mail}
    assert found == {"INBOX": [message(1)], "Work": [message(2)], "Sent": [message(3)]}
    for each in (store, journal):
        await each.close()


@promise
async def testADirectoryOfEverythingIsWalked(tmp_path: Path) -> None:
    store, journal = openStore(tmp_path / "to"), journalIn(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    top = tmp_path / "Mail"
    (top / "Work").mkdir(parents=True)
    mbox(top / "Sent.mbox", 1)
    mbox(top / "Work" / "plans", 2)
    (top / "note.txt").write_text("no mail")
    (top / "Work" / "one.eml").write_bytes(message(3))
    (top / "Inbox" / "cur").mkdir(parents=True)  # as mbsync has it
    (top / "Inbox" / "new").mkdir()
    (top / "Inbox" / "new" / "1.x").write_bytes(message(4))
    (top / "Archive.mbox").write_text("")
    os.symlink("/", top / "root")
    files = Files(str(top))
    await bring(account, journal, files)
    assert await mailOf(account) == {
        "INBOX": [message(4)],
        "Sent": [message(1)],
        "Work": [message(3)],
        "Work/plans": [message(2)],
        "Archive": [],
    }
    assert [os.path.basename(path) for path in files.passed] == ["note.txt", "root"]
    summary = await bring(account, journal, Files(str(top), "All"))
    assert summary.copied == 4 and len((await mailOf(account))["All"]) == 4
    for each in (store, journal):
        await each.close()


@promise
async def testWhatAStoreRefusesIsSaidAndTheOthersCome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, journal = openStore(tmp_path / "to"), journalIn(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    monkeypatch.setattr(folderModule, "MAX_MESSAGE", 1000)
    path = tmp_path / "mbox"
    path.write_bytes(b"From a %s\n%s\n" % (DATE.encode(), b"x" * 5000) + mbox(tmp_path / "other", 1).read_bytes())
    summary = await bring(account, journal, Files(str(path)))
    assert await mailOf(account) == {"INBOX": [message(1)]}
    [loss] = summary.losses
    assert loss == f"{path}: octet 38: what is larger than 0 MiB is no mail"
    bad = mbox(tmp_path / "a\nb", 1)
    summary = await bring(account, journal, Files(str(bad)))
    assert summary.copied == 0 and len(summary.losses) == 1
    for each in (store, journal):
        await each.close()
