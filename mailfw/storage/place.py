"""Octets in rows of our own: the place where the `sqlite` and `memory` stores keep messages."""

from __future__ import annotations

from collections.abc import Sequence

from mailfw.sql import Connection
from mailfw.storage.content import Arriving
from mailfw.storage.transaction import MailboxRef, Stored

_CONTENT = "INSERT INTO content (id, encoding, header, body) VALUES (?, ?, ?, ?)"
_SHARE = """INSERT INTO sharing (content, emails) VALUES (?, 2)
    ON CONFLICT (content) DO UPDATE SET emails = sharing.emails + 1"""


class Rows:
    """An `IPlace`: contents are rows beside their emails, so that nothing but emails needs telling."""

    hasGrace = True

    def keep(self, connection: Connection, email: int, arriving: Arriving) -> None:
        """The content's row has the key of the email that brought it."""
        laid = arriving.laid
        assert laid is not None
        connection.execute(_CONTENT, (email, laid.encoding, laid.header, laid.body))

    def share(self, connection: Connection, content: int) -> None:
        """Count one more email of a content."""
        connection.execute(_SHARE, (content,))

    def appended(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """Nothing to do."""

    def adopted(
        self, connection: Connection, mailbox: MailboxRef, uids: Sequence[int], messages: Sequence[tuple[Arriving, Stored]]
    ) -> None:
        """Nothing to do."""

    def copied(
        self,
        connection: Connection,
        source: MailboxRef,
        target: MailboxRef,
        uids: Sequence[int],
        messages: Sequence[Stored],
        isMove: bool,
    ) -> None:
        """Nothing to do."""

    def expunged(self, connection: Connection, mailbox: MailboxRef, messages: Sequence[Stored]) -> None:
        """Nothing to do."""

    def flagged(self, connection: Connection, mailbox: MailboxRef, before: Sequence[Stored], after: Sequence[Stored]) -> None:
        """Nothing to do."""

    def created(self, connection: Connection, name: str) -> None:
        """Nothing to do."""

    def renamed(self, connection: Connection, names: Sequence[tuple[str, str]]) -> None:
        """Nothing to do."""

    def deleted(self, connection: Connection, name: str) -> None:
        """Nothing to do."""
