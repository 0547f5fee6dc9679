# away.py
"""Answers for people who are away, as RFC 3834 wants it: each sender once a week, and never a program.

The answer has the null sender, so that nothing comes of it where it cannot be delivered; it says
`Auto-Submitted: auto-replied`, so that no other program answers it; and `mail.Reply` sends none at all to what a program
wrote, lists and reports included.
"""

import sqlite3
import time
from contextlib import closing
from datetime import date
from pathlib import Path

from mailfw import mail

DATABASE = str(Path(__file__).with_name("away.sqlite"))
WEEK = 7 * 86400
AWAY = {"ann@example.org": (date(2026, 12, 20), date(2027, 1, 6))}  # the first day away, the first day back
TEXT = "Thank you for your message. I am away, and shall read it on {back:%d %B %Y}.\n\nAnn\n"

SCHEMA = """
CREATE TABLE IF NOT EXISTS answered (account TEXT, sender TEXT, at REAL, message TEXT, PRIMARY KEY (account, sender));
"""
now = time.time


@mail.route(*AWAY)
def away(message):
    kept = mail.Deliver()  # where the address leads without this function
    account = accountOf(message)
    first, back = AWAY.get(account, (date.max, date.max))
    isMeant = message.recipient.lower() in " ".join(message.all("To") + message.all("Cc")).lower()  # not a blind copy, not a list
    if not isMeant or not first <= date.fromtimestamp(now()) < back or message.isAutomatic:
        return kept
    if not isFirst(account, message.sender.lower(), message.id):
        return kept
    answer = message.reply(TEXT.format(back=back), subject=f"Auto: {message.subject}")
    return [kept, mail.Reply(answer)]


def accountOf(message):
    """Whose address that is: ann+tea@ is ann@."""
    name, _, domain = message.recipient.rpartition("@")
    return f"{name[: -len(message.tag) - 1] if message.tag else name}@{domain}".lower()


def isFirst(account, sender, message):
    """Whether nobody was answered yet this week; and again so for the same message."""
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.executescript(SCHEMA)
        database.execute("DELETE FROM answered WHERE at <= ?", (now() - WEEK,))
        row = (account, sender, now(), message)
        database.execute("INSERT OR IGNORE INTO answered VALUES (?, ?, ?, ?)", row)
        found = database.execute("SELECT message FROM answered WHERE account = ? AND sender = ?", (account, sender))
        return found.fetchone() == (message,)
