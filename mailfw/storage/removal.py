"""Removing an account for good: its mailboxes, and every trace of its name in others'.

Rows of messages are many, and are cleared away later, as those of a deleted mailbox are. Who gets an account of the same name
afterwards begins with nothing, and with UIDVALIDITYs that nobody has seen.
"""

from __future__ import annotations

from mailfw.sql import Connection
from mailfw.storage.transaction import Transaction

_MAILBOXES = "UPDATE mailbox SET name = NULL WHERE account = ? AND name IS NOT NULL RETURNING id"
_OF_MAILBOX = ("DELETE FROM rights WHERE mailbox = ?", "DELETE FROM keyword WHERE mailbox = ?")
_OF_ACCOUNT = (
    "DELETE FROM name WHERE account = ?",
    "DELETE FROM thread WHERE account = ?",
    "DELETE FROM annotation WHERE account = ?",
    "DELETE FROM intent WHERE account = ?",
)
_REMOVE = "DELETE FROM account WHERE id = ? RETURNING uid_validity"
_REMEMBER = """INSERT INTO setting (name, value) VALUES ('uid validity', ?) ON CONFLICT (name) DO UPDATE SET value =
    CASE WHEN CAST(setting.value AS INTEGER) < CAST(excluded.value AS INTEGER) THEN excluded.value ELSE setting.value END"""
_HIGHEST = "SELECT value FROM setting WHERE name = 'uid validity'"
_RIGHTS = "DELETE FROM rights WHERE identifier IN (?, ?)"
_NOTES = "DELETE FROM annotation WHERE owner = ?"


def remove(tx: Transaction) -> int:
    """Remove the account; how many mailboxes it had."""
    connection = tx.connection
    mailboxes = [int(row[0]) for row in connection.execute(_MAILBOXES, (tx.account,)).fetchall()]
    for mailbox in mailboxes:
        for statement in _OF_MAILBOX:
            connection.execute(statement, (mailbox,))
        tx.touched[mailbox] = 0
    for statement in _OF_ACCOUNT:
        connection.execute(statement, (tx.account,))
    (highest,) = connection.execute(_REMOVE, (tx.account,)).fetchone()
    connection.execute(_REMEMBER, (str(highest),))
    tx.caches.clear()
    return len(mailboxes)


def highestValidity(connection: Connection) -> int:
    """The highest UIDVALIDITY of any account that was removed."""
    row = connection.execute(_HIGHEST).fetchone()
    return 0 if row is None else int(row[0])


def forget(connection: Connection, name: str) -> None:
    """Take a removed account's name off the lists of others' mailboxes, and its notes away from them."""
    connection.execute(_RIGHTS, (name, f"-{name}"))
    connection.execute(_NOTES, (name,))
