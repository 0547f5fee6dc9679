"""Fills the index of substrings, a little at a time, when the store is quiet.

Nothing waits for it: a delivery only notes that there is something to do, and a search looks for itself into what is not indexed
yet. While mail keeps coming, the indexer waits for at most `PATIENCE` seconds, and then works a tenth of the time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mailfw.errors import Refusal, Vanished
from mailfw.interfaces import IContent, IStoreContext
from mailfw.message.mime import scan
from mailfw.message.plan import Plan, bodyText, headerText
from mailfw.sql import Connection, Database
from mailfw.storage.index import Found, Index, Text, isDamage
from mailfw.storage.strands import Strands

T = TypeVar("T")

START = 5.0  # seconds after the store was opened
QUIET = 1.0  # seconds without a change before work begins
PATIENCE = 20.0  # seconds for which it waits at most
BATCH = 200  # emails
BATCH_OCTETS = 4 << 20
MAX_OCTETS = 16 << 20  # of a message that is looked into
MAX_CHARACTERS = 4 << 20  # of its text
BUSY_SHARE = 9.0  # pauses while there are changes, in times of the work before
IDLE_SHARE = 3.0  # and when there are none
RETRY = 60.0  # seconds after a failure
WASTE = 10_000  # emails put in between two looks at how many of them are gone
COUNTED = 100_000  # emails that are not in the index yet, when somebody asks how many

_STRAND = "index"


@frozen
class Pending:
    """An email that is to be looked into. :ivar content: its octets; None where there are too many."""

    account: int
    email: int
    content: IContent | None


class Thread(Protocol):
    """Does work in the indexer's thread."""

    def __call__(self, job: Callable[[], T]) -> Awaitable[T]:
        """→ what `job` returns."""


class Unindexed(Protocol):
    """Where emails come from."""

    async def unindexed(self, mark: int, thread: Thread) -> tuple[list[Loaded], int]:
        """The next emails after `mark` with their octets, and the mark that is reached with them."""

    async def emailCount(self) -> int:
        """How many there are. Walks over all of them."""


@frozen
class Loaded:
    """An email with its octets; None: they could not be had."""

    account: int
    email: int
    octets: bytes | None


def load(pending: Sequence[Pending]) -> list[Loaded]:
    """Read contents. What cannot be read now, or has just gone, is named all the same: it may be there again."""
    return list(map(_load, pending))


def _load(pending: Pending) -> Loaded:
    octets = None
    if pending.content is not None:
        try:
            octets = pending.content.read()
        except Vanished:
            pass
        except Exception:
            Indexer.log.failure("an email could not be read for the index; searches will look into it")
    return Loaded(pending.account, pending.email, octets)


def textOf(loaded: Loaded) -> Text:
    """What the index holds of an email; no content makes it raise, and what is too long is left to searches."""
    octets = loaded.octets
    if octets is None:
        return Text(loaded.account, loaded.email, None, None)
    root = scan(octets)
    header, body = headerText(octets[: root.bodyStart]), bodyText(root, octets)
    if len(header) + len(body) > MAX_CHARACTERS:
        return Text(loaded.account, loaded.email, None, None)
    return Text(loaded.account, loaded.email, header, body)


class Indexer:
    """Looks after one index."""

    log = Logger()

    def __init__(self, index: Index, reactor: Any, isInline: bool) -> None:
        # reactor: IReactorTime and IReactorFromThreads, interfaces that are not typed upstream
        self.index = index
        self._reactor = reactor
        self._strands = Strands(reactor, isInline)
        self._emails: Unindexed | None = None
        self._delayed: Any = None
        self._working: Deferred[Any] | None = None
        self._touchedAt = 0.0
        self._waitingSince = 0.0
        self._checkedAt = -WASTE
        self._isTouched = False
        self._isDamaged = False
        self._isClosed = False

    def start(self, emails: Unindexed) -> None:
        """Begin, not at once."""
        self._emails = emails
        self._wait(START)

    def touched(self) -> None:
        """There may be new emails."""
        self._isTouched = True
        self._touchedAt = self._reactor.seconds()
        if self._delayed is None and self._working is None:
            self._waitingSince = self._touchedAt
            self._wait(QUIET)

    def _wait(self, seconds: float) -> None:
        if not self._isClosed:
            self._delayed = self._reactor.callLater(seconds, self._due)

    def _due(self) -> None:
        self._delayed = None
        now = self._reactor.seconds()
        if now - self._touchedAt < QUIET and now - self._waitingSince < PATIENCE:
            self._wait(QUIET)
            return
        self._isTouched = False
        self._working = Deferred.fromCoroutine(self._work())
        self._working.addErrback(self._failed).addCallback(self._worked)

    def _failed(self, failure: Any) -> float:  # Failure, which is generic in no useful way
        self._isDamaged = self._isDamaged or isDamage(failure.value) or isDamage(failure.value.__cause__)
        if failure.check(Refusal):
            self.log.warn("the index is filled later: {error}", error=failure.value)
        else:
            self.log.failure("the index could not be filled", failure)
        return RETRY

    def _worked(self, pause: float | None) -> None:
        self._working = None
        if pause is None and self._isTouched:
            pause = QUIET
        if pause is not None:
            self._wait(pause)

    async def _work(self) -> float | None:
        """One batch; → the pause before the next."""
        began = self._reactor.seconds()
        assert self._emails is not None
        if self._isDamaged or not await self._strands.run(_STRAND, lambda: self.index.isThere):
            self.index = await self._strands.run(_STRAND, lambda: Index.anew(self.index.path, self.index.identity))
            self._isDamaged = False
        mark, count = await self._strands.run(_STRAND, lambda: (self.index.mark, self.index.count))
        if await self._isWaste(mark, count):
            await self._strands.run(_STRAND, self.index.clear)
            return 0.0
        loaded, reached = await self._emails.unindexed(mark, partial(self._strands.run, _STRAND))
        if reached <= mark:
            return None
        await self._strands.run(_STRAND, lambda: self.index.put(list(map(textOf, loaded)), reached))
        now = self._reactor.seconds()
        isBusy = now - self._touchedAt < QUIET
        return float((now - began) * (BUSY_SHARE if isBusy else IDLE_SHARE))

    async def _isWaste(self, mark: int, count: int) -> bool:
        """Whether most of what is in the index is of emails that are gone; asked for now and then only, for it costs a walk."""
        if count <= WASTE or mark < self._checkedAt + WASTE:
            return False
        assert self._emails is not None
        self._checkedAt = mark
        return count > 2 * await self._emails.emailCount()

    # --- Asking

    def find(self, account: int, plan: Plan, limit: int) -> Found | None:
        """`Index.find`, from a reader's thread; an index in trouble is no help, and does no harm."""
        try:
            return self.index.find(account, plan, limit)
        except sqlite3.Error as error:
            self.log.warn("a search goes without the index: {error}", error=error)
            self._isDamaged = self._isDamaged or isDamage(error)
            return None

    def behind(self, connection: Connection) -> int | None:
        """How many emails are not in the index yet, counted up to `COUNTED`; None: it cannot be told. In a reader's thread."""
        try:
            return int(connection.execute(_BEHIND, (self.index.mark, COUNTED)).fetchone()[0])
        except sqlite3.Error:
            return None

    def mend(self) -> None:
        """After `find`, in the reactor's thread: what is damaged is made anew, not at once."""
        if self._isDamaged and self._delayed is None and self._working is None:
            self._wait(QUIET)

    def discard(self) -> None:
        """Take the index away: a new one is made when there is time. Blocks."""
        for path in (self.index.path, f"{self.index.path}-wal", f"{self.index.path}-shm"):
            with suppress(FileNotFoundError):
                os.unlink(path)

    async def close(self) -> None:
        """End; a batch under way is ended first. Whoever asks goes on asking, until the index itself is closed."""
        if self._isClosed:
            return
        self._isClosed = True
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        if self._working is not None:
            await self._working
        await self._strands.close()


_NEW_IDENTITY = """INSERT INTO setting (name, value) VALUES ('identity', lower(hex(randomblob(16))))
    ON CONFLICT (name) DO UPDATE SET value = setting.value RETURNING value"""
_BEHIND = "SELECT COUNT(*) FROM (SELECT 1 FROM email WHERE id > ? LIMIT ?)"
_LAST_EMAIL = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'email'"


def openIndexer(database: Database, path: str, context: IStoreContext) -> Indexer | None:
    """The indexer of a database, its index at `path`; None where there can be no index. Blocks.

    An index that knows emails which the database never had is of one that was put back from a backup: it begins anew.
    """
    identity = database.call(lambda connection: str(connection.execute(_NEW_IDENTITY).fetchone()[0]))
    last = database.call(lambda connection: int(connection.execute(_LAST_EMAIL).fetchone()[0]))
    index = Index.open(path, identity)
    if index is None:
        return None
    if index.mark > last:
        index.clear()
    return Indexer(index, context.reactor, context.isInline)
