"""Mail that leaves, as people see it: two servers in processes of their own, and the administrator between them."""

from __future__ import annotations

import imaplib
import json
import re
import signal
import smtplib
import subprocess
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from mailfw.testing.resolver import NameServer

Command = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE = 120.0
HELLO = b"From: mbrain@localhost\r\nSubject: Hello\r\n\r\nHello!\r\n"


@pytest.fixture
def far(start: Any, tmp_path: Path) -> Any:
    """Another system, for far.example."""
    server = start("--data", str(tmp_path / "far"), "--domain=far.example", "--hostname=mx.far.example")
    server.waitFor("Log in as")
    return server


@pytest.fixture
def near(start: Any, tmp_path: Path) -> Any:
    """Start the system that is tried, with a configuration; again with another."""

    def begin(text: str, *options: str) -> Any:
        configure(tmp_path, text)
        return start("--config", "mailfw.toml", *options, services=("smtp", "imap", "submission"))

    return begin


def configure(directory: Path, text: str) -> None:
    head = 'hostname = "mail.localhost"\ndomains = ["localhost"]\ndata = "mailfw-data"\n'
    sources = f'[auth]\nsources = ["accounts:", "passwd:{directory}/users"]\nrehash = false\n'
    (directory / "mailfw.toml").write_text(head + sources + text)
    (directory / "users").write_text("".join(f"{name}@localhost:{{PLAIN}}mailfw\n" for name in ("mbrain", "jsmith")))


def submit(server: Any, *recipients: str, sender: str = "mbrain@localhost", content: bytes = HELLO) -> None:
    with smtplib.SMTP("127.0.0.1", server.port("submission"), timeout=PATIENCE) as smtp:
        smtp.login("mbrain", "mailfw")
        smtp.sendmail(sender, list(recipients), content)


def inbox(server: Any, user: str = "mbrain", count: int = 1) -> list[EmailMessage]:
    """Messages in an INBOX, once there are so many."""
    end = time.monotonic() + PATIENCE
    with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=PATIENCE) as imap:
        imap.login(user, "mailfw")
        while True:
            found = imap.select("INBOX", readonly=True)[1][0]
            if found is not None and int(found) >= count:
                fetched = imap.fetch("1:*", "(BODY.PEEK[])")[1]
                parts = [part[1] for part in fetched if isinstance(part, tuple)]
                return [message_from_bytes(part, policy=policy.default) for part in parts]  # type: ignore[misc]
            assert time.monotonic() < end, "\n".join(server.lines)
            time.sleep(0.05)


def route(server: Any, domain: str = "far.example") -> str:
    return f'[[route]]\ndomain = "{domain}"\nvia = "smtp:127.0.0.1:{server.port("smtp")}"\n'


def test_mailFindsItsWayByTheDNSAndWhatFailsComesBack(near: Any, far: Any, tmp_path: Path) -> None:
    zone = {"far.example MX": ["10 mx.far.example."], "mx.far.example A": ["127.0.0.1"]}
    with NameServer(zone) as names:
        relay = f'[relay]\nport = {far.port("smtp")}\nloopback = true\n[dns]\nservers = ["{names.address}"]\n'
        server = near(relay)
        submit(server, "jsmith@far.example", "nobody@far.example", "x@nowhere.example", "jsmith@localhost")
        [message] = inbox(far, "jsmith")
        assert message["Return-Path"] == "<mbrain@localhost>"
        assert message.get_content() == "Hello!\r\n"
        assert len(inbox(server, "jsmith")) == 1
        reports = inbox(server, "mbrain", 2)
    told = "".join(str(report) for report in reports)
    assert {report["Return-Path"] for report in reports} == {"<>"}
    assert "Final-Recipient: rfc822; nobody@far.example" in told
    assert "Status: 5.1.1" in told
    assert "Final-Recipient: rfc822; x@nowhere.example" in told
    assert "Status: 5.1.2" in told
    assert server.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in "\n".join(server.lines)


def test_aStoreThatIsDownIsWaitedFor(near: Any, command: Command, tmp_path: Path) -> None:
    """Whoever sends notices nothing of it."""
    server = near('[queue]\nretry = ["1h"]\n', "--store=maildir:mail")
    submit(server, "jsmith@localhost")
    assert len(inbox(server, "jsmith")) == 1
    incoming = tmp_path / "mailfw-data" / "mail" / "jsmith" / "tmp"
    incoming.rename(incoming.with_name("tmp-away"))
    incoming.write_text("no directory")
    submit(server, "jsmith@localhost", "mbrain@localhost", content=b"Subject: later\r\n\r\nHello!\r\n")
    assert [message["Subject"] for message in inbox(server, "mbrain")] == ["later"]
    [waiting] = queued(command)
    assert (waiting["recipient"], waiting["attempts"]) == ("jsmith@localhost", 1), "the sender's attempt was the first"
    incoming.unlink()
    incoming.with_name("tmp-away").rename(incoming)
    assert command("--config", "mailfw.toml", "queue", "retry", "--all").returncode == 0
    assert [message["Subject"] for message in inbox(server, "jsmith", 2)] == ["Hello", "later"]
    untilOnly(command)


def test_onlyOurOwnAndTheNetworksMaySendAnywhere(near: Any, far: Any, tmp_path: Path) -> None:
    server = near(route(far) + '[[route]]\ndomain = "lists.example"\nvia = "discard:"\n')
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=PATIENCE) as smtp:
        smtp.ehlo()
        smtp.mail("stranger@example.org")
        code, said = smtp.rcpt("jsmith@far.example")
        assert (code, said[:5]) == (550, b"5.7.1"), "a route on which mail passes through lets nobody in"
        assert smtp.rcpt("any@lists.example")[0] == 250, "mail for a route that ends there is welcome"
        assert smtp.rcpt("jsmith@localhost")[0] == 250
        configure(tmp_path, '[relay]\nnetworks = ["127.0.0.0/8"]\n' + route(far))
        server.process.send_signal(signal.SIGHUP)
        server.waitFor(r"\] reloaded")
        smtp.rset()
        smtp.sendmail("stranger@example.org", ["jsmith@far.example"], HELLO)
    assert inbox(far, "jsmith")[0]["Return-Path"] == "<stranger@example.org>"


def test_anAliasThatLeadsElsewhereRewritesTheSenderAndBouncesFindBack(near: Any, far: Any, command: Command) -> None:
    server = near(route(far) + route(far, "example.org"))
    server.waitFor("serves localhost")
    config = ("--config", "mailfw.toml")
    assert command(*config, "alias", "add", "away@localhost", "jsmith@far.example").returncode == 0
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=PATIENCE) as smtp:
        smtp.sendmail("jane@example.org", ["away@localhost"], HELLO)
        [message] = inbox(far, "jsmith")
        path = message["Return-Path"].strip("<>")
        assert path.startswith("SRS0=")
        assert path.endswith("=example.org=jane@localhost")
        smtp.ehlo()
        smtp.mail("")
        assert smtp.rcpt(path)[0] == 250
        assert smtp.rcpt(path.replace("jane", "joan"))[0] == 550, "nobody else can make us send"


def test_aNextHopThatIsDownIsTriedAgainWhenTheRouteIsMended(near: Any, far: Any, tmp_path: Path, command: Command) -> None:
    server = near('[[route]]\ndomain = "far.example"\nvia = "smtp:127.0.0.1:1"\n')
    submit(server, "jsmith@far.example")
    server.waitFor(r"queue 1 from <mbrain@localhost> to <jsmith@far.example>: deferred 4\.4\.1 .*; again in \d+ min")
    config = ("--config", "mailfw.toml")
    listed = command(*config, "queue", "list", "--json")
    [entry] = json.loads(listed.stdout)
    assert (entry["state"], entry["attempts"], entry["status"]) == ("waiting", 1, "4.4.1")
    assert "cannot connect" in entry["reply"]
    configure(tmp_path, '[[route]]\ndomain = "far.example"\nvia = "lmpt:x"\n')
    server.process.send_signal(signal.SIGHUP)
    server.waitFor(r'there is no route "lmpt" – did you mean "lmtp"')
    configure(tmp_path, route(far))
    server.process.send_signal(signal.SIGHUP)
    server.waitFor(r"\] reloaded")
    assert command(*config, "queue", "flush", "far.example").stdout == "1 recipient to be tried at once\n"
    assert len(inbox(far, "jsmith")) == 1


def test_whatWasAcceptedLeavesAfterARestart(near: Any, far: Any) -> None:
    server = near(route(far) + "[relay]\nhold = true\n")  # the route is said, so it is not held
    submit(server, "jsmith@far.example", "held@elsewhere.example")
    assert len(inbox(far, "jsmith")) == 1
    server.stop()
    server = near(route(far) + '[[route]]\ndomain = "elsewhere.example"\nvia = "discard:"\n')
    server.waitFor("serves localhost")
    submit(server, "jsmith@far.example")
    assert len(inbox(far, "jsmith", 2)) == 2


def test_aLoopEndsAndTheSenderIsTold(near: Any, tmp_path: Path) -> None:
    server = near('[relay]\nnetworks = ["127.0.0.0/8"]\n')
    server.waitFor("serves localhost")
    round_ = '[relay]\nnetworks = ["127.0.0.0/8"]\n' + route(server, "round.example")
    configure(tmp_path, round_)
    server.process.send_signal(signal.SIGHUP)
    server.waitFor(r"\] reloaded")
    submit(server, "jsmith@round.example")
    [report] = inbox(server)
    assert "Status: 5.4.6" in str(report)
    assert str(report).count("\nReceived:") >= 50


def test_whoSendsTooMuchIsAskedToWait(near: Any) -> None:
    server = near('[limits]\nrecipients_per_sender = 2\n[[route]]\ndomain = ".example"\nvia = "discard:"\n')
    submit(server, "a@far.example", "b@far.example")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        submit(server, "c@far.example")
    assert refused.value.recipients["c@far.example"][0] == 450


def test_aRouteThatCannotBeOpenedIsOneClearLine(near: Any, tmp_path: Path) -> None:
    directory = tmp_path / "twisted" / "plugins"
    directory.mkdir(parents=True)
    (directory / "moody.py").write_text(
        "from zope.interface import implementer\nfrom mailfw.interfaces import IRoutePlugin\n\n"
        "@implementer(IRoutePlugin)\nclass Moody:\n    prefix = 'moody'\n"
        "    def openRoute(self, argument, context):\n        raise ValueError('not today')\n\nmoody = Moody()\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        server = near('[[route]]\ndomain = "far.example"\nvia = "moody:x"\n')
        assert server.process.wait(PATIENCE) == 1
    server.waitFor("mailfw: the route moody:x cannot be opened: not today")


# --- The administrator's command -------------------------------------------------------------------------------------


@pytest.fixture
def held(start: Any) -> Any:
    """Development mode with two messages for others."""
    server = start(services=("imap", "submission"))
    server.waitFor("Log in as")
    submit(server, "a@example.com", "b@example.net")
    submit(server, "c@example.com", content=HELLO.replace(b"Subject: Hello", b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?="))
    return server


def queued(command: Command, *words: str) -> list[dict[str, Any]]:
    done = command("queue", "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def untilOnly(command: Command, *recipients: str) -> None:
    """Wait until nobody else is in the queue: what can be read already is taken out of it a moment later."""
    end = time.monotonic() + PATIENCE
    while (found := [entry["recipient"] for entry in queued(command)]) != list(recipients):
        assert time.monotonic() < end, found
        time.sleep(0.05)


def test_developmentModeHoldsWhatWouldLeaveForPeopleToSee(held: Any, command: Command) -> None:
    shown = command("queue", "list").stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["ID", "1", "1", "2"]
    assert "mailfw queue release" in shown
    assert {entry["state"] for entry in queued(command)} == {"held"}
    one = command("queue", "show", "2").stdout
    assert "Subject  Grüße" in one
    assert "to  c@example.com" in one
    assert command("queue", "show", "2", "--content").stdout.endswith("\r\n\r\nHello!\r\n")
    assert "2 messages" in command("queue", "top").stdout
    overview = json.loads(command("queue", "top", "--json").stdout)
    assert (overview["recipients"], overview["held"], overview["isRunning"]) == (3, 3, True)


def test_recipientsAreChosenByWhatIsKnownOfThem(held: Any, command: Command) -> None:
    people = {
        ("--domain", "example.com"): ["a@example.com", "c@example.com"],
        ("--recipient", "B@example.net"): ["b@example.net"],
        ("--sender", "mbrain@localhost", "--domain", "example.net"): ["b@example.net"],
        ("--sender", "<>"): [],
        ("--older-than", "1h"): [],
        ("--newer-than", "1h", "2"): ["c@example.com"],
        ("--reason", "HOLD is set"): ["a@example.com", "b@example.net", "c@example.com"],
        ("--state", "waiting"): [],
    }
    for words, found in people.items():
        assert [entry["recipient"] for entry in queued(command, *words)] == found
    assert command("queue", "list", "--older-than", "soon").returncode == 2
    assert "and 2 more" in command("queue", "list", "--limit", "1").stdout


def test_theVerbsDoWhatTheySay(held: Any, command: Command) -> None:
    assert command("queue", "retry", "--all").stdout == "0 recipients to be tried at once\n", "held is held"
    assert (
        command("queue", "bounce", "1", "--recipient", "a@example.com", "--text", "not there").stdout == "1 recipient returned\n"
    )
    [report] = inbox(held)
    assert "not there" in str(report)
    assert "Final-Recipient: rfc822; a@example.com" in str(report)
    assert json.loads(command("queue", "cancel", "--domain", "example.com", "--json").stdout) == {"recipients": 1}
    untilOnly(command, "b@example.net")
    assert command("queue", "release", "1").stdout == "1 recipient released\n"
    refused = command("queue", "cancel")
    assert (refused.returncode, "say which" in refused.stderr) == (2, True)
    unknown = command("queue", "show", "99")
    assert (unknown.returncode, unknown.stderr) == (1, "mailfw: there is no message 99 in the queue\n")


def test_theSameWithoutAServer(held: Any, command: Command) -> None:
    held.stop()
    assert len(queued(command)) == 3
    assert command("queue", "release", "--domain", "example.com").stdout == "2 recipients released\n"
    assert command("queue", "hold", "2").stdout == "1 recipient held\n"
    assert command("queue", "bounce", "2").stdout == "1 recipient returned\n"
    assert [entry["recipient"] for entry in queued(command)] == ["a@example.com", "b@example.net", "mbrain@localhost"]
    assert command("queue", "cancel", "--all").stdout == "3 recipients cancelled, and nobody is told\n"
    assert command("queue", "list").stdout == "nothing waits\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_traceTellsTheLifeOfAMessage(near: Any, far: Any, command: Command, tmp_path: Path, form: str) -> None:
    near(route(far) + f'[log]\nformat = "{form}"\nfile = "log"\n')
    log = tmp_path / "mailfw-data" / "log"
    ports = waitForPorts(log)
    with smtplib.SMTP("127.0.0.1", ports["submission"], timeout=PATIENCE) as smtp:
        smtp.login("mbrain", "mailfw")
        smtp.sendmail("mbrain@localhost", ["jsmith@far.example", "nobody@far.example", "jsmith@localhost"], HELLO)
    assert len(inbox(far, "jsmith")) == 1
    with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=PATIENCE) as smtp:
        smtp.sendmail("who@far.example", ["jsmith@localhost", "nobody@localhost"], HELLO)
    told = command("--config", "mailfw.toml", "trace", "nobody@localhost").stdout
    assert re.fullmatch(
        r"not taken: from <who@far\.example> to <nobody@localhost>\n"
        r"  \S+  refused from 127\.0\.0\.1: 550 5\.1\.1 <nobody@localhost> .+\n\n",
        told,
    )
    told = ""
    end = time.monotonic() + PATIENCE
    while "the sender is told" not in told and time.monotonic() < end:
        told = command("--config", "mailfw.toml", "trace", "nobody@far.example").stdout
    lines = told.splitlines()
    assert "from <mbrain@localhost> to <jsmith@far.example>, <nobody@far.example>, <jsmith@localhost>" in lines[0]
    assert "<jsmith@far.example> queued (queue 1)" in lines[1]
    assert any("<nobody@far.example> failed 5.1.1 127.0.0.1 " in line for line in lines)
    assert any("<jsmith@far.example> delivered 2.0.0 127.0.0.1 (250 2.0.0 accepted as " in line for line in lines)
    assert (
        command("--config", "mailfw.toml", "trace", "x@example.com").stdout == "the log knows no mail from or to x@example.com\n"
    )
    while told.count("delivered") < 3 and time.monotonic() < end:
        told = command("--config", "mailfw.toml", "trace", "mbrain@localhost", "--json").stdout
    reported = json.loads(told)
    assert [life["sender"] for life in reported["messages"]] == ["mbrain@localhost", ""]


def waitForPorts(log: Path) -> dict[str, int]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if log.exists() and (found := re.findall(r"([a-z]+) 127\.0\.0\.1:(\d+)", log.read_text())):
            return {name: int(port) for name, port in found}
        time.sleep(0.05)
    raise AssertionError("the server did not start")
