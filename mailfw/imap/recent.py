"""Which messages some client has been told of as \\Recent, where the store does not know it yet (RFC 3501 §2.3.2).

A mailbox's sessions write that into the store when they leave it, for to write it with every arrival would cost each of them a
transaction. Until then it is known here, to all sessions of the process, so that of several that look at a mailbox only the
first to be told of a message has it as \\Recent. What is lost in a crash makes messages \\Recent once more, which they are to be
when nobody can tell.
"""

from __future__ import annotations

from attrs import evolve

from mailfw.interfaces import IMailStore
from mailfw.values import MailboxStatus

MAX_MAILBOXES = 50_000
"""Mailboxes that are remembered; of others only what the store knows counts."""

_Key = tuple[IMailStore, str]


class Recency:
    """By store and mailbox id, the first UID that nobody has been told of."""

    def __init__(self) -> None:
        self._firstUntold: dict[_Key, int] = {}

    def told(self, store: IMailStore, mailboxId: str, uid: int) -> None:
        """A client that may change the mailbox was told of all up to this UID."""
        key = store, mailboxId
        self._firstUntold[key] = max(uid + 1, self._firstUntold.pop(key, 0))
        if len(self._firstUntold) > MAX_MAILBOXES:
            del self._firstUntold[next(iter(self._firstUntold))]

    def firstUntold(self, store: IMailStore, mailboxId: str) -> int:
        """The first UID that nobody has been told of, as far as it is known here."""
        return self._firstUntold.get((store, mailboxId), 0)

    def adjust(self, store: IMailStore, status: MailboxStatus) -> MailboxStatus:
        """A mailbox's counters, with no message \\Recent that somebody has been told of."""
        untold = self.firstUntold(store, status.mailboxId)
        return status if untold <= status.recentFrom else evolve(status, recentFrom=untold)
