"""Special uses: what a mailbox is for, each use one mailbox's at a time (RFC 6154)."""

from __future__ import annotations

from mailfw.storage.transaction import Transaction
from mailfw.values import SpecialUse

_USES = "SELECT id, name, special_use FROM mailbox WHERE account = ? AND name IS NOT NULL AND special_use <> ''"
_SET_USES = "UPDATE mailbox SET special_use = ? WHERE id = ?"

Uses = frozenset[SpecialUse]


def encode(uses: Uses) -> str:
    """As the database keeps them, and as `/private/specialuse` says them (RFC 6154 §4)."""
    return " ".join(sorted(use.value for use in uses))


def decode(text: str) -> Uses:
    """What `encode` wrote."""
    return frozenset(SpecialUse(use) for use in text.split())


def leave(tx: Transaction, uses: Uses, modSeq: int) -> None:
    """Take them from whichever mailbox has them: another gets them now (RFC 6154 §3)."""
    for number, name, text in tx.connection.execute(_USES, (tx.account,)).fetchall() if uses else ():
        had = decode(text)
        if had & uses:
            put(tx, number, name, had - uses, modSeq)


def put(tx: Transaction, mailbox: int, name: str, uses: Uses, modSeq: int) -> None:
    """Give a mailbox these and no others."""
    tx.connection.execute(_SET_USES, (encode(uses), mailbox))
    tx.remember(name, modSeq)
    tx.touched[mailbox] = modSeq
