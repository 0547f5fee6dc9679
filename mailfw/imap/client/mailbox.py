"""A selected mailbox: its view, and what can be asked about its messages (RFC 3501 §6.4).

Messages are meant by UID, unless `isUID` says otherwise. A command about no message is not sent.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterable, Sequence

from attrs import frozen
from twisted.internet.defer import Deferred

from mailfw import errors
from mailfw.errors import NotSupported
from mailfw.imap.client.session import IMAPClient, Pending
from mailfw.imap.client.stream import Stream
from mailfw.imap.client.view import View
from mailfw.imap.grammar.answers import Answer, Status, Vanished
from mailfw.imap.grammar.fetch import Attribute, BodySection, Fetch, FetchItem, sectionLabel
from mailfw.imap.grammar.fetched import Fetched
from mailfw.imap.grammar.found import ExtendedFound, Found, Ranges, Threads
from mailfw.imap.grammar.mailboxes import Select
from mailfw.imap.grammar.messages import Close, Copy, Expunge, Move, Store, Unselect
from mailfw.imap.grammar.modifiers import FetchModifiers, Resync, SelectParameters
from mailfw.imap.grammar.partial import Partial
from mailfw.imap.grammar.search import Key
from mailfw.imap.grammar.searching import Return, Returns, Search, Sort, Thread
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.message.criteria import All
from mailfw.message.section import Section
from mailfw.message.sort import SortKey
from mailfw.message.thread import Algorithm
from mailfw.values import FlagChange, UIDSet

Messages = UIDSet | SequenceSet | Iterable[int]
"""Which messages: their UIDs, or a set in which `*` or `$` stands."""

ALL = SequenceSet(((1, 0),))
"""`1:*`"""

DOWNLOAD = 1 << 20
"""Octets of a message that are asked for at a time."""

_EVERY = All()
_TOLD_BY_THEMSELVES = frozenset((Attribute.UID, Attribute.FLAGS, Attribute.MODSEQ))


def sequenceSet(messages: Messages) -> SequenceSet:
    """Messages as a command names them."""
    if isinstance(messages, SequenceSet):
        return messages
    return SequenceSet((messages if isinstance(messages, UIDSet) else UIDSet.fromUIDs(messages)).ranges)


@frozen
class CopiedTo:
    """What messages became in another mailbox (RFC 4315 §3 COPYUID). :ivar sources: and :ivar targets: UIDs, pairwise."""

    uidValidity: int
    sources: Ranges
    targets: Ranges


class Mailbox:
    """What `select` gives. It is of use until another is selected.

    :ivar view: what is known of it; of `changed` messages at the time of opening, with QRESYNC, it knows the flags.
    :ivar changed: what the server said of messages while it was opened.
    """

    def __init__(self, client: IMAPClient, view: View, changed: Sequence[Fetched] = ()) -> None:
        self.view = view
        self.changed = changed
        self._client = client

    def _check(self) -> None:
        if self._client.view is not self.view:
            raise RuntimeError("the mailbox is not selected any more")

    # --- Fetching ----------------------------------------------------------------------------------------------------

    def fetch(
        self,
        messages: Messages,
        *items: FetchItem,
        isUID: bool = True,
        changedSince: int | None = None,
        wantsVanished: bool = False,
        partial: Partial | None = None,
    ) -> Stream[Fetched]:
        """FETCH, message after message as they come; the order is the server's.

        Flags of other messages that the server tells of meanwhile may be among them, where only such attributes are asked for.

        :param changedSince: only messages with a higher MODSEQ (RFC 7162 §3.1.4.1).
        :param wantsVanished: what was expunged since then is added to `view.vanished`, with QRESYNC enabled.
        :param partial: only so many of the messages (RFC 9394).
        """
        self._check()
        stream: Stream[Fetched] = Stream(self._client.flow, weight)
        wanted = sequenceSet(messages)
        if not wanted.ranges and not wanted.isSaved:
            stream.finish()
            return stream
        telling = [item for item in items if item not in _TOLD_BY_THEMSELVES]

        def take(answer: Answer) -> bool:
            if isinstance(answer, Vanished) and answer.isEarlier and wantsVanished:
                return True
            if not isinstance(answer, Fetched):
                return False
            isFor = any(map(answer.holds, telling)) if telling else all(map(answer.holds, items))
            if isFor:
                stream.push(answer)
            return isFor

        modifiers = FetchModifiers(changedSince, wantsVanished, partial)
        command = Fetch(wanted, items, isUID, modifiers=modifiers)
        begun = Deferred.fromCoroutine(self._client.begin(command, Pending(take, isFull=lambda: stream.isFull)))
        begun.addCallbacks(lambda status: stream.finish(), lambda failure: stream.finish(failure.value))
        return stream

    async def download(
        self, uid: int, section: Section | None = None, size: int = DOWNLOAD, start: int = 0
    ) -> AsyncIterator[bytes]:
        r"""A message, or a section of it, piece by piece, so that no more than a piece is ever in memory; \Seen stays as it is.

        :param start: octets that are had already.
        :raises Vanished: the message is not there any more.
        """
        wanted = section or Section()
        while True:
            partial = (start, size)
            item = BodySection(wanted, sectionLabel(wanted, partial), partial, isPeek=True)
            pieces = [fetched.section(item) async for fetched in self.fetch((uid,), item) if fetched.uid == uid]
            if not pieces:
                raise errors.Vanished()
            piece = pieces[0] or b""
            start += len(piece)
            if piece:
                yield piece
            if len(piece) < size:
                return

    # --- Changing ----------------------------------------------------------------------------------------------------

    async def store(
        self,
        messages: Messages,
        flags: Iterable[str],
        change: FlagChange = FlagChange.ADD,
        *,
        isUID: bool = True,
        isSilent: bool = False,
        unchangedSince: int | None = None,
    ) -> UIDSet:
        """STORE. What the server says of flags and MODSEQs goes to the view.

        :param isSilent: the server need not say what the flags of messages are that only this changes; the view works it out.
        :param unchangedSince: leave messages alone that have a higher MODSEQ (RFC 7162 §3.1.3).
        :returns: those that were left alone; by number where messages were meant so.
        :raises Vanished: some are not there any more; the others are changed.
        """
        self._check()
        wanted = sequenceSet(messages)
        if not wanted.ranges and not wanted.isSaved:
            return UIDSet()
        isSilent = isSilent and isUID and not wanted.isSaved
        command = Store(wanted, change, frozenset(flags), isSilent, isUID, unchangedSince)
        status = await self._client.perform(command, lambda answer: isinstance(answer, Fetched))
        modified = _set(status, b"MODIFIED")
        if isSilent:
            self.view.stored(wanted.resolve(max(self.view.flags, default=1)) - modified, change, command.flags)
        return modified

    async def copy(self, messages: Messages, mailbox: str, isUID: bool = True) -> CopiedTo | None:
        """COPY. → What they became there; None where the server does not say. :raises NoSuchMailbox: :raises OverQuota:"""
        self._check()
        wanted = sequenceSet(messages)
        if not wanted.ranges and not wanted.isSaved:
            return None
        return _copied(await self._client.perform(Copy(wanted, mailbox, isUID)))

    async def move(self, messages: Messages, mailbox: str) -> CopiedTo | None:
        """MOVE (RFC 6851), or what comes next to it where the server has only UIDPLUS.

        :returns: and :raises: as `copy`.
        :raises NotSupported: the server has neither.
        """
        self._check()
        wanted = sequenceSet(messages)
        if not wanted.ranges and not wanted.isSaved:
            return None
        if not self._client.has("MOVE", "IMAP4REV2"):
            return await self._moveByCopy(wanted, mailbox)
        said: list[CopiedTo] = []

        def take(answer: Answer) -> bool:
            found = _copied(answer) if isinstance(answer, Status) else None
            said.extend([found] if found is not None else [])
            return found is not None

        status = await self._client.perform(Move(wanted, mailbox, isUID=True), take)
        return said[0] if said else _copied(status)

    async def _moveByCopy(self, wanted: SequenceSet, mailbox: str) -> CopiedTo | None:
        if not self._client.has("UIDPLUS"):
            raise NotSupported("the server cannot move messages, nor expunge some of them alone")
        copied = await self.copy(wanted, mailbox)
        await self.store(wanted, ("\\Deleted",))
        await self.expunge(wanted)
        return copied

    async def expunge(self, messages: Messages | None = None) -> None:
        """EXPUNGE, or of some messages UID EXPUNGE (RFC 4315 §2.1): of these, those that have \\Deleted."""
        self._check()
        wanted = None if messages is None else sequenceSet(messages)
        if wanted is None or wanted.ranges or wanted.isSaved:
            await self._client.perform(Expunge(wanted))

    # --- Searching ---------------------------------------------------------------------------------------------------

    async def search(
        self, key: Key = _EVERY, *returns: Return, isUID: bool = True, partial: Partial | None = None
    ) -> ExtendedFound:
        """SEARCH, by ESEARCH where the server has it (RFC 4731); where it has not, MIN, MAX, COUNT and ALL are made here.

        :param returns: what is wanted; ALL if nothing is said.
        """
        self._check()
        wanted = frozenset(returns) or frozenset((Return.PARTIAL if partial is not None else Return.ALL,))
        if not self._client.has("ESEARCH", "IMAP4REV2"):
            return await self._searchPlainly(key, isUID)
        found = await self._extended(Search(key, isUID, Returns(wanted, partial)))
        return found or ExtendedFound(isUID=isUID)

    async def _extended(self, command: object) -> ExtendedFound | None:
        found: list[ExtendedFound] = []
        tag = b""

        def take(answer: Answer) -> bool:
            isFor = isinstance(answer, ExtendedFound) and answer.tag in (b"", tag) and not (answer.added or answer.removed)
            if isFor:
                assert isinstance(answer, ExtendedFound)
                found.append(answer)
            return isFor

        performed = self._client.perform(command, take)
        tag = self._client.nextTag
        await performed
        return found[0] if found else None

    async def _searchPlainly(self, key: Key, isUID: bool) -> ExtendedFound:
        found = await self._client.gather(Search(key, isUID), Found)
        numbers = sorted(number for answer in found for number in answer.numbers)
        modSeq = max((answer.modSeq for answer in found), default=0)
        if not numbers:
            return ExtendedFound(isUID=isUID, count=0, modSeq=modSeq)
        everything = Ranges(UIDSet.fromUIDs(numbers).ranges)
        return ExtendedFound(
            isUID=isUID, minimum=numbers[0], maximum=numbers[-1], count=len(numbers), all=everything, modSeq=modSeq
        )

    async def sort(self, order: Sequence[SortKey], key: Key = _EVERY, isUID: bool = True) -> array[int]:
        """SORT (RFC 5256). → Messages in that order."""
        self._check()
        found = await self._client.gather(Sort(tuple(order), key, isUID), Found)
        return found[0].numbers if found else array("I")

    async def thread(self, algorithm: Algorithm, key: Key = _EVERY, isUID: bool = True) -> Threads:
        """THREAD (RFC 5256)."""
        self._check()
        found = await self._client.gather(Thread(algorithm, key, isUID), Threads)
        return found[0] if found else Threads()

    # --- Leaving -----------------------------------------------------------------------------------------------------

    async def unselect(self) -> None:
        """UNSELECT (RFC 3691): leave it as it is."""
        await self._leave(Unselect())

    async def close(self) -> None:
        """CLOSE: expunge what has \\Deleted, and leave."""
        await self._leave(Close())

    async def _leave(self, command: object) -> None:
        self._check()
        await self._client.perform(command)
        self._client.view = None


async def select(
    client: IMAPClient, name: str, *, isReadOnly: bool = False, isCondstore: bool = False, resync: Resync | None = None
) -> Mailbox:
    """SELECT, or EXAMINE.

    :param isCondstore: MODSEQs are to be told (RFC 7162 §3.1.8).
    :param resync: what is known from last time; QRESYNC must be enabled (RFC 7162 §3.2.5).
    :raises NoSuchMailbox: none is selected then.
    """
    view = View(name, isReadOnly)
    changed: list[Fetched] = []

    def take(answer: Answer) -> bool:
        if isinstance(answer, Fetched) and client.view is view:
            changed.append(answer)
            return True
        return False

    with client.opening(view):
        await client.perform(Select(name, isReadOnly, SelectParameters(isCondstore, resync)), take)
    return Mailbox(client, view, changed)


def weight(message: Fetched) -> int:
    """Octets that a message takes in memory, about."""
    return sum(len(octets) for octets in message.sections.values() if octets is not None)


def _set(status: Status, name: bytes) -> UIDSet:
    if status.code.name != name:
        return UIDSet()
    try:
        return Ranges.parse(status.code.rest).uids
    except ValueError:
        return UIDSet()


def _copied(status: Status) -> CopiedTo | None:
    """`resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set` (RFC 4315 §4); None where it is none, or makes no sense."""
    words = status.code.rest.split()
    if status.code.name != b"COPYUID" or len(words) != 3 or not words[0].isdigit():
        return None
    try:
        sources, targets = Ranges.parse(words[1]), Ranges.parse(words[2])
        return CopiedTo(int(words[0]), sources, targets) if len(sources) == len(targets) else None
    except ValueError:
        return None
