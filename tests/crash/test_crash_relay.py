"""Accept, queue, relay, done – and SIGKILL in between, round after round: what was acknowledged arrives or its sender is told."""

import contextlib
import imaplib
import random
import re
import smtplib
import socketserver
import threading
from collections import Counter

import pytest
from attrs import define, field

from mailfw.app.remote import Remote
from mailfw.testing.process import HOST, PATIENCE, ServerProcess, waitFor

CONNECTIONS = 10
DOMAINS = 5
PER_DESTINATION = 20

CONFIGURATION = """
hostname = "localhost"
domains = ["localhost"]
[auth]
sources = ["passwd:{directory}/users"]
rehash = false
[queue]
retry = ["1s"]
[relay]
networks = ["127.0.0.0/8"]
deliveries_per_destination = {limit}
[[route]]
domain = ".example"
via = "smtp:127.0.0.1:{port}"
"""


class Hop(socketserver.ThreadingTCPServer):
    """Another system, in a bad mood at times. What it took is counted when it takes it, before it says so.

    :ivar taken: how often, by the number that is in the message. :ivar unsaid: how often it took one and did not say so.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__((HOST, 0), Conversation)
        self.taken = Counter()
        self.unsaid = 0
        self.chance = random.Random(7)

    def handle_error(self, request, client_address):
        pass  # the server was killed in the middle of it


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 hop.example ESMTP")
        for line in self.rfile:
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"EHLO":
                self.say("250-hop.example\r\n250 PIPELINING")
            elif verb == b"RCPT":
                mood = self.server.chance.random()
                self.say("451 later" if mood < 0.05 else "550 never" if mood < 0.08 else "250 ok")
                self.recipients = getattr(self, "recipients", 0) + (mood >= 0.08)
            elif verb == b"DATA":
                self.data()
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.recipients = 0
                self.say("250 ok")

    def data(self):
        if not self.recipients:
            self.say("554 nobody")
            return
        self.say("354 go on")
        content = b""
        while not content.endswith(b"\r\n.\r\n"):
            line = self.rfile.readline()
            if not line:
                raise ConnectionError
            content += line
        mood = self.server.chance.random()
        if mood < 0.03:
            self.say("451 later")
            return
        self.server.taken[re.search(rb"X-Number: (\S+)", content)[1].decode()] += 1
        if mood < 0.06:
            self.server.unsaid += 1
            raise ConnectionError
        self.say("250 taken")

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")


@define
class Relaying(ServerProcess):
    """A server with a configuration of its own."""

    senders: list = field(factory=list)

    def _isReady(self):
        said = self.said
        assert self.process.poll() is None, said
        return "mailfw.app] mailfw " in said

    def waiting(self):
        remote = Remote.connect(str(self.data / "control"))
        try:
            return remote.perform("queue overview")["recipients"]
        finally:
            remote.close()


class Sender(threading.Thread):
    """Sends numbered messages, each to somebody elsewhere and to one of ours, until the server is gone."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port = port
        self.prefix = name
        self.acknowledged = []
        self.random = random.Random(name)

    def run(self):
        with contextlib.suppress(OSError, smtplib.SMTPException), smtplib.SMTP(HOST, self.port, timeout=PATIENCE) as smtp:
            for number in range(10_000):
                ident = f"{self.prefix}.{number}"
                size = 300_000 if self.random.random() < 0.02 else 2000
                content = f"X-Number: {ident}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72)
                there = f"u{number}@d{number % DOMAINS}.example"
                smtp.sendmail("mbrain@localhost", [there, "jsmith@localhost"], content)
                self.acknowledged.append(ident)


def numbers(port, user):
    """The numbers that are in the messages of an INBOX."""
    with imaplib.IMAP4(HOST, port, timeout=PATIENCE) as imap:
        imap.login(user, "mailfw")
        if imap.select("INBOX", readonly=True)[1] == [b"0"]:
            return Counter()
        parts = imap.fetch("1:*", "(BODY.PEEK[]<0.8000>)")[1]
    found = (re.search(rb"X-Number: (\S+)", part[1]) for part in parts if isinstance(part, tuple))
    return Counter(match[1].decode() for match in found)


@pytest.mark.prove
def test_nothing_acknowledged_is_lost_between_accept_and_done(tmp_path, isProof):
    rounds = 200 if isProof else 4
    chance = random.Random(3)
    acknowledged = set()
    (tmp_path / "users").write_text("".join(f"{name}@localhost:{{PLAIN}}mailfw\n" for name in ("mbrain", "jsmith")))
    with Hop() as hop:
        threading.Thread(target=hop.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        text = CONFIGURATION.format(directory=tmp_path, port=hop.server_address[1], limit=PER_DESTINATION)
        (tmp_path / "mailfw.toml").write_text(text)
        options = ("--config", str(tmp_path / "mailfw.toml"))
        server = Relaying(tmp_path / "data", services=("smtp", "imap"), options=options)
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
                assert "Traceback" not in server.said
            server.start()
            while left := server.waiting():
                waitFor(lambda before=left: server.waiting() < before, f"any of {left} recipients to leave the queue")
            told, here = numbers(server.ports["imap"], "mbrain"), numbers(server.ports["imap"], "jsmith")
            server.stop()
            assert "Traceback" not in server.said
        finally:
            server.kill()
            hop.shutdown()
    assert len(acknowledged) > rounds
    assert not acknowledged - set(here), "what is for one of ours is in the store"
    assert not acknowledged - set(hop.taken) - set(told), "what is for others was taken, or the sender was told"
    again = sum(count - 1 for count in (hop.taken + told).values())
    assert again <= hop.unsaid + rounds * PER_DESTINATION * DOMAINS, "sent twice only what was under way, or what nobody said"
