"""Metadata: what is set is read, by whom it concerns, and goes where its mailbox goes."""

from __future__ import annotations

import pytest

from mailfw.errors import (
    AnnotationTooLarge,
    InvalidName,
    LimitExceeded,
    NoPermission,
    NoSuchMailbox,
    NotSupported,
    TooManyAnnotations,
)
from mailfw.interfaces import IAccount
from mailfw.testing.promises.home import OTHER, OWNER, Home, Promises, promise
from mailfw.values import Create, Delete, Identity, Rename, SetMetadata, SpecialUse

COMMENT = "/private/comment"
SHARED = "/shared/comment"
ADMIN = Identity(OTHER, isAdmin=True)


async def put(account: IAccount, mailbox: str, **entries: bytes | None) -> None:
    """Set private entries."""
    await account.apply([SetMetadata(mailbox, tuple((f"/private/{name}", value) for name, value in entries.items()))])


class MetadataPromises(Promises):
    """`SetMetadata`, `IAccount.metadata`, `IAccount.metadataSince`."""

    @promise
    async def testWhatIsSetIsRead(self, home: Home) -> None:
        account = await home.account()
        value = bytes(range(256))
        assert await account.apply([SetMetadata("INBOX", ((COMMENT, value), (SHARED, b"")))]) == [None]
        assert await account.metadata("INBOX", [SHARED, COMMENT, "/private/other"]) == {COMMENT: value, SHARED: b""}
        await put(account, "INBOX", comment=None, other=None)
        assert await account.metadata("INBOX", [COMMENT, SHARED]) == {SHARED: b""}
        assert await account.metadata("Archive", [COMMENT, SHARED]) == {}

    @promise
    async def testDepthCountsLevels(self, home: Home) -> None:
        account = await home.account()
        names = ["/private/a", "/private/a/b", "/private/a/b/c", "/private/a0", "/private/ab"]
        await account.apply([SetMetadata("INBOX", tuple((name, name.encode()) for name in names))])
        for depth, found in (0, names[:1]), (1, names[:2]), (2, names[:3]), (None, names[:3]):
            assert list(await account.metadata("INBOX", ["/private/a"], depth)) == found
        assert list(await account.metadata("INBOX", ["/private"], None)) == names

    @promise
    async def testItOutlivesAReopening(self, home: Home) -> None:
        account = await home.account()
        await put(account, "INBOX", comment=b"1")
        await put(account, "", comment=b"2")
        account = await home.reopen()
        assert await account.metadata("INBOX", [COMMENT]) == {COMMENT: b"1"}
        assert await account.metadata("", [COMMENT]) == {COMMENT: b"2"}

    @promise
    async def testAllAreSetOrNone(self, home: Home) -> None:
        account = await home.account()
        with pytest.raises(AnnotationTooLarge) as caught:
            await put(account, "INBOX", comment=b"1", other=b"x" * 10_000_000)
        assert caught.value.maximum >= 1024
        await put(account, "INBOX", other=b"x" * caught.value.maximum)
        assert list(await account.metadata("INBOX", ["/private"], None)) == ["/private/other"]
        with pytest.raises(NoSuchMailbox):
            await put(account, "Nowhere", comment=b"1")
        with pytest.raises(NoSuchMailbox):
            await account.metadata("Nowhere", [COMMENT])

    @promise
    async def testThereIsAnEndToThem(self, home: Home) -> None:
        account = await home.account()
        with pytest.raises(TooManyAnnotations):
            for number in range(100_000):
                await put(account, "INBOX", **{f"n{number}": b"1"})
        assert number >= 10
        await put(account, "INBOX", n0=b"another", n1=None)
        await put(account, "INBOX", other=b"1")
        with pytest.raises(LimitExceeded):
            await put(account, "INBOX", more=b"1")

    @promise
    async def testTheyGoWithTheirMailbox(self, home: Home) -> None:
        account = await home.account()
        if not await self._makes(account, "Work"):
            return
        await put(account, "Work", comment=b"of work")
        await account.apply([Rename("Work", "Play")])
        assert await account.metadata("Play", [COMMENT]) == {COMMENT: b"of work"}
        await account.apply([Delete("Play")])
        await account.apply([Create("Play")])
        assert await account.metadata("Play", [COMMENT]) == {}
        await put(account, "INBOX", comment=b"of the inbox")
        await account.apply([Rename("INBOX", "Old")])
        for name in "INBOX", "Old":
            assert await account.metadata(name, [COMMENT]) == {COMMENT: b"of the inbox"}

    async def _makes(self, account: IAccount, name: str) -> bool:
        try:
            await account.apply([Create(name)])
        except NotSupported:
            return False
        return True

    @promise
    async def testWhatHappenedIsInTheLog(self, home: Home) -> None:
        account = await home.account()
        rung: list[str] = []
        end = account.watch(rung.append)
        before, _ = await account.changedSince(0)
        await put(account, "Archive", comment=b"1")
        await put(account, "", comment=b"1")
        now, names = await account.changedSince(before)
        await home.turn()
        end()
        assert (names, now) == (["Archive"], before + 2)
        assert rung == [(await account.open("Archive")).info.mailboxId, ""]
        assert await account.metadataSince(before) == [("", COMMENT), ("Archive", COMMENT)]
        await put(account, "Archive", comment=None)
        assert await account.metadataSince(now) == [("Archive", COMMENT)]

    @promise
    async def testPrivateEntriesOfTheServerAreTheAccountsOwn(self, home: Home) -> None:
        account, other = await home.account(), await home.account(OTHER)
        await put(account, "", comment=b"mine")
        await put(other, "", comment=b"another's")
        assert await account.metadata("", [COMMENT]) == {COMMENT: b"mine"}
        assert await other.metadata("", [COMMENT]) == {COMMENT: b"another's"}

    @promise
    async def testWhatTheServerSharesAdministratorsSet(self, home: Home) -> None:
        account = await home.account()
        shared = SetMetadata("", ((SHARED, b"for all"),))
        with pytest.raises(NoPermission):
            await account.apply([shared])
        asAdmin = await home.store.openAccount(ADMIN, OTHER)
        assert await asAdmin.apply([shared]) == [None]
        assert await account.metadata("", [SHARED]) == {SHARED: b"for all"}
        with pytest.raises(NotSupported):
            await asAdmin.apply([shared, Create("Work")])
        with pytest.raises(NotSupported):
            await asAdmin.apply([SetMetadata("", ((SHARED, b"x"), (COMMENT, b"x")))])
        await asAdmin.apply([SetMetadata("", ((SHARED, None),))])
        assert await account.metadata("", [SHARED]) == {}

    @promise
    async def testWhatAMailboxIsForIsAnEntry(self, home: Home) -> None:
        account = await home.account()
        assert await account.metadata("Drafts", ["/private"], 1) == {"/private/specialuse": b"\\Drafts"}
        assert await account.metadata("INBOX", ["/private/specialuse"]) == {}
        await put(account, "INBOX", specialuse=b"\\drafts")
        uses = {info.name for info in await account.mailboxes() if SpecialUse.DRAFTS in info.specialUse}
        assert uses == {"INBOX"}
        with pytest.raises(InvalidName):
            await put(account, "INBOX", specialuse=b"\\Nonsense")
        await put(account, "INBOX", specialuse=None)
        assert await account.metadata("INBOX", ["/private/specialuse"]) == {}
        assert account.owner == OWNER
