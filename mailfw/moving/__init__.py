"""Moving mail: from any store to any other, account by account.

The room knows the contracts of stores (`IMailStore`, `IAccount`, `IMailbox`) and no store; `app` opens them. What was moved is in
the target, durably, before it is noted in a `Journal`; what a crash left between the two is told by looking at the messages
themselves. So a move that was interrupted anywhere is simply done again: nothing comes twice, and nothing is missing.

Invariants:

- Nothing is changed where mail comes from.
- At most two batches of messages are in memory: one being written while the next is read.
- A UID is kept where the target can keep it without giving anybody's known number to another message; where it cannot, the
  message has a new one, and the summary says so.
"""

from mailfw.moving.carrier import Carrier, Progress, Stopped
from mailfw.moving.journal import Journal
from mailfw.moving.summary import AccountSummary, MailboxSummary, Summary

__all__ = ["AccountSummary", "Carrier", "Journal", "MailboxSummary", "Progress", "Stopped", "Summary"]
