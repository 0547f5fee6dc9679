"""A client that goes away and comes back by QRESYNC believes, after a few lines, what is true: RFC 7162 §6 as a client does it.

Whatever happened meanwhile: other sessions, other programs, a restart, a log that no longer reaches back.
"""

import os
import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.internet.task import Clock

from mailfw.storage import housekeeping
from mailfw.storage.maildir import maildir
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import UIDSet

_FETCH = re.compile(rb"\* ([0-9]+) (FETCH|UIDFETCH) \((.*)\)")
_UID, _FLAGS, _MODSEQ = re.compile(rb"UID ([0-9]+)"), re.compile(rb"FLAGS \(([^)]*)\)"), re.compile(rb"MODSEQ \(([0-9]+)\)")
_CODE = re.compile(rb"(\S+) OK \[(UIDVALIDITY|HIGHESTMODSEQ) ([0-9]+)\]")
_VANISHED = re.compile(rb"\* VANISHED( \(EARLIER\))? ([0-9:,]+)")

STORES = {"sqlite": (sqlite, "mail?shards=1"), "maildir": (maildir, "mail"), "textfile": (textfile, "mail")}


class Resyncer:
    """What a client knows of INBOX, and how it keeps that right.

    :ivar messages: flags by UID. :ivar modSeq: HIGHESTMODSEQ as RFC 7162 §6 has the client work it out.
    """

    def __init__(self):
        self.messages = {}
        self.uidValidity = self.modSeq = 0
        self.client = None
        self.counted = 0

    def connect(self, client, known="", pairs=""):
        self.client = client.logIn()
        self.say(b"ENABLE QRESYNC")
        told = f" (QRESYNC ({self.uidValidity} {self.modSeq}{known}{pairs}))" if self.uidValidity else ""
        return self.say(b"SELECT INBOX" + told.encode())

    def leave(self):
        """The connection breaks."""
        self.client.transport.hangUp()
        self.client.world.advance()
        self.client = None

    def say(self, command, *more):
        said = self.client.say(b"t " + command, *more)
        assert b"\r\nt BAD" not in b"\r\n" + said
        self.hear(said)
        if self.counted > len(self.messages) and command != b"IDLE":
            self.hear(self.client.say(b"n UID FETCH %d:* (FLAGS)" % (max(self.messages, default=0) + 1)))
        return said

    def hear(self, said):
        highest, code = self.modSeq, None
        for line in said.splitlines():
            if found := _VANISHED.match(line):
                gone = list(UIDSet.parse(found[2].decode()))
                for uid in gone:
                    self.messages.pop(uid, None)
                if not found[1]:
                    self.counted -= len(gone)
            elif found := _FETCH.match(line):
                highest = max(highest, self.learn(found[3]))
            elif line.endswith(b" EXISTS"):
                self.counted = int(line.split()[1])
            elif (found := _CODE.match(line)) and found[2] == b"UIDVALIDITY":
                if self.uidValidity != int(found[3]):
                    self.uidValidity = int(found[3])
                    self.messages.clear()
            elif found:
                code = int(found[3])
            assert not line.endswith(b" EXPUNGE")
        self.modSeq = code if code is not None else highest

    def learn(self, items):
        uid, flags, modSeq = _UID.search(items), _FLAGS.search(items), _MODSEQ.search(items)
        if uid and flags:
            self.messages[int(uid[1])] = frozenset(flags[1].decode().split()) - {"\\Recent"}
        return int(modSeq[1]) if modSeq else 0


def truth(client):
    """INBOX as a client sees it that asks for all."""
    client.logIn(b"INBOX")
    found = {}
    for line in client.say(b"t UID FETCH 1:* (FLAGS)").splitlines():
        if match := _FETCH.match(line):
            flags = _FLAGS.search(match[3])[1].decode().split()
            found[int(_UID.search(match[3])[1])] = frozenset(flags) - {"\\Recent"}
    client.transport.hangUp()
    return found


class House:
    """One store on disk that can be closed and opened again."""

    def __init__(self, store, directory, Client):
        self.plugin, self.argument = STORES[store]
        self.directory = str(directory)
        self.clock = Clock()
        self.Client = Client
        self.open()

    def open(self):
        store = openStore(self.plugin, self.argument, FakeStoreContext(self.directory, clock=self.clock))
        self.world = World(store, clock=self.clock, directory=os.path.join(self.directory, "spool"))
        self.world.context.spool.prepare()

    def restart(self):
        self.world.closeStore()
        self.clock.advance(10)
        self.open()

    def connect(self):
        return self.Client(self.world)

    def append(self, count, flags=b"()"):
        client = self.connect().logIn()
        for _ in range(count):
            assert b"t OK" in client.say(b"t APPEND INBOX %b {4+}" % flags, b"A: b")
        client.transport.hangUp()

    def do(self, *commands):
        client = self.connect().logIn(b"INBOX")
        for command in commands:
            assert b"t OK" in client.say(b"t " + command)
        client.transport.hangUp()


@pytest.fixture(params=STORES)
def house(request, tmp_path, makeClientIn):
    made = House(request.param, tmp_path, makeClientIn)
    yield made
    made.world.closeStore()


def lines(said, word):
    return [line for line in said.splitlines() if line.split()[1:2] == [word] or line.split()[2:3] == [word]]


def test_what_happened_while_it_was_away(house):
    house.append(8)
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    house.append(2, b"(\\Flagged)")
    house.do(b"UID STORE 2:4 +FLAGS (\\Deleted)", b"EXPUNGE", b"UID STORE 7 +FLAGS (\\Seen $Label)", b"UID MOVE 8 Archive")
    said = reader.connect(house.connect())
    assert lines(said, b"VANISHED") == [b"* VANISHED (EARLIER) 2:4,8"]
    assert len(lines(said, b"FETCH")) == 3  # the one that changed, and two that came
    assert reader.messages == truth(house.connect())
    reader.leave()


def test_nothing_happened_and_nothing_is_said(house):
    house.append(5)
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    house.restart()
    said = reader.connect(house.connect())
    assert not lines(said, b"VANISHED") and not lines(said, b"FETCH")
    assert reader.messages == truth(house.connect())
    reader.leave()


def test_across_a_restart(house):
    house.append(6)
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    house.do(b"UID STORE 1,5 +FLAGS (\\Deleted)", b"EXPUNGE")
    house.restart()
    house.do(b"UID STORE 3 +FLAGS (\\Answered)")
    house.append(1)
    before = reader.modSeq
    said = reader.connect(house.connect())
    assert lines(said, b"VANISHED") == [b"* VANISHED (EARLIER) 1,5"]
    assert len(lines(said, b"FETCH")) == 2
    assert reader.modSeq > before
    assert reader.messages == truth(house.connect())
    reader.leave()


def test_below_the_floor_all_that_is_known_and_gone_is_named(house, monkeypatch):
    monkeypatch.setattr(housekeeping, "VANISHED_LIMIT", 4)
    house.append(24)
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    for uid in range(4, 18, 2):
        house.do(b"UID STORE %d +FLAGS (\\Deleted)" % uid, b"EXPUNGE")
    house.clock.advance(301)
    lost = Resyncer()
    lost.messages, lost.uidValidity, lost.modSeq = dict(reader.messages), reader.uidValidity, reader.modSeq
    said = lost.connect(house.connect(), " 1:24")
    assert lines(said, b"VANISHED") == [b"* VANISHED (EARLIER) 4,6,8,10,12,14,16"]
    assert lost.messages == truth(house.connect())
    lost.leave()
    # Numbers that match save naming what lies below (RFC 7162 §3.2.5.2): here up to the message 5, number 4, and no further.
    said = reader.connect(house.connect(), " 1:24", " (1:6,20 1,2,3,5,9,11,12)")
    assert lines(said, b"VANISHED") == [b"* VANISHED (EARLIER) 6,8,10,12,14,16"]
    # A session that was there all the time learns the same.
    reader.say(b"NOOP")
    reader.leave()


def test_uids_that_were_never_used_are_not_named(house, monkeypatch):
    monkeypatch.setattr(housekeeping, "VANISHED_LIMIT", 2)
    house.append(6)
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    for uid in (1, 3, 5):
        house.do(b"UID STORE %d +FLAGS (\\Deleted)" % uid, b"EXPUNGE")
    house.clock.advance(301)
    said = reader.connect(house.connect())
    assert lines(said, b"VANISHED") == [b"* VANISHED (EARLIER) 1,3,5"]
    reader.leave()


def test_another_mailbox_of_the_name(house):
    client = house.connect().logIn()
    client.say(b"t CREATE Work")
    client.say(b"t APPEND Work {4+}", b"A: b")
    client.say(b"t ENABLE QRESYNC")
    said = client.say(b"t SELECT Work")
    validity, modSeq = (int(re.search(code + rb" ([0-9]+)", said)[1]) for code in (b"UIDVALIDITY", b"HIGHESTMODSEQ"))
    client.say(b"t UNSELECT")
    client.say(b"t DELETE Work")
    client.say(b"t CREATE Work")
    client.say(b"t APPEND Work {4+}", b"A: b")
    said = client.say(b"t SELECT Work (QRESYNC (%d %d 1:5))" % (validity, modSeq))
    assert not lines(said, b"VANISHED") and not lines(said, b"FETCH")
    assert b"UIDVALIDITY %d" % validity not in said and b"t OK [READ-WRITE]" in said
    client.transport.hangUp()


# --- Another program changes a Maildir -------------------------------------------------------------------------------


@pytest.fixture
def inbox(tmp_path, makeClientIn):
    """A house over a Maildir, and its INBOX's directory."""
    made = House("maildir", tmp_path, makeClientIn)
    made.append(6)
    made.do(b"UID STORE 1:6 +FLAGS.SILENT (\\Answered)")
    [directory] = [path for path in tmp_path.rglob("cur") if any(path.iterdir())]
    yield made, directory
    made.world.closeStore()


def files(directory):
    return sorted(directory.iterdir(), key=lambda path: path.name)


def test_foreign_changes(inbox):
    house, directory = inbox
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    first, second, *_ = files(directory)
    first.unlink()
    second.rename(second.with_name(second.name.partition(":")[0] + ":2,FS"))
    (directory.parent / "new" / "1790000099.M1.elsewhere").write_bytes(b"Subject: foreign\n\nHello\n")
    said = reader.connect(house.connect())
    assert len(lines(said, b"VANISHED")) == 1
    assert len(lines(said, b"FETCH")) == 2
    now = truth(house.connect())
    assert reader.messages == now and len(now) == 6
    assert sum(flags == {"\\Flagged", "\\Seen"} for flags in now.values()) == 1
    reader.leave()


def test_foreign_changes_while_the_server_is_down(inbox):
    house, directory = inbox
    reader = Resyncer()
    reader.connect(house.connect())
    reader.leave()
    house.world.closeStore()
    for path in files(directory)[2:4]:
        path.unlink()
    house.clock.advance(60)
    house.open()
    said = reader.connect(house.connect())
    [vanished] = lines(said, b"VANISHED")
    assert len(UIDSet.parse(vanished.split()[-1].decode())) == 2
    assert reader.messages == truth(house.connect())
    reader.leave()


def test_foreign_changes_in_idle(inbox):
    house, directory = inbox
    reader = Resyncer()
    reader.connect(house.connect())
    reader.say(b"IDLE")
    files(directory)[0].unlink()
    house.world.advance(6)
    reader.hear(reader.client.said())
    assert reader.messages == truth(house.connect())
    reader.leave()


# --- Anything at all -------------------------------------------------------------------------------------------------

_FLAG = st.sampled_from([b"\\Seen", b"\\Flagged", b"\\Deleted", b"Word"])
_SILENT = [b"", b".SILENT"]


class Resynchronisation(RuleBasedStateMachine):
    """Two clients that know MODSEQs come and go, or stay and use numbers; a third one only changes things. The log is short."""

    makeClients = None

    def __init__(self):
        super().__init__()
        self.connect = type(self).makeClients()
        self.other = self.connect().logIn(b"INBOX")
        self.world = self.other.world
        self.readers = [Resyncer(), Resyncer()]
        self.readers[0].connect(self.connect())

    def others(self, command, *more):
        said = self.other.say(b"o " + command, *more)
        assert b"o OK" in said or b"o NO" in said
        return said

    def uid(self, choice):
        said = self.other.say(b"o UID SEARCH ALL")
        found = [int(word) for word in re.search(rb"\* SEARCH([ 0-9]*)", said)[1].split()]
        return found[choice % len(found)] if found else 0

    @rule(count=st.integers(1, 4), flags=st.sampled_from([b"()", b"(\\Seen)", b"(Kw)"]))
    def append(self, count, flags):
        for _ in range(count):
            self.others(b"APPEND INBOX %b {4+}" % flags, b"A: b")

    @rule(choice=st.integers(0, 99), flag=_FLAG, sign=st.sampled_from([b"+", b"-", b""]), silent=st.sampled_from(_SILENT))
    def store(self, choice, flag, sign, silent):
        if uid := self.uid(choice):
            self.others(b"UID STORE %d %bFLAGS%b (%b)" % (uid, sign, silent, flag))

    @rule(choice=st.integers(0, 99))
    def remove(self, choice):
        if uid := self.uid(choice):
            self.others(b"UID STORE %d +FLAGS.SILENT (\\Deleted)" % uid)
            self.others(b"UID EXPUNGE %d" % uid)

    @rule()
    def expunge(self):
        self.others(b"EXPUNGE")

    @rule(choice=st.integers(0, 99))
    def move(self, choice):
        if uid := self.uid(choice):
            self.others(b"UID MOVE %d Archive" % uid)

    @rule()
    def cut(self):
        """The log is made short."""
        self.world.clock.advance(housekeeping.RARELY / 100)
        self.other.say(b"o NOOP")

    @rule(which=st.integers(0, 1), knows=st.booleans())
    def comeOrGo(self, which, knows):
        reader = self.readers[which]
        if reader.client is not None:
            reader.leave()
            return
        known = f" {UIDSet.fromUIDs(reader.messages)}" if knows and reader.messages else ""
        reader.connect(self.connect(), known)
        self.check(reader)

    @rule(which=st.integers(0, 1), choice=st.integers(0, 99), how=st.sampled_from([
        b"FETCH %d (FLAGS UID)", b"STORE %d +FLAGS (\\Seen)", b"STORE %d -FLAGS.SILENT (\\Seen)", b"FETCH %d (MODSEQ)",
        b"STORE %d (UNCHANGEDSINCE 40) +FLAGS (\\Flagged)", b"SEARCH %d:* MODSEQ 3", b"COPY %d INBOX",
    ]))  # fmt: skip
    def use(self, which, choice, how):
        """Commands that keep numbers, after which not everything may have been told; then the connection may break."""
        reader = self.readers[which]
        if reader.client is not None and reader.counted:
            number = choice % reader.counted + 1
            uid = sorted(reader.messages)[number - 1]
            said = reader.say(how % number)
            if b"SILENT" in how and b"t OK" in said and uid in reader.messages:
                reader.messages[uid] -= {"\\Seen"}  # as the client works out by itself

    @rule(which=st.integers(0, 1))
    def stay(self, which):
        reader = self.readers[which]
        if reader.client is not None:
            reader.say(b"NOOP")
            self.check(reader)

    @precondition(lambda self: any(reader.client for reader in self.readers))
    @rule()
    def idle(self):
        for reader in self.readers:
            if reader.client is not None:
                reader.say(b"IDLE")
        self.others(b"APPEND INBOX {4+}", b"A: b")
        self.others(b"EXPUNGE")
        for reader in self.readers:
            if reader.client is not None:
                reader.hear(reader.client.say(b"DONE"))
                reader.say(b"NOOP")
                self.check(reader)

    def check(self, reader):
        assert reader.messages == truth(self.connect())
        assert reader.counted == len(reader.messages)

    def teardown(self):
        for client in (self.other, *(reader.client for reader in self.readers)):
            if client is not None:
                client.transport.hangUp()
        self.world.advance()


@pytest.mark.prove
def test_readers_come_back(makeClients, isProof, monkeypatch):
    monkeypatch.setattr(housekeeping, "VANISHED_LIMIT", 3)
    monkeypatch.setattr(housekeeping, "RARELY", 1.0)
    examples = 2000 if isProof else 40
    machine = type("Resynchronisation", (Resynchronisation,), {"makeClients": staticmethod(makeClients)})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None))
