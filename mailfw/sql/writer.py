"""The one thread that writes a database file, and its group commit.

Jobs wait in a queue; whatever has come in while the last commit was being synced becomes the next batch, so that batches
grow with the load by themselves and a lone job waits for nobody. A batch is one transaction with a savepoint for each job.

Invariants:

- A job is settled (its Deferred fires, its Future is set) only after the commit that holds it has returned, or with what
  it raised, or with Unavailable when the commit failed; then nothing of it is in the database.
- The Deferreds of a batch fire in one call in the reactor's thread, in the order of submission.
- A job may be abandoned half-way at any statement. So it changes nothing but the database; whoever keeps a cache beside it
  forgets that cache when `rolledBack` is called, in the writer's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mailfw.errors import Refusal, Unavailable
from mailfw.sql.sqlite import Connection, Place, closeWriter, isSystemFault
from mailfw.tally import WriterTally

BATCH_JOBS = 256
BATCH_SECONDS = 0.05


class Undo(Exception):
    """Raised by a job to succeed with `value` and yet leave the database as it was: a rehearsal."""

    def __init__(self, value: object = None) -> None:
        super().__init__()
        self.value = value


class Job:
    """A function of the connection, with whoever waits for what it returns.

    :ivar prepare: called in the writer's thread before the transaction begins, for work that needs no database.
    """

    __slots__ = ("error", "prepare", "run", "value", "waiting")

    def __init__(
        self,
        run: Callable[[Connection], Any],
        prepare: Callable[[], object] | None,
        waiting: Deferred[Any] | Future[Any],
    ) -> None:
        self.run = run
        self.prepare = prepare
        self.waiting = waiting
        self.value: Any = None  # whatever the job returns
        self.error: BaseException | None = None


class Writer:
    """Does jobs in batches on one connection, in its own thread once `start` was called.

    :param path: of the database's file, or `:memory:`.
    :ivar rolledBack: called after anything was rolled back.
    :ivar settle: called with each batch when it is over.
    :ivar tally: what is counted.
    """

    log = Logger()

    def __init__(
        self, path: str, connection: Connection, rolledBack: Callable[[], None], settle: Callable[[list[Job]], None]
    ) -> None:
        self._path = path
        self._place = Place(path)
        self._connection = connection
        self.tally = WriterTally()
        self._rolledBack = rolledBack
        self._settle = settle
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """From now on jobs are done in a thread."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job into the queue, from any thread."""
        self._jobs.put(job)

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun with."""
        return self._jobs.qsize()

    def stop(self) -> None:
        """Do what was submitted, close the connection and end the thread. Blocks until then."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        else:
            closeWriter(self._connection)

    def _work(self) -> None:
        isOpen = True
        while isOpen:
            batch: list[Job] = []
            job = self._jobs.get()
            try:
                while job is not None:
                    batch.append(job)
                    if len(batch) == BATCH_JOBS:
                        break
                    job = self._jobs.get_nowait()
                else:
                    isOpen = False
            except Empty:
                pass
            while batch:
                done = self.perform(batch)
                self._settle(batch[:done])
                del batch[:done]
        closeWriter(self._connection)

    def perform(self, batch: list[Job]) -> int:
        """Do jobs from the front of the batch in one transaction; returns how many are over, in success or failure."""
        done = 0
        deadline = time.monotonic() + BATCH_SECONDS
        for job in batch:
            if job.prepare is not None:
                try:
                    job.prepare()
                except Exception as error:
                    job.error = self._explained(error)
                else:
                    job.prepare = None
            done += 1
            if time.monotonic() > deadline:
                break
        jobs = [job for job in batch[:done] if job.error is None]
        if jobs:
            self._transact(jobs)
        return done

    def _transact(self, jobs: list[Job]) -> None:
        execute, tally = self._connection.execute, self.tally
        began = time.perf_counter()
        isChanged = False
        ran: list[Job] = []
        try:
            self._place.check()
            execute("BEGIN IMMEDIATE")
            for job in jobs:
                ran.append(job)
                execute("SAVEPOINT job")
                try:
                    job.value = job.run(self._connection)
                    isChanged = True
                except Exception as error:
                    self._undo(job, error)
                execute("RELEASE job")
            committing = time.perf_counter()
            execute("COMMIT" if isChanged else "ROLLBACK")
            ended = time.perf_counter()
            if isChanged:
                tally.commits.add(ended - committing)
                tally.trouble = ""
            tally.transactions.add(ended - began)
            tally.jobs, tally.group, tally.seconds = tally.jobs + len(jobs), len(jobs), ended - began
        except Exception as error:
            explained = self._explained(error)
            tally.failures, tally.trouble = tally.failures + 1, str(error)
            try:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
            except Exception as second:  # the thread must live, and tell everybody; what follows will fail likewise, or be well
                self._explained(second)
            for job in jobs:
                job.error = job.error or explained
            self._rolledBack()

    def _undo(self, job: Job, error: Exception) -> None:
        """Take back one job. A disk that is full makes SQLite end the whole transaction: then everybody's job is lost."""
        if not self._connection.in_transaction:
            raise error
        self._connection.execute("ROLLBACK TO job")
        self._rolledBack()
        if isinstance(error, Undo):
            job.value = error.value
        else:
            job.error = self._explained(error)

    def _explained(self, error: Exception) -> Exception:
        """What the asker is told: refusals and faults of ours as they are, the system's troubles as Unavailable."""
        if isinstance(error, Refusal) or not isSystemFault(error):
            return error
        self.log.error("{path} refused a change: {error}", path=self._path, error=error)
        unavailable = Unavailable()
        unavailable.__cause__ = error
        return unavailable
