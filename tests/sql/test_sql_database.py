"""The database room: group commit, savepoints, migrations, failures. Inline and with threads."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer

from mailfw.errors import InvalidName, Unavailable
from mailfw.sql import Connection, Database, Migration, Schema, SchemaMismatch, Undo

SCHEMA = Schema("test", (Migration(("CREATE TABLE word (id {identity}, text TEXT NOT NULL UNIQUE)",)),))
INSERT = "INSERT INTO word (text) VALUES (?)"


def insert(text: str) -> Any:
    return lambda connection: connection.execute(INSERT, (text,)).lastrowid


def words(connection: Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM word ORDER BY id")]


def opened(path: Path | str, isInline: bool = False, schema: Schema = SCHEMA) -> Database:
    from twisted.internet import reactor

    return Database.open(str(path), schema, reactor=reactor, isInline=isInline)


def now(waiting: defer.Deferred[Any]) -> Any:
    """The result of a Deferred that has fired already."""
    found: list[Any] = []
    waiting.addBoth(found.append)
    assert found, "the Deferred has not fired"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


@pytest.fixture(params=["inline", "threads"])
def isInline(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "inline")


@pytest_twisted.ensureDeferred
async def testWrittenIsReadAndSurvivesReopening(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    assert await database.write(insert("one")) == 1
    assert await database.read(words) == ["one"]
    await database.close()
    database = opened(tmp_path / "a", isInline)
    assert await database.read(words) == ["one"]
    await database.close()


@pytest_twisted.ensureDeferred
async def testWhatWasAcknowledgedIsInACopyOfTheFilesMadeAtOnce(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    await database.write(insert("one"))
    for suffix in ("", "-wal"):
        (tmp_path / f"b{suffix}").write_bytes((tmp_path / f"a{suffix}").read_bytes())
    await database.close()
    crashed = opened(tmp_path / "b", isInline)
    assert await crashed.read(words) == ["one"]
    await crashed.close()


@pytest_twisted.ensureDeferred
async def testAFailingJobCostsOnlyItself(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)

    def half(connection: Connection) -> None:
        connection.execute(INSERT, ("half",))
        raise InvalidName("refused")

    waiting = [database.write(insert("one")), database.write(half), database.write(insert("two"))]
    results = await defer.DeferredList(waiting, consumeErrors=True)
    assert [isDone for isDone, _ in results] == [True, False, True]
    assert results[1][1].check(InvalidName)
    assert await database.read(words) == ["one", "two"]
    await database.close()


@pytest_twisted.ensureDeferred
async def testARehearsalSucceedsAndChangesNothing(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)

    def rehearse(connection: Connection) -> None:
        raise Undo(insert("one")(connection))

    assert await database.write(rehearse) == 1
    assert await database.read(words) == []
    await database.close()


@pytest_twisted.ensureDeferred
async def testMistakesOfOursComeOutAsTheyAre(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    await database.write(insert("one"))
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(insert("one"))
    await database.close()


@pytest_twisted.ensureDeferred
async def testAFailedPreparationCostsOnlyItsJob(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)

    def fail() -> None:
        raise OSError("the spool is gone")

    with pytest.raises(Unavailable):
        await database.write(insert("one"), fail)
    await database.write(insert("two"), lambda: None)
    assert await database.read(words) == ["two"]
    await database.close()


@pytest_twisted.ensureDeferred
async def testAFullDiskIsUnavailableAndLeavesNothingBehind(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    await database.write(insert("one"))
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 8").fetchall())
    isForgotten: list[bool] = []
    database.rolledBack = lambda: isForgotten.append(True)
    with pytest.raises(Unavailable):
        await database.write(insert("x" * 200_000))
    assert isForgotten
    await database.write(insert("two"))
    assert await database.read(words) == ["one", "two"]
    await database.close()


@pytest.mark.parametrize("isReplaced", [False, True])
@pytest_twisted.ensureDeferred
async def testNothingIsAcknowledgedIntoAFileThatIsGone(tmp_path: Path, isInline: bool, isReplaced: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    await database.write(insert("one"))
    os.rename(tmp_path / "a", tmp_path / "b")
    if isReplaced:
        (tmp_path / "a").write_bytes((tmp_path / "b").read_bytes())
    with pytest.raises(Unavailable):
        await database.write(insert("two"))
    os.rename(tmp_path / "b", tmp_path / "a")
    await database.write(insert("three"))
    assert await database.read(words) == ["one", "three"]
    await database.close()


class Failing:
    """A connection on whose disk neither a commit nor its taking back succeeds, twice."""

    def __init__(self, real: Connection) -> None:
        self._real = real
        self._faults = ["COMMIT", "ROLLBACK"] * 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if self._faults and statement == self._faults[0]:
            del self._faults[0]
            raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(statement, *arguments)


@pytest_twisted.ensureDeferred
async def testTheWriterOutlivesADiskThatFailsTwice(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    database._writer._connection = Failing(database._connection)  # type: ignore[assignment]
    for text in ("one", "two", "three", "four"):
        with pytest.raises(Unavailable):
            await database.write(insert(text))
    await database.write(insert("five"))
    assert await database.read(words) == ["five"]
    await database.close()


@pytest_twisted.ensureDeferred
async def testAReaderCannotWrite(tmp_path: Path) -> None:
    database = opened(tmp_path / "a")
    with pytest.raises(Unavailable):
        await database.read(insert("one"))
    await database.close()


@pytest_twisted.ensureDeferred
async def testJobsAreDoneInOrderAndSettleTogether(tmp_path: Path) -> None:
    database = opened(tmp_path / "a")
    fired: list[int] = []
    waiting = [database.write(insert(f"word {n}")).addCallback(fired.append) for n in range(300)]
    await defer.gatherResults(waiting)
    assert fired == list(range(1, 301))
    await database.close()


@pytest_twisted.ensureDeferred
async def testManyJobsNeedFewCrossingsToTheReactor(tmp_path: Path) -> None:
    database = opened(tmp_path / "a")
    commits: list[bool] = []
    database.settled = lambda: commits.append(True)
    isHeld = threading.Event()
    first = database.write(lambda connection: isHeld.wait(10))
    waiting = [database.write(insert(f"word {n}")) for n in range(200)]
    isHeld.set()
    await first
    await defer.gatherResults(waiting)
    assert len(commits) <= 3
    await database.close()


@pytest_twisted.ensureDeferred
async def testWorkerThreadsCanWriteAndReadToo(tmp_path: Path) -> None:
    from twisted.internet.threads import deferToThread

    database = opened(tmp_path / "a")

    def work() -> list[str]:
        database.call(insert("one"))
        return database.readHere(words)

    assert await deferToThread(work) == ["one"]
    await database.close()


@pytest_twisted.ensureDeferred
async def testClosingFinishesWhatWasSubmitted(tmp_path: Path) -> None:
    database = opened(tmp_path / "a")
    waiting = [database.write(insert(f"word {n}")) for n in range(50)]
    await database.close()
    assert len(await defer.gatherResults(waiting)) == 50
    assert not os.path.exists(tmp_path / "a-wal")
    with pytest.raises(Unavailable):
        await database.write(insert("late"))
    await database.close()


def testFilesAreOnlyOurs(tmp_path: Path) -> None:
    database = opened(tmp_path / "a", isInline=True)
    now(database.write(insert("one")))
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("a*")} == {
        "a": 0o600,
        "a-wal": 0o600,
        "a-shm": 0o600,
    }
    now(database.close())


# --- Schemas


def testAnOldFileIsBroughtUpToDateStepByStep(tmp_path: Path) -> None:
    now(opened(tmp_path / "a", True).close())

    def shout(connection: Connection) -> None:
        connection.execute("UPDATE word SET text = upper(text)")

    database = opened(tmp_path / "a", True)
    now(database.write(insert("one")))
    now(database.close())
    newer = Schema("test", (*SCHEMA.migrations, Migration(("ALTER TABLE word ADD COLUMN seen INTEGER",)), Migration((), shout)))
    database = opened(tmp_path / "a", True, newer)
    assert now(database.read(lambda c: c.execute("SELECT text, seen FROM word").fetchall())) == [("ONE", None)]
    now(database.close())


def testAFailedMigrationLeavesTheVersionBefore(tmp_path: Path) -> None:
    now(opened(tmp_path / "a", True).close())
    broken = Schema("test", (*SCHEMA.migrations, Migration(("CREATE TABLE other (id INTEGER)", "nonsense"))))
    with pytest.raises(Unavailable):
        opened(tmp_path / "a", True, broken)
    database = opened(tmp_path / "a", True)
    assert now(database.read(lambda c: c.execute("SELECT name FROM sqlite_master WHERE name = 'other'").fetchall())) == []
    now(database.close())


def testANewerFileIsRefused(tmp_path: Path) -> None:
    newer = Schema("test", (*SCHEMA.migrations, Migration(("CREATE TABLE more (id INTEGER)",))))
    now(opened(tmp_path / "a", True, newer).close())
    with pytest.raises(SchemaMismatch, match="newer mailfw"):
        opened(tmp_path / "a", True)


def testAFileOfAnotherKindIsRefused(tmp_path: Path) -> None:
    now(opened(tmp_path / "a", True, Schema("accounts", SCHEMA.migrations)).close())
    with pytest.raises(SchemaMismatch, match="'accounts'"):
        opened(tmp_path / "a", True)


def testWhatIsNoDatabaseIsUnavailable(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(Unavailable):
        opened(tmp_path / "a", True)


@pytest_twisted.ensureDeferred
async def testAWriterCountsWhatItDid(tmp_path: Path) -> None:
    database = opened(tmp_path / "a")
    await defer.gatherResults([database.write(insert(str(n))) for n in range(20)])
    await database.prove()
    health = database.health()
    writer = health.writer
    assert writer is not None
    assert (health.name, health.trouble, health.path, health.waiting) == ("a", "", str(tmp_path / "a"), 0)
    assert (health.octets or 0) > 0 and (health.walOctets or 0) > 0
    assert writer.jobs == 21
    assert writer.group == 1
    assert 1 < sum(writer.commits.counts) == sum(writer.transactions.counts) <= 21
    assert 0 < writer.commits.seconds <= writer.transactions.seconds
    await database.close()


@pytest_twisted.ensureDeferred
async def testAProofIsWrittenAndChangesNothing(tmp_path: Path, isInline: bool) -> None:
    database = opened(tmp_path / "a", isInline)
    await database.write(insert("one"))
    before = await database.read(lambda c: (c.execute("PRAGMA user_version").fetchone(), words(c)))
    size = database.health().walOctets or 0
    await database.prove()
    assert (database.health().walOctets or 0) > size
    assert before == await database.read(lambda c: (c.execute("PRAGMA user_version").fetchone(), words(c)))
    await database.close()
