"""A server as people start it, in a process of its own for each kind of store, and other people's programs to talk to it.

A program that is missing skips its tests on a laptop and fails them when the environment says CI=true.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import define, field

ROOT = Path(__file__).resolve().parents[2]
STORES = ("sqlite:mail", "maildir:mail", "textfile:mail")
SERVICES = ("smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps")
HOST = "127.0.0.1"
USERS = ("mbrain", "jsmith")
PASSWORD = "mailfw"
PATIENCE = 20.0
"""Seconds after which what was waited for will not come."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)


def waitFor(condition: Callable[[], object], what: str) -> object:
    """What `condition` says as soon as that is true of anything. Asked again and again, for `PATIENCE` seconds at most."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE} seconds for {what}")


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
class Server:
    """A running server.

    :ivar ports: by service.
    """

    store: str
    data: Path
    process: subprocess.Popen[bytes] | None = None
    ports: dict[str, int] = field(factory=dict)

    @property
    def log(self) -> Path:
        return self.data.parent / "log"

    @property
    def certificate(self) -> Path:
        """Self-signed, so its own authority."""
        return self.data / "certificate.pem"

    def start(self) -> None:
        """Start it, and wait until it listens and the accounts for trying out are there."""
        listeners = [word for name in SERVICES for word in ("--listen", f"{name}=tcp:0:interface={HOST}")]
        twistd = Path(sys.executable).with_name("twistd")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [twistd, "-n", "--pidfile=", "mailfw", "--data", self.data, "--store", self.store, *listeners],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data.parent,
                env=os.environ | {"PYTHONPATH": path},
            )
        waitFor(self._isReady, "the server")
        said = self.log.read_text()
        self.ports = {name: int(re.search(rf"\b{name} {HOST}:(\d+)", said)[1]) for name in SERVICES}

    def _isReady(self) -> bool:
        said = self.log.read_text()
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with status {self.process.returncode}:\n{said}")
        return "Log in as" in said

    def stop(self) -> None:
        """As an init system does; it must end by itself, and well."""
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop:\n{self.log.read_text()}") from None
        # twistd ends by the signal that stopped it.
        assert status in (0, -signal.SIGTERM), self.log.read_text()

    # --- What tests do with it -------------------------------------------------------------------------------------

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
    server = Server(request.param, tmp_path_factory.mktemp("server") / "data")
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
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
        opened.append(Terminal(tmp_path / "tmux", [str(word) for word in words], environment))
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
        self._do("new-session", "-d", "-x", "100", "-y", "30", *variables, *words)

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
