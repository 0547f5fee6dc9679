"""What hooks have to say where mail goes: asked by the router, the relay and whoever brings messages into the store.

Without hooks at a stage nothing is asked and nothing waits. Where a result has a code, SMTP's own stages send it; here only its
class counts (for good, or for now) with its status and its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from mailfw.delivery.queue import Entry, Report, Settlement
from mailfw.delivery.verdict import EXPIRED, TOO_LATE
from mailfw.errors import NoPermission, Refusal, TemporaryRefusal
from mailfw.interfaces import IHooks
from mailfw.stages import Decision, Discard, Event, Reject, Result, Stage, TempFail
from mailfw.values import Fate, Outcome

JUNK = "Junk"
"""The mailbox for what hooks quarantine."""

DISCARDED = Outcome(Fate.DELIVERED, remark="discarded")


async def decide(hooks: IHooks | None, stage: Stage, **facts: Any) -> Decision | None:
    """What the hooks of a stage come to; None: there are none. :param facts: attributes of `stages.Event`."""
    if hooks is None or stage not in hooks.stages:
        return None
    return await hooks.ask(Event(stage, **facts))


def tell(hooks: IHooks | None, stage: Stage, **facts: Any) -> None:
    """Let the hooks of a stage know."""
    if hooks is not None and stage in hooks.stages:
        hooks.tell(Event(stage, **facts))


def refusalOf(result: Result) -> Refusal | None:
    """The refusal that a result is; None: it is none."""
    if isinstance(result, Reject):
        return NoPermission(result.text)
    return TemporaryRefusal(result.text) if isinstance(result, TempFail) else None


def outcomeOf(result: Result) -> Outcome | None:
    """What becomes of a message by that result; None: that is open still."""
    if isinstance(result, Reject):
        return Outcome(Fate.FAILED, NoPermission(result.text), result.text, result.enhanced)
    if isinstance(result, TempFail):
        return Outcome(Fate.DEFERRED, TemporaryRefusal(result.text), result.text, result.enhanced)
    return DISCARDED if isinstance(result, Discard) else None


async def permitted(hooks: IHooks | None, reports: Sequence[Report]) -> list[Report]:
    """The reports that no hook wants unsaid."""
    kept = []
    for submission, content in reports:
        decision = await decide(hooks, Stage.DSN_CREATED, envelope=submission.envelope, message=content)
        if decision is None or not isinstance(decision.result, Discard):
            kept.append((submission, content))
    return kept


def tellOf(hooks: IHooks | None, entry: Entry, outcome: Outcome, settlement: Settlement) -> None:
    """Let hooks know what an attempt came to."""
    if hooks is None:
        return
    outcome = evolve(outcome, status=settlement.status)
    facts = {"envelope": entry.message.envelope, "recipient": entry.recipient, "outcome": outcome}
    if outcome.host:
        tell(hooks, Stage.SMTP_RESPONSE, **facts)
    stage = Stage.DELIVERED
    if settlement.due is not None:
        stage = Stage.DEFERRED
    elif settlement.isFailure:
        isLate = outcome.fate is Fate.DEFERRED and settlement.status in (EXPIRED, TOO_LATE)
        stage = Stage.EXPIRED if isLate else Stage.BOUNCED
    tell(hooks, stage, **facts)
