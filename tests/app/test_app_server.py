"""The server as its administrator and its users meet it: real processes, real sockets, on loopback."""

from __future__ import annotations

import contextlib
import imaplib
import json
import os
import poplib
import select
import signal
import smtplib
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mailfw.app.selfsigned import ensureCertificate

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
TWIST = (sys.executable, "-m", "twisted")
MESSAGE = b"From: mbrain@localhost\r\nTo: jsmith@localhost\r\nSubject: Hello\r\n\r\nHello!\r\n"


def send(port: int, recipient: str = "jsmith@localhost") -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
        client.sendmail("mbrain@localhost", [recipient], MESSAGE)


def count(port: int, password: str = "mailfw", user: str = "jsmith@localhost") -> int:
    with imaplib.IMAP4("127.0.0.1", port, timeout=120) as client:
        client.login(user, password)
        return int(client.select("INBOX")[1][0] or b"0")


def waitForText(path: Path, text: str) -> None:
    """Until another process has written it."""
    deadline = time.monotonic() + 120
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"no {text!r} in {path}"
        time.sleep(0.01)


def test_developmentModeServesMailAtOnceAndStopsGracefully(start: Any, tmp_path: Path) -> None:
    server = start(services=("smtp", "submission", "pop3", "imap", "imaps"))
    server.waitFor('Log in as mbrain@localhost or jsmith@localhost, password "mailfw"')
    send(server.port("smtp"))
    assert count(server.port("imap")) == 1
    client = poplib.POP3("127.0.0.1", server.port("pop3"), timeout=120)
    client.user("jsmith@localhost")
    client.pass_("mailfw")
    assert b"Hello!" in client.retr(1)[1]
    client.quit()
    context = ssl.create_default_context(cafile=str(tmp_path / "mailfw-data" / "certificate.pem"))
    with imaplib.IMAP4_SSL("localhost", server.port("imaps"), ssl_context=context, timeout=120) as secure:
        assert secure.login("mbrain@localhost", "mailfw")[0] == "OK"
    assert server.stop() == -signal.SIGTERM
    assert any(line.endswith("stopped") for line in server.lines)
    assert not any("Traceback" in line for line in server.lines)
    assert not (tmp_path / "mailfw-data" / "control").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_aSecondSignalCutsSessionsOff(start: Any, tmp_path: Path, number: int) -> None:
    """The first would wait for a message that is coming in, up to stop_timeout."""
    (tmp_path / "users").write_text("mbrain@localhost:{PLAIN}mailfw\n")
    (tmp_path / "mailfw.toml").write_text(
        'hostname = "localhost"\ndomains = ["localhost"]\ndata = "mailfw-data"\n'
        f'limits.stop_timeout = "1h"\nauth.sources = ["passwd:{tmp_path}/users"]\n'
    )
    server = start("--config", "mailfw.toml", services=("smtp",))
    with server.connect("smtp") as client, client.makefile("rb") as lines:
        for line in (b"", b"HELO test", b"MAIL FROM:<a@example.org>", b"RCPT TO:<mbrain@localhost>", b"DATA"):
            client.sendall(line and line + b"\r\n")
            assert lines.readline()[:1] in b"23"
        server.process.send_signal(number)
        server.waitFor("stopping$")
        server.process.send_signal(number)
        server.waitFor("stopping at once")
        server.process.send_signal(number)
        assert server.process.wait(60) == -number
    server.waitFor("stopped$")
    assert not any("Traceback" in line for line in server.lines)


def test_aFloodOfConnectionsLeavesDescriptorsForWork(start: Any) -> None:
    """Those that there is no room for are told so; whoever is in can still store what needs a file."""
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300)); from twisted.scripts.twistd import run; run()"
    server = start(tool=(sys.executable, "-c", few, "-n", "--pidfile="))
    server.waitFor("mailfw is up")
    first = imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120)
    first.login("mbrain", "mailfw")
    with contextlib.ExitStack() as crowd:
        greetings = []
        for _ in range(300):
            client = crowd.enter_context(server.connect("imap"))
            greetings.append(client.recv(100)[:12])
        assert greetings.count(b"* OK [CAPABI") > 100
        assert greetings.count(b"* BYE [LIMIT") > 100
        assert first.append("INBOX", None, None, b"Subject: large\r\n\r\n" + b"x" * 500_000)[0] == "OK"
    first.logout()
    assert not any("EMFILE" in line or "Traceback" in line for line in server.lines)


CLOCK = """
import os, time
clock = time.time
time.time = lambda: clock() + (-3600.0 if os.path.exists("put-back") else 3600.0 if os.path.exists("put-forward") else 0.0)
from twisted.scripts.twistd import run
run()
"""


@pytest.mark.parametrize("change", ["put-back", "put-forward"])
def test_aChangeOfTheClockChangesNoWait(start: Any, tmp_path: Path, change: str) -> None:
    """Neither does who mistyped a password wait for an hour more, nor is anybody's time up."""
    server = start(tool=(sys.executable, "-c", CLOCK, "-n", "--pidfile="))
    server.waitFor("mailfw is up")
    with server.connect("imap") as silent:
        assert silent.recv(1000).startswith(b"* OK")
        client = imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120)
        for _ in range(2):
            with pytest.raises(imaplib.IMAP4.error):
                client.login("mbrain", "wrong")
        (tmp_path / change).touch()
        client.login("mbrain", "mailfw")
        client.logout()
        silent.settimeout(0.5)
        with pytest.raises(TimeoutError):
            silent.recv(1000)


def test_everythingInTheDataDirectoryIsPrivate(start: Any, tmp_path: Path) -> None:
    server = start()
    server.waitFor("mailfw is up")
    data = tmp_path / "mailfw-data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for name in ("lock", "control", "key.pem", "secret", "accounts.sqlite"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name
    assert (data / "lock").read_text() == f"{server.process.pid}\n"


def test_theBannerNamesEveryListenerAndACommandToSendAndToRead(start: Any) -> None:
    server = start()
    server.waitFor("Ctrl-C stops it")
    text = "\n".join(server.lines)
    for service in ("smtp", "imap"):
        assert f"{service}  " in text
        assert f"127.0.0.1:{server.port(service)}" in text
    assert f"curl smtp://127.0.0.1:{server.port('smtp')} --mail-from mbrain@localhost" in text
    assert f"curl -u jsmith@localhost:mailfw 'imap://127.0.0.1:{server.port('imap')}" in text


def test_mailOutlivesARestart(start: Any) -> None:
    server = start()
    server.waitFor("mailfw is up")
    send(server.port("smtp"))
    server.stop()
    server = start()
    server.waitFor("mailfw is up")
    assert count(server.port("imap")) == 1


@pytest.mark.parametrize("tool", [(*TWISTD, "-n", "--pidfile="), (*TWISTD, "--pidfile=pid", "--logfile=log"), TWIST])
def test_aPortThatIsTakenIsOneClearLine(start: Any, tool: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start(f"--listen=imap=tcp:{port}:interface=127.0.0.1", services=(), tool=tool)
        assert server.process.wait(120) == 1
        server.stop()
    assert server.lines == [
        f"mailfw: 127.0.0.1:{port} (imap) is taken: stop the program it belongs to, "
        "or choose other ports with --listen imap=ENDPOINT"
    ]


@pytest.mark.parametrize("tool", [(*TWISTD, "-n", "--pidfile="), (*TWISTD, "--pidfile=pid", "--logfile=log"), TWIST])
def test_dataThatAnotherServerHoldsIsOneClearLine(start: Any, tmp_path: Path, tool: tuple[str, ...]) -> None:
    first = start()
    first.waitFor("mailfw is up")
    second = start(tool=tool)
    assert second.process.wait(120) == 1
    second.stop()
    assert second.lines == [
        f"mailfw: data directory {tmp_path / 'mailfw-data'} is in use by another mailfw (pid {first.process.pid}): "
        "stop it first, or choose another with --data DIR"
    ]


def test_aDataDirectoryThatCannotBeMadeIsOneClearLine(start: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    server = start("--data", "file/data")
    assert server.process.wait(120) == 1
    server.stop()
    [line] = server.lines
    assert line.startswith(f"mailfw: data directory {tmp_path}/file/data cannot be made")
    assert line.endswith("choose another with --data DIR")


def test_aStoreThatCannotBeOpenedIsOneClearLine(start: Any) -> None:
    server = start("--store", "sqlite:mail?shards=many")
    assert server.process.wait(120) == 1
    server.stop()
    assert server.lines[-1].startswith("mailfw: sqlite:mail?shards=many cannot be opened: ")
    assert not any("Traceback" in line for line in server.lines)


def test_aDaemonForksAndLogsAndStops(start: Any, tmp_path: Path) -> None:
    server = start(tool=(*TWISTD, "--pidfile=pid", "--logfile=log"))
    assert server.process.wait(120) == 0
    daemon = int((tmp_path / "pid").read_text())
    assert (tmp_path / "mailfw-data" / "lock").read_text() == f"{daemon}\n"
    descriptor = os.pidfd_open(daemon)
    os.kill(daemon, signal.SIGTERM)
    assert select.select([descriptor], [], [], 120)[0]
    os.close(descriptor)
    assert "serves localhost" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("stopped\n") == 1


def test_twistServesToo(start: Any) -> None:
    server = start(tool=TWIST)
    server.waitFor("mailfw is up")
    send(int(server.waitFor(r"smtp +127\.0\.0\.1:(\d+)")[1]))


def test_theDemonstrationAccountsEndWhereTheWorldBegins(start: Any) -> None:
    server = start()
    server.waitFor("mailfw is up")
    assert count(server.port("imap")) == 0
    server.stop()
    server = start("--listen=pop3=tcp:0", services=("imap",))
    server.waitFor("mailfw is up")
    assert not any("Log in as" in line for line in server.lines)
    with pytest.raises(imaplib.IMAP4.error):
        count(server.port("imap"))
    server.waitFor(r"login failed: user=<jsmith@localhost> service=imap peer=127\.0\.0\.1 reason=")


def test_reloadKeepsConnectionsAndTheOldConfigurationOnAnyMistake(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "mailfw.toml"
    good = 'hostname = "mail.example.org"\ndomains = ["example.org"]\ndata = "data"\n[limits]\nmessage_size = 1000\n'
    file.write_text(good)
    server = start("--config", str(file), services=("smtp",))
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
        assert client.ehlo()[1].count(b"SIZE 1000") == 1
        file.write_text(good.replace("1000", "2000").replace("hostname", "hostnam"))
        server.process.send_signal(signal.SIGHUP)
        server.waitFor('mailfw.toml: line 1: unknown key "hostnam" – did you mean "hostname"')
        server.waitFor("nothing was reloaded")
        assert client.noop()[0] == 250
        file.write_text(good.replace("1000", "2000").replace('"data"', '"elsewhere"'))
        server.process.send_signal(signal.SIGHUP)
        server.waitFor("only a restart makes these changes: data")
        assert client.noop()[0] == 250
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
        assert b"SIZE 2000" in client.ehlo()[1]


def test_configurationMistakesAreAllShownAndTheStatusIs1(start: Any, tmp_path: Path) -> None:
    (tmp_path / "mailfw.toml").write_text('hostname = 5\ndomain = ["example.org"]\n')
    server = start("--config", "mailfw.toml", services=())
    assert server.process.wait(120) == 1
    server.stop()
    name = tmp_path / "mailfw.toml"
    assert server.lines == [
        f"mailfw: {name}: line 1: hostname must be a string",
        f"mailfw: {name}: line 1: domains is missing",
        f'mailfw: {name}: line 2: unknown key "domain" – did you mean "domains"?',
    ]


def test_systemdSocketsAreTakenByName(start: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        wrapper = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='imap'); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        descriptor = str(listening.fileno())
        tool = (sys.executable, "-c", wrapper, descriptor, *TWISTD[1:], "-n", "--pidfile=")
        server = start("--listen=imap=systemd:domain=INET:name=imap", services=(), tool=tool, pass_fds=(listening.fileno(),))
        server.waitFor(rf"serves localhost: imap 127\.0\.0\.1:{port}")
        with imaplib.IMAP4("127.0.0.1", port, timeout=120) as client:
            assert client.noop()[0] == "OK"


def test_aSocketThatSystemdDoesNotPassIsOneClearLine(start: Any) -> None:
    server = start("--listen=imap=systemd:domain=INET:name=imap", services=())
    assert server.process.wait(120) == 1
    server.stop()
    assert server.lines[-1] == (
        "mailfw: imap cannot listen on systemd:domain=INET:name=imap: "
        "systemd has passed no such socket; is there a .socket unit with that FileDescriptorName?"
    )


def test_logsAreJSONInAFileThatIsOpenedAnewAtReload(start: Any, tmp_path: Path) -> None:
    (tmp_path / "mailfw.toml").write_text(
        'hostname = "localhost"\ndomains = ["localhost"]\ndata = "data"\n[log]\nformat = "json"\nfile = "log.json"\n'
    )
    server = start("--config", "mailfw.toml", services=("imap",))
    log = tmp_path / "data" / "log.json"
    waitForText(log, "serves")
    port = next(json.loads(line) for line in log.read_text().splitlines() if "serves" in line)["text"].rpartition(":")[2]
    with pytest.raises(imaplib.IMAP4.error):
        count(int(port))
    log.rename(tmp_path / "data" / "log.json.1")
    server.process.send_signal(signal.SIGHUP)
    waitForText(log, "reloaded")
    events = [json.loads(line) for line in (tmp_path / "data" / "log.json.1").read_text().splitlines()]
    [failed] = [event for event in events if event["text"].startswith("login failed: user=<jsmith@localhost>")]
    assert failed["level"] == "warn"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_helpImportsNothingOfOurs(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.argv = ['twistd', '--help']\nfrom twisted.scripts.twistd import run\n"
        "try:\n    run()\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('mailfw', 'pydantic', 'rich', 'click', 'cryptography')])"
    )
    project = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": project}, capture_output=True, text=True
    )
    assert "A mail system: SMTP, POP3 and IMAP" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "[]"


def test_everyStoreServesAndAForeignOneThatIsMisshapenIsNamed(start: Any, tmp_path: Path) -> None:
    directory = tmp_path / "twisted" / "plugins"
    directory.mkdir(parents=True)
    (directory / "hollow.py").write_text(
        "from zope.interface import implementer\n"
        "from mailfw.interfaces import ISimpleStore, ISimpleStorePlugin\n"
        "@implementer(ISimpleStore)\nclass Hollow:\n    async def folders(self, account): return []\n"
        "@implementer(ISimpleStorePlugin)\nclass Plugin:\n    prefix = 'hollow'\n"
        "    def openSimpleStore(self, argument, context): return Hollow()\n"
        "plugin = Plugin()\n"
    )
    first = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    tool = (sys.executable, "-c", first + TWISTD[2], "-n", "--pidfile=")
    server = start("--store", "hollow:mail", tool=tool)
    assert server.process.wait(120) == 1
    server.stop()
    said = server.lines[-1]
    assert said.startswith("mailfw: hollow:mail cannot be opened: Hollow breaks ISimpleStore: ")
    assert "folders() must be a plain `def`" in said
    assert "scan" in said
    for store in ("maildir:a", "textfile:b", "memory:"):
        server = start("--store", store)
        server.waitFor("mailfw is up")
        send(server.port("smtp"))
        assert count(server.port("imap")) == 1
        server.stop()


def test_proxiesAreBelievedWhereTheConfigurationSaysSo(start: Any, tmp_path: Path) -> None:
    config = tmp_path / "mailfw.toml"
    ensureCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), "mail.example.org")
    listens = "".join(
        f'[[listen]]\nservice = "{service}"\nendpoint = "tcp:0:interface=127.0.0.1"\nproxy = ["127.0.0.1"]\n'
        for service in ("smtp", "submissions")
    )
    config.write_text(
        f'hostname = "mail.example.org"\ndomains = ["example.org"]\ndata = "{tmp_path}/data"\n'
        f'[tls]\ncertificate = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n[smtp]\nxclient = ["192.0.2.0/24"]\n{listens}'
    )
    server = start("--config", str(config), services=())
    header = b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25\r\n"
    with socket.create_connection(("127.0.0.1", server.port("smtp")), 120) as client:
        client.sendall(header)
        assert client.recv(1000).startswith(b"220 ")
        client.sendall(b"XCLIENT ADDR=198.51.100.9\r\n")
        assert client.recv(1000).startswith(b"220 ")
    with socket.create_connection(("127.0.0.1", server.port("submissions")), 120) as client:
        client.sendall(header)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(client) as secure:
            assert secure.recv(1000).startswith(b"220 ")
    with socket.create_connection(("127.0.0.1", server.port("smtp")), 120) as client:
        client.sendall(b"EHLO x\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""


def test_hooksAreAskedAndReloaded(start: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.py").write_text(
        "from mailfw.stages import Reject, Stage, AddHeader, Continue\n"
        "def own(event):\n"
        "    if event.stage is Stage.RCPT_TO and event.recipient.address.local == 'mbrain':\n"
        "        return Reject(553, '5.7.7', 'not him')\n"
        "    if event.stage is Stage.BEFORE_STORE:\n"
        "        return Continue((AddHeader('X-Seen', 'yes'),))\n"
    )
    config = tmp_path / "mailfw.toml"
    (tmp_path / "users").write_text("mbrain@localhost:{PLAIN}mailfw\n")
    plain = 'hostname = "mail.example.org"\ndomains = ["localhost"]\ndata = "data"\n'
    plain += f'[auth]\nsources = ["passwd:{tmp_path}/users"]\n'
    hook = '[[hook]]\nstage = ["rcpt_to", "before_store"]\nplugin = "python:own.py:own"\n'
    config.write_text(plain + hook)
    server = start("--config", str(config), services=("smtp",))

    def answer() -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
            client.helo("x")
            client.mail("a@example.org")
            return client.rcpt("mbrain@localhost")

    assert answer() == (553, b"5.7.7 not him")
    config.write_text(plain + hook.replace("own.py:own", "own.py:missing"))
    server.process.send_signal(signal.SIGHUP)
    server.waitFor("own.py has no function missing")
    assert answer()[0] == 553
    config.write_text(plain)
    server.process.send_signal(signal.SIGHUP)
    server.waitFor(r"(?<!was )reloaded")
    assert answer()[0] == 250
