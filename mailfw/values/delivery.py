"""Where mail ends, and what becomes of it."""

from __future__ import annotations

import enum

from attrs import frozen

from mailfw.values.address import Address
from mailfw.values.envelope import Envelope
from mailfw.values.source import MessageSource


@frozen
class Target:
    """A place in our own store that a message is delivered to.

    :ivar account: canonical account name.
    :ivar mailbox: delivery creates it where it is missing.
    :ivar flags: set on the message as it arrives.
    :ivar detail: the tag of `user+tag@`, for scripts; it never names a mailbox by itself.
    """

    account: str
    mailbox: str = "INBOX"
    flags: frozenset[str] = frozenset()
    detail: str = ""


@frozen
class Resolution:
    """What a directory knows about an address: the accounts it ends in, the addresses elsewhere it is forwarded to.

    :ivar routed: addresses of ours that the queue has a route for: those of functions.
    """

    targets: tuple[Target, ...] = ()
    forwards: tuple[Address, ...] = ()
    routed: tuple[Address, ...] = ()


class Fate(enum.Enum):
    """What became of a message for one recipient."""

    DELIVERED = "delivered"  # durably in a mailbox, or taken over by the next hop
    QUEUED = "queued"  # durably in our queue
    DEFERRED = "deferred"  # not taken for the moment; nobody holds it for this recipient but the sender
    FAILED = "failed"  # refused for good


@frozen
class Consequence:
    """A message that has to go into the queue because of an outcome: in the transaction that writes that down, or not at all.

    :ivar ways: envelopes, each with the place in our own store that all its recipients are for, or None.
    """

    message: MessageSource
    ways: tuple[tuple[Envelope, Target | None], ...]


@frozen
class Outcome:
    """What became of a message for one recipient, local or remote.

    :ivar refusal: why, when it was not taken.
    :ivar remark: a line for logs and VERB: which mailbox and UID, or what the remote server said.
    :ivar detail: what administrators are told instead, and nobody else: what went wrong in a program of theirs.
    :ivar after: seconds after which it is tried again, where it is deferred and somebody said when; 0: nobody did.
    :ivar consequences: what else has to be queued.
    :ivar status: RFC 3463, `5.1.1`, where somebody gave one.
    :ivar host: the next hop that said so; empty where the message's way ends here.
    :ivar isReported: the next hop also took over telling the sender of success (RFC 3461 §5.2.1).
    """

    fate: Fate
    refusal: Exception | None = None
    remark: str = ""
    status: str = ""
    host: str = ""
    isReported: bool = False
    detail: str = ""
    after: float = 0.0
    consequences: tuple[Consequence, ...] = ()

    @property
    def isTaken(self) -> bool:
        """Whether somebody durably holds the message for this recipient."""
        return self.fate in (Fate.DELIVERED, Fate.QUEUED)
