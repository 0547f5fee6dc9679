"""Lanes: one for each destination, with what waits for its turn there, and what the destination has shown to bear.

A lane has so many deliveries under way at a time: one more with each success, half as many when the destination cannot be
reached; and then it rests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from attrs import define, field, frozen

from mailfw.delivery.queue import Entry
from mailfw.errors import Unreachable

REMEMBERED = 10_000
"""Lanes above which those are forgotten that nothing happens in."""


@frozen
class RelayLimits:
    """:ivar lease: seconds of a lease; it is renewed thrice in that time.
    :ivar deliveries: under way at a time, all lanes together.
    :ivar perLane: of one lane; it begins with `initial`.
    :ivar leased: recipients that are taken from the queue at a time.
    :ivar rest: seconds that a lane rests when it cannot be reached the first time; twice as many each time, up to `longestRest`.
    :ivar only: the one lane that is served, or with a `*` at its end all that begin so; empty: all.
    """

    lease: float = 900.0
    deliveries: int = 100
    perLane: int = 20
    initial: int = 5
    leased: int = 1000
    rest: float = 30.0
    longestRest: float = 600.0
    only: str = ""


@define(eq=False)
class Job:
    """Recipients of one message in one lane."""

    entries: list[Entry]


@define(eq=False)
class Lane:
    """:ivar limit: deliveries that may be under way; :ivar most: what that may become; 0: as `RelayLimits` has it.
    :ivar active: deliveries that are under way; :ivar promised: loans not on disk yet.
    :ivar isBehind: something may wait for it in the queue, so that nothing that comes later may overtake that.
    :ivar failures: times in a row that the destination could not be reached; :ivar trouble: why, while it rests.
    """

    limit: int
    most: int = 0
    active: int = 0
    promised: int = 0
    isBehind: bool = False
    failures: int = 0
    restsUntil: float = 0.0
    trouble: Unreachable | None = None
    waiting: deque[Job] = field(factory=deque)

    @property
    def isBusy(self) -> bool:
        """Whether it takes nothing more now."""
        return bool(self.waiting) or self.active + self.promised >= self.limit


@frozen
class LaneInfo:
    """A destination at this moment, for people.

    :ivar active: deliveries under way; :ivar limit: how many there may be; :ivar waiting: messages that wait for a place.
    :ivar restsUntil: seconds since the epoch, UTC; 0: it does not rest. :ivar trouble: why it rests.
    """

    name: str
    active: int
    limit: int
    waiting: int
    restsUntil: float = 0.0
    trouble: str = ""


def together(infos: Iterable[LaneInfo]) -> list[LaneInfo]:
    """Those of several relays as one: a destination rests when it does for all who know of it, until the first goes on."""
    found: dict[str, LaneInfo] = {}
    for each in infos:
        other = found.setdefault(each.name, each)
        if other is not each:
            rest = min(other.restsUntil, each.restsUntil)
            sums = other.active + each.active, other.limit + each.limit, other.waiting + each.waiting
            found[each.name] = LaneInfo(each.name, *sums, rest, (other.trouble or each.trouble) if rest else "")
    return list(found.values())


class Lanes:
    """All lanes of one relay.

    :param most: how many deliveries of a lane there may be at a time; 0: as for all.
    :ivar limits: may be replaced. :ivar active: deliveries under way, all lanes together.
    """

    def __init__(self, limits: RelayLimits, now: Callable[[], float], most: Callable[[str], int] = lambda name: 0) -> None:
        self.limits = limits
        self._most = most
        self.active = 0
        self._now = now
        self._lanes: dict[str, Lane] = {}
        self._waiting: dict[str, Lane] = {}  # those in which something waits for its turn

    def __getitem__(self, name: str) -> Lane:
        """That lane, which is made where there was none."""
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) > REMEMBERED:
                self._forget()
            most = self._most(name)
            lane = self._lanes[name] = Lane(min(self.limits.initial, most or self.limits.initial), most)
        return lane

    def _forget(self) -> None:
        """Lanes that nothing happens in, and that do not rest."""
        now = self._now()
        self._lanes = {
            name: lane
            for name, lane in self._lanes.items()
            if lane.isBusy or lane.isBehind or lane.active or lane.promised or lane.restsUntil > now
        }

    def busy(self) -> set[str]:
        """Those that take nothing more now."""
        return {name for name, lane in self._lanes.items() if lane.isBusy}

    def caughtUp(self, busy: set[str]) -> None:
        """Nothing is due but in those lanes."""
        for name, lane in self._lanes.items():
            if name not in busy:
                lane.isBehind = False

    # --- Turns -------------------------------------------------------------------------------------------------------

    def add(self, name: str, job: Job) -> None:
        """Let a job wait for its turn in its lane."""
        lane = self[name]
        lane.waiting.append(job)
        self._waiting[name] = lane

    def turns(self) -> Iterator[tuple[Lane, Job]]:
        """Jobs whose turn it is, as far as limits allow; each is under way from now on, until `ended`. Lanes that keep some
        waiting go to the end of the row."""
        for name, lane in list(self._waiting.items()):
            while lane.waiting and lane.active < lane.limit and self.active < self.limits.deliveries:
                lane.active += 1
                self.active += 1
                yield lane, lane.waiting.popleft()
            self._waiting.pop(name, None)
            if lane.waiting:
                self._waiting[name] = lane

    def ended(self, lane: Lane) -> None:
        """A delivery of that lane's is not under way any more."""
        lane.active -= 1
        self.active -= 1

    def clear(self) -> list[Entry]:
        """Whatever waits does so no longer. → what waited."""
        idle = [entry for lane in self._lanes.values() for job in lane.waiting for entry in job.entries]
        for lane in self._lanes.values():
            lane.waiting.clear()
        return idle

    # --- What destinations bear --------------------------------------------------------------------------------------

    def reached(self, lane: Lane) -> None:
        """The destination has had its say."""
        lane.failures, lane.trouble = 0, None
        lane.limit = min(lane.limit + 1, lane.most or self.limits.perLane)

    def rest(self, lane: Lane, error: Unreachable) -> None:
        """It could not be reached, for the moment."""
        lane.trouble = error
        if lane.restsUntil > self._now():
            return  # deliveries that were under way together fail together
        lane.failures += 1
        seconds = min(self.limits.rest * 2 ** min(lane.failures - 1, 10), self.limits.longestRest)
        lane.restsUntil = self._now() + seconds
        lane.limit = max(1, lane.limit // 2)

    def adapt(self) -> None:
        """What lanes may become is to be asked anew."""
        for name, lane in self._lanes.items():
            lane.most = self._most(name)
            lane.limit = min(lane.limit, lane.most or self.limits.perLane)

    def forgive(self) -> None:
        """None rests any longer."""
        for lane in self._lanes.values():
            lane.restsUntil, lane.trouble = 0.0, None

    def infos(self) -> list[LaneInfo]:
        """Those that something happens in, or that rest."""
        now = self._now()
        return [
            LaneInfo(
                name,
                lane.active,
                lane.limit,
                len(lane.waiting),
                lane.restsUntil if lane.restsUntil > now else 0.0,
                lane.trouble.text if lane.trouble is not None and lane.restsUntil > now else "",
            )
            for name, lane in self._lanes.items()
            if lane.active or lane.waiting or lane.restsUntil > now
        ]
