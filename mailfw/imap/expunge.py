"""EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3; RFC 4315 §2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap import messagelimit
from mailfw.imap.grammar.messages import Expunge
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.values import ALL_UIDS
from mailfw.values import Expunge as ExpungeMessages

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def expunge(session: Session, command: Expunge) -> Reply:
    """Remove what has \\Deleted. Which numbers went is told as news of the mailbox, with what others expunged."""
    view = session.view
    if view.isReadOnly:
        return no("the mailbox was opened read-only", b"CANNOT")
    uids = ALL_UIDS
    if command.messages is not None:
        uids = await messagelimit.expunged(session, view.uidsOf(command.messages, isUID=True))
    await session.change(ExpungeMessages(view.name, uids, uidValidity=view.uidValidity))
    return ok("expunged")


HANDLERS: Mapping[type, Handler] = {Expunge: expunge}
