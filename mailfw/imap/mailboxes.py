"""Changing the tree of mailboxes: make, delete, rename, subscribe (RFC 3501 §6.3.3–§6.3.7; RFC 2342, RFC 6154, RFC 8474)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.errors import NoPermission, NoSuchMailbox
from mailfw.imap import listing
from mailfw.imap.grammar.mailboxes import Create, Delete, Namespace, Rename, Subscribe
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.imap.sight import PREFIX
from mailfw.interfaces import IAccount
from mailfw.values import Create as CreateMailbox
from mailfw.values import Delete as DeleteMailbox
from mailfw.values import MailboxInfo, SpecialUse
from mailfw.values import Rename as RenameMailbox
from mailfw.values import Subscribe as SubscribeMailbox

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

_USES = {use.value.lower(): use for use in SpecialUse}
VIRTUAL = frozenset((SpecialUse.ALL, SpecialUse.FLAGGED))
"""Uses of mailboxes that show what is in others, which ours do not."""


def mailboxId(info: MailboxInfo) -> bytes:
    """`"MAILBOXID" SP "(" objectid ")"` (RFC 8474 §4)"""
    return b"MAILBOXID (%b)" % info.mailboxId.encode("ascii")


async def create(session: Session, command: Create) -> Reply:
    """RFC 3501 §6.3.3, RFC 6154 §3. A trailing delimiter only says that names will be made below.

    In IMAP4rev2 a name that the store writes otherwise is told (RFC 9051 §6.3.4).
    """
    name = command.mailbox.removesuffix("/")
    if name == "INBOX":
        return no("INBOX is always there", b"ALREADYEXISTS")
    uses = frozenset(_USES.get(use.lower(), SpecialUse.ALL) for use in command.uses)
    if uses & VIRTUAL:
        return no("there is no such use for a mailbox here", b"USEATTR")
    account, local = await session.at(name)
    (info,) = await account.apply([CreateMailbox(local, uses)])
    assert isinstance(info, MailboxInfo)
    if session.isRev2 and info.name != local:
        session.channel.write(await listing.describe(session, name.removesuffix(local) + info.name, name))
    return ok("mailbox created", mailboxId(info))


async def delete(session: Session, command: Delete) -> Reply:
    """RFC 3501 §6.3.4. A session that deletes the mailbox it looks at looks at none then."""
    if command.mailbox == "INBOX":
        return no("INBOX cannot be deleted", b"CANNOT")
    account, local = await session.at(command.mailbox)
    selected = session.selected
    deletedId = await _mailboxId(account, local) if selected is not None and session.viewed.owner == account.owner else ""
    await account.apply([DeleteMailbox(local)])
    if session.isRev2 and (name := unicodedata.normalize("NFC", command.mailbox)) != command.mailbox:
        session.channel.write(await listing.describe(session, name, command.mailbox))
    if selected is not None and deletedId == selected.mailbox.info.mailboxId:
        await session.deselect()
        session.channel.write(ok("the selected mailbox was deleted", b"CLOSED").render())
    return ok("mailbox deleted")


async def _mailboxId(account: IAccount, name: str) -> str:
    try:
        return (await account.open(name)).info.mailboxId
    except (NoSuchMailbox, NoPermission):
        return ""


async def rename(session: Session, command: Rename) -> Reply:
    """RFC 3501 §6.3.5. Renaming INBOX moves its messages; the store sees to that."""
    newName = command.newName.removesuffix("/")
    account, local = await session.at(command.mailbox)
    target, newLocal = await session.at(newName)
    if target.owner != account.owner:
        return no("a mailbox cannot be given to another account", b"CANNOT")
    (info,) = await account.apply([RenameMailbox(local, newLocal)])
    assert isinstance(info, MailboxInfo)
    if session.isRev2 and info.name != newLocal:
        session.channel.write(await listing.describe(session, newName.removesuffix(newLocal) + info.name, command.mailbox))
    return ok("mailbox renamed")


async def subscribe(session: Session, command: Subscribe) -> Reply:
    """RFC 3501 §6.3.6, §6.3.7. Subscriptions are each user's own, to whosever mailbox."""
    await session.account.apply([SubscribeMailbox(command.mailbox.removesuffix("/"), command.isSubscribed)])
    return ok("subscribed" if command.isSubscribed else "unsubscribed")


async def namespace(session: Session, command: Namespace) -> Reply:
    """RFC 2342 §5: what is the client's own, and what others share with it; there is nothing that is nobody's."""
    delimiter = listing.QUOTED_DELIMITER
    session.untagged(b"NAMESPACE", b'(("" %b))' % delimiter, b'(("%b" %b))' % (PREFIX.encode("ascii"), delimiter), b"NIL")
    return ok("those are the namespaces")


HANDLERS: Mapping[type, Handler] = {
    Create: create,
    Delete: delete,
    Rename: rename,
    Subscribe: subscribe,
    Namespace: namespace,
}
