"""A message under way, from MAIL to its end."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from mailfw.interfaces import IDelivery
from mailfw.smtp.content import Content
from mailfw.values import Address, Envelope, MessageSource, Outcome


@define(eq=False)
class Transaction:
    """The envelope as far as it is known, and what the message brings with it. It ends in `commit` or in `abandon`.

    :ivar recipients: those that were accepted, :ivar domains: and theirs. :ivar hasRefused: some were not.
    :ivar content: from the first octet of the message on.
    :ivar isChunked: the message comes by BDAT. :ivar isBinary: and need not be lines.
    :ivar isDemoted: its priority is not the one that was asked for.
    """

    envelope: Envelope
    delivery: IDelivery
    recipients: list[Address] = field(factory=list)
    domains: set[str] = field(factory=set)
    hasRefused: bool = False
    content: Content | None = None
    isChunked: bool = False
    isBinary: bool = False
    isDemoted: bool = False
    _isOver: bool = field(init=False, default=False)

    def accept(self, recipient: Address) -> None:
        """One more recipient."""
        self.recipients.append(recipient)
        self.domains.add(recipient.domain)

    @property
    def onlyRecipient(self) -> Address | None:
        """The recipient, when there is but one."""
        return self.recipients[0] if len(self.recipients) == 1 else None

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
