"""Three sessions in one mailbox, doing whatever they like: what each is told adds up to the mailbox as it is."""

import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from mailfw.imap.server import IMAPServer

_FETCH = re.compile(rb"\* ([0-9]+) FETCH \((?:UID ([0-9]+) ?)?(?:FLAGS \(([^)]*)\))?\)")
_SESSIONS = st.integers(0, 2)
_FLAGS = st.sampled_from(["\\Seen", "\\Flagged", "\\Seen Word"])


class Believer:
    """A client that believes what it is told.

    :ivar messages: for each number the UID and the flags, each None where the client was not told.
    """

    def __init__(self, client):
        self.client = client.logIn()
        self.messages = []
        self.hear(self.client.say(b"s SELECT INBOX"), b"SELECT")
        self.say(b"UID FETCH 1:* FLAGS")
        self.isIdle = False

    def say(self, command, *more):
        said = self.client.say(b"t " + command, *more)
        self.hear(said, command.split()[0])
        return said

    def hear(self, said, name):
        for line in said.splitlines():
            words = line.split()
            if words[2:] == [b"EXPUNGE"]:
                assert name not in (b"FETCH", b"STORE", b"SEARCH")
                del self.messages[int(words[1]) - 1]
            elif words[2:] == [b"EXISTS"]:
                assert int(words[1]) >= len(self.messages)
                self.messages += [[None, None] for _ in range(int(words[1]) - len(self.messages))]
            elif found := _FETCH.match(line):
                self.learn(*found.groups())
            else:
                assert not line.startswith(b"* BYE")

    def learn(self, number, uid, flags):
        message = self.messages[int(number) - 1]
        if uid is not None:
            assert message[0] in (None, int(uid))
            message[0] = int(uid)
        if flags is not None:
            message[1] = frozenset(flag for flag in flags.decode().split() if flag != "\\Recent")

    def stopIdling(self):
        if self.isIdle:
            self.isIdle = False
            self.hear(self.client.say(b"DONE"), b"IDLE")

    def number(self, choice):
        """One of the numbers the client may use, or 0."""
        return choice % len(self.messages) + 1 if self.messages else 0


class Sessions(RuleBasedStateMachine):
    """What the sessions do, and whether they agree."""

    connect = None  # makes one more client in the same world

    def __init__(self):
        super().__init__()
        connect = type(self).connect()
        self.sessions = [Believer(connect()) for _ in range(3)]

    def active(self, which):
        session = self.sessions[which]
        session.stopIdling()
        return session

    @rule(which=_SESSIONS, count=st.integers(1, 3), flags=st.sampled_from([b"()", b"(\\Seen)", b"(Kw \\Deleted)"]))
    def append(self, which, count, flags):
        session = self.active(which)
        for _ in range(count):
            assert b"t OK" in session.say(b"APPEND INBOX %b {4+}" % flags, b"A: b")

    @rule(which=_SESSIONS, choice=st.integers(0, 99), flags=_FLAGS, how=st.sampled_from("+- "), isSilent=st.booleans())
    def store(self, which, choice, flags, how, isSilent):
        session = self.active(which)
        number = session.number(choice)
        if not number:
            return
        command = f"STORE {number} {how.strip()}FLAGS{'.SILENT' if isSilent else ''} ({flags})"
        said = session.say(command.encode())
        if isSilent and b"t OK" in said:
            message = session.messages[number - 1]
            wanted = frozenset(flags.split())
            if how == " ":
                message[1] = wanted
            elif message[1] is not None:
                message[1] = message[1] | wanted if how == "+" else message[1] - wanted

    @rule(which=_SESSIONS, choice=st.integers(0, 99))
    def delete(self, which, choice):
        session = self.active(which)
        if number := session.number(choice):
            session.say(b"STORE %d +FLAGS (\\Deleted)" % number)

    @rule(which=_SESSIONS)
    def expunge(self, which):
        self.active(which).say(b"EXPUNGE")

    @rule(which=_SESSIONS, choice=st.integers(0, 99))
    def move(self, which, choice):
        session = self.active(which)
        if number := session.number(choice):
            session.say(b"MOVE %d Archive" % number)

    @rule(which=_SESSIONS, choice=st.integers(0, 99))
    def copy(self, which, choice):
        session = self.active(which)
        if number := session.number(choice):
            session.say(b"COPY %d INBOX" % number)

    @rule(which=_SESSIONS, choice=st.integers(0, 99))
    def fetch(self, which, choice):
        session = self.active(which)
        if number := session.number(choice):
            said = session.say(b"FETCH %d:* (UID FLAGS)" % number)
            assert b"t OK" in said or b"t NO [EXPUNGEISSUED]" in said

    @rule(which=_SESSIONS)
    def search(self, which):
        session = self.active(which)
        [found] = [line for line in session.say(b"SEARCH ALL").splitlines() if line.startswith(b"* SEARCH")]
        assert all(1 <= int(number) <= len(session.messages) for number in found.split()[2:])

    @rule(which=_SESSIONS)
    def idle(self, which):
        session = self.sessions[which]
        if not session.isIdle:
            session.isIdle = True
            session.say(b"IDLE")

    @rule()
    def agree(self):
        """Once told, every session knows exactly what is there; those in IDLE know it without asking."""
        views = []
        for session in self.sessions:
            if session.isIdle:
                session.hear(session.client.say(), b"IDLE")
            else:
                session.say(b"NOOP")
        for session in self.sessions:
            believed = [list(message) for message in session.messages]
            session.stopIdling()
            assert [list(message) for message in session.messages] == believed
            session.say(b"FETCH 1:* (UID FLAGS)")
            assert len(session.messages) == len(believed)
            for told, was in zip(session.messages, believed, strict=True):
                assert was[0] in (None, told[0])
                assert was[1] in (None, told[1])
            views.append(session.messages)
        assert views[0] == views[1] == views[2]

    def teardown(self):
        for session in self.sessions:
            session.client.transport.hangUp()


@pytest.mark.prove
def test_sessions_agree(makeClients, isProof):
    examples = 2000 if isProof else 40
    machine = type("Sessions", (Sessions,), {"connect": staticmethod(makeClients)})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40))


def test_many_who_hear_of_much_take_turns(connect, monkeypatch):
    """What one tells of a thousand changes takes a while, and a hundred hear of them at once."""
    monkeypatch.setattr("mailfw.imap.news.MANY_CHANGES", 3)
    first = connect().logIn()
    for _ in range(5):
        first.send(b"a APPEND INBOX {8+}\r\nA: b\r\n\r\n\r\n")
    idle = [connect().logIn(b"INBOX") for _ in range(3)]
    for client in idle:
        client.say(b"i IDLE")
    breaths = []
    breathe = IMAPServer.breathe
    monkeypatch.setattr(IMAPServer, "breathe", lambda server: breaths.append(server) or breathe(server))
    first.say(b"s SELECT INBOX", b"f STORE 1:2 +FLAGS.SILENT (\\Flagged)")
    first.world.advance()
    assert breaths == []
    assert [client.said().count(b" FETCH ") for client in idle] == [2, 2, 2]
    first.say(b"g STORE 1:5 +FLAGS.SILENT (\\Seen)")
    first.world.advance()
    assert len(set(breaths)) == 4  # so does who made the changes
    assert [client.said().count(b" FETCH ") for client in idle] == [5, 5, 5]
