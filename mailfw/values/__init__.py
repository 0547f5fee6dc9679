"""The nouns of mail, as frozen values: what rooms hand to each other.

Everything here is immutable, compares by value, pickles, and imports nothing of ours, so that a value can cross a
thread, a process or a protocol unchanged. Times are `float` seconds since the epoch, UTC, unless a name says
otherwise; sizes are octets; a mailbox name is a `str` with `/` between its levels, `INBOX` in capitals.
"""

from __future__ import annotations

from mailfw.values.address import Address, accountName
from mailfw.values.credentials import CertificateCredentials, Credentials, PasswordCredentials, TokenCredentials
from mailfw.values.delivery import Consequence, Fate, Outcome, Resolution, Target
from mailfw.values.dns import MX, TLSA, Answer
from mailfw.values.entry import Entry
from mailfw.values.envelope import DeliverBy, Envelope, Identity, Peer, Recipient
from mailfw.values.mailbox import (
    ANYONE,
    RIGHTS,
    Changes,
    Column,
    Flag,
    MailboxInfo,
    MailboxStatus,
    MessageChange,
    Quota,
    Snapshot,
    SpecialUse,
    Usage,
    canonicalFlag,
    rightToFlag,
)
from mailfw.values.operations import (
    FIRST_MAILBOXES,
    Adopt,
    Append,
    Appended,
    Copied,
    Copy,
    Create,
    Damage,
    Delete,
    Expunge,
    Expunged,
    FlagChange,
    FlagsSet,
    Move,
    NewMessage,
    Operation,
    Rename,
    Result,
    SetFlags,
    SetMetadata,
    SetQuota,
    SetRights,
    Subscribe,
)
from mailfw.values.source import MessageSource
from mailfw.values.uids import ALL_UIDS, NO_UIDS, UIDSet

__all__ = [
    "ALL_UIDS",
    "ANYONE",
    "FIRST_MAILBOXES",
    "MX",
    "NO_UIDS",
    "RIGHTS",
    "TLSA",
    "Address",
    "Adopt",
    "Answer",
    "Append",
    "Appended",
    "CertificateCredentials",
    "Changes",
    "Column",
    "Consequence",
    "Copied",
    "Copy",
    "Create",
    "Credentials",
    "Damage",
    "Delete",
    "DeliverBy",
    "Entry",
    "Envelope",
    "Expunge",
    "Expunged",
    "Fate",
    "Flag",
    "FlagChange",
    "FlagsSet",
    "Identity",
    "MailboxInfo",
    "MailboxStatus",
    "MessageChange",
    "MessageSource",
    "Move",
    "NewMessage",
    "Operation",
    "Outcome",
    "PasswordCredentials",
    "Peer",
    "Quota",
    "Recipient",
    "Rename",
    "Resolution",
    "Result",
    "SetFlags",
    "SetMetadata",
    "SetQuota",
    "SetRights",
    "Snapshot",
    "SpecialUse",
    "Subscribe",
    "Target",
    "TokenCredentials",
    "UIDSet",
    "Usage",
    "accountName",
    "canonicalFlag",
    "rightToFlag",
]
