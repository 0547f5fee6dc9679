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


# --- MODSEQs ---------------------------------------------------------------------------------------------------------


def highest(client, name=b"INBOX"):
    """HIGHESTMODSEQ of a mailbox."""
    return int(re.search(rb"HIGHESTMODSEQ ([0-9]+)", client.say(b"h STATUS %b (HIGHESTMODSEQ)" % name))[1])


def modSeqs(client):
    """The MODSEQ of each message of the selected mailbox."""
    said = client.say(b"m UID FETCH 1:* (MODSEQ)")
    return {int(uid): int(number) for uid, number in re.findall(rb"FETCH \(UID ([0-9]+) MODSEQ \(([0-9]+)\)", said)}


CHANGES = {
    "append": ([b"APPEND INBOX {4+}\r\nA: b"], True, False),
    "flags": ([b"UID STORE 2 FLAGS (\\Draft)"], True, False),
    "a flag more": ([b"UID STORE 2:3 +FLAGS.SILENT (\\Flagged Word)"], True, False),
    "a flag less": ([b"UID STORE 4 -FLAGS (\\Seen)"], True, False),
    "seen": ([b"UID FETCH 5 (BODY[])"], True, False),
    "a flag it has": ([b"UID STORE 4 +FLAGS (\\Seen)"], False, False),
    "a flag it has not": ([b"UID STORE 4 -FLAGS (\\Flagged)"], False, False),
    "nothing there": ([b"UID STORE 99 +FLAGS (\\Seen)", b"EXPUNGE", b"UID MOVE 99 Archive"], False, False),
    "looking": ([b"UID FETCH 1:* (FLAGS BODY.PEEK[])", b"UID SEARCH ALL", b"NOOP"], False, False),
    "copy here": ([b"UID COPY 1 INBOX"], True, False),
    "copy there": ([b"UID COPY 1:2 Archive"], False, True),
    "move": ([b"UID MOVE 1:2 Archive"], True, True),
    "move here": ([b"UID MOVE 1:2 INBOX"], True, False),
    "expunge": ([b"UID STORE 1 +FLAGS.SILENT (\\Deleted)", b"EXPUNGE"], True, False),
    "uid expunge": ([b"UID STORE 1 +FLAGS.SILENT (\\Deleted)", b"UID EXPUNGE 1"], True, False),
    "close": ([b"UID STORE 1 +FLAGS.SILENT (\\Deleted)", b"CLOSE"], True, False),
    "unselect": ([b"UNSELECT"], False, False),
    "rename": ([b"RENAME INBOX Old"], True, False),
}
"""Commands, and whether HIGHESTMODSEQ of INBOX and of Archive grows by them."""


@pytest.mark.parametrize("change", CHANGES)
def test_highestmodseq_grows_by_what_changes_messages(house, change):
    commands, *grows = CHANGES[change]
    house.append(3)
    house.append(1, b"(\\Seen)")
    house.append(1)
    observer, client = house.connect().logIn(), house.connect().logIn(b"INBOX")
    before = [highest(observer, name) for name in (b"INBOX", b"Archive")]
    for command in commands:
        assert b"t OK" in client.say(b"t " + command)
    after = [highest(observer, name) for name in (b"INBOX", b"Archive")]
    assert [new > old for old, new in zip(before, after, strict=True)] == grows
    client.say(b"t SELECT INBOX")
    assert max(modSeqs(client).values(), default=0) <= after[0]
    observer.transport.hangUp()
    client.transport.hangUp()


def test_modseqs_never_go_back(house):
    """Not by a restart, nor by a mailbox that is made again."""
    house.append(4)
    client = house.connect().logIn(b"INBOX")
    client.say(b"t UID STORE 2 +FLAGS (\\Seen)", b"t UID STORE 3 +FLAGS (\\Deleted)", b"t EXPUNGE")
    known, last = modSeqs(client), highest(client)
    client.say(b"t CREATE Work", b"t APPEND Work {4+}", b"A: b")
    ofWork = highest(client, b"Work")
    client.say(b"t DELETE Work")
    client.transport.hangUp()
    house.restart()
    client = house.connect().logIn(b"INBOX")
    assert (modSeqs(client), highest(client)) == (known, last)
    client.say(b"t UID STORE 1 +FLAGS (\\Seen)")
    assert modSeqs(client)[1] == highest(client) > last
    client.say(b"t CREATE Work", b"t APPEND Work {4+}", b"A: b")
    assert highest(client, b"Work") > ofWork
    client.transport.hangUp()


def test_of_two_that_change_a_message_one_is_told(house):
    """STORE UNCHANGEDSINCE of the same messages from two sessions: each message is one's, the other's is MODIFIED."""
    house.append(6)
    one, two = house.connect().logIn(b"INBOX"), house.connect().logIn(b"INBOX")
    last = highest(one)
    assert b"t OK flags stored" in one.say(b"t UID STORE 1,3:4 (UNCHANGEDSINCE %d) +FLAGS.SILENT ($Mine)" % last)
    said = two.say(b"t STORE 1:6 (UNCHANGEDSINCE %d) +FLAGS ($Yours)" % last)
    assert b"t OK [MODIFIED 1,3:4] " in said
    # What the others have now is told with it, so that nobody has to ask (RFC 7162 §3.1.3).
    assert {int(uid) for uid in re.findall(rb"FETCH \(UID ([0-9]) FLAGS \([^)]*\$Mine", said)} == {1, 3, 4}
    said = one.say(b"t UID STORE 1:6 (UNCHANGEDSINCE %d) FLAGS.SILENT (\\Deleted)" % last)
    assert b"t OK [MODIFIED 1:6] " in said
    assert b"t OK [MODIFIED 2] " in one.say(b"t UID STORE 2,9 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)")
    two.say(b"t UID STORE 5 +FLAGS.SILENT (\\Deleted)", b"t EXPUNGE")
    assert b"t NO [MODIFIED 4] " in one.say(b"t STORE 4:5 (UNCHANGEDSINCE %d) +FLAGS (\\Seen)" % last)
    flags = truth(house.connect())
    assert [sorted(flags[uid]) for uid in (1, 2, 3)] == [["$Mine"], ["$Yours"], ["$Mine"]]
    one.transport.hangUp()
    two.transport.hangUp()


def test_another_program_rewrites_an_mbox(tmp_path, makeClientIn):
    """It takes messages out, puts one in between and one at the end."""
    house = House("textfile", tmp_path, makeClientIn)
    for number in range(1, 7):
        client = house.connect().logIn()
        content = b"Subject: number %d\r\n\r\nHello\r\n" % number
        assert b"t OK" in client.say(b"t APPEND INBOX (Kept%d) {%d+}" % (number, len(content)), content)
        client.transport.hangUp()
    reader = Resyncer()
    reader.connect(house.connect())
    reader.say(b"UID FETCH 1:* (FLAGS)")
    reader.leave()
    [path] = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and b"number 6" in path.read_bytes()[:4000] and "sql" not in path.name
    ]
    first, *messages = re.split(rb"(?m)^(?=From )", path.read_bytes())
    assert not first and len(messages) == 6
    new = [b"From someone Mon Sep 21 10:00:00 2026\nSubject: foreign %d\n\nHello\n\n" % number for number in (1, 2)]
    path.write_bytes(b"".join([messages[0], new[0], *messages[2:4], messages[5], new[1]]))
    house.clock.advance(10)
    said = reader.connect(house.connect())
    assert lines(said, b"VANISHED") == [b"* VANISHED (EARLIER) 2,5"]
    now = truth(house.connect())
    assert reader.messages == now and sorted(now) == [1, 3, 4, 6, 7, 8]
    assert {uid: flags for uid, flags in now.items() if uid < 7} == {uid: {f"Kept{uid}"} for uid in (1, 3, 4, 6)}
    before = reader.modSeq
    reader.leave()
    house.restart()
    assert not lines(reader.connect(house.connect()), b"VANISHED")
    assert reader.messages == now and reader.modSeq == before
    reader.leave()
    house.world.closeStore()


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
