"""Mailboxes and messages as they are: flags, rights, counters, changes."""

from __future__ import annotations

import enum

from attrs import frozen

from mailfw.values.uids import NO_UIDS, UIDSet


class Flag:
    """The flags that RFC 9051 §2.3.2 and the IANA keyword registry define. A flag travels as `str`, a set of them as
    `frozenset[str]`.

    System flags are spelled as here. Keywords keep the case in which they were first used in an account, and compare
    without it.
    """

    SEEN = "\\Seen"
    ANSWERED = "\\Answered"
    FLAGGED = "\\Flagged"
    DELETED = "\\Deleted"
    DRAFT = "\\Draft"
    SYSTEM = (SEEN, ANSWERED, FLAGGED, DELETED, DRAFT)
    FORWARDED = "$Forwarded"
    JUNK = "$Junk"
    NOT_JUNK = "$NotJunk"
    PHISHING = "$Phishing"
    MDN_SENT = "$MDNSent"


_SYSTEM_FLAGS = {flag.lower(): flag for flag in Flag.SYSTEM}


def canonicalFlag(flag: str) -> str:
    """System flags in their own spelling whatever the case they came in; keywords as they are."""
    return _SYSTEM_FLAGS.get(flag.lower(), flag)


class SpecialUse(enum.Enum):
    """Mailbox attributes of RFC 6154 §2, RFC 8457."""

    ALL = "\\All"
    ARCHIVE = "\\Archive"
    DRAFTS = "\\Drafts"
    FLAGGED = "\\Flagged"
    IMPORTANT = "\\Important"
    JUNK = "\\Junk"
    SENT = "\\Sent"
    TRASH = "\\Trash"


RIGHTS = "lrswipkxtea"
"""What somebody may do with a mailbox, a letter each (RFC 4314 §2.1), in the order in which they are written."""

ANYONE = "anyone"
"""Whoever has logged in, among the identifiers of an access control list (RFC 4314 §1)."""


def rightToFlag(flag: str) -> str:
    """The right that changing a flag needs (RFC 4314 §2.1)."""
    return {Flag.SEEN: "s", Flag.DELETED: "t"}.get(canonicalFlag(flag), "w")


@frozen
class MailboxInfo:
    """A name in an account's tree.

    :ivar mailboxId: RFC 8474 MAILBOXID, no other mailbox's in the store; empty where only a name is left (\\NonExistent).
    :ivar isSelectable: messages can be in it; False for a name that only has children or is only subscribed.
    :ivar rights: those that whoever asked has, of `RIGHTS` and in its order.
    """

    name: str
    mailboxId: str = ""
    uidValidity: int = 0
    isSelectable: bool = True
    isSubscribed: bool = False
    specialUse: frozenset[SpecialUse] = frozenset()
    rights: str = RIGHTS


@frozen
class MailboxStatus:
    """A mailbox's counters, all from one moment (RFC 9051 §6.3.11).

    :ivar size: octets of all messages.
    :ivar recentFrom: messages with this UID or a higher one are `\\Recent` to the session that asked (RFC 3501 §2.3.2).
    """

    mailboxId: str
    uidValidity: int
    uidNext: int
    highestModSeq: int
    messages: int
    unseen: int
    deleted: int
    size: int
    recentFrom: int


@frozen(eq=False)
class Snapshot:
    """A mailbox as it stood at one moment: what a session's view starts from.

    :ivar uids: ascending; shared between sessions and never changed: whoever diverges copies it.
    :ivar firstUnseen: UID of the first message without \\Seen; 0 where there is none.
    :ivar keywords: every keyword in use in the mailbox.
    """

    status: MailboxStatus
    uids: memoryview
    firstUnseen: int
    keywords: tuple[str, ...] = ()


class Column(enum.Enum):
    """What can be asked about a message, one value a message each, in `IMailbox.rows`.

    The type of each value is written behind it.
    """

    UID = "uid"  # int
    FLAGS = "flags"  # frozenset[str]; equal sets are mostly the same object
    MODSEQ = "modseq"  # int
    INTERNAL_DATE = "internal date"  # float, seconds since the epoch, UTC
    SAVE_DATE = "save date"  # float: when the message came into this mailbox (RFC 8514)
    SIZE = "size"  # int, octets
    EMAIL_ID = "email id"  # str, RFC 8474
    THREAD_ID = "thread id"  # str, RFC 8474
    UIDL = "uidl"  # str, 1 to 70 printable ASCII characters (RFC 1939 §7)
    ENVELOPE = "envelope"  # bytes as IMAP sends them, parentheses included
    REFERENCES = "references"  # tuple[str, ...], ids from the root of the thread down (message.summary.Summary.ancestors)
    BODY_STRUCTURE = "body structure"  # bytes as IMAP sends them, extension data included
    PREVIEW = "preview"  # str, at most 256 characters (RFC 8970)
    FIELDS = "fields"  # str, the fields that people search (message.fields.pack); None where the header must be asked
    KEPT_PREVIEW = "kept preview"  # str, as PREVIEW; None where it would have to be made first
    HEADER = "header"  # bytes up to and with the empty line after the header
    CONTENT = "content"  # values.IContent: read by range, blocking, only inside `render`


@frozen
class MessageChange:
    """A message that came or whose flags changed."""

    uid: int
    modSeq: int
    flags: frozenset[str]


@frozen
class Changes:
    """What happened in a mailbox after a MODSEQ.

    :ivar modSeq: the mailbox's HIGHESTMODSEQ when this was read: ask from here next time.
    :ivar changed: messages that came or changed, ascending by UID, each with its present flags.
    :ivar vanished: UIDs expunged since; may name UIDs the reader never knew.
    :ivar isComplete: False when the log no longer reaches back that far: compare all UIDs and flags anew.
    """

    modSeq: int
    uidNext: int
    changed: tuple[MessageChange, ...] = ()
    vanished: UIDSet = NO_UIDS
    isComplete: bool = True


@frozen
class Quota:
    """:ivar octets: of all messages together. :ivar messages: their number. :ivar mailboxes: likewise. None: no limit."""

    octets: int | None = None
    messages: int | None = None
    mailboxes: int | None = None


@frozen
class Usage:
    """What an account holds, and what it may hold (RFC 9208). It may hold more than its limits: they may have been lowered since,
    and what other programs put into files cannot be refused.
    """

    octets: int
    messages: int
    mailboxes: int
    limits: Quota
