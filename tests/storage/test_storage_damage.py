"""Damage is named, and nothing else is; mended, nothing contradicts itself, and what could be kept is there."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.interfaces import IStoreContext
from mailfw.storage.maildir import maildir
from mailfw.storage.simple.store import openSimple, statePath
from mailfw.storage.sqlite import sqlite
from mailfw.storage.store import Store
from mailfw.testing.promises.home import ME, OWNER, HomeContext, append, contents, message, promise
from mailfw.values import ALL_UIDS, Copy, Expunge, UIDSet


def openStore(directory: Path, kind: str = "sqlite") -> Store:
    context: IStoreContext = HomeContext(str(directory), Clock(), isInline=True)
    if kind == "sqlite":
        return sqlite.openStore("mail?shards=1", context)
    return openSimple(maildir.openSimpleStore("mail", context), statePath("maildir:mail", str(directory)), context)


async def furnish(store: Store) -> None:
    account = await store.openAccount(ME, OWNER)
    large = message(9, body="x" * 70 + "\r\n" + "y" * 300_000 + "\r\n")
    await append(account, message(1), message(2), large, flags=frozenset({"\\Seen"}))
    await append(account, message(3))
    await account.apply([Copy("INBOX", ALL_UIDS, "Archive")])
    await account.apply([Expunge("INBOX", UIDSet.of(2), onlyDeleted=False)])


DAMAGE = {
    "counters": "UPDATE mailbox SET unseen = unseen + 1 WHERE name = 'INBOX'",
    "totals": "UPDATE account SET size = size + 1",
    "UIDs": "UPDATE mailbox SET uid_next = 4 WHERE name = 'INBOX'",
    "MODSEQ": "UPDATE mailbox SET modseq = 1 WHERE name = 'INBOX'",
    "stray messages": """INSERT INTO message SELECT 999, uid, modseq, flags, keywords, internal_date, save_date, size, email
        FROM message WHERE mailbox = (SELECT id FROM mailbox WHERE name = 'INBOX') AND uid = 1;
        UPDATE email SET copies = copies + 1 WHERE id = (SELECT email FROM message WHERE mailbox = 999)""",
    "missing emails": """DELETE FROM email WHERE id = (SELECT email FROM message
        WHERE mailbox = (SELECT id FROM mailbox WHERE name = 'INBOX') AND uid = 1)""",
    "copies": "UPDATE email SET copies = copies + 1",
    "missing contents": "DELETE FROM content WHERE encoding = 0",
}


def spoil(path: str | Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()


@pytest.mark.parametrize("kind", ["sqlite", "maildir"])
@promise
async def testAStoreThatIsWholeSaysNothing(tmp_path: Path, kind: str) -> None:
    store = openStore(tmp_path, kind)
    assert await store.check() == []
    await furnish(store)
    assert await store.check() == []
    await store.close()


@pytest.mark.parametrize("kind", DAMAGE)
@promise
async def testEachDamageIsNamedAndNoOther(tmp_path: Path, kind: str) -> None:
    store = openStore(tmp_path)
    await furnish(store)
    await store.close()
    spoil(tmp_path / "mail" / "mail0.sqlite", DAMAGE[kind])
    store = openStore(tmp_path)
    assert [damage.kind for damage in await store.check()] == [kind]
    await store.close()


@pytest.mark.parametrize("isShort", [False, True])
@promise
async def testAFileOfALargeMessageThatIsNotWholeIsNamed(tmp_path: Path, isShort: bool) -> None:
    store = openStore(tmp_path)
    await furnish(store)
    (blob,) = (tmp_path / "mail" / "blobs0").glob("*/*")
    if isShort:
        os.truncate(blob, 1000)
    else:
        blob.unlink()
    [damage] = await store.check()
    assert (damage.kind, damage.count) == ("wrong blob" if isShort else "missing blob", 1)
    assert str(blob) in damage.text
    await store.close()


@promise
async def testAMessageOfASimpleStoreWithoutItsFileIsNamed(tmp_path: Path) -> None:
    store = openStore(tmp_path, "maildir")
    await furnish(store)
    await store.close()
    spoil(statePath("maildir:mail", str(tmp_path)), "DELETE FROM file WHERE uid = 1")
    store = openStore(tmp_path, "maildir")
    assert [(damage.kind, damage.count) for damage in await store.check()] == [("missing files", 2)]
    await store.close()


@promise
async def testADamagedDatabaseFileIsNamedAsSuch(tmp_path: Path) -> None:
    """Nothing else can be said of it, and nothing is mended in it."""
    store = openStore(tmp_path)
    await furnish(store)
    account = await store.openAccount(ME, OWNER)
    await append(account, *(message(number, body="z" * 3000 + "\r\n") for number in range(10, 60)))
    await store.close()
    (path,) = (tmp_path / "mail").glob("mail*.sqlite")
    octets = bytearray(path.read_bytes())
    pages = range(len(octets) // 8192 * 4096, len(octets), 4096)
    for page in pages:
        octets[page : page + 50] = b"\xa5" * 50
    path.write_bytes(octets)
    store = openStore(tmp_path)
    for damages in (await store.check(), await store.repair(isRehearsal=False)):
        (damage,) = damages
        assert (damage.kind, str(path) in damage.place) == ("file", True)
        assert damage.text.startswith("the database file is damaged: restore it from a backup: ")
    assert path.read_bytes() == octets
    await store.close()


@promise
async def testFilesOfASimpleStoreWithoutTheirMessagesAreNumberedAnew(tmp_path: Path) -> None:
    """No mailbox with such a file can be opened, for its name is taken."""
    store = openStore(tmp_path, "maildir")
    await furnish(store)
    await store.close()
    spoil(statePath("maildir:mail", str(tmp_path)), "DELETE FROM message WHERE uid = 1; UPDATE mailbox SET token = '='")
    store = openStore(tmp_path, "maildir")
    kinds = {damage.kind: damage.count for damage in await store.check()}
    assert kinds["missing messages"] == 2
    assert "missing messages" in {damage.kind for damage in await store.repair(isRehearsal=True)}
    assert "missing messages" in {damage.kind for damage in await store.repair(isRehearsal=False)}
    assert await store.check() == []
    assert await mailOf(store) == {
        "INBOX": {3: LARGE, 4: message(3), 5: message(1)},
        "Archive": {2: message(2), 3: LARGE, 4: message(3), 5: message(1)},
    }
    await store.close()


LARGE = message(9, body="x" * 70 + "\r\n" + "y" * 300_000 + "\r\n")
ARCHIVE = {1: message(1), 2: message(2), 3: LARGE, 4: message(3)}
INBOX = {1: message(1), 3: LARGE, 4: message(3)}
LEFT = {  # INBOX and Archive afterwards, where something is lost
    "missing emails": ({uid: INBOX[uid] for uid in (3, 4)}, {uid: ARCHIVE[uid] for uid in (2, 3, 4)}),
    "missing contents": ({3: LARGE}, {3: LARGE}),
}


async def mailOf(store: Store) -> dict[str, dict[int, bytes]]:
    account = await store.openAccount(ME, OWNER)
    names = [info.name for info in await account.mailboxes() if info.isSelectable]
    found = {name: await contents(await account.open(name)) for name in names}
    return {name: mail for name, mail in found.items() if mail}


@pytest.mark.parametrize("kind", ["sqlite", "maildir"])
@promise
async def testAStoreThatIsWholeStaysAsItIs(tmp_path: Path, kind: str) -> None:
    store = openStore(tmp_path, kind)
    await furnish(store)
    before = await mailOf(store)
    assert await store.repair(True) == await store.repair(False) == []
    assert await mailOf(store) == before
    await store.close()


@pytest.mark.parametrize("kind", DAMAGE)
@promise
async def testEachDamageIsMended(tmp_path: Path, kind: str) -> None:
    store = openStore(tmp_path)
    await furnish(store)
    await store.close()
    spoil(tmp_path / "mail" / "mail0.sqlite", DAMAGE[kind])
    store = openStore(tmp_path)
    before = (tmp_path / "mail" / "mail0.sqlite").read_bytes()
    rehearsed = await store.repair(True)
    assert (tmp_path / "mail" / "mail0.sqlite").read_bytes() == before
    assert [damage.kind for damage in await store.check()] == [kind]
    done = await store.repair(False)
    assert [damage.kind for damage in done] == [damage.kind for damage in rehearsed]
    assert kind in [damage.kind for damage in done]
    assert await store.check() == []
    await store.close()
    store = openStore(tmp_path)
    inbox, archive = LEFT.get(kind, (INBOX, ARCHIVE))
    found = await mailOf(store)
    assert (found["INBOX"], found["Archive"]) == (inbox, archive)
    assert found.get("Lost+Found") == ({1: message(1)} if kind == "stray messages" else None)
    account = await store.openAccount(ME, OWNER)
    await append(account, message(50))
    assert await store.check() == await store.repair(False) == []
    await store.close()


@pytest.mark.parametrize("isShort", [False, True])
@promise
async def testWhatIsLeftOfALargeMessageIsPutAside(tmp_path: Path, isShort: bool) -> None:
    store = openStore(tmp_path)
    await furnish(store)
    (blob,) = (tmp_path / "mail" / "blobs0").glob("*/*")
    if isShort:
        os.truncate(blob, 1000)
    else:
        blob.unlink()
    assert len(await store.check()) == 1
    done = await store.repair(False)
    assert {damage.kind for damage in done} >= {"broken contents" if isShort else "missing contents"}
    assert "INBOX UID 3" in done[0].text and "Archive UID 3" in done[0].text
    assert await store.check() == []
    assert sorted((await mailOf(store))["INBOX"]) == [1, 4]
    assert not list((tmp_path / "mail" / "blobs0").glob("*/*"))
    left = list((tmp_path / "mail" / "lost").glob("*")) if isShort else []
    assert [path.read_bytes() for path in left] == ([LARGE[:1000]] if isShort else [])
    await store.close()


@promise
async def testFilesThatNobodyNamesGo(tmp_path: Path) -> None:
    store = openStore(tmp_path)
    await furnish(store)
    orphan = tmp_path / "mail" / "blobs0" / "ab" / "abcdef"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"never acknowledged")
    await store.repair(True)
    assert orphan.exists()
    assert (await store.repair(False))[0].kind == "orphan blobs"
    assert not orphan.exists() and (await mailOf(store))["INBOX"] == INBOX
    await store.close()


@pytest.mark.parametrize("statement", ["DELETE FROM file WHERE uid = 1", DAMAGE["missing emails"], DAMAGE["counters"]])
@promise
async def testTheStateBesideFilesIsMadeToFitThem(tmp_path: Path, statement: str) -> None:
    store = openStore(tmp_path, "maildir")
    await furnish(store)
    before = await mailOf(store)
    await store.close()
    spoil(statePath("maildir:mail", str(tmp_path)), statement)
    store = openStore(tmp_path, "maildir")
    assert await store.check() != []
    assert await store.repair(False) != []
    assert await store.check() == []
    found = await mailOf(store)
    assert {name: sorted(mail.values()) for name, mail in found.items()} == {
        name: sorted(mail.values()) for name, mail in before.items()
    }
    await store.close()
