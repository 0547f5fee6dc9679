"""Access control lists: who may do what in a mailbox (RFC 4314; MYRIGHTS in LIST: RFC 8440)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap.grammar import response
from mailfw.imap.grammar.acl import VIRTUAL, GetACL, ListRights, MyRights, SetACL
from mailfw.imap.grammar.response import Reply, ok
from mailfw.values import RIGHTS, SetRights

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


def word(rights: str) -> bytes:
    """Rights as they are told, with those of RFC 2086 that they make (§2.1.1)."""
    virtual = "".join(old for old, members in VIRTUAL.items() if set(members) & set(rights))
    admin = "a" if "a" in rights else ""
    return response.astring((rights.replace("a", "") + virtual + admin).encode("ascii"))


def myRightsLine(session: Session, mailbox: str, rights: str) -> bytes:
    """`myrights-data = "MYRIGHTS" SP mailbox SP rights`"""
    return response.untagged(b"MYRIGHTS", session.nameWord(mailbox), word(rights))


def _identifier(name: str) -> bytes:
    return response.astring(name.encode("utf-8"))


async def setACL(session: Session, command: SetACL) -> Reply:
    """RFC 4314 §3.1, §3.2"""
    account, local = await session.at(command.mailbox)
    await account.apply([SetRights(local, command.identifier, command.change, command.rights)])
    return ok("that is the list now")


async def getACL(session: Session, command: GetACL) -> Reply:
    """RFC 4314 §3.3. The owner is on every list, with all rights."""
    account, local = await session.at(command.mailbox)
    found = {account.owner: RIGHTS, **await account.rights(local)}
    words = [b"%b %b" % (_identifier(name), word(rights)) for name, rights in found.items()]
    session.untagged(b"ACL", session.nameWord(command.mailbox), *words)
    return ok("that is the list")


async def listRights(session: Session, command: ListRights) -> Reply:
    """RFC 4314 §3.4: anybody can be given any right, each by itself; the owner has them all."""
    account, local = await session.at(command.mailbox)
    await account.rights(local)  # only who may see the list is told
    head = b"LISTRIGHTS", session.nameWord(command.mailbox), _identifier(command.identifier)
    if command.identifier.lower() == account.owner:
        session.untagged(*head, word(RIGHTS))
    else:
        session.untagged(*head, b'""', *(right.encode("ascii") for right in (*RIGHTS, *VIRTUAL)))
    return ok("those are the rights that there are")


async def myRights(session: Session, command: MyRights) -> Reply:
    """RFC 4314 §3.5"""
    account, local = await session.at(command.mailbox)
    session.channel.write(myRightsLine(session, command.mailbox, await account.myRights(local)))
    return ok("those are your rights")


HANDLERS: Mapping[type, Handler] = {SetACL: setACL, GetACL: getACL, ListRights: listRights, MyRights: myRights}
