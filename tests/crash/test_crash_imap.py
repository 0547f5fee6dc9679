"""SIGKILL while IMAP clients append, copy, move, flag, expunge and rename: what was acknowledged stands, and counts are true."""

import imaplib
import random
import re
import threading

import pytest

from mailfw.testing.process import HOST, PATIENCE, ServerProcess, waitFor

STORES = ("sqlite:mail", "maildir:mail", "textfile:mail")
BOXES = ("INBOX", "Work", "Old")
RENAMED = ("Here", "There")
CLIENTS = 6


def connected(port):
    imap = imaplib.IMAP4(HOST, port, timeout=PATIENCE)
    imap.login("mbrain", "mailfw")
    return imap


def done(answer):
    """What a command said. :raises imaplib.IMAP4.error: it was refused."""
    kind, said = answer
    if kind != "OK":
        raise imaplib.IMAP4.error(said)
    return said


class Worker(threading.Thread):
    """Does this and that until the server is gone.

    :ivar kept: messages that are there for good, as the server said.
    :ivar expunged: (mailbox, UID) of those that the server said are gone.
    """

    def __init__(self, port, name, renames):
        super().__init__(daemon=True)
        self.port = port
        self.prefix = name
        self.renames = renames
        self.kept = []
        self.expunged = []
        self.done = 0
        self.failure = None
        self.random = random.Random(name)

    def run(self):
        try:
            imap = connected(self.port)
            while True:
                if self.renames:
                    self.rename(imap)
                else:
                    self.random.choice((self.append, self.append, self.move, self.copy, self.flag, self.expunge))(imap)
                self.done += 1
        except (OSError, imaplib.IMAP4.abort):
            pass  # killed
        except Exception as error:
            self.failure = error

    def put(self, imap, mailbox, kind):
        ident = f"{kind}.{self.prefix}.{self.done}"
        body = "".join(f"line {n}\r\n" for n in range(self.random.choice((1, 50, 500, 20_000))))
        done(imap.append(mailbox, None, None, f"Message-ID: <{ident}@localhost>\r\n\r\n{body}".encode()))
        return ident

    def append(self, imap):
        self.kept.append(self.put(imap, self.random.choice(BOXES), "keep"))

    def some(self, imap):
        """A mailbox, selected, and the UIDs in it."""
        mailbox = self.random.choice(BOXES)
        done(imap.select(mailbox))
        return mailbox, done(imap.uid("SEARCH", "ALL"))[0].decode().split()

    def move(self, imap):
        _, uids = self.some(imap)
        if uids:
            done(imap.uid("MOVE", ",".join(self.random.sample(uids, min(3, len(uids)))), self.random.choice(BOXES)))

    def copy(self, imap):
        _, uids = self.some(imap)
        if uids and len(uids) < 300:
            done(imap.uid("COPY", ",".join(self.random.sample(uids, min(3, len(uids)))), self.random.choice(BOXES)))

    def flag(self, imap):
        _, uids = self.some(imap)
        if uids:
            flags = self.random.choice(("\\Seen", "\\Flagged", "$Work"))
            done(imap.uid("STORE", self.random.choice(uids), self.random.choice(("+FLAGS", "-FLAGS")), f"({flags})"))

    def expunge(self, imap):
        """Messages made for this; nobody else's are touched."""
        self.put(imap, "Doomed", "gone")
        done(imap.select("Doomed"))
        uid = done(imap.uid("SEARCH", "HEADER", "Message-ID", f"gone.{self.prefix}.{self.done}@"))[0].decode()
        done(imap.uid("STORE", uid, "+FLAGS", "(\\Deleted)"))
        done(imap.uid("EXPUNGE", uid))
        self.expunged.append(("Doomed", int(uid)))

    def rename(self, imap):
        here, there = self.random.sample(RENAMED, 2)
        try:
            done(imap.rename(here, there))
            self.kept.append(self.put(imap, there, "keep"))
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error:
            pass  # it has the other name


def contents(imap, mailbox):
    """UIDVALIDITY, and UID → Message-ID; counters and numbers are found to be true."""
    status = done(imap.status(mailbox, "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"))[0].decode()
    counts = {word: int(value) for word, value in re.findall(r"(MESSAGES|UNSEEN|UIDNEXT|UIDVALIDITY) (\d+)", status)}
    assert int(done(imap.select(mailbox))[0]) == counts["MESSAGES"]
    uids = [int(uid) for uid in done(imap.uid("SEARCH", "ALL"))[0].split()]
    assert uids == sorted(set(uids))
    assert len(uids) == counts["MESSAGES"]
    assert counts["UIDNEXT"] > max(uids, default=0)
    assert len(done(imap.uid("SEARCH", "UNSEEN"))[0].split()) == counts["UNSEEN"]
    said = done(imap.uid("FETCH", "1:*", "(UID RFC822.SIZE BODY.PEEK[])")) if uids else []
    messages = {}
    for part in filter(lambda part: isinstance(part, tuple), said):
        head = part[0].decode()
        size, length = int(re.search(r"RFC822\.SIZE (\d+)", head)[1]), len(part[1])
        assert size == length
        messages[int(re.search(r"UID (\d+)", head)[1])] = part[1].decode().partition("<")[2].partition("@")[0]
    assert sorted(messages) == uids
    return counts["UIDVALIDITY"], messages


@pytest.mark.prove
@pytest.mark.parametrize("store", STORES, ids=lambda spec: spec.partition(":")[0])
def test_work_of_several_clients_outlives_a_kill(store, tmp_path, isProof):
    server = ServerProcess(tmp_path / "data", store, services=("imap",))
    chance = random.Random(store)
    known, kept, expunged, finished = {}, set(), set(), 0
    try:
        server.start()
        imap = connected(server.ports["imap"])
        for mailbox in (*BOXES[1:], "Doomed", RENAMED[0]):
            done(imap.create(mailbox))
        imap.logout()
        for round_ in range(20 if isProof else 2):
            workers = [Worker(server.ports["imap"], f"r{round_}c{n}", renames=n == 0) for n in range(CLIENTS)]
            for worker in workers:
                worker.start()
            waitFor(lambda those=workers: sum(one.done for one in those) > CLIENTS or any(one.failure for one in those), "work")
            threading.Event().wait(chance.uniform(0.3, 1.5))  # how much is done before the power fails is the experiment
            server.kill()
            for worker in workers:
                worker.join(PATIENCE)
                assert worker.failure is None, worker.failure
                kept.update(worker.kept)
                expunged.update(worker.expunged)
                finished += worker.done
            server.start()
            imap = connected(server.ports["imap"])
            there = [name for name in RENAMED if imap.status(name, "(MESSAGES)")[0] == "OK"]
            assert len(there) == 1
            found = set()
            for mailbox in (*BOXES, "Doomed", *there):
                validity, messages = contents(imap, mailbox)
                found.update(messages.values())
                before, known[mailbox] = known.get(mailbox, (validity, {})), (validity, messages)
                if mailbox not in RENAMED:
                    assert validity == before[0]
                if validity == before[0]:
                    assert all(messages[uid] == ident for uid, ident in before[1].items() if uid in messages)
                assert not [uid for name, uid in expunged if name == mailbox and uid in messages]
            assert not kept - found
            imap.logout()
            assert "Traceback" not in server.said
        server.stop()
    finally:
        server.kill()
    assert finished > CLIENTS
