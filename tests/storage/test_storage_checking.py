"""A store that was damaged says what is wrong, and one that was not says nothing."""

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
from mailfw.testing.promises.home import ME, OWNER, HomeContext, append, message, promise
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
    connection = sqlite3.connect(tmp_path / "mail" / "mail0.sqlite")
    connection.executescript(DAMAGE[kind])
    connection.close()
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
    connection = sqlite3.connect(statePath("maildir:mail", str(tmp_path)))
    connection.executescript("DELETE FROM file WHERE uid = 1")
    connection.close()
    store = openStore(tmp_path, "maildir")
    assert [(damage.kind, damage.count) for damage in await store.check()] == [("missing files", 2)]
    await store.close()
