"""Messages in the order that a client asks for, and how well each fits what was searched for.

Pages are sorted in the threads that read them and merged in another, so that no mailbox is too large for the reactor.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mailfw.errors import LimitExceeded
from mailfw.imap.matching import read
from mailfw.imap.progress import Progress
from mailfw.interfaces import Row
from mailfw.message import fuzzy, sort
from mailfw.message.criteria import Criterion
from mailfw.message.sort import Key, SortKey
from mailfw.values import UIDSet

if TYPE_CHECKING:
    from mailfw.imap.selected import SelectedMailbox
    from mailfw.imap.session import Session

MAX_SORTED = 500_000
"""Messages that are sorted or threaded at once: their keys are in memory then."""

_PROBES = 50


async def ordered(
    session: Session, view: SelectedMailbox, order: Sequence[SortKey], uids: array[int], scores: Mapping[int, int]
) -> array[int]:
    """UIDs in their order. :raises LimitExceeded: there are too many."""
    mustBeFew(uids)
    compiled = sort.compile(order, scores)
    pages: list[list[Key]] = []
    with Progress(session, len(uids)) as progress:

        def take(some: Iterable[list[Key]]) -> None:
            for page in some:
                pages.append(page)
                progress.done += len(page)

        rows = read(view.mailbox, UIDSet.fromUIDs(uids), compiled.columns, lambda rows: [compiled.page(rows)])
        await session.walk(rows, take)
        return await session.channel.think(lambda: array("I", sort.merged(pages)))


def mustBeFew(uids: array[int]) -> None:
    """:raises LimitExceeded: more than can be arranged at once."""
    if len(uids) > MAX_SORTED:
        raise LimitExceeded("too many messages to arrange them all")


async def relevance(session: Session, view: SelectedMailbox, wanted: Criterion, uids: array[int]) -> Mapping[int, int]:
    """How well each message fits: 1 to 100 (RFC 6203 §4)."""
    relevancy = await session.channel.think(lambda: fuzzy.compile(wanted))
    scores: dict[int, int] = {}

    def score(rows: Sequence[Row]) -> Iterator[list[tuple[int, int]]]:
        yield [(row[-1], relevancy.score(row)) for row in rows]

    with Progress(session, len(uids)) as progress:

        def take(pages: Iterable[list[tuple[int, int]]]) -> None:
            for page in pages:
                scores.update(page)
                progress.done += len(page)

        await session.walk(read(view.mailbox, UIDSet.fromUIDs(uids), relevancy.columns, score), take)
    return scores


async def placed(session: Session, view: SelectedMailbox, order: Sequence[SortKey], uids: array[int], uid: int) -> int | None:
    """Where a message belongs among others that are in order already; None: it is not there any more.

    Looks at a few of them at a time, so that a long list costs no more than a short one.
    """
    compiled = sort.compile(order)

    async def keys(some: Iterable[int]) -> dict[int, Key]:
        found: dict[int, Key] = {}
        wanted = UIDSet.fromUIDs(some)
        rows = read(view.mailbox, wanted, compiled.columns, lambda rows: [(row[-1], compiled.sortKey(row)) for row in rows])
        await session.walk(rows, found.update)
        return found

    own = (await keys((uid,))).get(uid)
    if own is None:
        return None
    low, high, probes = 0, len(uids), _PROBES
    while low < high:
        places = range(low, high, max(1, (high - low) // probes))
        known = await keys(uids[at] for at in places)
        there = [at for at in places if uids[at] in known]
        following = bisect_left(there, own, key=lambda at: known[uids[at]])
        if not there:  # they have just gone: look at all
            if probes >= high - low:
                break
            probes = high - low
            continue
        low, high = there[following - 1] + 1 if following else low, there[following] if following < len(there) else high
    return low
