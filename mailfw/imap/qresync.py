"""QRESYNC: what went since, so that a client that comes back asks for nothing it has (RFC 7162 §3.2).

The store's log of expunged UIDs reaches back to a floor. Below it every UID that the client knows and that is not there is
named, less what numbers and UIDs that still match show to be known already (§3.2.5.2, §3.2.6).

VANISHED (EARLIER) never names a message that the session still counts: that one's expunge is told later, as news.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mailfw.imap.grammar.modifiers import Resync
from mailfw.imap.selected import SelectedMailbox
from mailfw.values import Changes, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Session

PAGE = 20_000
"""Messages looked at before others have their turn, where all must be."""


async def resynchronise(session: Session, resync: Resync) -> UIDSet:
    """RFC 7162 §3.2.5: tell which of the messages that the client knows are gone since it was here last; → those whose flags
    it is to be told.
    """
    view = session.view
    if resync.uidValidity != view.uidValidity:
        return UIDSet()
    changes = await view.mailbox.changesSince(resync.modSeq)
    known = resync.known if resync.known is not None else UIDSet(((1, changes.uidNext - 1),) if changes.uidNext > 1 else ())
    start = 0 if changes.isComplete else _matched(view, resync)
    await tellVanished(session, changes, known - UIDSet(((1, start),) if start else ()))
    changed = UIDSet.fromUIDs(change.uid for change in changes.changed)
    return changed & known & UIDSet(((1, view.lastUID),) if view.lastUID else ())


async def tellVanished(session: Session, changes: Changes, uids: UIDSet) -> None:
    """`expunged-resp = "VANISHED" SP "(EARLIER)" SP known-uids` (RFC 7162 §3.2.10.1), where there are any."""
    vanished = uids
    if changes.isComplete:
        vanished = changes.vanished & uids
    for present in _present(session.view, vanished):
        vanished -= present
        await session.channel.breathe()
    if vanished:
        session.untagged(b"VANISHED (EARLIER)", str(vanished).encode("ascii"))


def _present(view: SelectedMailbox, uids: UIDSet) -> Iterator[UIDSet]:
    """Those of a set that the client counts, some at a time."""
    for page in view.pages(uids, PAGE):
        yield UIDSet.fromUIDs(uid for start, end in view.spans(page) for uid in view.uids[start:end])


def _matched(view: SelectedMailbox, resync: Resync) -> int:
    """The highest UID up to which the client knows of every expunge (RFC 7162 §3.2.5.2): as soon as one message below is gone
    without its knowledge, no number matches its UID any more.
    """
    matched, low, high = 0, 0, len(resync.numbers)
    while low < high:
        middle = (low + high) // 2
        number, uid = _nth(resync.numbers, middle), _nth(resync.uids, middle)
        if view.number(uid) == number:
            matched, low = uid, middle + 1
        else:
            high = middle
    return matched


def _nth(numbers: UIDSet, place: int) -> int:
    """A member of a set by its place, from 0."""
    for low, high in numbers.ranges:
        if place <= high - low:
            return low + place
        place -= high - low + 1
    raise IndexError(place)
