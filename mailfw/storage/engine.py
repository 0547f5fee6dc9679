"""The engine: accounts over one database file. Everything that changes an account goes through here.

This class keeps octets in its own rows; `simple.engine` puts the same engine beside files.

Invariants: nothing is told before it is on disk; bells ring after that, in the reactor's thread; no work on contents happens in
the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.errors import Refusal, Unavailable
from mailfw.sql import Connection, Database
from mailfw.sql.blobs import IBlobStore, drop
from mailfw.storage import messages, tree
from mailfw.storage.apply import Step, apply, steps
from mailfw.storage.bells import Bell, Bells
from mailfw.storage.changes import View, emailOf
from mailfw.storage.content import BLOB, BLOB_FROM, Arriving, StoredContent
from mailfw.storage.housekeeping import Housekeeping
from mailfw.storage.names import accountName, mailboxName
from mailfw.storage.place import Rows
from mailfw.storage.rows import Reading, Source, Stale
from mailfw.storage.transaction import Caches, IPlace, Transaction, bounded
from mailfw.values import Create, Fate, MessageSource, Operation, Outcome, Result, Target

T = TypeVar("T")

_ACCOUNT = "SELECT id FROM account WHERE name = ?"
_ADD_ACCOUNT = "INSERT INTO account (name, modseq, uid_validity) VALUES (?, 0, 0)"
_DERIVED = """UPDATE email SET format = ?, header_size = ?, message_id = ?, refs = ?, subject = ?, sent_date = ?, envelope = ?,
    structure = ?, digest = ? WHERE id = ?"""
_VIEWED_UIDS = 4_000_000  # in all views that are kept: 16 MB


@frozen
class AccountRef:
    """An account of this engine. `key` is its row's."""

    name: str
    key: int


class Engine:
    """Accounts over one database.

    :ivar now: seconds since the epoch, UTC.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        blobs: IBlobStore | None,
        bells: Bells,
        now: Callable[[], float],
        housekeeping: Housekeeping,
    ) -> None:
        self.database = database
        self.blobs = blobs
        self.bells = bells
        self.now = now
        self._caches = Caches.empty()
        database.rolledBack = self._caches.clear
        database.settling = bells.hold
        database.settled = bells.release
        self._accounts: dict[str, AccountRef] = {}
        self._views: dict[int, View] = {}
        self._viewed = 0
        self._recent: dict[int, int] = {}
        self.source = self._source()
        self._housekeeping = housekeeping
        housekeeping.start()

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
        key = connection.execute(_ADD_ACCOUNT, (name,)).lastrowid
        assert key is not None
        tx = self.transaction(connection, key)
        for operation in tree.DEFAULTS:
            tree.create(tx, operation)
        tree.subscribeAll(tx)
        return key

    def transaction(self, connection: Connection, account: int, place: IPlace | None = None) -> Transaction:
        """For a job of the writer."""
        return Transaction(connection, self._caches, place or self._place(), account, self.now())

    def _place(self) -> IPlace:
        return _ROWS

    # --- Changing

    async def apply(self, account: AccountRef, operations: Sequence[Operation]) -> list[Result]:
        """Do all the operations in one transaction, or none."""
        work = steps(operations, self.blobs)
        arriving = [one for step in work for one in step.arriving]
        try:
            await self._prepareLarge(arriving)
            results, touched = await self.database.write(
                partial(self._apply, account, work), partial(_prepare, arriving) if arriving else None
            )
        except Exception as error:
            self._dropBlobs(arriving, error)
            raise
        self.ring(account.name, touched)
        return results

    def _apply(self, account: AccountRef, work: Sequence[Step], connection: Connection) -> tuple[list[Result], dict[int, int]]:
        tx = self.transaction(connection, account.key)
        results = [apply(tx, step) for step in work]
        return results, tx.touched

    async def deliver(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        """Put one message into each target; what fails for one costs the others nothing."""
        arriving = Arriving(message, self.blobs)
        try:
            await self._prepareLarge([arriving])
            run = self._deliver if len(targets) == 1 else self._deliverAll
            done = await self.database.write(partial(run, arriving, targets), arriving.prepare)
        except Exception as error:
            self._dropBlobs([arriving], error)
            return [self.refused(error)] * len(targets)
        return [self._delivered(target, one) for target, one in zip(targets, done, strict=True)]

    def _deliver(self, arriving: Arriving, targets: Sequence[Target], connection: Connection) -> list[_Delivered | Exception]:
        return [self._deliverOne(connection, arriving, targets[0], 0)]

    def _deliverAll(self, arriving: Arriving, targets: Sequence[Target], connection: Connection) -> list[_Delivered | Exception]:
        """One after another, each in its savepoint; all share the first one's content."""
        done: list[_Delivered | Exception] = []
        content = 0
        for target in targets:
            connection.execute("SAVEPOINT target")
            try:
                one = self._deliverOne(connection, arriving, target, content)
            except Refusal as refusal:
                connection.execute("ROLLBACK TO target")
                self._caches.clear()
                done.append(refusal)
            else:
                content = content or one.email
                done.append(one)
            connection.execute("RELEASE target")
        return done

    def _deliverOne(self, connection: Connection, arriving: Arriving, target: Target, content: int) -> _Delivered:
        tx = self.transaction(connection, self._accountKey(target.account, connection))
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
        for mailbox, modSeq in touched.items():
            self.bells.publish(account, tree.mailboxId(mailbox), modSeq)

    def watch(self, account: AccountRef, bell: Bell) -> Callable[[], None]:
        """Ring after changes, until the function that is returned is called."""
        return self.bells.subscribe(account.name, bell)

    # --- Reading

    async def refresh(self, account: AccountRef, mailbox: int) -> None:
        """See to it that what other programs did to a mailbox is known. Nobody else writes here."""

    async def refreshTree(self, account: AccountRef) -> None:
        """The same for the names of mailboxes."""

    async def step(self, account: AccountRef, reading: Reading[T]) -> list[T]:
        """The next items of a reading."""
        items = await self.database.read(lambda connection: reading.step(lambda load: load(connection)))
        if reading.stale:
            stale, reading.stale = reading.stale, []
            self.database.write(partial(writeDerived, stale)).addErrback(self._notWritten)
        return items

    def _notWritten(self, failure: Any) -> None:  # Failure, which is generic in no useful way
        self.log.warn("the store could not write down what can wait: {error}", error=failure.value)

    def content(self, email: int, content: int, size: int) -> StoredContent:
        """The handle of a content, to be read inside a read job."""
        assert self.blobs is not None
        return StoredContent(self.database.connection, self.blobs, content or email, size)

    def _source(self) -> Source:
        return Source(
            ("e.id", "e.content", "e.size"), self.content, ("m.mailbox", "m.uid"), lambda mailbox, uid: f"{mailbox:x}.{uid:x}"
        )

    async def read(self, account: AccountRef, mailbox: int, uid: int, start: int, length: int) -> bytes:
        """Octets of one message, even of one that was expunged not long ago."""
        return await self.database.read(lambda connection: self._read(connection, mailbox, uid, start, length))

    def _read(self, connection: Connection, mailbox: int, uid: int, start: int, length: int) -> bytes:
        return self.content(*emailOf(connection, mailbox, uid)).read(start, length)

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
        await self._housekeeping.stop()
        await self.database.close()


@frozen
class _Delivered:
    mailbox: int
    email: int
    uid: int
    modSeq: int


_ROWS = Rows()


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
                digest,
                email,
            )
            for email, one, digest in stale
        ],
    )
