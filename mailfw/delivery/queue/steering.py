"""The administrator's hand on the queue: which recipients a filter means, and what is done to them. Inside jobs of the database.

A verb works through what it is meant for in steps of `STEP` recipients, each a job of its own, so that a million of them
hold up nobody's mail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from mailfw.delivery.queue.entry import DomainTotals, Entry, Filter, State, Totals
from mailfw.delivery.queue.rows import Reader, amend, sweep
from mailfw.sql import Connection

STEP = 500


def condition(filter: Filter, now: float) -> tuple[str, list[object]]:
    """The filter as SQL, with its parameters."""
    pieces: list[tuple[str, object]] = []
    if filter.message:
        pieces.append(("recipient.message = ?", filter.message))
    if filter.recipient:
        pieces.append(("recipient.id = ?", filter.recipient))
    if filter.address:
        local, _, domain = filter.address.rpartition("@")
        pieces.append(("recipient.domain = ?", domain.lower()))
        pieces.append(("recipient.local = ? COLLATE NOCASE", local))
    if filter.person:
        pieces.append(("? COLLATE NOCASE IN (message.sender, recipient.local || '@' || recipient.domain)", filter.person))
    if filter.domain:
        pieces.append(("recipient.domain = ?", filter.domain.lower()))
    if filter.sender == "<>":
        pieces.append(("message.sender IS ?", None))
    elif filter.sender:
        pieces.append(("message.sender = ? COLLATE NOCASE", filter.sender))
    if filter.arrivedBefore is not None:
        pieces.append(("message.arrived < ?", filter.arrivedBefore))
    if filter.arrivedAfter is not None:
        pieces.append(("message.arrived > ?", filter.arrivedAfter))
    if filter.reason:
        pieces.append(("recipient.reply LIKE ? ESCAPE '!'", f"%{_literally(filter.reason)}%"))
    if filter.state is not None:
        pieces.append((_STATES[filter.state], now))
    return " AND ".join(["1", *(sql for sql, _ in pieces)]), [value for _, value in pieces]


_STATES = {
    State.HELD: "recipient.due IS NULL AND ? IS NOT NULL",
    State.LEASED: "recipient.owner <> '' AND recipient.due > ?",
    State.WAITING: "recipient.due IS NOT NULL AND (recipient.owner = '' OR recipient.due <= ?)",
}


def _literally(text: str) -> str:
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return text


def page(connection: Connection, filter: Filter, after: int, limit: int, now: float) -> list[Entry]:
    """The first entries with an id above `after` that the filter means."""
    sql, parameters = condition(filter, now)
    return Reader(connection).select(f"recipient.id > ? AND {sql} ORDER BY recipient.id LIMIT ?", [after, *parameters, limit])


_TOTALS = (
    "SELECT COUNT(*), COUNT(due), COALESCE(SUM(owner <> '' AND due > ?), 0), (SELECT COUNT(*) FROM message),"
    " (SELECT arrived FROM message ORDER BY id LIMIT 1), COALESCE(SUM(due <= ?), 0) FROM recipient"
)
_DOMAINS = (
    "SELECT domain, COUNT(*) AS n, COUNT(*) - COUNT(due), MIN(due) FROM recipient GROUP BY domain ORDER BY n DESC, domain LIMIT ?"
)
_LAST_WORDS = "SELECT host, reply FROM recipient WHERE domain = ? AND reply <> '' LIMIT 1"


def overview(connection: Connection, domains: int, now: float) -> tuple[Totals, list[DomainTotals]]:
    """How much there is, and of which domains most; so many of them."""
    recipients, unheld, leased, messages, oldest, dueNow = connection.execute(_TOTALS, (now, now)).fetchone()
    found = []
    for domain, count, held, due in connection.execute(_DOMAINS, (domains,)).fetchall():
        host, reply = connection.execute(_LAST_WORDS, (domain,)).fetchone() or ("", "")
        found.append(DomainTotals(domain, count, held, due, host, reply))
    return Totals(recipients, messages, unheld - leased, leased, recipients - unheld, oldest, dueNow), found


@frozen
class Step:
    """What one step of a verb did. :ivar last: the id it ended at; 0: there is no more. :ivar ids: that it looked at."""

    count: int
    last: int
    blobs: Sequence[str] = ()
    ids: Sequence[int] = ()


Verb = Callable[[Connection, Sequence[Entry], float], tuple[int, Sequence[str]]]
"""Does something to entries at a time. → to how many; blobs that nobody needs any more."""


def step(connection: Connection, verb: Verb, filter: Filter, after: int, now: float) -> Step:
    """Do the verb to the next entries that the filter means."""
    entries = page(connection, filter, after, STEP, now)
    if not entries:
        return Step(0, 0)
    count, blobs = verb(connection, entries, now)
    amend(connection, {entry.lane for entry in entries})
    return Step(count, entries[-1].id if len(entries) == STEP else 0, blobs, [entry.id for entry in entries])


def _setDue(connection: Connection, entries: Sequence[Entry], due: float | None) -> tuple[int, Sequence[str]]:
    connection.executemany("UPDATE recipient SET due = ?, owner = '' WHERE id = ?", [(due, entry.id) for entry in entries])
    return len(entries), ()


def hold(connection: Connection, entries: Sequence[Entry], now: float) -> tuple[int, Sequence[str]]:
    """Keep them from being tried. One that is being tried at this moment is held when that fails."""
    return _setDue(connection, [entry for entry in entries if entry.due is not None], None)


def release(connection: Connection, entries: Sequence[Entry], now: float) -> tuple[int, Sequence[str]]:
    """Let those go on that are held, at once."""
    return _setDue(connection, [entry for entry in entries if entry.due is None], now)


def retry(connection: Connection, entries: Sequence[Entry], now: float) -> tuple[int, Sequence[str]]:
    """Try those that wait at once; not those that are held, or being tried."""
    return _setDue(connection, [entry for entry in entries if entry.state(now) is State.WAITING], now)


def cancel(connection: Connection, entries: Sequence[Entry], now: float) -> tuple[int, Sequence[str]]:
    """Forget them, and tell nobody."""
    connection.executemany("DELETE FROM recipient WHERE id = ?", [(entry.id,) for entry in entries])
    return len(entries), sweep(connection, {entry.message.id: entry.message.contentId for entry in entries})


def seize(connection: Connection, filter: Filter, after: int, owner: str, now: float, until: float) -> list[Entry]:
    """Lease the next entries that the filter means whether or not they are due, and whoever has them."""
    entries = page(connection, filter, after, STEP, now)
    connection.executemany("UPDATE recipient SET due = ?, owner = ? WHERE id = ?", [(until, owner, e.id) for e in entries])
    amend(connection, {entry.lane for entry in entries})
    return entries
