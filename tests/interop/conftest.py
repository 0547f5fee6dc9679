"""A server as people start it, in a process of its own for each kind of store, and other people's programs to talk to it.

A program that is missing skips its tests on a laptop and fails them when the environment says CI=true.
"""

from __future__ import annotations

import contextlib
import imaplib
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from mailfw.testing.process import HOST, PATIENCE, ServerProcess, waitFor

ROOT = Path(__file__).resolve().parents[2]
STORES = ("sqlite:mail", "maildir:mail", "textfile:mail")
USERS = ("mbrain", "jsmith")
PASSWORD = "mailfw"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)


def locate(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/dovecot")
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI must have it")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*words: object, stdin: bytes = b"", status: int | None = 0, **environment: str) -> bytes:
    """Run a program to its end; what it wrote to stdout.

    :param status: what it must exit with; None: anything.
    """
    words = (locate(str(words[0])), *words[1:])
    done = subprocess.run(
        [str(word) for word in words],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        env=os.environ | environment,
        check=False,
    )
    if status is not None and done.returncode != status:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise AssertionError(f"{words[0]} exited with {done.returncode}:\n{said}")
    return done.stdout


@define
class Server(ServerProcess):
    """A running server, and what tests do with it."""

    def url(self, service: str, path: str = "") -> str:
        """As curl has it."""
        scheme = {"submission": "smtp", "submissions": "smtps"}.get(service, service)
        return f"{scheme}://{HOST}:{self.ports[service]}{path}"

    def empty(self) -> None:
        """Remove all mail and all folders of everybody."""
        for user in USERS:
            with self.imap(user) as imap:
                for line in imap.list()[1]:
                    name = line.rpartition(b' "/" ')[2].strip(b'"').decode()
                    if name.upper() != "INBOX":
                        imap.delete(f'"{name}"')
                imap.select("INBOX")
                imap.uid("STORE", "1:*", "+FLAGS", "(\\Deleted)")
                imap.expunge()

    def deliver(self, *messages: bytes, user: str = "jsmith") -> None:
        """Send messages to a user by SMTP."""
        with smtplib.SMTP(HOST, self.ports["smtp"], timeout=PATIENCE) as smtp:
            for message in messages:
                smtp.sendmail("mbrain@localhost", [f"{user}@localhost"], message)

    @contextlib.contextmanager
    def imap(self, user: str = "jsmith") -> Iterator[imaplib.IMAP4]:
        """A session of a user's."""
        with imaplib.IMAP4(HOST, self.ports["imap"], timeout=PATIENCE) as imap:
            imap.login(user, PASSWORD)
            yield imap

    def sessions(self) -> list[tuple[str, str]]:
        """State and mailbox of each."""
        program = [sys.executable, "-c", "from mailfw.app.cli import main; main()"]
        found = json.loads(subprocess.check_output([*program, "--data", str(self.data), "status", "--json"], timeout=PATIENCE))
        return [(each["state"], each["mailbox"]) for each in found["sessions"]]

    def subjects(self, user: str = "jsmith", folder: str = "INBOX") -> list[str]:
        """Of all messages in a folder, in their order."""
        with self.imap(user) as imap:
            imap.select(f'"{folder}"', readonly=True)
            fetched = imap.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return [part[1].decode().strip().removeprefix("Subject: ") for part in fetched if isinstance(part, tuple)]


def letter(subject: str, *lines: str) -> bytes:
    """A message that a person might write."""
    header = ("From: Mr Brain <mbrain@localhost>", "To: jsmith@localhost", f"Subject: {subject}")
    dated = ("Date: Mon, 21 Sep 2026 10:00:00 +0000", f"Message-ID: <{subject.replace(' ', '.')}@localhost>")
    return "".join(f"{line}\r\n" for line in (*header, *dated, "", *(lines or ("Hello there.", ".", "From me.")))).encode()


@pytest.fixture(scope="session", params=STORES, ids=lambda spec: spec.partition(":")[0])
def running(request, tmp_path_factory):
    """One server for each kind of store, for all tests together."""
    server = Server(tmp_path_factory.mktemp("server") / "data", request.param)
    try:
        server.start()
        yield server
    finally:
        if server.isRunning:
            server.stop()


@pytest.fixture
def server(running):
    """That server, without any mail in it; nothing that it does in the test may be a fault of its own."""
    running.empty()
    before = running.log.stat().st_size
    yield running
    said = running.log.read_bytes()[before:].decode()
    assert "Traceback" not in said, said


@pytest.fixture(name="letter")
def letterFixture():
    return letter


@pytest.fixture(name="run")
def runFixture():
    return run


@pytest.fixture(name="waitFor")
def waitForFixture():
    return waitFor


@pytest.fixture
def terminal(tmp_path):
    """A program in a terminal of its own: `terminal(words…)` starts it; `.shows(text)` waits until that is on the screen."""
    opened: list[Terminal] = []

    def start(*words: object, **environment: str) -> Terminal:
        # A socket of its own each: the server of one that has ended may still be there for a moment, and takes another with it.
        opened.append(Terminal(tmp_path / f"tmux{len(opened)}", [str(word) for word in words], environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


class Terminal:
    """tmux around one program. Each has a server of its own, so that none of the user's is touched."""

    def __init__(self, socket: Path, words: list[str], environment: dict[str, str]) -> None:
        self._tmux = [locate("tmux"), "-S", str(socket), "-f", "/dev/null"]
        words = [locate(words[0]), *words[1:]]
        variables = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        said = self._do("new-session", "-d", "-x", "100", "-y", "30", *variables, *words)
        assert not said, said

    def shows(self, text: str) -> str:
        """The screen, once that is on it."""
        try:
            waitFor(lambda: text in self.screen(), text)
        except AssertionError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.screen()}") from None
        return self.screen()

    def screen(self) -> str:
        """What a person would see now."""
        return self._do("capture-pane", "-p")

    @property
    def isRunning(self) -> bool:
        """Whether the program has not ended."""
        return subprocess.run([*self._tmux, "has-session"], capture_output=True, check=False).returncode == 0

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._do("send-keys", *keys)

    def close(self) -> None:
        """End it all."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _do(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, timeout=PATIENCE, check=False, env=os.environ | {"LC_ALL": "C.UTF-8"}
        )
        return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


class Configured(ServerProcess):
    """A server with a configuration file."""

    def _isReady(self) -> bool:
        said = self.said
        assert self.process is not None and self.process.poll() is None, said
        return bool(re.search(r"serves .*smtp", said))

    def send(self, content: bytes, *recipients: str, sender: str = "a@example.org", hello: str = "client.example") -> object:
        """By smtplib; the recipients that were refused."""
        with smtplib.SMTP(HOST, self.ports["smtp"], hello, timeout=120) as client:
            return client.sendmail(sender, list(recipients or ("jsmith@localhost",)), content)

    def read(self, user: str = "jsmith") -> list[bytes]:
        """All that is in an inbox."""
        with imaplib.IMAP4(HOST, self.ports["imap"], timeout=120) as imap:
            imap.login(user, PASSWORD)
            if not int(imap.select("INBOX")[1][0] or b"0"):
                return []
            found = imap.uid("FETCH", "1:*", "(BODY.PEEK[])")[1]
        return [part[1] for part in found if isinstance(part, tuple)]


@pytest.fixture
def configured(tmp_path):
    """A server with those tables in its configuration, and with those services."""
    servers = []

    def start(tables: str, services: tuple[str, ...] = ("smtp", "imap"), listens: str = "") -> Configured:
        users = tmp_path / "users"
        users.write_text("".join(f"{user}@localhost:{{PLAIN}}{PASSWORD}\n" for user in USERS))
        config = tmp_path / "mailfw.toml"
        config.write_text(
            f'hostname = "mail.localhost"\ndomains = ["localhost"]\ndata = "{tmp_path}/data"\n'
            f'[auth]\nsources = ["passwd:{users}"]\n{listens}{tables}'
        )
        services = () if listens else services
        servers.append(Configured(tmp_path / "data", "sqlite:mail", services=services, options=("--config", str(config))))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        if server.isRunning:
            server.stop()
