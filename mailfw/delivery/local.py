"""Delivery into our own store: the last hop, which stamps Return-Path (RFC 5321 §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import evolve
from twisted.logger import Logger

from mailfw.delivery.policy import JUNK, decide, outcomeOf, tell
from mailfw.errors import OverQuota, Refusal, Unavailable
from mailfw.interfaces import IHooks, IMailStore
from mailfw.stages import Quarantine, Stage
from mailfw.tally import Tally
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Target


def returnPath(sender: Address | None) -> bytes:
    """The field that keeps the envelope's sender."""
    return f"Return-Path: <{sender or ''}>\r\n".encode()


class LocalDelivery:
    """Brings messages to targets in one store.

    :ivar hooks: are asked about each; None: there are none.
    """

    _log = Logger("mailfw.delivery")

    def __init__(self, store: IMailStore, tally: Tally | None = None) -> None:
        self._store = store
        self._counts = (tally or Tally()).deliveries
        self.hooks: IHooks | None = None

    async def mustHaveRoom(self, targets: Sequence[Target]) -> None:
        """:raises OverQuota: not one of the targets has room for anything more."""
        full: OverQuota | None = None
        for target in targets:
            try:
                await self._store.mustHaveRoom(target.account, 0)
            except OverQuota as refusal:
                full = refusal
            else:
                return
        if full is not None:
            raise full

    async def deliver(self, message: MessageSource, sender: Address | None, groups: Sequence[Sequence[Target]]) -> list[Outcome]:
        """Deliver to each group of targets, a group being what one recipient leads to; outcomes in their order.

        However many recipients lead to a mailbox, it gets the message once.
        """
        return [merged(outcomes) for outcomes in await self.deliverEach(message, sender, groups)]

    async def deliverEach(
        self, message: MessageSource, sender: Address | None, groups: Sequence[Sequence[Target]]
    ) -> list[list[Outcome]]:
        """As `deliver`, with an outcome for each target of each group."""
        targets: dict[tuple[str, str], Target] = {}
        for group in groups:
            for target in group:
                targets.setdefault((target.account, target.mailbox), target)
        if not targets:
            return [[] for _ in groups]
        bring = self._bring if self.hooks is None else partial(self._bringAsked, self.hooks, Envelope(sender))
        outcomes = await bring(message.withPrefix(returnPath(sender)), list(targets.values()))
        found = dict(zip(targets, outcomes, strict=True))
        for outcome in outcomes:
            self._counts[outcome.fate] += 1
        return [[found[target.account, target.mailbox] for target in group] for group in groups]

    async def _bringAsked(
        self, hooks: IHooks, envelope: Envelope, message: MessageSource, targets: Sequence[Target]
    ) -> list[Outcome]:
        """As `_bring`, with hooks asked about each target. Who gets the same message gets it in one step still."""
        found: dict[Target, Outcome] = {}
        together: dict[MessageSource, list[tuple[Target, Target]]] = {}
        for target in targets:
            decision = await decide(hooks, Stage.BEFORE_STORE, envelope=envelope, target=target, message=message)
            outcome = None if decision is None else outcomeOf(decision.result)
            if outcome is not None:
                found[target] = outcome
                continue
            isJunk = decision is not None and isinstance(decision.result, Quarantine)
            to = evolve(target, mailbox=JUNK) if isJunk else target
            edited = message if decision is None or decision.event.message is None else decision.event.message
            together.setdefault(edited, []).append((target, to))
        for edited, pairs in together.items():
            outcomes = await self._bring(edited, [to for _, to in pairs])
            for (target, to), outcome in zip(pairs, outcomes, strict=True):
                found[target] = outcome
                tell(hooks, Stage.STORED, envelope=envelope, target=to, outcome=outcome)
        return [found[target] for target in targets]

    async def _bring(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        try:
            return expectOutcomes(await self._store.deliver(message, targets), len(targets))
        except (Exception, SystemExit) as error:
            if not isinstance(error, Refusal):
                self._log.failure("the store failed to deliver")
                error = Unavailable()
            return [Outcome(Fate.DEFERRED, error)] * len(targets)


def expectOutcomes(said: object, count: int) -> list[Outcome]:
    """What a store or route says became of so many. :raises ValueError: it is not that."""
    if not isinstance(said, Sequence) or not all(isinstance(outcome, Outcome) for outcome in said):
        raise ValueError(f"{said!r:.80} is no list of outcomes")
    if len(said) != count:
        raise ValueError(f"there are {len(said)} outcomes for {count}")
    return list(said)


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for a recipient that leads to several places: not taken while one of them has not taken it.

    A place that may take it later outweighs one that never will, so that the sender tries again.
    """
    if len(outcomes) == 1:
        return outcomes[0]
    for fate in (Fate.DEFERRED, Fate.FAILED):
        for outcome in outcomes:
            if outcome.fate is fate:
                return outcome
    return Outcome(Fate.DELIVERED, remark="; ".join(outcome.remark for outcome in outcomes if outcome.remark))
