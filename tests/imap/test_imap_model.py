"""Three sessions of one account, each in its own manner, doing whatever they like; what each is told adds up to what is there.

The model says what every mailbox holds after each command. A session believes what it is told, and nothing else; whenever it has
been told everything, it must believe in the model's mailbox.
"""

import re
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from twisted.internet.task import Clock

from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import UIDSet

STORES = {
    "memory": (memory, ""),
    "sqlite": (sqlite, "mail?shards=1"),
    "maildir": (maildir, "mail"),
    "textfile": (textfile, "mail"),
}
EXAMPLES = {"memory": 40, "sqlite": 10, "maildir": 8, "textfile": 8}

_NEWS = "(MessageNew (UID FLAGS) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge MailboxName))"
MANNERS = {
    "plain": (),
    "condstore": ("ENABLE CONDSTORE",),
    "qresync": ("ENABLE QRESYNC",),
    "uidonly": ("ENABLE UIDONLY",),
    "rev2": ("ENABLE IMAP4rev2",),
    "notify": (f"NOTIFY SET (selected {_NEWS}",),
    "notify qresync": ("ENABLE QRESYNC", f"NOTIFY SET (selected {_NEWS}"),
    "delayed": (f"NOTIFY SET (selected-delayed {_NEWS}",),
}
NAMES = ("INBOX", "a", "b", "a/x")
DEFAULTS = {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}

_FETCH = re.compile(r"\* ([0-9]+) (FETCH|UIDFETCH) \((.*)\)")
_UID, _FLAGS, _MODSEQ = re.compile(r"UID ([0-9]+)"), re.compile(r"FLAGS \(([^)]*)\)"), re.compile(r"MODSEQ \(([0-9]+)\)")
_CODE = re.compile(r"\S+ OK \[HIGHESTMODSEQ ([0-9]+)\]")
_VANISHED = re.compile(r"\* VANISHED ([0-9:,]+)")
_STATUS = re.compile(r"\* STATUS (\S+) \(MESSAGES ([0-9]+) UIDNEXT ([0-9]+)")
_LIST = re.compile(r'\* LIST \(([^)]*)\) "/" (\S+)(?: \("OLDNAME" \((\S+)\)\))?')


class Box:
    """A mailbox as it is. :ivar messages: flags by UID. :ivar versions: how often each message's flags changed."""

    def __init__(self):
        self.messages = {}
        self.versions = {}
        self.uidNext = 1

    def add(self, flags):
        uid = self.uidNext
        self.uidNext += 1
        self.messages[uid], self.versions[uid] = frozenset(flags), 0
        return uid

    def store(self, uid, how, flags):
        before = self.messages[uid]
        self.messages[uid] = changed(before, how, flags)
        self.versions[uid] += self.messages[uid] != before

    def expunge(self, uids):
        for uid in uids:
            if "\\Deleted" in self.messages.get(uid, ()):
                del self.messages[uid]


def changed(before, how, flags):
    return {"+": before | flags, "-": before - flags, "": flags}[how]


class Believer:
    """A client that believes what it is told.

    :ivar box: the model's mailbox that it has selected. :ivar view: UID and flags of each message, the flags None until told.
    :ivar others, names: what NOTIFY told of mailboxes.
    """

    def __init__(self, manner, model):
        self.manner = manner
        self.model = model
        self.isNotified = manner.startswith(("notify", "delayed"))
        self.connect()

    def connect(self):
        self.client = self.model.connect().logIn()
        self.box = None
        self.isReadOnly = self.isIdle = False
        self.view = []
        self.modSeqs = {}
        self.highest = 0
        for command in MANNERS[self.manner]:
            self.say(command)
        self.names = {*self.model.boxes, *DEFAULTS}
        self.others = {name: self.model.counters(name) for name in self.model.boxes}

    def send(self, command):
        """Say a command; what came back, not heard yet."""
        if self.isIdle:
            self.isIdle = False
            self.hear(self.client.say(b"DONE"), "IDLE")
        literal = ["A: b"] if command.endswith("{4+}") else []
        said = self.client.say(*(line.encode() for line in (f"t {command}", *literal))).decode()
        assert "t BAD" not in said, (command, said)
        return said

    def say(self, command):
        said = self.send(command)
        self.hear(said, command.split()[0])
        return said

    def hear(self, said, command=""):
        said = said if isinstance(said, str) else said.decode()
        for line in said.splitlines():
            if found := _FETCH.fullmatch(line):
                self.learn(int(found[1]), found[2], found[3])
            elif line.endswith(" EXISTS"):
                self.extend(int(line.split()[1]))
            elif line.endswith(" EXPUNGE"):
                assert command not in ("FETCH", "STORE", "SEARCH") and "qresync" not in self.manner != "uidonly"
                del self.view[int(line.split()[1]) - 1]
            elif found := _VANISHED.fullmatch(line):
                assert command not in ("FETCH", "STORE", "SEARCH") and ("qresync" in self.manner or self.manner == "uidonly")
                gone = set(UIDSet.parse(found[1]))
                assert gone <= {uid for uid, _ in self.view}
                self.view = [message for message in self.view if message[0] not in gone]
            elif line.endswith(" RECENT"):
                assert int(line.split()[1]) <= len(self.view) and self.manner != "rev2"
            elif found := _CODE.match(line):
                assert int(found[1]) >= self.highest
                self.highest = int(found[1])
            elif (found := _STATUS.match(line)) and self.isNotified:
                self.others[found[1]] = int(found[2]), int(found[3])
            elif (found := _LIST.match(line)) and self.isNotified:
                self.hearName(*found.groups())
            else:
                assert not line.startswith("* BYE"), line

    def hearName(self, attributes, name, oldName):
        if oldName:
            self.renamed(oldName, name)
        if "\\NonExistent" in attributes:
            self.names.discard(name)
        else:
            self.names.add(name)

    def renamed(self, oldName, name):
        moved = {each for each in self.names if each == oldName or each.startswith(oldName + "/")}
        self.names = self.names - moved | {name + each[len(oldName) :] for each in moved}

    def extend(self, count):
        last = self.view[-1][0] if self.view else 0
        self.view += [[uid, None] for uid in self.box.messages if uid > last]
        assert len(self.view) == count

    def learn(self, number, kind, items):
        uid, flags, modSeq = _UID.search(items), _FLAGS.search(items), _MODSEQ.search(items)
        if kind == "UIDFETCH":
            assert self.manner == "uidonly" and (uid is None or int(uid[1]) == number)
            [message] = [each for each in self.view if each[0] == number]
        else:
            assert self.manner != "uidonly"
            message = self.view[number - 1]
            assert uid is None or int(uid[1]) == message[0]
        if flags:
            message[1] = frozenset(flags[1].split()) - {"\\Recent"}
        if modSeq:
            assert int(modSeq[1]) >= self.modSeqs.get(message[0], 0)
            self.modSeqs[message[0]] = int(modSeq[1])

    def select(self, name, word):
        self.leave()
        said = self.send(f"{word} {name}")
        box = self.model.boxes.get(name)
        assert ("t OK" in said) == (box is not None)
        if box is not None:
            self.box, self.isReadOnly = box, word == "EXAMINE"
            self.view = []
            self.modSeqs = {}
            self.highest = 0
            self.hear(said)
            assert len(self.view) == len(box.messages)

    def leave(self):
        """It looks at no mailbox any more; while it did, nothing was told of that one's counters."""
        if self.box is not None:
            for name, box in self.model.boxes.items():
                if box is self.box:
                    self.others[name] = self.model.counters(name)
        self.box, self.view = None, []

    def isWhole(self):
        """It believes in what is there."""
        there = self.box.messages
        assert [uid for uid, _ in self.view] == list(there)
        assert all(flags is None or flags == there[uid] for uid, flags in self.view), (self.view, there)

    def check(self):
        """What has to be right though it did not ask."""
        if self.manner.startswith("notify") and self.box is not None:
            self.isWhole()
        if self.isNotified and not self.isIdle:
            assert self.names - DEFAULTS == self.model.boxes.keys() - DEFAULTS
            for name, box in self.model.boxes.items():
                if box is not self.box:
                    assert self.others.get(name, (0, 1)) == self.model.counters(name), name


_WHO, _CHOICE, _NAME = st.integers(0, 2), st.integers(0, 99), st.sampled_from(("INBOX", "INBOX", *NAMES))
_FLAG_SETS = st.sampled_from(["\\Seen", "\\Flagged", "\\Deleted", "\\Seen Word", "\\Deleted \\Answered"])


class Model(RuleBasedStateMachine):
    """What the sessions do. Each rule ends with everybody having heard what there was to hear."""

    makeConnect = None

    def __init__(self):
        super().__init__()
        self.boxes = {"INBOX": Box()}
        self.connect, self.close = type(self).makeConnect()
        self.observer = self.connect().logIn()
        self.sessions = []
        self.highest = 0

    @initialize(manners=st.tuples(*[st.sampled_from(sorted(MANNERS))] * 3))
    def begin(self, manners):
        for flags in "\\Seen", "", "\\Flagged Word":
            assert b"o OK" in self.observer.say(b"o APPEND INBOX (%b) {4+}" % flags.encode(), b"A: b")
            self.boxes["INBOX"].add(flags.split())
        self.sessions = [Believer(manner, self) for manner in manners]

    def counters(self, name):
        return len(self.boxes[name].messages), self.boxes[name].uidNext

    def flush(self):
        """Everybody hears what was said to it meanwhile."""
        self.client.world.advance()
        for session in self.sessions:
            session.hear(session.client.said())
        for session in self.sessions:
            session.check()

    @property
    def client(self):
        return self.observer

    def looking(self, who):
        """A session that looks at a mailbox."""
        session = self.sessions[who]
        if session.box is None:
            session.select("INBOX", "SELECT")
        return session

    def chosen(self, session, choice, isUID):
        """How a message is named that the session knows of, and its UID; or nothing."""
        if not session.view:
            return None
        at = choice % len(session.view)
        uid = session.view[at][0]
        isUID = isUID or session.manner == "uidonly"
        return ("UID " if isUID else ""), (uid if isUID else at + 1), uid

    # --- Messages

    @rule(who=_WHO, name=_NAME, flags=_FLAG_SETS, count=st.integers(1, 3))
    def append(self, who, name, flags, count):
        session = self.sessions[who]
        for _ in range(count):
            said = session.send(f"APPEND {name} ({flags}) {{4+}}")
            if name not in self.boxes:
                assert "t NO [TRYCREATE]" in said
            else:
                uid = self.boxes[name].add(flags.split())
                assert re.search(rf"^t OK \[APPENDUID [0-9]+ {uid}\]", said, re.MULTILINE)
            session.hear(said, "APPEND")
            self.flush()

    @rule(
        who=_WHO,
        choice=_CHOICE,
        flags=_FLAG_SETS,
        how=st.sampled_from(["+", "-", ""]),
        isUID=st.booleans(),
        isSilent=st.booleans(),
    )
    def store(self, who, choice, flags, how, isUID, isSilent):
        session = self.looking(who)
        if (named := self.chosen(session, choice, isUID)) is None:
            return
        prefix, number, uid = named
        flags = frozenset(flags.split())
        command = f"{prefix}STORE {number} {how}FLAGS{'.SILENT' if isSilent else ''} ({' '.join(sorted(flags))})"
        said = session.send(command)
        if session.isReadOnly:
            assert "t NO [CANNOT]" in said
        elif uid in session.box.messages:
            assert "t OK" in said
            session.box.store(uid, how, flags)
        session.hear(said, command.split()[0])
        if isSilent and "t OK" in said:
            self.workOut(session, uid, how, flags)
        self.flush()

    def workOut(self, session, uid, how, flags):
        """What a client that asked for silence thinks the flags are now."""
        for message in session.view:
            if message[0] == uid and message[1] is not None:
                message[1] = changed(message[1], how, flags)

    @rule(who=_WHO, choice=_CHOICE, flags=_FLAG_SETS, other=_WHO, isLate=st.booleans(), isSilent=st.booleans())
    def storeUnchanged(self, who, choice, flags, other, isLate, isSilent):
        """Two sessions change a message that both have seen: the second one fails, if the first one changed it."""
        session, rival = self.looking(who), self.sessions[other]
        if session.isReadOnly or (named := self.chosen(session, choice, True)) is None or session.manner == "plain":
            return
        uid = named[2]
        if uid not in session.box.messages:
            return
        session.say(f"UID FETCH {uid} (MODSEQ)")
        modSeq, version = session.modSeqs[uid], session.box.versions[uid]
        if isLate and rival.box is session.box and not rival.isReadOnly and uid in dict(rival.view):
            said = rival.send(f"UID STORE {uid} +FLAGS (Rival{modSeq})")
            rival.box.store(uid, "+", frozenset({f"Rival{modSeq}"}))
            rival.hear(said)
        flags = frozenset(flags.split())
        silent = ".SILENT" if isSilent else ""
        said = session.send(f"UID STORE {uid} (UNCHANGEDSINCE {modSeq}) +FLAGS{silent} ({' '.join(sorted(flags))})")
        if session.box.versions[uid] != version:
            assert f"t OK [MODIFIED {uid}]" in said
            session.hear(said)
        else:
            assert "MODIFIED" not in said and "t OK" in said
            session.box.store(uid, "+", flags)
            session.hear(said)
            if isSilent:
                self.workOut(session, uid, "+", flags)
        self.flush()

    @rule(who=_WHO, choice=_CHOICE, byUID=st.booleans())
    def expunge(self, who, choice, byUID):
        session = self.looking(who)
        uids = list(session.box.messages)
        if byUID and (named := self.chosen(session, choice, True)):
            uids = range(named[2], min(named[2] + 2, session.view[-1][0]) + 1)
            said = session.send(f"UID EXPUNGE {named[2]}:{named[2] + 2}")
        else:
            said = session.send("EXPUNGE")
        if session.isReadOnly:
            assert "t NO [CANNOT]" in said
        else:
            session.box.expunge(uids)
        session.hear(said, "EXPUNGE")
        self.flush()

    @rule(who=_WHO, choice=_CHOICE, name=_NAME, isUID=st.booleans(), word=st.sampled_from(["COPY", "MOVE"]))
    def transfer(self, who, choice, name, isUID, word):
        session = self.looking(who)
        if (named := self.chosen(session, choice, isUID)) is None:
            return
        prefix, number, uid = named
        said = session.send(f"{prefix}{word} {number} {name}")
        if (word == "MOVE" and session.isReadOnly) or (not prefix and uid not in session.box.messages):
            assert "t NO [" in said
        elif name not in self.boxes:
            assert "t NO [TRYCREATE]" in said
        elif uid in session.box.messages:
            copy = self.boxes[name].add(session.box.messages[uid])
            assert re.search(rf"OK \[COPYUID [0-9]+ {uid} {copy}\]", said)
            if word == "MOVE":
                del session.box.messages[uid]
        session.hear(said, word)
        self.flush()

    @rule(who=_WHO, choice=_CHOICE, isUID=st.booleans())
    def fetch(self, who, choice, isUID):
        session = self.looking(who)
        if (named := self.chosen(session, choice, isUID)) is not None:
            said = session.say(f"{named[0]}FETCH {named[1]}:* (UID FLAGS)")
            assert "t OK" in said or "t NO [EXPUNGEISSUED]" in said
            self.flush()

    @rule(who=_WHO, isUID=st.booleans())
    def search(self, who, isUID):
        session = self.looking(who)
        isUID = isUID or session.manner == "uidonly"
        said = session.send("UID SEARCH RETURN (ALL) UNDELETED" if isUID else "SEARCH RETURN (ALL) UNDELETED")
        found = re.search(r"ALL ([0-9:,]+)", said)
        numbers = list(UIDSet.parse(found[1])) if found else []
        if not isUID:
            numbers = [session.view[number - 1][0] for number in numbers]
        known = {uid for uid, _ in session.view}
        assert numbers == [uid for uid, flags in session.box.messages.items() if uid in known and "\\Deleted" not in flags]
        session.hear(said, "UID" if isUID else "SEARCH")
        self.flush()

    # --- Mailboxes

    @rule(who=_WHO, name=_NAME, word=st.sampled_from(["SELECT", "SELECT", "EXAMINE"]), knows=st.booleans())
    def select(self, who, name, word, knows):
        session = self.sessions[who]
        session.select(name, word)
        if knows and session.box is not None:
            session.say("UID FETCH 1:* (FLAGS)")
        self.flush()

    @rule(who=_WHO, word=st.sampled_from(["CLOSE", "UNSELECT"]))
    def leave(self, who, word):
        session = self.looking(who)
        said = session.send(word)
        if word == "CLOSE" and not session.isReadOnly:
            session.box.expunge(list(session.box.messages))
        session.leave()
        session.hear(said)
        self.flush()

    @rule(
        who=_WHO, what=st.sampled_from(["create", "create", "delete", "rename"]), name=_NAME, newName=st.sampled_from(NAMES[1:])
    )
    def tree(self, who, what, name, newName):
        if what == "rename":
            self.rename(who, name, newName)
        elif what == "create":
            self.create(who, name)
        elif name != "INBOX":
            self.delete(who, name)

    def create(self, who, name):
        session = self.sessions[who]
        said = session.send(f"CREATE {name}")
        assert ("t OK" in said) == (name not in self.boxes)
        if name not in self.boxes:
            self.boxes[name] = Box()
            session.names.add(name)
        session.hear(said)
        self.flush()

    def delete(self, who, name):
        session = self.sessions[who]
        said = session.send(f"DELETE {name}")
        box = self.boxes.pop(name, None)
        assert ("t OK" in said) == (box is not None)
        session.names.discard(name)
        if box is not None and session.box is box:
            session.box, session.view = None, []
        session.hear(said)
        for other in self.sessions:
            if box is not None and other.box is box:
                heard = other.client.said() if other.isIdle else other.client.say(b"n NOOP")
                assert b"* BYE" in heard
                other.connect()
        self.flush()

    def rename(self, who, name, newName):
        session = self.sessions[who]
        before = self.validities()
        said = session.send(f"RENAME {name} {newName}")
        assert ("t OK" in said) == self.mayRename(name, newName), said
        if "t OK" in said:
            self.renamed(name, newName)
            if name == "INBOX":
                session.names.add(newName)
            else:
                session.renamed(name, newName)
            after = self.validities()
            for other in self.sessions:
                # By its new name a mailbox may need another UIDVALIDITY, and then its sessions begin anew.
                if other.box is not None and before.get(other.box) != after.get(other.box):
                    other.client.transport.hangUp()
                    other.connect()
                    said = "" if other is session else said
        session.hear(said)
        self.flush()

    def moved(self, name, newName):
        return {each: newName + each[len(name) :] for each in self.boxes if each == name or each.startswith(name + "/")}

    def mayRename(self, name, newName):
        if name == "INBOX":
            return newName not in self.boxes
        moved = self.moved(name, newName)
        isBelow = newName == name or newName.startswith(name + "/")
        return bool(moved) and not isBelow and not any(each in self.boxes for each in (newName, *moved.values()))

    def renamed(self, name, newName):
        if name == "INBOX":
            self.boxes[newName] = Box()
            for flags in self.boxes[name].messages.values():
                self.boxes[newName].add(flags)
            self.boxes[name].messages.clear()
        else:
            for each, after in self.moved(name, newName).items():
                self.boxes[after] = self.boxes.pop(each)

    def validities(self):
        found = {}
        for name, box in self.boxes.items():
            said = self.observer.say(f"v STATUS {name} (UIDVALIDITY)".encode()).decode()
            found[box] = int(re.search(r"UIDVALIDITY ([0-9]+)", said)[1])
        return found

    # --- Being told

    @rule(who=_WHO)
    def idle(self, who):
        session = self.sessions[who]
        if not session.isIdle:
            session.say("IDLE")
            session.isIdle = True
            self.flush()
            if session.box is not None:
                session.isWhole()

    @rule()
    def agree(self):
        """Once told, everybody believes in what is there; those in IDLE need not ask."""
        for session in self.sessions:
            if not session.isIdle:
                session.say("NOOP")
            if session.box is not None:
                session.isWhole()
                if not session.isIdle:
                    session.say("UID FETCH 1:* (FLAGS)")
                    assert [flags for _, flags in session.view] == list(session.box.messages.values())
        self.flush()
        for name, box in self.boxes.items():
            said = self.observer.say(f"v STATUS {name} (MESSAGES UIDNEXT UNSEEN DELETED HIGHESTMODSEQ)".encode()).decode()
            unseen = sum("\\Seen" not in flags for flags in box.messages.values())
            deleted = sum("\\Deleted" in flags for flags in box.messages.values())
            counters = f"(MESSAGES {len(box.messages)} UIDNEXT {box.uidNext} UNSEEN {unseen} DELETED {deleted} "
            assert counters in said, (counters, said)

    def teardown(self):
        for client in (self.observer, *(session.client for session in self.sessions)):
            client.transport.hangUp()
        self.observer.world.advance()
        self.close()


@pytest.mark.prove
@pytest.mark.parametrize("store", STORES)
def test_sessions_believe_in_what_is_there(store, tmp_path, makeClientIn, isProof):
    def makeConnect():
        plugin, argument = STORES[store]
        clock, data = Clock(), tempfile.mkdtemp(dir=tmp_path)
        world = World(openStore(plugin, argument, FakeStoreContext(data, clock=clock)), clock=clock, directory=data + "/spool")
        world.context.spool.prepare()
        return lambda: makeClientIn(world), world.closeStore

    examples = EXAMPLES[store] * (50 if isProof else 1)
    machine = type("Model", (Model,), {"makeConnect": staticmethod(makeConnect)})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=50, deadline=None))
