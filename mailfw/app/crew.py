"""Workers in other processes, as the process sees them that owns the queue: what they may do with it, over the control socket.

Invariants:

- A worker is given nothing that is for our own store or functions: the lanes of these are ours, and what waits in another one
  since domains or routes were changed is put into it first.
- A bell is rung for a worker once, until it has looked; so a thousand messages that come in ring for it once.
- What is leased for a worker that was not told of it is given back: at once where the worker went away, or when it comes back and
  does not name it. A worker that comes under the name of one that is gone takes the place of that one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from mailfw import __version__
from mailfw.app.problem import Problem
from mailfw.delivery.lanes import LaneInfo
from mailfw.delivery.queue import Entry, Filter, Queue, QueuedMessage, Report, Submission
from mailfw.delivery.queue.entry import OWN_LANES, LaneOf
from mailfw.delivery.queue.queue import CREW_MARK, LOCAL_LANE
from mailfw.delivery.queue.wire import pack, packEntries, unpack, unpackEntries, unpackSettlements
from mailfw.values import Envelope, Fate, MessageSource

NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
"""What workers are called."""

Tell = Callable[[bool], object]
"""Rings for a worker; says whether no destination needs to rest any longer."""

Ask = Callable[[], "Deferred[list[LaneInfo]]"]
"""Asks a worker what its relay is doing."""

PATIENCE = 1.0
"""Seconds for which a worker is waited for that was asked."""

Answer = tuple[Any, bytes]
"""What JSON can say, and octets."""

_log = Logger("mailfw.app")


class Crew:
    """All workers that are connected.

    :param laneOf: where a recipient is scheduled by now.
    :param reactor: for time.
    :ivar counts: how many recipients workers have settled, by fate; those who are gone by now too.
    """

    def __init__(self, queue: Queue, laneOf: LaneOf, reactor: Any) -> None:
        self.queue = queue
        self.laneOf = laneOf
        self.members: list[Member] = []
        self.counts: Counter[Fate] = Counter()
        self._reactor = reactor

    def member(self, tell: Tell, ask: Ask) -> Member:
        """Whoever has connected; a worker once it says so."""
        return Member(self, tell, ask)

    def names(self) -> list[str]:
        """Of all workers."""
        return sorted(member.name for member in self.members)

    async def lanes(self) -> list[LaneInfo]:
        """Destinations that something happens in, or that rest, of all workers that say so in time."""
        asked = [member.lanes().addTimeout(PATIENCE, self._reactor) for member in self.members]
        answers = await DeferredList(asked, consumeErrors=True)
        return [lane for isAnswered, lanes in answers if isAnswered for lane in lanes]

    def forgive(self) -> None:
        """Let no destination rest any longer."""
        for member in self.members:
            member.forgive()


class Member:
    """What one connection does with the queue.

    :ivar name: of the worker; empty: it has not said yet that it is one. :ivar lanes: asks what its relay does.
    """

    def __init__(self, crew: Crew, tell: Tell, ask: Ask) -> None:
        self.name = ""
        self._crew = crew
        self._queue = crew.queue
        self._tell = tell
        self.lanes = ask
        self._isRung = False
        self._isGone = False
        self._unwatch: Callable[[], None] = lambda: None

    async def perform(self, operation: str, arguments: dict[str, Any], octets: bytes) -> Answer:
        """Do it. :raises Problem: it cannot be done. :raises Unavailable, Vanished: as `Queue` does."""
        method = self._OPERATIONS.get(operation)
        if method is None or not (self.name or operation == "join"):
            raise Problem(f'"{operation}" is nothing that a worker does here')
        return await method(self, octets, **arguments)

    def leave(self) -> None:
        """The connection is gone; its leases stay until they end, for the worker may be at work still."""
        self._isGone = True
        self._unwatch()
        if self in self._crew.members:
            self._crew.members.remove(self)
            _log.info("worker {name} is gone", name=self.name)

    def forgive(self) -> None:
        """Tell the worker that no destination needs to rest."""
        self._tell(True)

    def _ring(self) -> None:
        if not self._isRung:
            self._isRung = True
            self._tell(False)

    # --- Operations --------------------------------------------------------------------------------------------------

    async def _join(self, octets: bytes, name: str, version: str, owner: str, kept: Sequence[int]) -> Answer:
        """Begin, or go on, with those leases; whatever else the name has is free, for whoever had it before is gone."""
        if version != __version__:
            raise Problem(f"the server is mailfw {__version__}, this worker {version}: start it anew")
        if not NAME.fullmatch(name):
            raise Problem(f'"{name}" is no name for a worker: letters, digits, ".", "_" and "-", 32 at most')
        if not self.name:
            self.name = name
            await self._queue.reclaim(self._own(owner), frozenset(kept))
            if self._isGone:
                return None, b""
            self._crew.members.append(self)
            self._unwatch = self._queue.watch(self._ring)
            _log.info("worker {name} relays", name=name)
        return None, b""

    async def _nextDue(self, octets: bytes, without: Sequence[str], only: str) -> Answer:
        self._isRung = False
        return await self._queue.nextDue({*without, OWN_LANES}, only), b""

    async def _lease(
        self, octets: bytes, owner: str, until: float, limit: int, each: int, without: Sequence[str], only: str
    ) -> Answer:
        self._isRung = False
        owner = self._own(owner)
        entries = await self._queue.lease(owner, until, limit, each, {*without, OWN_LANES}, only)
        ours = [entry for entry in entries if self._isOurs(entry)]
        if ours:
            await self._queue.giveBack(owner, ours, lane=LOCAL_LANE)
        theirs = [entry for entry in entries if not self._isOurs(entry)]
        if self._isGone and theirs:
            await self._queue.giveBack(owner, theirs)
        return packEntries(theirs), b""

    async def _renew(self, octets: bytes, owner: str, entries: Any, until: float) -> Answer:
        await self._queue.renew(self._own(owner), unpackEntries(entries), until)
        return None, b""

    async def _giveBack(self, octets: bytes, owner: str, entries: Any) -> Answer:
        await self._queue.giveBack(self._own(owner), unpackEntries(entries))
        return None, b""

    async def _reclaim(self, octets: bytes, owner: str) -> Answer:
        return await self._queue.reclaim(self._own(owner)), b""

    async def _content(self, octets: bytes, message: Any) -> Answer:
        source = await self._queue.content(unpack(QueuedMessage, message))
        if source.path:
            return [source.path, source.length], b""  # on the same machine and as the same user it is the shortest way
        return None, source.read()

    async def _settle(self, octets: bytes, owner: str, settlements: Any, reports: Sequence[Any]) -> Answer:
        told: list[Report] = []
        start = 0
        for envelope, size in reports:
            told.append((Submission(unpack(Envelope, envelope)), MessageSource(octets[start : start + size])))
            start += size
        settled = unpackSettlements(settlements)
        isOurs = await self._queue.settle(self._own(owner), settled, told)
        if isOurs:
            self._crew.counts.update(each.fate for each in settled)
        return isOurs, b""

    async def _seize(self, octets: bytes, filter: Any, owner: str, until: float, after: int) -> Answer:
        return packEntries(await self._queue.seize(unpack(Filter, filter), self._own(owner), until, after)), b""

    def _own(self, owner: str) -> str:
        """A token of this worker. :raises Problem: it is somebody else's."""
        if not owner.startswith(self.name + CREW_MARK):
            raise Problem(f"worker {self.name} cannot lease for another")
        return owner

    def _isOurs(self, entry: Entry) -> bool:
        return self._crew.laneOf(entry.recipient.address, entry.target).startswith(LOCAL_LANE)

    _OPERATIONS: ClassVar[dict[str, Callable[..., Coroutine[Any, Any, Answer]]]] = {
        "join": _join,
        "nextDue": _nextDue,
        "lease": _lease,
        "renew": _renew,
        "giveBack": _giveBack,
        "reclaim": _reclaim,
        "content": _content,
        "settle": _settle,
        "seize": _seize,
    }


def packReports(reports: Sequence[Report]) -> tuple[list[Any], bytes]:
    """Reports as `settle` takes them: each goes to a sender at once, so that its envelope says all of where it goes."""
    contents = [content.read() for _, content in reports]
    heads = [[pack(submission.envelope), len(each)] for (submission, _), each in zip(reports, contents, strict=True)]
    return heads, b"".join(contents)
