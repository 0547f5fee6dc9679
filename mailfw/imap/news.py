"""News of the selected mailbox: what happened there since the client was told last (RFC 3501 §5.2, §7.3; RFC 7162 §3.2).

The store's log tells what happened, the client's view (`selected`) what that means for it; a ring of the bell only says that it
is worth asking. What must not be told now stays in the view until it may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailfw.errors import Refusal, UIDValidityChanged, Unavailable
from mailfw.imap import fetch
from mailfw.imap.grammar.fetch import FetchItem
from mailfw.imap.selected import Removal, SelectedMailbox
from mailfw.imap.states import EXPUNGES
from mailfw.values import Changes, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Session

MANY_RANGES = 2000
"""Ranges of UIDs that are not worked on while others wait."""

MANY_CHANGES = 100
"""Changes to be told from which a hundred sessions that hear of them at once would keep others waiting."""


async def tell(session: Session, isAsked: bool, mayExpunge: bool, isUID: bool = False) -> None:
    """Tell the client what happened in the selected mailbox.

    :param isAsked: look even when no bell rang, for rings may get lost.
    """
    view = session.selected
    if view is None or not (isAsked or view.isRung or view.owesExpunge(mayExpunge)):
        return
    notifying = session.notifying
    if notifying is not None and not (notifying.tellsMessages or session.commandName in EXPUNGES):
        return
    view.isRung = False
    # "All unsolicited FETCH updates are required to include UID" (RFC 9051 Appendix E); so has NOTIFY it (RFC 5465 §5.1)
    isUID = isUID or session.isRev2 or notifying is not None
    last = view.lastUID
    changes = await _changes(session, view)
    if view.tellsRecent:
        view.toldElsewhere(session.recency.firstUntold(session.store, view.mailbox.info.mailboxId))
    if changes.isComplete:
        await _tellChanges(session, view, changes, mayExpunge, isUID)
    else:
        await _catchUp(session, view, changes, mayExpunge, isUID)
    if view.contexts:
        await view.contexts.changed(session, changes)
    if view.lastUID > last:
        await _tellArrivals(session, view, UIDSet(((last + 1, view.lastUID),)))
    if view.hasArrivals and session.mayClaim(view):
        session.recency.told(session.store, view.mailbox.info.mailboxId, view.lastUID)


async def _tellArrivals(session: Session, view: SelectedMailbox, arrived: UIDSet) -> None:
    """What the client asked to be told of new messages but its own, of each in one response, after ADDTO (RFC 5465 §5.2)."""
    wanted = view.contexts.itemsOf(arrived)
    if session.notifying is not None and session.notifying.items:
        wanted.append((arrived, session.notifying.items))
    made, view.made = view.made, UIDSet()
    items: dict[int, tuple[FetchItem, ...]] = {}
    for found, more in wanted:
        for uid in view.known(found - made):
            items[uid] = tuple(dict.fromkeys((*items.get(uid, ()), *more)))
    groups: dict[tuple[FetchItem, ...], list[int]] = {}
    for uid, group in items.items():
        groups.setdefault(group, []).append(uid)
    for group, uids in groups.items():
        try:
            await fetch.tell(session, UIDSet.fromUIDs(uids), group)
        except UIDValidityChanged:
            raise
        except Refusal as refusal:  # a part's encoding is unknown, say; that there are messages was told
            session.channel.log.debug("new messages could not be told of: {refusal}", refusal=refusal)


async def _tellChanges(session: Session, view: SelectedMailbox, changes: Changes, mayExpunge: bool, isUID: bool) -> None:
    """What goes from the results that the client follows is told while its number still means it."""
    session.channel.write(view.contexts.gone(changes.vanished, view.uids))
    tellsFlags = session.notifying is None or session.notifying.tellsFlags
    removal = await _removal(session, view, changes.vanished)
    if len(changes.changed) > MANY_CHANGES:
        await session.channel.breathe()
    await session.send(view.update(changes, mayExpunge, isUID, tellsFlags, removal))


async def _removal(session: Session, view: SelectedMailbox, vanished: UIDSet) -> Removal | None:
    """Many ranges take too long for others to wait."""
    if len(vanished.ranges) < MANY_RANGES:
        return None
    return await session.channel.think(lambda: view.removal(vanished))


async def lookOut(session: Session) -> None:
    """Learn which messages others have expunged, without telling the client yet."""
    changes = await _changes(session, session.view)
    if changes.vanished:
        session.view.notice(await _removal(session, session.view, changes.vanished) or session.view.removal(changes.vanished))


async def _changes(session: Session, view: SelectedMailbox) -> Changes:
    try:
        return await view.mailbox.changesSince(view.modSeq)
    except Refusal:
        raise
    except Exception:
        session.channel.log.failure("a store could not tell what changed")
        raise Unavailable() from None


async def _catchUp(session: Session, view: SelectedMailbox, changes: Changes, mayExpunge: bool, isUID: bool) -> None:
    """The log does not reach back to what this session knows: compare with the mailbox as it is, and tell all flags."""
    snapshot = await view.mailbox.snapshot()
    await _tellChanges(session, view, view.compare(snapshot, changes), mayExpunge, isUID)
    await fetch.tellFlags(session, UIDSet(((1, view.lastUID),)))
