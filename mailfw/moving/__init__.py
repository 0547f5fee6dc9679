"""Moving mail: from any store to any other, account by account.

The room knows the contracts of stores (`IMailStore`, `IAccount`, `IMailbox`) and no store; `app` opens them. What was moved is in
the target, durably, before it is noted in a `Journal`; what a crash left between the two is told by looking at the messages
themselves. So a move that was interrupted anywhere is simply done again: nothing comes twice, and nothing is missing.

Invariants:

- Nothing is changed where mail comes from.
- Files are read in threads, in pieces; `importer` takes what `files` finds, by content, for files number nothing.
- At most two batches of messages are in memory: one being written while the next is read.
- A UID is kept where the target can keep it without giving anybody's known number to another message; where it cannot, the
  message has a new one, and the summary says so.
"""

from mailfw.moving.carrier import Carrier, Progress, Stopped
from mailfw.moving.exporter import WRITERS, Exporter
from mailfw.moving.files import Files
from mailfw.moving.folder import Folder
from mailfw.moving.importer import Importer
from mailfw.moving.journal import Journal
from mailfw.moving.mbox import Variant
from mailfw.moving.remote import RemoteAccount
from mailfw.moving.summary import AccountSummary, MailboxSummary, Summary

__all__ = [
    "WRITERS",
    "AccountSummary",
    "Carrier",
    "Exporter",
    "Files",
    "Folder",
    "Importer",
    "Journal",
    "MailboxSummary",
    "Progress",
    "RemoteAccount",
    "Stopped",
    "Summary",
    "Variant",
]
