"""Mail between this system and others: out by the DNS into Postfix and Exim, into Dovecot's LMTP, in from Postfix, and what
people read of it that came back."""

from __future__ import annotations

import contextlib
import importlib.util
import smtplib
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from attrs import define

from mailfw.testing.process import HOST, PATIENCE, ServerProcess, waitFor
from mailfw.testing.resolver import NameServer


def _beside(name):
    """A module of this directory, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


peers = _beside("peers")

ZONE = {"far.example MX": ["10 gone.far.example.", "20 mx.far.example."], "mx.far.example A": [HOST]}
ZONE["gone.far.example A"] = ["127.0.0.9"]  # nobody listens there
EIGHT = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
EIGHT += "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n.\r\n..\r\nEnde\r\n"
LETTER = EIGHT.encode()


@define
class Configured(ServerProcess):
    """A server with a configuration file."""

    def _isReady(self):
        said = self.said
        assert self.process.poll() is None, said
        return "mailfw.app] mailfw " in said

    def submit(self, *recipients, content=LETTER, mail=()):
        with smtplib.SMTP(HOST, self.ports["submission"], timeout=PATIENCE) as smtp:
            smtp.login("mbrain", "mailfw")
            smtp.sendmail("mbrain@localhost", recipients, content, mail_options=mail)

    def inbox(self, user, count=1):
        """Messages in the Maildir of one of ours, once there are so many."""
        boxes = [self.data / "mail" / user / box for box in ("new", "cur")]

        def files():
            return [path for box in boxes if box.exists() for path in sorted(box.iterdir())]

        waitFor(lambda: len(files()) >= count, f"{count} messages for {user}:\n{self.said}")
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files()]


@pytest.fixture
def configured(tmp_path):
    """Start a server with some more configuration."""
    with contextlib.ExitStack() as running:

        def start(text):
            (tmp_path / "users").write_text("".join(f"{name}@localhost:{{PLAIN}}mailfw\n" for name in ("mbrain", "jsmith")))
            head = 'hostname = "mail.localhost"\ndomains = ["localhost"]\nstore = "maildir:mail"\n'
            head += f'[auth]\nsources = ["passwd:{tmp_path}/users"]\nrehash = false\n'
            (tmp_path / "mailfw.toml").write_text(head + text)
            options = ("--config", str(tmp_path / "mailfw.toml"))
            server = Configured(tmp_path / "data", "maildir:mail", ("smtp", "submission", "lmtp"), options)
            server.start()
            running.callback(server.kill)
            return server

        yield start


@pytest.fixture(params=peers.PEERS)
def peer(request):
    with peers.PEERS[request.param]() as running:
        yield running


def bodyOf(message):
    return message.get_content().replace("\r\n", "\n")


def test_by_the_dns_to_the_next_host_when_the_first_does_not_listen(configured, peer):
    with NameServer(ZONE) as names:
        server = configured(f'[relay]\nport = {peer.port}\nloopback = true\n[dns]\nservers = ["{names.address}"]\n')
        server.submit("jsmith@far.example", "mbrain@far.example", "nobody@far.example", mail=["body=8bitmime"])
        [message] = peer.messages("jsmith")
        assert bodyOf(message) == "Grüße\n.\n..\nEnde\n"
        assert message["Subject"] == "Grüße"
        assert message["Return-Path"] in ("<mbrain@localhost>", None)  # Exim adds none unless it is told to
        assert len(peer.messages("mbrain")) == 1
        [report] = server.inbox("mbrain")
    status = report.get_payload(1).get_payload()
    assert report.get_content_type() == "multipart/report"
    assert [part["Final-Recipient"] for part in status[1:]] == ["rfc822; nobody@far.example"]
    assert status[1]["Status"].startswith("5.")
    assert status[1]["Action"] == "failed"
    assert status[1]["Remote-MTA"] == "dns; mx.far.example"
    assert "550" in status[1]["Diagnostic-Code"]
    assert report.get_payload(2).get_payload(0)["Subject"] == "Grüße", "the message comes back with it"


def test_a_large_message_and_many_recipients(configured, peer):
    server = configured(f'[[route]]\ndomain = "far.example"\nvia = "smtp:{HOST}:{peer.port}"\n')
    content = EIGHT.replace("Ende", "Zeile mit Umlauten: äöü\r\n" * 100_000).encode()
    server.submit("jsmith@far.example", *(f"nobody{n}@far.example" for n in range(10)), content=content, mail=["body=8bitmime"])
    [message] = peer.messages("jsmith")
    assert bodyOf(message).count("Zeile mit Umlauten: äöü\n") == 100_000
    [report] = server.inbox("mbrain")
    assert len(report.get_payload(1).get_payload()[1:]) == 10, "one report tells of all"


def test_into_the_lmtp_of_dovecot(configured):
    with peers.dovecot() as dovecot:
        server = configured(f'[[route]]\ndomain = "far.example"\nvia = "lmtp:{HOST}:{dovecot.port}"\n')
        server.submit("jsmith@far.example", "nobody@far.example", "mbrain@far.example", mail=["body=8bitmime"])
        assert bodyOf(dovecot.messages("jsmith")[0]) == "Grüße\n.\n..\nEnde\n"
        assert len(dovecot.messages("mbrain")) == 1
        [report] = server.inbox("mbrain")
    assert [part["Final-Recipient"] for part in report.get_payload(1).get_payload()[1:]] == ["rfc822; nobody@far.example"]


def test_postfix_into_us(configured):
    server = configured("")
    with peers.postfix(relayTo=server.ports["smtp"]) as postfix:
        with smtplib.SMTP(HOST, postfix.port, timeout=PATIENCE) as smtp:
            smtp.sendmail("mbrain@far.example", ["jsmith@localhost"], LETTER, mail_options=["body=8bitmime"])
            smtp.sendmail("mbrain@far.example", ["nobody@localhost"], b"Subject: x\r\n\r\nhello\r\n")
        [message] = server.inbox("jsmith")
        assert bodyOf(message) == "Grüße\n.\n..\nEnde\n"
        [bounce] = postfix.messages("mbrain")
        assert "5.1.1" in str(bounce), "Postfix tells its sender what we said"


def test_people_read_what_came_back(configured, terminal, tmp_path):
    """What a report says stands on the first screen of mutt and neomutt."""
    server = configured('[[route]]\ndomain = "far.example"\nvia = "pipe:/bin/false"\ngive_up_after = "0s"\n')
    server.submit("jsmith@far.example", content=b"Subject: Lunch\r\n\r\nAt one?\r\n")
    server.inbox("mbrain")
    rc = tmp_path / "muttrc"
    rc.write_text(f"set folder={tmp_path}\nset quit=yes\nset sleep_time=0\nset wait_key=no\nset mbox_type=Maildir\n")
    for name in ("neomutt", "mutt"):
        screen = terminal(name, "-n", "-F", rc, "-f", server.data / "mail" / "mbrain", HOME=str(tmp_path), TERM="xterm")
        screen.shows("Your message could")
        screen.type("Enter")
        screen.shows("jsmith@far.example")
        screen.shows("No further attempt will be")
        screen.close()
