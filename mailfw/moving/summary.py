"""What was moved, and what could not be kept."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

_SHOWN = 5


@define
class MailboxSummary:
    """:ivar copied: messages that came now. :ivar octets: theirs. :ivar already: messages that were there.
    :ivar keepsUIDs: messages have the UIDs that they had, and the mailbox its UIDVALIDITY.
    """

    name: str
    copied: int = 0
    octets: int = 0
    already: int = 0
    keepsUIDs: bool = True


@define
class AccountSummary:
    """:ivar account: whose mail it was. :ivar target: whose it is now. :ivar losses: what could not be kept, a sentence each."""

    account: str
    target: str
    mailboxes: list[MailboxSummary] = field(factory=list)
    losses: list[str] = field(factory=list)

    @property
    def copied(self) -> int:
        """Messages that came now."""
        return sum(mailbox.copied for mailbox in self.mailboxes)

    @property
    def octets(self) -> int:
        """Of these."""
        return sum(mailbox.octets for mailbox in self.mailboxes)


@define
class Summary:
    """Of all accounts. :ivar seconds: how long it took."""

    accounts: list[AccountSummary] = field(factory=list)
    seconds: float = 0.0


def goneFrom(mailbox: str, uids: Sequence[int]) -> list[str]:
    """The loss of messages whose contents are gone; none where there are none."""
    if not uids:
        return []
    shown = ", ".join(map(str, uids[:_SHOWN])) + (" …" if len(uids) > _SHOWN else "")
    return [f"{mailbox}: what was removed or changed meanwhile, or is damaged, UID {shown}: give the command again"]
