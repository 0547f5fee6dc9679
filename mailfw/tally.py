"""What a server counts: plain numbers, put up where things happen, read by whoever wants to know.

Rooms get a `Tally` through what they are given anyway (`ServiceContext`, constructors); who was given none counts for himself,
and nobody reads that. How a thing is now (a file, a queue) is not counted: it is asked for, by `interfaces.IHealth`.

Invariants:

- A number only grows while the process lives, and is put up in one thread only. Who reads it in another may see it a moment old.
- Things are counted by words that come from the configuration and from code (services, fates, hooks), never from a client: so
  there are few of them, and no address is among them.
- Nothing is counted for each octet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from attrs import define, field, frozen

from mailfw.values import Fate

BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Seconds: the upper bounds of all histograms' buckets. What takes longer is in one more."""


class Histogram:
    """How long things took.

    :ivar counts: how many took no longer than each of `BOUNDS` and longer than the one before; last, all longer ones.
    :ivar seconds: of all of them together.
    """

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Seconds within which that share of things were done, by the counts of a histogram; None: there were none.

    Within a bucket they are taken to lie evenly; for what took longer than the last bound, that bound is the answer.

    :param share: from 0 to 1.
    """
    rank = sum(counts) * share
    if not sum(counts):
        return None
    below = 0
    for at, count in enumerate(counts[:-1]):
        if count and below + count >= rank:
            least = BOUNDS[at - 1] if at else 0.0
            return least + (BOUNDS[at] - least) * max(0.0, rank - below) / count
        below += count
    return BOUNDS[-1]


@define(eq=False)
class ServiceTally:
    """One listening service, by the configuration's word.

    :ivar begun: sessions; :ivar ended: those of them that are over; :ivar refused: connections that got none because of a limit.
    :ivar refusals: senders, recipients and messages that were refused, for now or for good.
    :ivar octetsIn: and :ivar octetsOut: of sessions that are over.
    :ivar commands: how long lines of commands took, from their turn until what they ask for was done: waits for a store, for a
        client that does not read, and those that guessers of passwords are given, are part of it.
    :ivar messages: those that came in whole, by what the client was told: `accepted`, `deferred`, `refused`.
    :ivar taking: how long that took, from their last octet on.
    """

    begun: int = 0
    ended: int = 0
    refused: int = 0
    refusals: int = 0
    octetsIn: int = 0
    octetsOut: int = 0
    commands: Histogram = field(factory=Histogram)
    messages: Counter[str] = field(factory=Counter)
    taking: Histogram = field(factory=Histogram)


@define(eq=False)
class HookTally:
    """One hook. :ivar failures: calls that gave no answer, late ones among them. :ivar calls: how long all took."""

    failures: int = 0
    calls: Histogram = field(factory=Histogram)


@define(eq=False)
class WriterTally:
    """One database's writer, in its thread.

    :ivar jobs: of transactions that came to their end; :ivar group: how many the last one was of.
    :ivar failures: transactions that were taken back; :ivar trouble: why the last one was; empty: it was not.
    :ivar seconds: that the last transaction took. :ivar transactions: how long all took.
    :ivar commits: how long their COMMIT took, which is mostly the disk's fsync.
    """

    jobs: int = 0
    group: int = 0
    failures: int = 0
    trouble: str = ""
    seconds: float = 0.0
    transactions: Histogram = field(factory=Histogram)
    commits: Histogram = field(factory=Histogram)


@define(eq=False)
class Tally:
    """All that one server counts.

    :ivar services: by the configuration's word. :ivar hooks: by name.
    :ivar logins: by service and `succeeded` or `failed`.
    :ivar deliveries: to places in our own store, by fate.
    :ivar lags: how late the reactor was, looked at a few times a second.
    :ivar stalls: times that it was held for longer than `Limits.stallTime`, by whose code held it.
    """

    services: dict[str, ServiceTally] = field(factory=dict)
    hooks: dict[str, HookTally] = field(factory=dict)
    logins: Counter[tuple[str, str]] = field(factory=Counter)
    deliveries: Counter[Fate] = field(factory=Counter)
    lags: Histogram = field(factory=Histogram)
    stalls: Counter[str] = field(factory=Counter)

    def service(self, word: str) -> ServiceTally:
        """That of a service."""
        return self.services.setdefault(word, ServiceTally())

    def hook(self, name: str) -> HookTally:
        """That of a hook."""
        return self.hooks.setdefault(name, HookTally())


@frozen
class Health:
    """How something that keeps data is now: a database file, for one. What cannot be told is None.

    :ivar name: for people, and the same for as long as the thing is there: `mail0.sqlite`.
    :ivar trouble: why it cannot be used; empty: it can.
    :ivar path: of the file, from which its file system follows; empty: it is in none.
    :ivar waiting: changes that nobody has begun with. :ivar writer: what has been counted of them.
    :ivar octets: of the file. :ivar walOctets: of the log that is written before it.
    :ivar unindexed: messages that searches have to look into, because no index has them yet.
    """

    name: str
    trouble: str = ""
    path: str = ""
    waiting: int | None = None
    writer: WriterTally | None = None
    octets: int | None = None
    walOctets: int | None = None
    unindexed: int | None = None
