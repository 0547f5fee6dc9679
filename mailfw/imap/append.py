"""APPEND: a message from the client (RFC 3501 §6.3.11; APPENDUID of RFC 4315 §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.errors import NoSuchMailbox
from mailfw.imap.grammar.messages import Append
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.values import Append as AppendMessages
from mailfw.values import Appended, NewMessage

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


def tryCreate(refusal: NoSuchMailbox) -> Reply:
    """The target is not there, but could be made (RFC 3501 §7.1 TRYCREATE)."""
    return no(refusal.text, b"TRYCREATE")


async def append(session: Session, command: Append) -> Reply:
    """RFC 3501 §6.3.11"""
    source = command.message.source
    if source is None or not source.size:
        return no("a message cannot be empty", b"CANNOT")
    message = NewMessage(source, command.flags, command.internalDate)
    try:
        [appended] = await session.account.apply([AppendMessages(command.mailbox, (message,))])
    except NoSuchMailbox as refusal:
        return tryCreate(refusal)
    assert isinstance(appended, Appended)
    session.made(appended.uidValidity, appended.uids)
    return ok("appended", b"APPENDUID %d %d" % (appended.uidValidity, appended.uids[0]))


HANDLERS: Mapping[type, Handler] = {Append: append}
