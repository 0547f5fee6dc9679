"""What goes into the queue and what comes out of it, as frozen values that can cross to another process."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from attrs import field, frozen

from mailfw.values import Address, Consequence, Envelope, Fate, MessageSource, Outcome, Recipient, Target

Bell = Callable[[], None]
LaneOf = Callable[[Address, Target | None], str]
"""By what a recipient is scheduled."""


OWN_LANES = "local:*"
"""All lanes whose deliveries only the server itself can make: into its store, and by functions."""


class State(enum.Enum):
    """Where a recipient stands; see the table in `delivery.queue`."""

    WAITING = "waiting"
    LEASED = "leased"
    HELD = "held"


@frozen
class Submission:
    """An envelope that is to be queued. Several of one content can be queued together.

    :ivar targets: of recipients that are places in our own store, by their position in `envelope.recipients`.
    :ivar lastOutcome: why it has to wait, where it was tried already.
    :ivar due: when it is first tried; None: at once, or at `envelope.releaseAt`.
    """

    envelope: Envelope
    targets: dict[int, Target] = field(factory=dict)
    lastOutcome: Outcome | None = None
    due: float | None = None


Report = tuple[Submission, MessageSource]
"""A message that is queued in the transaction that makes it necessary."""


@frozen
class QueuedMessage:
    """An envelope in the queue.

    :ivar id: names it for people.
    :ivar envelope: without its recipients; of the identity only the account's name is kept.
    :ivar arrived: seconds since the epoch, UTC.
    :ivar size: octets of the content.
    :ivar contentId: names the content, which several envelopes may share.
    """

    id: int
    envelope: Envelope
    arrived: float
    size: int
    contentId: int

    @property
    def since(self) -> float:
        """From when on it is late: its arrival, or the time that its sender asked it to be held until."""
        return max(self.arrived, self.envelope.releaseAt)


@frozen
class Entry:
    """One recipient of a message in the queue.

    :ivar target: the place in our own store that it is for; None: an address, wherever it leads.
    :ivar lane: what it is scheduled by.
    :ivar due: None: held.
    :ivar owner: whose lease it is, or was; empty: nobody's.
    :ivar attempts: how often it was tried.
    :ivar tried: when, the last time; 0: never.
    :ivar isWarned: the sender was told that it waits.
    :ivar status: :ivar reply: :ivar host: of the last attempt, as `Outcome` has them.
    """

    id: int
    message: QueuedMessage
    recipient: Recipient
    lane: str
    due: float | None
    target: Target | None = None
    owner: str = ""
    attempts: int = 0
    tried: float = 0.0
    isWarned: bool = False
    status: str = ""
    reply: str = ""
    host: str = ""

    def state(self, now: float) -> State:
        """Where it stands at that time."""
        if self.due is None:
            return State.HELD
        return State.LEASED if self.owner and self.due > now else State.WAITING


@frozen(eq=False)
class Loan:
    """The right to try, at once, the recipients of one message in one lane, promised before they are in the queue.

    :ivar owner: :ivar until: as those of a lease.
    """

    lane: str
    owner: str
    until: float


class Lender(Protocol):
    """Whoever brings on what comes in, when it has time for it: what it lends need not wait to be leased."""

    def lend(self, lane: str, count: int) -> Loan | None:
        """Promise to take so many recipients at once. Each promise is kept or ended by `taken`."""

    def taken(self, loan: Loan, count: int, entries: Sequence[Entry]) -> None:
        """They are on disk, and leased; or, where there are none, nothing came of it."""


@frozen
class Settlement:
    """What became of one leased recipient.

    :ivar due: when it is tried again; None: it is over.
    :ivar isFailure: it is over and nobody has the message.
    :ivar isQueued: it is over here and in the queue anew, for wherever its address leads.
    """

    entry: Entry
    due: float | None
    isFailure: bool = False
    isWarned: bool = False
    status: str = ""
    reply: str = ""
    host: str = ""
    isQueued: bool = False

    @property
    def fate(self) -> Fate:
        """What has become of it in the end, given up in time or too late."""
        if self.due is not None:
            return Fate.DEFERRED
        if self.isFailure:
            return Fate.FAILED
        return Fate.QUEUED if self.isQueued else Fate.DELIVERED


class Leasing(Protocol):
    """What a relay asks of the queue, in the process that owns its file or over that process's control socket. All of it raises
    Unavailable where the queue does not answer; what `Queue` says of each method is true of every implementation.
    """

    def enlist(self, lender: Lender, laneOf: LaneOf) -> None:
        """Give what comes in to that lender when it has time, and sort it into those lanes. Only the file's owner does so."""

    def watch(self, bell: Bell) -> Callable[[], None]:
        """Ring when something may be due; what is returned ends that."""

    async def nextDue(self, without: Collection[str] = (), only: str = "") -> float | None:
        """When something is due."""

    async def lease(
        self, owner: str, until: float, limit: int = 100, each: int = 100, without: Collection[str] = (), only: str = ""
    ) -> list[Entry]:
        """Take recipients that are due."""

    async def renew(self, owner: str, entries: Sequence[Entry], until: float) -> None:
        """Keep them for longer."""

    async def giveBack(self, owner: str, entries: Sequence[Entry]) -> None:
        """Have them no longer."""

    async def reclaim(self, owner: str) -> int:
        """Give back what those who are gone had leased."""

    async def content(self, message: QueuedMessage) -> MessageSource:
        """The octets of a message."""

    async def settle(
        self,
        owner: str,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        consequences: Sequence[Consequence] = (),
    ) -> bool:
        """Write down what became of recipients. Consequences there are only in the process that owns the file."""

    async def seize(self, filter: Filter, owner: str, until: float, after: int = 0) -> Sequence[Entry]:
        """Lease what an administrator means."""


@frozen
class Filter:
    """Which recipients an administrator means: all that is said has to be so.

    :ivar message: an id; 0: any. :ivar recipient: an entry's id; 0: any.
    :ivar address: the recipient's. :ivar domain: of the recipient. :ivar sender: an address; `<>` is the null sender.
    :ivar person: the recipient's address, or the sender's.
    :ivar arrivedBefore: :ivar arrivedAfter: seconds since the epoch, UTC.
    :ivar reason: is in the last reply, whatever the case of its ASCII letters.
    """

    message: int = 0
    recipient: int = 0
    address: str = ""
    person: str = ""
    domain: str = ""
    sender: str = ""
    arrivedBefore: float | None = None
    arrivedAfter: float | None = None
    reason: str = ""
    state: State | None = None


EVERYTHING = Filter()


@frozen
class Page:
    """:ivar next: where the next page begins; 0: there is none."""

    entries: tuple[Entry, ...]
    next: int


@frozen
class Totals:
    """How many recipients there are, and in which state.

    :ivar due: of those that wait, how many are to be tried now.
    :ivar oldest: when the first message arrived that is still there; None: there is none.
    """

    recipients: int
    messages: int
    waiting: int
    leased: int
    held: int
    oldest: float | None
    due: int


@frozen
class DomainTotals:
    """The same for one domain. :ivar due: when its next recipient is due. :ivar reply: one of the last words said about it."""

    domain: str
    recipients: int
    held: int
    due: float | None
    host: str
    reply: str
