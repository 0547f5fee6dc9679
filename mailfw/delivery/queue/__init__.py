"""The queue: mail that is ours to bring on, until somebody else has it or its sender knows that nobody will.

One database file (`queue.sqlite`) with a row for each recipient, a row for each envelope, and each content once, in a row or,
above 256 KiB, in a file. The state of a recipient is nowhere written as a word; it follows from two columns, so there is no state
that contradicts itself:

| state   | `due`       | `owner` | guarantee                                                                               |
| ------- | ----------- | ------- | --------------------------------------------------------------------------------------- |
| waiting | a time      | none    | content, envelope and recipient are on disk; it is tried when it is due                 |
| leased  | in future   | a token | one worker has it; only that worker can put it off or fail it; at `due` it is waiting again |
| held    | none        | none    | nobody tries it, and it does not grow old, until it is released                         |
| (gone)  | no row      |         | somebody took it over, or it was cancelled, or the report of its failure is in the queue |

Invariants:

- What `enqueue` returned for is on disk. What `settle` was told is on disk when it returns, in one transaction with the reports
  that it makes necessary: a failure and the mail that tells of it are never apart.
- A crash gives back every lease by itself, when its time is over: nothing is scanned at the start. A worker that lost its lease
  (it slept too long) can still say that a recipient has the message, which is true whoever says it, but not that it failed.
- What comes in while its lane has time for it is born leased (a `Loan`): the row says from the first that the relay of this
  process has it, which is given it once the row is on disk. It is a lease like any other.
- Recipients wait in *lanes*, one for each destination, and lanes are served in turn: a hundred thousand messages for a host that
  is slow hold up nobody else. A lane's `due` is that of its first recipient.
"""

from mailfw.delivery.queue.entry import EVERYTHING, Entry, Filter, Page, QueuedMessage, Report, Settlement, State, Submission
from mailfw.delivery.queue.queue import Queue

__all__ = ["EVERYTHING", "Entry", "Filter", "Page", "Queue", "QueuedMessage", "Report", "Settlement", "State", "Submission"]
