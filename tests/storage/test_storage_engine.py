"""What the engine's own stores promise beyond the contract: files on disk, shards, housekeeping, formats, sizes."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from mailfw.errors import NoSuchMailbox, NotSupported, UIDValidityChanged, Unavailable, Vanished
from mailfw.interfaces import IMailStore, IStoreContext, Row
from mailfw.sql import SchemaMismatch
from mailfw.sql.blobs import FileBlobs
from mailfw.storage import across, content, housekeeping, rows, transaction
from mailfw.storage.memory import memory
from mailfw.storage.sqlite import sqlite
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.promises.home import OTHER, OWNER, Home, Promises, append, contents, flagsOf, message, promise, read, uidsOf
from mailfw.values import (
    ALL_UIDS,
    RIGHTS,
    Append,
    Column,
    Copied,
    Copy,
    Create,
    Delete,
    Expunge,
    FlagChange,
    FlagsSet,
    MessageSource,
    Move,
    NewMessage,
    SetFlags,
    SetRights,
    Target,
    UIDSet,
)

LARGE = b"Subject: large\r\n\r\n" + b"0123456789" * 40_000


def files(directory: str, pattern: str = "**/blobs*/*/*") -> list[Path]:
    return sorted(Path(directory).glob(pattern))


def table(directory: str, statement: str) -> list[Any]:
    """Rows of every shard, as another program sees them."""
    found: list[Any] = []
    for path in sorted(Path(directory).glob("mail/mail*.sqlite")):
        with closing(sqlite3.connect(path)) as connection:
            found += connection.execute(statement).fetchall()
    return found


class Inline(Promises):
    """Homes of an SQLite store, inline only."""

    @pytest.fixture
    def isInline(self) -> bool:
        return True

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return sqlite.openStore("mail", context)


async def pass_(home: Home, seconds: float) -> None:
    """Let time pass, and housekeeping take its rounds."""
    for _ in range(int(seconds // housekeeping.INTERVAL) + 1):
        home.clock.advance(housekeeping.INTERVAL)


class TestFiles(Inline):
    @promise
    async def testOnlyTheOwnerCanReadTheFiles(self, home: Home) -> None:
        await append(await home.account(), message(1), LARGE)
        paths = list(Path(home.directory, "mail").rglob("*"))
        assert any("blobs" in str(path) for path in paths)
        assert {path.stat().st_mode & 0o077 for path in paths} == {0}

    @promise
    async def testLargeBodiesAreFilesAndSmallOnesAreNot(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), LARGE, LARGE[: content.BLOB_FROM])
        assert len(files(home.directory)) == 1
        assert (await contents(inbox)) == {1: message(1), 2: LARGE, 3: LARGE[: content.BLOB_FROM]}
        assert await inbox.read(2, len(LARGE) - 5, 10) == b"56789"
        assert await read(inbox, Column.HEADER, uids=UIDSet.of(2)) == [(b"Subject: large\r\n\r\n",)]

    @promise
    async def testALargeBodyForManyIsKeptOnceInEachFile(self, home: Home) -> None:
        targets = [Target(f"user{number}@localhost") for number in range(20)]
        assert all(outcome.isTaken for outcome in await home.store.deliver(MessageSource(LARGE), targets))
        assert len(files(home.directory)) <= 4
        for target in targets:
            assert await contents(await (await home.account(target.account)).open("INBOX")) == {1: LARGE}

    @promise
    async def testSharedContentsStayUntilTheLastIsGone(self, home: Home) -> None:
        targets = [Target(f"user{number}@localhost") for number in range(9)]
        await home.store.deliver(MessageSource(LARGE), targets)
        for target in targets[:-1]:
            await (await home.account(target.account)).apply([Expunge("INBOX", onlyDeleted=False)])
        await pass_(home, 1200)
        last = await (await home.account(targets[-1].account)).open("INBOX")
        assert await contents(last) == {1: LARGE}
        assert len(files(home.directory)) == 1
        await (await home.account(targets[-1].account)).apply([Expunge("INBOX", onlyDeleted=False)])
        await pass_(home, 1200)
        assert files(home.directory) == []
        assert table(home.directory, "SELECT * FROM content") == table(home.directory, "SELECT * FROM email") == []
        assert table(home.directory, "SELECT * FROM sharing") == []

    @promise
    async def testARefusedLargeMessageLeavesNoFile(self, home: Home) -> None:
        account = await home.account()
        with pytest.raises(Exception, match="no such mailbox"):
            await append(account, LARGE, mailbox="Nowhere")
        assert files(home.directory) == []

    @promise
    async def testAFullDiskIsUnavailable(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        account, inbox = await home.inbox()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable):
            await append(account, LARGE)
        monkeypatch.undo()
        assert files(home.directory) == [] and await uidsOf(inbox) == []
        await append(account, LARGE)
        assert await uidsOf(inbox) == [1]

    @promise
    async def testOrphansOfACrashAreDroppedWhenTheyAreOld(self, home: Home, tmp_path: Path) -> None:
        account, inbox = await home.inbox()
        await append(account, LARGE)
        (kept,) = files(home.directory)
        FileBlobs(str(kept.parent.parent)).put([b"orphan"])
        young = [path for path in files(home.directory) if path != kept]
        os.utime(kept, (0, 0))
        for path in young:
            os.utime(path, (home.clock.seconds() + 1_790_000_000, home.clock.seconds() + 1_790_000_000))
        await pass_(home, 0)
        assert len(files(home.directory)) == 2
        await pass_(home, housekeeping.RARELY)
        assert files(home.directory) == [kept]
        assert await contents(inbox) == {1: LARGE}

    @promise
    async def testALostBlobIsVanishedAndTheRestIsThere(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, LARGE, message(1))
        files(home.directory)[0].unlink()
        with pytest.raises(Vanished):
            await inbox.read(1, 100_000, 10)
        assert await inbox.read(2) == message(1)


class TestShards(Inline):
    @promise
    async def testAccountsAreSpreadOverTheFilesAndStayThere(self, home: Home) -> None:
        names = [f"user{number}@localhost" for number in range(30)]
        for name in names:
            await append(await home.account(name), message(1))
        paths = files(home.directory, "mail/*.sqlite")
        assert len(paths) == 2
        await home.reopen()
        assert sorted(row[0] for row in table(home.directory, "SELECT name FROM account")) == sorted([*names, OWNER])
        for name in names:
            assert await contents(await (await home.account(name)).open("INBOX")) == {1: message(1)}

    def testTheNumberOfFilesIsThatWithWhichTheStoreWasMade(self, tmp_path: Path) -> None:
        for argument in ("mail?shards=2", "mail?shards=3", "mail"):
            context = FakeStoreContext(str(tmp_path))
            store = sqlite.openStore(argument, context)
            assert len(files(str(tmp_path), "mail/*.sqlite")) == 2
            closed: list[None] = []
            Deferred.fromCoroutine(store.close()).addCallback(closed.append)
            assert closed == [None]

    @pytest.mark.parametrize("argument", ["mail?shards=0", "mail?shards=many", "mail?shards=65", "mail?sharts=4", "mail?shards"])
    def testOptionsThatMakeNoSenseAreRefused(self, tmp_path: Path, argument: str) -> None:
        with pytest.raises(ValueError, match="shards"):
            sqlite.openStore(argument, FakeStoreContext(str(tmp_path)))

    def testMemoryTakesNoArgument(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no argument"):
            memory.openStore("x", FakeStoreContext(str(tmp_path)))

    @promise
    async def testANewerStoreIsRefused(self, home: Home) -> None:
        await home.account()
        await home.store.close()
        for path in files(home.directory, "mail/*.sqlite"):
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("UPDATE schema_version SET version = 99")
                connection.commit()
        with pytest.raises(SchemaMismatch, match="newer"):
            home.start()


    @promise
    async def testNumbersOfMailboxesAndEmailsAreOneFilesAlone(self, home: Home) -> None:
        seen: dict[str, set[str]] = {"mailboxes": set(), "emails": set()}
        owners = [f"user{number}@localhost" for number in range(6)]
        for owner in owners:
            account = await home.account(owner)
            await append(account, message(1))
            seen["mailboxes"] |= {info.mailboxId for info in await account.mailboxes()}
            seen["emails"] |= {one for (one,) in await read(await account.open("INBOX"), Column.EMAIL_ID)}
        numbers = [number for (number,) in table(home.directory, "SELECT id FROM mailbox")]
        assert min(numbers) < 1 << 32 < max(numbers)  # accounts are in both files
        assert (len(seen["mailboxes"]), len(seen["emails"])) == (6 * len(owners), len(owners))


class TestHousekeeping(Inline):
    @promise
    async def testExpungedMessagesAreGoneAfterTheirGrace(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        await account.apply([Copy("INBOX", UIDSet.of(2), "Archive"), Expunge("INBOX", onlyDeleted=False)])
        await pass_(home, 0)
        assert len(table(home.directory, "SELECT id FROM email")) == 2
        await pass_(home, 900)
        assert len(table(home.directory, "SELECT id FROM email")) == 1
        assert await contents(await account.open("Archive")) == {1: message(2)}
        with pytest.raises(Vanished):
            await inbox.read(2)

    @promise
    async def testADeletedMailboxIsClearedAwayInPieces(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeping, "PIECE", 3)
        account = await home.account()
        await account.apply([Create("Work")])
        await append(account, *(message(number) for number in range(10)), LARGE, mailbox="Work")
        await account.apply([Copy("Work", UIDSet.of(1), "Archive"), Delete("Work")])
        await pass_(home, 300)
        assert len(table(home.directory, "SELECT * FROM message")) == 1
        assert len(table(home.directory, "SELECT * FROM email")) == 1
        assert table(home.directory, "SELECT * FROM mailbox WHERE name IS NULL") == []
        assert files(home.directory) == []

    @promise
    async def testAFileGivesBackWhatNothingFills(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mailfw.sql.sqlite._FEW_PAGES", 10)
        account = await home.account()
        large = [b"Subject: %d\r\n\r\n" % number + os.urandom(200_000) for number in range(10)]
        await append(account, *large, message(1))
        await account.apply([Expunge("INBOX", UIDSet(((1, 10),)), onlyDeleted=False)])

        def pages() -> int:
            return max(row[0] for row in table(home.directory, "PRAGMA page_count"))

        before = pages()
        await pass_(home, 0)
        assert pages() == before
        await pass_(home, housekeeping.RARELY)
        assert pages() < before / 2
        assert await contents(await account.open("INBOX")) == {11: message(1)}

    @promise
    async def testALogThatWasCutSaysThatItIsIncomplete(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeping, "VANISHED_LIMIT", 10)
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 31)))
        start = (await inbox.status()).highestModSeq
        for uid in range(1, 30, 2):
            await account.apply([Expunge("INBOX", UIDSet.of(uid), onlyDeleted=False)])
        middle = (await inbox.status()).highestModSeq - 2
        assert (await inbox.changesSince(start)).isComplete
        await pass_(home, 300)
        assert not (await inbox.changesSince(start)).isComplete
        late = await inbox.changesSince(middle)
        assert late.isComplete and len(late.vanished) == 2


class TestFormats(Inline):
    @promise
    async def testWhatAnOlderVersionDerivedIsDerivedAnew(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), LARGE)
        columns = (Column.UID, Column.ENVELOPE, Column.BODY_STRUCTURE, Column.HEADER)
        expected = await read(inbox, *columns)
        await home.store.close()
        for path in files(home.directory, "mail/*.sqlite"):
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("UPDATE email SET format = -1, envelope = NULL, structure = 'old', header_size = 3")
                connection.commit()
        inbox = await (await home.reopen()).open("INBOX")
        assert await read(inbox, *columns) == expected
        await home.store.close()
        assert {row[0] for row in table(home.directory, "SELECT format FROM email")} != {-1}

    @promise
    async def testCompressionIsUsedWhereItPays(self, home: Home) -> None:
        account, inbox = await home.inbox()
        text = b"Subject: text\r\n\r\n" + b"all work and no play makes a dull message\r\n" * 4000
        noise = b"Subject: noise\r\n\r\n" + os.urandom(150_000)
        await append(account, message(1), text, noise)
        encodings = table(home.directory, "SELECT encoding, length(body) FROM content ORDER BY id")
        assert [encoding for encoding, _ in encodings] == [content.RAW, content.ZSTD, content.RAW]
        assert encodings[1][1] < len(text) / 10
        for uid, whole in ((2, text), (3, noise)):
            for start in (0, 10, 65_500, 65_536, 131_072 + 17, len(whole) - 3, len(whole) + 5):
                assert await inbox.read(uid, start, 100) == whole[start : start + 100]


class TestSizes(Inline):
    """Structure that must hold for a mailbox of any size, shown on a small one with small pages."""

    @promise
    async def testPagesAndSparseSetsGiveTheSame(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "PAGE", 7)
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 201)))
        await account.apply([Expunge("INBOX", UIDSet.parse("50:60,100"), onlyDeleted=False)])
        there = [uid for uid in range(1, 201) if not 50 <= uid <= 60 and uid != 100]
        for asked in (
            ALL_UIDS,
            UIDSet.fromUIDs(range(1, 300, 3)),
            UIDSet.parse("1,57,199:400"),
            UIDSet.fromUIDs(range(2, 201, 2)),
        ):
            assert await read(inbox, Column.UID, uids=asked) == [(uid,) for uid in there if uid in asked]
            (result,) = await account.apply([SetFlags("INBOX", asked, FlagChange.ADD, frozenset({"\\Seen"}))])
            assert isinstance(result, FlagsSet)
            found = [one.uid for one in result.changed] + list(result.unchanged)
            assert sorted(found) == [uid for uid in there if uid in asked]

    @promise
    async def testASnapshotThatNothingChangedIsShared(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        first = await inbox.snapshot()
        second = await (await home.account()).open("INBOX")
        assert (await second.snapshot()).uids is first.uids
        await account.apply([SetFlags("INBOX", ALL_UIDS, FlagChange.ADD, frozenset({"\\Seen"}))])
        assert (await inbox.snapshot()).uids is first.uids
        with pytest.raises(TypeError):
            first.uids[0] = 7

    @promise
    async def testOthersAreNotRung(self, home: Home) -> None:
        rung: list[str] = []
        end = (await home.account(OTHER)).watch(rung.append)
        await append(await home.account(), message(1))
        end()
        assert rung == []


def testBlobsAreBoundToTheirDirectory(tmp_path: Path) -> None:
    store = FileBlobs(str(tmp_path / "blobs"))
    ref = store.put([b"a", b"", b"bc"])
    assert store.get(ref, 0, 10) == b"abc" and store.get(ref, 1, 1) == b"b" and store.get(ref, 5, 1) == b""
    store.drop(ref)
    store.drop(ref)
    with pytest.raises(Vanished):
        store.get(ref, 0, 1)


def testWhatOthersLeaveAmongBlobsIsNoOrphanAndKeepsNone(tmp_path: Path) -> None:
    """A disk of its own has a `lost+found` that nobody may read; what is listed may be gone when it is looked at."""
    store = FileBlobs(str(tmp_path / "blobs"))
    ref = store.put([b"a"])
    (tmp_path / "blobs" / "lost+found").mkdir()
    (tmp_path / "blobs" / "lost+found" / "x").touch()
    (tmp_path / "blobs" / "README").touch()
    (tmp_path / "blobs" / ref[:2] / "gone").symlink_to("nowhere")
    assert list(store.orphans(float("inf"))) == [ref]


@pytest.mark.parametrize("size", [0, 1, content.FRAME - 1, content.FRAME, content.FRAME + 1, 3 * content.FRAME])
def testPackedOctetsAreReadByRange(size: int) -> None:
    whole = (b"all work and no play " * (size // 20 + 1))[:size]
    packed = content.pack(whole)
    if packed is None:
        assert size < content.COMPRESS_FROM
        return
    for start in (0, 1, content.FRAME - 1, content.FRAME, size - 1, size, size + 1):
        for length in (0, 1, 100, content.FRAME, size + 10):
            assert content.unpack(packed, start, start + length) == whole[start : start + length]


class TestTurns(Inline):
    @promise
    async def testALongReadingLetsOthersHaveTheirTurn(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader thread is given back when it has worked for a while, however little has come of it."""
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 11)))
        time = Clock()
        monkeypatch.setattr(rows, "time", SimpleNamespace(monotonic=time.seconds))

        def slowly(found: Sequence[Row]) -> Iterator[int]:
            for row in found:
                time.advance(rows.SLICE * 0.6)
                yield row[0]

        steps = [items async for items in inbox.rows(ALL_UIDS, (Column.UID,), slowly)]
        assert [uid for items in steps for uid in items] == list(range(1, 11))
        assert max(map(len, steps)) == 2


class TestKeywords(Inline):
    @promise
    async def testKeywordsThatNobodyHasMakeRoomForOthers(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2), flags=frozenset({"$Stays"}))
        for number in range(2 * transaction.KEYWORDS):
            flags = frozenset({f"$Passing{number}"})
            await account.apply([SetFlags("INBOX", UIDSet.of(1), FlagChange.REPLACE, flags)])
        assert (await flagsOf(inbox)) == {1: flags, 2: {"$Stays"}}
        assert {"$Stays", *flags} <= set((await inbox.snapshot()).keywords)


class TestPatience(Promises):
    """With threads: what is not waited for any more."""

    @pytest.fixture
    def isInline(self) -> bool:
        return False

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return sqlite.openStore("mail?shards=1", context)

    @promise
    async def testALargeMessageWhoseSenderHungUpIsWholeOrNotThere(self, home: Home) -> None:
        account, inbox = await home.inbox()
        appending = Deferred.fromCoroutine(append(account, LARGE))
        for _ in range(3):
            await home.turn()
        appending.addErrback(lambda failure: failure.trap(CancelledError))
        appending.cancel()
        await append(account, message(1))
        found = await contents(inbox)
        assert set(found.values()) <= {LARGE, message(1)} and message(1) in found.values()


class TestAcross(Inline):
    """Between accounts, of which the other lets one do everything."""

    async def shareAll(self, home: Home) -> None:
        """Let the owner do everything in the other's mailboxes."""
        other = await home.account(OTHER)
        await other.apply([SetRights(info.name, OWNER, FlagChange.REPLACE, RIGHTS) for info in await other.mailboxes()])

    @promise
    async def testACopyToAnotherAccountKeepsFlagsAndDates(self, home: Home) -> None:
        await self.shareAll(home)
        account, inbox = await home.inbox()
        new = NewMessage(MessageSource(message(1)), frozenset({"\\Seen", "$Work"}), 1_000_000_000.0)
        await account.apply([Append("INBOX", (new,))])
        await append(account, LARGE)
        (copied,) = await account.apply([Copy("INBOX", ALL_UIDS, "Archive", account=OTHER)])
        assert isinstance(copied, Copied) and copied.sources == copied.copies == (1, 2)
        archive = await (await home.account(OTHER)).open("Archive")
        assert await contents(archive) == await contents(inbox) == {1: message(1), 2: LARGE}
        assert (await read(archive, Column.FLAGS, Column.INTERNAL_DATE))[0] == (new.flags, new.internalDate)

    @promise
    async def testMuchOnItsWayToAnotherAccountWaitsInAFile(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.shareAll(home)
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 6)), LARGE)
        made: list[str] = []

        def make(**about: Any) -> Any:
            made.append(about["prefix"])
            return NamedTemporaryFile(dir=tmp_path, **about)

        monkeypatch.setattr(across, "MEMORY", 2 * len(message(1)))
        monkeypatch.setattr(across, "NamedTemporaryFile", make)
        await account.apply([Copy("INBOX", ALL_UIDS, "Archive", account=OTHER)])
        assert await contents(await (await home.account(OTHER)).open("Archive")) == await contents(inbox)
        assert len(made) == 1
        assert list(tmp_path.glob("mailfw-*")) == []

    @promise
    async def testWhereThereIsNoRoomForWhatIsOnItsWayNothingIsDone(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        await self.shareAll(home)
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))

        def full(**about: Any) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(across, "MEMORY", len(message(1)))
        monkeypatch.setattr(across, "NamedTemporaryFile", full)
        with pytest.raises(Unavailable):
            await account.apply([Move("INBOX", ALL_UIDS, "Archive", account=OTHER)])
        assert await contents(await (await home.account(OTHER)).open("Archive")) == {}
        assert len(await contents(inbox)) == 2

    @promise
    async def testAMoveToAnotherAccountLeavesNothingBehind(self, home: Home) -> None:
        await self.shareAll(home)
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        await account.apply([Move("INBOX", UIDSet.of(2), "INBOX", account=OTHER)])
        assert await contents(inbox) == {1: message(1)}
        assert await contents(await (await home.account(OTHER)).open("INBOX")) == {1: message(2)}

    @promise
    async def testNothingIsExpungedThatWasNotCopied(self, home: Home) -> None:
        await self.shareAll(home)
        account, inbox = await home.inbox()
        await append(account, message(1))
        for operation, refusal in (
            (Move("INBOX", ALL_UIDS, "Nowhere", account=OTHER), NoSuchMailbox),
            (Move("INBOX", ALL_UIDS, "INBOX", account=OTHER, uidValidity=7), UIDValidityChanged),
        ):
            with pytest.raises(refusal):
                await account.apply([operation])
        with pytest.raises(NotSupported):
            await account.apply([Create("New"), Move("INBOX", ALL_UIDS, "INBOX", account=OTHER)])
        assert await contents(inbox) == {1: message(1)}
