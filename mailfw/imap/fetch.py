"""FETCH (RFC 3501 §6.4.5), and telling flags by the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.errors import Refusal, UIDValidityChanged
from mailfw.imap.grammar.fetch import Attribute, Fetch, marksSeen
from mailfw.imap.grammar.response import Reply, no, ok
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
    uids = view.uidsOf(command.messages, command.isUID)
    marks = not view.isReadOnly and any(map(marksSeen, command.items))
    count = 0
    for page in view.pages(uids, PAGE) if marks else (uids,):
        marked = await _mark(session, page) if marks else {}
        renderer = Renderer(command.items, view.uids, view.recentFrom, marked, view.trees)
        await _stream(session, page, renderer)
        count += renderer.count
        if not session.channel.isOpen:
            break
    if not command.isUID and count < view.countOf(uids):
        return no("some of the messages have been expunged", b"EXPUNGEISSUED")
    return ok("fetched")


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
    """Send the flags of messages; → how many there were."""
    items = (Attribute.UID, Attribute.FLAGS) if isUID or session.isRev2 else (Attribute.FLAGS,)
    renderer = Renderer(items, session.view.uids, session.view.recentFrom)
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
