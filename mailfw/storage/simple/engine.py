"""The engine beside a simple store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall

from mailfw.errors import InvalidName, NoSuchMailbox, NotSupported, UIDValidityChanged, Vanished
from mailfw.interfaces import ISimpleAccounts, ISimpleFlags, ISimpleFolders, ISimplePlaces, ISimpleStore
from mailfw.sql import Connection, Database, Undo
from mailfw.storage import quota, tree
from mailfw.storage.apply import Step, apply, steps
from mailfw.storage.bells import Bell, Bells
from mailfw.storage.changes import counters
from mailfw.storage.engine import AccountRef, Engine, addAccount, writeDerived
from mailfw.storage.flags import encode
from mailfw.storage.household import USUAL, Household
from mailfw.storage.housekeeping import Housekeeping
from mailfw.storage.indexer import BATCH, BATCH_OCTETS, MAX_OCTETS, Indexer, Loaded, Pending, Thread, load
from mailfw.storage.limits import Limits
from mailfw.storage.names import INBOX, accountName, mailboxName
from mailfw.storage.rows import Reading, Source, Stale, Tables
from mailfw.storage.simple.content import FileContent, uidl
from mailfw.storage.simple.effects import Add, Effects, Files, Rehearsed
from mailfw.storage.simple.intents import Recovery
from mailfw.storage.simple.perform import Performance
from mailfw.storage.simple.reconcile import Context, Reconciler, Touched
from mailfw.storage.strands import Strands
from mailfw.storage.transaction import OWN_WORK, IPlace, Terms, bounded
from mailfw.values import (
    Adopt,
    Append,
    Create,
    Damage,
    Delete,
    Expunge,
    Fate,
    MessageSource,
    NewMessage,
    Operation,
    Outcome,
    Rename,
    Result,
    Target,
    canonicalFlag,
)

T = TypeVar("T")

WATCH_INTERVAL = 5.0  # seconds between looks at the folders of watched accounts
TREE_LOOKS = 6  # looks for each time that the folders themselves are listed

_ACCOUNT = "SELECT id FROM account WHERE name = ?"
_IS = "SELECT 1 FROM account WHERE id = ?"
_INTENTS = "SELECT id, plan FROM intent WHERE account = ? ORDER BY id"
_FORGET_INTENT = "DELETE FROM intent WHERE id = ?"
_NAME = "SELECT name FROM mailbox WHERE id = ?"
_MESSAGE = """SELECT b.name, f.name, f.locator, m.internal_date, m.size FROM message m JOIN mailbox b ON b.id = m.mailbox
    JOIN file f ON f.mailbox = m.mailbox AND f.uid = m.uid WHERE m.mailbox = ? AND m.uid = ?"""
_REACHED = "SELECT MAX(id) FROM (SELECT id FROM email WHERE id > ? ORDER BY id LIMIT ?)"
_UNINDEXED = """SELECT m.email, b.account, a.name, b.name, f.name, f.locator, m.internal_date, m.size FROM message m
    JOIN mailbox b ON b.id = m.mailbox JOIN account a ON a.id = b.account
    JOIN file f ON f.mailbox = m.mailbox AND f.uid = m.uid WHERE m.email > ? AND m.email <= ? AND b.name IS NOT NULL
    GROUP BY m.email ORDER BY m.email"""
_TABLES = Tables(
    ("a.name", "b.name", "f.name", "f.locator", "m.internal_date", "m.size"),
    ("f.name",),
    """ JOIN mailbox b ON b.id = m.mailbox JOIN account a ON a.id = b.account
    JOIN file f ON f.mailbox = m.mailbox AND f.uid = m.uid""",
    derives=True,
)


class SimpleEngine(Engine):
    """Accounts of a simple store. All file work for an account is done in its strand, one thing after another."""

    def __init__(
        self,
        store: ISimpleStore,
        database: Database,
        bells: Bells,
        now: Callable[[], float],
        housekeeping: Housekeeping,
        limits: Limits,
        reactor: Any,
        indexer: Indexer | None = None,
        household: Household = USUAL,
    ) -> None:
        # reactor: IReactorTime and IReactorFromThreads, interfaces that are not typed upstream
        self._store = store
        super().__init__(database, None, bells, now, housekeeping, limits, indexer, household)
        self._kept = ISimpleFlags(store).permanentFlags if ISimpleFlags.providedBy(store) else frozenset()
        self._strands = Strands(reactor, database.isInline)
        self._reconciler = Reconciler(Context(store, database, now, self.transaction, self._kept, household.mailboxes))
        self._opened: dict[str, AccountRef] = {}  # accounts whose files and state have been brought together
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor
        self._looking: set[str] = set()
        self._watched: dict[int, tuple[int, set[str]]] = {}  # how often an account was looked at, and the names it has

    # --- Accounts

    async def account(self, name: str) -> AccountRef:
        """The account, its files and its state in accord."""
        found = self._opened.get(name)
        return await self._strands.run(name, lambda: self._open(name)) if found is None else found

    def _open(self, name: str) -> AccountRef:
        """In the strand: what a crash left is ended, folders are mailboxes."""
        ref = self._opened.get(name)
        if ref is None:
            accountName(name)
            row = self.database.readHere(lambda connection: connection.execute(_ACCOUNT, (name,)).fetchone())
            isNew = row is None
            ref = AccountRef(name, self.database.call(partial(addAccount, name)) if row is None else row[0])
            self._recover(ref)
            if isNew and ISimpleFolders.providedBy(self._store):
                for first in self.household.mailboxes:
                    ISimpleFolders(self._store).createFolder(name, first.name)
            self._reconciler.tree(name, ref.key, isNew)
            bounded(self._opened)
            self._opened[name] = ref
        return ref

    def _stand(self, ref: AccountRef) -> None:
        """In the strand: files and state of an account that was opened before are in accord still.

        :raises UIDValidityChanged: the account has been removed; it is not made anew by somebody who had it open.
        """
        isKnown = ref.name in self._opened
        if not isKnown and self.database.readHere(lambda found: found.execute(_IS, (ref.key,)).fetchone()) is None:
            raise UIDValidityChanged()
        if self._open(ref.name).key != ref.key:
            raise UIDValidityChanged()

    async def accountNames(self) -> set[str]:
        """Those that were opened before, and those of whom the store has folders, if accounts can be called so."""
        known = await super().accountNames()
        if not ISimpleAccounts.providedBy(self._store):
            return known
        found = await self._strands.run("", lambda: set(ISimpleAccounts(self._store).accounts()))
        return known | {name for name in found if name in known or self._isAccount(name)}

    def _isAccount(self, name: str) -> bool:
        try:
            return accountName(name) == name
        except InvalidName:
            self.log.warn("there is mail of {name!r}, and no account can have that name", name=name)
            return False

    async def unnamed(self, account: AccountRef) -> list[str]:
        """The store's folders that are no mailboxes, because no mailbox can be called so."""
        return await self._strands.run(account.name, lambda: self._reconciler.unnamed(account.name))

    async def takeFiles(self, take: Callable[[Sequence[str]], None]) -> None:
        """Let them be taken account by account, each in its strand."""
        store = self._store
        if ISimplePlaces.providedBy(store):
            for name in sorted(await self.accountNames()):
                await self._strands.run(name, lambda name=name: take(ISimplePlaces(store).places(name)))  # type: ignore[misc]

    async def removeAccount(self, name: str) -> int:
        """Remove an account for good, with its files; how many mailboxes it had."""
        count, touched = await self._strands.run(name, lambda: self._removeHere(name))
        self.ring(name, touched)
        return count

    def _removeHere(self, name: str) -> tuple[int, Touched]:
        """Files first: what is interrupted is begun again, and what is left of the state is of no use to anybody then."""
        ref = self._open(name)
        self._refreshAllHere(ref)
        folders = sorted(self._reconciler.names(ref.key), reverse=True)
        for folder in folders:
            if folder != INBOX and ISimpleFolders.providedBy(self._store):
                self._applyHere(ref, [Delete(folder)], OWN_WORK)
            else:
                self._applyHere(ref, [Expunge(folder, onlyDeleted=False)], OWN_WORK)
        _, touched = self.database.call(partial(self._remove, ref))
        self._opened.pop(name, None)
        return len(folders), touched

    def _recover(self, ref: AccountRef) -> None:
        """End what was under way when it was interrupted."""
        found = self.database.readHere(lambda connection: connection.execute(_INTENTS, (ref.key,)).fetchall())
        for number, plan in found:
            self._end(ref, number, plan)

    def _end(self, ref: AccountRef, number: int, plan: str, performance: Performance | None = None) -> bool:
        """End one intent; whether it went forward. With a performance that failed on the way, its caller completes the state."""
        ended = Recovery.of(self._store, ref.name, plan).run()
        if performance is not None and ended.isForward:
            return True
        if ended.renames:
            self.database.call(partial(self._rename, ref, ended.renames))
        self._reconciler.tree(ref.name, ref.key)
        hints: dict[str, dict[str, frozenset[str]]] = {}
        for (folder, key), flags in ended.flags.items():
            hints.setdefault(folder, {})[key] = flags
        numbers: dict[str, dict[str, int]] = {}
        for (folder, key), uid in ended.uids.items():
            numbers.setdefault(folder, {})[key] = uid
        for folder, uids in numbers.items():
            self._reconciler.adopt(ref.name, ref.key, folder, uids, hints.get(folder, {}))
        for folder, some in hints.items():
            self._reconciler.folder(ref.name, ref.key, folder, some)
        self.database.call(lambda connection: connection.execute(_FORGET_INTENT, (number,)).rowcount)
        self.log.info("ended what was interrupted in {account}: forward={forward}", account=ref.name, forward=ended.isForward)
        return ended.isForward

    def _rename(self, ref: AccountRef, names: Sequence[tuple[str, str]], connection: Connection) -> None:
        tree.renameEach(self.transaction(connection, ref.key, Files(Effects())), names)

    def _place(self) -> IPlace:
        return Files(Effects())

    # --- Changing

    async def apply(self, account: AccountRef, operations: Sequence[Operation], terms: Terms) -> list[Result]:
        """Do all the operations, on files and state, or none."""
        results, touched = await self._strands.run(account.name, lambda: self._applyHere(account, operations, terms))
        self.ring(account.name, touched)
        return results

    async def deliver(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        """Put one message into each target, in parallel."""
        return await gatherResults([Deferred.fromCoroutine(self._deliverTo(message, target)) for target in targets])

    async def _deliverTo(self, message: MessageSource, target: Target) -> Outcome:
        try:
            terms = await self.incoming(target)
            done, touched = await self._strands.run(target.account, lambda: self._deliverHere(message, target, terms))
        except Exception as error:
            return self.refused(error)
        self.ring(target.account, touched)
        return Outcome(Fate.DELIVERED, remark=f"{target.mailbox} UID {done.uids[0]}")

    def _deliverHere(self, message: MessageSource, target: Target, terms: Terms) -> tuple[Any, Touched]:
        ref = self._open(target.account)
        name = mailboxName(target.mailbox)
        if self.database.readHere(lambda connection: tree.info(connection, ref.key, name)) is None:
            try:
                self._applyHere(ref, [Create(name)], terms)
            except NotSupported:
                name = INBOX  # mail is not lost because the store has no such folder
        results, touched = self._applyHere(ref, [Append(name, (NewMessage(message, target.flags),))], terms)
        return results[0], touched

    def _applyHere(
        self, ref: AccountRef, operations: Sequence[Operation], terms: Terms
    ) -> tuple[list[Result], Touched]:
        self._stand(ref)
        now = self.now()
        work = steps([_dated(one, now) for one in operations], None)
        touched: Touched = {}
        for step in work:
            for arriving in step.arriving:
                arriving.prepare()
            touched |= self._follow(ref, step.operation)
        effects = self._single(ref, work, terms) or self.database.call(partial(self._rehearse, ref, work, terms))
        if not isinstance(effects, Effects):
            return effects[0], touched | effects[1]
        results, changed = self._perform(ref, work, terms, effects)
        return results, touched | changed

    def _follow(self, ref: AccountRef, operation: Operation) -> Touched:
        """Before messages are chosen, what other programs did to them is noticed; and before any are put where messages may have
        numbers of another program's, those are taken over: later they would be others'."""
        name = operation.name if isinstance(operation, Rename) else getattr(operation, "mailbox", None)
        target = getattr(operation, "target", None)
        touched: Touched = {}
        for each, isPlace in ((name, isinstance(operation, (Append, Adopt))), (target, True)):
            folder = mailboxName(each) if each else ""
            if folder and (not isPlace or self._reconciler.isUnseen(ref.key, folder)):
                touched |= self._reconciler.folder(ref.name, ref.key, folder)
        return touched

    def _single(self, ref: AccountRef, work: Sequence[Step], terms: Terms) -> Effects | None:
        """The effects of a single message's append, which need no rehearsal."""
        operation = work[0].operation if len(work) == 1 and terms.isOwner else None
        if not isinstance(operation, Append) or len(operation.messages) != 1:
            return None
        message = operation.messages[0]
        _, keywords = encode(message.flags)
        if keywords:
            return None  # there may be too many of them
        name = mailboxName(operation.mailbox)
        if self.database.readHere(lambda connection: tree.info(connection, ref.key, name)) is None:
            raise NoSuchMailbox()
        if terms.limits is not None:
            size, limits = message.source.size, terms.limits
            self.database.readHere(lambda connection: quota.mustHaveRoom(connection, ref.name, size, limits))
        flags = frozenset(map(canonicalFlag, message.flags))
        assert message.internalDate is not None
        return Effects(adds=[Add(name, message.source, flags, message.internalDate)])

    def _rehearse(
        self, ref: AccountRef, work: Sequence[Step], terms: Terms, connection: Connection
    ) -> Effects | tuple[list[Result], Touched]:
        """What the operations do to files; when that is nothing, they are done."""
        place = Rehearsed(self._kept, ISimpleFolders.providedBy(self._store))
        tx = self.transaction(connection, ref.key, place, terms)
        results = [apply(tx, step) for step in work]
        if place.effects.count:
            raise Undo(place.effects)
        return results, tx.touched

    def _perform(
        self, ref: AccountRef, work: Sequence[Step], terms: Terms, effects: Effects
    ) -> tuple[list[Result], Touched]:
        performance = Performance(self._store, self.database, ref.name, ref.key, effects)
        folders = {one.folder for one in (*effects.adds, *effects.drops, *(mark.message for mark in effects.marks))}
        there = set(effects.makes)
        current = [one for one in folders - there if self._reconciler.isCurrent(ref.name, ref.key, one)]
        self._opened.pop(ref.name, None)  # whatever fails now: the next to open the account brings files and state together
        try:
            performance.run()
        except Exception:
            if not performance.intent or not self._end(ref, performance.intent, self._planOf(performance.intent), performance):
                self._opened[ref.name] = ref
                raise
        try:
            done = self.database.call(partial(self._complete, ref, work, evolve(terms, limits=None), performance))
        except Exception:
            performance.undo()
            raise
        self._opened[ref.name] = ref
        for folder in current:
            self._reconciler.believe(ref.name, ref.key, folder)
        return done

    def _planOf(self, intent: int) -> str:
        statement = "SELECT plan FROM intent WHERE id = ?"
        return str(self.database.readHere(lambda connection: connection.execute(statement, (intent,)).fetchone())[0])

    def _complete(
        self, ref: AccountRef, work: Sequence[Step], terms: Terms, performance: Performance, connection: Connection
    ) -> tuple[list[Result], Touched]:
        tx = self.transaction(connection, ref.key, Files(performance.effects), terms)
        results = [apply(tx, step) for step in work]
        performance.forget(connection)
        return results, tx.touched

    # --- What other programs do

    async def refresh(self, account: AccountRef, mailbox: int) -> None:
        """Notice what other programs did to a mailbox."""
        touched = await self._strands.run(account.name, lambda: self._refreshHere(account, mailbox))
        self.ring(account.name, touched)

    def _refreshHere(self, ref: AccountRef, mailbox: int) -> Touched:
        self._stand(ref)
        row = self.database.readHere(lambda connection: connection.execute(_NAME, (mailbox,)).fetchone())
        return {} if row is None or row[0] is None else self._reconciler.folder(ref.name, ref.key, row[0])

    async def refreshTree(self, account: AccountRef) -> None:
        """Notice folders that other programs made or removed."""
        touched = await self._strands.run(account.name, lambda: self._refreshTreeHere(account))
        self.ring(account.name, touched)

    def _refreshTreeHere(self, ref: AccountRef) -> Touched:
        self._stand(ref)
        return self._reconciler.tree(ref.name, ref.key)

    async def repair(self, isRehearsal: bool) -> list[Damage]:
        """The same; then all is compared with the files."""
        done = await super().repair(isRehearsal)
        if not isRehearsal:
            for name in sorted(await self.accountNames()):
                await self.refreshAll(await self.account(name))
        return done

    async def refreshAll(self, account: AccountRef) -> None:
        """Notice everything: folders, and what is in them."""
        self.ring(account.name, await self._strands.run(account.name, lambda: self._refreshAllHere(account)))

    def _refreshAllHere(self, ref: AccountRef) -> Touched:
        touched = self._refreshTreeHere(ref)
        for name in sorted(self._reconciler.names(ref.key)):
            touched |= self._reconciler.folder(ref.name, ref.key, name)
        return touched

    def watch(self, account: AccountRef, bell: Bell) -> Callable[[], None]:
        """Ring after changes; other programs' are looked for every `WATCH_INTERVAL` seconds."""
        unsubscribe = super().watch(account, bell)
        if not self._watch.running:
            self._watch.start(WATCH_INTERVAL, now=False).addErrback(lambda failure: self.log.failure("watching ended", failure))
        return unsubscribe

    def _look(self) -> None:
        watched = [self._opened[name] for name in self.bells.watched() if name in self._opened]
        if not self.bells.watched():
            self._watch.stop()
            self._watched.clear()
        for ref in watched:
            if ref.name not in self._looking:
                self._looking.add(ref.name)
                Deferred.fromCoroutine(self._lookAt(ref)).addErrback(self._notSeen)

    def _notSeen(self, failure: Any) -> None:  # Failure, which is generic in no useful way
        self.log.warn("a watched account could not be looked at: {error}", error=failure.value)

    async def _lookAt(self, ref: AccountRef) -> None:
        try:
            self.ring(ref.name, await self._strands.run(ref.name, lambda: self._lookHere(ref)))
        finally:
            self._looking.discard(ref.name)

    def _lookHere(self, ref: AccountRef) -> Touched:
        """Mostly only tokens are asked for; whether there are other folders, only every few looks."""
        looks, names = self._watched.get(ref.key, (0, set()))
        touched: Touched = {}
        if looks % TREE_LOOKS == 0:
            touched |= self._refreshTreeHere(ref)
            names = self._reconciler.names(ref.key)
        self._watched[ref.key] = (looks + 1, names)
        for name in sorted(names):
            touched |= self._reconciler.folder(ref.name, ref.key, name)
        return touched

    # --- Reading

    async def step(self, account: AccountRef, reading: Reading[T]) -> list[T]:
        """The next items; where messages may have to be looked into, in the strand."""
        if not reading.needsFiles:
            return await super().step(account, reading)
        keep = partial(self._keepDerived, account)
        items = await self._strands.run(account.name, lambda: reading.step(self.database.readHere, keep))
        self.keepPreviews(reading)
        return items

    def _keepDerived(self, ref: AccountRef, stale: list[Stale]) -> None:
        self.database.call(partial(self._writeDerived, ref, stale))

    def _writeDerived(self, ref: AccountRef, stale: list[Stale], connection: Connection) -> None:
        writeDerived(stale, connection)
        tx = self.transaction(connection, ref.key)
        for email, derived, _ in stale:
            tx.joinThread(email, derived.threadKeys)

    def _source(self) -> Source:
        return Source(_TABLES, partial(FileContent, self._store), uidl)

    async def read(self, account: AccountRef, mailbox: int, uid: int, start: int, length: int) -> bytes:
        """Octets of one message."""
        return await self._strands.run(account.name, lambda: self._readHere(account, mailbox, uid, start, length))

    def _readHere(self, ref: AccountRef, mailbox: int, uid: int, start: int, length: int) -> bytes:
        row = self.database.readHere(lambda connection: _message(connection, mailbox, uid))
        return FileContent(self._store, ref.name, *row).read(start, length)

    async def unindexed(self, mark: int, thread: Thread) -> tuple[list[Loaded], int]:
        """The next emails for the index, each account's read in its strand."""
        reached, rows = await self.database.read(partial(_unindexed, mark))
        accounts: dict[str, list[Pending]] = {}
        octets = 0
        for email, account, name, *place in rows:
            isSmall = place[-1] <= MAX_OCTETS
            content = FileContent(self._store, name, *place) if isSmall else None
            accounts.setdefault(name, []).append(Pending(account, email, content))
            octets += place[-1] if isSmall else 0
            if octets >= BATCH_OCTETS:
                reached = email
                break
        loaded: list[Loaded] = []
        for name, pending in accounts.items():
            loaded += await self._strands.run(name, partial(load, pending))
        return loaded, reached

    async def close(self) -> None:
        """Finish what was begun, and let go of threads and file."""
        if self._watch.running:
            self._watch.stop()
        if self._indexer is not None:
            await self._indexer.close()
        await self._strands.close()
        await super().close()


def _dated(operation: Operation, now: float) -> Operation:
    """Messages without an internal date get the present one, so that files and state agree on it."""
    if not isinstance(operation, (Append, Adopt)):
        return operation
    messages = (evolve(one, internalDate=now) if one.internalDate is None else one for one in operation.messages)
    return evolve(operation, messages=tuple(messages))


def _unindexed(mark: int, connection: Connection) -> tuple[int, list[tuple[Any, ...]]]:
    """The email up to which the next ones for the index go, and where each of them lies."""
    reached = connection.execute(_REACHED, (mark, BATCH)).fetchone()[0]
    if reached is None:
        return mark, []
    return reached, connection.execute(_UNINDEXED, (mark, reached)).fetchall()


def _message(connection: Connection, mailbox: int, uid: int) -> tuple[str, str, str, float, int]:
    counters(connection, mailbox)
    row = connection.execute(_MESSAGE, (mailbox, uid)).fetchone()
    if row is None:
        raise Vanished()
    return row[0], row[1], row[2], row[3], row[4]
