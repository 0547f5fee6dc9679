"""Mailing lists: members write to NAME@ and all members get it; who joins or leaves confirms it; who bounces gets no more.

    NAME@                  a message for the members
    NAME+subscribe@        NAME+unsubscribe@: answered with a question from NAME+confirm-…@, whose answer does it
    NAME+leave-…@          one member leaves, at once: what List-Unsubscribe says, for this member only
    NAME+bounce-…@         where reports about one member's copy go (VERP)

Every copy has headers of its own (RFC 2369, RFC 2919, RFC 8058); the body and the author's headers stay as they are, so that
signatures (DKIM) stay good. Behind `Leave` is the address for one click, for programs that want HTTPS.
"""

import hashlib
import hmac
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from twisted.web.resource import Resource

from mailfw import mail

DOMAIN = "lists.example.org"
LISTS = {"cats": "All about cats"}
LEAVE = "https://lists.example.org/leave"
PLACE = Path(os.environ.get("LISTS", Path(__file__).parent))
BOUNCES, WITHIN = 5, 30 * 86400  # days on which mail came back, in so many seconds, after which a member gets no more

TABLES = """
CREATE TABLE IF NOT EXISTS member (
    id INTEGER PRIMARY KEY AUTOINCREMENT, list TEXT, address TEXT, suspended INTEGER DEFAULT 0, UNIQUE (list, address));
CREATE TABLE IF NOT EXISTS bounce (member INTEGER, day INTEGER, status TEXT, PRIMARY KEY (member, day));
CREATE TABLE IF NOT EXISTS secret (octets BLOB);
INSERT INTO secret SELECT randomblob(32) WHERE NOT EXISTS (SELECT 1 FROM secret);
"""


def ask(statement, *values):
    """One statement in a transaction of its own."""
    with closing(sqlite3.connect(PLACE / "lists.sqlite", timeout=30)) as database, database:
        database.executescript(TABLES)
        return database.execute(statement, values).fetchall()


def token(*words):
    """Nobody else can make it for these words."""
    ((key,),) = ask("SELECT octets FROM secret")
    return hmac.digest(key, "\0".join(map(str, words)).encode(), hashlib.sha256).hex()[:16]


def isToken(given, *words):
    return hmac.compare_digest(given.lower().encode(), token(*words).encode())


# --- A message for the members ---------------------------------------------------------------------------------------


@mail.route("{name:slug}@lists.example.org", timeout="5m")
def post(message, name):
    """To every member, from an address that says whose copy came back."""
    if name not in LISTS:
        return mail.Reject("5.1.1 there is no such list")
    if message.isAutomatic or f"<{name}.{DOMAIN}>" in message.get("List-Id"):
        return mail.Discard("no program writes to members")
    if not ask("SELECT 1 FROM member WHERE list = ? AND address = ?", name, message.sender.lower()):
        return mail.Reject("5.7.2 only members write to this list")
    members = ask("SELECT id, address FROM member WHERE list = ? AND suspended = 0", name)
    return [copy(message, name, *member) for member in members]


def copy(message, name, member, address):
    content = headers(name, member).encode() + message.content
    return mail.Send(content, to=address, sender=f"{name}+bounce-{member}-{token('bounce', member)}@{DOMAIN}")


def headers(name, member):
    leaving = token("leave", member)
    leave = f"{LEAVE}?{urlencode({'member': member, 'token': leaving})}"
    return (
        f"List-Id: {LISTS[name]} <{name}.{DOMAIN}>\r\n"
        f"List-Post: <mailto:{name}@{DOMAIN}>\r\n"
        f"List-Subscribe: <mailto:{name}+subscribe@{DOMAIN}>\r\n"
        f"List-Unsubscribe: <{leave}>,\r\n <mailto:{name}+leave-{member}-{leaving}@{DOMAIN}>\r\n"
        f"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        f"Precedence: list\r\n"
    )


# --- Coming and going ------------------------------------------------------------------------------------------------


@mail.route("{name:slug}+subscribe@lists.example.org", "{name:slug}+unsubscribe@lists.example.org")
def request(message, name):
    """Ask whether that is meant: the address may be forged. Only whoever reads its mail can answer."""
    if name not in LISTS:
        return mail.Reject("5.1.1 there is no such list")
    action = "unsubscribe" if "+unsubscribe@" in message.recipient.lower() else "subscribe"
    confirm = f"{name}+confirm-{action}-{token(action, name, message.sender.lower())}@{DOMAIN}"
    text = (
        f"Somebody, probably you, wants to {action} {message.sender}.\nAnswer this message if that is right; else do nothing.\n"
    )
    return mail.Reply(message.reply(text, subject=f"{LISTS[name]}: please confirm", sender=confirm))


@mail.route("{name:slug}+confirm-{action:word}-{given:word}@lists.example.org")
def confirm(message, name, action, given):
    member = message.sender.lower()
    if message.isAutomatic or not isToken(given, action, name, member):
        return mail.Discard("confirmed by nobody")
    if action == "subscribe":
        ask("INSERT INTO member (list, address) VALUES (?, ?) ON CONFLICT DO UPDATE SET suspended = 0", name, member)
    else:
        ask("DELETE FROM member WHERE list = ? AND address = ?", name, member)
    return mail.Reply(message.reply("It is done.\n", subject=f"{LISTS[name]}: {action}d", sender=f"{name}+subscribe@{DOMAIN}"))


@mail.route("{name:slug}+leave-{member:int}-{given:word}@lists.example.org")
def leave(message, name, member, given):
    return None if left(member, given) else mail.Discard("a wrong token")


def left(member, given):
    """Whether the token was right, and so the member is gone."""
    if isRight := isToken(given, "leave", member):
        ask("DELETE FROM member WHERE id = ?", member)
    return isRight


class Leave(Resource):
    """Behind `LEAVE`: `twist web --class=mailinglist.Leave`. A GET, of programs that only look, changes nothing (RFC 8058)."""

    isLeaf = True

    def render_GET(self, request):
        return b'<form method="post"><button name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>'

    def render_POST(self, request):
        member, given = (request.args.get(name, [b""])[0].decode("ascii", "replace") for name in (b"member", b"token"))
        if not member.isdecimal() or len(member) > 18 or not left(int(member), given):
            request.setResponseCode(403)
            return b"This link is not right.\n"
        return b"You are unsubscribed.\n"


# --- What comes back -------------------------------------------------------------------------------------------------


@mail.route("{name:slug}+bounce-{member:int}-{given:word}@lists.example.org")
def bounced(message, name, member, given):
    """Count a report of a failure for good, once a day; leave the member out when it is too many."""
    if not isToken(given, "bounce", member):
        return mail.Discard("a forged report")
    report = message.report
    failed = [each.status for each in report.status.recipients if each.action.value == "failed"] if report else []
    if not any(status.startswith("5") for status in failed):
        return None  # a delay, or not for good, or an automatic answer that does not know where it belongs
    today = int(message.arrived or time.time()) // 86400
    ask("INSERT OR IGNORE INTO bounce VALUES (?, ?, ?)", member, today, failed[0])
    ask(
        "UPDATE member SET suspended = 1 WHERE id = ? AND (SELECT COUNT(*) FROM bounce WHERE member = ? AND day > ?) >= ?",
        member, member, today - WITHIN // 86400, BOUNCES,
    )  # fmt: skip
    return None
