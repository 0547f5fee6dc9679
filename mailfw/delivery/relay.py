"""Takes from the queue what is due and brings it on its way, and writes down what became of it.

Recipients of one message in one lane – one destination – go together; `lanes` says how many at a time. What is due for a lane
that rests is put off with the words that made it rest, without another try.

Invariants:

- A recipient is settled exactly once for each lease, with whatever reports that makes necessary, in one transaction.
- No route can stop the relay: what one raises is the outcome of that message alone, and is logged.
- What is leased is bounded; leases are renewed while a delivery goes on, and given back when the relay stops before it began.
"""

from __future__ import annotations

import random as randomness
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mailfw.delivery.bounce import Bouncer, isAsked
from mailfw.delivery.lanes import Job, Lane, LaneInfo, Lanes, RelayLimits
from mailfw.delivery.local import LocalDelivery, expectOutcomes
from mailfw.delivery.policy import decide, outcomeOf, permitted, tellOf
from mailfw.delivery.queue import Entry, Filter, Report, Settlement
from mailfw.delivery.queue.entry import Leasing, Loan
from mailfw.delivery.queue.queue import CREW_MARK, LOCAL_LANE
from mailfw.delivery.queue.rows import isServed
from mailfw.delivery.routes import Routes
from mailfw.delivery.schedule import Schedule
from mailfw.delivery.verdict import Verdict, settled
from mailfw.errors import Refusal, Unavailable, Unreachable, Vanished
from mailfw.interfaces import IHooks, IQueuedRoute
from mailfw.stages import Stage
from mailfw.values import Address, Consequence, Fate, MessageSource, Outcome, Target

AT_ONCE, EACH = 500, 200
"""Recipients that are leased at once: of all lanes, of one lane."""

RECORD_AGAIN = 10.0
"""Seconds after which it is tried again to write down what became of a message."""


class Relay:
    """:param queue: in this process or another; it sorts what comes in into our lanes where it is ours.
    :param routes: by which messages leave; `replaceRoutes` changes them.
    :param local: delivers what is for our own store.
    :param schedule: when to try again, by domain.
    :param crew: the name of this worker, where another process owns the queue.
    :param reactor: for time.
    :ivar counts: how many recipients were settled, by fate.
    """

    log = Logger("mailfw.delivery")

    def __init__(
        self,
        queue: Leasing,
        routes: Routes,
        bouncer: Bouncer,
        reactor: Any,
        *,
        local: LocalDelivery | None = None,
        schedule: Callable[[str], Schedule] = lambda domain: Schedule(),
        limits: RelayLimits | None = None,
        crew: str = "",
        now: Callable[[], float] = time.time,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self.routes = routes
        self.schedule = schedule
        self._hooks: IHooks | None = None
        self.counts: Counter[Fate] = Counter()
        self._queue = queue
        self.bouncer = bouncer
        self._reactor = reactor
        self._local = local
        self._now = now
        self._random = random
        self._owner = (crew and crew + CREW_MARK) + secrets.token_hex(8)
        self._lanes = Lanes(limits or RelayLimits(), now, lambda name: self.routes.most(name))
        self._taken: dict[int, Entry] = {}  # leased, by id
        self._running: set[Deferred[None]] = set()
        self._timer: IDelayedCall | None = None
        self._pauses: set[IDelayedCall] = set()
        self._isPumping = False
        self._isAskedAgain = False
        self._isMore = False  # what is due was left in the queue, until something under way ends
        self._isStopping = False
        self._isCut = False
        self._unwatch: Callable[[], None] = lambda: None
        self._renewing = LoopingCall(self.renew)
        self._renewing.clock = reactor
        self._promised = 0  # recipients that are on loan, and not yet on disk
        queue.enlist(self, self.laneOf)

    @property
    def limits(self) -> RelayLimits:
        """What it keeps to; may be replaced."""
        return self._lanes.limits

    @limits.setter
    def limits(self, limits: RelayLimits) -> None:
        self._lanes.limits = limits

    @property
    def hooks(self) -> IHooks | None:
        """Who else has a say; None: nobody."""
        return self._hooks

    @hooks.setter
    def hooks(self, hooks: IHooks | None) -> None:
        self._hooks = hooks
        if self._local is not None:
            self._local.hooks = hooks

    def laneOf(self, address: Address, target: Target | None) -> str:
        """A recipient's lane is the destination on its route."""
        return LOCAL_LANE if target is not None else self.routes.lane(address)

    # --- The beginning and the end -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what is due."""
        self._unwatch = self._queue.watch(self.wake)
        self._renewing.start(self.limits.lease / 3, now=False)
        self.wake()

    async def reclaim(self) -> int:
        """Take back at once what a process that was killed had leased: only where this one is the only one of its name."""
        return await self._queue.reclaim(self._owner)

    def leases(self) -> tuple[str, list[int]]:
        """Our token, and the ids of the recipients that we have leased."""
        return self._owner, list(self._taken)

    async def stop(self, seconds: float = 10.0) -> None:
        """Begin nothing more, give back what was not begun, let what is under way end; after so many seconds cut it off."""
        self._isStopping = True
        self._unwatch()
        if self._renewing.running:
            self._renewing.stop()
        self._sleep()
        for pause in list(self._pauses):
            pause.reset(0)
        await self._giveBack(self._lanes.clear())
        cut = self._reactor.callLater(seconds, self.cutOff)
        while self._running:
            await DeferredList(list(self._running))
        if cut.active():
            cut.cancel()
        await self.routes.close()

    def cutOff(self) -> None:
        """End what is under way at once; what nobody has said anything about is given back."""
        self._isCut = True
        self._launch(self.routes.close())

    # --- Being steered -----------------------------------------------------------------------------------------------

    def replaceRoutes(self, routes: Routes) -> None:
        """From now on by these; the old ones are closed once nothing travels on them any more."""
        old, self.routes = self.routes, routes
        self._lanes.adapt()
        ended = DeferredList(list(self._running))
        ended.addCallback(lambda _: self._launch(old.close()))

    def forgive(self) -> None:
        """No destination rests any longer: somebody knows that it can be reached."""
        self._lanes.forgive()

    def lanes(self) -> list[LaneInfo]:
        """Destinations that something happens in, or that rest."""
        return self._lanes.infos()

    async def bounce(self, filter: Filter, text: str = "returned by the administrator") -> int:
        """Return what the filter means to its senders, now, whatever its state. → how many recipients."""
        count, after = 0, 0
        while entries := await self._queue.seize(filter, self._owner, self._now() + self.limits.lease, after):
            for message in {entry.message.id: entry.message for entry in entries}.values():
                job = [entry for entry in entries if entry.message.id == message.id]
                outcome = Outcome(Fate.FAILED, Refusal(text), text, "5.0.0")
                await self._settle(job, [outcome] * len(job), await self._queue.content(message))
            count, after = count + len(entries), entries[-1].id
        return count

    # --- Taking what comes in (Lender) -------------------------------------------------------------------------------

    def lend(self, lane: str, count: int) -> Loan | None:
        """A promise, where so many more can be begun with at once."""
        there = self._lanes[lane]
        isFull = (
            not isServed(lane, self.limits.only)
            or len(self._taken) + self._promised + count > self.limits.leased
            or self._lanes.active + self._promised >= self.limits.deliveries
        )
        isReady = self._renewing.running and not (isFull or there.isBusy or there.isBehind or there.restsUntil > self._now())
        if not isReady:
            there.isBehind = True  # nothing that comes later may overtake this
            return None
        there.promised += 1
        self._promised += count
        return Loan(lane, self._owner, self._now() + self.limits.lease)

    def taken(self, loan: Loan, count: int, entries: Sequence[Entry]) -> None:
        """Begin with them."""
        there = self._lanes[loan.lane]
        there.promised -= 1
        self._promised -= count
        if self._isStopping and entries:
            self._launch(self._giveBack(entries))
        elif entries:
            self._taken |= {entry.id: entry for entry in entries}
            self._lanes.add(loan.lane, Job(list(entries)))
            self._begin()

    # --- Taking what is due ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may be due."""
        self._isAskedAgain = True
        if not self._isPumping and not self._isStopping:
            self._isPumping = True
            self._launch(self._pump())

    def _launch(self, work: Any) -> None:
        running = Deferred.fromCoroutine(work)
        self._running.add(running)
        running.addErrback(lambda failure: self.log.failure("the relay stumbled", failure))
        running.addBoth(lambda _: self._running.discard(running))

    async def _pump(self) -> None:
        try:
            while self._isAskedAgain and not self._isStopping:
                self._isAskedAgain = False
                await self._take()
            if not self._isStopping:
                await self._setTimer()
        except Unavailable:  # the queue cannot be read now; it may later
            self._wakeIn(60.0)
        finally:
            self._isPumping = False

    async def _take(self) -> None:
        """Lease what there is room for, and begin with it."""
        room = self.limits.leased - len(self._taken)
        while room > 0 and not self._isStopping:
            busy = self._lanes.busy()
            until = self._now() + self.limits.lease
            entries = await self._queue.lease(self._owner, until, min(room, AT_ONCE), EACH, busy, self.limits.only)
            if self._isStopping:
                await self._giveBack(entries)
            if not entries or self._isStopping:
                self._lanes.caughtUp(busy)
                break
            jobs: dict[tuple[int, str, bool], Job] = {}
            for entry in entries:
                if entry.id in self._taken:
                    continue  # its lease ran out under our hands; now it has a new one
                self._taken[entry.id] = entry
                key = (entry.message.id, entry.lane, entry.target is None)
                jobs.setdefault(key, Job([])).entries.append(entry)
            for (_, name, _), job in jobs.items():
                self._lanes.add(name, job)
            self._begin()
            room = self.limits.leased - len(self._taken)
        self._isMore = room <= 0 or bool(self._lanes.busy())

    def _begin(self) -> None:
        """Begin with jobs whose turn it is."""
        if not self._isStopping:
            for lane, job in self._lanes.turns():
                self._launch(self._work(lane, job))

    async def _setTimer(self) -> None:
        due = await self._queue.nextDue(self._lanes.busy(), self.limits.only)
        if due is not None and not self._isStopping and len(self._taken) < self.limits.leased:
            self._wakeIn(due - self._now())

    def _wakeIn(self, seconds: float) -> None:
        self._sleep()
        self._timer = self._reactor.callLater(min(max(seconds, 0.01), 3600.0), self.wake)

    def _sleep(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def renew(self) -> None:
        """Have what is leased for longer; what a queue that cannot be reached knows nothing of stays ours as long as it was."""
        if self._taken:
            self._launch(self._renew(list(self._taken.values())))

    async def _renew(self, entries: Sequence[Entry]) -> None:
        try:
            await self._queue.renew(self._owner, entries, self._now() + self.limits.lease)
        except Unavailable as error:
            self.log.warn("leases of {count} recipients cannot be renewed: {error}", count=len(entries), error=error)

    async def _giveBack(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._taken.pop(entry.id, None)
        try:
            if entries:
                await self._queue.giveBack(self._owner, entries)
        except Unavailable as error:
            self.log.warn("{count} recipients wait until their leases end: {error}", count=len(entries), error=error)

    # --- Bringing ----------------------------------------------------------------------------------------------------

    async def _work(self, lane: Lane, job: Job) -> None:
        """One job, from its content to its settlement. The lane is free for another as soon as the hop has had its say."""
        try:
            try:
                content = await self._queue.content(job.entries[0].message)
                outcomes = await self._bring(lane, job.entries, content)
            finally:
                self._lanes.ended(lane)
                self._begin()
            await self._conclude(job.entries, outcomes, content)
        except Vanished:
            pass  # cancelled meanwhile
        except Unavailable as error:
            self.log.warn("queue {queueId} waits until its lease ends: {error}", queueId=job.entries[0].message.id, error=error)
        finally:
            for entry in job.entries:
                self._taken.pop(entry.id, None)
            if self._isMore:
                self.wake()

    async def _bring(self, lane: Lane, entries: Sequence[Entry], content: MessageSource) -> list[Outcome]:
        if lane.restsUntil > self._now() and lane.trouble is not None:
            return [_unreached(lane.trouble)] * len(entries)
        try:
            outcomes = await self._attempt(entries, content)
        except Unreachable as error:
            if error.isTemporary and not self._isStopping:
                self._lanes.rest(lane, error)
            return [_unreached(error)] * len(entries)
        self._lanes.reached(lane)
        return outcomes

    async def _conclude(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], content: MessageSource) -> None:
        """Settle; what was cut off by our stopping is given back, for that is no attempt."""
        pairs = list(zip(entries, outcomes, strict=True))
        if self._isCut:
            await self._giveBack([entry for entry, outcome in pairs if outcome.fate is Fate.DEFERRED])
            pairs = [(entry, outcome) for entry, outcome in pairs if outcome.fate is not Fate.DEFERRED]
        for entry, outcome in pairs:
            if outcome.consequences:  # alone, so that they are queued only where this one was ours to say
                await self._settle([entry], [outcome], content)
        pairs = [(entry, outcome) for entry, outcome in pairs if not outcome.consequences]
        if pairs:
            await self._settle([entry for entry, _ in pairs], [outcome for _, outcome in pairs], content)

    async def _attempt(self, entries: Sequence[Entry], content: MessageSource) -> list[Outcome]:
        """One outcome for each. :raises Unreachable:"""
        try:
            if self._hooks is not None:
                refused, content = await self._consulted(self._hooks, entries, content)
                if refused is not None:
                    return [refused] * len(entries)
            if entries[0].target is not None:
                return await self._store(entries, content)
            return await self._send(entries, content)
        except Unreachable:
            raise
        except Exception as error:
            if not isinstance(error, Refusal):
                self.log.failure("a route failed with message {id}", id=entries[0].message.id)
                error = Unavailable()
            return [_refused(error)] * len(entries)

    async def _consulted(
        self, hooks: IHooks, entries: Sequence[Entry], content: MessageSource
    ) -> tuple[Outcome | None, MessageSource]:
        """What hooks want to become of it, if not that it goes on; and the message as they leave it."""
        envelope = evolve(entries[0].message.envelope, recipients=tuple(entry.recipient for entry in entries))
        decision = await decide(hooks, Stage.ROUTE, envelope=envelope, recipient=entries[0].recipient)
        if decision is not None and (outcome := outcomeOf(decision.result)) is not None:
            return outcome, content
        decision = await decide(hooks, Stage.BEFORE_DELIVERY, envelope=envelope, message=content)
        if decision is None:
            return None, content
        return outcomeOf(decision.result), decision.event.message or content

    async def _store(self, entries: Sequence[Entry], content: MessageSource) -> list[Outcome]:
        if self._local is None:
            raise Unavailable("there is no store")
        groups = [[entry.target] if entry.target is not None else [] for entry in entries]
        return await self._local.deliver(content, entries[0].message.envelope.sender, groups)

    async def _send(self, entries: Sequence[Entry], content: MessageSource) -> list[Outcome]:
        route, message = self.routes.of(entries[0].recipient.address), entries[0].message
        if IQueuedRoute.providedBy(route):
            delivery = IQueuedRoute(route).beginQueued(message.envelope, message.id, message.arrived)
        else:
            delivery = route.begin(message.envelope)
        outcomes: list[Outcome | None] = []
        for entry in entries:
            try:
                await delivery.recipient(entry.recipient)
                outcomes.append(None)
            except Unreachable:
                raise
            except Refusal as error:
                outcomes.append(_refused(error))
        if None not in outcomes:
            delivery.abort()
            return [outcome for outcome in outcomes if outcome is not None]
        found = iter(expectOutcomes(await delivery.commit(content), outcomes.count(None)))
        return [outcome or next(found) for outcome in outcomes]

    # --- Settling ----------------------------------------------------------------------------------------------------

    async def _settle(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], content: MessageSource) -> None:
        """Write down what became of recipients of one message."""
        now = self._now()
        verdicts: list[Verdict] = []
        settlements: list[Settlement] = []
        for entry, outcome in zip(entries, outcomes, strict=True):
            address = entry.recipient.address
            schedule = self.routes.schedule(address) or self.schedule(address.domain)
            verdict = settled(entry, outcome, schedule, now, self._random)
            verdicts.append(verdict)
            settlements.append(verdict.settlement)
        tidings = [verdict.tidings for verdict in verdicts if verdict.tidings is not None]
        reports = await permitted(self._hooks, self.bouncer.reports(entries[0].message, tidings, content))
        consequences = [each for outcome in outcomes for each in outcome.consequences]
        isOurs = await self._record(settlements, reports, consequences)
        for entry, outcome, verdict in zip(entries, outcomes, verdicts, strict=True):
            self._log(entry, outcome, verdict, now)
            if isOurs:
                self.counts[verdict.settlement.fate] += 1
                tellOf(self._hooks, entry, outcome, verdict.settlement)

    async def _record(
        self, settlements: Sequence[Settlement], reports: Sequence[Report], consequences: Sequence[Consequence] = ()
    ) -> bool:
        """Write it down; where the disk does not take it, again and again, for whoever has the message must not get it twice.

        :returns: whether it was ours to say.
        :raises Unavailable: it cannot be written, and the relay stops.
        """
        while True:
            try:
                return await self._queue.settle(self._owner, settlements, reports, consequences)
            except Unavailable:
                self.log.error(
                    "what became of {count} recipients of queue {queueId} cannot be written down",
                    count=len(settlements),
                    queueId=settlements[0].entry.message.id,
                )
                if self._isStopping:
                    raise
                await self._pause(RECORD_AGAIN)

    async def _pause(self, seconds: float) -> None:
        """Wait; not any longer when the relay stops."""
        waiting: Deferred[None] = Deferred()
        timer = self._reactor.callLater(seconds, waiting.callback, None)
        self._pauses.add(timer)
        await waiting
        self._pauses.discard(timer)

    def _log(self, entry: Entry, outcome: Outcome, verdict: Verdict, now: float) -> None:
        """One line for each attempt, from which `mailfw trace` tells the life of a message."""
        settlement = verdict.settlement
        then = f"again in {(settlement.due - now) / 60:.0f} min" if settlement.due is not None else ""
        if verdict.tidings is not None and isAsked(entry.message.envelope, verdict.tidings):
            then += f"{then and ', '}the sender is told"
        self.log.info(
            "queue {queueId} from <{sender}> to <{recipient}>: {fate} {status} {host} ({said}){then}",
            queueId=entry.message.id,
            sender=str(entry.message.envelope.sender or ""),
            recipient=str(entry.recipient.address),
            fate="failed" if settlement.isFailure else outcome.fate.value,
            status=settlement.status,
            host=outcome.host or "here",
            said=settlement.reply,
            attempt=entry.attempts + 1,
            then=then and f"; {then}",
        )


def _refused(error: Refusal) -> Outcome:
    return Outcome(Fate.DEFERRED if error.isTemporary else Fate.FAILED, error, error.text)


def _unreached(error: Unreachable) -> Outcome:
    fate = Fate.DEFERRED if error.isTemporary else Fate.FAILED
    return Outcome(fate, error, error.text, error.status, error.host)
