"""What `ISimpleStore` promises, as tests that a plugin's author runs on a store.

>>> class TestMyStore(SimpleStoreContract):
...     def openStore(self) -> ISimpleStore:
...         return myPlugin.openSimpleStore("mail", self.context)

Each test has an empty data directory, `self.context.data`, and a clock that stands still. `openStore` is called again to see what
a restart would find. What a store cannot do is said by its hooks and interfaces, and the tests about it are then skipped by name.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from mailfw.errors import InvalidName, MailboxExists, NoSuchMailbox, Refusal, Vanished
from mailfw.interfaces import ISimpleFlags, ISimpleFolders, ISimpleStore, ISimpleStream, ISimpleUIDs
from mailfw.testing.fakes import START, FakeStoreContext
from mailfw.testing.faults import Disk
from mailfw.testing.promises.broken import tellsBrokenPromises
from mailfw.testing.samples import CONTENTS, HOSTILE_ACCOUNTS, HOSTILE_NAMES, LETTER, REPLY, TOO_LONG
from mailfw.values import Entry, Flag, MessageSource, NewMessage

ACCOUNT = "mbrain@example.org"


def new(content: bytes, flags: Iterable[str] = (), date: float | None = None) -> NewMessage:
    """A message to be appended."""
    return NewMessage(MessageSource(content), frozenset(flags), date)


@tellsBrokenPromises
class SimpleStoreContract:
    """Subclass it as `Test…` and supply `openStore`.

    :cvar isTraced: the store changes files by way of `os` only, so that crashes and power cuts can be played on it.
    :ivar context: what to open the store with.
    """

    isTraced = True
    context: FakeStoreContext

    # --- Hooks ---

    def openStore(self) -> ISimpleStore:
        """Open the store, anew each time, on the same place under `self.context.data`."""
        raise NotImplementedError

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        """Add a message as another program would. `content` is a plain message whose lines end in CRLF."""
        pytest.skip("other programs do not write to this store")

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        """Remove a message as another program would."""
        pytest.skip("other programs do not write to this store")

    # --- What the tests use ---

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()
        self.context = FakeStoreContext(str(data), ("example.org", "example.net"), Clock())

    def add(self, store: ISimpleStore, *messages: NewMessage, account: str = ACCOUNT, folder: str = "INBOX") -> list[Entry]:
        """Append each message by itself."""
        entries: list[Entry] = []
        for message in messages:
            entries += store.append(account, folder, [(store.newKey(account, folder, message), message)])
        return entries

    def keyed(self, store: ISimpleStore, *contents: bytes) -> list[tuple[str, NewMessage]]:
        """Different messages with their keys, to be appended to INBOX at once."""
        return [(store.newKey(ACCOUNT, "INBOX", message), message) for message in map(new, contents)]

    def contents(self, store: ISimpleStore, account: str = ACCOUNT, folder: str = "INBOX") -> dict[str, bytes]:
        """What is in a folder, by key."""
        return {entry.key: store.read(account, folder, entry) for entry in store.scan(account, folder)}

    def folders(self, store: ISimpleStore) -> ISimpleFolders:
        """The store, if folders can be made in it."""
        if not ISimpleFolders.providedBy(store):
            pytest.skip("no folders can be made in this store")
        return ISimpleFolders(store)

    def flags(self, store: ISimpleStore) -> ISimpleFlags:
        """The store, if its format keeps flags."""
        if not ISimpleFlags.providedBy(store):
            pytest.skip("this store's format keeps no flags")
        return ISimpleFlags(store)

    def crashes(self, prepare: Callable[[ISimpleStore], object], act: Callable[[ISimpleStore], object]) -> Iterable[bool]:
        """Do something in a fresh place and crash at its first step; again, at its second … Yields after each crash, when a new
        process may look at the place; True when `act` had come to its end, and so its promises hold.

        It goes through all steps three times: with nothing worse than a crash, with the loss of all that was not synced, and of
        some of it.
        """
        if not self.isTraced:
            pytest.skip("this store's changes cannot be seen")
        data = self.context.data
        for kind, chance in enumerate([None, None, random.Random(0)]):
            steps = 0
            isDone = False
            while not isDone:
                self.context.data = os.path.join(data, f"{kind}-{steps}", "x")
                os.makedirs(self.context.data)
                store = self.openStore()
                prepare(store)
                disk = Disk(self.context.data, crashAt=steps)
                with disk.watching():
                    act(store)
                isDone = not disk.isDead
                if kind:
                    disk.cutPower(chance)
                yield isDone
                steps += 1
        self.context.data = data

    # --- Interfaces ---

    def test_theStoreProvidesWhatItSays(self) -> None:
        store = self.openStore()
        verifyObject(ISimpleStore, store)
        for interface in (ISimpleFlags, ISimpleFolders, ISimpleStream, ISimpleUIDs):
            if interface.providedBy(store):
                verifyObject(interface, store)

    # --- Octets ---

    @pytest.mark.parametrize("name", CONTENTS)
    def test_aMessageComesBackOctetForOctet(self, name: str) -> None:
        store = self.openStore()
        (entry,) = self.add(store, new(CONTENTS[name]))
        assert store.read(ACCOUNT, "INBOX", entry) == CONTENTS[name]
        assert self.contents(self.openStore()) == {entry.key: CONTENTS[name]}

    def test_messagesComeBackWhateverStandsBesideThem(self) -> None:
        store = self.openStore()
        entries = self.add(store, *map(new, CONTENTS.values()), *map(new, CONTENTS.values()))
        wanted = dict(zip([entry.key for entry in entries], 2 * list(CONTENTS.values()), strict=True))
        assert len(wanted) == len(entries)
        assert self.contents(store) == wanted
        assert self.contents(self.openStore()) == wanted

    @pytest.mark.parametrize("seed", range(10))
    def test_anySequenceOfOctetsComesBack(self, seed: int) -> None:
        choose = random.Random(seed)
        pieces = [b"\r", b"\n", b"\r\n", b"From ", b"From:", b"Status: x", b"X-Mailfw-", b">", b"a", b" ", b"To: x", b"\0"]
        wanted = [b"".join(choose.choices(pieces, k=choose.randrange(9))) for _ in range(20)]
        store = self.openStore()
        entries = self.add(store, *map(new, wanted))
        added = dict(zip([entry.key for entry in entries], wanted, strict=True))
        assert self.contents(store) == self.contents(self.openStore()) == added
        store.remove(ACCOUNT, "INBOX", entries[::2])
        assert self.contents(store) == self.contents(self.openStore()) == {entry.key: added[entry.key] for entry in entries[1::2]}

    def test_theSizeIsThatOfWhatIsRead(self) -> None:
        store = self.openStore()
        self.add(store, *map(new, CONTENTS.values()))
        for opened in (store, self.openStore()):
            for entry in opened.scan(ACCOUNT, "INBOX"):
                assert entry.size in (-1, len(opened.read(ACCOUNT, "INBOX", entry)))

    def test_aMessageCanComeFromPartOfAFile(self, tmp_path: Path) -> None:
        spool = tmp_path / "spool"
        spool.write_bytes(b"before" + LETTER + b"after")
        source = MessageSource(path=str(spool), offset=6, length=len(LETTER), prefix=b"Return-Path: <>\r\n")
        store = self.openStore()
        (entry,) = self.add(store, NewMessage(source))
        assert store.read(ACCOUNT, "INBOX", entry) == b"Return-Path: <>\r\n" + LETTER

    def test_anyPartCanBeReadFromTheOpenMessage(self) -> None:
        store = self.openStore()
        if not ISimpleStream.providedBy(store):
            pytest.skip("this store reads whole messages")
        for content in (LETTER, CONTENTS["many lines"], CONTENTS["line ends mixed"]):
            (entry,) = self.add(store, new(content))
            with ISimpleStream(store).open(ACCOUNT, "INBOX", entry) as file:
                file.seek(len(content) // 2)
                assert file.read(10) == content[len(content) // 2 :][:10]
                file.seek(0)
                assert file.read() == content

    # --- Keys ---

    def test_appendReturnsWhatScanFinds(self) -> None:
        store = self.openStore()
        entries = self.add(store, new(LETTER, date=START), new(REPLY, date=START - 1e8), new(LETTER))
        assert list(store.scan(ACCOUNT, "INBOX")) == entries
        assert list(self.openStore().scan(ACCOUNT, "INBOX")) == entries

    def test_aMessageHasTheKeyThatWasForetold(self) -> None:
        store = self.openStore()
        pairs = self.keyed(store, *CONTENTS.values())
        entries = store.append(ACCOUNT, "INBOX", pairs)
        assert [entry.key for entry in entries] == [key for key, _ in pairs]
        assert [entry.key for entry in store.scan(ACCOUNT, "INBOX")] == [key for key, _ in pairs]

    def test_equalMessagesHaveKeysOfTheirOwn(self) -> None:
        store = self.openStore()
        entries = self.add(store, *[new(LETTER)] * 5)
        assert len({entry.key for entry in entries}) == 5

    def test_equalMessagesKeepTheirKeysWhenOthersGo(self) -> None:
        store = self.openStore()
        entries = self.add(store, *[new(LETTER), new(REPLY)] * 5)
        store.remove(ACCOUNT, "INBOX", [entries[0], entries[3], entries[4]])
        kept = [entry.key for at, entry in enumerate(entries) if at not in (0, 3, 4)]
        assert [entry.key for entry in store.scan(ACCOUNT, "INBOX")] == kept
        (latest,) = self.add(store, new(LETTER))
        assert latest.key not in kept
        assert [entry.key for entry in self.openStore().scan(ACCOUNT, "INBOX")] == [*kept, latest.key]

    def test_messagesAreFoundInTheOrderInWhichTheyCame(self) -> None:
        store = self.openStore()
        keys = []
        for number in range(30):
            message = new(b"Subject: %d\r\n\r\n" % (number * 7919 % 30), date=START - number * 1e6)
            keys += [entry.key for entry in self.add(store, message)]
            self.context.reactor.advance(number % 3)
        assert [entry.key for entry in self.openStore().scan(ACCOUNT, "INBOX")] == keys

    def test_theInternalDateIsKept(self) -> None:
        store = self.openStore()
        dates = [0.0, 951782400.0, START, START + 1e8]
        entries = self.add(store, *(new(LETTER, date=date) for date in dates))
        assert [entry.internalDate for entry in entries] == dates
        assert [entry.internalDate for entry in self.openStore().scan(ACCOUNT, "INBOX")] == dates

    def test_withoutInternalDateItIsNow(self) -> None:
        (entry,) = self.add(self.openStore(), new(LETTER))
        assert abs(entry.internalDate - self.context.now()) < 1

    # --- Finding messages again ---

    def test_aMessageIsFoundByItsKeyWhenItsLocatorIsStale(self) -> None:
        store = self.openStore()
        first, second = self.add(store, new(LETTER), new(REPLY))
        for locator in ("", "elsewhere", first.locator, "../../x", "new/..", "0-5", "99999-100000"):
            stale = Entry(second.key, locator, second.flags, second.internalDate, second.size)
            assert store.read(ACCOUNT, "INBOX", stale) == REPLY
        store.remove(ACCOUNT, "INBOX", [Entry(second.key, first.locator)])
        assert self.contents(store) == {first.key: LETTER}

    def test_whatIsGoneHasVanished(self) -> None:
        store = self.openStore()
        (entry,) = self.add(store, new(LETTER))
        store.remove(ACCOUNT, "INBOX", [entry])
        for gone in (entry, Entry("nobody", ""), Entry(entry.key, "")):
            with pytest.raises(Vanished):
                store.read(ACCOUNT, "INBOX", gone)
            if ISimpleStream.providedBy(store):
                with pytest.raises(Vanished):
                    ISimpleStream(store).open(ACCOUNT, "INBOX", gone)

    # --- Append: all or none, durable ---

    def test_whenOneMessageCannotBeReadNoneIsAdded(self) -> None:
        store = self.openStore()
        (kept,) = self.add(store, new(REPLY))
        broken = NewMessage(MessageSource(path=os.path.join(self.context.data, "nowhere"), length=10))
        with pytest.raises(OSError):
            store.append(ACCOUNT, "INBOX", [*self.keyed(store, LETTER), (kept.key + "0", broken)])
        assert self.contents(store) == self.contents(self.openStore()) == {kept.key: REPLY}
        (added,) = self.add(store, new(LETTER))
        assert self.contents(store) == {kept.key: REPLY, added.key: LETTER}

    def test_onAFullDiskNoneIsAdded(self) -> None:
        if not self.isTraced:
            pytest.skip("this store's changes cannot be seen")
        store = self.openStore()
        (kept,) = self.add(store, new(REPLY))
        for room in range(100):
            disk = Disk(self.context.data, fullAt=room)
            with disk.watching():
                try:
                    store.append(ACCOUNT, "INBOX", self.keyed(store, LETTER, CONTENTS["many lines"]))
                    break
                except (OSError, Refusal):
                    pass
            assert self.contents(store) == self.contents(self.openStore()) == {kept.key: REPLY}
        assert sorted(self.contents(store).values()) == sorted([REPLY, LETTER, CONTENTS["many lines"]])

    def test_whenAnyStepFailsNoneIsAdded(self) -> None:
        if not self.isTraced:
            pytest.skip("this store's changes cannot be seen")
        store = self.openStore()
        wanted = {entry.key: REPLY for entry in self.add(store, new(REPLY))}
        isTried = True
        step = 0
        while isTried:
            disk = Disk(self.context.data, errorAt=step)
            with disk.watching():
                try:
                    entries = store.append(ACCOUNT, "INBOX", self.keyed(store, LETTER, CONTENTS["dots"]))
                    wanted |= dict(zip([entry.key for entry in entries], [LETTER, CONTENTS["dots"]], strict=True))
                except (OSError, Refusal):
                    pass
            isTried = len(disk.calls) > step
            step += 1
            assert self.contents(store) == self.contents(self.openStore()) == wanted

    def test_whatWasAppendedStaysAndNothingIsTorn(self) -> None:
        kept: list[Entry] = []

        def prepare(store: ISimpleStore) -> None:
            kept[:] = self.add(store, new(REPLY))

        def append(store: ISimpleStore) -> None:
            store.append(ACCOUNT, "INBOX", self.keyed(store, LETTER, CONTENTS["bare LF"]))

        for isDone in self.crashes(prepare, append):
            found = self.contents(self.openStore())
            assert found.pop(kept[0].key) == REPLY
            assert set(found.values()) <= {LETTER, CONTENTS["bare LF"]}
            assert not isDone or len(found) == 2
            self.add(self.openStore(), new(b"Subject: after\r\n\r\n"))
            assert len(self.contents(self.openStore())) == len(found) + 2

    def test_theFirstMessageOfAnAccountIsDurableToo(self) -> None:
        for isDone in self.crashes(lambda store: None, lambda store: self.add(store, new(LETTER))):
            found = list(self.contents(self.openStore()).values())
            assert found == [LETTER] or (not found and not isDone)

    # --- Remove ---

    def test_removedMessagesAreGoneAndTheOthersStay(self) -> None:
        store = self.openStore()
        entries = self.add(store, *map(new, CONTENTS.values()))
        wanted = dict(zip([entry.key for entry in entries], CONTENTS.values(), strict=True))
        for _ in range(4):
            entries = list(store.scan(ACCOUNT, "INBOX"))
            store.remove(ACCOUNT, "INBOX", entries[::3])
            for entry in entries[::3]:
                del wanted[entry.key]
            assert self.contents(store) == self.contents(self.openStore()) == wanted
        store.remove(ACCOUNT, "INBOX", list(store.scan(ACCOUNT, "INBOX")))
        assert self.contents(store) == self.contents(self.openStore()) == {}

    def test_removingWhatIsGoneIsNoError(self) -> None:
        store = self.openStore()
        first, second = self.add(store, new(LETTER), new(REPLY))
        for _ in range(2):
            store.remove(ACCOUNT, "INBOX", [first])
        store.remove(ACCOUNT, "INBOX", [Entry("nobody", "nowhere")])
        store.remove("jsmith@example.org", "INBOX", [first])
        assert self.contents(store) == {second.key: REPLY}

    def test_aCrashDuringRemovalHarmsNoOther(self) -> None:
        contents = [LETTER, REPLY, CONTENTS["mbox separators"], LETTER, CONTENTS["a long line"]]
        kept: dict[str, bytes] = {}
        unwanted: dict[str, bytes] = {}

        def prepare(store: ISimpleStore) -> None:
            entries = list(store.append(ACCOUNT, "INBOX", self.keyed(store, *contents[:3])))
            entries += self.add(store, *map(new, contents[3:]))
            pairs = [(entry.key, content) for entry, content in zip(entries, contents, strict=True)]
            kept.clear()
            kept.update(pairs[1::2])
            unwanted.clear()
            unwanted.update(pairs[::2])

        def remove(store: ISimpleStore) -> None:
            store.remove(ACCOUNT, "INBOX", [entry for entry in store.scan(ACCOUNT, "INBOX") if entry.key in unwanted])

        for isDone in self.crashes(prepare, remove):
            found = self.contents(self.openStore())
            assert kept.items() <= found.items() <= (kept | unwanted).items()
            assert not isDone or found == kept

    # --- Tokens ---

    def test_theTokenStaysWhileNothingChanges(self) -> None:
        store = self.openStore()
        self.add(store, new(LETTER))
        token = store.token(ACCOUNT, "INBOX")
        list(store.scan(ACCOUNT, "INBOX"))
        assert store.token(ACCOUNT, "INBOX") in (token, "")
        assert self.openStore().token(ACCOUNT, "INBOX") in (token, "") or not token

    def test_theTokenChangesWithEveryChange(self) -> None:
        store = self.openStore()
        tokens = [store.token(ACCOUNT, "INBOX")]
        entries = []
        for _ in range(3):
            entries += self.add(store, new(LETTER))
            tokens.append(store.token(ACCOUNT, "INBOX"))
        for entry in entries:
            store.remove(ACCOUNT, "INBOX", [entry])
            tokens.append(store.token(ACCOUNT, "INBOX"))
        known = [token for token in tokens if token]
        assert len(known) == len(set(known))

    # --- Other programs ---

    def test_whatAnotherProgramAddsIsFound(self) -> None:
        store = self.openStore()
        mine = self.add(store, new(LETTER), new(REPLY))
        token = store.token(ACCOUNT, "INBOX")
        foreign = b"Subject: from elsewhere\r\n\r\nbody\r\n"
        self.foreignAppend(ACCOUNT, "INBOX", foreign)
        assert not token or store.token(ACCOUNT, "INBOX") != token
        entries = list(store.scan(ACCOUNT, "INBOX"))
        assert [entry.key for entry in entries][:2] == [entry.key for entry in mine]
        assert foreign in store.read(ACCOUNT, "INBOX", entries[2])
        assert entries[2].size in (-1, len(store.read(ACCOUNT, "INBOX", entries[2])))
        assert [entry.key for entry in self.openStore().scan(ACCOUNT, "INBOX")] == [entry.key for entry in entries]
        (later,) = self.add(store, new(LETTER))
        store.remove(ACCOUNT, "INBOX", [mine[0], later])
        assert [entry.key for entry in store.scan(ACCOUNT, "INBOX")] == [mine[1].key, entries[2].key]
        assert foreign in store.read(ACCOUNT, "INBOX", entries[2])

    def test_whatAnotherProgramRemovesIsGone(self) -> None:
        store = self.openStore()
        entries = self.add(store, new(LETTER), new(REPLY), new(CONTENTS["dots"]))
        token = store.token(ACCOUNT, "INBOX")
        self.foreignRemove(ACCOUNT, "INBOX", store, entries[1])
        assert not token or store.token(ACCOUNT, "INBOX") != token
        assert self.contents(store) == {entries[0].key: LETTER, entries[2].key: CONTENTS["dots"]}
        assert store.read(ACCOUNT, "INBOX", entries[2]) == CONTENTS["dots"]
        with pytest.raises(Vanished):
            store.read(ACCOUNT, "INBOX", entries[1])
        store.remove(ACCOUNT, "INBOX", [entries[1], entries[0]])
        assert self.contents(store) == {entries[2].key: CONTENTS["dots"]}

    # --- Flags ---

    def _kept(self, store: ISimpleFlags) -> list[str]:
        return [flag for flag in Flag.SYSTEM if store.permanentFlags is None or flag in store.permanentFlags]

    def test_aFormatWithoutFlagsSaysNone(self) -> None:
        store = self.openStore()
        if ISimpleFlags.providedBy(store):
            pytest.skip("this store's format keeps flags")
        (entry,) = self.add(store, new(LETTER, [Flag.SEEN]))
        assert entry.flags is None
        assert [found.flags for found in store.scan(ACCOUNT, "INBOX")] == [None]

    def test_flagsComeWithTheMessage(self) -> None:
        store = self.openStore()
        kept = self._kept(self.flags(store))
        self.add(store, *(new(LETTER, flags) for flags in ([], kept, kept[:1])))
        found = [entry.flags for entry in self.openStore().scan(ACCOUNT, "INBOX")]
        assert found == [frozenset(), frozenset(kept), frozenset(kept[:1])]

    def test_flagsCanBeSetAndTakenAway(self) -> None:
        store = self.openStore()
        flagged = self.flags(store)
        entries = self.add(store, *map(new, [LETTER, REPLY, b"", LETTER]))
        kept = self._kept(flagged)
        for flags in [frozenset(kept), *({flag} for flag in kept), frozenset[str]()]:
            wanted = frozenset(flags)
            entries[1:3] = flagged.setFlags(ACCOUNT, "INBOX", [(entry, wanted) for entry in entries[1:3]])
            assert [entry.flags for entry in entries[1:3]] == [wanted, wanted]
            for opened in (store, self.openStore()):
                found = {entry.key: entry for entry in opened.scan(ACCOUNT, "INBOX")}
                assert found == {entry.key: entry for entry in entries}
        assert self.contents(store) == dict(zip([entry.key for entry in entries], [LETTER, REPLY, b"", LETTER], strict=True))

    def test_keywordsAreKeptWithoutLimit(self) -> None:
        store = self.openStore()
        flagged = self.flags(store)
        if flagged.permanentFlags is not None:
            pytest.skip("this store's format keeps no keywords")
        keywords = ["$Forwarded", "$Junk", "a", *(f"keyword-{number}" for number in range(60))]
        entries = self.add(store, new(LETTER), new(REPLY, keywords[:3]))
        assert entries[1].flags == frozenset(keywords[:3])
        (entries[0],) = flagged.setFlags(ACCOUNT, "INBOX", [(entries[0], frozenset(keywords))])
        assert entries[0].flags == frozenset(keywords)
        assert {entry.key: entry for entry in self.openStore().scan(ACCOUNT, "INBOX")} == {entry.key: entry for entry in entries}
        fewer = frozenset([*keywords[-2:], Flag.SEEN])
        flagged.setFlags(ACCOUNT, "INBOX", [(entries[0], fewer)])
        assert {entry.flags for entry in self.openStore().scan(ACCOUNT, "INBOX")} == {fewer, entries[1].flags}

    def test_setFlagsAnswersForEachMessageInOrder(self) -> None:
        store = self.openStore()
        flagged = self.flags(store)
        entries = self.add(store, new(LETTER), new(REPLY), new(b""))
        store.remove(ACCOUNT, "INBOX", [entries[1]])
        seen = frozenset([Flag.SEEN])
        found = flagged.setFlags(ACCOUNT, "INBOX", [(Entry(entry.key, "stale"), seen) for entry in reversed(entries)])
        assert [entry.key for entry in found] == [entry.key for entry in reversed(entries)]
        assert {entry.key: entry.flags for entry in store.scan(ACCOUNT, "INBOX")} == {entries[0].key: seen, entries[2].key: seen}

    def test_aCrashWhileFlagsAreSetLosesNoMessage(self) -> None:
        self.flags(self.openStore())
        keys: list[str] = []

        def prepare(store: ISimpleStore) -> None:
            keys[:] = [entry.key for entry in self.add(store, new(LETTER), new(REPLY, [Flag.DRAFT]))]

        def mark(store: ISimpleStore) -> None:
            pairs = [(entry, frozenset([Flag.SEEN, "$Junk"])) for entry in store.scan(ACCOUNT, "INBOX")]
            ISimpleFlags(store).setFlags(ACCOUNT, "INBOX", pairs)

        for isDone in self.crashes(prepare, mark):
            store = self.openStore()
            assert self.contents(store) == dict(zip(keys, [LETTER, REPLY], strict=True))
            if isDone:
                assert all(Flag.SEEN in (entry.flags or ()) for entry in store.scan(ACCOUNT, "INBOX"))

    # --- Folders ---

    def test_INBOXIsThereWithoutBeingMade(self) -> None:
        store = self.openStore()
        assert list(store.scan(ACCOUNT, "INBOX")) == []
        store.token(ACCOUNT, "INBOX")
        assert set(store.folders(ACCOUNT)) <= {"INBOX"}
        self.add(store, new(LETTER))
        assert set(store.folders(ACCOUNT)) <= {"INBOX"}

    def test_foldersAreMadeAndListed(self) -> None:
        store = self.openStore()
        folders = self.folders(store)
        for name in ("Work", "Work/Plans", "Deep/Down/There", "Work"):
            folders.createFolder(ACCOUNT, name)
        for opened in (store, self.openStore()):
            assert {"Work", "Work/Plans", "Deep/Down/There"} <= set(opened.folders(ACCOUNT)) <= {
                "INBOX", "Work", "Work/Plans", "Deep", "Deep/Down", "Deep/Down/There",
            }  # fmt: skip
            assert list(opened.scan(ACCOUNT, "Work/Plans")) == []
        assert set(store.folders("jsmith@example.org")) <= {"INBOX"}

    def test_eachFolderHasItsOwnMessages(self) -> None:
        store = self.openStore()
        self.folders(store).createFolder(ACCOUNT, "Work")
        (work,) = self.add(store, new(LETTER), folder="Work")
        (inbox,) = self.add(store, new(REPLY))
        assert self.contents(store, folder="Work") == {work.key: LETTER}
        assert self.contents(store) == {inbox.key: REPLY}
        store.remove(ACCOUNT, "INBOX", [work])
        assert self.contents(store, folder="Work") == {work.key: LETTER}

    def test_toAFolderThatIsNotThereNothingIsAdded(self) -> None:
        store = self.openStore()
        self.folders(store)
        with pytest.raises(NoSuchMailbox):
            store.append(ACCOUNT, "Nowhere", [("x.1", new(LETTER))])
        assert "Nowhere" not in store.folders(ACCOUNT)

    def test_aRenamedFolderKeepsItsMessagesAndKeys(self) -> None:
        store = self.openStore()
        folders = self.folders(store)
        for name in ("Work", "Work/Plans", "There"):
            folders.createFolder(ACCOUNT, name)
        (entry,) = self.add(store, new(LETTER), folder="Work")
        (child,) = self.add(store, new(REPLY), folder="Work/Plans")
        folders.renameFolder(ACCOUNT, "Work", "Other/Job")
        for opened in (store, self.openStore()):
            assert self.contents(opened, folder="Other/Job") == {entry.key: LETTER}
            assert opened.read(ACCOUNT, "Other/Job", entry) == LETTER
            assert self.contents(opened, folder="Work/Plans") == {child.key: REPLY}
            assert "Work" not in opened.folders(ACCOUNT) and "Other/Job" in opened.folders(ACCOUNT)
        with pytest.raises(MailboxExists):
            folders.renameFolder(ACCOUNT, "Other/Job", "There")
        with pytest.raises(NoSuchMailbox):
            folders.renameFolder(ACCOUNT, "Nowhere", "Somewhere")
        assert self.contents(store, folder="Other/Job") == {entry.key: LETTER}

    def test_aDeletedFolderIsGoneWithItsMessagesButNotItsChildren(self) -> None:
        store = self.openStore()
        folders = self.folders(store)
        for name in ("Work", "Work/Plans"):
            folders.createFolder(ACCOUNT, name)
        self.add(store, new(LETTER), folder="Work")
        (child,) = self.add(store, new(REPLY), folder="Work/Plans")
        folders.deleteFolder(ACCOUNT, "Work")
        for opened in (store, self.openStore()):
            assert "Work" not in opened.folders(ACCOUNT)
            assert self.contents(opened, folder="Work/Plans") == {child.key: REPLY}
        folders.createFolder(ACCOUNT, "Work")
        assert self.contents(store, folder="Work") == {}

    def test_aCrashWhileAFolderIsRenamedLosesNothing(self) -> None:
        self.folders(self.openStore())

        def prepare(store: ISimpleStore) -> None:
            ISimpleFolders(store).createFolder(ACCOUNT, "Work")
            self.add(store, new(LETTER), folder="Work")

        for isDone in self.crashes(prepare, lambda store: ISimpleFolders(store).renameFolder(ACCOUNT, "Work", "New/Job")):
            store = self.openStore()
            there = {name for name in ("Work", "New/Job") if name in set(store.folders(ACCOUNT))}
            assert there == {"New/Job"} if isDone else there
            assert all(list(self.contents(store, folder=name).values()) == [LETTER] for name in there)

    # --- Hostile names ---

    def _outside(self) -> list[str]:
        """What stands beside the data directory."""
        return sorted(os.listdir(os.path.dirname(self.context.data)))

    def test_everyFolderNameIsAFolderOfItsOwnOrRefused(self) -> None:
        store = self.openStore()
        folders = self.folders(store)
        beside = self._outside()
        made = {}
        for number, name in enumerate(HOSTILE_NAMES):
            content = b"Subject: %d\r\n\r\n" % number
            try:
                folders.createFolder(ACCOUNT, name)
            except InvalidName:
                continue
            self.add(store, new(content), folder=name)
            made[name] = [content]
        assert {"x/y/z", "Case", "case", "Entwürfe", "台北"} <= set(made)
        reopened = self.openStore()
        assert {name: list(self.contents(reopened, folder=name).values()) for name in made} == made
        listed = set(reopened.folders(ACCOUNT))
        assert {name for name in made if "\x00" not in name and "\n" not in name} <= listed
        assert list(self.contents(reopened).values()) == []
        assert self._outside() == beside
        for name in sorted(made, reverse=True):
            folders.deleteFolder(ACCOUNT, name)
        assert set(self.openStore().folders(ACCOUNT)) <= {"INBOX"}

    def test_everyAccountNameIsAnAccountOfItsOwnOrRefused(self) -> None:
        store = self.openStore()
        beside = self._outside()
        made = {}
        for number, account in enumerate(HOSTILE_ACCOUNTS):
            content = b"Subject: %d\r\n\r\n" % number
            try:
                self.add(store, new(content), account=account)
            except InvalidName:
                continue
            made[account] = [content]
        assert {"mbrain@example.net", "example.net@example.org"} <= set(made)
        reopened = self.openStore()
        assert {account: list(self.contents(reopened, account=account).values()) for account in made} == made
        assert self._outside() == beside

    @pytest.mark.parametrize("name", TOO_LONG)
    def test_aNameThatIsTooLongIsRefusedBeforeAnythingIsMade(self, name: str) -> None:
        store = self.openStore()
        folders = self.folders(store)
        try:
            folders.createFolder(ACCOUNT, name)
        except InvalidName:
            assert set(self.openStore().folders(ACCOUNT)) <= {"INBOX"}
        else:
            assert name in self.openStore().folders(ACCOUNT)

    # --- Several accounts at once ---

    def test_accountsCanBeUsedAtTheSameTime(self) -> None:
        store = self.openStore()
        accounts = [f"user{number}@example.org" for number in range(6)]

        def use(account: str) -> Sequence[bytes]:
            for number in range(10):
                self.add(store, new(f"To: {account}\r\nSubject: {number}\r\n\r\n".encode()), account=account)
                entries = list(store.scan(account, "INBOX"))
                if number % 3 == 2:
                    store.remove(account, "INBOX", entries[:1])
            return list(self.contents(store, account=account).values())

        with ThreadPoolExecutor(len(accounts)) as threads:
            results = list(threads.map(use, accounts))
        for account, found in zip(accounts, results, strict=True):
            assert found == [f"To: {account}\r\nSubject: {number}\r\n\r\n".encode() for number in range(3, 10)]
