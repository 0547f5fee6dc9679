"""COPY and MOVE (RFC 3501 §6.4.7; RFC 6851; COPYUID of RFC 4315 §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.errors import NoSuchMailbox
from mailfw.imap import messagelimit, news
from mailfw.imap.append import tryCreate
from mailfw.imap.grammar.messages import Copy, Move
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.imap.grammar.sequence import runs
from mailfw.imap.progress import Progress
from mailfw.values import Copied
from mailfw.values import Copy as CopyMessages
from mailfw.values import Move as MoveMessages

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def _transfer(session: Session, command: Copy | Move, kind: type[CopyMessages | MoveMessages]) -> Copied | Reply:
    """Copy or move, all or nothing up to MESSAGELIMIT; a number whose message is gone already fails the command (RFC 2180
    §4.4).
    """
    view = session.view
    uids = view.uidsOf(command.messages, command.isUID)
    if kind is MoveMessages:
        uids = messagelimit.cut(session, uids)
    elif (refusal := messagelimit.refusal(session, view.countOf(uids))) is not None:
        return refusal
    if not command.isUID:
        await news.lookOut(session)
        if view.isGone(uids):
            return no("some of the messages have been deleted meanwhile", b"EXPUNGEISSUED")
    try:
        with Progress(session):
            account, local = await session.at(command.mailbox)
            owner = "" if account.owner == session.viewed.owner else account.owner
            copied = await session.change(kind(view.name, uids, local, owner, view.uidValidity))
    except NoSuchMailbox as refusal:
        return tryCreate(refusal)
    assert isinstance(copied, Copied)
    session.made(command.mailbox, copied.uidValidity, copied.copies)
    return copied


def _copyUID(copied: Copied) -> bytes:
    """`resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set`; nothing where nothing was copied."""
    if not copied.copies:
        return b""
    return b"COPYUID %d %b %b" % (copied.uidValidity, runs(copied.sources), runs(copied.copies))


async def copy(session: Session, command: Copy) -> Reply:
    """RFC 3501 §6.4.7"""
    copied = await _transfer(session, command, CopyMessages)
    return copied if isinstance(copied, Reply) else ok("copied", _copyUID(copied))


async def move(session: Session, command: Move) -> Reply:
    """RFC 6851 §3. COPYUID comes untagged, before the EXPUNGEs that follow as news of the mailbox (§4.3)."""
    if session.view.isReadOnly:
        return no("the mailbox was opened read-only", b"CANNOT")
    copied = await _transfer(session, command, MoveMessages)
    if isinstance(copied, Reply):
        return copied
    if copied.copies:
        session.channel.write(ok("moved", _copyUID(copied)).render())
    return ok("moved")


HANDLERS: Mapping[type, Handler] = {Copy: copy, Move: move}
