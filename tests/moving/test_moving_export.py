"""What is exported is imported as the same mail."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mailfw.errors import Refusal
from mailfw.interfaces import IAccount
from mailfw.moving import Exporter, Files, Importer, Journal, Progress, Stopped
from mailfw.moving import batches as batchesModule
from mailfw.moving.batches import StoredMailbox
from mailfw.storage.memory import memory
from mailfw.storage.store import Store
from mailfw.testing.promises.home import OWNER, HomeContext, message, promise
from mailfw.values import Append, Create, Identity, MessageSource, NewMessage, UIDSet

ADMIN = Identity(OWNER, isAdmin=True)
BODY = b"Subject: x\r\n\r\n"
OCTETS = (
    message(1),
    BODY + b"From me\r\n>From you\r\n>>From them\r\n",
    BODY + b"no line end",
    BODY + b"bare\nLF and\rCR\r\n\n",
    b"Status: R\r\nContent-Length: 3\r\nX-Mailfw-Status: x\r\n" + BODY + b"abcdef\r\n",
    BODY + b"\0\xff" * 200 + b"\r\n",
    BODY + (b"y" * 998 + b"\r\n") * 3000,
    b" folded from the first line on\r\n\r\nHello\r\n",
    BODY + b"\r\nFrom a@b Sat Nov 21 18:57:12 2026\r\nSubject: none\r\n\r\nof its own\r\n",
)
FLAGS = (
    frozenset[str](),
    frozenset({"\\Seen"}),
    frozenset({"\\Flagged", "\\Deleted", "\\Draft", "\\Answered", "$Work", "Later"}),
    frozenset({f"word{number}" for number in range(30)}),
)
LOOKS = ("cur", "new/x", "New", "tmp", "cur/x/y", "Work", "Work/mailfw-export.json", "dovecot-keywords", "a.lock")
"""What the mailboxes of an export must not make of it: a Maildir, an index, or whatever else its own files are called."""
NAMES = ("INBOX", "Work/Plans", "Entwürfe", "a.mbox", "a", "a.mbox/..", "C:x", ".hidden", "Empty", *LOOKS)


def openStore(directory: Path) -> Store:
    context = HomeContext(str(directory), Clock(), isInline=True)
    context.mailboxes = ()
    return memory.openStore("", context)


def here(work: Callable[[], Any]) -> Deferred[Any]:
    return succeed(work())


async def furnish(account: IAccount) -> None:
    for number, name in enumerate(NAMES):
        if name != "INBOX":
            await account.apply([Create(name)])
        mail = OCTETS if number == 0 else [message(number)] * (name != "Empty")
        for at, octets in enumerate(mail):
            flags = FLAGS[at % 4] if not octets.startswith(b" ") else frozenset[str]()
            await account.apply([Append(name, (NewMessage(MessageSource(octets), flags, 1e9 + at),))])


async def mailOf(account: IAccount) -> dict[str, list[tuple[bytes, frozenset[str], float | None]]]:
    found: dict[str, list[tuple[bytes, frozenset[str], float | None]]] = {}
    for info in await account.mailboxes():
        if info.isSelectable:
            held = found[info.name] = []
            async for batch in StoredMailbox(await account.open(info.name)).batches(UIDSet(((1, 99),)), False):
                held += [(one.message.source.read(), one.message.flags, one.message.internalDate) for one in batch.messages]
                batch.close()
    return found


@pytest.mark.parametrize("kind", ["mbox", "maildir", "eml"])
@promise
async def testTheSameMailComesBack(tmp_path: Path, kind: str) -> None:
    store, again = openStore(tmp_path), openStore(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    await furnish(account)
    target = tmp_path / "out"
    summary = await Exporter(account, kind, str(target), Progress(), here).write()
    assert (summary.copied, summary.losses) == (len(OCTETS) + len(NAMES) - 2, [])
    assert os.listdir(tmp_path) == ["out"]
    assert all(str(path.resolve()).startswith(str(target)) for path in target.rglob("*"))
    other = await again.openAccount(ADMIN, OWNER)
    journal = Journal(":memory:", Clock(), isInline=True)
    files = Files(str(target))
    brought = await Importer(other, "to", journal, Progress(), here).bring("out", files.folders())
    assert (brought.losses, files.passed) == ([], [])
    assert await mailOf(other) == await mailOf(account)
    for each in (store, again, journal):
        await each.close()


@pytest.mark.parametrize("kind", ["mbox", "maildir", "eml"])
@promise
async def testWhatIsNotWholeHasNoName(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batchesModule, "BATCH", 2)
    store = openStore(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    await furnish(account)

    class Impatient(Progress):
        def check(self) -> None:
            self.isStopped = self.messages >= 4
            super().check()

    with pytest.raises(Stopped):
        await Exporter(account, kind, str(tmp_path / "out"), Impatient(), here).write()
    assert os.listdir(tmp_path) == []
    (tmp_path / "out.mailfw-new").mkdir()  # of one that was killed
    (tmp_path / "out").mkdir()
    await Exporter(account, kind, str(tmp_path / "out"), Progress(), here).write(["INBOX"])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError):
        await Exporter(account, kind, str(tmp_path / "out"), Progress(), here).write()
    with pytest.raises(Refusal, match="no mailbox Nix"):
        await Exporter(account, kind, str(tmp_path / "other"), Progress(), here).write(["Nix"])
    assert sorted(tmp_path.rglob("*")) == before
    await store.close()


@pytest.mark.parametrize("kind", ["mbox", "maildir", "eml"])
@promise
async def testMailboxesCalledAsPartsOfAMaildirAreNone(tmp_path: Path, kind: str) -> None:
    store, again = openStore(tmp_path), openStore(tmp_path)
    account, other = await store.openAccount(ADMIN, OWNER), await again.openAccount(ADMIN, OWNER)
    for number, name in enumerate(("cur", "new", "tmp", "Work/cur", "Work/new")):
        await account.apply([Create(name), Append(name, (NewMessage(MessageSource(message(number)), frozenset(), 1e9),))])
    await Exporter(account, kind, str(tmp_path / "out"), Progress(), here).write()
    journal = Journal(":memory:", Clock(), isInline=True)
    await Importer(other, "to", journal, Progress(), here).bring("out", Files(str(tmp_path / "out")).folders())
    assert await mailOf(other) == await mailOf(account)
    for each in (store, again, journal):
        await each.close()


@pytest.mark.parametrize("kind", ["mbox", "maildir", "eml"])
@promise
async def testANameThatNoFileCanHaveCostsNobodyTheOthers(tmp_path: Path, kind: str) -> None:
    store = openStore(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    name = ("é:" * 80)[:160]
    await account.apply([Create(name), Append("INBOX", (NewMessage(MessageSource(message(1))),))])
    summary = await Exporter(account, kind, str(tmp_path / "out"), Progress(), here).write()
    assert [one.name for one in summary.mailboxes] == ["INBOX"] and summary.copied == 1
    assert [loss.startswith(name) for loss in summary.losses] == [True]
    await store.close()


@promise
async def testNotesThatMakeNoSenseAreNotBelieved(tmp_path: Path) -> None:
    store = openStore(tmp_path)
    account = await store.openAccount(ADMIN, OWNER)
    for number in (1, 2):
        (tmp_path / f"{number}.eml").write_bytes(message(number))
    notes = {"1.eml": {"flags": [1, "\\Seen", "bad flag", "(", "\\Evil"], "date": 1e300}, "2.eml": 7, "../x": {}}
    (tmp_path / "mailfw-export.json").write_text(json.dumps({"mailbox": "Work", "messages": notes}))
    journal = Journal(":memory:", Clock(), isInline=True)
    await Importer(account, "to", journal, Progress(), here).bring("out", Files(str(tmp_path)).folders())
    found = (await mailOf(account))["Work"]
    assert [(octets, flags) for octets, flags, _ in found] == [(message(1), {"\\Seen"}), (message(2), frozenset())]
    for each in (store, journal):
        await each.close()
