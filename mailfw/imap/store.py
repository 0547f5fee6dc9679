"""STORE (RFC 3501 §6.4.6), of messages that did not change since where the client asks so (RFC 7162 §3.1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap import condstore, messagelimit, news
from mailfw.imap.fetch import tell, tellFlags
from mailfw.imap.grammar.messages import Store
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.imap.grammar.sequence import runs
from mailfw.imap.selected import SelectedMailbox
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
    if command.unchangedSince is not None:
        condstore.used(session)
    uids = messagelimit.cut(session, view.uidsOf(command.messages, command.isUID))
    expected, told, failed = view.countOf(uids), 0, UIDSet()
    for page in view.pages(uids, PAGE):
        if command.isSilent:
            done = await _storeSilently(session, command, page)
        else:
            done = await _change(session, command, page)
            session.channel.write(view.knows(done.changed))
            told += await tellFlags(session, page, command.isUID)
        failed |= done.failed
        if expected > PAGE:
            await news.tell(session, isAsked=True, mayExpunge=False, isUID=command.isUID)
    modified = _modified(view, failed, command.isUID)
    if told < expected and not (command.isSilent or command.isUID):
        return no("some of the messages have been deleted meanwhile", modified or b"EXPUNGEISSUED")
    return ok("some of the messages had changed" if modified else "flags stored", modified)


def _modified(view: SelectedMailbox, failed: UIDSet, isUID: bool) -> bytes:
    """`resp-text-code = "MODIFIED" SP sequence-set` (RFC 7162 §3.1.3); nothing where all was done."""
    if not failed:
        return b""
    numbers = failed if isUID else filter(None, map(view.number, failed))
    return b"MODIFIED %b" % runs(numbers)


async def _change(session: Session, command: Store, uids: UIDSet) -> FlagsSet:
    view = session.view
    operation = SetFlags(view.name, uids, command.change, command.flags, command.unchangedSince, view.uidValidity)
    done = await session.change(operation)
    assert isinstance(done, FlagsSet)
    return done


async def _storeSilently(session: Session, command: Store, uids: UIDSet) -> FlagsSet:
    """Change flags of which the client knows what they become, so that only the changes of others are told.

    Our change hides any earlier one of the same message in the log. So the client is told the news first; and when the
    account counted more than our change since, another's may have come in between, and the flags are told after all.
    """
    view = session.view
    highest, _ = await session.viewed.changedSince(view.modSeq)
    await news.tell(session, isAsked=True, mayExpunge=False, isUID=command.isUID)
    done = await _change(session, command, uids)
    learn = view.knows if done.modSeq == highest + 1 else view.learn
    session.channel.write(learn(done.changed))
    if session.manner.hasModSeqs:
        await _tellModSeqs(session, command, uids, done)
    return done


async def _tellModSeqs(session: Session, command: Store, uids: UIDSet, done: FlagsSet) -> None:
    """MODSEQs are told in spite of .SILENT, and the flags of messages that had changed (RFC 7162 §3.1.3, §3.2.4)."""
    changed = UIDSet.fromUIDs(change.uid for change in done.changed)
    await tell(session, changed if command.unchangedSince is None else uids - done.failed, ())
    await tellFlags(session, done.failed)


HANDLERS: Mapping[type, Handler] = {Store: store}
