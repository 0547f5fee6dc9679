"""When files and state disagree, the files are right: how the state follows them.

A folder is scanned when its token is not the one that the last complete scan began with. Messages with unknown keys get new UIDs,
keys that are gone become vanished, flags that were changed outside get a MODSEQ.

What we change ourselves changes the token too. Scanning for that would make every delivery cost a scan, so the token after our
own work is believed for `BELIEVED` seconds if the one before it was known; another program's change that fell into the
milliseconds between is found at the first look after that.
A store that has no token at the moment (its files have just changed) is scanned at every look, large folders with rests between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from time import monotonic

from attrs import define, field, frozen
from twisted.logger import Logger

from mailfw.errors import InvalidName
from mailfw.interfaces import ISimpleStore, ISimpleUIDs
from mailfw.sql import Connection, Database
from mailfw.storage import adoption, messages, tree
from mailfw.storage.content import Arriving
from mailfw.storage.flags import decode
from mailfw.storage.names import INBOX, mailboxName
from mailfw.storage.simple.effects import Add, Effects, Files
from mailfw.storage.transaction import MailboxRef, Stored, Transaction, bounded
from mailfw.values import Create, Delete, Entry, MessageSource

BELIEVED = 30.0  # seconds
SLOW = 0.02  # seconds for a scan
RESTS = 10.0  # scans of slow folders take at most a tenth of the time
PIECE = 1000  # new messages in one transaction

_FOREVER = float("inf")
_NAMES = "SELECT name FROM mailbox WHERE account = ? AND name IS NOT NULL"
_FIND = "SELECT id, name, uid_validity FROM mailbox WHERE account = ? AND name = ?"
_TOKEN = "SELECT token FROM mailbox WHERE id = ?"
_SET_TOKEN = "UPDATE mailbox SET token = ? WHERE id = ?"
_FILES = """SELECT f.name, f.locator, m.uid, m.modseq, m.flags, m.keywords, m.internal_date, m.size, m.email FROM file f
    JOIN message m ON m.mailbox = f.mailbox AND m.uid = f.uid WHERE f.mailbox = ?"""
_MOVE = "UPDATE file SET locator = ? WHERE mailbox = ? AND uid = ?"
_IMPORT = "UPDATE mailbox SET uid_validity = ?, uid_next = MAX(uid_next, ?) WHERE id = ?"
_USED = "SELECT uid FROM message WHERE mailbox = ?"
_HIGHEST = "UPDATE account SET uid_validity = ? WHERE id = ? AND uid_validity < ?"

Hints = Mapping[str, frozenset[str]]
Touched = dict[int, int]


@frozen
class Context:
    """What reconciling works with.

    :ivar transaction: begins one in the writer: connection, account's key, place.
    :ivar kept: flags that the format has; None: all.
    :ivar firsts: what a new account has, and what that is for.
    """

    store: ISimpleStore
    database: Database
    now: Callable[[], float]
    transaction: Callable[[Connection, int, Files], Transaction]
    kept: frozenset[str] | None
    firsts: Sequence[Create]


@define
class _Difference:
    """What a scan found."""

    new: list[Entry] = field(factory=list)
    changed: list[Stored] = field(factory=list)
    gone: list[Stored] = field(factory=list)
    before: list[Stored] = field(factory=list)
    wanted: list[frozenset[str]] = field(factory=list)
    moved: list[tuple[str, int]] = field(factory=list)


class Reconciler:
    """Makes the state follow the files. Every method blocks, and is called in the account's strand."""

    log = Logger()

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self._database = context.database
        self._tokens: dict[tuple[int, str], tuple[str, float]] = {}
        self._rests: dict[tuple[int, str], float] = {}
        self._kept = None if context.kept is None else frozenset(flag.lower() for flag in context.kept)

    # --- Folders

    def tree(self, account: str, key: int, isNew: bool = False) -> Touched:
        """The mailboxes are the store's folders, and INBOX."""
        listed = set(self._store.folders(account))
        strange = set(filter(_isStrange, listed))
        for name in sorted(strange):
            self.log.warn("a folder of {account} has a name that no mailbox can have: {name!r}", account=account, name=name)
        folders = {INBOX} | (listed - strange)
        known = self.names(key)
        if folders == known:
            return {}
        return self._database.call(partial(self._follow, key, sorted(folders - known), sorted(known - folders), isNew))

    def unnamed(self, account: str) -> list[str]:
        """The store's folders that are no mailboxes, because no mailbox can be called so."""
        return sorted(filter(_isStrange, set(self._store.folders(account))))

    def names(self, key: int) -> set[str]:
        """The mailboxes that the state has."""
        return {row[0] for row in self._database.readHere(lambda found: found.execute(_NAMES, (key,)).fetchall())}

    def _follow(self, key: int, came: Sequence[str], went: Sequence[str], isNew: bool, connection: Connection) -> Touched:
        tx = self._context.transaction(connection, key, Files(Effects()))
        uses = {one.name: one.specialUse for one in self._context.firsts}
        for name in came:
            tree.create(tx, Create(name, uses.get(name, frozenset())))
        for name in went:
            tree.delete(tx, Delete(name))
        if isNew:
            tree.subscribeAll(tx)
        return tx.touched

    # --- Tokens

    def isCurrent(self, account: str, key: int, folder: str) -> bool:
        """Whether nobody has changed the folder since the state last followed it."""
        token = self._store.token(account, folder)
        if not token:
            return monotonic() < self._rests.get((key, folder), 0.0)
        return self._known(key, folder) == token

    def believe(self, account: str, key: int, folder: str) -> None:
        """We changed a folder that was current: it still is, for a while."""
        _, until = self._tokens.get((key, folder), ("", _FOREVER))
        if until == _FOREVER:
            until = self._context.now() + BELIEVED
        self._tokens[key, folder] = (self._store.token(account, folder), until)

    def _rest(self, key: int, folder: str, spent: float) -> None:
        """A folder that is slow to scan, and has no token now, is not scanned again for some times as long."""
        if spent > SLOW:
            bounded(self._rests)
            self._rests[key, folder] = monotonic() + RESTS * spent

    def _known(self, key: int, folder: str) -> str:
        known = self._tokens.get((key, folder))
        if known is None:
            mailbox = self._find(key, folder)
            known = ("", _FOREVER)
            if mailbox is not None:
                known = (self._stored(mailbox.id)[1:], _FOREVER)
            bounded(self._tokens)
            self._tokens[key, folder] = known
        token, until = known
        return token if self._context.now() < until else ""

    def _stored(self, mailbox: int) -> str:
        """`=` and the token of the last complete scan; empty: there was none."""
        row = self._database.readHere(lambda found: found.execute(_TOKEN, (mailbox,)).fetchone())
        return str(row[0])

    def isUnseen(self, key: int, folder: str) -> bool:
        """Whether messages may have numbers there that nobody has looked at yet."""
        mailbox = self._find(key, folder) if ISimpleUIDs.providedBy(self._store) else None
        return mailbox is not None and not self._stored(mailbox.id)

    def _find(self, key: int, folder: str) -> MailboxRef | None:
        row = self._database.readHere(lambda found: found.execute(_FIND, (key, folder)).fetchone())
        return None if row is None else MailboxRef(*row)

    # --- Messages

    def folder(self, account: str, key: int, folder: str, hints: Hints | None = None) -> Touched:
        """The mailbox's messages are the folder's.

        :param hints: key → flags that the state is to have for a message, as far as the format does not say.
        """
        if not hints and self.isCurrent(account, key, folder):
            return {}
        mailbox = self._find(key, folder)
        if mailbox is None:
            return {}
        begun = monotonic()
        token = self._store.token(account, folder)  # before the scan: what changes during it is found next time
        entries = list(self._store.scan(account, folder))
        self._rest(key, folder, monotonic() - begun)
        rows = self._database.readHere(lambda found: found.execute(_FILES, (mailbox.id,)).fetchall())
        touched: Touched = {}
        if ISimpleUIDs.providedBy(self._store) and not self._stored(mailbox.id):
            touched |= self._import(account, key, mailbox, entries, {row[0] for row in rows})
            rows = self._database.readHere(lambda found: found.execute(_FILES, (mailbox.id,)).fetchall())
        difference = self._compare(entries, rows, hints or {})
        if difference.changed:
            touched |= self._database.call(partial(self._remove, key, mailbox, difference.changed))
        for start in range(0, len(difference.new), PIECE):
            touched |= self._number(account, key, mailbox, difference.new[start : start + PIECE], hints or {})
        touched |= self._database.call(partial(self._settle, key, mailbox, difference, token))
        self._tokens[key, folder] = (token, _FOREVER)
        return touched

    def _compare(self, entries: Sequence[Entry], rows: Sequence[tuple[object, ...]], hints: Hints) -> _Difference:
        found = _Difference()
        known = {str(row[0]): row for row in rows}
        for entry in entries:
            row = known.pop(entry.key, None)
            if row is None:
                found.new.append(entry)
                continue
            stored = Stored(*row[2:])  # type: ignore[arg-type]  # columns of the statement
            if entry.size not in (-1, stored.size):  # what has a UID never changes: this is another message
                found.changed.append(stored)
                found.new.append(entry)
                continue
            if row[1] != entry.locator:
                found.moved.append((entry.locator, stored.uid))
            old = decode(stored.bits, stored.keywords)
            wanted = self._wanted(hints.get(entry.key, old), entry.flags)
            if wanted is not old and _folded(wanted) != _folded(old):
                found.before.append(stored)
                found.wanted.append(wanted)
        found.gone = [Stored(*row[2:]) for row in known.values()]  # type: ignore[arg-type]  # columns of the statement
        return found

    def _wanted(self, state: frozenset[str], format: frozenset[str] | None) -> frozenset[str]:
        """The format's flags, and what the state has beside them."""
        if format is None or format == state:
            return state
        if self._kept is None:
            return format
        return format | {flag for flag in state if flag.lower() not in self._kept}

    def _remove(self, key: int, mailbox: MailboxRef, gone: Sequence[Stored], connection: Connection) -> Touched:
        tx = self._context.transaction(connection, key, Files(Effects()))
        messages.remove(tx, mailbox, gone)
        return tx.touched

    def _settle(self, key: int, mailbox: MailboxRef, found: _Difference, token: str, connection: Connection) -> Touched:
        tx = self._context.transaction(connection, key, Files(Effects()))
        messages.remove(tx, mailbox, found.gone)
        after = []
        for stored, wanted in zip(found.before, found.wanted, strict=True):
            bits, keywords = tx.flags(mailbox.id, tx.bearable(mailbox.id, wanted))
            after.append(stored._replace(bits=bits, keywords=keywords))
        changed = [pair for pair in zip(found.before, after, strict=True) if pair[0] != pair[1]]
        messages.mark(tx, mailbox, [old for old, _ in changed], [new for _, new in changed])
        connection.executemany(_MOVE, [(locator, mailbox.id, uid) for locator, uid in found.moved])
        connection.execute(_SET_TOKEN, ("=" + token, mailbox.id))
        return tx.touched

    def _number(self, account: str, key: int, mailbox: MailboxRef, entries: Sequence[Entry], hints: Hints) -> Touched:
        arrivals = [(one, self._arriving(account, mailbox.name, one)) for one in entries]
        return self._database.call(partial(self._add, key, mailbox, arrivals, hints, None))

    def _arriving(self, account: str, folder: str, entry: Entry) -> Arriving:
        """What is known of a message without looking into it; one whose size nobody knows is looked into."""
        if entry.size >= 0:
            return Arriving.unread(entry.size)
        arriving = Arriving(MessageSource(self._store.read(account, folder, entry)), None)
        arriving.prepare()
        return arriving

    def _add(
        self,
        key: int,
        mailbox: MailboxRef,
        arrivals: Sequence[tuple[Entry, Arriving]],
        hints: Hints,
        uids: Sequence[int] | None,
        connection: Connection,
    ) -> Touched:
        adds = [Add(mailbox.name, one.source, frozenset(), entry.internalDate, entry.key, entry) for entry, one in arrivals]
        tx = self._context.transaction(connection, key, Files(Effects(adds=adds)))
        rows = []
        for entry, arriving in arrivals:
            wanted = self._wanted(hints.get(entry.key, frozenset()), entry.flags)
            rows.append((arriving, tx.bearable(mailbox.id, wanted), entry.internalDate or None))
        messages.append(tx, mailbox, rows, uids=uids)
        return tx.touched

    # --- UIDs that another program gave

    def _import(self, account: str, key: int, mailbox: MailboxRef, entries: Sequence[Entry], known: set[str]) -> Touched:
        """Take over UIDs, before the first scan is complete; a crash meanwhile costs nothing but a beginning anew."""
        found = ISimpleUIDs(self._store).uids(account, mailbox.name)
        if found is None:
            return {}
        uidValidity, uidNext, uids = found
        numbered = sorted(((uids[one.key], one) for one in entries if one.key in uids), key=itemgetter(0))
        numbers = [uid for uid, _ in numbered]
        if len(set(numbers)) != len(numbers) or (numbers and not 0 < numbers[0] <= numbers[-1] < uidNext):
            self.log.warn("UIDs of {account} {folder} contradict each other", account=account, folder=mailbox.name)
            return {}
        if not known:
            self._database.call(partial(self._adopt, key, mailbox, uidValidity, uidNext))
        elif mailbox.uidValidity != uidValidity:
            return {}  # messages came before, and have numbers of ours
        touched: Touched = {}
        used = {row[0] for row in self._database.readHere(lambda found: found.execute(_USED, (mailbox.id,)).fetchall())}
        numbered = [(uid, one) for uid, one in numbered if one.key not in known and uid not in used]
        for start in range(0, len(numbered), PIECE):
            piece = numbered[start : start + PIECE]
            arrivals = [(one, self._arriving(account, mailbox.name, one)) for _, one in piece]
            touched |= self._database.call(partial(self._add, key, mailbox, arrivals, {}, [uid for uid, _ in piece]))
        return touched

    def adopt(self, account: str, key: int, folder: str, uids: Mapping[str, int], hints: Hints) -> None:
        """Number messages, by their keys, with UIDs that they have to have; those whose UID is past get the next ones later."""
        mailbox = self._find(key, folder)
        if mailbox is None:
            return
        entries = {one.key: one for one in self._store.scan(account, folder) if one.key in uids}
        known = {row[0] for row in self._database.readHere(lambda found: found.execute(_FILES, (mailbox.id,)).fetchall())}
        numbered = sorted(((uids[name], one) for name, one in entries.items() if name not in known), key=itemgetter(0))
        arrivals = [(one, self._arriving(account, folder, one)) for _, one in numbered]
        self._database.call(partial(self._addAbove, key, mailbox, arrivals, hints, [uid for uid, _ in numbered]))

    def _addAbove(
        self,
        key: int,
        mailbox: MailboxRef,
        arrivals: Sequence[tuple[Entry, Arriving]],
        hints: Hints,
        uids: Sequence[int],
        connection: Connection,
    ) -> None:
        uidNext = adoption.uidNext(connection, mailbox.id)
        above = [at for at, uid in enumerate(uids) if uid >= uidNext]
        if above:
            adoption.raiseNext(connection, mailbox.id, uids[-1] + 1)
            self._add(key, mailbox, [arrivals[at] for at in above], hints, [uids[at] for at in above], connection)

    def _adopt(self, key: int, mailbox: MailboxRef, uidValidity: int, uidNext: int, connection: Connection) -> None:
        tx = self._context.transaction(connection, key, Files(Effects()))
        connection.execute(_IMPORT, (uidValidity, uidNext, mailbox.id))
        connection.execute(_HIGHEST, (uidValidity, key, uidValidity))
        tx.caches.mailboxes.clear()


def _isStrange(name: str) -> bool:
    """Whether no mailbox can be called so."""
    try:
        return mailboxName(name) != name
    except InvalidName:
        return True


def _folded(flags: frozenset[str]) -> frozenset[str]:
    return frozenset(flag.casefold() for flag in flags)
