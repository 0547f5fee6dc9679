"""What hooks have to say in one session. A session that none of them concerns has no `Policy`, and pays nothing."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from mailfw.interfaces import IHooks
from mailfw.smtp.reply import Reply, reply
from mailfw.smtp.transaction import Transaction
from mailfw.stages import Client, Decision, Discard, Disconnect, Event, Quarantine, Reject, Stage, TempFail


class Policy:
    """:ivar client: as hooks see it; the session keeps it true.
    :ivar isOver: a hook wants the connection closed.
    """

    def __init__(self, hooks: IHooks, client: Client) -> None:
        self.client = client
        self.isOver = False
        self._hooks = hooks

    def knows(self, **facts: Any) -> None:
        """Something about the client is different now: attributes of `stages.Client`."""
        self.client = evolve(self.client, **facts)

    def concerns(self, stage: Stage) -> bool:
        """Whether there are hooks at that stage."""
        return stage in self._hooks.stages

    async def decide(self, stage: Stage, **facts: Any) -> Decision:
        """What the hooks of a stage come to. :param facts: attributes of `stages.Event`."""
        return await self._hooks.ask(Event(stage, self.client, **facts))

    async def ask(self, stage: Stage, transaction: Transaction | None = None, **facts: Any) -> Reply | None:
        """What is to be answered in place of what would be; None: nothing is against it."""
        if stage not in self._hooks.stages:
            return None
        if transaction is not None:
            facts["envelope"] = transaction.asSeen
        return self.ruled(await self.decide(stage, **facts), transaction)

    def ruled(self, decision: Decision, transaction: Transaction | None = None) -> Reply | None:
        """What a decision means for the session: a reply, or something that the transaction remembers."""
        result = decision.result
        if isinstance(result, Discard) and transaction is not None:
            transaction.isDiscarded = True
        elif isinstance(result, Quarantine) and transaction is not None:
            transaction.envelope = evolve(transaction.envelope, isQuarantined=True)
        elif isinstance(result, Reject | TempFail | Disconnect):
            self.isOver = isinstance(result, Disconnect) or result.code == 421
            return reply(result.code, result.enhanced, *(result.text.splitlines() or [""]))
        return None

    def tell(self, stage: Stage) -> None:
        """Let hooks know."""
        if stage in self._hooks.stages:
            self._hooks.tell(Event(stage, self.client))
