"""NOTIFY: being told of what happens, in the selected mailbox and in others, without asking (RFC 5465).

The account's log says which names something happened to; what that was is found by comparing with what the client was told last:
counters for messages, the tree for names and subscriptions. So a bell may ring once for many changes, or a ring get lost, and
the client still learns of all that is so in the end.

What this session does itself to names is not told (§5); the counters of a mailbox into which it copied are, for others may have
copied too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import evolve

from mailfw.errors import NoPermission, NoSuchMailbox, Refusal, UIDValidityChanged
from mailfw.imap import listing, metadata, news
from mailfw.imap.fetch import tellFlags
from mailfw.imap.grammar.mailboxes import StatusItem
from mailfw.imap.grammar.notify import MESSAGE_EVENTS, SELECTED, Event, EventGroup, Filter, Notify
from mailfw.imap.grammar.response import Reply, no, ok, untagged
from mailfw.imap.sight import isOthers
from mailfw.imap.status import COUNTERS
from mailfw.interfaces import IMailbox
from mailfw.values import MailboxInfo, MailboxStatus, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

MAX_WATCHED = 1000
"""Mailboxes whose messages one session can be told of: more is NOTIFICATIONOVERFLOW (RFC 5465 §5.8)."""

MAX_CHANGED = 1000
"""Names to which something may happen at a time; beyond it the client is told no more, and has to look for itself."""

_METADATA_EVENTS = frozenset((Event.MAILBOX_METADATA_CHANGE, Event.SERVER_METADATA_CHANGE))
_OVERFLOW = b"NOTIFICATIONOVERFLOW"
_NONE = EventGroup(Filter.SELECTED)


async def notify(session: Session, command: Notify) -> Reply:
    """RFC 5465 §3.1. What was not told of the selected mailbox so far is told first, and so are flags not wanted before."""
    notifying = Notifying(command.groups)
    if not await notifying.begin(session, command.wantsStatus):
        return no("too many mailboxes to be told of", _OVERFLOW)
    if command.groups:
        session.notify(None)
        await news.tell(session, isAsked=True, mayExpunge=True)
        if notifying.tellsFlags and (view := session.selected) is not None and view.flagsFrom is not None:
            changes = await view.mailbox.changesSince(view.flagsFrom)
            uids = UIDSet.fromUIDs(change.uid for change in changes.changed)
            await tellFlags(session, uids & UIDSet(((1, view.lastUID),) if view.lastUID else ()), isUID=True)
            view.flagsFrom = None
    session.notify(notifying)
    return ok("you will be told" if command.groups else "you will be told nothing")


class Notifying:
    """What one client asked to be told, and what it was told last.

    :ivar tellsMessages: of the selected mailbox; :ivar tellsFlags: likewise.
    :ivar isDelayed: expunges there are told with commands only.
    :ivar items: what is told of each new message there.
    :ivar isRung: something may have happened somewhere.
    """

    def __init__(self, groups: Sequence[EventGroup]) -> None:
        selected = next((group for group in groups if group.filter in SELECTED), _NONE)
        self.tellsMessages = bool(selected.events)
        self.tellsFlags = Event.FLAG_CHANGE in selected.events
        self.isDelayed = selected.filter is Filter.SELECTED_DELAYED
        self.items = selected.items
        self.isRung = True
        self._wanted = _Wanted(group for group in groups if group.filter not in SELECTED)
        self._modSeqs: Mapping[str, int] = {}
        self._tree: Mapping[str, MailboxInfo] = {}
        self._shared: Mapping[str, bytes] = {}
        self._counters: dict[str, MailboxStatus] = {}

    async def begin(self, session: Session, wantsStatus: bool) -> bool:
        """Take note of how everything is, and tell the counters if asked; False: that is too much (RFC 5465 §3.1)."""
        if not self._wanted:
            return True
        sight = session.sight
        await sight.accounts()
        self._modSeqs, _ = await sight.changedSince({})
        self._tree = {info.name: info for info in await sight.listing()}
        self._shared = await self._sharedEntries(session)
        watched = [info for info in self._tree.values() if info.isSelectable and self._wanted.events(info) & MESSAGE_EVENTS]
        if len(watched) > MAX_WATCHED:
            return False
        for info in watched:
            try:
                status = await (await sight.open(info.name))[0].status()
            except NoPermission:
                session.channel.write(_noAccess(session, info))
                continue
            except (NoSuchMailbox, UIDValidityChanged):
                continue
            self._counters[info.name] = status
            if wantsStatus and not _isSelected(session, status.mailboxId):
                await _tellStatus(session, info.name, status, _asked(self._wanted.events(info)))
        return True

    # --- What happened ---------------------------------------------------------------------------------------------

    async def tell(self, session: Session) -> None:
        """Tell what happened since the last time, but to messages of the selected mailbox.

        :raises Refusal: the store cannot say now; what is owed stays owed.
        """
        if not self.isRung or not self._wanted:
            return
        self.isRung = False
        try:
            modSeqs, names = await session.sight.changedSince(self._modSeqs)
            if len(names) <= MAX_CHANGED:
                await self._tellNames(session, names)
                await self._tellMetadata(session)
        except Refusal:
            self.isRung = True
            raise
        self._modSeqs = modSeqs
        if len(names) > MAX_CHANGED or len(self._counters) > MAX_WATCHED:
            session.channel.write(ok("too much happens, look for yourself", _OVERFLOW).render())
            session.notify(Notifying(()))

    async def _tellNames(self, session: Session, names: Iterable[str]) -> None:
        """Tell what happened to some names, and to messages in them."""
        changed: list[tuple[IMailbox, MailboxInfo]] = []
        isTreeOld = False
        for name in names:
            try:
                mailbox, info = await session.sight.open(name)
            except (NoSuchMailbox, NoPermission, UIDValidityChanged):
                isTreeOld = True
            else:
                known = self._tree.get(name)
                if known is not None and isOthers(name):
                    info = evolve(info, isSubscribed=known.isSubscribed)
                changed.append((mailbox, info))
                isTreeOld |= known != info
        if isTreeOld:
            await self._tellTree(session)
        for mailbox, info in changed:
            await self._tellMessages(session, mailbox, info)

    async def _tellMessages(self, session: Session, mailbox: IMailbox, info: MailboxInfo) -> None:
        """Of a mailbox that is not selected, the counters that changed (RFC 5465 §5.1, §5.2, §5.3)."""
        name = info.name
        events = self._wanted.events(info) & MESSAGE_EVENTS
        if not events:
            return
        try:
            now = await mailbox.status()
        except UIDValidityChanged:
            return
        before = self._counters.get(name) or _empty(now)
        self._counters[name] = now
        if not _isSelected(session, now.mailboxId):
            await _tellStatus(session, name, now, _changed(events, before, now, session.manner.hasModSeqs))

    async def _tellTree(self, session: Session) -> None:
        """Names that came, went or were changed, and subscriptions (RFC 5465 §5.4, §5.5)."""
        before = self._tree
        self._tree = now = {info.name: info for info in await session.sight.listing()}
        if len(self._counters) > MAX_WATCHED:  # names that are gone may come again, with another UIDVALIDITY
            self._counters = {name: status for name, status in self._counters.items() if name in now}
        own = session.ownNames
        lines = await session.channel.think(lambda: list(self._treeLines(session, before, now, own)))
        await session.send(lines)

    def _treeLines(
        self, session: Session, before: Mapping[str, MailboxInfo], now: Mapping[str, MailboxInfo], own: Collection[str]
    ) -> Iterator[bytes]:
        """`mailbox-list` for each name that is to be told of."""
        parents = listing.ancestors(name for name, info in now.items() if listing.exists(info))
        told = _namesChanged(before, now, own)
        resubscribed = {name for name in {*before, *now} if _isSubscribed(before.get(name)) != _isSubscribed(now.get(name))}
        for name in sorted({*told, *resubscribed}.difference(own)):
            info = now.get(name) or MailboxInfo(name, isSelectable=False)
            events = self._wanted.events(before.get(name), before.get(told.get(name, "")), info)
            isName = name in told and Event.MAILBOX_NAME in events
            if isName or (name in resubscribed and Event.SUBSCRIPTION_CHANGE in events):
                found = listing.attributes(info, name in parents, isExtended=True, isSubscribed=True)
                extended = listing.oldName(session, name, told.get(name, ""))
                yield listing.line(b"LIST", found, session.nameWord(name), extended)

    # --- Metadata --------------------------------------------------------------------------------------------------

    async def _tellMetadata(self, session: Session) -> None:
        """Entries that were set or removed, by their names (RFC 5465 §5.6, §5.7)."""
        if not self._wanted.anywhere & _METADATA_EVENTS:
            return
        changed: dict[str, list[str]] = {}
        for mailbox, entry in [*await session.sight.metadataSince(self._modSeqs), *await self._sharedSince(session)]:
            if (mailbox, entry) not in session.ownEntries and self._isMetadataWanted(mailbox):
                changed.setdefault(mailbox, []).append(entry)
        await session.send(metadata.namesLine(session, mailbox, entries) for mailbox, entries in changed.items())

    def _isMetadataWanted(self, mailbox: str) -> bool:
        if not mailbox:
            return Event.SERVER_METADATA_CHANGE in self._wanted.anywhere
        return Event.MAILBOX_METADATA_CHANGE in self._wanted.events(self._tree.get(mailbox))

    async def _sharedSince(self, session: Session) -> list[tuple[str, str]]:
        """What the server shares with all is in no account's log: it is compared with what it was last."""
        before, self._shared = self._shared, await self._sharedEntries(session)
        names = sorted({*before, *self._shared})
        return [("", name) for name in names if before.get(name) != self._shared.get(name)]

    async def _sharedEntries(self, session: Session) -> Mapping[str, bytes]:
        """By name, what tells whether an entry that the server shares is as it was."""
        if Event.SERVER_METADATA_CHANGE not in self._wanted.anywhere:
            return {}
        found = await session.account.metadata("", ("/shared",), None)
        return {name: sha256(value).digest() for name, value in found.items()}


class _Wanted:
    """Which events are to be told of which names (RFC 5465 §6). To ask costs the same, however many groups were named.

    INBOXES are PERSONAL, for filters may deliver to any mailbox (§6.3). Others' mailboxes are told of where they are named, or
    subscribed to.

    :ivar anywhere: those that are to be told of some name.
    """

    def __init__(self, groups: Iterable[EventGroup]) -> None:
        self._everywhere: frozenset[Event] = frozenset()
        self._subscribed: frozenset[Event] = frozenset()
        self._mailboxes: dict[str, frozenset[Event]] = {}
        self._subtrees: dict[str, frozenset[Event]] = {}
        for group in groups:
            match group.filter:
                case Filter.SUBSCRIBED:
                    self._subscribed |= group.events
                case Filter.MAILBOXES | Filter.SUBTREE:
                    named = self._mailboxes if group.filter is Filter.MAILBOXES else self._subtrees
                    named.update((name, named.get(name, frozenset()) | group.events) for name in group.names)
                case _:
                    self._everywhere |= group.events

        self.anywhere = self._everywhere.union(self._subscribed, *self._mailboxes.values(), *self._subtrees.values())

    def __bool__(self) -> bool:
        return bool(self.anywhere)

    def events(self, *infos: MailboxInfo | None) -> frozenset[Event]:
        """What is to be told of a name, before or after a change."""
        found: frozenset[Event] = frozenset()
        for info in infos:
            if info is None:
                continue
            if not isOthers(info.name):
                found |= self._everywhere
            if info.isSubscribed:
                found |= self._subscribed
            found |= self._mailboxes.get(info.name, frozenset())
            if self._subtrees:
                for name in (info.name, *listing.ancestors((info.name,))):
                    found |= self._subtrees.get(name, frozenset())
        return found


def _isSelected(session: Session, mailboxId: str) -> bool:
    return session.selected is not None and session.selected.mailbox.info.mailboxId == mailboxId


def _noAccess(session: Session, info: MailboxInfo) -> bytes:
    r"""`mbx-list-oflag =/ "\NoAccess"`: the name may be seen, and what happens in the mailbox may not (RFC 5465 §3.1)."""
    found = listing.attributes(info, hasChildren=False, isExtended=True, isSubscribed=True)
    kept = [each for each in found if each != b"\\HasNoChildren"]
    return listing.line(b"LIST", [*kept, b"\\NoAccess"], session.nameWord(info.name))


def _isSubscribed(info: MailboxInfo | None) -> bool:
    return info is not None and info.isSubscribed


# --- Names -----------------------------------------------------------------------------------------------------------


def _namesChanged(before: Mapping[str, MailboxInfo], now: Mapping[str, MailboxInfo], own: Collection[str]) -> dict[str, str]:
    """Names to which a MailboxName event happened, each with the name it had before, if it had another.

    What lies below a mailbox that was renamed is not named; what lies above one that came or went is (RFC 5465 §5.4).

    :param own: what the client does itself, and is not told.
    """
    was = {info.mailboxId: name for name, info in before.items() if listing.exists(info)}
    is_ = {info.mailboxId: name for name, info in now.items() if listing.exists(info)}
    renamed = {is_[each]: was[each] for each in was.keys() & is_.keys() if was[each] != is_[each]}
    told = {name: old for name, old in renamed.items() if not _follows(name, old, renamed)}
    came = {is_[each] for each in is_.keys() - was.keys()}
    went = {was[each] for each in was.keys() - is_.keys()}
    for name in (came | went).difference(own):
        told.setdefault(name, "")
        if parent := name.rpartition("/")[0]:
            told.setdefault(parent, "")
    return told


def _follows(name: str, oldName: str, renamed: Mapping[str, str]) -> bool:
    """Whether a mailbox has another name only because one above it has."""
    above, _, last = name.rpartition("/")
    oldAbove, _, oldLast = oldName.rpartition("/")
    return bool(above) and last == oldLast and renamed.get(above) == oldAbove


# --- Counters --------------------------------------------------------------------------------------------------------


def _empty(status: MailboxStatus) -> MailboxStatus:
    """What a mailbox was before it had a message."""
    return MailboxStatus(status.mailboxId, status.uidValidity, 1, status.highestModSeq, 0, 0, 0, 0, 1)


def _asked(events: frozenset[Event]) -> tuple[StatusItem, ...]:
    """What NOTIFY SET STATUS tells (RFC 5465 §3.1)."""
    items = (StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY)
    return (*items, StatusItem.UNSEEN, StatusItem.HIGHESTMODSEQ) if Event.FLAG_CHANGE in events else items


def _changed(events: frozenset[Event], before: MailboxStatus, now: MailboxStatus, hasModSeqs: bool) -> Sequence[StatusItem]:
    """The counters to be told: of each event those that it concerns, and nothing where nothing is to be told of."""
    items: list[StatusItem] = []
    arrived = now.uidNext - before.uidNext
    if arrived or before.messages + arrived != now.messages or before.uidValidity != now.uidValidity:
        items += (StatusItem.MESSAGES, StatusItem.UIDNEXT)
    if Event.FLAG_CHANGE in events and before.unseen != now.unseen:
        items.append(StatusItem.UNSEEN)
    isFlagged = Event.FLAG_CHANGE in events and before.highestModSeq != now.highestModSeq
    if hasModSeqs and (items or isFlagged):
        items.append(StatusItem.HIGHESTMODSEQ)
    return (*items, StatusItem.UIDVALIDITY) if items else ()


async def _tellStatus(session: Session, name: str, status: MailboxStatus, items: Iterable[StatusItem]) -> None:
    """`"STATUS" SP mailbox SP "(" status-att-list ")"`, of items that are asked for, no faster than the client reads."""
    words = b" ".join(b"%b %d" % (item.value, COUNTERS[item](status)) for item in items)
    if words:
        session.channel.write(untagged(b"STATUS", session.nameWord(name), b"(%b)" % words))
        await session.channel.drain()


HANDLERS: Mapping[type, Handler] = {Notify: notify}
