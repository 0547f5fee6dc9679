"""What the sender is told: failures, delays, and successes that were asked for (RFC 3461 §5, RFC 3464).

Nothing is ever told to the null sender, so a report makes no report. What NOTIFY said counts; where it said nothing, failures and
one delay are told. A report goes into the queue in the transaction that settles what it tells of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from secrets import token_hex

from attrs import frozen

from mailfw.delivery.queue import QueuedMessage, Report, Submission
from mailfw.message import report
from mailfw.message.dsn import Action, DeliveryStatus, RecipientStatus, fromORCPT
from mailfw.message.source import headerOf
from mailfw.values import Envelope, MessageSource, Recipient

RETURNED = 50 << 10
"""Octets up to which a message comes back whole where its sender did not say (RET)."""

LARGEST = 1 << 20
"""Octets above which no message comes back whole: its header tells which it was."""

HEADER = 64 << 10
"""Octets of a header that come back."""

_ASKED = {Action.FAILED: "failure", Action.DELAYED: "delay"}


@frozen
class Tidings:
    """What there may be to tell of one recipient.

    :ivar reply: :ivar status: :ivar host: as in `values.Outcome`.
    :ivar tried: seconds since the epoch, UTC. :ivar retryUntil: of a delay: when it will be given up.
    """

    recipient: Recipient
    action: Action
    status: str
    reply: str = ""
    host: str = ""
    tried: float | None = None
    retryUntil: float | None = None


def isAsked(envelope: Envelope, tidings: Tidings) -> bool:
    """Whether the sender is to be told (RFC 3461 §4.1)."""
    asked = tidings.recipient.notify
    if envelope.sender is None or "never" in asked:
        return False
    if tidings.action is Action.RELAYED and envelope.deliverBy is not None and envelope.deliverBy.isTraced:
        return True  # RFC 2852 §4: by-trace
    word = _ASKED.get(tidings.action, "success")
    return word in asked or (not asked and word != "success")


class Bouncer:
    """Writes what has to be told.

    :param hostname: who tells it.
    """

    def __init__(self, hostname: str, now: Callable[[], float] = time.time) -> None:
        self._hostname = hostname
        self._now = now

    def reports(self, message: QueuedMessage, tidings: Sequence[Tidings], content: MessageSource) -> list[Report]:
        """What goes to the sender: one report for all of it, or none."""
        envelope = message.envelope
        told = [each for each in tidings if isAsked(envelope, each)]
        if not told or envelope.sender is None:
            return []
        returns = "hdrs"
        if any(each.action is Action.FAILED for each in told) and message.size <= LARGEST:
            returns = envelope.returns.lower() or ("full" if message.size <= RETURNED else "hdrs")
        isUTF8 = envelope.isSMTPUTF8 or not envelope.sender.isASCII
        octets = report.render(
            DeliveryStatus(
                reporter=self._hostname,
                recipients=tuple(map(_statusOf, told)),
                envelopeId=envelope.envelopeId,
                arrival=message.arrived,
            ),
            envelope.sender,
            content.read() if returns == "full" else headerOf(content, HEADER),
            returns=returns,
            moment=self._now(),
            messageId=f"{token_hex(12)}@{self._hostname}",
            isUTF8=isUTF8,
        )
        to = (Recipient(envelope.sender, frozenset(("never",))),)
        sent = Envelope(None, to, isSMTPUTF8=isUTF8, is8Bit=not octets.isascii())
        return [(Submission(sent), MessageSource(octets))]


def _statusOf(tidings: Tidings) -> RecipientStatus:
    return RecipientStatus(
        address=str(tidings.recipient.address),
        action=tidings.action,
        status=tidings.status,
        original=fromORCPT(tidings.recipient.original),
        reply=tidings.reply,
        host=tidings.host,
        lastAttempt=tidings.tried,
        retryUntil=tidings.retryUntil,
    )
