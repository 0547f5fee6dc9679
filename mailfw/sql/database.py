"""A database file as the rest of the house sees it: `write`, `read`, `close`.

Two ways of working, with the same results: with threads (one writer, a few readers), or inline, where every job is done at
once in the caller's thread and the Deferred has fired when it is returned, for deterministic tests on a fake clock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from mailfw.errors import Unavailable
from mailfw.sql.schema import Schema
from mailfw.sql.sqlite import MEMORY, Connection, connectReader, connectWriter, isSystemFault
from mailfw.sql.writer import Job, Writer
from mailfw.tally import Health

T = TypeVar("T")
READERS = 2


def _prove(connection: Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version}")


def _sizeOf(path: str) -> int:
    """Octets of a file; none where there is no such file."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


class Database:
    """One database file and its threads. Methods are for the reactor's thread, unless they say otherwise.

    An in-memory database has no readers of its own: its writer reads too, between batches.

    :ivar rolledBack: called in the writer's thread after a job or a commit was taken back; for whoever keeps a cache there.
    :ivar settling: called in the reactor's thread before a commit's Deferreds fire, and `settled` after the last of them.
    """

    log = Logger()

    def __init__(self, path: str, connection: Connection, reactor: Any, isInline: bool, readers: int) -> None:
        # reactor: IReactorFromThreads; an interface that is not typed upstream
        self.path = path
        self.isInline = isInline
        self.rolledBack: Callable[[], None] = lambda: None
        self.settling: Callable[[], None] = lambda: None
        self.settled: Callable[[], None] = lambda: None
        self._reactor = reactor
        self._connection = connection
        self._isClosed = False
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._reads: SimpleQueue[tuple[Deferred[Any], Callable[[Connection], Any]] | None] = SimpleQueue()
        self._readers: list[threading.Thread] = []
        self._readerCount = 0 if path == MEMORY else readers
        self._writer = Writer(path, connection, lambda: self.rolledBack(), self._settle)
        if not isInline:
            self._writer.start(f"writer {path}")

    @classmethod
    def open(cls, path: str, schema: Schema, *, reactor: Any, isInline: bool = False, readers: int = READERS) -> Database:
        """Open the file, made where it is missing, and bring it to the schema's version. Blocks.

        :param path: of the file, or `:memory:`.
        :raises Unavailable: it cannot be opened.
        :raises SchemaMismatch: it is not ours, or newer than this program.
        """
        connection = connectWriter(path)
        try:
            schema.migrate(connection)
        except BaseException as error:
            connection.close()
            if isSystemFault(error):
                raise Unavailable(f"the database cannot be opened: {error}") from error
            raise
        return cls(path, connection, reactor, isInline, readers)

    # --- Writing

    def write(self, run: Callable[[Connection], T], prepare: Callable[[], object] | None = None) -> Deferred[T]:
        """Do `run` in the next transaction; the Deferred fires with what it returned once that is on disk.

        :param prepare: called before the transaction begins, in the writer's thread, for work that needs no database.
        """
        if self._isClosed:
            return fail(Unavailable("the server is stopping"))
        waiting: Deferred[T] = Deferred()
        self._submit(Job(run, prepare, waiting))
        return waiting

    def call(self, run: Callable[[Connection], T]) -> T:
        """`write`, from a worker thread: blocks until it is on disk, returns or raises what `run` did."""
        if self._isClosed:
            raise Unavailable("the server is stopping")
        waiting: Future[T] = Future()
        self._submit(Job(run, None, waiting))
        return waiting.result()

    def _submit(self, job: Job) -> None:
        if self.isInline:
            self._writer.perform([job])
            self._settle([job])
        else:
            self._writer.submit(job)

    def _settle(self, jobs: list[Job]) -> None:
        fired = []
        for job in jobs:
            if isinstance(job.waiting, Deferred):
                fired.append(job)
            elif job.error is not None:
                job.waiting.set_exception(job.error)
            else:
                job.waiting.set_result(job.value)
        if self.isInline:
            self._fire(fired)
        elif fired:
            self._reactor.callFromThread(self._fire, fired)

    def _fire(self, jobs: list[Job]) -> None:
        self.settling()
        for job in jobs:
            waiting = cast("Deferred[Any]", job.waiting)
            if job.error is not None:
                waiting.errback(job.error)
            else:
                waiting.callback(job.value)
        self.settled()

    # --- Reading

    def read(self, run: Callable[[Connection], T]) -> Deferred[T]:
        """Do `run` with a reading connection, in a reader thread; it sees one moment of the database."""
        if self._isClosed:
            return fail(Unavailable("the server is stopping"))
        if self.isInline:
            try:
                return succeed(run(self._connection))
            except Exception as error:
                return fail(self._explained(error))
        if not self._readerCount:
            return self.write(run)
        waiting: Deferred[T] = Deferred()
        self._reads.put((waiting, run))
        if len(self._readers) < self._readerCount:
            name = f"reader {len(self._readers) + 1} {self.path}"
            self._readers.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._readers[-1].start()
        return waiting

    def readHere(self, run: Callable[[Connection], T]) -> T:
        """`read`, from a worker thread and in it: blocks, returns or raises what `run` did."""
        if self.isInline:
            return run(self._connection)
        if not self._readerCount:
            return self.call(run)
        connection = self.connection()
        connection.execute("BEGIN")
        try:
            return run(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def connection(self) -> Connection:
        """The connection of the read job that is being done in this thread."""
        if self.isInline or not self._readerCount:
            return self._connection
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = connectReader(self.path)
            self._opened.append(found)
        return found

    def _serve(self) -> None:
        while (item := self._reads.get()) is not None:
            waiting, run = item
            try:
                value = self.readHere(run)
            except Exception as error:
                self._reactor.callFromThread(waiting.errback, self._explained(error))
            else:
                self._reactor.callFromThread(waiting.callback, value)
            item = waiting = run = value = None  # type: ignore[assignment]  # hold nothing while waiting

    def _explained(self, error: Exception) -> Exception:
        if not isSystemFault(error):
            return error
        self.log.error("{path} could not be read: {error}", path=self.path, error=error)
        unavailable = Unavailable()
        unavailable.__cause__ = error
        return unavailable

    # --- How it is

    def health(self) -> Health:
        """How the file is, and its writer. From any thread."""
        path, tally = "" if self.path == MEMORY else self.path, self._writer.tally
        name, trouble = os.path.basename(path) or "memory", tally.trouble
        try:
            octets = os.stat(path).st_size if path else None
        except OSError as error:
            octets, trouble = None, str(error)
        return Health(name, trouble, path, self._writer.waiting, tally, octets, _sizeOf(f"{path}-wal") if path else None)

    def prove(self) -> Deferred[None]:
        """Write the file's header anew, as it is: a transaction like any other, which says whether others can succeed."""
        return self.write(_prove)

    # --- The end

    def close(self) -> Deferred[None]:
        """Do all that was submitted, fold the log into the file, end the threads. Nothing can be asked afterwards."""
        if self._isClosed:
            return succeed(None)
        self._isClosed = True
        if self.isInline:
            self._writer.stop()
            return succeed(None)
        closed: Deferred[None] = Deferred()
        closer = threading.Thread(target=lambda: self._stop(stopped), name=f"closer {self.path}", daemon=True)

        def stopped() -> None:
            closer.join()
            closed.callback(None)

        closer.start()
        return closed

    def _stop(self, stopped: Callable[[], None]) -> None:
        for _ in self._readers:
            self._reads.put(None)
        for reader in self._readers:
            reader.join()
        for connection in self._opened:
            connection.close()
        self._writer.stop()
        self._reactor.callFromThread(stopped)
