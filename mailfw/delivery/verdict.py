"""What an outcome means for a recipient that waits: over, again later, or given up; and what there is to tell of it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from mailfw import errors
from mailfw.delivery.bounce import Tidings
from mailfw.delivery.queue import Entry, Settlement
from mailfw.delivery.schedule import Schedule
from mailfw.message.dsn import Action
from mailfw.values import Fate, Outcome

EXPIRED = "4.4.7"
"""RFC 3463 §3.5: nobody took it in time."""

TOO_LATE = "5.4.7"
"""RFC 2852 §4.1.2: the sender wants it back rather than late."""

_STATUS: dict[type[Exception], str] = {
    errors.NoSuchRecipient: "5.1.1",
    errors.NoSuchDomain: "5.1.2",
    errors.RelayDenied: "5.7.1",
    errors.NoRoute: "5.4.4",
    errors.MessageTooLarge: "5.3.4",
    errors.MessageRefused: "5.6.0",
    errors.OverQuota: "5.2.2",
    errors.NoPermission: "5.7.1",
    errors.NotSupported: "5.3.3",
}


@frozen
class Verdict:
    """:ivar tidings: what the sender may want to know; None: nothing."""

    settlement: Settlement
    tidings: Tidings | None


def statusOf(outcome: Outcome) -> str:
    """RFC 3463, its class that of the fate."""
    digit = {Fate.FAILED: "5", Fate.DEFERRED: "4"}.get(outcome.fate, "2")
    status = outcome.status
    if not status:
        kinds = type(outcome.refusal).__mro__ if outcome.refusal is not None else ()
        status = next((_STATUS[kind] for kind in kinds if kind in _STATUS), ".0.0")
    return digit + status[status.index(".") :]


def settled(entry: Entry, outcome: Outcome, schedule: Schedule, now: float, random: Callable[[], float]) -> Verdict:
    """What is written down of one attempt, and told of it.

    :param random: gives numbers from 0 up to 1, for the schedule.
    """
    status, host = statusOf(outcome), outcome.host
    reply = outcome.remark or str(outcome.refusal or "")
    noted = outcome.detail or reply
    if outcome.isTaken:
        by = entry.message.envelope.deliverBy
        isTraced = by is not None and by.isTraced
        isQueued = outcome.fate is Fate.QUEUED
        isPassedOn = isQueued or (outcome.isReported and not isTraced)
        action = Action.RELAYED if host else Action.DELIVERED
        tidings = None if isPassedOn else Tidings(entry.recipient, action, status, reply, host, now)
        return Verdict(Settlement(entry, None, status=status, reply=noted, host=host, isQueued=isQueued), tidings)
    if outcome.fate is Fate.DEFERRED:
        expiry = _expiry(entry, schedule, now)
        if not expiry:
            return _again(entry, outcome, schedule, status, now, random)
        status = expiry
    tidings = Tidings(entry.recipient, Action.FAILED, status, reply, host, now)
    return Verdict(Settlement(entry, None, isFailure=True, status=status, reply=noted, host=host), tidings)


def _expiry(entry: Entry, schedule: Schedule, now: float) -> str:
    """The status with which it is given up; empty where it is not."""
    by = entry.message.envelope.deliverBy
    if by is not None and by.isReturned and now >= by.time:
        return TOO_LATE
    return EXPIRED if schedule.isTimeToGiveUp(entry.message.since, now) else ""


def _again(entry: Entry, outcome: Outcome, schedule: Schedule, status: str, now: float, random: Callable[[], float]) -> Verdict:
    reply, host = outcome.remark or str(outcome.refusal or ""), outcome.host
    by = entry.message.envelope.deliverBy
    isLate = schedule.isTimeToWarn(entry.message.since, now) or (by is not None and not by.isReturned and now >= by.time)
    isWarned = isLate and not entry.isWarned
    end = entry.message.since + schedule.giveUpAfter
    due = now + outcome.after if outcome.after else schedule.next(entry.attempts + 1, now, random)
    due = min(due, max(end, now + 1.0))
    tidings = Tidings(entry.recipient, Action.DELAYED, status, reply, host, now, end) if isWarned else None
    return Verdict(Settlement(entry, due, isWarned=isWarned, status=status, reply=outcome.detail or reply, host=host), tidings)
