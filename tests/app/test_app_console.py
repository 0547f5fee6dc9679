"""`mailfw console`, and services that are stopped and started from there."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailfw.app.manhole import GUESTS, INVITED, Invitations
from mailfw.app.problem import Problem
from mailfw.app.sections import Configuration, Relay
from mailfw.app.shell.configtree import Tree

CONSOLE = (sys.executable, "-c", "from mailfw.app.cli import main; main()", "console")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give statements to `mailfw console` on a pipe."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))

    def give(*statements: str) -> subprocess.CompletedProcess[str]:
        given = "".join(f"{statement}\n" for statement in statements)
        return subprocess.run(CONSOLE, cwd=tmp_path, input=given, capture_output=True, text=True, timeout=300)

    return give


def test_aPipeIsAnsweredWithoutAPasswordOrAnyKey(
    start: Any, ask: Callable[..., Any], tmp_path: Path
) -> None:
    server = start(services=("imap",), tool=start.patient)
    server.waitFor("mailfw is up")
    done = ask("sessions()", "len('x' * 200000)", "print('x' * 300000)")
    assert done.stdout == f"nobody is connected\n200000\n{'x' * 300000}\n"
    assert (done.returncode, done.stderr) == (0, "")
    done = ask("sessions()", "1 / 0", "exit(7)")
    assert done.returncode == 7
    assert "ZeroDivisionError" in done.stdout
    server.waitFor("opens the console")
    server.waitFor("came in by mailfw console")
    assert not [line for line in server.lines if "conch" in line or "_Transport" in line]
    door = tmp_path / "mailfw-data" / "console"
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    server.stop()
    assert not door.exists()


def test_theDoorIsFoundHoweverLongItsPathIs(start: Any, ask: Callable[..., Any], tmp_path: Path) -> None:
    """A socket's address may have 108 octets."""
    data = tmp_path / ("x" * 110)
    server = start("--data", str(data), services=("imap",), tool=start.patient)
    server.waitFor("mailfw is up")
    (tmp_path / "mailfw-data").symlink_to(data)
    assert ask("1 + 1").stdout == "2\n"
    server.stop()
    assert not (data / "console").exists()


def test_whoCannotComeInIsToldWhy(ask: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    done = ask("1")
    assert done.returncode == 1
    assert done.stderr == "mailfw: no server runs with this data directory: the console is a prompt inside a running one\n"


def test_aTerminalIsRawAndItsSizeIsTold(start: Any, terminal: Callable[..., Any]) -> None:
    server = start(services=("manhole",), tool=start.patient)
    server.waitFor("mailfw is up")
    screen = terminal(*CONSOLE, columns=60, term="xterm")
    assert screen.ask("['x' * 20] * 2") == ["['xxxxxxxxxxxxxxxxxxxx', 'xxxxxxxxxxxxxxxxxxxx']"]
    drawn = len(screen.said)
    screen.resize(20)
    screen.waitFor(lambda: len(screen.said) > drawn)
    assert screen.ask("['x' * 20] * 2")[-2:] == ["['xxxxxxxxxxxxxxxxxxxx',", " 'xxxxxxxxxxxxxxxxxxxx']"]
    screen.type("from twisted.internet.defer import Deferred\rawait Deferred()\r")
    screen.waitForText("Deferred()\r\n")
    screen.type("\x03")
    screen.waitForText("cancelled")
    screen.type("\x04")
    assert screen.end() == 0


def test_enterTildeDotLeaves(start: Any, terminal: Callable[..., Any]) -> None:
    server = start(services=("manhole",))
    server.waitFor("mailfw is up")
    screen = terminal(*CONSOLE)
    screen.waitForPrompt()
    screen.type("import time; time.sleep(1)\r~.")
    assert screen.end() == 1
    assert "left without a word" in screen.said


def test_aServiceIsStoppedAndStartedAndItsSessionsStay(start: Any, ask: Callable[..., Any]) -> None:
    server = start(services=("manhole", "imap", "imaps", "pop3", "smtp"))
    server.waitFor("mailfw is up")
    with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120) as session:
        session.login("jsmith", "mailfw")
        done = ask(*(f'services["{name}"].stop()' for name in ("imap", "imaps", "pop3", "smtp")), "services")
        assert done.stdout.count("stopped") == 8
        for service, said in (("imap", b"* BYE [LIMIT]"), ("pop3", b"-ERR [SYS/TEMP]"), ("smtp", b"421 4.7.0")):
            with server.connect(service) as client:
                assert client.makefile("rb").read().startswith(said)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with server.connect("imaps") as client, context.wrap_socket(client) as secure:
            assert secure.recv(1000).startswith(b"* BYE")
        assert session.noop()[0] == "OK"
        assert "stopped" in ask('services["manhole"].stop()').stdout
        with server.connect("manhole") as client:
            assert client.recv(1000) == b""
        done = ask(*(f'services["{name}"].start()' for name in ("imap", "smtp")))
        assert "stopped" not in done.stdout
        with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as smtp:
            assert smtp.noop()[0] == 250
        with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120) as other:
            other.login("jsmith", "mailfw")
    server.waitFor("<listener imap .*> is stopped")


def test_aKeyIsGoodOnceAndSoon() -> None:
    now = [0.0]
    invitations = Invitations(lambda: now[0])
    invitations.add(b"key", "root")
    assert invitations.holds(b"key")
    assert not invitations.holds(b"other")
    assert invitations.take(b"key") == "root"
    assert invitations.take(b"key") is None
    assert not invitations.holds(b"key")
    invitations.add(b"late", "root")
    now[0] += INVITED
    assert not invitations.holds(b"late")
    assert invitations.take(b"late") is None
    for number in range(GUESTS):
        invitations.add(b"%d" % number, "root")
    with pytest.raises(Problem, match="too many"):
        invitations.add(b"more", "root")
    now[0] += INVITED
    invitations.add(b"more", "root")


def test_secretsOfTheConfigurationAreNotShown() -> None:
    configuration = Configuration(
        hostname="mail.example.org",
        domains=["example.org"],
        relay=Relay(smarthost="smtp://us@there", smarthost_password="geheim"),
        plugin={"own": {"api_key": "geheim", "url": "https://user:geheim@there/", "nested": {"token": "geheim"}, "port": 5}},
    )
    shown = repr(Tree(lambda: configuration))
    assert "geheim" not in shown
    assert 'smarthost_password = "***"' in shown
    assert 'url = "https://user:***@there/"' in shown
    assert "port = 5" in shown
    assert 'retry = ["5m", "15m*16", "1h"]' in shown
    assert repr(Tree(lambda: configuration).relay) in shown.replace("\n    ", "\n")
    assert Tree(lambda: configuration).hostname == "mail.example.org"
    assert "hostname" in dir(Tree(lambda: configuration))
