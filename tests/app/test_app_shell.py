"""The manhole: who gets in, and what is there."""

from __future__ import annotations

import os
import select
import shutil
import smtplib
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from mailfw.app.manhole import Invitations
from mailfw.app.shell import entrance

needsSSH = pytest.mark.skipif(shutil.which("ssh") is None, reason="needs OpenSSH's client")


def words(port: int, *options: str, mode: str = "yes") -> list[str]:
    """The command that opens a prompt."""
    settings = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", f"BatchMode={mode}")
    return ["ssh", "-T", "-F", "none", "-p", str(port), *(f"-o{each}" for each in settings), *options, "admin@127.0.0.1"]


def prompt(port: int, statements: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Feed statements to the prompt; the output without its colours."""
    command = words(port, *options, mode="no" if environment else "yes")
    everything = {**os.environ, **environment}
    return subprocess.run(command, input=statements, capture_output=True, text=True, timeout=300, env=everything)


def readUntil(process: subprocess.Popen[bytes], *texts: bytes) -> None:
    """Read what a process says until all of it was said."""
    assert process.stdout is not None
    said = b""
    while not all(text in said for text in texts):
        assert select.select([process.stdout], [], [], 120)[0], said
        more = os.read(process.stdout.fileno(), 4096)
        assert more, said
        said += more


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return tmp_path / "key"


@needsSSH
def test_anAuthorisedKeyOpensAPromptInsideTheServer(start: Callable[..., Any], tmp_path: Path, key: Path) -> None:
    server = start(services=("manhole", "imap"))
    server.waitFor("mailfw is up")
    refused = prompt(server.port("manhole"), "1\n", "-i", str(key))
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr
    (tmp_path / "mailfw-data" / "manhole_authorized_keys").write_text("no key\n" + key.with_suffix(".pub").read_text())
    with server.connect("imap") as client:
        client.recv(1000)
        done = prompt(server.port("manhole"), "services\nsessions()\nconfig.hostname\nhelp()\n", "-i", str(key))
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"imap 127.0.0.1:{server.port('imap')} listening 1" in lines
    assert any(line.startswith("imap-1 127.0.0.1:") for line in lines)
    assert "'localhost'" in lines
    assert "This is Python, inside the running server." in lines
    assert ">>>" not in done.stdout
    assert done.returncode == 0
    server.waitFor("manhole: admin came in by key SHA256:")
    server.waitFor(r"\[manhole-1\] admin typed: sessions\(\)")


@needsSSH
def test_aCommandLineIsRunAndItsFailureIsTheStatus(start: Callable[..., Any], tmp_path: Path, key: Path) -> None:
    server = start(services=("manhole",))
    server.waitFor("mailfw is up")
    (tmp_path / "mailfw-data" / "manhole_authorized_keys").write_text(key.with_suffix(".pub").read_text())
    for statement, status, said in (("1 + 1", 0, "2\n"), ("1 / 0", 1, "division by zero"), ("exit(3)", 3, ""), ("x = (", 1, "")):
        command = [*words(server.port("manhole"), "-i", str(key)), statement]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        assert (done.returncode, said in done.stdout) == (status, True), done
    assert not [line for line in server.lines if " error " in line]


@needsSSH
def test_theHostKeyOutlivesARestart(start: Callable[..., Any], tmp_path: Path, key: Path) -> None:
    kept = []
    for _ in range(2):
        server = start(services=("manhole",))
        server.waitFor("mailfw is up")
        prompt(server.port("manhole"), "", "-i", str(key))
        kept.append((tmp_path / "mailfw-data" / "manhole_host_key").read_bytes())
        server.stop()
    assert kept[0] == kept[1]


@needsSSH
def test_guessesAreCountedByWhereTheyComeFrom(start: Callable[..., Any], tmp_path: Path) -> None:
    """Else fail2ban could shut nobody out, and whoever guesses would hold the administrator back too."""
    answer = tmp_path / "answer"
    answer.write_text("#!/bin/sh\necho wrong\n")
    answer.chmod(0o700)
    server = start(services=("manhole",))
    server.waitFor("mailfw is up")
    options = ("-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1")
    assert prompt(server.port("manhole"), "", *options, SSH_ASKPASS=str(answer), SSH_ASKPASS_REQUIRE="force").returncode == 255
    server.waitFor("login failed: user=<admin> service=manhole peer=127.0.0.1 ")


def test_thoseWhoDoNotComeInAreFewAndHaveLittleTime(tmp_path: Path) -> None:
    clock = Clock()
    data = SimpleNamespace(file=lambda name: str(tmp_path / name))
    server: Any = SimpleNamespace(data=data, door=SimpleNamespace(invitations=Invitations(clock.seconds)))
    factory = entrance.makeFactory(server, clock)
    factory.doStart()
    address = IPv4Address("TCP", "127.0.0.1", 40000)

    def come() -> tuple[Any, StringTransport] | None:
        protocol, transport = factory.buildProtocol(address), StringTransport()
        if protocol is None:
            return None
        protocol.makeConnection(transport)
        return protocol, transport

    clients = [come() for _ in range(entrance.OUTSIDE)]
    assert None not in clients
    assert come() is None
    clock.advance(entrance.PATIENCE)
    for client in clients:
        assert client is not None
        protocol, transport = client
        assert transport.disconnected
        protocol.connectionLost()
    again = come()
    assert again is not None
    again[0].connectionLost()
    assert clock.getDelayedCalls() == []


def test_theQueueIsSteeredFromThePrompt(
    start: Callable[..., Any], command: Callable[..., Any], tmp_path: Path, key: Path
) -> None:
    server = start(services=("manhole", "submission"))
    server.waitFor("Log in as")
    (tmp_path / "mailfw-data" / "manhole_authorized_keys").write_text(key.with_suffix(".pub").read_text())
    with smtplib.SMTP("127.0.0.1", server.port("submission"), timeout=120) as smtp:
        smtp.login("mbrain", "mailfw")
        smtp.sendmail("mbrain@localhost", ["a@example.com", "b@example.net"], b"Subject: x\r\n\r\nhello\r\n")
    with subprocess.Popen(words(server.port("manhole"), "-i", str(key)), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ssh:
        assert ssh.stdin is not None
        ssh.stdin.write(b"queue.list(domain='example.com')\nqueue.cancel()\n")
        ssh.stdin.flush()
        readUntil(ssh, b"a@example.com", b"say which: queue.cancel(ID")
        ssh.stdin.write(b"queue.cancel(1)\n")
        ssh.stdin.flush()
        readUntil(ssh, b"2 recipients")
    server.waitFor(r"queue cancel: 2 recipients \(1\)")
    assert command("queue", "list").stdout == "nothing waits\n"
