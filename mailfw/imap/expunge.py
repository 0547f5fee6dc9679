"""EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3; RFC 4315 §2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap import messagelimit
from mailfw.imap.grammar.messages import Expunge
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.values import ALL_UIDS, UIDSet
from mailfw.values import Expunge as ExpungeMessages

if TYPE_CHECKING:
    from mailfw.imap.selected import SelectedMailbox
    from mailfw.imap.session import Handler, Session

PAGE = 5000
"""Messages that are expunged at a time: a tenth of a second's work for whoever writes for all accounts."""


async def expunge(session: Session, command: Expunge) -> Reply:
    """Remove what has \\Deleted, page by page, so that others can write between two. Which numbers went is told as news of the
    mailbox, with what others expunged."""
    view = session.view
    if view.isReadOnly:
        return no("the mailbox was opened read-only", b"CANNOT")
    uids = ALL_UIDS
    if command.messages is not None:
        uids = await messagelimit.expunged(session, view.uidsOf(command.messages, isUID=True))
    for page in _pages(view, uids):
        await session.change(ExpungeMessages(view.name, page, uidValidity=view.uidValidity))
    return ok("expunged")


def _pages(view: SelectedMailbox, uids: UIDSet) -> list[UIDSet]:
    """A set in parts of at most `PAGE` messages that the client knows; those that it does not know are in the last."""
    pages = []
    start = 1
    for last in view.uids[PAGE - 1 :: PAGE]:
        if page := uids & UIDSet(((start, last),)):
            pages.append(page)
        start = last + 1
    return [*pages, uids & UIDSet(((start, ALL_UIDS.ranges[0][1]),))]


HANDLERS: Mapping[type, Handler] = {Expunge: expunge}
