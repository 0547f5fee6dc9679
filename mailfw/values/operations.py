"""What can be done to an account, and what comes of it (`IAccount.apply`); what is wrong with one."""

from __future__ import annotations

import enum

from attrs import frozen

from mailfw.values.mailbox import MailboxInfo, MessageChange, Quota, SpecialUse
from mailfw.values.source import MessageSource
from mailfw.values.uids import ALL_UIDS, UIDSet


class FlagChange(enum.Enum):
    """How `SetFlags` uses its flags (RFC 9051 §6.4.6)."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


@frozen
class NewMessage:
    """A message to be appended.

    :ivar internalDate: None is now.
    """

    source: MessageSource
    flags: frozenset[str] = frozenset()
    internalDate: float | None = None


@frozen
class Create:
    """Make a mailbox, and its parents as names (RFC 9051 §6.3.4). → `MailboxInfo`; MailboxExists, InvalidName.

    :ivar specialUse: what it is for from now on, and no other mailbox of the account any more (RFC 6154 §3).
    """

    name: str
    specialUse: frozenset[SpecialUse] = frozenset()


FIRST_MAILBOXES = (
    Create("Drafts", frozenset({SpecialUse.DRAFTS})),
    Create("Sent", frozenset({SpecialUse.SENT})),
    Create("Junk", frozenset({SpecialUse.JUNK})),
    Create("Trash", frozenset({SpecialUse.TRASH})),
    Create("Archive", frozenset({SpecialUse.ARCHIVE})),
)
"""What a new account has beside INBOX, where an administrator says nothing else."""


@frozen
class Rename:
    """Rename a mailbox with all below it; INBOX stays and gives its messages (RFC 9051 §6.3.6). → `MailboxInfo`."""

    name: str
    newName: str


@frozen
class Delete:
    """Delete a mailbox and its messages (RFC 9051 §6.3.5). → None.

    Its children stay, and then so does its name, not selectable.
    """

    name: str


@frozen
class Subscribe:
    """Subscribe to a name, whether or not there is such a mailbox, or end that (RFC 9051 §6.3.7). → None."""

    name: str
    isSubscribed: bool = True


@frozen
class Append:
    """Add messages, all or none (RFC 9051 §6.3.12, RFC 3502). → `Appended`; raises NoSuchMailbox, OverQuota."""

    mailbox: str
    messages: tuple[NewMessage, ...]


@frozen
class Adopt:
    """Add messages that come from another store, all or none, under the UIDs that they had there; for administrators who own
    the account. → `Appended`; NoSuchMailbox, NoPermission, NotSupported, UIDValidityChanged.

    Quota is not asked: the mail is the account's already. UIDs still only grow, and a UIDVALIDITY still never repeats, or else
    nothing is done: NotSupported where a UID is below UIDNEXT, UIDValidityChanged where the mailbox cannot have that UIDVALIDITY.

    :ivar uids: one for each message, ascending, none below UIDNEXT; empty: the next ones.
    :ivar uidValidity: what the mailbox has, or gets where it never gave a UID and its name never had as high a one; 0: its own.
    :ivar uidNext: no UID below is given from then on.
    """

    mailbox: str
    messages: tuple[NewMessage, ...] = ()
    uids: tuple[int, ...] = ()
    uidValidity: int = 0
    uidNext: int = 0


@frozen
class SetFlags:
    """Change flags (RFC 9051 §6.4.6; UNCHANGEDSINCE of RFC 7162 §3.1.3). → `FlagsSet`.

    :ivar uidValidity: of the mailbox that the UIDs belong to; 0 does not ask.
    :ivar unchangedSince: leave messages alone whose MODSEQ is above it; compared under the write lock.
    """

    mailbox: str
    uids: UIDSet
    change: FlagChange
    flags: frozenset[str]
    unchangedSince: int | None = None
    uidValidity: int = 0


@frozen
class Copy:
    """Copy messages, all or none, flags and internal dates kept (RFC 9051 §6.4.7). → `Copied`.

    :ivar account: the account the target mailbox is in; empty for the same.
    """

    mailbox: str
    uids: UIDSet
    target: str
    account: str = ""
    uidValidity: int = 0


@frozen
class Move:
    """Move messages, all or none (RFC 6851). → `Copied`, the source UIDs being gone."""

    mailbox: str
    uids: UIDSet
    target: str
    account: str = ""
    uidValidity: int = 0


@frozen
class Expunge:
    """Remove messages for good (RFC 9051 §6.4.3, §6.4.9). → `Expunged`.

    :ivar onlyDeleted: only those with \\Deleted, which is looked up under the write lock.
    """

    mailbox: str
    uids: UIDSet = ALL_UIDS
    onlyDeleted: bool = True
    uidValidity: int = 0


@frozen
class SetQuota:
    """Limit what the account may hold; for administrators (RFC 9208 §4.1.3). → None; NoPermission.

    :ivar limits: None: whatever the source of accounts says, as if none had ever been set here.
    """

    limits: Quota | None


@frozen
class SetMetadata:
    """Set entries of a mailbox, or of the server, all or none (RFC 5464 §4.3). → None; NoSuchMailbox, NoPermission,
    AnnotationTooLarge, TooManyAnnotations, NotSupported.

    :ivar mailbox: empty: the server; entries that it shares with all are set by administrators, and by themselves.
    :ivar entries: each with its value, None to remove it. A name is in lower case, below /private/ or /shared/.
    """

    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...]


@frozen
class SetRights:
    """Let somebody do something in a mailbox, or no longer (RFC 4314 §3.1, §3.2). → None; NoSuchMailbox, NoPermission,
    InvalidName, LimitExceeded.

    :ivar identifier: an account's name, `anyone`, or one of these behind `-`, which takes rights away from whoever has them.
    :ivar rights: of `RIGHTS`; to be replaced by none is to be taken off the list.
    """

    mailbox: str
    identifier: str
    change: FlagChange
    rights: str


Operation = (
    Create | Rename | Delete | Subscribe | Append | Adopt | SetFlags | Copy | Move | Expunge | SetQuota | SetMetadata | SetRights
)


@frozen
class Appended:
    """:ivar uids: in the order of the messages (RFC 4315 APPENDUID)."""

    uidValidity: int
    uids: tuple[int, ...]
    modSeq: int


@frozen
class FlagsSet:
    """:ivar changed: messages whose flags are different now, with their new state.
    :ivar unchanged: messages asked for and already so (they keep their MODSEQ).
    :ivar failed: messages left alone because of `unchangedSince`.
    """

    changed: tuple[MessageChange, ...]
    unchanged: UIDSet
    failed: UIDSet
    modSeq: int


@frozen
class Copied:
    """:ivar sources: and :ivar copies: pairwise (RFC 4315 COPYUID); messages that were already gone are in neither."""

    uidValidity: int
    sources: tuple[int, ...]
    copies: tuple[int, ...]
    modSeq: int


@frozen
class Expunged:
    """:ivar uids: those that were there and now are gone."""

    uids: UIDSet
    modSeq: int


Result = MailboxInfo | Appended | FlagsSet | Copied | Expunged | None


@frozen
class Damage:
    """Something in a store that contradicts itself.

    :ivar kind: one word or a few, the same for all of a kind: `counters`, `missing blob`.
    :ivar place: the file.
    :ivar text: what is wrong, for people.
    :ivar count: how many messages, mailboxes or accounts it concerns.
    """

    kind: str
    place: str
    text: str
    count: int = 1
