"""Quotas: what an account may hold, and holds (RFC 9208). An account is one quota root, called by the account's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.errors import NoPermission
from mailfw.imap.grammar import response
from mailfw.imap.grammar.quota import GetQuota, GetQuotaRoot, Resource, SetQuota
from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.grammar.tokens import MAX_NUMBER64
from mailfw.interfaces import IAccount
from mailfw.values import Quota, Usage
from mailfw.values import SetQuota as SetLimits

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

UNIT = 1024
"""Octets that STORAGE counts by (RFC 9208 §5.1)."""


async def _tell(session: Session, account: IAccount) -> None:
    """`quota-response = "QUOTA" SP quota-root-name SP quota-list`; resources that are not limited are not named (§4.2.1)."""
    usage = await account.usage()
    words = [b"%b %d %d" % (resource.value, *pair) for resource, pair in _pairs(usage).items()]
    session.untagged(b"QUOTA", _name(account), b"(%b)" % b" ".join(words))


def _pairs(usage: Usage) -> Mapping[Resource, tuple[int, int]]:
    """Of each limited resource, what is held, and the limit."""
    limits = usage.limits
    found = {}
    if limits.octets is not None:
        found[Resource.STORAGE] = -(-usage.octets // UNIT), limits.octets // UNIT
    if limits.messages is not None:
        found[Resource.MESSAGE] = usage.messages, limits.messages
    if limits.mailboxes is not None:
        found[Resource.MAILBOX] = usage.mailboxes, limits.mailboxes
    return found


def _name(account: IAccount) -> bytes:
    """`quota-root-name = astring`"""
    return response.astring(account.owner.encode("utf-8"))


async def _account(session: Session, root: str) -> IAccount:
    """The account that a quota root is. Who is no administrator learns nothing of others', not even whether they are there.

    :raises NoPermission:
    """
    identity = session.identity
    assert identity is not None
    if root.lower() == session.account.owner:
        return session.account
    if not identity.isAdmin:
        raise NoPermission()
    return await session.store.openAccount(identity, root.lower())


async def getQuota(session: Session, command: GetQuota) -> Reply:
    """RFC 9208 §4.1.1"""
    await _tell(session, await _account(session, command.root))
    return ok("that is the quota")


async def getQuotaRoot(session: Session, command: GetQuotaRoot) -> Reply:
    """RFC 9208 §4.1.2. What another's account holds is told to administrators only (§8): to others its mailboxes have no root."""
    identity = session.identity
    assert identity is not None
    account, _ = await session.at(command.mailbox)
    name = session.nameWord(command.mailbox)
    if account is not session.account and not identity.isAdmin:
        session.untagged(b"QUOTAROOT", name)
        return ok("what others hold is theirs to know")
    session.untagged(b"QUOTAROOT", name, _name(account))
    await _tell(session, account)
    return ok("those are the quota roots")


async def setQuota(session: Session, command: SetQuota) -> Reply:
    """RFC 9208 §4.1.3: limits that are not named are no more."""
    identity = session.identity
    assert identity is not None
    if not identity.isAdmin:
        raise NoPermission("only administrators set quotas")
    account = await _account(session, command.root)
    limits = command.limits
    storage = limits.get(Resource.STORAGE)
    octets = None if storage is None else min(storage * UNIT, MAX_NUMBER64)
    await account.apply([SetLimits(Quota(octets, limits.get(Resource.MESSAGE), limits.get(Resource.MAILBOX)))])
    await _tell(session, account)
    return ok("those are the limits now")


HANDLERS: Mapping[type, Handler] = {GetQuota: getQuota, GetQuotaRoot: getQuotaRoot, SetQuota: setQuota}
