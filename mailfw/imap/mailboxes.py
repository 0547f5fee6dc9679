"""Mailboxes as such: make, delete, rename, subscribe, list, count (RFC 3501 §6.3.3–§6.3.10; RFC 2342, RFC 3348, RFC
6154).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from mailfw.errors import NoSuchMailbox
from mailfw.imap.grammar import mutf7, response
from mailfw.imap.grammar.mailboxes import (
    Create,
    Delete,
    ListMailboxes,
    ListSubscribed,
    Namespace,
    Rename,
    Status,
    StatusItem,
    Subscribe,
)
from mailfw.imap.grammar.pattern import DELIMITER, Pattern
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.interfaces import IMailbox
from mailfw.values import Create as CreateMailbox
from mailfw.values import Delete as DeleteMailbox
from mailfw.values import MailboxInfo, MailboxStatus
from mailfw.values import Rename as RenameMailbox
from mailfw.values import Subscribe as SubscribeMailbox

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

_QUOTED_DELIMITER = b'"%b"' % DELIMITER


# --- Changing the tree -----------------------------------------------------------------------------------------------


async def create(session: Session, command: Create) -> Reply:
    """RFC 3501 §6.3.3. A trailing delimiter only says that names will be made below."""
    name = command.mailbox.removesuffix("/")
    if name == "INBOX":
        return no("INBOX is always there", b"ALREADYEXISTS")
    await session.account.apply([CreateMailbox(name)])
    return ok("mailbox created")


async def delete(session: Session, command: Delete) -> Reply:
    """RFC 3501 §6.3.4. A session that deletes the mailbox it looks at looks at none then."""
    if command.mailbox == "INBOX":
        return no("INBOX cannot be deleted", b"CANNOT")
    selected = session.selected
    deletedId = ""
    if selected is not None:
        deletedId = await _mailboxId(session, command.mailbox)
    await session.account.apply([DeleteMailbox(command.mailbox)])
    if selected is not None and deletedId == selected.mailbox.info.mailboxId:
        await session.deselect()
        session.channel.write(ok("the selected mailbox was deleted", b"CLOSED").render())
    return ok("mailbox deleted")


async def _mailboxId(session: Session, name: str) -> str:
    try:
        return (await session.account.open(name)).info.mailboxId
    except NoSuchMailbox:
        return ""


async def rename(session: Session, command: Rename) -> Reply:
    """RFC 3501 §6.3.5. Renaming INBOX moves its messages; the store sees to that."""
    await session.account.apply([RenameMailbox(command.mailbox, command.newName.removesuffix("/"))])
    return ok("mailbox renamed")


async def subscribe(session: Session, command: Subscribe) -> Reply:
    """RFC 3501 §6.3.6, §6.3.7"""
    await session.account.apply([SubscribeMailbox(command.mailbox.removesuffix("/"), command.isSubscribed)])
    return ok("subscribed" if command.isSubscribed else "unsubscribed")


# --- Listing it ------------------------------------------------------------------------------------------------------


async def namespace(session: Session, command: Namespace) -> Reply:
    """RFC 2342 §5: one personal namespace, no others."""
    session.untagged(b"NAMESPACE", b'(("" %b))' % _QUOTED_DELIMITER, b"NIL", b"NIL")
    return ok("those are the namespaces")


async def listMailboxes(session: Session, command: ListMailboxes) -> Reply:
    """RFC 3501 §6.3.8; \\HasChildren of RFC 3348, special uses of RFC 6154 §2"""
    if not command.pattern:
        # "A special request to return the hierarchy delimiter and the root name."
        session.untagged(b"LIST", b"(\\Noselect)", _QUOTED_DELIMITER, b'""')
        return ok("that is the delimiter")
    infos = await session.account.mailboxes()
    await session.send(_listed(infos, Pattern(command.reference + command.pattern)))
    return ok("those are the mailboxes")


def _listed(infos: list[MailboxInfo], pattern: Pattern) -> Iterator[bytes]:
    parents = _parents(info.name for info in infos if info.isSelectable)
    for info in infos:
        hasChildren = info.name in parents
        if not info.isSelectable and not hasChildren:
            continue  # a name that is only subscribed
        wireName = mutf7.encode(info.name)
        if pattern.matches(wireName):
            yield _listLine(b"LIST", _attributes(info, hasChildren), wireName)


def _attributes(info: MailboxInfo, hasChildren: bool) -> list[bytes]:
    attributes = [] if info.isSelectable else [b"\\Noselect"]
    attributes.append(b"\\HasChildren" if hasChildren else b"\\HasNoChildren")
    attributes += sorted(use.value.encode("ascii") for use in info.specialUse)
    return attributes


def _parents(names: Iterator[str]) -> set[str]:
    """Every name that has one of these below it."""
    parents: set[str] = set()
    for name in names:
        parent = name.rpartition("/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            parent = parent.rpartition("/")[0]
    return parents


def _listLine(word: bytes, attributes: list[bytes], wireName: bytes) -> bytes:
    return response.untagged(word, b"(%b)" % b" ".join(attributes), _QUOTED_DELIMITER, response.astring(wireName))


async def listSubscribed(session: Session, command: ListSubscribed) -> Reply:
    """RFC 3501 §6.3.9. With `%`, a name that only has subscribed ones below it is shown as \\Noselect."""
    pattern = Pattern(command.reference + command.pattern)
    infos = await session.account.mailboxes()
    await session.send(_listedSubscribed(infos, pattern, b"%" in command.pattern))
    return ok("those are the subscriptions")


def _listedSubscribed(infos: list[MailboxInfo], pattern: Pattern, showsParents: bool) -> Iterator[bytes]:
    isSelectable = {info.name: info.isSelectable for info in infos}
    subscribed = [info.name for info in infos if info.isSubscribed]
    hidden: set[str] = set()
    for name in subscribed:
        wireName = mutf7.encode(name)
        if pattern.matches(wireName):
            yield _listLine(b"LSUB", [] if isSelectable[name] else [b"\\Noselect"], wireName)
        elif showsParents:
            hidden.add(name)
    for parent in sorted(_parents(iter(hidden)) - set(subscribed)):
        wireName = mutf7.encode(parent)
        if pattern.matches(wireName):
            yield _listLine(b"LSUB", [b"\\Noselect"], wireName)


# --- Counting --------------------------------------------------------------------------------------------------------


async def _recent(mailbox: IMailbox, status: MailboxStatus) -> int:
    if status.recentFrom >= status.uidNext:
        return 0
    snapshot = await mailbox.snapshot()
    return sum(1 for uid in snapshot.uids if uid >= status.recentFrom)


_COUNTERS: Mapping[StatusItem, Callable[[MailboxStatus], int]] = {
    StatusItem.MESSAGES: lambda status: status.messages,
    StatusItem.UIDNEXT: lambda status: status.uidNext,
    StatusItem.UIDVALIDITY: lambda status: status.uidValidity,
    StatusItem.UNSEEN: lambda status: status.unseen,
}


async def status(session: Session, command: Status) -> Reply:
    """RFC 3501 §6.3.10"""
    mailbox = await session.account.open(command.mailbox)
    counters = session.recency(await mailbox.status())
    words = []
    for item in command.items:
        number = await _recent(mailbox, counters) if item is StatusItem.RECENT else _COUNTERS[item](counters)
        words.append(b"%b %d" % (item.value, number))
    session.untagged(b"STATUS", response.mailbox(command.mailbox), b"(%b)" % b" ".join(words))
    return ok("that is the status")


HANDLERS: Mapping[type, Handler] = {
    Create: create,
    Delete: delete,
    Rename: rename,
    Subscribe: subscribe,
    Namespace: namespace,
    ListMailboxes: listMailboxes,
    ListSubscribed: listSubscribed,
    Status: status,
}
