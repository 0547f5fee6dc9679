"""Values to rows and back, and the statements of the queue's daily work. Everything here runs inside a job of the database."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from attrs import evolve, frozen

from mailfw.delivery.queue.entry import OWN_LANES, Entry, Loan, QueuedMessage, Settlement, Submission
from mailfw.sql import Connection
from mailfw.values import Address, DeliverBy, Envelope, Identity, Recipient, Target

Row = tuple[Any, ...]
"""What a statement gives: the schema says of which types."""

PRIORITY_STEP = 3600.0
"""Seconds of waiting that one step of priority above 0 counts for, where more is due than can be tried at once."""

_MESSAGE = (
    "message.id, message.content, arrived, sender, account, is_utf8, is_8bit, requires_tls, returns, envelope_id, priority,"
    " deliver_by, by_mode, release_at, content.size"
)
_RECIPIENT = (
    "recipient.id, message, local, domain, lane, target, notify, original, due, owner, attempts, tried, is_warned, status,"
    " reply, host"
)
_SELECT = f"SELECT {_RECIPIENT} FROM recipient JOIN message ON message.id = recipient.message WHERE "
_SELECT_MESSAGE = f"SELECT {_MESSAGE} FROM message JOIN content ON content.id = message.content WHERE message.id = ?"

# --- Values ----------------------------------------------------------------------------------------------------------


def spelled(address: Address) -> str:
    """An address as rows have it: nothing quoted, so that the last `@` divides it."""
    return f"{address.local}@{address.domain}"


def _unspelled(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def _packTarget(target: Target | None) -> str:
    if target is None:
        return ""
    return json.dumps([target.account, target.mailbox, sorted(target.flags), target.detail], ensure_ascii=False)


def _unpackTarget(text: str) -> Target | None:
    if not text:
        return None
    account, mailbox, flags, detail = json.loads(text)
    return Target(account, mailbox, frozenset(flags), detail)


def _messageRow(content: int, envelope: Envelope, now: float) -> tuple[object, ...]:
    by = envelope.deliverBy
    return (
        content,
        now,
        None if envelope.sender is None else spelled(envelope.sender),
        envelope.identity.account if envelope.identity else "",
        envelope.isSMTPUTF8,
        envelope.is8Bit,
        envelope.requiresTLS,
        envelope.returns,
        envelope.envelopeId,
        envelope.priority,
        by.time if by else None,
        ("R" if by.isReturned else "N") + ("T" if by.isTraced else "") if by else "",
        envelope.releaseAt,
    )


def _messageOf(row: Row) -> QueuedMessage:
    id_, content, arrived, sender, account, isUTF8, is8Bit, requiresTLS, returns, envelopeId, *times, size = row
    priority, by, mode, release = times
    envelope = Envelope(
        sender=None if sender is None else _unspelled(sender),
        identity=Identity(account) if account else None,
        isSMTPUTF8=bool(isUTF8),
        is8Bit=bool(is8Bit),
        requiresTLS=bool(requiresTLS),
        returns=returns,
        envelopeId=envelopeId,
        priority=priority,
        deliverBy=None if by is None else DeliverBy(by, "R" in mode, "T" in mode),
        releaseAt=release,
    )
    return QueuedMessage(id_, envelope, arrived, size, content)


class Reader:
    """Reads entries; each message that several recipients share is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: dict[int, QueuedMessage] = {}

    def message(self, id: int) -> QueuedMessage | None:
        """The envelope of that id, if it is there."""
        if id not in self._messages:
            row = self._connection.execute(_SELECT_MESSAGE, (id,)).fetchone()
            if row is None:
                return None
            self._messages[id] = _messageOf(row)
        return self._messages[id]

    def entries(self, rows: Iterable[Row]) -> Iterator[Entry]:
        """What rows of the recipient columns say."""
        for id_, messageId, local, domain, lane, target, notify, original, due, owner, attempts, tried, isWarned, *last in rows:
            message = self.message(messageId)
            assert message is not None, "a recipient without its message"
            words = frozenset(notify.split(",")) if notify else frozenset()
            recipient = Recipient(Address(local, domain), words, original)
            yield Entry(id_, message, recipient, lane, due, _unpackTarget(target), owner, attempts, tried, bool(isWarned), *last)

    def select(self, where: str, parameters: Sequence[object]) -> list[Entry]:
        """The entries that a condition on `recipient` and its `message` is true of."""
        return list(self.entries(self._connection.execute(_SELECT + where, parameters)))


# --- Coming in -------------------------------------------------------------------------------------------------------

_INSERT_CONTENT = "INSERT INTO content (octets, blob, size) VALUES (?, ?, ?)"
_INSERT_MESSAGE = (
    "INSERT INTO message (content, arrived, sender, account, is_utf8, is_8bit, requires_tls, returns, envelope_id, priority,"
    " deliver_by, by_mode, release_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_RECIPIENT = (
    "INSERT INTO recipient (message, local, domain, lane, target, notify, original, due, owner, attempts, tried, is_warned,"
    " status, reply, host) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)"
)
_HASTEN_LANE = (
    "INSERT INTO lane (name, due) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET due = excluded.due WHERE excluded.due < lane.due"
)


@frozen
class Place:
    """How one recipient is put into the queue: its lane, why it is held (empty: it is not), on which loan it is."""

    lane: str
    held: str = ""
    loan: Loan | None = None


@frozen
class Added:
    """What was put into the queue. :ivar lent: the entries of each loan."""

    ids: list[int]
    lent: dict[Loan, list[Entry]]


def enqueue(
    connection: Connection,
    submissions: Sequence[Submission],
    places: Sequence[Sequence[Place]],
    octets: bytes,
    blob: str,
    size: int,
    now: float,
) -> Added:
    """Add one content with its envelopes.

    :param places: of the recipients of each envelope.
    """
    content = connection.execute(_INSERT_CONTENT, (octets, blob, size)).lastrowid
    assert content is not None
    added = Added([], {})
    for submission, placed in zip(submissions, places, strict=True):
        envelope, last = submission.envelope, submission.lastOutcome
        message = connection.execute(_INSERT_MESSAGE, _messageRow(content, envelope, now)).lastrowid
        assert message is not None
        added.ids.append(message)
        due = submission.due
        if due is None:
            due = envelope.releaseAt if envelope.releaseAt > now else now - max(0, envelope.priority) * PRIORITY_STEP
        history: Row = (0, 0.0, "", "", "")
        if last is not None:
            history = (1, now, last.status, last.remark or str(last.refusal or ""), last.host)
        rows = [
            _recipientRow(message, recipient, submission.targets.get(position), place, due, history)
            for position, (recipient, place) in enumerate(zip(envelope.recipients, placed, strict=True))
        ]
        connection.executemany(_INSERT_RECIPIENT, rows)
        lanes = {(place.lane, place.loan.until if place.loan else due) for place in placed if not place.held}
        connection.executemany(_HASTEN_LANE, lanes)
        if any(place.loan for place in placed):
            _lend(connection, QueuedMessage(message, _kept(envelope), now, size, content), envelope.recipients, placed, added)
    return added


def _recipientRow(
    message: int, recipient: Recipient, target: Target | None, place: Place, due: float, history: Row
) -> tuple[object, ...]:
    address = recipient.address
    row = (message, address.local, address.domain, place.lane, _packTarget(target))
    asked = (",".join(sorted(recipient.notify)), recipient.original)
    if place.held:
        return (*row, *asked, None, "", 0, 0.0, "", place.held, "")
    if place.loan is not None:
        return (*row, *asked, place.loan.until, place.loan.owner, *history)
    return (*row, *asked, due, "", *history)


def _kept(envelope: Envelope) -> Envelope:
    """An envelope as it comes out of its row."""
    identity = Identity(envelope.identity.account) if envelope.identity else None
    return evolve(envelope, recipients=(), identity=identity)


def _lend(
    connection: Connection, message: QueuedMessage, recipients: Sequence[Recipient], places: Sequence[Place], added: Added
) -> None:
    """Entries of what was just put in on loans. Recipients of one statement have numbers without a gap: there is one writer."""
    (last,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    for id_, recipient, place in zip(range(last - len(places) + 1, last + 1), recipients, places, strict=True):
        if place.loan is not None:
            entry = Entry(id_, message, recipient, place.lane, place.loan.until, owner=place.loan.owner)
            added.lent.setdefault(place.loan, []).append(entry)


# --- Leases ----------------------------------------------------------------------------------------------------------

_LEASE = (
    "UPDATE recipient SET due = ?, owner = ? WHERE id IN"
    " (SELECT id FROM recipient WHERE lane = ? AND due <= ? ORDER BY due LIMIT ?) RETURNING "
    + _RECIPIENT.replace("recipient.id", "id", 1)
)
_FIRST_IN_LANE = "SELECT MIN(due) FROM recipient WHERE lane = ? AND due IS NOT NULL"
_ID, _LANE = 0, 4


def isServed(lane: str, only: str) -> bool:
    """Whether `only` means that lane: itself, all that begin as it does before its `*`, or, empty, all."""
    return not only or lane == only or (only.endswith("*") and lane.startswith(only[:-1]))


def _served(only: str) -> tuple[str, Sequence[str]]:
    """The same as a condition that an index helps with."""
    if not only.endswith("*"):
        return ("name = ?", (only,)) if only else ("1", ())
    prefix = only[:-1]
    return "name >= ? AND name < ?", (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _isAmong(lane: str, names: Collection[str]) -> bool:
    """Whether one of the names means that lane; of those that mean several there is `OWN_LANES`."""
    return lane in names or (OWN_LANES in names and isServed(lane, OWN_LANES))


def nextDue(connection: Connection, without: Collection[str] = (), only: str = "") -> float | None:
    """When the first recipient that is in none of those lanes is due, or the first of the `only` lane; None: there is none."""
    served, named = _served(only)
    for name, due in connection.execute(f"SELECT name, due FROM lane WHERE {served} ORDER BY due", named):
        if not _isAmong(name, without):
            return float(due)
    return None


def lease(
    connection: Connection,
    owner: str,
    now: float,
    until: float,
    limit: int,
    each: int,
    without: Collection[str],
    only: str = "",
) -> list[Entry]:
    """Give `owner` recipients that are due, until that time: at most `limit`, of each lane at most `each`, those longest due
    first; none of the lanes `without`; where one is named, of the `only` lane."""
    rows: list[Row] = []
    lanes = []
    served, named = _served(only)
    due = connection.execute(f"SELECT name FROM lane WHERE due <= ? AND {served} ORDER BY due", (now, *named))
    for (lane,) in due:
        if _isAmong(lane, without):
            continue
        lanes.append(lane)
        rows += connection.execute(_LEASE, (until, owner, lane, now, min(each, limit - len(rows)))).fetchall()
        if len(rows) >= limit:
            break
    due.close()
    amend(connection, lanes)
    rows.sort(key=lambda row: row[_ID])
    return list(Reader(connection).entries(rows))


def amend(connection: Connection, lanes: Iterable[str]) -> None:
    """Write down anew when each lane's first recipient is due."""
    for lane in lanes:
        (first,) = connection.execute(_FIRST_IN_LANE, (lane,)).fetchone()
        if first is None:
            connection.execute("DELETE FROM lane WHERE name = ?", (lane,))
        else:
            connection.execute(
                "INSERT INTO lane (name, due) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET due = excluded.due", (lane, first)
            )


def renew(connection: Connection, owner: str, entries: Sequence[Entry], until: float) -> None:
    """Make leases longer that have not been lost."""
    connection.executemany("UPDATE recipient SET due = ? WHERE id = ? AND owner = ?", [(until, e.id, owner) for e in entries])
    amend(connection, {entry.lane for entry in entries})


def giveBack(connection: Connection, owner: str, entries: Sequence[Entry], due: float, lane: str = "") -> None:
    """End leases without an attempt. :param lane: that they wait in from now on; empty: their own."""
    connection.executemany(
        "UPDATE recipient SET due = ?, owner = '', lane = ? WHERE id = ? AND owner = ?",
        [(due, lane or entry.lane, entry.id, owner) for entry in entries],
    )
    amend(connection, {name for entry in entries for name in (entry.lane, lane) if name})


def reclaim(connection: Connection, entries: Sequence[Entry], due: float) -> None:
    """End leases of those who are gone, each where it is still theirs."""
    connection.executemany(
        "UPDATE recipient SET due = ?, owner = '' WHERE id = ? AND owner = ?", [(due, e.id, e.owner) for e in entries]
    )
    amend(connection, {entry.lane for entry in entries})


# --- Going out -------------------------------------------------------------------------------------------------------

_DEFER = (
    "UPDATE recipient SET due = ?, owner = '', attempts = attempts + 1, tried = ?, is_warned = is_warned OR ?, status = ?,"
    " reply = ?, host = ? WHERE id = ? AND owner = ?"
)


def isAllOurs(connection: Connection, owner: str, settlements: Sequence[Settlement]) -> bool:
    """Whether there is still something to say of each of these recipients, and it is for that owner to say."""
    select = "SELECT 1 FROM recipient WHERE id = ? AND (owner = ? OR ?)"
    return all(
        connection.execute(select, (settled.entry.id, owner, settled.due is None and not settled.isFailure)).fetchone()
        for settled in settlements
    )


def settle(connection: Connection, owner: str, settlements: Sequence[Settlement], now: float) -> tuple[bool, list[str]]:
    """Write down what became of leased recipients.

    Who has the message has it, whoever says so; anything else is only for the lease's owner to say.

    :returns: whether any of it was still ours to say; names of blobs that nobody needs any more.
    """
    ours = 0
    for settled in settlements:
        id_ = settled.entry.id
        if settled.due is not None:
            last = (settled.due, now, settled.isWarned, settled.status, settled.reply, settled.host, id_, owner)
            ours += connection.execute(_DEFER, last).rowcount
        elif settled.isFailure:
            ours += connection.execute("DELETE FROM recipient WHERE id = ? AND owner = ?", (id_, owner)).rowcount
        else:
            ours += connection.execute("DELETE FROM recipient WHERE id = ?", (id_,)).rowcount
    blobs = sweep(connection, {s.entry.message.id: s.entry.message.contentId for s in settlements if s.due is None})
    amend(connection, {settled.entry.lane for settled in settlements})
    return ours > 0, blobs


def sweep(connection: Connection, messages: dict[int, int]) -> list[str]:
    """Remove messages that have no recipients left, and contents that have no message left.

    :param messages: ids of messages, each with that of its content.
    :returns: names of blobs that nobody needs any more.
    """
    blobs = []
    for message, content in messages.items():
        gone = connection.execute(
            "DELETE FROM message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ?)", (message, message)
        ).rowcount
        if not gone:
            continue
        row = connection.execute(
            "DELETE FROM content WHERE id = ? AND NOT EXISTS (SELECT 1 FROM message WHERE content = ?) RETURNING blob",
            (content, content),
        ).fetchone()
        if row is not None and row[0]:
            blobs.append(row[0])
    return blobs
