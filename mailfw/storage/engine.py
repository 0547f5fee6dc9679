"""The engine: accounts over one database file. Everything that changes an account goes through here.

This class keeps octets in its own rows; `simple.engine` puts the same engine beside files.

Invariants: nothing is told before it is on disk; bells ring after that, in the reactor's thread; no work on contents happens in
the reactor's thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.errors import Refusal, Unavailable
from mailfw.sql import Connection, Database, Undo
from mailfw.sql.blobs import IBlobStore, drop
from mailfw.storage import checking, mending, messages, quota, removal, tree
from mailfw.storage.apply import Step, apply, steps
from mailfw.storage.bells import Bell, Bells
from mailfw.storage.candidates import candidates
from mailfw.storage.changes import View, emailOf
from mailfw.storage.content import BLOB, BLOB_FROM, Arriving, StoredContent
from mailfw.storage.household import USUAL, Expiry, Household
from mailfw.storage.housekeeping import Housekeeping
from mailfw.storage.indexer import BATCH, BATCH_OCTETS, MAX_OCTETS, Indexer, Loaded, Pending, Thread, load
from mailfw.storage.limits import Limits
from mailfw.storage.names import INBOX, accountName, mailboxName
from mailfw.storage.place import Rows
from mailfw.storage.rows import Reading, Source, Stale, Tables
from mailfw.storage.sharing import Sharing
from mailfw.storage.transaction import OWN_WORK, Caches, IPlace, Terms, Transaction, bounded
from mailfw.tally import Health
from mailfw.values import Create, Damage, Fate, MessageSource, Operation, Outcome, Result, Target, UIDSet

T = TypeVar("T")
_Bound = tuple[Target, Terms]

_ACCOUNT = "SELECT id FROM account WHERE name = ?"
_NAMES = "SELECT name FROM account"
_ADD_ACCOUNT = "INSERT INTO account (name, modseq, uid_validity) VALUES (?, 0, ?)"
_DERIVED = """UPDATE email SET format = ?, header_size = ?, message_id = ?, refs = ?, subject = ?, sent_date = ?, envelope = ?,
    structure = ?, fields = ?, digest = ?, preview = NULL WHERE id = ?"""
_COUNT = "SELECT COUNT(*) FROM email"
_UNINDEXED = "SELECT id, account, content, size FROM email WHERE id > ? ORDER BY id LIMIT ?"
_TABLES = Tables(
    ("e.id", "e.content", "e.size"),
    ("m.mailbox", "m.uid"),
    header="c.header",
    headerJoins=" LEFT JOIN content c ON c.id = CASE e.content WHEN 0 THEN e.id ELSE e.content END",
)
_PREVIEW = "UPDATE email SET preview = ? WHERE id = ?"
_VIEWED_UIDS = 4_000_000  # in all views that are kept: 16 MB


@frozen
class AccountRef:
    """An account of this engine. `key` is its row's."""

    name: str
    key: int


class Engine:
    """Accounts over one database.

    :ivar now: seconds since the epoch, UTC.
    :ivar limits: what the source of accounts says that accounts may hold.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        blobs: IBlobStore | None,
        bells: Bells,
        now: Callable[[], float],
        housekeeping: Housekeeping,
        limits: Limits,
        indexer: Indexer | None = None,
        household: Household = USUAL,
    ) -> None:
        self.database = database
        self.blobs = blobs
        self.bells = bells
        self.now = now
        self.limits = limits
        self._caches = Caches.empty()
        database.rolledBack = self._caches.clear
        database.settling = bells.hold
        database.settled = bells.release
        self._accounts: dict[str, AccountRef] = {}
        self._views: dict[int, View] = {}
        self._viewed = 0
        self._recent: dict[int, int] = {}
        self.source = self._source()
        self.sharing = Sharing()
        self._housekeeping = housekeeping
        self._indexer = indexer
        self.household = household
        self._expiry = Expiry(self, household)
        housekeeping.start()
        self._expiry.start()
        if indexer is not None:
            indexer.start(self)

    # --- Accounts

    async def account(self, name: str) -> AccountRef:
        """The account of that canonical name, made with its first mailboxes where it is not there yet."""
        found = self._accounts.get(name)
        if found is None:
            accountName(name)
            row = await self.database.read(lambda connection: connection.execute(_ACCOUNT, (name,)).fetchone())
            key = await self.database.write(partial(self._accountKey, name)) if row is None else row[0]
            bounded(self._accounts)
            found = self._accounts[name] = AccountRef(name, key)
        return found

    async def existing(self, name: str) -> AccountRef | None:
        """The account of that canonical name, if there is one: whoever is not its owner does not make it."""
        row = await self.database.read(lambda connection: connection.execute(_ACCOUNT, (name,)).fetchone())
        return None if row is None else await self.account(name)

    async def accountNames(self) -> set[str]:
        """Canonical names of all accounts."""
        return await self.database.read(lambda connection: {str(name) for (name,) in connection.execute(_NAMES)})

    async def unnamed(self, account: AccountRef) -> list[str]:
        """Folders that are no mailboxes: there are none where only we make them."""
        return []

    async def removeAccount(self, name: str) -> int:
        """Remove an account for good; how many mailboxes it had."""
        found = await self.existing(name)
        if found is None:
            return 0
        count, touched = await self.database.write(partial(self._remove, found))
        self._accounts.pop(name, None)
        self.ring(name, touched)
        return count

    def _remove(self, account: AccountRef, connection: Connection) -> tuple[int, dict[int, int]]:
        tx = self.transaction(connection, account.key)
        return removal.remove(tx), tx.touched

    async def forgetName(self, name: str) -> None:
        """Take the name of a removed account off everything that is others'."""
        await self.database.write(lambda connection: removal.forget(connection, name))

    def _accountKey(self, name: str, connection: Connection) -> int:
        """In the writer: the account's key, with what a new account starts with."""
        key = self._caches.accounts.get(name)
        if key is None:
            row = connection.execute(_ACCOUNT, (accountName(name),)).fetchone()
            key = int(row[0]) if row is not None else self._makeAccount(name, connection)
            bounded(self._caches.accounts)
            self._caches.accounts[name] = key
        return key

    def _makeAccount(self, name: str, connection: Connection) -> int:
        key = addAccount(name, connection)
        tx = self.transaction(connection, key)
        for operation in (Create(INBOX), *self.household.mailboxes):
            tree.create(tx, operation)
        tree.subscribeAll(tx)
        return key

    def transaction(
        self, connection: Connection, account: int, place: IPlace | None = None, terms: Terms = OWN_WORK
    ) -> Transaction:
        """For a job of the writer."""
        return Transaction(connection, self._caches, place or self._place(), account, self.now(), terms)

    def _place(self) -> IPlace:
        return _ROWS

    async def takeFiles(self, take: Callable[[Sequence[str]], None]) -> None:
        """Let files be taken that hold mail and change. Here there are none."""

    # --- Changing

    async def apply(self, account: AccountRef, operations: Sequence[Operation], terms: Terms) -> list[Result]:
        """Do all the operations in one transaction, or none."""
        work = steps(operations, self.blobs)
        arriving = [one for step in work for one in step.arriving]
        try:
            await self._prepareLarge(arriving)
            results, touched = await self.database.write(
                partial(self._apply, account, work, terms), partial(_prepare, arriving) if arriving else None
            )
        except Exception as error:
            self._dropBlobs(arriving, error)
            raise
        self.ring(account.name, touched)
        return results

    def _apply(
        self, account: AccountRef, work: Sequence[Step], terms: Terms, connection: Connection
    ) -> tuple[list[Result], dict[int, int]]:
        tx = self.transaction(connection, account.key, terms=terms)
        results = [apply(tx, step) for step in work]
        return results, tx.touched

    async def deliver(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        """Put one message into each target; what fails for one costs the others nothing."""
        arriving = Arriving(message, self.blobs)
        try:
            terms = [await self.incoming(target) for target in targets]
            await self._prepareLarge([arriving])
            run = self._deliver if len(targets) == 1 else self._deliverAll
            done = await self.database.write(partial(run, arriving, list(zip(targets, terms, strict=True))), arriving.prepare)
        except Exception as error:
            self._dropBlobs([arriving], error)
            return [self.refused(error)] * len(targets)
        return [self._delivered(target, one) for target, one in zip(targets, done, strict=True)]

    async def incoming(self, target: Target) -> Terms:
        """Those of a delivery."""
        return Terms(limits=await self.limits.of(target.account))

    async def mustHaveRoom(self, account: str, octets: int) -> None:
        """:raises OverQuota: a message of that size does not fit into the account."""
        limits = await self.limits.of(account)
        await self.database.read(lambda connection: quota.mustHaveRoom(connection, account, octets, limits))

    def _deliver(self, arriving: Arriving, targets: Sequence[_Bound], connection: Connection) -> list[_Delivered | Exception]:
        return [self._deliverOne(connection, arriving, *targets[0], 0)]

    def _deliverAll(self, arriving: Arriving, targets: Sequence[_Bound], connection: Connection) -> list[_Delivered | Exception]:
        """One after another, each in its savepoint; all share the first one's content."""
        done: list[_Delivered | Exception] = []
        content = 0
        for target, terms in targets:
            connection.execute("SAVEPOINT target")
            try:
                one = self._deliverOne(connection, arriving, target, terms, content)
            except Refusal as refusal:
                connection.execute("ROLLBACK TO target")
                self._caches.clear()
                done.append(refusal)
            else:
                content = content or one.email
                done.append(one)
            connection.execute("RELEASE target")
        return done

    def _deliverOne(
        self, connection: Connection, arriving: Arriving, target: Target, terms: Terms, content: int
    ) -> _Delivered:
        tx = self.transaction(connection, self._accountKey(target.account, connection), terms=terms)
        name = mailboxName(target.mailbox)
        mailbox = tx.findMailbox(name)
        if mailbox is None:
            tree.create(tx, Create(name))
            mailbox = tx.mailbox(name)
        appended, emails = messages.append(tx, mailbox, [(arriving, target.flags, None)], content)
        return _Delivered(mailbox.id, emails[0], appended.uids[0], appended.modSeq)

    def _delivered(self, target: Target, done: _Delivered | Exception) -> Outcome:
        if isinstance(done, Exception):
            return self.refused(done)
        self._hasNews()
        self.bells.publish(target.account, tree.mailboxId(done.mailbox), done.modSeq)
        return Outcome(Fate.DELIVERED, remark=f"{target.mailbox} UID {done.uid}")

    def refused(self, error: Exception) -> Outcome:
        """What becomes of a delivery that raised."""
        if not isinstance(error, Refusal):
            self.log.failure("a delivery failed", Failure(error))  # type: ignore[no-untyped-call]
            error = Unavailable()
        return Outcome(Fate.DEFERRED if error.isTemporary else Fate.FAILED, error)

    async def _prepareLarge(self, arriving: Sequence[Arriving]) -> None:
        """Large contents are worked on in a reader's thread, so that the writer goes on meanwhile."""
        if sum(one.source.size for one in arriving) > BLOB_FROM:
            await self.database.read(lambda _: _prepare(arriving))

    def _dropBlobs(self, arriving: Sequence[Arriving], error: Exception) -> None:
        """What failed needs no blobs. What was only not waited for may yet be committed: then they must stay."""
        if isinstance(error, CancelledError):
            return
        refs = [one.laid.body.decode() for one in arriving if one.laid is not None and one.laid.encoding == BLOB]
        blobs = self.blobs
        if refs and blobs is not None:
            self.database.read(lambda _: drop(blobs, refs)).addErrback(self._notWritten)

    def ring(self, account: str, touched: dict[int, int]) -> None:
        """Tell whoever watches the account."""
        if touched:
            self._hasNews()
        for mailbox, modSeq in touched.items():
            self.bells.publish(account, tree.mailboxId(mailbox), modSeq)

    def _hasNews(self) -> None:
        if self._indexer is not None:
            self._indexer.touched()

    def watch(self, account: AccountRef, bell: Bell) -> Callable[[], None]:
        """Ring after changes, until the function that is returned is called."""
        return self.bells.subscribe(account.name, bell)

    # --- Reading

    async def refresh(self, account: AccountRef, mailbox: int) -> None:
        """See to it that what other programs did to a mailbox is known. Nobody else writes here."""

    async def refreshTree(self, account: AccountRef) -> None:
        """The same for the names of mailboxes."""

    async def refreshAll(self, account: AccountRef) -> None:
        """The same for all that the account has."""

    async def step(self, account: AccountRef, reading: Reading[T]) -> list[T]:
        """The next items of a reading."""
        items = await self.database.read(lambda connection: reading.step(lambda load: load(connection)))
        if reading.stale:
            stale, reading.stale = reading.stale, []
            self.database.write(partial(writeDerived, stale)).addErrback(self._notWritten)
        self.keepPreviews(reading)
        return items

    def keepPreviews(self, reading: Reading[T]) -> None:
        """Write down previews that were made, when there is time."""
        if reading.previews:
            previews, reading.previews = reading.previews, []
            self.database.write(
                lambda connection: connection.executemany(_PREVIEW, previews).rowcount
            ).addErrback(self._notWritten)

    def _notWritten(self, failure: Any) -> None:  # Failure, which is generic in no useful way
        self.log.warn("the store could not write down what can wait: {error}", error=failure.value)

    def content(self, email: int, content: int, size: int) -> StoredContent:
        """The handle of a content, to be read inside a read job."""
        assert self.blobs is not None
        return StoredContent(self.database.connection, self.blobs, content or email, size)

    def _source(self) -> Source:
        return Source(_TABLES, self.content, lambda mailbox, uid: f"{mailbox:x}.{uid:x}")

    async def read(self, account: AccountRef, mailbox: int, uid: int, start: int, length: int) -> bytes:
        """Octets of one message, even of one that was expunged not long ago."""
        return await self.database.read(lambda connection: self._read(connection, mailbox, uid, start, length))

    def _read(self, connection: Connection, mailbox: int, uid: int, start: int, length: int) -> bytes:
        return self.content(*emailOf(connection, mailbox, uid)).read(start, length)

    # --- Searching

    async def candidates(self, account: AccountRef, mailbox: int, criterion: Any) -> UIDSet | None:
        """Messages among which all matches are, as far as the index tells. `criterion`: of `message.criteria`."""
        if self._indexer is None:
            return None
        indexer = self._indexer
        found = await self.database.read(lambda connection: candidates(connection, indexer, account.key, mailbox, criterion))
        indexer.mend()
        return found

    async def emailCount(self) -> int:
        """How many emails there are. Walks over all of them."""
        row = await self.database.read(lambda connection: connection.execute(_COUNT).fetchone())
        return int(row[0])

    async def health(self) -> Health:
        """How the file is, and how far its index is behind."""
        health, indexer = self.database.health(), self._indexer
        if indexer is None:
            return health
        try:
            return evolve(health, unindexed=await self.database.read(indexer.behind))
        except Refusal as refusal:
            return evolve(health, trouble=health.trouble or str(refusal.__cause__ or refusal))

    async def unindexed(self, mark: int, thread: Thread) -> tuple[list[Loaded], int]:
        """The next emails for the index, read in its thread."""
        return await thread(lambda: self.database.readHere(partial(self._unindexed, mark)))

    def _unindexed(self, mark: int, connection: Connection) -> tuple[list[Loaded], int]:
        pending: list[Pending] = []
        octets = 0
        for email, account, content, size in connection.execute(_UNINDEXED, (mark, BATCH)).fetchall():
            isSmall = size <= MAX_OCTETS
            pending.append(Pending(account, email, self.content(email, content, size) if isSmall else None))
            octets += size if isSmall else 0
            if octets >= BATCH_OCTETS:
                break
        return load(pending), pending[-1].email if pending else mark

    # --- Whether all is well

    async def check(self) -> list[Damage]:
        """What in this file contradicts itself."""
        path = self.database.path
        found: list[Damage] = []
        for look in checking.LOOKS if self.blobs is not None else checking.LOOKS_BESIDE:
            found += await self.database.read(partial(look, path))
        if self.blobs is not None:
            found += await self.database.read(partial(checking.blobs, self.blobs, path))
        return found

    async def repair(self, isRehearsal: bool) -> list[Damage]:
        """Mend this file; what was done, or would be."""
        path = self.database.path
        broken = await self.database.read(partial(checking.integrity, path))
        if broken:
            return broken

        def work(connection: Connection) -> list[Damage]:
            aside = mending.nowhere if isRehearsal else partial(mending.putAside, os.path.join(os.path.dirname(path), "lost"))
            mended = mending.mend(path, self.blobs, aside, connection)
            if isRehearsal:
                raise Undo(mended)
            return mended

        done = await self.database.write(work)
        self._caches.clear()
        if self.blobs is not None:
            done += await self.database.read(partial(mending.dropOrphans, path, self.blobs, isRehearsal))
        if done and self._indexer is not None:
            done += checking.told("index", path, "the search index is made anew", [self._indexer.index.path])
            if not isRehearsal:
                self._indexer.discard()
        return done

    # --- Views

    def knownView(self, mailbox: int) -> View | None:
        """The view of a mailbox that was kept last."""
        return self._views.get(mailbox)

    def keepView(self, view: View) -> None:
        """Keep it for the next session; those that were not asked for longest make room."""
        former = self._views.pop(view.counters.id, None)
        self._viewed += _weight(view) - (_weight(former) if former is not None else 0)
        while self._viewed > _VIEWED_UIDS and self._views:
            self._viewed -= _weight(self._views.pop(next(iter(self._views))))
        self._views[view.counters.id] = view

    def recentFrom(self, mailbox: int, stored: int) -> int:
        """The first UID that no session claimed as recent yet."""
        return max(self._recent.get(mailbox, 0), stored)

    def claimRecent(self, mailbox: int, uidNext: int) -> None:
        """Messages below are not recent any more; written down when there is time, so that a restart mostly knows."""
        bounded(self._recent)
        self._recent[mailbox] = uidNext
        statement = "UPDATE mailbox SET recent = ? WHERE id = ? AND recent < ?"
        self.database.write(lambda connection: connection.execute(statement, (uidNext, mailbox, uidNext)).rowcount).addErrback(
            self._notWritten
        )

    # --- The end

    async def close(self) -> None:
        """Finish what was begun, and let go of the file."""
        if self._indexer is not None:
            await self._indexer.close()
        await self._expiry.stop()
        await self._housekeeping.stop()
        await self.database.close()
        if self._indexer is not None:
            self._indexer.index.close()


@frozen
class _Delivered:
    mailbox: int
    email: int
    uid: int
    modSeq: int


_ROWS = Rows()


def addAccount(name: str, connection: Connection) -> int:
    """In the writer: a new account, with nothing in it; its key."""
    key = connection.execute(_ADD_ACCOUNT, (name, removal.highestValidity(connection))).lastrowid
    assert key is not None
    return key


def _prepare(arriving: Sequence[Arriving]) -> None:
    for one in arriving:
        one.prepare()


def _weight(view: View) -> int:
    return len(view.uids) + 100


def writeDerived(stale: Sequence[Stale], connection: Connection) -> None:
    """Keep what was derived from messages; an email that went meanwhile is none of our business."""
    connection.executemany(
        _DERIVED,
        [
            (
                one.format,
                one.headerSize,
                one.messageId,
                one.references,
                one.subject,
                one.sentDate,
                one.envelope,
                one.structure,
                one.fields,
                digest,
                email,
            )
            for email, one, digest in stale
        ],
    )
