"""What the sender is told: failures, delays, and successes that were asked for (RFC 3461 §5, RFC 3464).

Nothing is ever told to the null sender, so a report makes no report. What NOTIFY said counts; where it said nothing, failures and
one delay are told. A report goes into the queue in the transaction that settles what it tells of.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from attrs import frozen

from mailfw.delivery.queue import Entry, QueuedMessage, Report, Submission
from mailfw.values import Envelope, MessageSource, Recipient

RETURNED = 50 << 10
"""Octets up to which a message comes back whole where its sender did not say (RET)."""


class Action(enum.Enum):
    """What became of a message for a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


_ASKED = {Action.FAILED: "failure", Action.DELAYED: "delay", Action.DELIVERED: "success", Action.RELAYED: "success"}


@frozen
class Tidings:
    """What there may be to tell of one recipient.

    :ivar reply: :ivar status: :ivar host: as in `values.Outcome`.
    :ivar tried: seconds since the epoch, UTC. :ivar retryUntil: of a delay: when it will be given up.
    """

    recipient: Recipient
    action: Action
    status: str = ""
    reply: str = ""
    host: str = ""
    tried: float = 0.0
    retryUntil: float | None = None


def isAsked(envelope: Envelope, tidings: Tidings) -> bool:
    """Whether the sender is to be told (RFC 3461 §4.1)."""
    if envelope.sender is None or "never" in tidings.recipient.notify:
        return False
    word = _ASKED[tidings.action]
    return word in tidings.recipient.notify or (not tidings.recipient.notify and word != "success")


@frozen
class Notice:
    """One report that is to be written.

    :ivar isWhole: the message comes back whole, and not its header alone (RET, RFC 3461 §4.3).
    """

    message: QueuedMessage
    tidings: tuple[Tidings, ...]
    isWhole: bool


Render = Callable[[Notice, MessageSource], MessageSource]
"""Writes a report about a message; `message.dsn` does."""


class Bouncer:
    """Decides what is told, and has it written."""

    def __init__(self, render: Render) -> None:
        self._render = render

    def reports(self, message: QueuedMessage, tidings: Sequence[Tidings], content: MessageSource) -> list[Report]:
        """What goes to the sender: one report for all of it, or none."""
        told = tuple(each for each in tidings if isAsked(message.envelope, each))
        if not told or message.envelope.sender is None:
            return []
        isFailure = any(each.action is Action.FAILED for each in told)
        wanted = message.envelope.returns.lower() or ("full" if message.size <= RETURNED else "hdrs")
        notice = Notice(message, told, isFailure and wanted == "full")
        report = self._render(notice, content)
        sender = message.envelope.sender
        to = Recipient(sender, frozenset(("never",)))
        isUTF8 = message.envelope.isSMTPUTF8 or not sender.isASCII
        return [(Submission(Envelope(None, (to,), isSMTPUTF8=isUTF8, is8Bit=isUTF8)), report)]


def failure(entry: Entry, status: str, reply: str, host: str, now: float) -> Tidings:
    """That a recipient is given up."""
    return Tidings(entry.recipient, Action.FAILED, status, reply, host, now)
