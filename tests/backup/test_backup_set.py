"""Sets: one instant of several databases, blobs that come and go meanwhile, and what a manifest knows."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mailfw.backup import BackupError, Maker, Manifest, Place, Restorer, Shelf, verify
from mailfw.backup import files as filing
from mailfw.backup import maker as making
from mailfw.backup import moment as instants
from mailfw.backup.manifest import MANIFEST

BLOBS = {"box": Shelf("SELECT blob FROM item WHERE blob <> ''", lambda path: path.removesuffix(".sqlite") + ".blobs")}
ABOUT = (
    "CREATE TABLE schema_version (name TEXT, version INTEGER)",
    "INSERT INTO schema_version VALUES ('box', 1)",
    "CREATE TABLE item (id INTEGER PRIMARY KEY, blob TEXT DEFAULT '')",
)


def silent(path: str, octets: int) -> None:
    """Nobody follows it."""


def database(path: Path, mode: str = "wal") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for statement in (f"PRAGMA journal_mode = {mode}", *ABOUT):
        connection.execute(statement)
    return connection


def blob(path: Path, name: str, octets: bytes) -> Path:
    place = path.with_suffix(".blobs") / name[:2] / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(octets)
    return place


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def system(data: Path) -> Iterator[Path]:
    """A database with a blob, and files of several sizes."""
    connection = database(data / "a.sqlite")
    connection.execute("INSERT INTO item (blob) VALUES ('abcd')")
    blob(data / "a.sqlite", "abcd", b"large" * 1000)
    (data / "sub").mkdir()
    (data / "empty").mkdir()
    (data / "sub" / "secret").write_bytes(b"s" * 32)
    (data / "nothing").write_bytes(b"")
    yield data
    connection.close()


def make(data: Path, name: str = "set", **more: Any) -> tuple[Path, Manifest]:
    target = data.parent / name
    place = Place("data", str(data), isLeft=lambda path: path.endswith(".index"))
    maker = Maker([place], str(target), more.pop("previous", ""), BLOBS, "test", more.pop("tell", silent), **more)
    return target, maker.make()


def restored(source: Path, target: Path) -> Path:
    Restorer(str(source), str(target), {}, {"box": 1}, silent).restore()
    return target


def contents(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


# --- One instant


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_whatMovesBetweenDatabasesIsAlwaysInOne(data: Path, mode: str) -> None:
    """As a message that is moved between accounts of two files: it is put there, and then taken from here."""
    boxes = [database(data / "a.sqlite", mode), database(data / "b.sqlite", mode)]
    boxes[0].execute("INSERT INTO item (id) VALUES (1)")
    for box in boxes:
        box.execute("PRAGMA synchronous = OFF")
        box.execute("PRAGMA busy_timeout = 20000")
    stop = threading.Event()

    def move() -> None:
        at = 0
        while not stop.is_set():
            boxes[1 - at].execute("INSERT INTO item (id) VALUES (1)")
            boxes[at].execute("DELETE FROM item")
            at = 1 - at
            stop.wait(0.0005)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for number in range(20):
            target, _ = make(data, f"set{number}")
            found = 0
            for name in "a.sqlite", "b.sqlite":
                with sqlite3.connect(f"file:{target}/data/{name}?immutable=1", uri=True) as copy:
                    found += copy.execute("SELECT COUNT(*) FROM item").fetchone()[0]
            assert found >= 1
    finally:
        stop.set()
        mover.join()
        for box in boxes:
            box.close()


def test_anInstantIsNoInstantWhenSomethingIsWrittenMeanwhile(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the transactions on the first file and on the second, what was in the second comes into the first."""
    boxes = [database(data / "a.sqlite"), database(data / "b.sqlite")]
    boxes[1].execute("INSERT INTO item (id) VALUES (1)")
    pin, pinned = instants.Pinned.pin, []

    def moving(self: instants.Pinned) -> None:
        pin(self)
        pinned.append(os.path.basename(self.path))
        if len(pinned) == 1:
            boxes[0].execute("INSERT INTO item (id) VALUES (1)")
            boxes[1].execute("DELETE FROM item")

    monkeypatch.setattr(instants.Pinned, "pin", moving)
    target, _ = make(data)
    assert pinned == ["a.sqlite", "b.sqlite"] * 2
    found = [sqlite3.connect(target / "data" / name) for name in ("a.sqlite", "b.sqlite")]
    assert [copy.execute("SELECT COUNT(*) FROM item").fetchone()[0] for copy in found] == [1, 0]
    for each in (*boxes, *found):
        each.close()


def test_whoeverHasADatabaseForItselfForAMomentIsWaitedFor(system: Path) -> None:
    """As a program does that commits to a slow disk, without a write-ahead log."""
    other = sqlite3.connect(system / "own.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE own (word)")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO own VALUES ('kept')")
    done = threading.Timer(0.5, other.execute, ["COMMIT"])
    done.start()
    target, _ = make(system)
    done.join()
    other.close()
    with sqlite3.connect(target / "data" / "own.sqlite") as copy:
        assert copy.execute("SELECT word FROM own").fetchall() == [("kept",)]
    copy.close()


def test_aSystemThatNeverRestsIsLeftAlone(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instants, "PATIENCE", 0.05)
    monkeypatch.setattr(instants.Pinned, "stand", lambda self: object())
    with pytest.raises(BackupError, match="no instant without a change"):
        make(system)


def test_blobsComeAndGoWhileItIsMade(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob came after the first look and went after the instant: then there is another instant, and no set without its blob."""
    connection = sqlite3.connect(system / "a.sqlite", isolation_level=None)
    pin = instants.pin
    calls: list[int] = []

    def pinning(databases: Any) -> float:
        calls.append(len(calls))
        if len(calls) == 1:
            fresh = blob(system / "a.sqlite", "ef01", b"fresh")
            connection.execute("INSERT INTO item (blob) VALUES ('ef01')")
            connection.execute("DELETE FROM item WHERE blob = 'abcd'")
            at = pin(databases)
            connection.execute("UPDATE item SET blob = 'ef02' WHERE blob = 'ef01'")
            blob(system / "a.sqlite", "ef02", b"fresher")
            fresh.unlink()
            return at
        return pin(databases)

    monkeypatch.setattr(making, "pin", pinning)
    target, manifest = make(system)
    connection.close()
    assert len(calls) == 2
    assert [each.path for each in manifest.files if ".blobs" in each.path] == ["data/a.blobs/ef/ef02"]
    assert (target / "data/a.blobs/ef/ef02").read_bytes() == b"fresher"
    assert verify(str(target), silent) == []


def test_aBlobThatIsMissingIsSaid(system: Path) -> None:
    (system / "a.blobs/ab/abcd").unlink()
    with pytest.raises(BackupError, match=r"file of a large message is missing .*abcd"):
        make(system)
    assert not list(system.parent.glob("set*"))


# --- What is in it


def test_allComesBackAsItWas(system: Path) -> None:
    (system / "cache.index").write_bytes(b"left out")
    os.utime(system / "sub" / "secret", (1, 1))
    (system / "sub").chmod(0o750)
    target, manifest = make(system)
    back = restored(target, system.parent / "back")
    assert set(contents(back)) == {"a.sqlite", "a.blobs/ab/abcd", "sub/secret", "nothing"}
    assert (back / "sub/secret").read_bytes() == b"s" * 32
    assert (back / "sub/secret").stat().st_mtime == 1
    assert (back / "sub").stat().st_mode & 0o777 == 0o750
    assert (back / "empty").is_dir()
    with sqlite3.connect(back / "a.sqlite") as connection:
        assert connection.execute("SELECT blob FROM item").fetchall() == [("abcd",)]
    assert (back / "a.blobs/ab/abcd").stat().st_ino != (target / "data/a.blobs/ab/abcd").stat().st_ino
    assert [(held.kind, held.version) for held in manifest.databases] == [("box", 1)]


def test_aDatabaseThatIsMadeMeanwhileIsNotTornApart(system: Path) -> None:
    """It was not there at the instant, and so it is not in the set; its file without its log would be nothing whole."""
    late: list[sqlite3.Connection] = []

    def turns(take: Any) -> None:
        late.append(database(system / "late.sqlite"))

    target, _ = make(system, turns=turns)
    assert (system / "late.sqlite-wal").stat().st_size
    assert not list((target / "data").glob("late*"))
    late[0].close()


def test_aFileThatGoesWhileItIsCopiedIsNotThere(system: Path) -> None:
    """As a lock does, which is gone before it is read to its end: nothing of it is left that the manifest does not know."""

    def tell(path: str, octets: int) -> None:
        if path.endswith("secret"):
            (system / "sub" / "secret").unlink(missing_ok=True)

    target, manifest = make(system, tell=tell)
    assert not (target / "data/sub/secret").exists()
    assert "data/sub/secret" not in {item.path for item in manifest.files}
    assert verify(str(target), silent) == []


def test_howeverManyFilesGoTheOthersAreThere(system: Path) -> None:
    """As where another program marks what is in a Maildir, message by message, while it is looked through."""
    for number in range(60):
        (system / "sub" / f"{number:02}").write_bytes(b"%d" % number)

    def tell(path: str, octets: int) -> None:
        name = os.path.basename(path)
        if name.isdecimal() and int(name) % 2 == 0:
            (system / "sub" / f"{int(name) + 1:02}").rename(system / "sub" / f"{int(name) + 1:02}:2,S")

    target, _ = make(system, tell=tell)
    assert {path.read_bytes() for path in (target / "data/sub").iterdir()} >= {b"%d" % number for number in range(60)}
    assert verify(str(target), silent) == []


def test_whatIsMovedFromNewToCurIsThere(system: Path) -> None:
    """And what has another name afterwards is there once, by the later one."""
    for part in ("cur", "new"):
        (system / part).mkdir()
        for number in range(20):
            (system / part / f"{part}{number:02}").write_bytes(b"a message")

    def tell(path: str, octets: int) -> None:
        folder, name = os.path.split(path)
        if name.startswith("new") and folder.endswith("new"):
            for moved in Path(folder).iterdir():
                moved.rename(system / "cur" / f"{moved.name}:2,S")

    target = system.parent / "set"
    place = Place("data", str(system), identityOf=lambda path: os.path.basename(path).partition(":")[0])
    Maker([place], str(target), "", BLOBS, "test", tell).make()
    found = sorted(path.name for path in (target / "data").rglob("*") if path.parent.name in ("cur", "new"))
    assert found == [f"cur{number:02}" for number in range(20)] + [f"new{number:02}:2,S" for number in range(20)]
    assert verify(str(target), silent) == []


@pytest.mark.parametrize("isRenamed", [True, False])
def test_aDirectoryThatIsRenamedOrGoesIsNoError(system: Path, isRenamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (system / name).mkdir()
        (system / name / name).write_bytes(b"1")
    listed = making._within

    def within(folder: str) -> list[str]:
        if os.path.basename(folder) in ("one", "two"):  # behind the back of whoever has just found it
            shutil.move(folder, f"{folder}-renamed" if isRenamed else system.parent)
        return listed(folder)

    monkeypatch.setattr(making, "_within", within)
    monkeypatch.setattr(making, "_databases", lambda place: iter(["a.sqlite"]))
    target, _ = make(system)
    there = {path.parent.name for path in (target / "data").rglob("*") if path.name in ("one", "two") and path.is_file()}
    assert there == ({"one-renamed", "two-renamed"} if isRenamed else set())
    assert (target / "data/sub/secret").exists()


def test_aDirectoryThatCannotBeReadIsAnError(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing that is quietly missing."""
    (system / "letters").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path == str(system / "letters"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(BackupError, match="letters: Permission denied"):
        make(system)


def test_aFileKeepsItsModeHoweverItCameIntoTheSet(system: Path) -> None:
    (system / "sub" / "shared").write_bytes(b"for a group")
    settled = Place("data", str(system), isSettled=lambda path: path.endswith("shared"))
    for name, previous, mode in ("set", "", 0o660), ("later", str(system.parent / "set"), 0o640):
        (system / "sub" / "shared").chmod(mode)
        manifest = Maker([settled], str(system.parent / name), previous, BLOBS, "test", silent).make()
        assert {item.path: item.mode for item in manifest.files}["data/sub/shared"] == mode


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_whoeverLooksIntoADatabaseAfterwardsTakesNothingAway(data: Path, mode: str) -> None:
    """A file that is opened and closed has lost its process's locks: then the next program that closes a database removes the log
    which is written on here, and all that was committed since would be gone with the process."""
    writing = database(data / "a.sqlite", mode)
    for number in range(2):
        make(data, f"set{number}")
        look = f"import sqlite3; c = sqlite3.connect({str(data / 'a.sqlite')!r}); print(*c.execute('SELECT COUNT(*) FROM item'))"
        for count in range(2):
            done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=30, check=True)
            assert done.stdout.strip() == f"({2 * number + count},)"
            writing.execute("INSERT INTO item (blob) VALUES ('')")
        assert mode != "wal" or (data / "a.sqlite-wal").exists()
    writing.close()


@pytest.mark.parametrize("content", [b"", b"x" * 512, b"SQLite format 3\0", b"SQLite format 3\0" + b"x" * 496])
def test_whatOnlyLooksLikeADatabaseIsAFileAsAnyOther(data: Path, content: bytes) -> None:
    (data / "a.sqlite").write_bytes(content)
    (data / "a.sqlite-wal").write_bytes(b"not a log")
    target, manifest = make(data)
    assert contents(target / "data") == {"a.sqlite": content, "a.sqlite-wal": b"not a log"} and not manifest.databases


def test_aDirectoryIsNoCacheByItsName(system: Path) -> None:
    (system / "letters.index").mkdir()
    (system / "letters.index" / "one").write_bytes(b"1")
    (system / "one.index").write_bytes(b"a cache")
    target, _ = make(system)
    assert (target / "data/letters.index/one").read_bytes() == b"1"
    assert not (target / "data/one.index").exists()


def test_blobsAreLinkedAndOtherFilesCopied(system: Path) -> None:
    target, _ = make(system)
    assert (target / "data/a.blobs/ab/abcd").samefile(system / "a.blobs/ab/abcd")
    assert not (target / "data/sub/secret").samefile(system / "sub/secret")


def test_whereThereAreNoLinksAnEarlierSetSharesWhatIsTheSame(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set on another file system, as the kernel would say it."""
    link = os.link

    def across(source: str, target: str, **more: Any) -> None:
        if str(source).startswith(str(system)):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target, **more)

    monkeypatch.setattr(os, "link", across)
    first, _ = make(system)
    assert not (first / "data/a.blobs/ab/abcd").samefile(system / "a.blobs/ab/abcd")
    (system / "nothing").write_bytes(b"something")
    second, _ = make(system, "second", previous=str(first))
    assert (second / "data/a.blobs/ab/abcd").samefile(first / "data/a.blobs/ab/abcd")
    assert (second / "data/sub/secret").samefile(first / "data/sub/secret")
    assert (second / "data/nothing").read_bytes() == b"something"
    assert not (second / "data/a.sqlite").samefile(first / "data/a.sqlite")
    assert verify(str(second), silent) == []


# --- What is damaged


def test_everyFileThatIsMissingOrDamagedIsNamed(system: Path) -> None:
    target, manifest = make(system)
    assert verify(str(target), silent) == []
    for item in manifest.files:
        path = target / item.path
        whole = path.read_bytes()
        path.unlink()
        assert [(flaw.path, flaw.what) for flaw in verify(str(target), silent)] == [(item.path, "missing")]
        damages = [(whole + b"x", "size")]
        if whole:
            damages += [(whole[:-1] + bytes([whole[-1] ^ 1]), "content"), (whole[:-1], "size")]
        for damaged, what in damages:
            path.write_bytes(damaged)
            assert [(flaw.path, flaw.what) for flaw in verify(str(target), silent)] == [(item.path, what)]
            with pytest.raises(BackupError, match="is damaged"):
                restored(target, system.parent / "back")
            assert not list(system.parent.glob("back*"))
        path.write_bytes(whole)
    (target / "data" / "more").write_bytes(b"")
    (target / "data" / "empty").rmdir()
    found = [(flaw.path, flaw.what) for flaw in verify(str(target), silent)]
    assert found == [("data/empty", "missing"), ("data/more", "unknown")]


def test_aManifestThatIsDamagedIsSaid(system: Path) -> None:
    target, _ = make(system)
    path = target / MANIFEST
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole.replace(b'"size": 32', b'"size": 33'), b"[]", b'{"digest": 1}', b"\xff", b"[" * 100_000):
        path.write_bytes(damaged)
        with pytest.raises(BackupError, match=r"manifest\.json is damaged"):
            verify(str(target), silent)
    path.unlink()
    with pytest.raises(BackupError, match="is no backup"):
        verify(str(target), silent)


def test_aManifestLeadsNowhereElse(system: Path) -> None:
    target, manifest = make(system)
    for path in "data/../../out", "other/out", "../out", "data//out", "/out":
        item = evolve(manifest.files[-1], path=path)
        (target / "out").touch()
        where = Path(os.path.normpath(target / path.lstrip("/")))
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes((target / manifest.files[-1].path).read_bytes())
        (target / MANIFEST).write_bytes(evolve(manifest, files=[item], directories=[]).dump())
        with pytest.raises(BackupError):
            restored(target, system.parent / "back")
        assert not list(system.parent.glob("back*"))


def test_aSetOfANewerProgramIsRefused(system: Path) -> None:
    target, _ = make(system)
    with pytest.raises(BackupError, match="has version 1, this program knows versions up to 0"):
        Restorer(str(target), str(system.parent / "back"), {}, {"box": 0}, silent).restore()


def test_nothingIsRestoredWhereSomethingIs(system: Path) -> None:
    target, _ = make(system)
    back = system.parent / "back"
    back.mkdir()
    assert contents(restored(target, back))
    with pytest.raises(BackupError, match="is not empty"):
        restored(target, back)


# --- What goes wrong


@pytest.mark.parametrize("function", ["fsync", "fdatasync", "makedirs", "rename", "utime"])
def test_aDiskThatIsFullLeavesNothing(system: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    monkeypatch.setattr(filing, "SYNC_EVERY", 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(BackupError, match="No space left on device; the backup was not made"):
            make(system)
    assert not list(system.parent.glob("set*"))
    make(system)


def test_whatWasInterruptedIsNoSetAndIsClearedAway(system: Path) -> None:
    """As by kill -9: nothing is cleared away then."""
    partial = system.parent / "set.partial"
    partial.mkdir()
    (partial / filing.MARK).touch()
    (partial / "rest").touch()
    with pytest.raises(BackupError, match="is no backup"):
        verify(str(partial), silent)
    target, _ = make(system)
    assert not partial.exists() and not (target / "rest").exists()
    strangers = system.parent / "other.partial"
    strangers.mkdir()
    (strangers / "diary").touch()
    with pytest.raises(BackupError, match="in the way"):
        make(system, "other")
    assert (strangers / "diary").exists()


def test_whereItCannotBe(system: Path) -> None:
    for name, said in (("data/inside", "lies in"), ("nowhere/set", "there is no directory"), ("data", "is there already")):
        with pytest.raises(BackupError, match=said):
            make(system, name)


def test_whoeverWantsNoMoreOfItGetsNothing(system: Path) -> None:
    class Enough(Exception):
        pass

    def tell(path: str, octets: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        make(system, tell=tell)
    assert not list(system.parent.glob("set*"))


def test_aRestoreThatWasInterruptedIsBegunAgain(system: Path) -> None:
    """As by kill -9: what is left has not the name of a data directory, and is cleared away by the next; nothing else is."""
    target, _ = make(system)
    back = system.parent / "back"
    left = system.parent / "back.restoring"
    left.mkdir()
    (left / "half").touch()
    with pytest.raises(BackupError, match="in the way"):
        restored(target, back)
    assert (left / "half").exists() and not back.exists()
    (left / filing.MARK).touch()
    restored(target, back)
    assert not left.exists() and not (back / "half").exists() and not (back / filing.MARK).exists()


@pytest.mark.parametrize("function", ["fsync", "mkdir", "rename", "chmod"])
def test_aDiskThatIsFullWhileItIsRestoredLeavesNothing(system: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    target, _ = make(system)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(BackupError, match="No space left on device; nothing was restored"):
            restored(target, system.parent / "back")
    assert not list(system.parent.glob("back*"))
