"""FETCH (RFC 3501 §6.4.5; its modifiers: RFC 7162 §3.1.4, §3.2.6, RFC 9394 §3.3), and telling flags by the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mailfw.errors import Refusal, UIDValidityChanged
from mailfw.imap import condstore, messagelimit, qresync
from mailfw.imap.grammar.fetch import Attribute, Fetch, FetchItem, marksSeen
from mailfw.imap.grammar.response import Reply, bad, no, ok
from mailfw.imap.rendering import Renderer
from mailfw.values import Flag, FlagChange, FlagsSet, SetFlags, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

PAGE = 500
"""Messages that get \\Seen at a time, just before they are sent: a client that goes away has not seen the rest."""


async def fetch(session: Session, command: Fetch) -> Reply:
    """RFC 3501 §6.4.5. A message that others have expunged is left out; by number that is told at the end (RFC 2180
    §4.1).
    """
    view = session.view
    if command.modifiers.wantsVanished and not session.manner.hasResync:
        return bad("VANISHED needs ENABLE QRESYNC")
    if (partial := command.modifiers.partial) and (refusal := messagelimit.refusal(session, partial.size)):
        return refusal
    if Attribute.MODSEQ in command.items:
        condstore.used(session)
    uids = await _chosen(session, command)
    marks = not view.isReadOnly and "s" in view.mailbox.info.rights and any(map(marksSeen, command.items))
    items = _answered(session, command, marks)
    count = 0
    for page in view.pages(uids, PAGE) if marks else (uids,):
        marked = await _mark(session, page) if marks else {}
        renderer = Renderer(items, view.uids, view.recents, marked, view.trees, session.manner, view.learnFlags)
        await _stream(session, page, renderer)
        count += renderer.count
        if not session.channel.isOpen:
            break
    if not command.isUID and count < view.countOf(uids):
        return no("some of the messages have been deleted meanwhile", b"EXPUNGEISSUED")
    return ok("fetched")


async def _chosen(session: Session, command: Fetch) -> UIDSet:
    """The messages that a FETCH is about: of the part of the set that was asked for, those that changed (RFC 9394 §3.4)."""
    view, modifiers = session.view, command.modifiers
    uids = view.uidsOf(command.messages, command.isUID)
    if modifiers.partial is not None:
        uids = view.part(uids, *modifiers.partial.within(view.countOf(uids)))
    if modifiers.changedSince is not None:
        changes = await view.mailbox.changesSince(modifiers.changedSince)
        if modifiers.wantsVanished:
            await qresync.tellVanished(session, changes, command.messages.resolve(max(1, changes.uidNext - 1)))
        uids &= UIDSet.fromUIDs(change.uid for change in changes.changed)
    return messagelimit.cut(session, uids)


def _answered(session: Session, command: Fetch, marks: bool) -> Sequence[FetchItem]:
    """The items of the answers: where \\Seen may be set, clients that know MODSEQs are told them (RFC 7162 §3.2.4); those that
    know nothing but UIDs need no UID beside it.
    """
    items, manner = command.items, session.manner
    if manner.isUIDOnly and command.impliesUID:
        items = items[1:]
    if marks and manner.hasModSeqs:
        items = tuple(dict.fromkeys((*items, *(() if manner.isUIDOnly else (Attribute.UID,)), Attribute.MODSEQ)))
    return items


async def _mark(session: Session, uids: UIDSet) -> Mapping[int, frozenset[str]]:
    """Give messages \\Seen; → those that did not have it, with their flags now.

    That it cannot be done for the moment keeps nobody from reading mail.
    """
    view = session.view
    try:
        done = await session.change(
            SetFlags(view.name, uids, FlagChange.ADD, frozenset((Flag.SEEN,)), uidValidity=view.uidValidity)
        )
    except UIDValidityChanged:
        raise
    except Refusal as refusal:
        session.channel.log.warn("messages could not be marked as seen: {refusal}", refusal=refusal)
        return {}
    assert isinstance(done, FlagsSet)
    session.channel.write(view.knows(done.changed))
    return {change.uid: change.flags for change in done.changed}


async def tellFlags(session: Session, uids: UIDSet, isUID: bool = False) -> int:
    """Send the flags of messages, as the client wants to be told of changes; → how many there were."""
    return await tell(session, uids, (Attribute.FLAGS,), isUID)


async def tell(session: Session, uids: UIDSet, items: Sequence[FetchItem], isUID: bool = False) -> int:
    """Send items of messages, with UID and MODSEQ for clients that know these (RFC 7162 §3.2.4); → how many there were."""
    view, manner = session.view, session.manner
    if manner.hasModSeqs or isUID or session.isRev2:
        uid = () if manner.isUIDOnly else (Attribute.UID,)
        items = (*uid, *items, *((Attribute.MODSEQ,) if manner.hasModSeqs else ()))
    items = tuple(dict.fromkeys(items))
    renderer = Renderer(items, view.uids, view.recents, trees=view.trees, manner=manner, learn=view.learnFlags)
    await _stream(session, uids, renderer)
    return renderer.count


async def _stream(session: Session, uids: UIDSet, renderer: Renderer) -> None:
    try:
        rows = session.view.mailbox.rows(uids, renderer.columns, renderer)
        await session.walk(rows, lambda pieces: session.channel.write(b"".join(pieces)))
    except BaseException:
        if renderer.isInside:
            # The octets announced cannot be sent; whatever else was would be taken for them.
            session.channel.abort()
        raise


HANDLERS: Mapping[type, Handler] = {Fetch: fetch}
