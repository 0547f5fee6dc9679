"""Opening a mailbox and leaving it (RFC 3501 §6.3.1, §6.3.2, §6.4.1, §6.4.2; RFC 3691; RFC 7162 §3.1.8, §3.2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from mailfw.imap import condstore, listing, qresync
from mailfw.imap.fetch import tellFlags
from mailfw.imap.grammar.mailboxes import Select
from mailfw.imap.grammar.messages import Check, Close, Unselect
from mailfw.imap.grammar.response import Reply, bad, ok
from mailfw.imap.mailboxes import mailboxId
from mailfw.imap.selected import SelectedMailbox
from mailfw.values import Expunge, Snapshot

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def select(session: Session, command: Select) -> Reply:
    """RFC 3501 §6.3.1, §6.3.2. Even when it fails, the mailbox that was selected before is not any more."""
    parameters = command.parameters
    if (objection := _objection(session, command)) is not None:
        return objection
    if session.selected is not None:
        await session.deselect()
        session.channel.write(ok("the previous mailbox is closed", b"CLOSED").render())
    account, local = await session.at(command.mailbox)
    mailbox = await account.open(local)
    isReadOnly = command.isReadOnly or not set(mailbox.info.rights) & set("swtie")  # RFC 4314 §5.2
    isOwn = account is session.account  # who looks into another's mailbox leaves what is \Recent to the owner
    snapshot = await mailbox.snapshot(claimRecent=isOwn and not isReadOnly and not session.isRev2)
    if parameters.isCondstore:
        condstore.used(session)
    snapshot = evolve(snapshot, status=session.recency.adjust(session.store, snapshot.status))
    view = SelectedMailbox(mailbox, snapshot, isReadOnly, session.manner, not session.isRev2, account)
    session.select(view)
    session.channel.write(_described(view, snapshot))
    if session.isRev2:
        session.channel.write(await listing.describe(session, session.sight.name(account, view.name), command.mailbox))
    if parameters.resync is not None:
        await tellFlags(session, await qresync.resynchronise(session, parameters.resync))
    if isReadOnly:
        return ok("opened, nothing can be changed", b"READ-ONLY")
    return ok("opened", b"READ-WRITE")


def _objection(session: Session, command: Select) -> Reply | None:
    resync = command.parameters.resync
    if resync is None:
        return None
    if not session.manner.hasResync:
        return bad("QRESYNC must be enabled first")
    if session.manner.isUIDOnly and resync.numbers:
        return bad("message numbers are not allowed", b"UIDREQUIRED")
    return None


def _described(view: SelectedMailbox, snapshot: Snapshot) -> bytes:
    status = snapshot.status
    lines = [view.flagsLines(), view.countLines()]
    tellsUnseen = view.tellsRecent and not view.manner.isUIDOnly
    if tellsUnseen and snapshot.firstUnseen and (number := view.number(snapshot.firstUnseen)) is not None:
        lines.append(ok("the first message not seen", b"UNSEEN %d" % number).render())
    lines.append(ok("whatever its name becomes", mailboxId(view.mailbox.info)).render())
    lines.append(ok("UIDs are valid", b"UIDVALIDITY %d" % status.uidValidity).render())
    lines.append(ok("the next message's UID at the least", b"UIDNEXT %d" % status.uidNext).render())
    if view.manner.hasModSeqs:
        lines.append(condstore.highestModSeq(status.highestModSeq))
    return b"".join(lines)


async def check(session: Session, command: Check) -> Reply:
    """RFC 3501 §6.4.1. Nothing waits to be written: what was answered is on disk."""
    return ok("checked")


async def close(session: Session, command: Close) -> Reply:
    """RFC 3501 §6.4.2. What has \\Deleted is expunged, and nothing said about it; nor where it may not be (RFC 4314 §4)."""
    view = session.view
    if not view.isReadOnly and "e" in view.mailbox.info.rights:
        await session.change(Expunge(view.name, uidValidity=view.uidValidity))
    await session.deselect()
    return ok("closed")


async def unselect(session: Session, command: Unselect) -> Reply:
    """RFC 3691 §2"""
    await session.deselect()
    return ok("left")


HANDLERS: Mapping[type, Handler] = {Select: select, Check: check, Close: close, Unselect: unselect}
