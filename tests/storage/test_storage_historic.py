"""Stores that released versions wrote: they open, migrate, and hold what they held."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from mailfw.storage.maildir import maildir
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.testing.fakes import START, FakeStoreContext
from mailfw.testing.promises.home import OWNER, append, contents, message, read
from mailfw.values import Column, FlagChange, Identity, Quota, SetMetadata, SetQuota, SetRights, SpecialUse, UIDSet

HISTORIC = Path(__file__).parent.parent / "historic"
STORES = {"sqlite": (sqlite, "mail?shards=1"), "maildir": (maildir, "mail")}


@pytest.fixture(params=STORES)
def openOld(request, tmp_path):
    """Opens the store of that kind as schema 1 left it; it can be opened again."""
    with tarfile.open(HISTORIC / f"schema1-{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    opened = []

    def opens():
        plugin, argument = STORES[request.param]
        opened.append(openStore(plugin, argument, FakeStoreContext(str(tmp_path))))
        return opened[-1]

    yield opens
    for store in opened:
        Deferred.fromCoroutine(store.close())


def now(coroutine):
    """The result of what waits for nothing."""
    done = []
    Deferred.fromCoroutine(coroutine).addCallbacks(done.append, lambda failure: failure.raiseException())
    return done[0]


def test_a_store_of_schema_1_has_what_it_had(openOld):
    store = openOld()

    async def look():
        account = await store.openAccount(Identity(OWNER), OWNER)
        infos = {info.name: info for info in await account.mailboxes()}
        assert list(infos) == ["INBOX", "Archive", "Drafts", "Gone", "Junk", "Sent", "Trash", "Work", "Work/2026"]
        assert infos["Archive"].specialUse == {SpecialUse.ARCHIVE}
        assert (infos["Gone"].isSelectable, infos["Gone"].isSubscribed) == (False, True)
        inbox, archive = await account.open("INBOX"), await account.open("Archive")
        assert await contents(inbox) == {1: message(1), 2: message(2)}
        assert await read(inbox, Column.FLAGS, Column.INTERNAL_DATE) == [
            ({"\\Seen", "$Forwarded"}, START - 5000),
            ({"\\Flagged"}, START - 4000),
        ]
        assert await contents(archive) == {1: message(2)}
        status = await inbox.status()
        assert (status.uidNext, status.messages, status.unseen) == (4, 2, 1)
        assert (await inbox.changesSince(0)).vanished == UIDSet.of(3)

    now(look())


def test_what_is_new_works_in_it_and_it_opens_again(openOld):
    async def change(store):
        account = await store.openAccount(Identity(OWNER), OWNER)
        await append(account, message(4))
        inbox = await account.open("INBOX")
        return await read(inbox, Column.UID, Column.KEPT_PREVIEW), await read(inbox, Column.PREVIEW)

    async def annotate(store):
        account = await store.openAccount(Identity(OWNER, isAdmin=True), OWNER)
        await account.apply(
            [
                SetRights("INBOX", "jsmith", FlagChange.REPLACE, "lr"),
                SetMetadata("INBOX", (("/private/comment", b"old"),)),
                SetQuota(Quota(messages=7, mailboxes=20)),
            ]
        )

    async def noted(store):
        account = await store.openAccount(Identity(OWNER), OWNER)
        usage = await account.usage()
        return await account.rights("INBOX"), await account.metadata("INBOX", ["/private/comment"]), usage.limits, usage.messages

    store = openOld()
    now(annotate(store))
    assert now(noted(store)) == ({"jsmith@localhost": "lr"}, {"/private/comment": b"old"}, Quota(None, 7, 20), 3)
    assert now(change(store)) == ([(1, None), (2, None), (4, None)], [("Hello",)] * 3)
    now(store.close())
    assert now(change(openOld())) == ([(1, "Hello"), (2, "Hello"), (4, "Hello"), (5, None)], [("Hello",)] * 4)
