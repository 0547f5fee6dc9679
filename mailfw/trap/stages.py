"""What a trap does at the stages of a message: it fails where a test has asked for it, and rings when something has arrived."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from attrs import define
from zope.interface import implementer

from mailfw.interfaces import IHooks
from mailfw.stages import STAGES, Continue, Decision, Disconnect, Event, Reject, Result, Stage, TempFail

_ARRIVED = frozenset({Stage.STORED, Stage.MESSAGE_QUEUED})
_REPLY = re.compile(r"([45]\d\d)(?: ([45]\.\d{1,3}\.\d{1,3}))?(?: ([^\r\n]*))?")


@define(eq=False)
class Failure:
    """What is answered instead. :ivar times: how often yet. :ivar recipient: whom it is about; empty: anybody.

    :ivar reply: as it was asked for.
    """

    result: Result
    times: int
    recipient: str = ""
    reply: str = ""

    def concerns(self, event: Event) -> bool:
        """Whether the event is about that recipient."""
        about = event.recipient.address if event.recipient is not None else None
        return not self.recipient or (about is not None and str(about).lower() == self.recipient.lower())


@implementer(IHooks)
class Stages:
    """:param arrived: called when a message is in the store, or in the queue."""

    stages: Collection[Stage] = frozenset(stage for stage, rules in STAGES.items() if TempFail in rules.results) | _ARRIVED

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self.failures: dict[Stage, list[Failure]] = {}

    def failNext(self, reply: str, stage: str, times: int = 1, recipient: str = "") -> None:
        """:raises ValueError: that is no reply of an error, or nobody is answered at that stage."""
        at = Stage(stage)
        self.failures.setdefault(at, []).append(Failure(_result(reply, at), times, recipient, reply))

    def unmet(self) -> list[str]:
        """Failures that were asked for and that nobody has come to yet, in words."""
        return [
            f'"{failure.reply}" at {stage.value}'
            + (f" for {failure.recipient}" if failure.recipient else "")
            + (f", {failure.times} times" if failure.times > 1 else "")
            for stage, failures in self.failures.items()
            for failure in failures
        ]

    async def ask(self, event: Event) -> Decision:
        """The next failure that is asked for there, or nothing against it."""
        waiting = self.failures.get(event.stage, [])
        for failure in waiting:
            if failure.concerns(event):
                failure.times -= 1
                if not failure.times:
                    waiting.remove(failure)
                return Decision(failure.result, event)
        return Decision(Continue(), event)

    def tell(self, event: Event) -> None:
        """Ring for what has arrived."""
        if event.stage in _ARRIVED:
            self._arrived()


def _result(reply: str, stage: Stage) -> Result:
    """What a hook answers so that a client hears that reply."""
    match = _REPLY.fullmatch(reply)
    if match is None or (match[2] and match[2][0] != reply[0]):
        raise ValueError(f'"{reply}" is no reply of an error: write "451 4.7.1 try again later"')
    code, enhanced, text = int(match[1]), match[2] or f"{reply[0]}.0.0", match[3] or "refused by the test"
    results = STAGES[stage].results
    if TempFail not in results:
        raise ValueError(f"nobody is answered at {stage.value}")
    if code == 421 and Disconnect in results:
        return Disconnect(code, enhanced, text)
    return Reject(code, enhanced, text) if code >= 500 else TempFail(code, enhanced, text)
