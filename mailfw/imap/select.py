"""Opening a mailbox and leaving it (RFC 3501 §6.3.1, §6.3.2, §6.4.1, §6.4.2; RFC 3691)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from mailfw.imap.grammar.mailboxes import Select
from mailfw.imap.grammar.messages import Check, Close, Unselect
from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.selected import SelectedMailbox
from mailfw.values import Expunge, Snapshot

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def select(session: Session, command: Select) -> Reply:
    """RFC 3501 §6.3.1, §6.3.2. Even when it fails, the mailbox that was selected before is not any more."""
    if session.selected is not None:
        await session.deselect()
        session.channel.write(ok("the previous mailbox is closed", b"CLOSED").render())
    mailbox = await session.account.open(command.mailbox)
    snapshot = await mailbox.snapshot(claimRecent=not command.isReadOnly)
    snapshot = evolve(snapshot, status=session.recency(snapshot.status))
    view = SelectedMailbox(mailbox, snapshot, command.isReadOnly)
    session.select(view)
    session.channel.write(_described(view, snapshot))
    if command.isReadOnly:
        return ok("opened, nothing can be changed", b"READ-ONLY")
    return ok("opened", b"READ-WRITE")


def _described(view: SelectedMailbox, snapshot: Snapshot) -> bytes:
    status = snapshot.status
    lines = [view.flagsLines(), b"* %d EXISTS\r\n* %d RECENT\r\n" % (view.count, view.recent)]
    if snapshot.firstUnseen and (number := view.number(snapshot.firstUnseen)) is not None:
        lines.append(ok("the first message not seen", b"UNSEEN %d" % number).render())
    lines.append(ok("UIDs are valid", b"UIDVALIDITY %d" % status.uidValidity).render())
    lines.append(ok("the next message's UID at the least", b"UIDNEXT %d" % status.uidNext).render())
    return b"".join(lines)


async def check(session: Session, command: Check) -> Reply:
    """RFC 3501 §6.4.1. Nothing waits to be written: what was answered is on disk."""
    return ok("checked")


async def close(session: Session, command: Close) -> Reply:
    """RFC 3501 §6.4.2. What has \\Deleted is expunged, and nothing said about it."""
    view = session.view
    if not view.isReadOnly:
        await session.change(Expunge(view.name, uidValidity=view.uidValidity))
    await session.deselect()
    return ok("closed")


async def unselect(session: Session, command: Unselect) -> Reply:
    """RFC 3691 §2"""
    await session.deselect()
    return ok("left")


HANDLERS: Mapping[type, Handler] = {Select: select, Check: check, Close: close, Unselect: unselect}
