"""A message of which all has come: judged by hooks, stamped, and brought to its recipients.

The order is fixed: what a submission lacks is added first, so that hooks (one may sign) see the message as it will be; then they
edit it; then our Received field goes before everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, evolve

from mailfw.errors import Refusal
from mailfw.message import edit
from mailfw.message.header import scan
from mailfw.message.source import headerOf, without
from mailfw.smtp import stamp
from mailfw.smtp.channel import Channel
from mailfw.smtp.content import Content
from mailfw.smtp.grammar import Hello
from mailfw.smtp.policy import Policy
from mailfw.smtp.reply import Reply
from mailfw.smtp.role import Role
from mailfw.smtp.transaction import Transaction
from mailfw.stages import Stage
from mailfw.values import Envelope, Fate, MessageSource, Outcome, Recipient

if TYPE_CHECKING:
    from mailfw.net.context import ServiceContext

BODY_CHUNK = 65536
"""Octets of a body that hooks are given at a time."""

_TAKEN = Outcome(Fate.DELIVERED, remark="discarded")


@define(eq=False)
class Completion:
    """:ivar messageId: names the message in replies, logs and its Received field."""

    channel: Channel
    context: ServiceContext
    role: Role
    hello: Hello
    policy: Policy | None
    messageId: str

    async def run(self, transaction: Transaction, content: Content, source: MessageSource) -> Sequence[Outcome] | Reply:
        """Outcomes of the transaction's recipients, in their order, or what the client is told in place of any."""
        header = content.header()
        if self.role.completesMessages:
            mended = edit.submitted(header, self.context.now(), f"{self.messageId}@{self.context.hostname}")
            source, header = stamp.withHeader(source, header, mended), mended
        if self.policy is not None and not transaction.isDiscarded:
            judged = await self._judged(self.policy, transaction, source, header)
            if isinstance(judged, Reply):
                return judged
            if judged is not source:
                source, header = judged, headerOf(judged)
        if transaction.isDiscarded:
            return [_TAKEN] * len(transaction.recipients)
        return await self._commit(transaction, source.withPrefix(self._stamp(transaction) + edit.separator(header)))

    async def _commit(self, transaction: Transaction, message: MessageSource) -> Sequence[Outcome]:
        """What is raised concerns every recipient; a fault of the delivery's, or of ours, defers the message."""
        accepted = transaction.recipients
        try:
            if transaction.isReaddressed:
                await self._readdress(transaction, transaction.asWanted)
                if not transaction.recipients:
                    return []
            return await transaction.commit(message)
        except Refusal as error:
            outcome = Outcome(Fate.DEFERRED if error.isTemporary else Fate.FAILED, error)
        except Exception as error:
            self.channel.faulted("a delivery failed")
            outcome = Outcome(Fate.DEFERRED, error)
        transaction.recipients = accepted
        return [outcome] * len(accepted)

    def _stamp(self, transaction: Transaction) -> bytes:
        """Our Received field."""
        isUTF8, channel = transaction.envelope.isSMTPUTF8, self.channel
        isAuthenticated = transaction.envelope.identity is not None
        return stamp.Trace(
            hello=self.hello.name,
            peer=channel.peer,
            hostname=self.context.hostname,
            protocol=stamp.protocolName(self.role.isLMTP, self.hello.verb != "HELO", isUTF8, channel.isTLS, isAuthenticated),
            messageId=self.messageId,
            time=self.context.now(),
            tls=channel.tlsName,
            recipient=transaction.onlyRecipient,
            priority=transaction.envelope.priority,
        ).field()

    # --- Hooks -------------------------------------------------------------------------------------------------------

    async def _judged(
        self, policy: Policy, transaction: Transaction, source: MessageSource, header: bytes
    ) -> MessageSource | Reply:
        """The message as hooks leave it, or what they have against it."""
        refused = await self._shown(policy, transaction, source, header)
        if refused is not None or transaction.isDiscarded or not policy.concerns(Stage.END_OF_MESSAGE):
            return source if refused is None else refused
        decision = await policy.decide(Stage.END_OF_MESSAGE, envelope=transaction.asSeen, message=source)
        if decision.event.envelope is not None:
            transaction.wanted = decision.event.envelope
        refused = policy.ruled(decision, transaction)
        message = decision.event.message
        return refused or (source if message is None else message)

    async def _shown(self, policy: Policy, transaction: Transaction, source: MessageSource, header: bytes) -> Reply | None:
        """Field by field and piece by piece, to those who want to see it so."""
        if policy.concerns(Stage.HEADER):
            for field in scan(header):
                pair = (field.name.decode("utf-8", "surrogateescape"), field.rawValue.decode("utf-8", "surrogateescape"))
                refused = await policy.ask(Stage.HEADER, transaction, header=pair)
                if refused is not None or transaction.isDiscarded:
                    return refused
        if policy.concerns(Stage.BODY_CHUNK):
            for chunk in without(source, len(headerOf(source))).chunks(BODY_CHUNK):
                refused = await policy.ask(Stage.BODY_CHUNK, transaction, chunk=chunk)
                if refused is not None or transaction.isDiscarded:
                    return refused
        return None

    async def _readdress(self, transaction: Transaction, wanted: Envelope) -> None:
        """Begin the delivery anew with another envelope. Who was accepted before is accepted still; whom a hook adds and nobody
        knows is left out, and the log says so.

        :raises Refusal: a recipient that was accepted before is not any more.
        """
        transaction.delivery.abort()
        before = {recipient.address for recipient in transaction.recipients}
        envelope = evolve(wanted, recipients=())
        transaction.begin(envelope, self.context.router.begin(envelope, self.channel.peer))
        for recipient in wanted.recipients:
            try:
                await transaction.delivery.recipient(recipient)
            except Refusal as error:
                if error.isTemporary or recipient.address in before:
                    raise
                self.channel.faulted(f"a hook's recipient <{recipient.address}> is not known")
            else:
                transaction.accept(recipient)


def inOrder(recipients: Sequence[Recipient], outcomes: Sequence[Outcome], asked: Sequence[Recipient]) -> list[Outcome]:
    """Outcomes of the recipients that a client named, in its order, when hooks have changed them: whoever a hook removed has been
    seen to."""
    found = {recipient.address: outcome for recipient, outcome in zip(recipients, outcomes, strict=True)}
    return [found.get(recipient.address, _TAKEN) for recipient in asked]
