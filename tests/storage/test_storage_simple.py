"""The engine beside a simple store: the whole contract on a store of some fifty lines; crashes half-way."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote, unquote

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mailfw.errors import NotSupported, Unavailable, Vanished
from mailfw.interfaces import IAccount, IMailStore, ISimpleFlags, ISimpleFolders, ISimpleStore, ISimpleUIDs, IStoreContext
from mailfw.storage.simple.engine import SimpleEngine
from mailfw.storage.simple.store import openSimple, statePath
from mailfw.testing.promises.home import (
    OWNER,
    Foreign,
    Home,
    Promises,
    append,
    assertCountersAreTrue,
    contents,
    describe,
    flagsOf,
    message,
    promise,
    uidsOf,
)
from mailfw.testing.store import MailStoreContract
from mailfw.values import (
    ALL_UIDS,
    Adopt,
    Append,
    Appended,
    Copy,
    Create,
    Entry,
    Expunge,
    Fate,
    FlagChange,
    Identity,
    MessageSource,
    Move,
    NewMessage,
    Operation,
    Rename,
    SetFlags,
    Target,
    UIDSet,
)


@implementer(ISimpleStore, ISimpleFolders)
class Heap:
    """A file for each message, a directory for each folder: a whole store."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, account: str, folder: str, key: str = "") -> str:
        return os.path.join(self.root, quote(account, safe=""), quote("=" + folder, safe=""), key)

    def keys(self, account: str, folder: str) -> list[str]:
        path = self.path(account, folder)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def folders(self, account: str) -> Iterable[str]:
        path = os.path.join(self.root, quote(account, safe=""))
        return [unquote(name)[1:] for name in os.listdir(path)] if os.path.isdir(path) else []

    def token(self, account: str, folder: str) -> str:
        return " ".join(self.keys(account, folder))

    def scan(self, account: str, folder: str) -> Iterator[Entry]:
        for key in self.keys(account, folder):
            status = os.stat(self.path(account, folder, key))
            yield Entry(key, key, None, status.st_mtime, status.st_size)

    def read(self, account: str, folder: str, entry: Entry) -> bytes:
        try:
            return Path(self.path(account, folder, entry.key)).read_bytes()
        except FileNotFoundError as error:
            raise Vanished() from error

    def newKey(self, account: str, folder: str, message: NewMessage) -> str:
        self.count = getattr(self, "count", 0) + 1
        return f"{int(message.internalDate or 0):012d}.{self.count:06d}.{secrets.token_hex(4)}"

    def append(self, account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        self.createFolder(account, folder)
        return [self.write(self.path(account, folder, key), key, one) for key, one in messages]

    def write(self, path: str, key: str, message: NewMessage) -> Entry:
        content = message.source.read()
        with open(path + ".new", "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.utime(path + ".new", (message.internalDate or 0, message.internalDate or 0))
        os.rename(path + ".new", path)
        return Entry(key, key, None, message.internalDate or 0, len(content))

    def remove(self, account: str, folder: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            Path(self.path(account, folder, entry.key)).unlink(missing_ok=True)

    def createFolder(self, account: str, folder: str) -> None:
        os.makedirs(self.path(account, folder), exist_ok=True)

    def renameFolder(self, account: str, folder: str, newName: str) -> None:
        os.rename(self.path(account, folder), self.path(account, newName))

    def deleteFolder(self, account: str, folder: str) -> None:
        self.remove(account, folder, list(self.scan(account, folder)))
        os.rmdir(self.path(account, folder))


@implementer(ISimpleFlags)
class FlaggedHeap(Heap):
    """The same with \\Seen and \\Flagged kept in the file's mode."""

    permanentFlags = frozenset({"\\Seen", "\\Flagged"})
    bits = {"\\Seen": 0o100, "\\Flagged": 0o010}

    def flags(self, path: str) -> frozenset[str]:
        mode = os.stat(path).st_mode
        return frozenset(flag for flag, bit in self.bits.items() if mode & bit)

    def token(self, account: str, folder: str) -> str:
        return " ".join(f"{key}{sorted(self.flags(self.path(account, folder, key)))}" for key in self.keys(account, folder))

    def scan(self, account: str, folder: str) -> Iterator[Entry]:
        for one in super().scan(account, folder):
            yield Entry(one.key, one.locator, self.flags(self.path(account, folder, one.key)), one.internalDate, one.size)

    def write(self, path: str, key: str, message: NewMessage) -> Entry:
        entry = super().write(path, key, message)
        self.chmod(path, message.flags)
        return entry

    def chmod(self, path: str, flags: frozenset[str]) -> None:
        os.chmod(path, 0o600 | sum(bit for flag, bit in self.bits.items() if flag in flags))

    def setFlags(self, account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        for entry, flags in entries:
            path = self.path(account, folder, entry.key)
            if os.path.exists(path):
                self.chmod(path, flags)
        return [entry for entry, _ in entries]


class Program:
    """Another program that works on a heap's INBOX."""

    def __init__(self, heap: Heap, account: str) -> None:
        self.heap = heap
        self.account = account

    def add(self, content: bytes, flags: frozenset[str] = frozenset()) -> None:
        new = NewMessage(MessageSource(content), flags, 2_000_000_000.0)
        self.heap.append(self.account, "INBOX", [(self.heap.newKey(self.account, "INBOX", new), new)])

    def remove(self, content: bytes) -> None:
        for entry in self.heap.scan(self.account, "INBOX"):
            if self.heap.read(self.account, "INBOX", entry) == content:
                self.heap.remove(self.account, "INBOX", [entry])


class HeapPromises(Promises):
    hasGrace = False
    heap: ClassVar[type[Heap]] = FlaggedHeap

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(self.heap(os.path.join(directory, "heap")), statePath("heap:heap", directory), context)

    def foreign(self, directory: str, account: str) -> Foreign:
        return Program(self.heap(os.path.join(directory, "heap")), account)

    def loseState(self, directory: str) -> None:
        for path in Path(directory, "state").iterdir():
            path.unlink()


class WithoutRoom:
    """The state's disk is full once a message is in its file. Adding messages must then be as if it had never been begun."""

    @promise
    async def testWhatTheStateCannotFollowIsUndone(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        account, _ = await home.inbox()
        await append(account, message(1), message(2))
        with monkeypatch.context() as patch:
            patch.setattr(SimpleEngine, "_complete", noRoom)
            for adding in (
                Append("INBOX", (NewMessage(MessageSource(message(3))),)),
                Append("INBOX", (NewMessage(MessageSource(message(4))), NewMessage(MessageSource(message(5))))),
                Copy("INBOX", UIDSet(((1, 2),)), "Trash"),
            ):
                with pytest.raises(Unavailable):
                    await account.apply([adding])
            [outcome] = await home.store.deliver(MessageSource(message(6)), [Target(OWNER)])
            assert outcome.fate is Fate.DEFERRED
        home.clock.advance(60)
        assert await contents(await account.open("INBOX")) == {1: message(1), 2: message(2)}
        assert await contents(await account.open("Trash")) == {}
        await append(account, message(3))
        await assertCountersAreTrue(await home.reopen())

    @promise
    async def testWhatCannotBeUndoneGoesForward(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        account, _ = await home.inbox()
        await append(account, message(1), message(2))
        with monkeypatch.context() as patch, pytest.raises(Unavailable):
            patch.setattr(SimpleEngine, "_complete", noRoom)
            await account.apply([Move("INBOX", UIDSet.of(1), "Trash")])
        account = await home.reopen()
        assert list((await contents(await account.open("INBOX"))).values()) == [message(2)]
        assert list((await contents(await account.open("Trash"))).values()) == [message(1)]
        await assertCountersAreTrue(account)


def noRoom(*_: object) -> NoReturn:
    raise Unavailable()


class TestFlaggedHeap(HeapPromises, MailStoreContract, WithoutRoom):
    formatHasFlags = True


# --- Crashes half-way


class PhotographedHeap(FlaggedHeap):
    """After every single change of a file the whole directory is copied: what a crash at that moment would leave."""

    formatFlags = True
    pictures: ClassVar[list[str]] = []
    isTaking: ClassVar[bool] = False

    def picture(self) -> None:
        if self.isTaking:
            home = os.path.dirname(self.root)
            copy = f"{home}.picture{len(self.pictures)}"
            shutil.copytree(home, copy)
            self.pictures.append(copy)

    def scan(self, account: str, folder: str) -> Iterator[Entry]:
        for one in super().scan(account, folder):
            yield one if self.formatFlags else evolve(one, flags=None)

    def write(self, path: str, key: str, message: NewMessage) -> Entry:
        self.picture()
        entry = super().write(path, key, message)
        self.picture()
        return entry

    def remove(self, account: str, folder: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            super().remove(account, folder, [entry])
            self.picture()

    def setFlags(self, account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        done: list[Entry] = []
        for pair in entries:
            done += super().setFlags(account, folder, [pair])
            self.picture()
        return done

    def createFolder(self, account: str, folder: str) -> None:
        super().createFolder(account, folder)
        self.picture()

    def renameFolder(self, account: str, folder: str, newName: str) -> None:
        super().renameFolder(account, folder, newName)
        self.picture()

    def deleteFolder(self, account: str, folder: str) -> None:
        super().deleteFolder(account, folder)
        self.picture()


async def gist(account: IAccount) -> dict[str, list[tuple[bytes, list[str]]]]:
    """What each mailbox holds, whatever the UIDs."""
    found = {}
    for info in await account.mailboxes():
        if info.isSelectable:
            mailbox = await account.open(info.name)
            flags = await flagsOf(mailbox)
            found[info.name] = sorted((content, sorted(flags[uid])) for uid, content in (await contents(mailbox)).items())
    return found


def new(number: int) -> NewMessage:
    return NewMessage(MessageSource(message(number)), frozenset({"$Work", "\\Seen"}))


INTERRUPTED: dict[str, list[Operation]] = {
    "append": [Append("INBOX", (new(7), new(8), new(8)))],
    "copy": [Copy("INBOX", ALL_UIDS, "Archive")],
    "move": [Move("INBOX", UIDSet.of(1, 3), "Archive")],
    "flags": [SetFlags("INBOX", ALL_UIDS, FlagChange.REPLACE, frozenset({"\\Flagged", "$Work"}))],
    "expunge": [Expunge("INBOX", onlyDeleted=False)],
    "rename": [Rename("Work", "Old/Work")],
    "rename INBOX": [Rename("INBOX", "Old")],
    "create and append": [Create("New"), Append("New", (new(7),))],
    "replace": [Append("INBOX", (new(7),)), Expunge("INBOX", UIDSet.of(2), onlyDeleted=False)],
    "append and expunge": [Append("INBOX", (new(7), new(8))), Expunge("INBOX", UIDSet.of(2, 3, 4), onlyDeleted=False)],
    "copy, mark, expunge": [
        Copy("INBOX", UIDSet.of(2), "Archive"),
        SetFlags("INBOX", UIDSet.of(2), FlagChange.ADD, frozenset({"\\Deleted"})),
        Expunge("INBOX"),
    ],
}


class TestInterrupted:
    isPersistent = True

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(PhotographedHeap(os.path.join(directory, "heap")), statePath("heap:heap", directory), context)

    @pytest.mark.parametrize("kind", INTERRUPTED)
    @promise
    async def testAfterACrashAtAnyStepItIsDoneOrNotDoneAtAll(self, tmp_path: Path, kind: str) -> None:
        os.mkdir(tmp_path / "home")
        home = Home(self, str(tmp_path / "home"), isInline=True)
        home.start()
        account, inbox = await home.inbox()
        await append(account, message(1), message(2), message(3), flags=frozenset({"\\Seen", "$Home"}))
        await account.apply([Create("Work"), Create("Work/a"), Create("Work/a/b")])
        await append(account, message(4), mailbox="Work/a/b")
        before, uids = await gist(account), await contents(inbox)
        PhotographedHeap.pictures = []
        PhotographedHeap.isTaking = True
        try:
            await account.apply(INTERRUPTED[kind])
        finally:
            PhotographedHeap.isTaking = False
        after = await gist(account)
        assert before != after and PhotographedHeap.pictures
        fates = []
        for picture in PhotographedHeap.pictures:
            home.directory = picture
            home.start()
            account, inbox = await home.inbox()
            found = await gist(account)
            assert found in (before, after)
            fates.append(found == after)
            still = await contents(inbox)
            assert all(still[uid] == content for uid, content in uids.items() if uid in still)
            await assertCountersAreTrue(account)
            seen = await describe(account)
            assert await describe(await home.reopen()) == seen
        assert fates[-1]
        assert fates == sorted(fates)
        await home.close()

    @pytest.mark.parametrize("uids", [(50,), (50, 60)])
    @promise
    async def testWhatACrashInterruptedHasTheUIDsThatItWasToHave(self, tmp_path: Path, uids: tuple[int, ...]) -> None:
        os.mkdir(tmp_path / "home")
        home = Home(self, str(tmp_path / "home"), isInline=True)
        home.start()
        await home.account()
        administered = await home.store.openAccount(Identity(OWNER, isAdmin=True), OWNER)
        PhotographedHeap.pictures = []
        PhotographedHeap.isTaking = True
        try:
            await administered.apply([Adopt("INBOX", tuple(map(new, uids)), uids)])
        finally:
            PhotographedHeap.isTaking = False
        found = []
        for picture in PhotographedHeap.pictures:
            home.directory = picture
            home.start()
            account, inbox = await home.inbox()
            found.append(await contents(inbox))
            (appended,) = await account.apply([Append("INBOX", (new(1),))])
            assert isinstance(appended, Appended) and appended.uids[0] > max(found[-1], default=0)
        assert found[0] == {} and found[-1] == {uid: message(uid) for uid in uids}
        assert all(each in ({}, found[-1]) for each in found)
        await home.close()

    @promise
    async def testALoneDeliveryThatACrashInterruptedIsFoundOrNot(self, tmp_path: Path) -> None:
        os.mkdir(tmp_path / "home")
        home = Home(self, str(tmp_path / "home"), isInline=True)
        home.start()
        await home.account()
        PhotographedHeap.pictures = []
        PhotographedHeap.isTaking = True
        try:
            await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        finally:
            PhotographedHeap.isTaking = False
        counts = []
        for picture in PhotographedHeap.pictures:
            home.directory = picture
            home.start()
            _, inbox = await home.inbox()
            counts.append(len(await contents(inbox)))
        assert counts[0] == 0 and counts[-1] == 1
        await home.close()


# --- What fails


class BrokenHeap(FlaggedHeap):
    """Raises at the n-th change, as a full disk would, and goes on later."""

    left: ClassVar[int] = -1

    def use(self) -> None:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        type(self).left -= 1

    def append(self, account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        self.use()
        return super().append(account, folder, messages)

    def setFlags(self, account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        self.use()
        return super().setFlags(account, folder, entries)

    def remove(self, account: str, folder: str, entries: Sequence[Entry]) -> None:
        self.use()
        super().remove(account, folder, entries)


class TestBroken:
    isPersistent = True

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(BrokenHeap(os.path.join(directory, "heap")), statePath("heap:heap", directory), context)

    @pytest.mark.parametrize("step", range(4))
    @pytest.mark.parametrize("kind", [kind for kind in INTERRUPTED if "rename" not in kind])
    @promise
    async def testWhatFailsIsUnavailableAndLaterAsIfItHadNotBeen(self, tmp_path: Path, kind: str, step: int) -> None:
        os.mkdir(tmp_path / "home")
        home = Home(self, str(tmp_path / "home"), isInline=True)
        BrokenHeap.left = -1
        home.start()
        account, _ = await home.inbox()
        await append(account, message(1), message(2), message(3), flags=frozenset({"\\Seen", "$Home"}))
        before = await gist(account)
        BrokenHeap.left = step
        try:
            await account.apply(INTERRUPTED[kind])
            hasFailed = False
        except Unavailable:
            hasFailed = True
        finally:
            BrokenHeap.left = -1
        account = await home.account()
        found = await gist(account)
        if not hasFailed:
            assert found != before
        elif "expunge" not in kind and "replace" not in kind and "move" not in kind:
            assert found == before or kind == "flags"
        await assertCountersAreTrue(account)
        await append(account, message(9))
        assert await describe(await home.crash()) == await describe(account)
        await home.close()

    @promise
    async def testAFailedDeliveryIsDeferred(self, tmp_path: Path) -> None:
        os.mkdir(tmp_path / "home")
        home = Home(self, str(tmp_path / "home"), isInline=True)
        BrokenHeap.left = 0
        home.start()
        (outcome,) = await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        assert outcome.fate is Fate.DEFERRED and isinstance(outcome.refusal, Unavailable)
        BrokenHeap.left = -1
        (outcome,) = await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        assert outcome.isTaken
        await home.close()


class Whimsical(FlaggedHeap):
    """Does something else once, where it is asked to."""

    whims: ClassVar[dict[str, Callable[[], Any]]] = {}

    def newKey(self, account: str, folder: str, message: NewMessage) -> str:
        whim = self.whims.pop("newKey", None)
        return super().newKey(account, folder, message) if whim is None else whim()

    def append(self, account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        whim = self.whims.pop("append", None)
        return super().append(account, folder, messages) if whim is None else whim()


def ends() -> NoReturn:
    """As a library does that thinks it is the program."""
    raise SystemExit(3)


class TestWhims(Promises):
    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(Whimsical(os.path.join(directory, "heap")), statePath("heap:heap", directory), context)

    @pytest.mark.parametrize("key", [None, "", b"key", 17, "\ud800"])
    @promise
    async def testAKeyThatNobodyCanWriteDownCostsOneDelivery(self, home: Home, key: object) -> None:
        """What is stored under such a key would be found by every scan, and each would fail by it."""
        Whimsical.whims["newKey"] = lambda: key
        (outcome,) = await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        assert outcome.fate is Fate.DEFERRED
        (outcome,) = await home.store.deliver(MessageSource(message(2)), [Target(OWNER)])
        assert outcome.isTaken
        home.clock.advance(3600)
        _, inbox = await home.inbox()
        assert await contents(inbox) == {1: message(2)}

    @promise
    async def testAStoreThatWouldEndTheProgramCostsOneDelivery(self, tmp_path: Path) -> None:
        from twisted.internet import reactor

        os.mkdir(tmp_path / "home")
        home = Home(self, str(tmp_path / "home"), isInline=False)
        home.start()
        Whimsical.whims["append"] = ends
        for fate in (Fate.DEFERRED, Fate.DELIVERED):
            delivering = Deferred.fromCoroutine(home.store.deliver(MessageSource(message(1)), [Target(OWNER)]))
            (outcome,) = await delivering.addTimeout(10, reactor)  # type: ignore[arg-type]  # a reactor is a module to mypy
            assert outcome.fate is fate
        await home.close()


# --- Stores that can do little


@implementer(ISimpleStore)
class Bare:
    """INBOX and nothing else, no flags, no token."""

    def __init__(self, root: str) -> None:
        heap = Heap(root)
        for name in ("read", "scan", "newKey", "append", "remove"):
            setattr(self, name, getattr(heap, name))

    def folders(self, account: str) -> Iterable[str]:
        return ()

    def token(self, account: str, folder: str) -> str:
        return ""


class TestBare(Promises):
    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(Bare(os.path.join(directory, "bare")), statePath("bare:", directory), context)

    @promise
    async def testINBOXIsAllThereIsAndHasEverything(self, home: Home) -> None:
        account, inbox = await home.inbox()
        assert [info.name for info in await account.mailboxes()] == ["INBOX"]
        await append(account, message(1), message(2), flags=frozenset({"$Work"}))
        await account.apply([SetFlags("INBOX", UIDSet.of(2), FlagChange.ADD, frozenset({"\\Seen"}))])
        await account.apply([Copy("INBOX", UIDSet.of(1), "INBOX"), Expunge("INBOX", UIDSet.of(1), onlyDeleted=False)])
        assert await contents(inbox) == {2: message(2), 3: message(1)}
        assert await flagsOf(inbox) == {2: frozenset({"$Work", "\\Seen"}), 3: frozenset({"$Work"})}
        with pytest.raises(NotSupported):
            await account.apply([Create("Work")])
        seen = await describe(account)
        assert await describe(await home.crash()) == seen

    @promise
    async def testWhatIsDeliveredToAFolderThatCannotBeIsInINBOX(self, home: Home) -> None:
        (outcome,) = await home.store.deliver(MessageSource(message(1)), [Target(OWNER, "Junk")])
        assert outcome.isTaken
        _, inbox = await home.inbox()
        assert await contents(inbox) == {1: message(1)}


# --- UIDs of another program


@implementer(ISimpleUIDs)
class NumberedHeap(Heap):
    """Somebody has numbered INBOX: every message but the last has a UID."""

    def uids(self, account: str, folder: str) -> tuple[int, int, Mapping[str, int]] | None:
        if folder != "INBOX":
            return None
        keys = self.keys(account, folder)[:-1]
        return 1_234_567_890, 100, {key: 10 * (number + 1) for number, key in enumerate(keys)}


class TestNumbered(Promises):
    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(NumberedHeap(os.path.join(directory, "heap")), statePath("heap:heap", directory), context)

    @promise
    async def testUIDsThatAnotherProgramGaveAreTakenOver(self, home: Home) -> None:
        program = Program(NumberedHeap(os.path.join(home.directory, "heap")), OWNER)
        for number in range(1, 5):
            program.add(message(number))
        account, inbox = await home.inbox()
        assert await contents(inbox) == {10: message(1), 20: message(2), 30: message(3), 100: message(4)}
        assert (await inbox.status()).uidValidity == 1_234_567_890
        await append(account, message(5))
        assert await uidsOf(inbox) == [10, 20, 30, 100, 101]
        seen = await describe(account)
        assert await describe(await home.reopen()) == seen


@implementer(ISimpleFlags)
class WordyHeap(Heap):
    """Every message has more keywords than a mailbox may have, and some that are none."""

    permanentFlags = None

    def scan(self, account: str, folder: str) -> Iterator[Entry]:
        words = frozenset((*(f"word{number:03}" for number in range(300)), "\\Seen", "\\Nonsense", "two words", "", "x" * 200))
        for one in super().scan(account, folder):
            yield Entry(one.key, one.locator, words, one.internalDate, one.size)

    def setFlags(self, account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        return [entry for entry, _ in entries]


class TestKeywordsWithoutEnd(HeapPromises):
    """What another program writes beside messages cannot shut a mailbox."""

    heap = WordyHeap

    @promise
    async def testAMailboxOpensWhateverKeywordsItsMessagesHave(self, home: Home) -> None:
        program = self.foreign(home.directory, OWNER)
        program.add(message(1))
        program.add(message(2))
        _, inbox = await home.inbox()
        flags = await flagsOf(inbox)
        assert flags[1] == flags[2]
        assert {flag for flag in flags[1] if flag.startswith("\\")} == {"\\Seen"}
        assert sorted(flag for flag in flags[1] if flag[0] != "\\") == [f"word{number:03}" for number in range(200)]
        modSeq = (await inbox.status()).highestModSeq
        program.add(message(3))
        home.clock.advance(60)
        changed = (await inbox.changesSince(modSeq)).changed
        assert [one.uid for one in changed] == [3], "what is left out is no change"
