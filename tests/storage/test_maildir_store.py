"""What other programs see of our Maildirs, and we of theirs."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from mailfw.errors import Vanished
from mailfw.storage.maildir import MaildirStore, maildir
from mailfw.storage.maildir.keywords import FURTHER, NUMBERED
from mailfw.storage.maildir.names import describe, newKey
from mailfw.storage.maildir.uidlist import parse
from mailfw.testing.fakes import START, FakeStoreContext
from mailfw.values import Entry, Flag, MessageSource, NewMessage

ACCOUNT = "mbrain@example.org"


class Place:
    """A store, and INBOX's directory in it."""

    def __init__(self, root: Path) -> None:
        self.context = FakeStoreContext(str(root), ("example.org",), Clock())
        self.root = root / "mail"
        self.inbox = self.root / "mbrain"

    def open(self) -> MaildirStore:
        store = maildir.openSimpleStore("mail", self.context)
        assert isinstance(store, MaildirStore)
        return store

    def add(self, content: bytes, *flags: str, date: float | None = None) -> Entry:
        store = self.open()
        message = NewMessage(MessageSource(content), frozenset(flags), date)
        (entry,) = store.append(ACCOUNT, "INBOX", [(store.newKey(ACCOUNT, "INBOX", message), message)])
        return entry

    def put(self, name: str, content: bytes = b"Subject: x\n\nbody\n") -> None:
        """Another program's file."""
        for sub in ("new", "cur", "tmp"):
            (self.inbox / sub).mkdir(parents=True, exist_ok=True)
        (self.inbox / name).write_bytes(content)

    def scan(self) -> list[Entry]:
        return list(self.open().scan(ACCOUNT, "INBOX"))

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.inbox)) for sub in ("new", "cur", "tmp") for path in (self.inbox / sub).iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- Our files ---


def test_aNewMessageLiesInNewUnderANameWithItsSizes(place: Place) -> None:
    place.add(b"Subject: x\r\n\r\nbody\r\n", date=START)
    (name,) = place.names()
    pattern = r"new/1790000000\.M000000P\d+Q\d{6}R[0-9a-f]{8}\.[^,:/]+,S=20,W=20,D=1790000000"
    assert re.fullmatch(pattern, name)
    assert (place.inbox / name).read_bytes() == b"Subject: x\r\n\r\nbody\r\n"
    assert (place.inbox / name).stat().st_mtime == START


def test_aMessageWithFlagsLiesInCurWithSortedLetters(place: Place) -> None:
    place.add(b"x\r\n", Flag.SEEN, Flag.ANSWERED, Flag.FLAGGED, Flag.DRAFT, Flag.DELETED, Flag.FORWARDED)
    (name,) = place.names()
    assert name.startswith("cur/")
    assert name.endswith(":2,DFPRSTa")
    assert (place.inbox / NUMBERED).read_text() == "0 $Forwarded\n"


def test_theSizeWithCRLFIsThatOfWhatDovecotWillSend(place: Place) -> None:
    place.add(b"a\nb\r\nc\n")
    assert ",S=7,W=9," in place.names()[0]


def test_filesAreTheirOwnersAlone(place: Place) -> None:
    place.add(b"x\r\n", Flag.SEEN)
    place.open().createFolder(ACCOUNT, "Work")
    for directory, directories, files in os.walk(place.root):
        for name in directories:
            assert stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) == 0o600
    assert (place.inbox / ".Work" / "maildirfolder").exists()


def test_keysOfAThousandMessagesDiffer() -> None:
    assert len({newKey(START) for _ in range(1000)}) == 1000


def test_aMessageStaysInNewUntilItGetsAFlag(place: Place) -> None:
    entry = place.add(b"x\r\n")
    store = place.open()
    (same,) = store.setFlags(ACCOUNT, "INBOX", [(entry, frozenset())])
    assert same == entry and place.names()[0].startswith("new/")
    (seen,) = store.setFlags(ACCOUNT, "INBOX", [(entry, frozenset([Flag.SEEN]))])
    assert place.names() == [seen.locator] == [f"cur/{entry.locator[4:]}:2,S"]
    (unseen,) = store.setFlags(ACCOUNT, "INBOX", [(seen, frozenset())])
    assert place.names() == [unseen.locator] == [f"cur/{entry.locator[4:]}:2,"]


# --- Files of other programs ---


def test_linesOfAForeignFileAreServedWithCRLF(place: Place) -> None:
    place.put("new/1700000000.1.elsewhere", b"Subject: x\n\na\r\nb\rc\n")
    (entry,) = place.scan()
    assert place.open().read(ACCOUNT, "INBOX", entry) == b"Subject: x\r\n\r\na\r\nb\rc\r\n"
    assert entry.size == -1


def test_aForeignFilesSizeIsKnownFromItsName(place: Place) -> None:
    content = b"Subject: x\n\n" + b"line\n" * 100_000
    place.put(f"cur/1700000000.M1P2.elsewhere,S={len(content)},W={len(content) + 100_002}:2,S", content)
    (entry,) = place.scan()
    assert entry.size == len(content) + 100_002 == len(place.open().read(ACCOUNT, "INBOX", entry))
    with place.open().open(ACCOUNT, "INBOX", entry) as file:
        file.seek(entry.size - 6)
        assert file.read() == b"line\r\n"


def test_aForeignFilesInternalDateIsItsTime(place: Place) -> None:
    place.put("new/1700000000.1.elsewhere")
    os.utime(place.inbox / "new/1700000000.1.elsewhere", (1e9, 1e9))
    (entry,) = place.scan()
    assert entry.internalDate == 1e9


def test_flagsInForeignNamesAreRead(place: Place) -> None:
    place.put("cur/1.a:2,FS")
    place.put("cur/2.a:2,")
    place.put("cur/3.a")
    place.put("new/4.a:2,Sb")
    place.put("cur/5.a:2,PZ")
    place.put("cur/6.a:1,S")
    (place.inbox / NUMBERED).write_text("0 $Junk\n1 Work\nnonsense\n99 x\n")
    assert [entry.flags for entry in place.scan()] == [
        {Flag.FLAGGED, Flag.SEEN}, set(), set(), {Flag.SEEN, "Work"}, {Flag.FORWARDED}, set(),
    ]  # fmt: skip


def test_whatOthersWroteIntoANameStays(place: Place) -> None:
    place.put("cur/5.a,S=17,U=9:2,SZq,extra=1")
    (entry,) = place.scan()
    (changed,) = place.open().setFlags(ACCOUNT, "INBOX", [(entry, frozenset([Flag.FLAGGED]))])
    assert place.names() == [changed.locator] == ["cur/5.a,S=17,U=9:2,FZq,extra=1"]


def test_aMessageThatAnotherProgramRenamedKeepsItsKey(place: Place) -> None:
    entry = place.add(b"x\r\n")
    os.rename(place.inbox / entry.locator, place.inbox / f"cur/{entry.locator[4:]},U=7:2,S")
    (found,) = place.scan()
    assert found.key == entry.key and found.flags == {Flag.SEEN}
    store = place.open()
    assert store.read(ACCOUNT, "INBOX", entry) == b"x\r\n"
    (flagged,) = store.setFlags(ACCOUNT, "INBOX", [(entry, frozenset([Flag.FLAGGED]))])
    assert flagged.locator == f"cur/{entry.locator[4:]},U=7:2,F"
    store.remove(ACCOUNT, "INBOX", [entry])
    assert place.names() == []


def test_oneFileUnderTwoNamesCountsOnceAndTwoFilesWithOneKeyTwice(place: Place) -> None:
    place.put("new/5.a,S=17")
    os.link(place.inbox / "new/5.a,S=17", place.inbox / "cur/5.a,S=17:2,S")
    place.put("cur/6.a,S=17:2,")
    place.put("cur/6.a,S=18:2,", b"Subject: xx\n\nbody\n")
    entries = place.scan()
    assert [entry.key for entry in entries] == ["5.a", "6.a", "6.a,S=18"]
    assert entries[0].flags == {Flag.SEEN}
    store = place.open()
    assert len({store.read(ACCOUNT, "INBOX", entry) for entry in entries[1:]}) == 2


def test_whatIsNoMessageIsLeftAlone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    place.put("new/.hidden")
    (place.inbox / "cur" / "directory").mkdir()
    os.symlink(tmp_path / "secret", place.inbox / "cur" / "1.link:2,S")
    os.mkfifo(place.inbox / "new" / "1.fifo")
    assert place.scan() == []
    for locator in ("cur/1.link:2,S", "new/1.fifo"):
        with pytest.raises(OSError):
            place.open().read(ACCOUNT, "INBOX", Entry(locator[4:].partition(":")[0], locator))


def test_foldersThatOthersSpelledOtherwiseAreOpened(place: Place) -> None:
    for name in (".Entwürfe", ".R&D"):
        for sub in ("new", "cur", "tmp"):
            (place.inbox / name / sub).mkdir(parents=True)
    (place.inbox / ".R&D" / "new" / "1.a").write_bytes(b"x\n")
    store = place.open()
    assert set(store.folders(ACCOUNT)) == {"INBOX", "Entwürfe", "R&D"}
    assert [entry.key for entry in store.scan(ACCOUNT, "R&D")] == ["1.a"]
    store.createFolder(ACCOUNT, "Entwürfe")
    assert not (place.inbox / ".Entw&APw-rfe").exists()


def test_onlyOldFilesInTmpAreTakenAway(place: Place) -> None:
    place.put("tmp/old")
    place.put("tmp/young")
    made = (place.inbox / "tmp/old").stat().st_ctime
    place.context.reactor.advance(made + 36 * 3600 - 10 - place.context.now())
    os.utime(place.inbox / "tmp/young", (made + 60, made + 60))
    place.scan()
    assert place.names() == ["tmp/old", "tmp/young"]
    place.context.reactor.advance(20)
    place.scan()
    assert place.names() == ["tmp/young"]


def test_aTokenIsTrustedOnlyWhenTheDirectoryHasRested(place: Place) -> None:
    place.put("new/1.a")
    store = place.open()
    changed = (place.inbox / "new").stat().st_mtime
    place.context.reactor.advance(changed + 1.9 - place.context.now())
    assert store.token(ACCOUNT, "INBOX") == ""
    place.context.reactor.advance(0.2)
    token = store.token(ACCOUNT, "INBOX")
    assert token and token == store.token(ACCOUNT, "INBOX")
    os.rename(place.inbox / "new/1.a", place.inbox / "cur/1.a:2,S")
    os.utime(place.inbox / "cur", (changed - 5, changed - 5))
    os.utime(place.inbox / "new", (changed, changed))  # whatever the wall clock says by now
    assert store.token(ACCOUNT, "INBOX") not in (token, "")


def test_aMessageThatIsMovedWhileTheDirectoriesAreReadIsNotMissed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("new/1.a")
    place.put("cur/2.a:2,")
    listdir = os.listdir
    moves = [("new/1.a", "cur/1.a:2,S"), ("cur/2.a:2,", "cur/2.a:2,F"), ("cur/2.a:2,F", "cur/2.a:2,FS")]

    def moving(path: str) -> list[str]:
        names = listdir(path)
        if str(path).endswith("/cur") and moves:
            old, new = moves.pop(0)
            os.rename(place.inbox / old, place.inbox / new)
            future = 4e9 - len(moves)
            os.utime(place.inbox / "cur", (future, future))
        return names

    monkeypatch.setattr(os, "listdir", moving)
    assert {entry.key: entry.flags for entry in place.scan()} == {"1.a": {Flag.SEEN}, "2.a": {Flag.FLAGGED, Flag.SEEN}}


# --- Keywords ---


def test_keywordsBeyondTwentySixAreKeptBesideTheFile(place: Place) -> None:
    keywords = [f"k{number:02}" for number in range(28)]
    entry = place.add(b"x\r\n", *keywords)
    assert place.names()[0].endswith(":2,abcdefghijklmnopqrstuvwxyz")
    assert (place.inbox / FURTHER).read_text() == f"{entry.key} k26 k27\n"
    assert place.scan()[0].flags == frozenset(keywords)
    place.open().remove(ACCOUNT, "INBOX", [entry])
    assert (place.inbox / FURTHER).read_text() == ""


def test_keywordsCompareWithoutCase(place: Place) -> None:
    place.put("cur/1.a:2,a")
    (place.inbox / NUMBERED).write_text("0 $junk\n")
    (entry,) = place.scan()
    (changed,) = place.open().setFlags(ACCOUNT, "INBOX", [(entry, frozenset(["$Junk", "New"]))])
    assert changed.locator == "cur/1.a:2,ab"
    assert (place.inbox / NUMBERED).read_text() == "0 $junk\n1 New\n"


def test_dovecotsLockIsHeldWhileItsKeywordsAreChanged(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("cur/1.a:2,")
    (place.inbox / "dovecot-uidlist").write_text("3 V1 N2\n1 :1.a\n")
    lock = place.inbox / "dovecot-uidlist.lock"
    rename = os.rename
    seen = []

    def watched(source: str, target: str) -> None:
        seen.append(lock.exists())
        rename(source, target)

    store = place.open()
    (entry,) = store.scan(ACCOUNT, "INBOX")
    monkeypatch.setattr(os, "rename", watched)
    (entry,) = store.setFlags(ACCOUNT, "INBOX", [(entry, frozenset(["$Junk"]))])
    store.setFlags(ACCOUNT, "INBOX", [(entry, frozenset())])
    assert seen == [True, True, True]
    assert not lock.exists()


# --- UIDs of Dovecot ---


def test_dovecotsUIDsAreImported(place: Place) -> None:
    place.put("cur/1276528487.M364837P9451.kurkku,S=17,W=20:2,F")
    place.put("new/1276533073.M242911P3632.kurkku")
    place.put("new/1276533074.unknown")
    (place.inbox / "dovecot-uidlist").write_text(
        "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n"
        "25006 :1276528487.M364837P9451.kurkku,S=17,W=20:2,\n"
        "25010 :1276528499.gone:2,\n"
        "25017 W2481 Pabc :1276533073.M242911P3632.kurkku:2,F\n"
    )
    expected = {"1276528487.M364837P9451.kurkku": 25006, "1276533073.M242911P3632.kurkku": 25017}
    assert place.open().uids(ACCOUNT, "INBOX") == (1275660208, 25022, expected)


def test_couriersVersionIsImportedToo() -> None:
    assert parse(b"1 1275660208 30\n7 1.a,S=3:2,S\nx y\n9 2.b\n") == (1275660208, 30, {"1.a,S=3": 7, "2.b": 9})


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"2 V1 N2\n", b"3 N2\n", b"3 V1\n", b"3 V0 N2\n", b"3 V99999999999 N2\n", b"\xff\x00", b"1 1\n"]
)
def test_aDamagedListNumbersNothing(content: bytes) -> None:
    assert parse(content) is None


def test_aFolderThatNobodyNumberedHasNoUIDs(place: Place) -> None:
    place.add(b"x\r\n")
    assert place.open().uids(ACCOUNT, "INBOX") is None


@pytest.mark.parametrize("base", ["a,S=x,W=1", "a,S=1,D=nan", "a,S=1,D=1e300", "a,D=5", "a,,=,S", "a,S=1,W="])
def test_fieldsWithoutSenseArePassedOver(base: str) -> None:
    assert describe(base).date is None


# --- What others leave there ---


def test_aNameThatIsNoTextCostsNobodyTheOthers(place: Place) -> None:
    place.put("new/1.fine")
    Path(os.fsdecode(os.fsencode(place.inbox / "new") + b"/2.h\xfft")).write_bytes(b"x")
    assert [entry.key for entry in place.scan()] == ["1.fine"]


@pytest.mark.parametrize("name", ["1.a,S=99999999999999999999,W=99999999999999999999", "1.a,S=-1,W=-1", "1.a,S=٣,W=٣"])
def test_aSizeThatNoFileHasIsNone(place: Place, name: str) -> None:
    place.put(f"new/{name}")
    assert [entry.size for entry in place.scan()] == [-1]


@pytest.mark.parametrize("name", ["new/1.a", "new/1.a,S=3,W=5", "cur/1.a,U=7,S=18,W=500:2,Sx,y", "new/1.a,S=3,W=3,D=1"])
def test_whatWasChangedInItsPlaceIsAnotherMessageThen(place: Place, name: str) -> None:
    """As by who edits it, or a filter: nobody is given octets of one and the size of the other."""
    place.put(name, b"Subject: x\n\nbody\n")
    (entry,) = place.scan()
    place.put(name, b"Subject: x\n\nmore than a body\n")
    store = place.open()
    with pytest.raises(Vanished):
        store.read(ACCOUNT, "INBOX", evolve(entry, size=20))
    (now,) = place.scan()
    content = store.read(ACCOUNT, "INBOX", now)
    assert content.replace(b"\r\n", b"\n") == b"Subject: x\n\nmore than a body\n"
    assert (now.key, now.flags, now.size) == (entry.key, entry.flags, len(content))
    assert (",D=1" in now.locator, ",U=7" in now.locator) == ("D=1" in name, "U=7" in name)


def test_manyThatWereChangedInTheirPlacesAreFoundOutAtOnce(place: Place) -> None:
    for number in range(20):
        place.put(f"new/{number:02}.a,S=18,W=22", b"Subject: x\n\nbody\n\n" if number % 2 else b"Subject: x\n\nmuch longer\n")
    store = place.open()
    with pytest.raises(Vanished):
        store.read(ACCOUNT, "INBOX", place.scan()[0])
    entries = place.scan()
    assert all(len(store.read(ACCOUNT, "INBOX", entry)) == entry.size for entry in entries)
    assert [",S=18,W=22" in entry.locator for entry in entries] == [False, True] * 10


@pytest.mark.parametrize("missing", ["new", "cur"])
def test_aMaildirOfWhichAnEmptyPartIsMissingIsOneAllTheSame(place: Place, missing: str) -> None:
    """As after a restore with what keeps no empty directories."""
    store, folder = place.open(), place.inbox / ".Work"
    store.createFolder(ACCOUNT, "Work")
    (folder / missing).rmdir()
    part = folder / ({"new", "cur"} - {missing}).pop()
    assert list(store.folders(ACCOUNT)) == ["INBOX", "Work"]
    tokens = set()
    for number in range(3):
        (part / f"{number}.a").write_bytes(b"x")
        os.utime(part, (number, number))
        tokens.add(store.token(ACCOUNT, "Work"))
    assert len(tokens) == 3
    message = NewMessage(MessageSource(b"x\r\n"))
    store.append(ACCOUNT, "Work", [(store.newKey(ACCOUNT, "Work", message), message)])
    assert len(list(store.scan(ACCOUNT, "Work"))) == 4


def test_everyAccountIsListedWhateverElseIsInTheRoot(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of its own has `lost+found`, which nobody may read; an account may be called as a domain is."""
    store = place.open()
    odd = os.fsdecode(b"h\xff")
    for path in ("alice", "example.net", "example.net/bob", "example.net/%63ur", odd, f"example.org/{odd}", "-/-"):
        (place.root / path / "cur").mkdir(parents=True)
    (place.root / "lost+found").mkdir()
    listdir = os.listdir

    def refusing(path: str) -> list[str]:
        if path.endswith("lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    names = {"alice@example.org", "example.net@example.org", "bob@example.net", "cur@example.net", "-@-"}
    assert set(store.accounts()) == names


def test_whereTheDiskDoesNotTellFoldersHaveNotGone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.open()
    store.createFolder(ACCOUNT, "Work")
    status = os.stat

    def failing(path: str, **more: bool) -> os.stat_result:
        if str(path).endswith(".Work/cur"):
            raise OSError(errno.EIO, "Input/output error", path)
        return status(path, **more)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(OSError, match="Input/output error"):
        store.folders(ACCOUNT)


# --- The root ---


def test_theRootRemembersWhichDomainWasTheFirst(place: Place) -> None:
    place.open()
    place.context.domains = ("example.org", "example.net")
    place.open()
    place.context.domains = ("example.net", "example.org")
    with pytest.raises(ValueError, match=r"'example.org' as its first domain.*'example.net'") as caught:
        place.open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("argument", "domains"), [("", ("example.org",)), ("mail", ())])
def test_withoutPathOrDomainItSaysWhatIsMissing(place: Place, argument: str, domains: tuple[str, ...]) -> None:
    place.context.domains = domains
    with pytest.raises(ValueError, match=r"missing|no domain"):
        maildir.openSimpleStore(argument, place.context)


def test_aRootCanBeGivenAbsolutely(place: Place, tmp_path: Path) -> None:
    place.root = tmp_path / "elsewhere"
    maildir.openSimpleStore(str(place.root), place.context)
    assert place.root.is_dir()
