"""The server at its edges: attacks, faults of stores, clients that do not read, lines and literals of any length."""

import re
import tracemalloc

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from mailfw.errors import OverQuota, Unavailable, Vanished
from mailfw.imap.reader import LOGIN_LINE_LIMIT
from mailfw.imap.selected import SelectedMailbox
from mailfw.imap.server import IMAPServer, imap, imaps
from mailfw.testing.conversation import fill
from mailfw.values import MessageSource, Target


def put(world, spec):
    """Carry out a `mail:` header."""
    outcome = []
    Deferred.fromCoroutine(fill(world.context.store, spec)).addBoth(outcome.append)
    world.advance()
    assert outcome == [None]


class Broken:
    """Stands before a store's account or mailbox; a test says what fails.

    :ivar faults: by the name of a method: raised by every call of it.
    """

    def __init__(self, real, faults):
        self._real = real
        self._faults = faults

    def __getattr__(self, name):
        if name not in (
            "apply",
            "open",
            "mailboxes",
            "changesSince",
            "snapshot",
            "status",
            "rows",
            "openAccount",
            "read",
        ):
            return getattr(self._real, name)
        if name == "rows":
            return self._rows
        return lambda *args, **options: self._call(name, *args, **options)

    async def _call(self, name, *args, **options):
        if name in self._faults:
            raise self._faults[name]
        result = await getattr(self._real, name)(*args, **options)
        return Broken(result, self._faults) if name in ("open", "openAccount") else result

    async def _rows(self, *args):
        number = 0
        async for items in self._real.rows(*args):
            number += 1
            if number == self._faults.get("rowsAfter"):
                raise self._faults["rows"]
            yield items
        if "rows" in self._faults and "rowsAfter" not in self._faults:
            raise self._faults["rows"]


@pytest.fixture
def faults(world):
    """What fails in the store, by method."""
    failing = {}
    world.context.store = Broken(world.context.store, failing)
    return failing


# --- Connections -----------------------------------------------------------------------------------------------------


def test_the_services():
    assert [(service.name, service.port, service.isTLS) for service in (imap, imaps)] == [
        ("imap", 143, False),
        ("imaps", 993, True),
    ]


def test_one_connection_too_many_is_told_so():
    assert IMAPServer.refusal("too many connections") == b"* BYE [LIMIT] too many connections\r\n"


def test_what_stands_behind_starttls_is_never_run(connect):
    client = connect(peer="192.0.2.7")
    client.said()
    assert client.say(b"a STARTTLS", b"b LOGIN jsmith mailfw") == b"a OK begin TLS now\r\n"
    assert client.transport.isClosed


def test_stopping_says_goodbye(world, client):
    client.logIn(b"INBOX")
    world.context.sessions.stop(10)
    assert client.said().startswith(b"* BYE [UNAVAILABLE]")
    assert client.transport.isClosed


def test_an_idling_client_is_told_when_the_server_stops(world, client):
    client.logIn(b"INBOX").say(b"a IDLE")
    world.context.sessions.stop(10)
    assert client.said().startswith(b"* BYE ")


def test_the_session_is_known_by_its_account_and_state(world, client):
    [info] = world.context.sessions.infos()
    assert (info.account, info.state) == ("", "not authenticated")
    client.logIn(b"INBOX")
    [info] = world.context.sessions.infos()
    assert (info.service, info.account, info.state) == ("imap", "jsmith@localhost", "selected")
    client.say(b"i IDLE")
    [info] = world.context.sessions.infos()
    assert (info.state, info.mailbox) == ("idle", "INBOX")
    assert b"i OK" in client.say(b"DONE")
    [info] = world.context.sessions.infos()
    assert info.state == "selected"
    assert b"u OK" in client.say(b"u UNAUTHENTICATE")
    [info] = world.context.sessions.infos()
    assert (info.account, info.state) == ("", "not authenticated")


def test_failed_logins_are_held_back(world, client, monkeypatch):
    client.said()
    monkeypatch.setattr(world.context.logins, "delayFor", lambda peer, user="": 3.0)
    assert client.say(b"a LOGIN jsmith mailfw") == b""
    world.advance(2.9)
    assert client.said() == b""
    world.advance(0.2)
    assert client.said().startswith(b"a OK")


def test_a_client_that_leaves_while_held_back_leaves_nothing(world, client, monkeypatch):
    client.said()
    monkeypatch.setattr(world.context.logins, "delayFor", lambda peer, user="": 3.0)
    client.say(b"a LOGIN jsmith mailfw")
    before = len(world.clock.getDelayedCalls())
    client.transport.hangUp()
    assert len(world.clock.getDelayedCalls()) < before


def test_a_client_that_leaves_idle_leaves_nothing(world, client):
    client.logIn(b"INBOX")
    before = len(world.clock.getDelayedCalls())
    client.say(b"a IDLE")
    client.transport.hangUp()
    world.advance()
    assert len(world.clock.getDelayedCalls()) < before


# --- Lines and literals ----------------------------------------------------------------------------------------------


def test_a_line_of_any_length_is_bad_and_the_session_goes_on(client):
    client.logIn()
    assert client.say(b"a " + b"x" * (IMAPServer.lineLimit - 10)).startswith(b"a BAD unknown command")
    assert client.say(b"b NOOP").startswith(b"b OK")


ENTRANCES = {
    "not authenticated": b"",
    "authenticating": b"i AUTHENTICATE PLAIN\r\n",
    "authenticated": b"i LOGIN jsmith mailfw\r\n",
    "selected": b"i LOGIN jsmith mailfw\r\ni SELECT INBOX\r\n",
    "idle": b"i LOGIN jsmith mailfw\r\ni IDLE\r\n",
    "after a literal": b"i LOGIN {6+}\r\njsmith",
}


@pytest.mark.parametrize("length", [10, 16_000, LOGIN_LINE_LIMIT + 1, 100_000, 512 * 1024 - 2, 512 * 1024])
@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("size", [7000, 1 << 20])
def test_a_line_of_nonsense_is_bad_and_the_session_lives_on(client, entrance, length, size):
    client.send(ENTRANCES[entrance])
    line = b"x " + b"y" * (length - 2) + b"\r\n"
    for at in range(0, len(line), size):
        client.transport.send(line[at : at + size])
    client.world.advance()
    assert re.search(rb"^[xi*] (?:BAD|NO) ", client.said(), re.MULTILINE)
    assert client.say(b"b NOOP").splitlines()[-1].startswith(b"b OK")


def test_a_long_line_with_a_literal_behind_it(client):
    client.said()
    assert client.send(b"a LOGIN " + b"x" * 60_000 + b" {4}\r\nb NOOP\r\n").split(b"\r\n")[:2] == [
        b"a BAD [TOOBIG] the line is too long",
        b"b OK nothing done",
    ]
    assert client.send(b"c LOGIN " + b"x" * 60_000 + b" {6+}\r\nd NOOP x\r\ne NOOP\r\n").split(b"\r\n")[:2] == [
        b"c BAD [TOOBIG] the line is too long",
        b"e OK nothing done",
    ]


def test_a_longer_line_is_refused_unread(client):
    client.logIn()
    said = client.send(b"a " + b"x" * (IMAPServer.lineLimit + 10))
    assert said.startswith(b"* BAD [TOOBIG]")
    assert client.transport.isClosed


def test_lines_may_end_in_lf_alone(client):
    client.said()
    assert client.send(b"a LOGIN {6+}\njsmith mailfw\nb NOOP\n").count(b" OK ") == 2


def test_a_message_that_stops_coming(world, client):
    client.logIn()
    client.say(b"a APPEND INBOX {1000000}")
    limits = world.context.limits
    for _ in range(5):
        world.advance(limits.dataTimeout - 1)
        assert client.send(b"x" * int(limits.minimumRate * limits.dataTimeout)) == b""
    world.advance(limits.dataTimeout + 1)
    assert client.said().startswith(b"* BYE ")
    assert client.transport.isClosed


def test_a_message_that_trickles_in_octet_by_octet(world, client):
    client.logIn()
    client.say(b"a APPEND INBOX {1000000}")
    for _ in range(int(world.context.limits.dataTimeout / 10) + 1):
        assert not client.transport.isClosed
        world.advance(10)
        client.transport.send(b"x")
    assert client.said().startswith(b"* BYE ")
    assert client.transport.isClosed


@pytest.mark.parametrize("words", [b"a NOOP\r\n", b"a AUTHENTICATE PLAIN\r\n*\r\n", b"x"])
def test_who_says_something_now_and_then_must_log_in_all_the_same(world, client, words):
    client.send(b"a LOGIN {1000}\r\n" if words == b"x" else b"")
    for _ in range(12):
        assert not client.transport.isClosed
        client.transport.send(words)
        world.advance(world.context.limits.loginTimeout / 12)
    assert b"* BYE nothing" in client.said()
    assert client.transport.isClosed


def test_the_deadline_for_logging_in_ends_with_it(world, client):
    world.advance(world.context.limits.loginTimeout - 1)
    client.logIn()
    world.advance(world.context.limits.idleTimeout - 1)
    assert client.say(b"a NOOP").startswith(b"a OK")


def test_who_is_nobody_again_has_time_to_log_in_and_no_more(world, client):
    client.logIn(b"INBOX")
    world.advance(world.context.limits.loginTimeout * 3)
    assert client.say(b"a UNAUTHENTICATE").startswith(b"a OK")
    [info] = world.context.sessions.infos()
    assert (info.account, info.state) == ("", "not authenticated")
    world.advance(world.context.limits.loginTimeout - 1)
    assert client.say(b"b NOOP").startswith(b"b OK")
    world.advance(2)
    assert client.said().startswith(b"* BYE ")
    assert client.transport.isClosed


def test_who_is_nobody_again_is_told_nothing(world, client, connect):
    client.logIn(b"INBOX")
    asked = b"a NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))"
    assert b"a OK" in client.say(asked)
    other = connect().logIn()
    other.say(b"b APPEND INBOX {4+}", b"A: b")
    assert b"* 1 EXISTS" in client.said()
    client.say(b"b UNAUTHENTICATE")
    other.say(b"c APPEND INBOX {4+}", b"A: b", b"d APPEND Archive {4+}", b"A: b")
    assert client.said() == b""
    client.say(b"c LOGIN mbrain mailfw")
    other.say(b"e APPEND INBOX {4+}", b"A: b")
    assert client.said() == b""
    assert client.say(b"d STATUS INBOX (MESSAGES)").startswith(b"* STATUS INBOX (MESSAGES 0)")


def test_failed_logins_are_counted_across_accounts(world, client):
    client.said()
    for _ in range(world.context.limits.authFailures - 1):
        assert client.say(b"a LOGIN jsmith wrong").startswith(b"a NO")
    client.logIn()
    client.say(b"b UNAUTHENTICATE")
    client.say(b"c LOGIN jsmith wrong")
    assert client.transport.isClosed


def test_strangers_make_the_server_remember_little(client):
    said = client.send(b"a LOGIN {60000+}\r\n" + b"x" * 60_000 + b" {60000+}\r\n" + b"x" * 60_000 + b"\r\n")
    assert b"a BAD [TOOBIG]" in said
    tracemalloc.start()
    for _ in range(50):
        client.transport.send(b"x" * 10_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
    assert client.send(b"\r\nb NOOP\r\n").splitlines()[-1].startswith(b"b OK")
    client.send(b"b NOOP " + b"x" * 600_000)
    assert client.transport.isClosed


def test_a_full_disk_under_a_literal(world, client, monkeypatch):
    client.logIn()
    monkeypatch.setattr(world.context.spool, "open", lambda: FullSpool())
    assert (
        client.say(b"a APPEND INBOX {10+}", b"0123456789")
        == b"a NO [UNAVAILABLE] temporarily unavailable, try again later\r\n"
    )
    assert client.say(b"b NOOP").startswith(b"b OK")


def test_a_disk_that_is_full_at_the_end_of_a_literal(world, client, monkeypatch):
    """What was buffered is written then; the command that it belongs to is answered, and none before it."""
    client.logIn()
    spool = FullSpool()
    monkeypatch.setattr(spool, "write", lambda data: None)
    monkeypatch.setattr(world.context.spool, "open", lambda: spool)
    assert client.say(b"a NOOP").startswith(b"a OK")
    assert (
        client.say(b"b APPEND INBOX {10+}", b"0123456789")
        == b"b NO [UNAVAILABLE] temporarily unavailable, try again later\r\n"
    )
    assert client.say(b"c NOOP").startswith(b"c OK")


class FullSpool:
    def write(self, data):
        raise OSError("no space left on device")

    def finish(self):
        raise OSError("no space left on device")

    def discard(self):
        pass


def test_spools_are_let_go_of(world, client, monkeypatch):
    client.logIn()
    spools = []
    monkeypatch.setattr(
        world.context.spool, "open", lambda real=world.context.spool.open: spools.append(real()) or spools[-1]
    )
    discarded = []
    for command in (
        b"a APPEND INBOX {4+}\r\nA: b\r\n",
        b"b APPEND Nowhere {4+}\r\nA: b\r\n",
        b"c APPEND INBOX {4+}\r\nA: b x\r\n",
    ):
        client.send(command)
    client.send(b"d APPEND INBOX {400+}\r\nA: b")
    for spool in spools:
        monkeypatch.setattr(spool, "discard", lambda spool=spool: discarded.append(spool))
    client.transport.hangUp()
    assert len(spools) == 4
    assert discarded == [spools[3]]


# --- Clients that do not read ----------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_costs_a_bounded_buffer(world, client):
    put(world, "jsmith INBOX 3000")
    client.logIn(b"INBOX")
    client.transport.isReading = False
    for _ in range(5):
        client.transport.send(b"a FETCH 1:* (UID ENVELOPE BODYSTRUCTURE)\r\n")
        world.advance()
    assert len(client.transport.output) < 600_000
    client.transport.isReading = True
    total = b""
    while said := client.said():
        total += said
        world.advance()
    assert total.count(b"* 3000 FETCH") == 5
    assert total.count(b"a OK") == 5


def test_a_slow_reader_of_a_hundred_thousand_messages_costs_a_bounded_buffer(world, client):
    put(world, "jsmith INBOX 1000")
    client.logIn(b"INBOX")
    count = 1000
    while count < 100_000:
        client.say(b"a COPY 1:%d INBOX" % min(count, 100_000 - count))
        count = min(2 * count, 100_000)
    client.transport.isReading = False
    tracemalloc.start()
    client.transport.send(b"b FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)\r\nc NOOP\r\n")
    world.advance()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert b"* 1 FETCH" in client.transport.output
    assert len(client.transport.output) < 600_000
    assert peak < 16_000_000  # the rows of one page, and what they are made of
    client.transport.isReading = True
    said = client.said()
    assert said.count(b" FETCH (") == 100_000
    assert said.endswith(b"b OK fetched\r\nc OK nothing done\r\n")


def test_a_client_that_never_reads_is_cut_off(world, client):
    put(world, "jsmith INBOX 1000")
    client.logIn(b"INBOX")
    client.transport.isReading = False
    client.transport.send(b"a FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY[])\r\n")
    world.advance()
    world.advance(world.context.limits.writeTimeout + 1)
    world.advance()
    assert client.transport.isClosed


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Unavailable(), b"UNAVAILABLE"), (OverQuota(), b"OVERQUOTA")],
)
@pytest.mark.parametrize(
    ("method", "command"),
    [
        ("apply", b"STORE 1 +FLAGS (\\Seen)"),
        ("apply", b"EXPUNGE"),
        ("apply", b"COPY 1 Archive"),
        ("apply", b"UID MOVE 1 Archive"),
        ("apply", b"APPEND INBOX {4+}\r\nA: b"),
        ("apply", b"CREATE x"),
        ("apply", b"CLOSE"),
        ("mailboxes", b'LIST "" *'),
        ("open", b"SELECT Archive"),
        ("open", b"STATUS Archive (MESSAGES)"),
        ("status", b"STATUS Archive (MESSAGES)"),
        ("snapshot", b"SELECT Archive"),
        ("rows", b"FETCH 1 FLAGS"),
        ("rows", b"SEARCH TEXT x"),
    ],
)
def test_what_a_store_refuses_is_refused(world, faults, client, method, command, fault, code):
    put(world, "jsmith INBOX 2")
    client.logIn(b"INBOX")
    faults[method] = fault
    last = client.say(b"a " + command).splitlines()[-1]
    assert last.startswith(b"a NO [%b] " % code)
    faults.clear()
    assert client.say(b"b NOOP").splitlines()[-1].startswith(b"b OK")


@pytest.mark.parametrize(
    ("method", "command"),
    [
        ("apply", b"STORE 1 +FLAGS (\\Seen)"),
        ("open", b"SELECT Archive"),
        ("rows", b"FETCH 1:* FLAGS"),
        ("rows", b"SEARCH SEEN"),
    ],
)
def test_a_fault_costs_one_command_and_is_logged_once(world, faults, client, logged, method, command):
    put(world, "jsmith INBOX 2")
    client.logIn(b"INBOX")
    faults[method] = ZeroDivisionError("a plugin's own")
    assert b"a NO [UNAVAILABLE] temporarily unavailable, try again later\r\n" in client.say(b"a " + command)
    assert logged(ZeroDivisionError) == 1
    faults.clear()
    assert client.say(b"b NOOP").splitlines()[-1].startswith(b"b OK")


def test_an_account_that_cannot_be_opened_is_not_entered(world, faults, client):
    client.said()
    faults["openAccount"] = Unavailable()
    assert client.say(b"a LOGIN jsmith mailfw").startswith(b"a NO [UNAVAILABLE]")
    assert client.say(b"b AUTHENTICATE PLAIN AGpzbWl0aABtYWlsZnc=").startswith(b"b NO [UNAVAILABLE]")
    faults.clear()
    assert client.say(b"c LOGIN jsmith mailfw").startswith(b"c OK")


@pytest.mark.parametrize("fault", [Unavailable(), ZeroDivisionError()])
def test_news_that_cannot_be_read_do_not_fail_the_command(world, faults, client, logged, fault):
    put(world, "jsmith INBOX 2")
    client.logIn(b"INBOX")
    faults["changesSince"] = fault
    assert client.say(b"a APPEND INBOX {4+}", b"A: b").startswith(b"a OK [APPENDUID ")
    assert client.say(b"b IDLE", b"DONE").endswith(b"b OK idle no more\r\n")
    faults.clear()
    assert b"* 3 EXISTS" in client.say(b"c NOOP")
    logged(ZeroDivisionError)


def test_a_view_that_may_be_wrong_ends_the_session_after_its_reply(world, client, logged, monkeypatch):
    """No number can be trusted any more, but what was done is done."""
    client.logIn(b"INBOX")

    def broken(self, *args):
        raise ZeroDivisionError

    monkeypatch.setattr(SelectedMailbox, "update", broken)
    said = client.say(b"a APPEND INBOX {4+}", b"A: b").splitlines()
    assert said[0].startswith(b"a OK [APPENDUID ")
    assert said[1].startswith(b"* BYE ")
    assert client.transport.isClosed
    assert logged(ZeroDivisionError) == 1


def test_mail_can_be_read_when_it_cannot_be_marked(world, faults, client):
    put(world, "jsmith INBOX 1")
    client.logIn(b"INBOX")
    faults["apply"] = Unavailable()
    said = client.say(b"a FETCH 1 BODY[TEXT]")
    assert b"This is message 1." in said
    assert b"FLAGS" not in said
    assert said.endswith(b"a OK fetched\r\n")


def test_a_message_that_breaks_off_ends_the_connection(world, faults, client, logged):
    """Its length was announced: what followed would be taken for the rest of it."""
    outcome = []
    large = MessageSource(b"Subject: x\r\n\r\n" + b"x" * 2_000_000)
    Deferred.fromCoroutine(world.context.store.deliver(large, [Target("jsmith@localhost")])).addBoth(outcome.append)
    client.logIn(b"INBOX")
    faults.update(rows=Vanished(), rowsAfter=3)
    said = client.say(b"a FETCH 1 BODY.PEEK[]")
    assert len(said) < 2_000_000
    assert b"a NO" not in said
    assert client.transport.isClosed


def test_who_leaves_while_a_message_is_put_together_leaves_no_half_of_it(world, faults, client, connect, monkeypatch):
    large = MessageSource(b"Subject: x\r\n\r\n" + b"x" * 2_000_000)
    Deferred.fromCoroutine(world.context.store.deliver(large, [Target("jsmith@localhost")]))
    client.logIn(b"INBOX")
    world.context.spool.memory = 1 << 30
    [connection] = world.context.sessions
    mailbox = connection._session.selected.mailbox
    real = mailbox._real.rows

    async def rows(*args):
        async for items in real(*args):
            yield items
            client.transport.hangUp()

    monkeypatch.setattr(mailbox._real, "rows", rows)
    client.say(b"a APPEND Archive CATENATE (URL ;UID=1)")
    monkeypatch.undo()
    assert b"(MESSAGES 0)" in connect().logIn().say(b"b STATUS Archive (MESSAGES)")


# --- Fresh views -----------------------------------------------------------------------------------------------------


def test_a_view_older_than_the_log_is_compared(world, client, connect, monkeypatch):
    put(world, "jsmith INBOX 4")
    client.logIn(b"INBOX")
    other = connect().logIn(b"INBOX")
    other.say(b"a STORE 2 +FLAGS.SILENT (\\Deleted Word)", b"b EXPUNGE", b"c STORE 3 +FLAGS (\\Seen)")
    other.say(b"d APPEND INBOX {4+}", b"A: b")
    [connection] = [one for one in world.context.sessions if one is client.transport.connection]
    mailbox = connection._session.selected.mailbox
    forget(mailbox, monkeypatch)
    said = client.say(b"a NOOP").splitlines()
    assert said[:3] == [b"* 2 EXPUNGE", b"* 4 EXISTS", b"* 3 RECENT"]
    assert said[-2:] == [b"* 4 FETCH (FLAGS ())", b"a OK nothing done"]
    assert b"* 3 FETCH (FLAGS (\\Seen \\Recent))" in said


def forget(mailbox, monkeypatch):
    """The mailbox's log reaches back to nothing any more."""
    real = mailbox.changesSince

    async def changesSince(modSeq):
        return evolve(await real(modSeq), changed=(), isComplete=False)

    monkeypatch.setattr(mailbox, "changesSince", changesSince)


def test_recent_is_claimed_for_what_came_meanwhile(world, connect):
    first, second = connect().logIn(b"INBOX"), connect().logIn()
    second.say(b"a APPEND INBOX {4+}", b"A: b")
    assert b"* 1 RECENT" in first.say(b"a NOOP")
    first.transport.hangUp()
    world.advance()
    assert b"* 0 RECENT" in second.say(b"b SELECT INBOX")


def test_a_client_may_say_much_about_itself_before_it_logs_in(client):
    """Thirty fields with 1,024 octets each, all that RFC 2971 §3.3 allows."""
    client.said()
    pairs = b" ".join(b'"%030d" "%b"' % (number, b"x" * 1024) for number in range(30))
    assert b"a OK " in client.say(b"a ID (%b)" % pairs)
