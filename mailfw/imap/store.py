"""STORE (RFC 3501 §6.4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap.fetch import tellFlags
from mailfw.imap.grammar.messages import Store
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.values import FlagsSet, SetFlags, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


PAGE = 5000
"""Messages whose flags are changed, and told, in one step: more would keep others waiting."""


async def store(session: Session, command: Store) -> Reply:
    """Change flags, and tell the new flags of every message asked for, unless the client asked for silence.

    Messages that others have expunged meanwhile are left out; by number that is told at the end (RFC 2180 §4.2).
    """
    view = session.view
    if view.isReadOnly:
        return no("the mailbox was opened read-only", b"CANNOT")
    uids = view.uidsOf(command.messages, command.isUID)
    expected, told = view.countOf(uids), 0
    for page in view.pages(uids, PAGE):
        await _change(session, command, page)
        if not command.isSilent:
            told += await tellFlags(session, page, command.isUID)
        if expected > PAGE:
            await session.news(isAsked=True, mayExpunge=False, isUID=command.isUID)
    if told < expected and not (command.isSilent or command.isUID):
        return no("some of the messages have been expunged", b"EXPUNGEISSUED")
    return ok("flags stored")


async def _change(session: Session, command: Store, uids: UIDSet) -> None:
    view = session.view
    done = await session.change(SetFlags(view.name, uids, command.change, command.flags, uidValidity=view.uidValidity))
    assert isinstance(done, FlagsSet)
    session.channel.write(view.knows(done.changed))


HANDLERS: Mapping[type, Handler] = {Store: store}
