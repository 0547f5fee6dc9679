"""The nouns of mail, as frozen values: what rooms hand to each other.

Everything here is immutable, compares by value, pickles, and imports nothing of ours, so that a value can cross a
thread, a process or a protocol unchanged. Times are `float` seconds since the epoch, UTC, unless a name says
otherwise; sizes are octets; a mailbox name is a `str` with `/` between its levels, `INBOX` in capitals.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from attrs import evolve, field, frozen

# --- Addresses and envelopes -----------------------------------------------------------------------------------------

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_DOT_ATOM = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")


def _lower(text: str) -> str:
    return text.lower()


@frozen
class Address:
    """A mailbox's address (RFC 5321 §4.1.2, RFC 6531 §3.3).

    :ivar local: the local part without its quoting, case kept.
    :ivar domain: lower case; a U-label where it was written so; `[192.0.2.1]` for an address literal; empty only for
        `<postmaster>`.
    """

    local: str
    domain: str = field(converter=_lower)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address that a person or a configuration file wrote; the local part is quoted where it must be.

        :raises ValueError: it is no address. (The wire's stricter grammar is in `smtp.grammar`.)
        """
        local, at, domain = text.strip().rpartition("@")
        if not at or not domain or re.search(r"[\s<>@,;:\"\\()\x00-\x20\x7f]", domain.strip("[]").replace(":", "")):
            raise ValueError(f"{text!r} is not an address")
        if local.startswith('"') and local.endswith('"') and len(local) > 2:
            local = re.sub(r"\\(.)", r"\1", local[1:-1])
        elif not _DOT_ATOM.fullmatch(local):
            raise ValueError(f"{text!r} is not an address")
        if re.search(r"[\x00-\x1f\x7f]", local):
            raise ValueError(f"{text!r} is not an address")
        return cls(local, domain)

    @property
    def isASCII(self) -> bool:
        """Whether the address can travel without SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        """`local@domain`, the local part quoted where RFC 5321 asks for it."""
        local = self.local
        if not _DOT_ATOM.fullmatch(local):
            local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def accountName(user: str, domain: str) -> str:
    """The canonical name of the account that a user name means: NFC, lower case, with its domain.

    :param user: as a client or an administrator wrote it.
    :param domain: the first configured domain, which a local part alone is of.
    :raises ValueError: no account can have that name (empty, over 320 characters, spaces, control characters).
    """
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", user).lower()) if len(user) <= 320 else ""
    local, at, host = name.rpartition("@")
    if not at:
        local, host = name, domain.lower()
    if not local or not host or not name.isprintable() or " " in name:
        raise ValueError(f"{user[:320]!r} cannot be the name of an account")
    return f"{local}@{host}"


@frozen
class Recipient:
    """One recipient of an envelope, with what the sender asked about it (RFC 3461).

    :ivar notify: of `never`, `success`, `failure`, `delay`; empty where the sender said nothing.
    :ivar original: ORCPT as given, `rfc822;user@example.org`.
    """

    address: Address
    notify: frozenset[str] = frozenset()
    original: str = ""


@frozen
class DeliverBy:
    """When a message is of use no longer (RFC 2852).

    :ivar isReturned: then it comes back to the sender (`R`); otherwise the sender is told, and it is still tried (`N`).
    :ivar isTraced: the sender is told of every relay (`T`).
    """

    time: float
    isReturned: bool = False
    isTraced: bool = False


@frozen
class Envelope:
    """What SMTP says about a message, beside the message (RFC 5321 §2.3.1).

    :ivar sender: None is the null reverse path `<>`.
    :ivar identity: who authenticated, if anybody.
    :ivar returns: RET, `full` or `hdrs`, or empty.
    :ivar envelopeId: ENVID as given, decoded from xtext.
    :ivar is8Bit: the message may hold octets above 127 (BODY=8BITMIME or BINARYMIME).
    :ivar priority: -9 to 9 (MT-PRIORITY, RFC 6710).
    :ivar releaseAt: before that time nobody is given the message (FUTURERELEASE, RFC 4865); 0 is at once.
    :ivar isQuarantined: those of our own find it in Junk.
    :ivar isAnsweredEach: each recipient has an answer of its own (LMTP, RFC 2033 §4.2).
    """

    sender: Address | None
    recipients: tuple[Recipient, ...] = ()
    identity: Identity | None = None
    isSMTPUTF8: bool = False
    is8Bit: bool = False
    requiresTLS: bool = False
    returns: str = ""
    envelopeId: str = ""
    priority: int = 0
    deliverBy: DeliverBy | None = None
    releaseAt: float = 0.0
    isQuarantined: bool = False
    isAnsweredEach: bool = False


@frozen
class Identity:
    """Who somebody proved to be.

    :ivar account: the canonical name of the account, `mbrain@example.org`, lower case: what stores know it by.
    :ivar isAdmin: may steer the server (manhole, EXPN for all …).
    :ivar authenticatedAs: whose credentials were used, where that is not the account's owner (a master login).
    """

    account: str
    isAdmin: bool = False
    authenticatedAs: str = ""


@frozen
class Peer:
    """The other end of a connection. IPv4-mapped IPv6 addresses are written as IPv4.

    :ivar host: an IP address, or the path of a Unix socket, or empty when the socket has none.
    """

    host: str
    port: int = 0
    isLoopback: bool = False
    isUnix: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- Where mail goes -------------------------------------------------------------------------------------------------


@frozen
class Target:
    """A place in our own store that a message is delivered to.

    :ivar account: canonical account name.
    :ivar mailbox: delivery creates it where it is missing.
    :ivar flags: set on the message as it arrives.
    :ivar detail: the tag of `user+tag@`, for scripts; it never names a mailbox by itself.
    """

    account: str
    mailbox: str = "INBOX"
    flags: frozenset[str] = frozenset()
    detail: str = ""


@frozen
class Resolution:
    """What a directory knows about an address: the accounts it ends in, the addresses elsewhere it is forwarded to."""

    targets: tuple[Target, ...] = ()
    forwards: tuple[Address, ...] = ()


class Fate(enum.Enum):
    """What became of a message for one recipient."""

    DELIVERED = "delivered"  # durably in a mailbox, or taken over by the next hop
    QUEUED = "queued"  # durably in our queue
    DEFERRED = "deferred"  # not taken for the moment; nobody holds it for this recipient but the sender
    FAILED = "failed"  # refused for good


@frozen
class Outcome:
    """What became of a message for one recipient, local or remote.

    :ivar refusal: why, when it was not taken.
    :ivar remark: a line for logs and VERB: which mailbox and UID, or what the remote server said.
    :ivar status: RFC 3463, `5.1.1`, where somebody gave one.
    :ivar host: the next hop that said so; empty where the message's way ends here.
    :ivar isReported: the next hop also took over telling the sender of success (RFC 3461 §5.2.1).
    """

    fate: Fate
    refusal: Exception | None = None
    remark: str = ""
    status: str = ""
    host: str = ""
    isReported: bool = False

    @property
    def isTaken(self) -> bool:
        """Whether somebody durably holds the message for this recipient."""
        return self.fate in (Fate.DELIVERED, Fate.QUEUED)


# --- What the DNS says -----------------------------------------------------------------------------------------------


@frozen
class MX:
    """A host that takes mail for a domain (RFC 5321 §5.1).

    :ivar host: lower case, without the last dot; empty is a null MX (RFC 7505).
    """

    preference: int
    host: str


@frozen
class TLSA:
    """Which certificate a service shows (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


R = TypeVar("R")


@frozen
class Answer(Generic[R]):
    """Records of one kind at one name; none, where the name is there without any of that kind.

    :ivar isAuthentic: the resolver found the answer signed (DNSSEC), as far as the resolver and the way to it are trusted.
    """

    records: tuple[R, ...] = ()
    isAuthentic: bool = False


# --- The bytes of a message ------------------------------------------------------------------------------------------


@frozen
class MessageSource:
    """A message's octets before a store has them: a prefix of stamped headers, then bytes in memory or part of a file.

    The file belongs to whoever made the source (a spool), and stays unchanged while the source is used. A source can be
    read many times and from any thread, and can cross to another process of the same machine.

    :ivar data: the content after the prefix, when it is in memory.
    :ivar path: the file that holds it otherwise, from `offset`, `length` octets.
    """

    data: bytes = b""
    prefix: bytes = b""
    path: str = ""
    offset: int = 0
    length: int = 0

    @property
    def size(self) -> int:
        """Octets in all, prefix included."""
        return len(self.prefix) + (self.length if self.path else len(self.data))

    def withPrefix(self, header: bytes) -> MessageSource:
        """The same message with more header lines (each ended by CRLF) before it."""
        return evolve(self, prefix=header + self.prefix)

    def read(self) -> bytes:
        """The whole content at once."""
        if not self.path:
            return self.prefix + self.data if self.prefix else self.data
        return b"".join(self.chunks(self.length or 1))

    def chunks(self, length: int = 65536) -> Iterator[bytes]:
        """The content in pieces of at most `length` octets (the prefix apart)."""
        if self.prefix:
            yield self.prefix
        if not self.path:
            for start in range(0, len(self.data), length):
                yield self.data[start : start + length]
            return
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            rest = self.length
            while rest and (piece := file.read(min(rest, length))):
                rest -= len(piece)
                yield piece
            if rest:
                raise EOFError(f"a spooled message lost {rest} octets")


# --- Flags and UIDs --------------------------------------------------------------------------------------------------


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


@frozen
class UIDSet:
    """A set of UIDs, or of sequence numbers, as sorted, disjoint, non-adjacent ranges (RFC 9051 §9 `sequence-set`).

    Every operation is linear in the number of ranges, never in the number of UIDs.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, *uids: int) -> UIDSet:
        """The set of these numbers."""
        return cls.fromUIDs(uids)

    @classmethod
    def fromUIDs(cls, uids: Iterable[int]) -> UIDSet:
        """From numbers in any order, repeats allowed. Sorted input costs no sort."""
        ranges: list[tuple[int, int]] = []
        isSorted = True
        low = high = -1
        for uid in uids:
            if uid == high + 1 and high >= 0:
                high = uid
            elif low <= uid <= high:
                continue
            else:
                if high >= 0:
                    ranges.append((low, high))
                    isSorted = isSorted and uid > high
                low = high = uid
        if high >= 0:
            ranges.append((low, high))
        return cls(tuple(ranges)) if isSorted else cls.fromRanges(ranges)

    @classmethod
    def fromRanges(cls, ranges: Iterable[tuple[int, int]]) -> UIDSet:
        """From ranges in any order, overlapping or reversed (`4:2` is `2:4`, RFC 9051 §9)."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted((low, high) if low <= high else (high, low) for low, high in ranges):
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    @classmethod
    def parse(cls, text: str) -> UIDSet:
        """Read what `str` wrote: `1:3,7`; the empty string is the empty set."""
        ranges = []
        for piece in filter(None, text.split(",")):
            low, _, high = piece.partition(":")
            ranges.append((int(low), int(high or low)))
        return cls.fromRanges(ranges)

    def __str__(self) -> str:
        return ",".join(f"{low}:{high}" if low != high else str(low) for low, high in self.ranges)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __contains__(self, uid: int) -> bool:
        at = bisect_right(self.ranges, (uid, 1 << 62)) - 1
        return at >= 0 and uid <= self.ranges[at][1]

    def __or__(self, other: UIDSet) -> UIDSet:
        return UIDSet.fromRanges(self.ranges + other.ranges)

    def __and__(self, other: UIDSet) -> UIDSet:
        found: list[tuple[int, int]] = []
        mine, theirs = list(self.ranges), list(other.ranges)
        i = j = 0
        while i < len(mine) and j < len(theirs):
            low, high = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
            if low <= high:
                found.append((low, high))
            if mine[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return UIDSet(tuple(found))

    def __sub__(self, other: UIDSet) -> UIDSet:
        left: list[tuple[int, int]] = []
        j = 0
        for low, high in self.ranges:
            while j and other.ranges[j - 1][1] >= low:
                j -= 1
            while j < len(other.ranges) and other.ranges[j][0] <= high:
                cutLow, cutHigh = other.ranges[j]
                if cutHigh >= low:
                    if cutLow > low:
                        left.append((low, cutLow - 1))
                    low = cutHigh + 1
                j += 1
            if low <= high:
                left.append((low, high))
        return UIDSet(tuple(left))

    @property
    def first(self) -> int:
        """The lowest UID. The set is not empty."""
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        """The highest UID. The set is not empty."""
        return self.ranges[-1][1]


ALL_UIDS = UIDSet(((1, 0xFFFFFFFF),))


# --- What a mailbox is -----------------------------------------------------------------------------------------------


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
    vanished: UIDSet = UIDSet()
    isComplete: bool = True


# --- What an account may hold ----------------------------------------------------------------------------------------


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


# --- Operations: the only way to change an account -------------------------------------------------------------------


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


# --- Simple stores ---------------------------------------------------------------------------------------------------


@frozen
class Entry:
    """One message as a simple store's `scan` finds it.

    :ivar key: names the message for as long as it is in the folder, whatever becomes of its flags.
    :ivar locator: where its bytes are now (a file name, an offset): a hint that may grow stale.
    :ivar flags: None where the format keeps none: then the engine's own record is the truth.
    :ivar size: octets as `read` returns them; -1 where only reading would tell.
    """

    key: str
    locator: str
    flags: frozenset[str] | None = None
    internalDate: float = 0.0
    size: int = -1


# --- Credentials -----------------------------------------------------------------------------------------------------


@frozen
class PasswordCredentials:
    """A name and a password in clear, as PLAIN, LOGIN and USER/PASS bring them.

    :ivar user: as the client wrote it: an address, or a local part alone (the first configured domain is then meant).
    :ivar service: `smtp`, `submission`, `imap`, `pop3` …: what the login is for (app passwords can be bound to one).
    :ivar isForAnother: the user wants into another's account (a master login), for which app passwords are no good.
    """

    user: str
    password: str = field(repr=False)
    service: str = ""
    peer: str = ""
    isForAnother: bool = False


@frozen
class TokenCredentials:
    """A bearer token (RFC 6750), as OAUTHBEARER and XOAUTH2 bring it.

    :ivar user: the account that the client asks for, perhaps empty. A source need not look at it: whether the token's owner may
        have that account is asked after it was judged.
    :ivar token: printable ASCII; empty where the client only wants to hear which tokens are taken.
    """

    user: str
    token: str = field(repr=False)
    service: str = ""
    peer: str = ""


@frozen
class CertificateCredentials:
    """A certificate that the client proved in TLS to have the key of, and that one of our authorities issued (EXTERNAL).

    :ivar user: the account that the client asks for, perhaps empty; it only chooses among those that the certificate names.
    :ivar certificate: DER.
    """

    user: str
    certificate: bytes = field(repr=False)
    service: str = ""
    peer: str = ""


Credentials = PasswordCredentials | TokenCredentials | CertificateCredentials
