"""Servers in processes of their own, as an administrator starts them."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import io
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mailfw
from mailfw.app.cli import cli

PROJECT = str(Path(mailfw.__file__).parent.parent)
PATIENCE = 120.0
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
PATIENT = "from mailfw.app.shell import interpreter; interpreter.BLOCKED = 600.0; from twisted.scripts.twistd import run; run()"
"""A twistd in whose console no statement is told to have held up everybody: on a busy machine any may have."""

TWIST = (sys.executable, "-m", "twisted")


def environment() -> dict[str, str]:
    paths = [PROJECT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def heedsInterrupts() -> None:
    """A shell has what it starts in the background ignore SIGINT, and whatever that starts: the tests too, perhaps."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """One `twistd -n mailfw` (or `twist mailfw`), and what it has printed."""

    def __init__(self, arguments: list[str], directory: Path, **extra: Any) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            arguments,
            cwd=directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=heedsInterrupts,
            **extra,
        )
        self._reader = threading.Thread(target=self._read, name="output of a server")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def waitFor(self, pattern: str, start: int = 0) -> re.Match[str]:
        """The first line from `start` on that has the pattern in it."""
        seen = start
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if match := re.search(pattern, line):
                        return match
                seen = len(self.lines)
                ended = self.process.poll() is not None and not self._reader.is_alive()
                if ended or not self._changed.wait(PATIENCE):
                    raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.lines))

    def port(self, service: str) -> int:
        """Where a service listens on 127.0.0.1."""
        return int(self.waitFor(rf"serves .*\b{service} 127\.0\.0\.1:(\d+)")[1])

    def connect(self, service: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port(service)), timeout=PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a server; on ports of the system's choice unless the arguments name listeners."""
    running: list[Running] = []

    def begin(*arguments: str, services: tuple[str, ...] = ("smtp", "imap"), tool: tuple[str, ...] = (), **extra: Any) -> Running:
        tool = tool or (*TWISTD, "-n", "--pidfile=")
        listeners = [f"--listen={service}=tcp:0:interface=127.0.0.1" for service in services]
        server = Running([*tool, "mailfw", *listeners, *arguments], tmp_path, **extra)
        running.append(server)
        return server

    def worker(name: str) -> Running:
        program = [sys.executable, "-c", "from mailfw.app.cli import main; main()"]
        running.append(Running([*program, "--config", "mailfw.toml", "relay", "--name", name], tmp_path))
        return running[-1]

    begin.worker = worker  # type: ignore[attr-defined]
    begin.patient = (sys.executable, "-c", PATIENT, "-n", "--pidfile=")  # type: ignore[attr-defined]
    yield begin
    for server in running:
        server.stop(signal.SIGKILL)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the administrator's command in the directory of the test.

    In a process of its own when it has to do the work itself, for that takes a reactor; in this one when a server does it.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        if (tmp_path / "mailfw-data" / "control").exists():
            return runHere(arguments, given, monkeypatch)
        return subprocess.run(
            [sys.executable, "-c", "from mailfw.app.cli import main; main()", *arguments],
            cwd=tmp_path,
            env=environment(),
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


def runHere(arguments: tuple[str, ...], given: str, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True) for _ in range(2))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli(list(arguments), prog_name="mailfw")
        except SystemExit as done:
            said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
            return subprocess.CompletedProcess(arguments, int(done.code or 0), *said)
    raise AssertionError("click exits")


class Terminal:
    """A program on a terminal of its own, and what stands on its screen, line by line; long lines are not wrapped."""

    def __init__(self, words: list[str], directory: Path, columns: int = 200, term: str = "dumb") -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.handle = master
        self.said = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a character may come in two pieces
        self.process = subprocess.Popen(
            words,
            cwd=directory,
            env={**environment(), "TERM": term},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    @property
    def lines(self) -> list[str]:
        """What was written, without what moves the cursor; of a line that was drawn again and again the last."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.said)
        return [next((piece for piece in reversed(line.split("\r")) if piece), "") for line in plain.split("\r\n")]

    def waitFor(self, isThere: Callable[[], bool]) -> None:
        """Read until something is so."""
        while not isThere():
            assert select.select([self.handle], [], [], PATIENCE)[0], self.said
            try:
                more = os.read(self.handle, 65536)
            except OSError:
                more = b""
            assert more, f"it ended: {self.said}"
            self.said += self._decoder.decode(more)

    def waitForText(self, text: str) -> None:
        self.waitFor(lambda: text in self.said)

    def ask(self, statement: str) -> list[str]:
        """Type a statement and wait for the next prompt; the lines between."""
        self.waitForPrompt()
        start = len(self.lines)
        self.type(statement + "\r")
        self.waitFor(lambda: len(self.lines) > start and self.lines[-1] in (">>> ", "... "))
        return self.lines[start:-1]

    def waitForPrompt(self) -> None:
        self.waitFor(lambda: self.lines[-1] in (">>> ", "... "))

    def end(self) -> int:
        """Read to the end; the exit status."""
        with contextlib.suppress(AssertionError):
            self.waitFor(lambda: False)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        os.close(self.handle)
        self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Run a program on a terminal."""
    opened: list[Terminal] = []

    def begin(*words: str, **options: Any) -> Terminal:
        opened.append(Terminal(list(words), tmp_path, **options))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()
