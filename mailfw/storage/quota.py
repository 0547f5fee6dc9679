"""What accounts may hold: how limits are kept (RFC 9208).

Limits are the source of accounts' (`user add --quota`), unless an administrator set others here (SETQUOTA). What an account
holds is counted with every change, in the same transaction, so that a limit costs nothing to keep: it is compared where the
counters are counted on. Only what grows is refused: a move within an account never is, nor what makes it hold less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailfw.errors import NoPermission, OverQuota
from mailfw.sql import Connection
from mailfw.values import Quota, SetQuota, Usage

if TYPE_CHECKING:
    from mailfw.storage.transaction import Transaction

_LIMITS = "quota_octets, quota_messages, quota_mailboxes"
_HELD = f"SELECT messages, size, {_LIMITS} FROM account WHERE id = ?"
_HELD_BY = f"SELECT messages, size, {_LIMITS} FROM account WHERE name = ?"
_MAILBOXES = "SELECT COUNT(*) FROM mailbox WHERE account = ? AND name IS NOT NULL"
_SET = "UPDATE account SET quota_octets = ?, quota_messages = ?, quota_mailboxes = ? WHERE id = ?"


def inForce(own: Sequence[int | None], limits: Quota) -> Quota:
    """The limits that count: those of the account's row, where any were set, else the source's."""
    if own[0] is None:
        return limits
    return Quota(*[None if one is None or one < 0 else one for one in own])


def mustFit(messages: int, octets: int, limits: Quota) -> None:
    """:raises OverQuota: so many messages, of so many octets, are more than the account may hold."""
    if limits.octets is not None and octets > limits.octets:
        raise OverQuota()
    if limits.messages is not None and messages > limits.messages:
        raise OverQuota("the account holds as many messages as it may")


def mustFitMailbox(tx: Transaction, number: int) -> None:
    """:raises OverQuota: so many mailboxes are more than the account may have."""
    if tx.terms.limits is None:
        return
    _, _, *own = tx.connection.execute(_HELD, (tx.account,)).fetchone()
    most = inForce(own, tx.terms.limits).mailboxes
    if most is not None and number > most:
        raise OverQuota("the account has as many mailboxes as it may")


def mustHaveRoom(connection: Connection, account: str, octets: int, limits: Quota) -> None:
    """:raises OverQuota: one more message of that size is too much; who has no account here yet holds nothing."""
    held = connection.execute(_HELD_BY, (account,)).fetchone()
    messages, size, *own = held or (0, 0, None, None, None)
    mustFit(messages + 1, size + max(octets, 1), inForce(own, limits))


def usage(connection: Connection, account: int, limits: Quota) -> Usage:
    """What the account holds, and may hold."""
    messages, size, *own = connection.execute(_HELD, (account,)).fetchone()
    mailboxes = int(connection.execute(_MAILBOXES, (account,)).fetchone()[0])
    return Usage(size, messages, mailboxes, inForce(own, limits))


def setQuota(tx: Transaction, operation: SetQuota) -> None:
    """Set the limits, or go back to the source's."""
    if not tx.terms.isAdmin:
        raise NoPermission("only administrators set quotas")
    limits = operation.limits
    wanted = () if limits is None else (limits.octets, limits.messages, limits.mailboxes)
    tx.connection.execute(_SET, (*([-1 if one is None else one for one in wanted] or (None, None, None)), tx.account))
    tx.countAccount()
