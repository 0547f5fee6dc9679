"""A help desk: whoever writes to support@ gets a ticket, and answers on both sides keep to its thread.

Mail about a ticket is from and to its own address, ticket-NUMBER-TOKEN@, whose token nobody can make who does not know the
secret: so the address alone says which ticket is meant, and that its holder had mail from us. Tickets are in a table of SQLite.
"""

import hashlib
import hmac
import os
import secrets
import sqlite3
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

from mailfw import mail

DOMAIN = "example.org"
DESK = f"support@{DOMAIN}"
STAFF = {DESK}  # accounts that answer tickets, logged in
PLACE = Path(os.environ.get("TICKETS", Path(__file__).parent))

TABLES = """
CREATE TABLE IF NOT EXISTS ticket (id INTEGER PRIMARY KEY, message TEXT UNIQUE, customer TEXT, subject TEXT, opened REAL);
CREATE TABLE IF NOT EXISTS letter (message TEXT PRIMARY KEY, ticket INTEGER, sender TEXT, text TEXT);
"""


def ask(statement, *values):
    """One statement in a transaction of its own."""
    with closing(sqlite3.connect(PLACE / "tickets.sqlite", timeout=30)) as database, database:
        database.executescript(TABLES)
        return database.execute(statement, values).fetchall()


def secret():
    """32 random octets, made once."""
    path = PLACE / "tickets.secret"
    if not path.exists():
        new = path.with_name(f"tickets.secret.{secrets.token_hex(4)}")
        new.touch(0o600)
        new.write_bytes(os.urandom(32))
        try:
            os.link(new, path)  # whoever is first has made it
        except FileExistsError:
            pass
        new.unlink()
    return path.read_bytes()


def token(ticket):
    return hmac.digest(secret(), b"ticket %d" % ticket, hashlib.sha256).hex()[:20]


def addressOf(ticket):
    return f"ticket-{ticket}-{token(ticket)}@{DOMAIN}"


def letter(message, ticket, to, subject):
    """The message as the other side gets it: text and attachments, nothing else of what a stranger wrote."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = f"Support <{addressOf(ticket)}>", to, subject
    made["References"] = f"<ticket-{ticket}@{DOMAIN}>"  # all mail of a ticket is one thread
    made.set_content(message.text or "(There is no plain text in this message.)\n")
    for each in message.attachments:
        made.add_attachment(each.content, maintype="application", subtype="octet-stream", filename=each.safeName)
    return made


def keep(message, ticket):
    """Note what was said; once, however often this is called for the message."""
    ask("INSERT OR IGNORE INTO letter VALUES (?, ?, ?, ?)", message.id, ticket, message.sender, message.text)


def toStaff(message, ticket, subject):
    letters = letter(message, ticket, DESK, f"[#{ticket}] {subject}")
    return mail.Deliver(DESK, mailbox=f"Tickets/{ticket}", message=letters)


@mail.route("support@example.org")
def opened(message):
    """A new ticket; not for what a program wrote, or two programs would thank one another for ever."""
    if message.isAutomatic:
        return mail.Deliver(DESK)
    subject = " ".join(message.subject.split())[:200] or "(no subject)"
    insert = "INSERT OR IGNORE INTO ticket (message, customer, subject, opened) VALUES (?, ?, ?, ?)"
    ask(insert, message.id, message.sender, subject, message.arrived)  # ignored when it is called again, after a crash
    ((ticket,),) = ask("SELECT id FROM ticket WHERE message = ?", message.id)
    keep(message, ticket)
    thanks = f"Thank you. Your ticket is #{ticket}; simply answer this message to add to it.\n"
    answer = message.reply(thanks, subject=f"[#{ticket}] {subject}", sender=f"Support <{addressOf(ticket)}>")
    del answer["References"]
    answer["References"] = f"<ticket-{ticket}@{DOMAIN}>"
    return [toStaff(message, ticket, subject), mail.Reply(answer)]


@mail.route("ticket-{ticket:int}-{given:word}@example.org")
def answered(message, ticket, given):
    """Another letter: from the staff to the customer, from anybody else who has the address to the staff."""
    found = ask("SELECT customer, subject FROM ticket WHERE id = ?", ticket)
    if not found or not hmac.compare_digest(given.lower().encode(), token(ticket).encode()):
        return mail.Reject("5.1.1 there is no such ticket")
    ((customer, subject),) = found
    keep(message, ticket)
    if message.account in STAFF:
        answer = letter(message, ticket, customer, f"Re: [#{ticket}] {subject}")
        return mail.Send(answer, to=customer, sender=addressOf(ticket))
    return toStaff(message, ticket, subject)
