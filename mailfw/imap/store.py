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
        if command.isSilent:
            await _storeSilently(session, command, page)
        else:
            session.channel.write(view.knows((await _change(session, command, page)).changed))
            told += await tellFlags(session, page, command.isUID)
        if expected > PAGE:
            await session.news(isAsked=True, mayExpunge=False, isUID=command.isUID)
    if told < expected and not (command.isSilent or command.isUID):
        return no("some of the messages have been expunged", b"EXPUNGEISSUED")
    return ok("flags stored")


async def _change(session: Session, command: Store, uids: UIDSet) -> FlagsSet:
    view = session.view
    done = await session.change(SetFlags(view.name, uids, command.change, command.flags, uidValidity=view.uidValidity))
    assert isinstance(done, FlagsSet)
    return done


async def _storeSilently(session: Session, command: Store, uids: UIDSet) -> None:
    """Change flags of which the client knows what they become, so that only the changes of others are told.

    Our change hides any earlier one of the same message in the log. So the client is told the news first; and when the
    account counted more than our change since, another's may have come in between, and the flags are told after all.
    """
    view = session.view
    highest, _ = await session.account.changedSince(view.modSeq)
    await session.news(isAsked=True, mayExpunge=False, isUID=command.isUID)
    done = await _change(session, command, uids)
    learn = view.knows if done.modSeq == highest + 1 else view.learn
    session.channel.write(learn(done.changed))


HANDLERS: Mapping[type, Handler] = {Store: store}
