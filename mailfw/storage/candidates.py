"""Which messages of a mailbox may match a search, by the index of substrings."""

from __future__ import annotations

import json
from typing import Any

from mailfw.message.plan import plan
from mailfw.sql import Connection
from mailfw.storage.changes import counters
from mailfw.storage.indexer import Indexer
from mailfw.values import UIDSet

WORTH = 100  # messages in a mailbox from which asking costs less than looking
MARGIN = 1000  # emails in other mailboxes of the account that may be found too, beside half the mailbox's

_NEWEST = "SELECT MAX(id) FROM email"
_UIDS = "SELECT uid FROM message WHERE mailbox = ? AND (email > ? OR email IN (SELECT value FROM json_each(?))) ORDER BY uid"


def candidates(connection: Connection, indexer: Indexer, account: int, mailbox: int, criterion: Any) -> UIDSet | None:
    """UIDs among which all matches are: those that the index finds, and those that it does not know yet. None: it is no help.

    :param criterion: a `message.criteria` criterion.
    :raises UIDValidityChanged: the mailbox was deleted.
    """
    messages = counters(connection, mailbox).messages
    wanted = plan(criterion) if messages >= WORTH else None
    found = None if wanted is None else indexer.find(account, wanted, messages // 2 + MARGIN)
    if found is None:
        return None
    newest = connection.execute(_NEWEST).fetchone()[0] or 0
    if not found.emails and newest <= found.mark:
        return UIDSet()
    rows = connection.execute(_UIDS, (mailbox, found.mark, json.dumps(sorted(found.emails))))
    return UIDSet.fromUIDs(row[0] for row in rows)
