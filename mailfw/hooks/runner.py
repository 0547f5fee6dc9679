"""Runs the hooks of a stage, one after another, each seeing what those before it left.

Invariants:

- A hook that raises, answers what its stage does not know, or has not answered by its deadline, is a `TempFail`, or with
  `on_failure = "accept"` as good as not there. It is never taken for consent unless that was configured.
- What comes after a deadline has no effect.
- A hook that is a plain function never runs in the reactor's thread; one that is an `async def` is watched there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.hooks.deadline import Late, within
from mailfw.hooks.edits import applied
from mailfw.hooks.failure import Unanswered
from mailfw.hooks.threads import Threads
from mailfw.interfaces import IClosable, IHooks
from mailfw.net.watchdog import Watchdog
from mailfw.stages import (
    STAGES,
    Accept,
    AddHeader,
    ChangeHeader,
    Continue,
    Decision,
    DeleteHeader,
    Disconnect,
    Edit,
    Event,
    Quarantine,
    Reject,
    Result,
    Stage,
    TempFail,
)
from mailfw.tally import HookTally

CONTINUE = Continue()
FAILURE = TempFail(451, "4.3.0", "something went wrong here, try again later")
"""The answer for a hook that gives none."""

WAITING = 100
"""Calls of one hook that may be under way at once; more are as good as late."""

Hook = Callable[[Event], Any]
"""Takes an event; returns a result, None, or something to wait for."""


@define(eq=False)
class Attached:
    """A hook with what the configuration says of it.

    :ivar name: for the log. :ivar deadline: seconds. :ivar isOptional: its failure means no more than its absence.
    :ivar tally: where its calls are counted.
    """

    name: str
    hook: Hook
    deadline: float = 10.0
    isOptional: bool = False
    tally: HookTally = field(factory=HookTally)
    underWay: int = field(init=False, default=0)


@frozen
class _Failed:
    """A hook had nothing to say."""


@implementer(IHooks, IClosable)
class Hooks:
    """All hooks, by stage, in their order.

    :param reactor: IReactorTime, and IReactorFromThreads unless in tests.
    :param watchdog: the process's; None: one of our own.
    """

    log = Logger("mailfw.hooks")

    def __init__(self, chains: Mapping[Stage, Sequence[Attached]], reactor: Any, watchdog: Watchdog | None = None) -> None:
        self._chains = {stage: tuple(chain) for stage, chain in chains.items() if chain}
        self._reactor = reactor
        self._threads = Threads(reactor)
        self._watchdog = watchdog or Watchdog()
        self._isWatchdogOurs = watchdog is None
        self.stages: Collection[Stage] = frozenset(self._chains)

    async def ask(self, event: Event) -> Decision:
        """What the hooks of the event's stage come to. Never raises."""
        result: Result = CONTINUE
        edits: list[Edit] = []
        for attached in self._chains.get(event.stage, ()):
            said = await self._said(attached, event)
            if isinstance(said, Continue | Accept | Quarantine) and said.edits:
                try:
                    event = applied(event, said.edits)
                except Exception:
                    self.log.failure("edits of hook {hook} cannot be carried out", hook=attached.name)
                    if not attached.isOptional:
                        return Decision(FAILURE, event)
                    continue
                edits += said.edits
            if isinstance(said, Quarantine):
                result = said
                self.log.info("hook {hook} sends a message to Junk: {reason}", hook=attached.name, reason=said.reason)
            elif isinstance(said, Accept):
                result = said if result is CONTINUE else result
                break
            elif not isinstance(said, Continue):
                return Decision(said, event, tuple(edits))
        return Decision(result, event, tuple(edits))

    def tell(self, event: Event) -> None:
        """Let hooks know, without waiting for them."""
        if event.stage in self._chains:
            Deferred.fromCoroutine(self.ask(event))

    async def close(self) -> None:
        """Let go of threads. What hooks hold is for whoever opened them to close."""
        self._threads.close()
        if self._isWatchdogOurs:
            self._watchdog.close()

    # --- One hook ----------------------------------------------------------------------------------------------------

    async def _said(self, attached: Attached, event: Event) -> Result:
        """Its answer, or what stands for one that it did not give."""
        said: Any = _Failed
        began = perf_counter()
        if attached.underWay >= WAITING:
            self.log.error("hook {hook} is not asked: {count} calls of it are under way", hook=attached.name, count=WAITING)
        else:
            said = await self._asked(attached, event)
        attached.tally.calls.add(perf_counter() - began)
        if said is None:
            return CONTINUE
        if said is not _Failed and (wrong := _fault(said, event.stage)):
            self.log.error("hook {hook} answers {wrong}", hook=attached.name, wrong=wrong)
            said = _Failed
        if said is _Failed:
            attached.tally.failures += 1
            return CONTINUE if attached.isOptional else FAILURE
        answer: Result = said
        return answer

    async def _asked(self, attached: Attached, event: Event) -> Any:
        """What it returns, which may be anything."""
        attached.underWay += 1
        try:
            calling = self._called(attached, event)
        except Exception:
            attached.underWay -= 1
            self.log.failure("hook {hook} failed at {stage}", hook=attached.name, stage=event.stage.value)
            return _Failed
        calling.addBoth(_counted, attached)
        try:
            return await within(calling, attached.deadline, self._reactor)
        except Late:
            self.log.error(
                "hook {hook} has not answered {stage} within {seconds} s",
                hook=attached.name,
                stage=event.stage.value,
                seconds=attached.deadline,
            )
        except Unanswered as error:
            self.log.error("hook {hook} failed at {stage}: {why}", hook=attached.name, stage=event.stage.value, why=str(error))
        except (Exception, SystemExit):
            self.log.failure("hook {hook} failed at {stage}", hook=attached.name, stage=event.stage.value)
        return _Failed

    def _called(self, attached: Attached, event: Event) -> Deferred[Any]:
        hook = attached.hook
        if isAsync(hook):
            return Deferred.fromCoroutine(self._watchdog.watched(attached.name, hook(event)))
        return self._threads.run(lambda: hook(event))


def isAsync(hook: Hook) -> bool:
    """Whether it is to be called in the reactor's thread."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


def _counted(result: Any, attached: Attached) -> Any:
    attached.underWay -= 1
    return result


_STATUS = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}")
_CODES = {Reject: (500, 599), TempFail: (400, 499), Disconnect: (400, 599)}


def _fault(said: object, stage: Stage) -> str:
    """What is wrong with an answer; empty: nothing."""
    rules = STAGES[stage]
    if type(said) not in rules.results:
        return f"{said!r}, which is no answer at {stage.value}"
    if isinstance(said, Reject | TempFail | Disconnect):
        lowest, highest = _CODES[type(said)]
        isCode = isinstance(said.code, int) and lowest <= said.code <= highest
        isStatus = isinstance(said.enhanced, str) and _STATUS.fullmatch(said.enhanced) and said.enhanced[0] == str(said.code)[0]
        return "" if isCode and isStatus and isinstance(said.text, str) else f"{said!r}, which is no reply"
    for edit in getattr(said, "edits", ()):
        if type(edit) not in rules.edits:
            return f"{edit!r}, which is no edit at {stage.value}"
        if isinstance(edit, AddHeader | ChangeHeader | DeleteHeader) and not isinstance(edit.name, str):
            return f"{edit!r}, whose name is no text"
    return ""
