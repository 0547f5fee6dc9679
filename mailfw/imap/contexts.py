"""Searches that a client follows: it is told which messages come to their results and which go (RFC 5267 §4.3).

Each holds its results, so that whatever happens to a message it can be said whether that changes them. Sort keys are not
held: where a message belongs is found by reading the keys of a few others.

Invariants: what goes is told before its EXPUNGE, while its number still means it; what comes is told after its EXISTS.
"""

from __future__ import annotations

import enum
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from functools import partial
from heapq import merge
from itertools import filterfalse
from typing import TYPE_CHECKING

from mailfw.imap.grammar.fetch import FetchItem
from mailfw.imap.grammar.response import string
from mailfw.imap.grammar.sequence import runs
from mailfw.imap.matching import matching
from mailfw.imap.ordering import placed
from mailfw.imap.results import numbered
from mailfw.message.criteria import Criterion
from mailfw.message.sort import Kind, SortKey
from mailfw.values import Changes, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.selected import SelectedMailbox
    from mailfw.imap.session import Session

MAX_CONTEXTS = 20
"""Searches of one session that are followed at a time."""

MAX_RESULTS = 1_000_000
"""Results that all of them hold: 4 MB."""


class Word(enum.Enum):
    """`ret-data-addto`, `ret-data-removefrom`"""

    ADDED = b"ADDTO"
    REMOVED = b"REMOVEFROM"


Places = list[tuple[int, int]]
"""Places from 1 and the UIDs there, each to be seen after the ones before it were dealt with; 0 is wherever it belongs."""


class Context:
    """One search that is followed.

    :ivar order: what sorts its results; nothing is the order of the mailbox.
    :ivar isUID: messages are named by UID.
    :ivar items: what is to be told of each new message among them (RFC 5465 §7).
    :param uids: its results, in their order.
    """

    def __init__(
        self,
        tag: bytes,
        isUID: bool,
        wanted: Criterion,
        order: tuple[SortKey, ...],
        uids: array[int],
        items: tuple[FetchItem, ...] = (),
    ) -> None:
        self.tag = tag
        self.items = items
        self.wanted = wanted
        self.order = order
        self.isUID = isUID
        self._members = array("I", sorted(uids))
        self._sorted = array("I", uids) if order else array("I")

    def __len__(self) -> int:
        return len(self._members) + len(self._sorted)

    def holding(self, uids: UIDSet) -> UIDSet:
        """Those of the messages that are among the results."""
        members = self._members
        spans = [(bisect_left(members, low), bisect_right(members, high)) for low, high in uids.ranges]
        return UIDSet.fromUIDs(uid for start, end in spans for uid in members[start:end])

    def remove(self, uids: UIDSet) -> Places:
        """Take messages out of the results, which they are among; → where they were."""
        gone = set(uids)
        self._members = array("I", filterfalse(gone.__contains__, self._members))
        if not self.order:
            return [(0, uid) for uid in uids]
        places: Places = []
        kept = array("I")
        for uid in self._sorted:
            if uid in gone:
                places.append((len(kept) + 1, uid))
            else:
                kept.append(uid)
        self._sorted = kept
        return places

    async def add(self, session: Session, uids: UIDSet) -> Places:
        """Put messages into the results; → where they are."""
        if not self.order:
            self._members = array("I", merge(self._members, uids))
            return [(0, uid) for uid in uids]
        places: Places = []
        for uid in uids:
            at = await placed(session, session.view, self.order, self._sorted, uid)
            if at is not None:
                self._sorted.insert(at, uid)
                insort(self._members, uid)
                places.append((at + 1, uid))
        return places

    def response(self, word: Word, places: Places, numbers: memoryview) -> bytes:
        """`("ADDTO" / "REMOVEFROM") SP "(" context-position SP sequence-set *(SP context-position SP sequence-set) ")"`

        Neighbours share a set: those removed from one place, those added at places that follow each other.
        """
        sets: list[tuple[int, list[int]]] = []
        step = 1 if word is Word.ADDED and self.order else 0
        for place, uid in places:
            if sets and place == sets[-1][0] + step * len(sets[-1][1]):
                sets[-1][1].append(uid)
            else:
                sets.append((place, [uid]))
        name: Callable[[list[int]], Iterable[int]] = iter if self.isUID else partial(numbered, numbers)
        pieces = b" ".join(b"%d %b" % (place, runs(name(uids))) for place, uids in sets)
        isUID = b"UID " if self.isUID else b""
        return b"* ESEARCH (TAG %b) %b%b (%b)\r\n" % (string(self.tag), isUID, word.value, pieces)


class Contexts:
    """All that a session follows in the mailbox it has selected."""

    def __init__(self) -> None:
        self._contexts: dict[bytes, Context] = {}

    def __contains__(self, tag: bytes) -> bool:
        return tag in self._contexts

    def __bool__(self) -> bool:
        return bool(self._contexts)

    def add(self, context: Context) -> bool:
        """Follow a search; → whether that can be done."""
        held = sum(len(each) for each in self._contexts.values())
        if len(self._contexts) >= MAX_CONTEXTS or held + len(context) > MAX_RESULTS:
            return False
        if any(key.kind is Kind.RELEVANCY for key in context.order):
            return False  # what is new would change the places of what was there
        self._contexts[context.tag] = context
        return True

    def nameUIDs(self) -> None:
        """Tell of messages by UID from now on, however they were asked for (RFC 9586 §3)."""
        for context in self._contexts.values():
            context.isUID = True

    def cancel(self, tag: bytes) -> None:
        """Follow it no more."""
        self._contexts.pop(tag, None)

    def gone(self, vanished: UIDSet, numbers: memoryview) -> bytes:
        """What is to be told about messages that were expunged, before anything else is."""
        return b"".join(
            context.response(Word.REMOVED, context.remove(went), numbers)
            for context in self._contexts.values()
            if (went := context.holding(vanished))
        )

    def itemsOf(self, arrived: UIDSet) -> list[tuple[UIDSet, tuple[FetchItem, ...]]]:
        """Of new messages, which are to be told of, and what, because they are among results."""
        return [(found, each.items) for each in self._contexts.values() if each.items and (found := each.holding(arrived))]

    async def changed(self, session: Session, changes: Changes) -> None:
        """Tell what changes of messages mean, once the client has been told of these.

        Where the log did not reach back, any message may have changed.
        """
        view = session.view
        known = UIDSet(((1, view.lastUID),) if view.lastUID else ())
        uids = UIDSet.fromUIDs(change.uid for change in changes.changed) if changes.isComplete else known
        for context in list(self._contexts.values()):
            if uids:
                await self._follow(session, view, context, uids)

    async def _follow(self, session: Session, view: SelectedMailbox, context: Context, uids: UIDSet) -> None:
        before = context.holding(uids)
        now = UIDSet.fromUIDs(await matching(session, view, context.wanted, uids))
        if went := before - now:
            session.channel.write(context.response(Word.REMOVED, context.remove(went), view.uids))
        if (came := now - before) and (places := await context.add(session, came)):
            session.channel.write(context.response(Word.ADDED, places, view.uids))
