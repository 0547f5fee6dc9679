"""A message under way, from MAIL to its end."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, evolve, field

from mailfw.interfaces import IDelivery
from mailfw.smtp.content import Content
from mailfw.values import Address, Envelope, MessageSource, Outcome, Recipient


@define(eq=False)
class Transaction:
    """The envelope as far as it is known, and what the message brings with it. It ends in `commit` or in `abandon`.

    :ivar recipients: those that were accepted, :ivar domains: and theirs. :ivar hasRefused: some were not.
    :ivar content: from the first octet of the message on.
    :ivar isChunked: the message comes by BDAT. :ivar isBinary: and need not be lines.
    :ivar isStale: the delivery has a recipient that a hook refused; it is begun anew before the end.
    :ivar wanted: the envelope that hooks made of it.
    :ivar isDiscarded: a hook wants it thrown away. :ivar isDemoted: its priority is not the one that was asked for.
    """

    envelope: Envelope
    delivery: IDelivery
    recipients: list[Recipient] = field(factory=list)
    domains: set[str] = field(factory=set)
    hasRefused: bool = False
    content: Content | None = None
    isChunked: bool = False
    isBinary: bool = False
    isDemoted: bool = False
    isDiscarded: bool = False
    isStale: bool = False
    wanted: Envelope | None = None
    _isOver: bool = field(init=False, default=False)
    _begunWith: Envelope = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begunWith = self.envelope

    @property
    def asWanted(self) -> Envelope:
        """The envelope that it is to be delivered with."""
        wanted = self.asSeen if self.wanted is None else self.wanted
        return evolve(wanted, isQuarantined=self.envelope.isQuarantined)

    @property
    def isReaddressed(self) -> bool:
        """Whether hooks want another envelope than the delivery was begun with."""
        if self.isStale or self.wanted is None:
            return self.isStale or self.envelope is not self._begunWith
        return self.asWanted != evolve(self._begunWith, recipients=tuple(self.recipients))

    def begin(self, envelope: Envelope, delivery: IDelivery) -> None:
        """Another envelope, whose recipients are still to come; the delivery before was aborted."""
        self.envelope, self.delivery, self._begunWith = envelope, delivery, envelope
        self.recipients, self.domains = [], set()

    def accept(self, recipient: Recipient) -> None:
        """One more recipient."""
        self.recipients.append(recipient)
        self.domains.add(recipient.address.domain)

    @property
    def asSeen(self) -> Envelope:
        """The envelope with its recipients, as hooks see it."""
        return evolve(self.envelope, recipients=tuple(self.recipients))

    @property
    def onlyRecipient(self) -> Address | None:
        """The recipient, when there is but one."""
        return self.recipients[0].address if len(self.recipients) == 1 else None

    async def commit(self, message: MessageSource) -> Sequence[Outcome]:
        """Bring the message to all recipients, and end. What the delivery raises is raised, and nobody has the message."""
        try:
            outcomes = await self.delivery.commit(message)
        finally:
            self._finish()
        if len(outcomes) != len(self.recipients):
            raise ValueError(f"the delivery gave {len(outcomes)} outcomes for {len(self.recipients)} recipients")
        return outcomes

    def abandon(self) -> None:
        """End with nothing done; no effect after the end."""
        if not self._isOver:
            self._finish()
            self.delivery.abort()

    def _finish(self) -> None:
        self._isOver = True
        if self.content is not None:
            self.content.discard()
