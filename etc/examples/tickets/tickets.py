# tickets.py
"""A ticket desk. Mail to support@ opens a ticket; from then on both sides write to addresses that only they know.

ticket-17-customer-TOKEN@ is where the customer of ticket 17 writes to, ticket-17-staff-TOKEN@ where our people answer. A
token is an HMAC of what stands before it, so nobody can make one up, and none has to be kept.
"""

import hashlib
import hmac
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from mailfw import mail

DATABASE = str(Path(__file__).with_name("tickets.sqlite"))
DOMAIN = "example.org"
STAFF = "support"  # in whose mailboxes tickets are

SCHEMA = """
CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ticket (id INTEGER PRIMARY KEY, message TEXT UNIQUE NOT NULL, customer TEXT NOT NULL, subject TEXT);
"""


def ask(sql, *values):
    """All rows of the answer; what was changed is on disk then."""
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.executescript(SCHEMA)
        database.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
        return database.execute(sql, values).fetchall()


def address(ticket, side):
    """Where one side of a ticket writes to."""
    ((key,),) = ask("SELECT key FROM secret")
    token = hmac.new(key, f"{ticket}-{side}".encode(), hashlib.sha256).hexdigest()[:24]
    return f"ticket-{ticket}-{side}-{token}@{DOMAIN}"


def passedOn(message, sender, to):
    """What one side wrote, without the address that it wrote from."""
    copy = message.reply(message.text, html=message.html, sender=sender, to=to)
    if not message.isAutomatic:
        del copy["Auto-Submitted"]  # a person wrote it
    for each in message.attachments:
        copy.add_attachment(each.content, maintype="application", subtype="octet-stream", filename=each.safeName)
    return copy


@mail.route(f"support@{DOMAIN}")
def opened(message):
    if message.isAutomatic:
        return mail.Deliver(STAFF)  # for a person to look at: no ticket, and no answer
    ask(
        "INSERT OR IGNORE INTO ticket (message, customer, subject) VALUES (?, ?, ?)",
        message.id,  # the same when we are called again, so the message opens one ticket
        message.sender,
        message.subject,
    )
    ((ticket,),) = ask("SELECT id FROM ticket WHERE message = ?", message.id)
    text = f"Your message has become ticket {ticket}. To add something, answer this one.\n"
    answer = message.reply(text, sender=f"Support <{address(ticket, 'customer')}>")
    return [toStaff(message, ticket), mail.Reply(answer)]


@mail.route(f"ticket-{{ticket:int}}-{{side:word}}-{{token:word}}@{DOMAIN}")
def answered(message, ticket, side, token):
    side = side.lower()
    claimed = f"ticket-{ticket}-{side}-{token.lower()}@{DOMAIN}"
    if not hmac.compare_digest(address(ticket, side).encode(), claimed.encode()):
        return mail.Reject("5.1.1 there is no such ticket")
    if side == "customer":
        return toStaff(message, ticket)
    if message.isAutomatic:
        return mail.Discard("somebody of ours is away, which is no customer's business")
    ((customer,),) = ask("SELECT customer FROM ticket WHERE id = ?", ticket)
    own = address(ticket, "customer")  # reports come back to the ticket, too
    return mail.Send(passedOn(message, f"Support <{own}>", customer), customer, sender=own)


def toStaff(message, ticket):
    """Into the ticket's mailbox, so that an answer goes to the ticket."""
    copy = passedOn(message, f"Ticket {ticket} <{address(ticket, 'staff')}>", f"{STAFF}@{DOMAIN}")
    return mail.Deliver(STAFF, mailbox=f"Tickets/{ticket}", message=copy)
