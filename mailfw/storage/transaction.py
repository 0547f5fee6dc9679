"""One account's changes inside one database transaction: what every operation is made of.

The order that makes a polling reader miss nothing (DESIGN §4): contents and emails first; then the counters, account before
mailboxes and mailboxes by id; then the rows of `message`; then commit. What is compared (UNCHANGEDSINCE, \\Deleted, names) is
read after `BEGIN IMMEDIATE`, so under the only write lock there is; a dialect that has finer locks takes the account's row first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from attrs import define, frozen

from mailfw.errors import LimitExceeded, NoSuchMailbox, UIDValidityChanged, Unavailable
from mailfw.sql import Connection
from mailfw.storage import quota
from mailfw.storage.content import Arriving
from mailfw.storage.flags import DELETED, SEEN, SYSTEM_FLAGS, encode
from mailfw.storage.names import isKeyword, mailboxName
from mailfw.values import Quota, UIDSet

KEYWORDS = 200  # in one mailbox
MAX_UID = 0xFFFFFFFF
ACCOUNT = 0  # stands for no mailbox where it is noted what was touched: names, subscriptions or the account as a whole
_CACHE_SIZE = 20_000
K = TypeVar("K")
V = TypeVar("V")
_THREAD_KEYS = 12  # of the nearest references, that a message is found by
_SPARSE = 64  # ranges


class MailboxRef(NamedTuple):
    """A mailbox inside a transaction."""

    id: int
    name: str
    uidValidity: int


class Stored(NamedTuple):
    """A row of `message`, as operations see it."""

    uid: int
    modSeq: int
    bits: int
    keywords: str
    internalDate: float
    size: int
    email: int


class IPlace(Protocol):
    """Where the octets are: told of everything that concerns them, inside the transaction, in the order it happens.

    :ivar hasGrace: an expunged message stays readable for a while.
    """

    hasGrace: bool

    def keep(self, connection: Connection, email: int, arriving: Arriving) -> None:
        """A new email's content."""

    def share(self, connection: Connection, content: int) -> None:
        """A new email has the content of another."""

    def appended(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """Messages came in with new contents."""

    def adopted(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """They came in under UIDs that they had before."""

    def copied(
        self,
        connection: Connection,
        source: MailboxRef,
        target: MailboxRef,
        uids: Sequence[int],
        messages: Sequence[Stored],
        isMove: bool,
    ) -> None:
        """Messages of one mailbox are in another too; with `isMove`, no longer in the first."""

    def expunged(self, connection: Connection, mailbox: MailboxRef, messages: Sequence[Stored]) -> None:
        """Messages went."""

    def flagged(self, connection: Connection, mailbox: MailboxRef, before: Sequence[Stored], after: Sequence[Stored]) -> None:
        """Messages have other flags now."""

    def created(self, connection: Connection, name: str) -> None:
        """A mailbox is there."""

    def renamed(self, connection: Connection, names: Sequence[tuple[str, str]]) -> None:
        """Mailboxes have other names, parents before children."""

    def deleted(self, connection: Connection, name: str) -> None:
        """A mailbox is gone, with its messages."""


@frozen
class Terms:
    """In whose name operations are done, and within which limits.

    :ivar actor: canonical account name; empty: the store's own work.
    :ivar isOwner: whose account it is: the actor may do everything in it.
    :ivar limits: what the source of accounts says; None: what the operations do is not limited, or was found to fit before.
    """

    actor: str = ""
    isOwner: bool = True
    isAdmin: bool = False
    limits: Quota | None = None


OWN_WORK = Terms()
"""What the store does by itself, or must do because it has happened already."""


@define
class Caches:
    """What the writer's thread knows by heart; forgotten as soon as anything is rolled back."""

    accounts: dict[str, int]
    mailboxes: dict[tuple[int, str], MailboxRef]
    keywords: dict[tuple[int, frozenset[str]], str]

    @classmethod
    def empty(cls) -> Caches:
        """Nothing known yet."""
        return cls({}, {}, {})

    def clear(self) -> None:
        """Forget all."""
        self.accounts.clear()
        self.mailboxes.clear()
        self.keywords.clear()


def bounded(cache: dict[K, V]) -> None:
    """Make room in a cache that has grown too large."""
    if len(cache) >= _CACHE_SIZE:
        cache.clear()


_MAILBOX = "SELECT id, name, uid_validity FROM mailbox WHERE account = ? AND name = ?"
_EMAIL = """INSERT INTO email (account, content, copies, size, thread, digest, format, header_size, message_id, refs, subject,
    sent_date, envelope, structure, fields) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_THREAD = "SELECT thread FROM thread WHERE account = ? AND digest = ?"
_ADD_THREAD = "INSERT INTO thread (account, digest, thread) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_SET_THREAD = "UPDATE email SET thread = ? WHERE id = ?"
_COUNT_ACCOUNT = """UPDATE account SET modseq = modseq + 1, messages = messages + ?, size = size + ? WHERE id = ?
    RETURNING modseq, messages, size, quota_octets, quota_messages, quota_mailboxes"""
_COUNT_MAILBOX = """UPDATE mailbox SET modseq = ?, uid_next = uid_next + ?, messages = messages + ?, unseen = unseen + ?,
    deleted = deleted + ?, size = size + ? WHERE id = ? RETURNING uid_next"""
_ADD_MESSAGE = """INSERT INTO message (mailbox, uid, modseq, flags, keywords, internal_date, save_date, size, email)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_MESSAGES = """SELECT uid, modseq, flags, keywords, internal_date, size, email FROM message
    WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid"""
_REMEMBER = """INSERT INTO name (account, name, modseq, uid_validity) VALUES (?, ?, ?, ?) ON CONFLICT (account, name)
    DO UPDATE SET modseq = excluded.modseq,
    uid_validity = CASE WHEN name.uid_validity < excluded.uid_validity THEN excluded.uid_validity ELSE name.uid_validity END"""
_BELOW = "SELECT id, name, uid_validity FROM mailbox WHERE account = ? AND name > ? AND name < ? ORDER BY name"
_NAME_OF_KEYWORD = "SELECT name FROM keyword WHERE account = ? AND folded = ? LIMIT 1"
_ADD_KEYWORD = "INSERT INTO keyword (account, folded, mailbox, name) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_COUNT_KEYWORDS = "SELECT COUNT(*) FROM keyword WHERE mailbox = ?"
_USED_KEYWORDS = "SELECT DISTINCT keywords FROM message WHERE mailbox = ? AND keywords <> ''"
_FOLDED_KEYWORDS = "SELECT folded FROM keyword WHERE mailbox = ?"
_FORGET_KEYWORD = "DELETE FROM keyword WHERE account = ? AND folded = ? AND mailbox = ?"


class Transaction:
    """What one job of the writer does to one account.

    :ivar touched: mailbox ids to ring for, each with the MODSEQ of its last change.
    """

    def __init__(
        self, connection: Connection, caches: Caches, place: IPlace, account: int, now: float, terms: Terms = OWN_WORK
    ) -> None:
        self.connection = connection
        self.caches = caches
        self.place = place
        self.account = account
        self.now = now
        self.terms = terms
        self.touched: dict[int, int] = {}

    def mailbox(self, name: str, uidValidity: int = 0) -> MailboxRef:
        """:raises NoSuchMailbox: no mailbox has that name.
        :raises UIDValidityChanged: it is not the one that was meant.
        """
        found = self.findMailbox(mailboxName(name))
        if found is None:
            raise UIDValidityChanged() if uidValidity else NoSuchMailbox()
        if uidValidity and found.uidValidity != uidValidity:
            raise UIDValidityChanged()
        return found

    def findMailbox(self, name: str) -> MailboxRef | None:
        """The mailbox of that canonical name, if there is one."""
        key = (self.account, name)
        found = self.caches.mailboxes.get(key)
        if found is None:
            row = self.connection.execute(_MAILBOX, key).fetchone()
            if row is None:
                return None
            bounded(self.caches.mailboxes)
            found = self.caches.mailboxes[key] = MailboxRef(*row)
        return found

    def remember(self, name: str, modSeq: int, uidValidity: int = 0) -> None:
        """Note that something happened to a name: whoever asks what did finds it."""
        self.connection.execute(_REMEMBER, (self.account, name, modSeq, uidValidity))

    def below(self, prefix: str) -> list[MailboxRef]:
        """Mailboxes whose names begin so; the prefix ends with the delimiter."""
        high = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return [MailboxRef(*row) for row in self.connection.execute(_BELOW, (self.account, prefix, high))]

    # --- Emails

    def addEmail(self, arriving: Arriving, content: int = 0) -> int:
        """A new email, in the thread that it belongs to; its content is kept unless `content` names one to share."""
        derived = arriving.derived
        thread = self._thread(derived.threadKeys)
        email = self.connection.execute(
            _EMAIL,
            (
                self.account,
                content,
                1,
                arriving.size,
                thread,
                arriving.digest,
                derived.format,
                derived.headerSize,
                derived.messageId,
                derived.references,
                derived.subject,
                derived.sentDate,
                derived.envelope,
                derived.structure,
                derived.fields,
            ),
        ).lastrowid
        assert email is not None
        if content:
            self.place.share(self.connection, content)
        else:
            self.place.keep(self.connection, email, arriving)
        self._keepThread(derived.threadKeys, thread or email)
        return email

    def joinThread(self, email: int, keys: tuple[int, ...]) -> None:
        """Find the thread of an email that came in unread and has now been looked into."""
        thread = self._thread(keys)
        if thread:
            self.connection.execute(_SET_THREAD, (thread, email))
        self._keepThread(keys, thread or email)

    def _thread(self, keys: tuple[int, ...]) -> int:
        """The thread that knows the message itself, or the nearest of its references; 0: a new one."""
        for key in (*keys[:1], *reversed(keys[1:][-_THREAD_KEYS:])):
            row = self.connection.execute(_THREAD, (self.account, key)).fetchone()
            if row is not None:
                return int(row[0])
        return 0

    def _keepThread(self, keys: tuple[int, ...], thread: int) -> None:
        for key in (*keys[:1], *keys[1:][-_THREAD_KEYS:]):
            self.connection.execute(_ADD_THREAD, (self.account, key, thread))

    # --- Counters

    def countAccount(self, messages: int = 0, size: int = 0) -> int:
        """Take the account's lock and its next MODSEQ.

        :raises OverQuota: messages come, and are more than the account may hold.
        """
        row = self.connection.execute(_COUNT_ACCOUNT, (messages, size, self.account)).fetchone()
        if row is None:
            raise Unavailable("the account has been removed")
        if messages > 0 and self.terms.limits is not None:
            quota.mustFit(row[1], row[2], quota.inForce(row[3:], self.terms.limits))
        return int(row[0])

    def countMailbox(
        self, mailbox: int, modSeq: int, uids: int = 0, messages: int = 0, unseen: int = 0, deleted: int = 0, size: int = 0
    ) -> range:
        """Count one mailbox on; returns the UIDs that were taken."""
        row = self.connection.execute(_COUNT_MAILBOX, (modSeq, uids, messages, unseen, deleted, size, mailbox)).fetchone()
        uidNext = int(row[0])
        if uidNext > MAX_UID:
            raise LimitExceeded("the mailbox has no UID left")
        self.touched[mailbox] = modSeq
        return range(uidNext - uids, uidNext)

    def count(self, mailbox: int, modSeq: int, messages: Iterable[Stored], sign: int, uids: int = 0) -> range:
        """`countMailbox` for messages that come (sign 1) or go (-1)."""
        number = unseen = deleted = size = 0
        for message in messages:
            number += 1
            unseen += not message.bits & SEEN
            deleted += bool(message.bits & DELETED)
            size += message.size
        return self.countMailbox(mailbox, modSeq, uids, sign * number, sign * unseen, sign * deleted, sign * size)

    # --- Messages

    def addMessages(self, mailbox: int, modSeq: int, uids: Sequence[int], messages: Sequence[Stored]) -> None:
        """Give each message the UID of its turn."""
        rows = [
            (mailbox, uid, modSeq, one.bits, one.keywords, one.internalDate, self.now, one.size, one.email)
            for uid, one in zip(uids, messages, strict=True)
        ]
        if len(rows) == 1:
            self.connection.execute(_ADD_MESSAGE, rows[0])
        else:
            self.connection.executemany(_ADD_MESSAGE, rows)

    def messages(self, mailbox: int, uids: UIDSet) -> Iterator[Stored]:
        """The messages that are there of those, ascending."""
        for low, high in clipped(self.connection, mailbox, uids):
            for row in self.connection.execute(_MESSAGES, (mailbox, low, high)):
                if row[0] in uids:
                    yield Stored(*row)

    # --- Keywords

    def flags(self, mailbox: int, flags: frozenset[str]) -> tuple[int, str]:
        """Flags as bits and text for messages of that mailbox, new keywords noted there.

        :raises InvalidName: one cannot be a flag.
        :raises LimitExceeded: the mailbox would have too many keywords.
        """
        if not flags:
            return 0, ""
        bits, keywords = encode(flags)
        return bits, self.keywords(mailbox, keywords) if keywords else ""

    def keywords(self, mailbox: int, keywords: frozenset[str]) -> str:
        """Keywords as text, each in the case in which the account first used it."""
        found = self.caches.keywords.get((mailbox, keywords))
        if found is None:
            names = {name.casefold(): self._keyword(mailbox, name) for name in sorted(keywords)}
            if self._countKeywords(mailbox) > KEYWORDS:
                self._forgetUnused(mailbox, names)
                if self._countKeywords(mailbox) > KEYWORDS:
                    raise LimitExceeded("the mailbox has too many different keywords")
            bounded(self.caches.keywords)
            found = self.caches.keywords[mailbox, keywords] = " ".join(sorted(names.values()))
        return found

    def bearable(self, mailbox: int, flags: frozenset[str]) -> frozenset[str]:
        """Of flags that another program has given, those that can be kept: it cannot be refused any more, and must not be able to
        shut a mailbox by what it writes beside a message."""
        if flags <= SYSTEM_FLAGS:
            return flags
        known = {folded for (folded,) in self.connection.execute(_FOLDED_KEYWORDS, (mailbox,))}
        kept = set(flags & SYSTEM_FLAGS)
        for flag in sorted(filter(isKeyword, flags)):
            folded = flag.casefold()
            if folded in known or len(known) < KEYWORDS:
                kept.add(flag)
                known.add(folded)
        return frozenset(kept)

    def _keyword(self, mailbox: int, name: str) -> str:
        folded = name.casefold()
        row = self.connection.execute(_NAME_OF_KEYWORD, (self.account, folded)).fetchone()
        known = name if row is None else str(row[0])
        self.connection.execute(_ADD_KEYWORD, (self.account, folded, mailbox, known))
        return known

    def _countKeywords(self, mailbox: int) -> int:
        return int(self.connection.execute(_COUNT_KEYWORDS, (mailbox,)).fetchone()[0])

    def _forgetUnused(self, mailbox: int, wanted: Iterable[str]) -> None:
        """Make room among the keywords of a mailbox: those go that no message has."""
        used = set(wanted)
        for (text,) in self.connection.execute(_USED_KEYWORDS, (mailbox,)):
            used.update(name.casefold() for name in text.split())
        known = {row[0] for row in self.connection.execute(_FOLDED_KEYWORDS, (mailbox,))}
        unused = [(self.account, folded, mailbox) for folded in known - used]
        self.connection.executemany(_FORGET_KEYWORD, unused)
        self.caches.keywords.clear()

    def knownKeywords(self, keywords: Iterable[str]) -> frozenset[str]:
        """Those of the keywords that the account ever used, in its own case."""
        rows = (self.connection.execute(_NAME_OF_KEYWORD, (self.account, one.casefold())).fetchone() for one in keywords)
        return frozenset(str(row[0]) for row in rows if row is not None)


def clipped(connection: Connection, mailbox: int, uids: UIDSet) -> Iterator[tuple[int, int]]:
    """Ranges to be asked for, one by one; all in one, to be sifted, when asking would cost more than walking over it."""
    ranges = uids.ranges
    if len(ranges) > _SPARSE:
        row = connection.execute("SELECT messages FROM mailbox WHERE id = ?", (mailbox,)).fetchone()
        if row is not None and len(ranges) * 8 > row[0]:
            ranges = ((uids.first, uids.last),)
    return iter(ranges)
