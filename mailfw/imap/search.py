"""SEARCH, with results as the client wants them, remembered, or followed (RFC 3501 §6.4.4; RFC 4731, RFC 5182, RFC 5267)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.grammar.searching import CancelUpdate, Search, Unsearchable
from mailfw.imap.inquiry import Inquiry

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def search(session: Session, command: Search) -> Reply:
    """RFC 3501 §6.4.4. The answer is sent even when nothing was found."""
    inquiry = Inquiry(session, session.view, command.key, command.isUID, command.returns)
    return await inquiry.answer(b"SEARCH", ok("searched"))


async def unsearchable(session: Session, command: Unsearchable) -> Reply:
    """A search in a charset that is not known, whose results were to be saved."""
    if session.selected is not None:
        session.selected.saved = array("I")
    return command.reply


async def cancelUpdate(session: Session, command: CancelUpdate) -> Reply:
    """RFC 5267 §4.3.5. Nothing is told of a tag that is not followed, so that cancelling it is no error."""
    for tag in command.tags:
        session.view.contexts.cancel(tag)
    return ok("no further updates")


HANDLERS: Mapping[type, Handler] = {Search: search, Unsearchable: unsearchable, CancelUpdate: cancelUpdate}
