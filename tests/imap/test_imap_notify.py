"""NOTIFY where it goes wrong: too much to tell, clients that do not read, stores that fail, bells that ring at a bad time."""

import pytest
from twisted.internet.defer import Deferred

from mailfw.errors import Unavailable
from mailfw.imap import notify
from mailfw.storage.account import Account
from mailfw.storage.mailbox import Mailbox
from mailfw.testing.transport import OUTPUT_HIGH_WATER
from mailfw.values import MessageSource, Target

ALL = b"NOTIFY SET (selected (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge MailboxName))"


@pytest.fixture
def pair(connect):
    """Two clients of one account, logged in."""
    return connect().logIn(), connect().logIn()


def append(client, mailbox, octets=b"A: b"):
    assert b"o OK" in client.say(b"o APPEND %b {%d+}" % (mailbox, len(octets)), octets)


def test_too_many_mailboxes_are_refused_and_nothing_changes(pair, monkeypatch):
    told, other = pair
    assert b"a OK" in told.say(b"a NOTIFY SET (mailboxes Drafts (MessageNew MessageExpunge))")
    monkeypatch.setattr(notify, "MAX_WATCHED", 3)
    assert told.say(b"b " + ALL).startswith(b"b NO [NOTIFICATIONOVERFLOW]")
    append(other, b"Sent")
    append(other, b"Drafts")
    assert told.said().startswith(b"* STATUS Drafts (MESSAGES 1 ")


def test_names_alone_are_told_of_however_many_there_are(pair, monkeypatch):
    told, other = pair
    monkeypatch.setattr(notify, "MAX_WATCHED", 3)
    assert b"a OK" in told.say(b"a NOTIFY SET (personal (MailboxName))")
    other.say(b"o CREATE Work")
    assert told.said() == b'* LIST (\\HasNoChildren) "/" Work\r\n'


def test_when_too_much_happens_the_client_is_told_so_once(pair, monkeypatch):
    told, other = pair
    assert b"a OK" in told.say(b"a " + ALL)
    told.say(b"b SELECT INBOX")
    for name in (b"Big", b"Big/a", b"Big/b", b"Big/c"):
        other.say(b"o CREATE " + name)
    told.said()
    monkeypatch.setattr(notify, "MAX_CHANGED", 3)
    other.say(b"o RENAME Big Bigger")
    assert told.said().startswith(b"* OK [NOTIFICATIONOVERFLOW] ")
    append(other, b"INBOX")
    append(other, b"Bigger")
    other.say(b"o CREATE Work")
    assert told.say(b"c NOOP") == b"c OK nothing done\r\n"
    assert b"* 1 EXISTS" in told.say(b"d " + ALL)


def test_a_client_that_does_not_read_costs_little_and_is_told_how_it_is_in_the_end(pair, world):
    told, other = pair
    big = b"NOTIFY SET (selected (MessageNew (BODY.PEEK[]) MessageExpunge)) (personal (MessageNew MessageExpunge))"
    assert b"a OK" in told.say(b"a " + big)
    told.say(b"b SELECT INBOX")
    told.transport.isReading = False
    for _ in range(50):
        append(other, b"INBOX", b"x" * 20_000)
        append(other, b"Archive")
    world.advance()
    assert len(told.transport.output) < OUTPUT_HIGH_WATER + 100_000
    told.transport.isReading = True
    heard = b""
    while more := told.said():
        heard += more
        world.advance()
    assert heard.count(b" FETCH (BODY[] {20000}\r\n") == 50
    assert heard.count(b"* STATUS Archive ") < 50
    assert b"* STATUS Archive (MESSAGES 50 " in heard


def test_nothing_comes_into_the_middle_of_a_literal(pair, world):
    """Not even a sign of life in IDLE, while the client does not read."""
    told, _ = pair
    told.say(b"a NOTIFY SET (selected (MessageNew (BODY.PEEK[]) MessageExpunge))")
    told.say(b"b SELECT INBOX", b"c IDLE")
    world.advance(world.context.limits.idleKeepAlive - 1)
    told.transport.isReading = False
    large = MessageSource(b"x" * 1_000_000)
    Deferred.fromCoroutine(world.context.store.deliver(large, [Target("jsmith@localhost")]))
    world.advance(2)
    told.transport.isReading = True
    heard = b""
    for _ in range(10):
        heard += told.said()
        world.advance()
    assert b"BODY[] {1000000}\r\n" + b"x" * 1_000_000 + b")\r\n" in heard
    world.advance(world.context.limits.idleKeepAlive + 1)
    assert told.said() == b"* OK still here\r\n"


def test_what_a_failing_store_could_not_tell_is_told_later(pair, monkeypatch):
    told, other = pair
    assert b"a OK" in told.say(b"a " + ALL)
    real = Account.changedSince
    isBroken = True

    async def changedSince(account, modSeq):
        if isBroken:
            raise Unavailable()
        return await real(account, modSeq)

    monkeypatch.setattr(Account, "changedSince", changedSince)
    append(other, b"Archive")
    assert told.said() == b""
    isBroken = False
    assert told.say(b"b NOOP").startswith(b"* STATUS Archive (MESSAGES 1 ")


def test_what_happens_while_a_mailbox_is_being_opened_is_told(pair, monkeypatch):
    told, other = pair
    assert b"a OK" in told.say(b"a NOTIFY SET (selected (MessageNew MessageExpunge))")
    real = Mailbox.snapshot

    async def snapshot(mailbox, claimRecent=False):
        found = await real(mailbox, claimRecent)
        monkeypatch.setattr(Mailbox, "snapshot", real)
        append(other, b"INBOX")
        return found

    monkeypatch.setattr(Mailbox, "snapshot", snapshot)
    said = told.say(b"b SELECT INBOX")
    assert b"* 0 EXISTS" in said and b"* 1 EXISTS" in said


def test_what_happens_while_counters_are_taken_is_told(pair, monkeypatch):
    told, other = pair
    real = Mailbox.status
    left = [b"Archive", b"Drafts"]

    async def status(mailbox):
        found = await real(mailbox)
        if left:
            append(other, left.pop())
        return found

    monkeypatch.setattr(Mailbox, "status", status)
    said = told.say(b"a NOTIFY SET STATUS (mailboxes (Archive Drafts) (MessageNew MessageExpunge))")
    said += told.say()
    assert all(b"* STATUS %b (MESSAGES 1 UIDNEXT 2" % name in said for name in (b"Archive", b"Drafts"))


def test_nothing_stays_of_a_client_that_left(pair, world):
    told, other = pair
    assert b"a OK" in told.say(b"a " + ALL)
    told.transport.hangUp()
    append(other, b"Archive")
    world.advance()
    assert told.said() == b""


@pytest.mark.parametrize("isIdle", [False, True])
def test_who_leaves_while_being_told_leaves_no_trace(pair, world, isIdle):
    told, other = pair
    told.say(
        b"a NOTIFY SET (selected (MessageNew (BODY.PEEK[]) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge))"
    )
    told.say(b"b SELECT INBOX")
    told.say(b"c UID SEARCH RETURN (UPDATE (FLAGS)) FLAGGED")
    if isIdle:
        told.say(b"d IDLE")
    for flags in frozenset(["\\Flagged"]), frozenset():
        target = Target("jsmith@localhost", "Archive", flags)
        Deferred.fromCoroutine(world.context.store.deliver(MessageSource(b"x" * 600_000), [target]))
    other.say(b"o SELECT Archive")
    told.transport.isReading = False
    assert b"o OK" in other.say(b"o UID COPY 1:2 INBOX")
    world.advance()
    told.transport.hangUp()
    world.advance()
    append(other, b"INBOX")


def test_no_part_of_a_message_is_marked_as_seen(pair):
    told, other = pair
    told.say(b"a NOTIFY SET (selected (MessageNew (BODY[] BINARY[1]) MessageExpunge FlagChange))")
    told.say(b"b SELECT INBOX")
    append(other, b"INBOX", b"Content-Transfer-Encoding: frotz\r\n\r\nHello")
    append(other, b"INBOX", b"Content-Type: text/plain\r\n\r\nHello")
    heard = told.said()
    assert b"* 2 FETCH (BODY[] {33}" in heard
    assert b"\\Seen" not in heard + told.say(b"c UID FETCH 1:* FLAGS")


def test_what_to_watch_may_be_named_by_any_number_of_groups(pair):
    told, other = pair
    names = b" ".join(b"n%d" % number for number in range(999))
    groups = b" ".join(b"(subtree (%b Archive) (MessageNew MessageExpunge))" % names for _ in range(8))
    assert b"a OK" in told.say(b"a NOTIFY SET " + groups)
    append(other, b"Archive")
    assert told.said().startswith(b"* STATUS Archive ")
    assert b"b BAD" in told.say(b"b NOTIFY SET " + b" ".join([b"(personal (MailboxName))"] * 51))
