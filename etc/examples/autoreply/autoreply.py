"""Somebody is away: mail is delivered as ever, and whoever wrote it is told so, once a week.

Nobody is told who should not be (RFC 3834): no program, no list, no sender `<>` (`mail.Reply` sees to that itself); nor who wrote
to many, so that the message does not name the account.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from mailfw import mail
from mailfw.message.address import mailboxes

AWAY = {  # by account; SIGHUP reads it again
    "jsmith@example.org": "I am away until Monday. In urgent cases please write to mbrain@example.org.\n",
}
AGAIN = 7 * 86400
PLACE = Path(os.environ.get("AUTOREPLY", Path(__file__).parent))

TABLE = "CREATE TABLE IF NOT EXISTS told (account TEXT, sender TEXT, at REAL, message TEXT, PRIMARY KEY (account, sender))"
TELL = """INSERT INTO told VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, message = excluded.message
    WHERE told.at <= excluded.at - ? OR told.message = excluded.message RETURNING 1"""


def isToBeTold(account, message):
    """Whether that sender was not told within the week; noted at once. The same message is answered again when the function is
    called again with it, because then nothing of what it returned before was done."""
    with closing(sqlite3.connect(PLACE / "autoreply.sqlite", timeout=30)) as database, database:
        database.execute(TABLE)
        return bool(database.execute(TELL, (account, message.sender.lower(), time.time(), message.id, AGAIN)).fetchall())


def isFor(account, message):
    """Whether the message names the account: who gets a blind copy, or a message to many, answers nobody."""
    named = [each for field in ("To", "Cc") for value in message.all(field) for each in mailboxes(value.encode())]
    return any(f"{each.local.decode()}@{each.domain.decode()}".lower() == account for each in named)


def away(account, text):
    """A function for each account: an address without variables, so that no other address comes to exist by it."""

    @mail.route(account)
    def answer(message):
        if message.isAutomatic or not isFor(account, message) or not isToBeTold(account, message):
            return mail.Deliver()
        return [mail.Deliver(), mail.Reply(message.reply(text, subject=f"Auto: {message.subject}"[:200], sender=account))]

    return answer


for each, words in AWAY.items():
    away(each, words)
