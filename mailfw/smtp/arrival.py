"""The beginning and the end of a message's arrival: the envelope that MAIL asks for, and the Received field that is stamped."""

from __future__ import annotations

from attrs import define

from mailfw.net.limits import Limits
from mailfw.smtp.grammar import bad
from mailfw.smtp.parameter import MailDraft
from mailfw.values import Address, DeliverBy, Envelope, Identity


@define(eq=False)
class Asked:
    """An envelope as MAIL asked for it.

    :ivar isDemoted: it has not the priority that was asked for.
    """

    envelope: Envelope
    isDemoted: bool = False


def envelopeOf(
    sender: Address | None, draft: MailDraft, identity: Identity | None, limits: Limits, now: float, isTrusted: bool
) -> Asked:
    """What MAIL asks for, its times made absolute.

    Strangers' mail is never put before that of others (RFC 6710 §5): a priority above 0 is for those whom we know.

    :param now: seconds since the epoch, UTC.
    :param isTrusted: the client is somebody whom we know.
    :raises BadCommand: it wants to be held too long, or until after it is of any use.
    """
    releaseAt = _releaseAt(draft, limits, now)
    by = None if draft.by is None else DeliverBy(now + draft.by, draft.isReturned, draft.isTraced)
    if by is not None and by.time < releaseAt:
        bad(501, "5.5.4", "it would be held for longer than it is of use")
    priority = draft.priority if isTrusted else min(draft.priority, 0)
    envelope = Envelope(
        sender,
        (),
        identity,
        draft.isSMTPUTF8,
        draft.is8Bit,
        draft.requiresTLS,
        draft.returns,
        draft.envelopeId,
        priority,
        by,
        releaseAt,
    )
    return Asked(envelope, priority != draft.priority)


def _releaseAt(draft: MailDraft, limits: Limits, now: float) -> float:
    """RFC 4865 §4.1: a time that is over asks for nothing."""
    wanted = draft.holdUntil if draft.holdFor is None else now + draft.holdFor
    if wanted is None or wanted <= now:
        return 0.0
    if wanted > now + limits.holdTime:
        bad(501, "5.5.4", f"a message is held for {int(limits.holdTime)} seconds at most")
    return wanted
