"""Whatever was acknowledged is there after SIGKILL, round after round, while mail arrives over twenty connections."""

import imaplib
import random
import smtplib
import threading

import pytest

from mailfw.testing.process import HOST, PATIENCE, ServerProcess, waitFor

STORES = ("sqlite:mail", "maildir:mail", "textfile:mail")
CONNECTIONS = 20


class Sender(threading.Thread):
    """Sends numbered messages to both accounts until the server is gone; `acknowledged` is what it was told is taken."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port = port
        self.prefix = name
        self.acknowledged = []
        self.random = random.Random(name)

    def run(self):
        try:
            with smtplib.SMTP(HOST, self.port, timeout=PATIENCE) as smtp:
                for number in range(10_000):
                    ident = f"{self.prefix}.{number}"
                    lines = "".join(f"line {n} of {ident}\r\n" for n in range(self.random.choice((1, 50, 500, 8000))))
                    content = f"Message-ID: <{ident}@localhost>\r\nSubject: {ident}\r\n\r\n{lines}"
                    user = self.random.choice(("mbrain", "jsmith"))
                    smtp.sendmail("a@example.org", [f"{user}@localhost"], content.encode())
                    self.acknowledged.append((user, ident))
        except (OSError, smtplib.SMTPException):
            pass  # killed


def found(port, user, known):
    """UIDVALIDITY, and by UID what the Message-ID of each message in the INBOX says; those in `known` are not fetched."""
    with imaplib.IMAP4(HOST, port, timeout=PATIENCE) as imap:
        imap.login(user, "mailfw")
        imap.select("INBOX", readonly=True)
        validity = int(imap.response("UIDVALIDITY")[1][0])
        last = max(known, default=0)
        fetched = imap.uid("FETCH", f"{last + 1}:*", "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
        messages = dict(known)
        for part in fetched:
            if isinstance(part, tuple):
                uid = int(part[0].split(b"UID ")[1].split()[0])
                messages[uid] = part[1].decode().partition("<")[2].partition("@")[0]
        uids = imap.uid("SEARCH", "ALL")[1][0].split()
        assert sorted(messages) == [int(uid) for uid in uids]
    return validity, messages


@pytest.mark.prove
@pytest.mark.parametrize("store", STORES, ids=lambda spec: spec.partition(":")[0])
def test_nothing_acknowledged_is_lost_by_a_kill(store, tmp_path, isProof):
    rounds = 50 if isProof else 3
    server = ServerProcess(tmp_path / "data", store, services=("smtp", "imap"))
    chance = random.Random(store)
    known = {"mbrain": {}, "jsmith": {}}
    validities = {}
    acknowledged = set()
    try:
        for round_ in range(rounds):
            server.start()
            senders = [Sender(server.ports["smtp"], f"r{round_}c{n}") for n in range(CONNECTIONS)]
            for sender in senders:
                sender.start()
            waitFor(lambda those=senders: sum(len(each.acknowledged) for each in those) > 1, "mail to flow")
            threading.Event().wait(chance.uniform(0.1, 1.0))  # how long mail flows before the power fails is the experiment
            server.kill()
            for sender in senders:
                sender.join(PATIENCE)
                acknowledged.update(sender.acknowledged)
            server.start()
            for user in known:
                validity, messages = found(server.ports["imap"], user, known[user])
                assert validities.setdefault(user, validity) == validity
                assert {uid: messages[uid] for uid in known[user]} == known[user], "a UID means another message now"
                known[user] = messages
                missing = {ident for who, ident in acknowledged if who == user} - set(messages.values())
                assert not missing
            assert "Traceback" not in server.said
            server.stop()
    finally:
        server.kill()
    assert len(acknowledged) > rounds
