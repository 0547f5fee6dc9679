"""What the client believes about the mailbox it has selected: the sequence numbers, and what it still has to be told.

Invariants:

- `uids` holds every message that the client knows of, in order, those included that others have expunged since and that
  it has not been told about: they keep their numbers until an EXPUNGE can be sent (RFC 3501 §7.4.1).
- Every message of the store with a UID up to `lastUID` is in `uids`: so a range of numbers is a range of UIDs, and sets
  are translated by their ends alone.
- A client that is told a MODSEQ will ask next time for what happened after it. So what is told as HIGHESTMODSEQ is never
  above that of an expunge which the client has not been told about (RFC 7162 §3.2).
- `uids` is shared between all sessions of a mailbox, and with threads that render, until it must differ. It is replaced
  then, and never changed in place.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from attrs import frozen

from mailfw.imap.contexts import Contexts
from mailfw.imap.grammar import response
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import BadSyntax
from mailfw.imap.manner import PLAIN, Manner
from mailfw.imap.trees import TreeKeeper
from mailfw.interfaces import IAccount, IMailbox
from mailfw.values import Changes, Flag, MessageChange, Snapshot, UIDSet, rightToFlag

MAX_UID = 0xFFFFFFFF

_UID, _FLAGS, _UID_AND_MODSEQ = attrgetter("uid"), attrgetter("flags"), attrgetter("uid", "modSeq")


@frozen
class Removal:
    """What is to be taken out of a view. :ivar gone: UIDs; :ivar spans: their places; :ivar kept: what stays."""

    gone: UIDSet
    spans: tuple[tuple[int, int], ...]
    kept: memoryview


class SelectedMailbox:
    """One session's view of one mailbox.

    :ivar uids: the UID of message n at n - 1.
    :ivar account: whose mailbox it is; None: the client's own. :ivar name: what it is called there.
    :ivar recents: messages with these UIDs are \\Recent to this session, those that come too; no other session was told of them.
    :ivar tellsRecent: the client speaks IMAP4rev1, which has \\Recent; without it no message is that (RFC 9051 Appendix E).
    :ivar modSeq: what happened up to here is in the view.
    :ivar hasArrivals: messages came while it was selected, and were told of as \\Recent.
    :ivar isRung: something may have happened since.
    :ivar manner: how the client is to be told.
    :ivar flagsFrom: flags that changed after this MODSEQ were kept from the client, which did not want to know; None: none were.
    :ivar made: messages that the client put here itself, and is not told more about than that they are there.
    :ivar owesModSeq: HIGHESTMODSEQ cannot be worked out by the client from what it was told.
    :ivar contexts: the searches whose results the client follows.
    :ivar saved: UIDs, ascending, of what the last SEARCH saved for `$` (RFC 5182 §2.1).
    """

    def __init__(
        self,
        mailbox: IMailbox,
        snapshot: Snapshot,
        isReadOnly: bool,
        manner: Manner = PLAIN,
        tellsRecent: bool = True,
        account: IAccount | None = None,
    ) -> None:
        self.mailbox = mailbox
        self.account = account
        self.name = mailbox.info.name
        self.uidValidity = snapshot.status.uidValidity
        self.isReadOnly = isReadOnly
        self.uids = snapshot.uids
        self.tellsRecent = True
        self.recents = UIDSet(((max(1, snapshot.status.recentFrom), MAX_UID),))
        if not tellsRecent:
            self.forgetRecent()
        self.modSeq = snapshot.status.highestModSeq
        self.isRung = False
        self.hasArrivals = False
        self.manner = manner
        self.owesModSeq = False
        self.flagsFrom: int | None = None
        self.made = UIDSet()
        self.trees = TreeKeeper()
        self.saved = array("I")
        self.contexts = Contexts()
        self._keywords = frozenset(snapshot.keywords)
        self._gone = UIDSet()
        self._goneAfter = 0
        self._told: dict[int, int] = {}

    # --- Numbers ---------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """EXISTS."""
        return len(self.uids)

    @property
    def recent(self) -> int:
        """RECENT: how many messages this session is among the first to see."""
        return self.countOf(self.recents)

    def forgetRecent(self) -> None:
        """The client knows of no \\Recent: no message is that any more."""
        self.tellsRecent, self.recents = False, UIDSet()

    def toldElsewhere(self, untold: int) -> None:
        """Messages that come now with a UID below this one are \\Recent to another session, which was told of them first."""
        if untold > self.lastUID + 1:
            self.recents -= UIDSet(((self.lastUID + 1, untold - 1),))

    def countLines(self) -> bytes:
        """`* n EXISTS`, and `* n RECENT` for whom there is such a thing."""
        lines = b"* %d EXISTS\r\n" % self.count
        return lines + b"* %d RECENT\r\n" % self.recent if self.tellsRecent else lines

    @property
    def lastUID(self) -> int:
        """The highest UID the client knows of; 0 in an empty mailbox."""
        return int(self.uids[-1]) if len(self.uids) else 0

    def number(self, uid: int) -> int | None:
        """A message's sequence number."""
        at = bisect_left(self.uids, uid)
        return at + 1 if at < len(self.uids) and self.uids[at] == uid else None

    def uidsOf(self, messages: SequenceSet, isUID: bool) -> UIDSet:
        """The UIDs that a command means.

        UIDs that are not there are no error (RFC 3501 §6.4.8); numbers that are not there are (§9 `seq-number`).

        :raises BadSyntax: a sequence number above EXISTS, or `*` in an empty mailbox.
        """
        if messages.isSaved:
            return self.savedUIDs
        if isUID:
            known = UIDSet(((1, self.lastUID),)) if self.lastUID else UIDSet()
            return messages.resolve(self.lastUID) & known
        numbers = messages.resolve(self.count)
        if numbers.first < 1 or numbers.last > self.count:
            raise BadSyntax("there is no message with that number")
        return self.uidsOfNumbers(numbers)

    @property
    def savedUIDs(self) -> UIDSet:
        """What `$` stands for: UIDs mean the same whatever was expunged since (RFC 5182 §2.1)."""
        return UIDSet.fromUIDs(self.saved) - self._gone

    def uidsOfNumbers(self, numbers: UIDSet) -> UIDSet:
        """The UIDs of messages by number, as ranges from the first to the last of each range."""
        return UIDSet.fromRanges((self.uids[low - 1], self.uids[high - 1]) for low, high in numbers.ranges)

    def spans(self, uids: UIDSet) -> Iterator[tuple[int, int]]:
        """The places in `uids` of all messages in a set: start and end of each run, none of them empty."""
        start = 0
        for low, high in uids.ranges:
            start = bisect_left(self.uids, low, start)
            end = bisect_right(self.uids, high, start)
            if end > start:
                yield start, end
            start = end

    def pages(self, uids: UIDSet, size: int) -> Iterator[UIDSet]:
        """A set in parts of at most `size` messages each, ascending."""
        ranges: list[tuple[int, int]] = []
        room = size
        for start, end in self.spans(uids):
            while start < end:
                stop = min(end, start + room)
                ranges.append((self.uids[start], self.uids[stop - 1]))
                room -= stop - start
                start = stop
                if not room:
                    yield UIDSet.fromRanges(ranges)
                    ranges, room = [], size
        if ranges:
            yield UIDSet.fromRanges(ranges)

    def part(self, uids: UIDSet, start: int, end: int) -> UIDSet:
        """Of the messages in a set those from place `start` up to, not with, `end`."""
        ranges: list[tuple[int, int]] = []
        at = 0
        for low, high in self.spans(uids):
            first, stop = max(low, low + start - at), min(high, low + end - at)
            if first < stop:
                ranges.append((self.uids[first], self.uids[stop - 1]))
            at += high - low
        return UIDSet.fromRanges(ranges)

    def countOf(self, uids: UIDSet) -> int:
        """How many messages of a set the client knows of."""
        return sum(end - start for start, end in self.spans(uids))

    def known(self, uids: UIDSet) -> Iterator[int]:
        """The messages of a set that the client knows of, one by one."""
        for start, end in self.spans(uids):
            yield from self.uids[start:end]

    def isGone(self, uids: UIDSet) -> bool:
        """Whether any of these was expunged without the client knowing yet."""
        return bool(self._gone & uids)

    @property
    def toldModSeq(self) -> int:
        """HIGHESTMODSEQ as far as the client has been told everything."""
        told = self._goneAfter if self._gone else self.modSeq
        return told if self.flagsFrom is None else min(told, self.flagsFrom)

    # --- Flags -----------------------------------------------------------------------------------------------------

    def flagsLines(self) -> bytes:
        """`* FLAGS` and `* OK [PERMANENTFLAGS]` (RFC 3501 §7.2.6, §7.1)."""
        known = {*Flag.SYSTEM, *self._keywords}
        flags, permanent = response.flags(known), b""
        if not self.isReadOnly:
            rights = self.mailbox.info.rights  # "MUST accurately reflect the current user's rights" (RFC 4314 §5.1.1)
            permanent = response.flags(flag for flag in known if rightToFlag(flag) in rights)
            permanent += b" \\*" if "w" in rights else b""
        code = b"PERMANENTFLAGS (%b)" % permanent
        text = "read-only mailbox" if self.isReadOnly else "flags that are kept, and keywords that can be made"
        return response.untagged(b"FLAGS", b"(%b)" % flags) + response.ok(text, code).render()

    def learn(self, changes: Iterable[MessageChange]) -> bytes:
        """What the client must be told before it sees keywords that the mailbox did not have (RFC 3501 §7.2.6)."""
        return self.learnFlags(frozenset().union(*set(map(_FLAGS, changes))))

    def learnFlags(self, flags: frozenset[str]) -> bytes:
        """The same for the flags of a message."""
        keywords = self._keywords.union(flag for flag in flags if not flag.startswith("\\"))
        if keywords == self._keywords:
            return b""
        self._keywords = keywords
        return self.flagsLines()

    def flags(self, uid: int, flags: Iterable[str]) -> bytes:
        """A message's flags as this session sees them, without parentheses."""
        return response.flags((*flags, response.RECENT) if uid in self.recents else flags)

    def knows(self, changes: Sequence[MessageChange]) -> bytes:
        """The client knows of these changes: it made them, and is told, or asked not to be (RFC 3501 §6.4.6 .SILENT).

        Returns what it is told in either case: keywords that the mailbox did not have.
        """
        self._told.update(map(_UID_AND_MODSEQ, changes))
        return self.learn(changes)

    # --- News ------------------------------------------------------------------------------------------------------

    def removal(self, vanished: UIDSet) -> Removal:
        """What is to be taken out when these have been expunged, too. Pure: many ranges take long, and may do so in a thread."""
        spans = tuple(self.spans(self._gone | vanished))
        kept = array("I")
        at = 0
        for start, end in spans:
            kept.frombytes(self.uids[at:start].tobytes())
            at = end
        kept.frombytes(self.uids[at:].tobytes())
        gone = UIDSet.fromUIDs(uid for start, end in spans for uid in self.uids[start:end])
        return Removal(gone, spans, memoryview(kept))

    def notice(self, removal: Removal) -> None:
        """These were expunged; the client is told at a later time."""
        if not self._gone:
            self._goneAfter = self.modSeq
        self._gone = removal.gone

    def update(
        self,
        changes: Changes,
        mayExpunge: bool,
        isUID: bool = False,
        tellsFlags: bool = True,
        removal: Removal | None = None,
    ) -> Iterator[bytes]:
        """Take in what happened, and say what the client is to be told of it: expunges, arrivals, flags.

        The view is right only when all has been walked through.

        :param mayExpunge: numbers may change now; otherwise they do at a later time.
        :param isUID: FETCH responses name the UID.
        :param tellsFlags: the client wants to know of them (RFC 5465 §5.1).
        :param removal: `removal(changes.vanished)`, where it was worked out before.
        """
        if removal is None and (changes.vanished or self._gone):
            removal = self.removal(changes.vanished)
        if removal is not None:
            self.notice(removal)
        recent = self.recent
        if mayExpunge and removal is not None and self._gone:
            yield from self._expunge(removal)
        cut = bisect_right(changes.changed, self.lastUID, key=_UID)
        arrived, known = changes.changed[cut:], changes.changed[:cut]
        if arrived:
            self._extend(map(_UID, arrived))
            self.hasArrivals = self.tellsRecent
            yield self.countLines()
            yield self.learn(arrived)
        elif self.tellsRecent and self.recent != recent:
            yield b"* %d RECENT\r\n" % self.recent
        if self._told:
            known = tuple([change for change in known if self._told.get(change.uid) != change.modSeq])
        if tellsFlags:
            yield from self._flagsLines(known, isUID)
        elif known and self.flagsFrom is None:
            self.flagsFrom = self.modSeq
        self.modSeq = changes.modSeq
        self.owesModSeq |= bool(self._gone)
        self._told.clear()

    def owesExpunge(self, mayExpunge: bool) -> bool:
        """Whether an expunge that could not be told before can be now."""
        return mayExpunge and bool(self._gone)

    def compare(self, snapshot: Snapshot, changes: Changes) -> Changes:
        """What must have happened between this view and the mailbox as it is, where the log does not tell."""
        present = set(snapshot.uids)
        vanished = UIDSet.fromUIDs(uid for uid in self.uids if uid not in present)
        keywords = frozenset(snapshot.keywords)
        last = self.lastUID
        arrived = tuple(MessageChange(uid, 0, keywords) for uid in snapshot.uids if uid > last)
        return Changes(snapshot.status.highestModSeq, changes.uidNext, arrived, vanished)

    def _flagsLines(self, changes: Iterable[MessageChange], isUID: bool) -> Iterator[bytes]:
        at = 0
        manner = self.manner
        for change in changes:
            if change.uid not in self._gone:
                at = bisect_left(self.uids, change.uid, at)
                head = b"%d UIDFETCH (" % change.uid if manner.isUIDOnly else b"%d FETCH (" % (at + 1)
                uid = b"UID %d " % change.uid if (isUID or manner.hasModSeqs) and not manner.isUIDOnly else b""
                modSeq = b" MODSEQ (%d)" % change.modSeq if manner.hasModSeqs else b""
                flags = self.flags(change.uid, change.flags)
                yield b"%b* %b%bFLAGS (%b)%b)\r\n" % (self.learn((change,)), head, uid, flags, modSeq)

    def _expunge(self, removal: Removal) -> Iterator[bytes]:
        """Take the expunged messages out, and announce them: by UID, or from the last to the first, so that no number
        changes meanwhile.
        """
        self.uids, self._gone = removal.kept, UIDSet()
        self.owesModSeq = True
        if self.manner.saysVanished:
            yield b"* VANISHED %b\r\n" % str(removal.gone).encode("ascii")
            return
        for start, end in reversed(removal.spans):
            for number in range(end, start, -1):
                yield b"* %d EXPUNGE\r\n" % number

    def _extend(self, arrived: Iterable[int]) -> None:
        uids = array("I", self.uids.tobytes())
        uids.extend(arrived)
        self.uids = memoryview(uids)
