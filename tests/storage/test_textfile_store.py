"""What stands in our text files, and what we find in those of other programs and of people."""

from __future__ import annotations

import errno
import fcntl
import mailbox
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from mailfw.errors import Unavailable
from mailfw.storage.textfile import TextfileStore, changes, locks, reader, textfile
from mailfw.storage.textfile.formats import Format, Mboxrd, Simple, decode, encode, shape
from mailfw.storage.textfile.stamp import Stamp, find
from mailfw.testing.fakes import START, FakeStoreContext
from mailfw.testing.faults import Disk
from mailfw.testing.samples import LETTER, REPLY
from mailfw.values import Entry, MessageSource, NewMessage

ACCOUNT = "mbrain@example.org"
PIECES = [b"\r", b"\n", b"\r\n", b"From ", b"From:", b">", b"a", b" ", b"Lines: 1", b"X-Mailfw-"]
SEPARATOR = "From elsewhere@example.net Mon Sep 21 14:13:20 2026 +0000\n"


class Place:
    """A store, and INBOX's file in it."""

    def __init__(self, root: Path) -> None:
        self.context = FakeStoreContext(str(root), ("example.org", "example.net"), Clock())
        self.root = root / "mail"
        self.inbox = self.root / "MBRAIN.TXT"

    def open(self, format: str = "mboxrd") -> TextfileStore:
        store = textfile.openSimpleStore(f"mail?format={format}", self.context)
        assert isinstance(store, TextfileStore)
        return store

    def add(self, store: TextfileStore, *contents: bytes, date: float | None = START) -> list[Entry]:
        entries: list[Entry] = []
        for content in contents:
            message = NewMessage(MessageSource(content), frozenset(), date)
            entries += store.append(ACCOUNT, "INBOX", [(store.newKey(ACCOUNT, "INBOX", message), message)])
        return entries

    def read(self, store: TextfileStore) -> list[bytes]:
        return [store.read(ACCOUNT, "INBOX", entry) for entry in store.scan(ACCOUNT, "INBOX")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- What stands there ---


def test_anMboxEntryReadsAsOne(place: Place) -> None:
    body = b"Return-Path: <jsmith@example.org>\r\nStatus: x\r\n\r\nFrom me\r\n>From you\r\nFrom: us\r\n"
    place.add(place.open(), body, b"no end")
    assert place.inbox.read_text() == (
        "From jsmith@example.org Mon Sep 21 14:13:20 2026 +0000\n"
        "Return-Path: <jsmith@example.org>\nX-Mailfw-Status: x\n\n>From me\n>>From you\nFrom: us\n\n"
        "From MAILER-DAEMON Mon Sep 21 14:13:20 2026 +0000 exact unended\n"
        "no end\n\n"
    )


def test_aSimpleEntryReadsAsInTheTextbook(place: Place) -> None:
    place.add(place.open("simple"), LETTER)
    assert place.inbox.read_text() == (
        "From: jsmith\nTo: mbrain\nX-Mailfw-Stored: Mon Sep 21 14:13:20 2026 +0000\n"
        ">From: jsmith@example.org\nTo: mbrain@example.org\nSubject: Lunch\n\nTomorrow?\n\n"
    )


def test_filesAreTheirOwnersAlone(place: Place) -> None:
    store = place.open()
    place.add(store, LETTER)
    store.createFolder(ACCOUNT, "Work/Plans")
    assert (place.root / "MBRAIN" / "WORK" / "PLANS.TXT").exists()
    for directory, directories, files in os.walk(place.root):
        for name in directories:
            assert stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) == 0o600


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        (b"Return-Path: <a@b>\r\nFrom: c@d\r\n", "a@b"),
        (b"Return-Path: <>\r\nFrom: c@d\r\n", "MAILER-DAEMON"),
        (b"X: y\r\nfrom: Some One <c@d>, e@f\r\n", "c@d"),
        (b"From: nobody\r\n", "MAILER-DAEMON"),
        (b"From: \xc3\xbc@d\r\n", "MAILER-DAEMON"),
        (b"From: " + b"x" * 400 + b"@d\r\n", "MAILER-DAEMON"),
        (b"X: y\r\n\r\nFrom: c@d\r\n", "MAILER-DAEMON"),
        (b"From: x\nFrom y@z Mon Jan  1 00:00:00 2024\r\n", "MAILER-DAEMON"),
    ],
)
def test_theSeparatorNamesTheSender(place: Place, header: bytes, sender: str) -> None:
    place.add(place.open(), header + b"\r\n")
    assert place.inbox.read_text().startswith(f"From {sender} Mon ")


@given(format=st.sampled_from([Mboxrd(), Simple()]), pieces=st.lists(st.sampled_from(PIECES)))
def test_encodingIsUndoneByDecoding(format: Format, pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    looks = shape(pieces)
    text = b"".join(encode(pieces, format.mark, looks))
    assert text == b"".join(encode([content], format.mark, looks))
    assert looks == shape([content])
    assert not any(line.startswith(format.mark) for line in text.split(b"\n"))
    assert text.endswith(b"\n\n") or text == b"\n"
    end = len(text) - 1 - looks.isUnended
    stamp = Stamp(START, looks.isExact, looks.isUnended)
    for size in (1, 3, 1000):
        split = [text[at : min(at + size, end)] for at in range(0, end, size)]
        assert b"".join(decode(split, format.mark, stamp)) == content


@given(st.integers(0, 253402300799), st.booleans(), st.booleans(), st.integers(0, 10**9 - 1))
def test_aStampComesBack(date: int, isExact: bool, isUnended: bool, number: int) -> None:
    stamp = Stamp(float(date), isExact, isUnended, number)
    assert find(f"From x {stamp}") == ("From x ", stamp)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Mon Jan  1 00:00:00 2024 +0000", 1704067200),
        ("Mon Jan  1 00:00:00 UTC 2024", 1704067200),
        ("Mon Jan 01 01:00:00 2024 +0100", 1704067200),
        ("Sun Dec 31 18:30:00 -0530 2023", 1704067200),
        ("Mon Jan  1 00:00 GMT 2024", 1704067200),
        ("Mon Jan  1 00:00:00 2024 GMT remote from x", 1704067200),
    ],
)
def test_otherProgramsDatesAreRead(text: str, date: float) -> None:
    found = find(text)
    assert found is not None and found[1].date == date


# --- Other programs' files ---


def test_whatIsAppendedToAFileWithoutFinalLineEndLeavesItsKey(place: Place) -> None:
    store = place.open()
    for end in ("", "\n", "\n\n"):
        place.inbox.write_text(SEPARATOR + "Subject: x\n\nbody" + end)
        (foreign,) = store.scan(ACCOUNT, "INBOX")
        (mine,) = place.add(store, LETTER)
        for opened in (store, place.open()):
            assert [entry.key for entry in opened.scan(ACCOUNT, "INBOX")] == [foreign.key, mine.key]
            assert place.read(opened) == [b"Subject: x\r\n\r\nbody\r\n", LETTER]
        store.remove(ACCOUNT, "INBOX", [mine])
        assert place.read(place.open()) == [b"Subject: x\r\n\r\nbody\r\n"]


def test_whatOtherProgramsNoteInHeadersChangesNothing(place: Place) -> None:
    store = place.open()
    (entry,) = place.add(store, LETTER)
    text = place.inbox.read_text()
    notes = "Status: RO\nX-Status: AF\nX-Keywords: a\n b\nX-UID: 7\nContent-Length: 11\nLines: 1\n\n"
    place.inbox.write_text(text.replace("\n\n", "\n" + notes, 1))
    assert store.read(ACCOUNT, "INBOX", entry) == LETTER
    (found,) = store.scan(ACCOUNT, "INBOX")
    assert (found.key, found.size) == (entry.key, entry.size)


def test_aFileWithCRLFIsServedAsItIs(place: Place) -> None:
    store = place.open()
    text = SEPARATOR + "Subject: x\n\n>From y\n\n" + SEPARATOR + "Subject: y\n\nbody\n"
    place.inbox.write_bytes(text.replace("\n", "\r\n").encode())
    assert place.read(store) == [b"Subject: x\r\n\r\nFrom y\r\n", b"Subject: y\r\n\r\nbody\r\n"]


def test_aLineThatOnlyLooksLikeASeparatorIsNone(place: Place) -> None:
    store = place.open()
    place.inbox.write_text("rubbish\n" + SEPARATOR + "Subject: x\n\nFrom here on\nFrom 2024 to 2025\n\n" + SEPARATOR + "\n")
    assert place.read(store) == [b"Subject: x\r\n\r\nFrom here on\r\nFrom 2024 to 2025\r\n", b""]


def test_aMessageWithoutEmptyLineBeforeTheNextIsWhole(place: Place) -> None:
    store = place.open()
    place.inbox.write_text(SEPARATOR + "Subject: x\n\nbody\n" + SEPARATOR + "Subject: y\n\n\n")
    assert place.read(store) == [b"Subject: x\r\n\r\nbody\r\n", b"Subject: y\r\n\r\n"]


def test_aFileThatAPersonWroteIsServed(place: Place) -> None:
    store = place.open("simple")
    place.inbox.write_text(
        "From: jsmith\nTo: mbrain\nMarshall,\nCan we get together for lunch?\n>From: is mine\n"
        "\n\n"
        "From: alice\nTo: mbrain\nSubject: Hi\n\nText\n"
        "From: bob\n"
        "From: carol\nTo: mbrain\n folded\nhttp://example.org/ is a link\n\nend"
    )
    expected = [
        b"From: jsmith\r\nTo: mbrain\r\n\r\nMarshall,\r\nCan we get together for lunch?\r\n>From: is mine\r\n",
        b"From: alice\r\nTo: mbrain\r\nSubject: Hi\r\n\r\nText\r\n",
        b"From: bob\r\n\r\n",
        b"From: carol\r\nTo: mbrain\r\n folded\r\n\r\nhttp://example.org/ is a link\r\n\r\nend\r\n",
    ]
    assert place.read(store) == expected
    assert [entry.size for entry in store.scan(ACCOUNT, "INBOX")] == [len(content) for content in expected]
    keys = [entry.key for entry in store.scan(ACCOUNT, "INBOX")]
    (mine,) = place.add(store, LETTER)
    assert [entry.key for entry in place.open("simple").scan(ACCOUNT, "INBOX")] == [*keys, mine.key]
    store.remove(ACCOUNT, "INBOX", [Entry(keys[1], "")])
    assert place.read(place.open("simple")) == [expected[0], *expected[2:], LETTER]


def test_aFolderFileThatAPersonMadeIsAFolder(place: Place) -> None:
    store = place.open("simple")
    (place.root / "MBRAIN").mkdir()
    (place.root / "MBRAIN" / "LETTERS.TXT").write_text("From: jsmith\nHello\n")
    (place.root / "MBRAIN" / "notes.txt").write_text("From: jsmith\nHello\n")
    assert list(store.folders(ACCOUNT)) == ["INBOX", "Letters"]
    assert len(list(store.scan(ACCOUNT, "Letters"))) == 1


def test_anAppendedMessageIsFoundWithoutReadingTheFileAgain(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.open()
    place.add(store, *(b"Subject: %d\r\n\r\n" % number for number in range(20)))
    measured = []
    measure = reader.Reader._measure
    monkeypatch.setattr(reader.Reader, "_measure", lambda self, span: measured.append(span) or measure(self, span))
    with place.inbox.open("a") as file:
        file.write(SEPARATOR + "Subject: x\n\n\n")
    assert len(list(store.scan(ACCOUNT, "INBOX"))) == 21
    assert len(measured) == 3
    place.inbox.write_text(place.inbox.read_text().replace("Subject: 3\n", "Subject: three\n"))
    assert b"Subject: three\r\n\r\n" in place.read(store)
    assert len(measured) > 20


def test_aSwapThatKeepsTheSizeOfOurFileIsSeen(place: Place) -> None:
    store = place.open()
    place.add(store, LETTER, REPLY)
    token = store.token(ACCOUNT, "INBOX")
    text = place.inbox.read_bytes()
    place.inbox.write_bytes(text.replace(b"Lunch", b"Hunch", 1))
    assert token and store.token(ACCOUNT, "INBOX") != token
    assert place.read(store)[0] == LETTER.replace(b"Lunch", b"Hunch")


def test_mutableOwnersCannotLeadUsElsewhere(place: Place, tmp_path: Path) -> None:
    store = place.open()
    (tmp_path / "secret").write_text(SEPARATOR + "\nsecret\n")
    os.symlink(tmp_path / "secret", place.inbox)
    with pytest.raises(OSError):
        list(store.scan(ACCOUNT, "INBOX"))
    with pytest.raises(OSError):
        place.add(store, LETTER)
    assert (tmp_path / "secret").read_text() == SEPARATOR + "\nsecret\n"


# --- Locks ---


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_aLockOfAnotherProgramIsWaitedFor(place: Place, monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    monkeypatch.setattr(locks, "TIMEOUT", 0.0)
    store = place.open()
    place.add(store, LETTER)
    program = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, int(sys.argv[2])); print(flush=True); input()"
    arguments = [sys.executable, "-c", program, str(place.inbox), str(kind)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"\n"
        with pytest.raises(Unavailable):
            place.add(store, REPLY)
        if kind == fcntl.LOCK_EX:
            with pytest.raises(Unavailable):
                place.read(store)
        else:
            assert place.read(store) == [LETTER]
        other.communicate(b"\n")
    place.add(store, REPLY)
    assert place.read(store) == [LETTER, REPLY]


def test_aDotLockOfAnotherProgramIsWaitedForUntilItIsStale(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TIMEOUT", 0.0)
    store = place.open()
    place.add(store, LETTER)
    lock = place.root / "MBRAIN.TXT.lock"
    for content in ("", f"1:{os.uname().nodename}", "5:elsewhere"):
        lock.write_text(content)
        with pytest.raises(Unavailable):
            place.add(store, REPLY)
    assert place.read(store) == [LETTER]
    dead = os.fork()
    if not dead:
        os._exit(0)
    os.waitpid(dead, 0)
    lock.write_text(f"{dead}:{os.uname().nodename}\n")
    place.add(store, REPLY)
    lock.write_text("")
    os.utime(lock, (1e9, 1e9))
    place.add(store, REPLY)
    assert place.read(store) == [LETTER, REPLY, REPLY]
    assert not lock.exists()


def test_otherProgramsSeeOurLocks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.open()
    place.add(store, LETTER)
    seen = []
    pwrite = os.pwrite

    def watched(*arguments: object) -> int:
        with pytest.raises(mailbox.ExternalClashError):
            mailbox.mbox(str(place.inbox)).lock()
        seen.append((place.root / "MBRAIN.TXT.lock").exists())
        return pwrite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", watched)
    place.add(store, REPLY)
    assert seen == [True, True]


# --- Crashes ---


@pytest.mark.parametrize("format", ["mboxrd", "simple"])
def test_aRemovalInManyStepsIsFinishedAfterACrash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(changes, "STEP", 150)
    contents = [LETTER, REPLY, LETTER, b"", b"From x\nFrom: y", LETTER, REPLY, LETTER]
    for crashAt in range(10_000):
        place = Place(tmp_path / str(crashAt))
        place.root.mkdir(parents=True)
        store = place.open(format)
        entries = place.add(store, *contents)
        inode = place.inbox.stat().st_ino
        disk = Disk(str(place.root), crashAt=crashAt)
        with disk.watching():
            store.remove(ACCOUNT, "INBOX", [entries[at] for at in (0, 3, 5)])
        if crashAt % 2:
            with place.inbox.open("ab") as file:
                file.write(b"From: x\n\nnew" if format == "simple" else (SEPARATOR + "\nnew").encode())
        store = place.open(format)
        found = {entry.key: store.read(ACCOUNT, "INBOX", entry) for entry in store.scan(ACCOUNT, "INBOX")}
        if crashAt % 2:
            assert found.popitem()[1].endswith(b"new\r\n")
        everything = dict(zip([entry.key for entry in entries], contents, strict=True))
        kept = {entries[at].key: contents[at] for at in (1, 2, 4, 6, 7)}
        assert found in (everything, kept)
        assert place.inbox.stat().st_ino == inode
        if not disk.isDead:
            assert found == kept
            break
    assert crashAt > 20


def test_filesAreNotTakenForABackupInTheMiddleOfAChange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has crashed, and a backup is the first thing that happens. Copies are other files than those of the journal."""
    monkeypatch.setattr(changes, "STEP", 150)
    contents = [LETTER, REPLY, REPLY]
    for crashAt in range(10_000):
        place, copy = Place(tmp_path / str(crashAt)), Place(tmp_path / f"{crashAt}-copy")
        place.root.mkdir(parents=True)
        store = place.open()
        entries = place.add(store, *contents)
        disk = Disk(str(place.root), crashAt=crashAt)
        with disk.watching():
            store.remove(ACCOUNT, "INBOX", entries[:1])
        copy.root.mkdir(parents=True)
        for path in place.open().places(ACCOUNT):
            if os.path.isfile(path):
                shutil.copy(path, copy.root)
        assert place.read(copy.open()) in (contents, [REPLY, REPLY])
        if not disk.isDead:
            break
    assert crashAt > 10


TORN = b"Return-Path: <a@b>\r\n\r\n" + b"line of a long message\r\n" * 1000


@pytest.mark.parametrize("written", [0, 1, 20, 60, 200, 4095, 4096, 10_000, 21_000])
@pytest.mark.parametrize("foreign", [b"", SEPARATOR.encode() + b"Subject: theirs\n\nbody\n\n"])
def test_aTornTailIsCutButNotWhatOthersAppendedToIt(place: Place, written: int, foreign: bytes) -> None:
    store = place.open()
    place.add(store, LETTER)
    whole = place.inbox.read_bytes()
    with Disk(str(place.root)).watching() as disk:
        place.add(store, TORN)
    at = disk.calls.index("pwrite", disk.calls.index("fsync"))
    text = place.inbox.read_bytes()[len(whole) :]
    place.inbox.write_bytes(whole)
    with Disk(str(place.root), crashAt=at).watching():
        place.add(store, TORN)
    place.inbox.write_bytes(whole + text[:written] + foreign)
    expected = [LETTER, b"Subject: theirs\r\n\r\nbody\r\n"] if foreign else [LETTER]
    assert place.read(place.open()) == expected
    assert place.inbox.read_bytes() == whole + foreign


def test_aJournalOfAFileThatIsGoneIsForgotten(place: Place) -> None:
    store = place.open()
    place.add(store, LETTER)
    with Disk(str(place.root), crashAt=8).watching() as disk:
        place.add(store, REPLY)
    assert disk.isDead
    place.inbox.unlink()
    store = place.open()
    assert place.read(store) == []
    place.add(store, LETTER)
    assert place.read(store) == [LETTER]


def test_whereTheDiskDoesNotTellFoldersHaveNotGone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With them their flags would go, which nothing but the state has."""
    store = place.open()
    store.createFolder(ACCOUNT, "Work/Plans")
    scandir = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith("WORK"):
            raise OSError(errno.EMFILE, "Too many open files", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(OSError, match="Too many open files"):
        store.folders(ACCOUNT)


def test_onlyFilesAreAccounts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is in the root: directories called as accounts, and some that nobody may read."""
    store = place.open()
    place.add(store, LETTER)
    (place.root / "ALICE.TXT").mkdir()
    (place.root / ".Trash").mkdir()
    listdir = os.listdir

    def refusing(path: str) -> list[str]:
        if path.endswith(".Trash"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    assert list(store.accounts()) == [ACCOUNT]


# --- The root ---


@pytest.mark.parametrize("argument", ["mail?format=maildir", "mail?colour=red", "?format=simple", ""])
def test_whatMakesNoSenseIsRefused(place: Place, argument: str) -> None:
    with pytest.raises(ValueError, match=r"mboxrd and simple|only 'format'|path is missing"):
        textfile.openSimpleStore(argument, place.context)


def test_aRootOfOneFormatIsNotOpenedInAnother(place: Place) -> None:
    place.open("simple")
    with pytest.raises(ValueError, match="'simple' as its format"):
        place.open("mboxrd")
    place.context.domains = ("example.net",)
    with pytest.raises(ValueError, match="first domain"):
        place.open("simple")


def test_accountsOfOtherDomainsStandUnderTheirName(place: Place) -> None:
    store = place.open()
    message = NewMessage(MessageSource(LETTER))
    store.append("alice@example.net", "INBOX", [(store.newKey("alice@example.net", "INBOX", message), message)])
    assert (place.root / "EXAMPLE.NET" / "ALICE.TXT").exists()
