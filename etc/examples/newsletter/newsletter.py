# newsletter.py
"""A mailing list. Members write to news@, and everybody gets it.

Joining and leaving are confirmed by an answer. Each member's copy has a sender of its own (VERP), so that a report of failure
names the member; who could not be reached on five days is a member no more. Such addresses have a token, an HMAC of what
they are for, so that nobody can make one up.

Neither subject nor text of a message is changed, so its author's DKIM signature stays good.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

from twisted.web.resource import Resource

from mailfw import mail

DATABASE = str(Path(__file__).with_name("newsletter.sqlite"))
NAME, DOMAIN, OWNER = "news", "example.org", "owner@example.org"
WEB = "https://www.example.org/unsubscribe"  # where `OneClick` is served
BOUNCING_DAYS = 5

SCHEMA = """
CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS member (id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT UNIQUE NOT NULL COLLATE NOCASE);
CREATE TABLE IF NOT EXISTS bounce (member INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (member, day));
"""
OLD_FIELDS = re.compile(rb"^(?:List-[\w-]+|Precedence|Return-Path):.*\r\n(?:[ \t].*\r\n)*", re.MULTILINE | re.IGNORECASE)
now = time.time


def ask(sql, *values):
    """All rows of the answer; what was changed is on disk then."""
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.executescript(SCHEMA)
        database.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
        return database.execute(sql, values).fetchall()


def token(*what):
    ((key,),) = ask("SELECT key FROM secret")
    return hmac.new(key, repr(what).encode(), hashlib.sha256).hexdigest()[:24]


def isGood(given, *what):
    return hmac.compare_digest(given.lower().encode(), token(*what).encode())


def own(what):
    return f"{NAME}-{what}@{DOMAIN}"


# --- Messages to the list ---------------------------------------------------------------------------------------------


@mail.route(f"{NAME}@{DOMAIN}")
def post(message):
    if message.isAutomatic:  # reports, answers of programs, other lists and our own
        return mail.Discard("no person wrote it")
    if not ask("SELECT 1 FROM member WHERE address = ?", message.sender):
        return mail.Reject(f"5.7.1 only members write to this list; {own('subscribe')} makes you one")
    members = ask("SELECT id, address FROM member ORDER BY id")
    return [mail.Send(copy(message, member), to, sender=bounces(member)) for member, to in members]


def copy(message, member):
    """The message with the fields of a list (RFC 2369, 2919, 8058), as one member gets it."""
    leave = token("leave", member)
    fields = {
        "List-Id": f"<{NAME}.{DOMAIN}>",
        "List-Post": f"<mailto:{NAME}@{DOMAIN}>",
        "List-Help": f"<mailto:{OWNER}>",
        "List-Subscribe": f"<mailto:{own('subscribe')}>",
        "List-Unsubscribe": f"<{WEB}/{member}/{leave}>, <mailto:{own(f'leave-{member}-{leave}')}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Precedence": "list",
    }
    header, _, body = message.content.partition(b"\r\n\r\n")
    added = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return added.encode() + OLD_FIELDS.sub(b"", header + b"\r\n") + b"\r\n" + body


# --- Joining and leaving ----------------------------------------------------------------------------------------------


@mail.route(own("subscribe"))
def subscribe(message):
    back = own(f"join-{token('join', message.sender.lower())}")
    return asked(message, back, f"Answer this message to join {NAME}@{DOMAIN}.\nIf you have not asked for it, do nothing.\n")


@mail.route(own("unsubscribe"))
def unsubscribe(message):
    for (member,) in ask("SELECT id FROM member WHERE address = ?", message.sender):
        return asked(message, own(f"leave-{member}-{token('leave', member)}"), f"Answer this message to leave {NAME}@{DOMAIN}.\n")
    return mail.Reply("You are not a member under this address.\n")


def asked(message, back, text):
    answer = message.reply(text, sender=back, subject=f"Please confirm: {NAME}@{DOMAIN}")
    return mail.Reply(answer)


@mail.route(own("join-{given:word}"))
def join(message, given):
    if message.isAutomatic or not isGood(given, "join", message.sender.lower()):
        return mail.Discard("not an answer from the address that is to join")
    ask("INSERT OR IGNORE INTO member (address) VALUES (?)", message.sender)
    return mail.Reply(f"Welcome! Write to {NAME}@{DOMAIN}. To leave, write to {own('unsubscribe')}.\n")


@mail.route(own("leave-{member:int}-{given:word}"))
def leave(message, member, given):
    if message.isAutomatic or not isGood(given, "leave", member):
        return mail.Discard("not an answer, or forged")
    remove(member)
    return mail.Reply("You have left the list.\n")


def remove(member):
    ask("DELETE FROM member WHERE id = ?", member)
    ask("DELETE FROM bounce WHERE member = ?", member)


class OneClick(Resource):
    """POST …/MEMBER/TOKEN, which mail programs send for their own button (RFC 8058): twistd web --class=newsletter.OneClick"""

    isLeaf = True

    def render_POST(self, request):
        member, given = (request.postpath[-2:] if len(request.postpath) > 1 else (b"", b""))
        isAsked = request.args.get(b"List-Unsubscribe") == [b"One-Click"]
        if not isAsked or not member.isdigit() or len(member) > 18 or not isGood(given.decode("latin-1"), "leave", int(member)):
            request.setResponseCode(404)
            return b"no such link\n"
        remove(int(member))
        return b"You have left the list.\n"


# --- Reports of failure -----------------------------------------------------------------------------------------------


def bounces(member):
    return own(f"bounces-{member}-{token('bounces', member)}")


@mail.route(own("bounces-{member:int}-{given:word}"))
def bounced(message, member, given):
    if not isGood(given, "bounces", member):
        return mail.Discard("forged")
    if not isFailure(message):
        return mail.Discard("it says of no failure")
    ask("INSERT OR IGNORE INTO bounce VALUES (?, ?)", member, int(now() // 86400))
    ((days,),) = ask("SELECT count(*) FROM bounce WHERE member = ? AND day > ?", member, int(now() // 86400) - 30)
    found = ask("SELECT address FROM member WHERE id = ?", member)
    if days < BOUNCING_DAYS or not found:
        return mail.Discard(f"could not be reached on {days} days")
    remove(member)
    told = EmailMessage()
    told["From"], told["To"], told["Subject"] = own("bounces"), OWNER, f"{found[0][0]} is a member no more"
    told["Auto-Submitted"] = "auto-generated"
    told.set_content(f"On {days} days {found[0][0]} could not be reached. This was the last report:\n\n{message.text}")
    return mail.Send(told, OWNER, sender="")


def isFailure(message):
    """Whether a report (RFC 3464), or what older programs write in its place, says that it failed for good."""
    if message.sender or message.get("Auto-Submitted").lower().startswith("auto-replied"):
        return False  # somebody is away
    actions = re.findall(rb"^Action:[ \t]*(\w+)", message.content, re.MULTILINE | re.IGNORECASE)
    return not actions or any(action.lower() == b"failed" for action in actions)
