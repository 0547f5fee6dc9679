"""The queue as the rest of the house sees it. The table of states and the guarantees are in the package's docstring."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from attrs import evolve
from zope.interface import implementer

from mailfw.delivery.queue import rows, steering
from mailfw.delivery.queue.entry import (
    EVERYTHING,
    Bell,
    DomainTotals,
    Entry,
    Filter,
    LaneOf,
    Lender,
    Loan,
    Page,
    QueuedMessage,
    Recall,
    Report,
    Settlement,
    Submission,
    Totals,
    listed,
)
from mailfw.delivery.queue.fresh import Fresh
from mailfw.delivery.queue.schema import SCHEMA
from mailfw.errors import Vanished
from mailfw.interfaces import IHealth
from mailfw.sql import Connection, Database
from mailfw.sql.blobs import FileBlobs, IBlobStore, MemoryBlobs, drop
from mailfw.sql.sqlite import MEMORY
from mailfw.tally import Health
from mailfw.values import Address, Consequence, Envelope, MessageSource, Target

BLOB_FROM = 256 * 1024
"""Octets from which on a content is a file."""

ORPHAN_AGE = 3600.0
"""Seconds after which a blob that no content names can belong to no transaction any more."""

LOCAL_LANE = "local:"
"""The lane of recipients that are places in our own store; no domain has a colon in it. Lanes of functions begin with it."""

CREW_MARK = "/"
"""What divides, in the token of a worker in another process, the worker's name from what nobody else uses."""


def blobsOf(path: str) -> str:
    """Where the blobs of a queue's database file are."""
    return os.path.splitext(path)[0] + ".blobs"


def heldFor(address: Address, target: Target | None) -> str:
    """Why a recipient is held from the first: unless somebody says otherwise, nobody is."""
    return ""


_Adding = Callable[[Connection], rows.Added]


class _Loans:
    """What of one message the lender promised to take. :ivar isMore: something has to be leased nevertheless."""

    def __init__(self, lender: Lender | None) -> None:
        self._lender = lender
        self._counts: dict[Loan, int] = {}
        self.isMore = False

    def none(self, places: list[rows.Place]) -> list[rows.Place]:
        """Without any loan."""
        self.isMore = self.isMore or not all(place.held for place in places)
        return places

    def of(self, places: list[rows.Place]) -> list[rows.Place]:
        """With a loan for each lane, as far as there is one; of one envelope at a time."""
        if self._lender is None:
            return self.none(places)
        loans: dict[str, Loan | None] = {}
        for lane, count in Counter(place.lane for place in places if not place.held).items():
            loan = loans[lane] = self._lender.lend(lane, count)
            if loan is None:
                self.isMore = True
            else:
                self._counts[loan] = count
        return [evolve(place, loan=loans[place.lane]) if not place.held else place for place in places]

    def end(self, added: rows.Added) -> None:
        """Give the lender what it was promised, or nothing."""
        for loan, count in self._counts.items():
            assert self._lender is not None
            self._lender.taken(loan, count, added.lent.get(loan, ()))


def laneOf(address: Address, target: Target | None) -> str:
    """The lane of a recipient, unless routes say otherwise: its domain."""
    return LOCAL_LANE if target is not None else address.domain


def _submission(envelope: Envelope, target: Target | None) -> Submission:
    count = len(envelope.recipients) if target is not None else 0
    return Submission(envelope, {position: target for position in range(count) if target is not None})


@implementer(IHealth)
class Queue:
    """Methods are for the reactor's thread; those that wait raise Unavailable when the disk does not take or give what they need.

    :ivar laneOf: by what recipients are scheduled; routes replace it, so that what leaves through one host is one lane.
    :ivar lender: whom recipients are given to as they come in, if it has time for them; None: all wait to be leased.
    :ivar heldFor: why a recipient that comes in is to be held until somebody releases it; empty: it is not.
    """

    def __init__(self, database: Database, blobs: IBlobStore, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._blobs = blobs
        self._now = now
        self._bells: list[Bell] = []
        self._recalls: list[Recall] = []
        self._fresh = Fresh()
        self.laneOf: LaneOf = laneOf
        self.heldFor = heldFor
        self.lender: Lender | None = None

    @classmethod
    def open(cls, path: str, *, reactor: Any, now: Callable[[], float] = time.time, isInline: bool = False) -> Queue:
        """Open the queue in a database file, or `:memory:`; its blobs are in a directory beside it.

        :param isInline: do everything at once in the caller's thread: for tests on a fake clock.
        :raises Unavailable: :raises SchemaMismatch:
        """
        blobs = MemoryBlobs() if path == MEMORY else FileBlobs(blobsOf(path))
        return cls(Database.open(path, SCHEMA, reactor=reactor, isInline=isInline), blobs, now)

    async def health(self) -> list[Health]:
        """How the file is."""
        return [self._database.health()]

    async def prove(self) -> None:
        """:raises Unavailable: it takes no change."""
        await self._database.prove()

    async def close(self) -> None:
        """Finish what was asked for, and let go of the file. Leases stay."""
        await self._database.close()

    # --- Coming in -------------------------------------------------------------------------------------------------

    async def enqueue(
        self, submissions: Sequence[Submission], content: MessageSource, reports: Sequence[Report] = ()
    ) -> list[int]:
        """Keep a message for all these envelopes, and reports with it; on disk when this returns, all of it or nothing.

        :returns: ids of the messages, in the order of their envelopes.
        """
        adding = [(await self._prepared([submission], told))[0] for submission, told in reports]
        octets, loans = b"", _Loans(self.lender)
        if submissions:
            add, octets = await self._prepared(submissions, content, loans)
            adding.append(add)

        def job(connection: Connection) -> rows.Added:
            return [add(connection) for add in adding][-1]

        added = rows.Added([], {})
        try:
            added = await self._database.write(job)
            for id in added.ids if octets and submissions else ():
                self._fresh.put(id, octets)
        finally:
            loans.end(added)
        if reports or loans.isMore:
            self._ring()
        return added.ids if submissions else []

    async def _prepared(
        self, submissions: Sequence[Submission], content: MessageSource, loans: _Loans | None = None
    ) -> tuple[_Adding, bytes]:
        """The job that adds a content, its blob on disk; and its octets, when they are in a row."""
        octets, blob, size = b"", "", content.size
        if size >= BLOB_FROM:
            blob = await self._database.read(lambda _: self._blobs.put(content.chunks()))
        elif content.path:
            octets = await self._database.read(lambda _: content.read())
        else:
            octets = content.read()
        now = self._now()
        places = [self._places(submission, now, loans or _Loans(None)) for submission in submissions]
        adding = partial(rows.enqueue, submissions=submissions, places=places, octets=octets, blob=blob, size=size, now=now)
        return adding, octets

    def _places(self, submission: Submission, now: float, loans: _Loans) -> list[rows.Place]:
        """Where each recipient of an envelope goes."""
        places = []
        for position, recipient in enumerate(submission.envelope.recipients):
            address, target = recipient.address, submission.targets.get(position)
            places.append(rows.Place(self.laneOf(address, target), self.heldFor(address, target)))
        isDue = submission.due is None and submission.envelope.releaseAt <= now and not submission.targets
        return loans.of(places) if isDue else loans.none(places)

    def enlist(self, lender: Lender, laneOf: LaneOf) -> None:
        """Give recipients as they come in to that lender, if it has time for them, and sort them into those lanes."""
        self.lender, self.laneOf = lender, laneOf

    def watch(self, bell: Bell) -> Callable[[], None]:
        """Call `bell` in the reactor's thread whenever something may be due sooner than was known. Returns what ends that."""
        return listed(self._bells, bell)

    def recalls(self, recall: Recall) -> Callable[[], None]:
        """Call `recall`, in the reactor's thread, with the ids of recipients that were held, cancelled or seized: who had leased
        them is not to begin with them any more. Returns what ends that."""
        return listed(self._recalls, recall)

    def _recall(self, ids: Collection[int]) -> None:
        for recall in list(self._recalls) if ids else ():
            recall(ids)

    def _ring(self) -> None:
        for bell in list(self._bells):
            bell()

    # --- Going out -------------------------------------------------------------------------------------------------

    async def nextDue(self, without: Collection[str] = (), only: str = "") -> float | None:
        """When the first recipient that is in none of those lanes is due; None: nothing waits. Leases that end count too.

        :param only: the one lane that is asked about; empty: all.
        """
        return await self._database.read(partial(rows.nextDue, without=without, only=only))

    async def lease(
        self, owner: str, until: float, limit: int = 100, each: int = 100, without: Collection[str] = (), only: str = ""
    ) -> list[Entry]:
        """Take recipients that are due: nobody else gets them until that time.

        :param owner: a token that nobody else uses.
        :param limit: of recipients, and :param each: of one lane.
        :param without: lanes that are to be left alone.
        :param only: the one lane that is served; empty: all.
        """
        now = self._now()
        job = partial(rows.lease, owner=owner, now=now, until=until, limit=limit, each=each, without=without, only=only)
        return await self._database.write(job)

    async def renew(self, owner: str, entries: Sequence[Entry], until: float) -> None:
        """Keep leases for longer; those that were lost meanwhile stay lost."""
        await self._database.write(partial(rows.renew, owner=owner, entries=entries, until=until))

    async def giveBack(self, owner: str, entries: Sequence[Entry], due: float | None = None, lane: str = "") -> None:
        """End leases; the recipients are as if they had not been taken, and due at that time, or at once.

        :param lane: where they wait from now on; empty: where they did.
        """
        due = self._now() if due is None else due
        await self._database.write(partial(rows.giveBack, owner=owner, entries=entries, due=due, lane=lane))
        self._ring()

    async def reclaim(self, owner: str, kept: Collection[int] | None = None) -> int:
        """Give back what others than `owner` have leased who are gone: those of its name, where it is a worker; otherwise every
        process that owned the file, for whoever owns it now knows that those are gone, and does not know it of workers. It is
        looked for by a reader, and holds up nothing.

        :param kept: ids of the recipients that `owner` knows to be leased by it; others of its own it was never told of.
        :returns: how many recipients.
        """
        now = self._now()
        crew, mark, _ = owner.partition(CREW_MARK)
        prefix = crew + mark
        whose = "substr(owner, 1, length(?)) = ?" if mark else "instr(owner, ?) = 0"
        names = (prefix, prefix) if mark else (CREW_MARK,)
        where = f"owner <> '' AND due > ? AND {whose}"
        found = await self._database.read(lambda connection: rows.Reader(connection).select(where, (now, *names)))
        entries = [entry for entry in found if entry.owner != owner or (kept is not None and entry.id not in kept)]
        for start in range(0, len(entries), steering.STEP):
            await self._database.write(partial(rows.reclaim, entries=entries[start : start + steering.STEP], due=now))
        if entries:
            self._ring()
        return len(entries)

    async def settle(
        self,
        owner: str,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        consequences: Sequence[Consequence] = (),
    ) -> bool:
        """Write down what became of leased recipients, and put the reports about it, and what else follows from it, into the
        queue, in one transaction.

        :returns: whether it was ours to say; if not (the lease was lost, or the recipients were cancelled), nobody is told. Where
            that is so of some only, nothing is written down of any if somebody would be told: reports tell of all of them.
        """
        adding = [(await self._prepared([submission], content))[0] for submission, content in reports]
        adding += [(await self._prepared([_submission(*way) for way in each.ways], each.message))[0] for each in consequences]
        now = self._now()

        def job(connection: Connection) -> tuple[bool, list[str]]:
            if adding and len(settlements) > 1 and not rows.isAllOurs(connection, owner, settlements):
                return False, []
            isOurs, blobs = rows.settle(connection, owner, settlements, now)
            for add in adding if isOurs else ():
                add(connection)
            return isOurs, blobs

        isOurs, blobs = await self._database.write(job)
        await self._drop(blobs)
        if adding or any(settled.due is not None for settled in settlements):
            self._ring()
        return isOurs

    async def content(self, message: QueuedMessage) -> MessageSource:
        """The octets of a message. :raises Vanished: it is not in the queue any more."""
        if (fresh := self._fresh.take(message.id)) is not None:
            return MessageSource(fresh)
        select = "SELECT octets, blob, size FROM content WHERE id = ?"
        row = await self._database.read(lambda connection: connection.execute(select, (message.contentId,)).fetchone())
        if row is None:
            raise Vanished
        octets, blob, size = row
        if not blob:
            return MessageSource(bytes(octets))
        if path := self._blobs.path(blob):
            return MessageSource(path=path, length=size)
        return MessageSource(await self._database.read(lambda _: self._blobs.get(blob, 0, size)))

    # --- Being steered ---------------------------------------------------------------------------------------------

    async def message(self, id: int) -> tuple[QueuedMessage, list[Entry]] | None:
        """One message with all its recipients that are left; None: it is not in the queue."""
        entries = await self._database.read(lambda connection: rows.Reader(connection).select("recipient.message = ?", (id,)))
        return (entries[0].message, entries) if entries else None

    async def list(self, filter: Filter = EVERYTHING, after: int = 0, limit: int = 100) -> Page:
        """Recipients in the order in which they came, a page at a time. :param after: what `Page.next` said."""
        now = self._now()
        entries = await self._database.read(lambda connection: steering.page(connection, filter, after, limit, now))
        return Page(tuple(entries), entries[-1].id if len(entries) == limit else 0)

    async def count(self, filter: Filter = EVERYTHING) -> int:
        """How many recipients the filter means."""
        sql, parameters = steering.condition(filter, self._now())
        select = f"SELECT COUNT(*) FROM recipient JOIN message ON message.id = recipient.message WHERE {sql}"
        found = await self._database.read(lambda connection: connection.execute(select, parameters).fetchone())
        return int(found[0])

    async def overview(self, domains: int = 20) -> tuple[Totals, Sequence[DomainTotals]]:
        """How much there is, and the domains that most of it is for."""
        now = self._now()
        return await self._database.read(lambda connection: steering.overview(connection, domains, now))

    async def hold(self, filter: Filter) -> int:
        """Keep recipients from being tried. → how many there were."""
        return await self._steer(steering.hold, filter, isRecalled=True)

    async def release(self, filter: Filter) -> int:
        """Let held recipients go on."""
        return await self._steer(steering.release, filter)

    async def retry(self, filter: Filter) -> int:
        """Try waiting recipients at once."""
        return await self._steer(steering.retry, filter)

    async def flush(self, domain: str) -> int:
        """Try everything at once that waits for a domain."""
        return await self.retry(Filter(domain=domain))

    async def cancel(self, filter: Filter) -> int:
        """Forget recipients; nobody is told."""
        self._fresh.clear()
        return await self._steer(steering.cancel, filter, isRecalled=True)

    async def seize(self, filter: Filter, owner: str, until: float, after: int = 0) -> Sequence[Entry]:
        """Lease recipients that the filter means, due or not, held or not, at most `steering.STEP`, for whoever settles them."""
        now = self._now()
        self._fresh.clear()
        entries = await self._database.write(lambda connection: steering.seize(connection, filter, after, owner, now, until))
        self._recall([entry.id for entry in entries])
        return entries

    async def _steer(self, verb: steering.Verb, filter: Filter, isRecalled: bool = False) -> int:
        count, after, isMore, now = 0, 0, True, self._now()
        while isMore:
            done = await self._database.write(partial(steering.step, verb=verb, filter=filter, after=after, now=now))
            self._recall(done.ids if isRecalled else ())
            await self._drop(done.blobs)
            count, after, isMore = count + done.count, done.last, bool(done.last)
        self._ring()
        return count

    # --- Housekeeping ----------------------------------------------------------------------------------------------

    async def collect(self) -> int:
        """Remove files that a crash left without a message. → how many."""
        before = self._now() - ORPHAN_AGE

        def orphans(connection: Connection) -> Sequence[str]:
            named = "SELECT 1 FROM content WHERE blob = ?"
            return [ref for ref in self._blobs.orphans(before) if connection.execute(named, (ref,)).fetchone() is None]

        refs = await self._database.read(orphans)
        await self._drop(refs)
        return len(refs)

    async def _drop(self, refs: Sequence[str]) -> None:
        if refs:
            await self._database.read(lambda _: drop(self._blobs, refs))
