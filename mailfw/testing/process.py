"""A server in a process of its own, started as people start it: for what only a real process can show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import define, field

T = TypeVar("T")

HOST = "127.0.0.1"
SERVICES = ("smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps")
PATIENCE = 120.0
"""Seconds after which what was waited for will not come."""


def waitFor(condition: Callable[[], T], what: str) -> T:
    """What `condition` says as soon as that is true of anything; it is asked again and again, for `PATIENCE` seconds at most."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE} seconds for {what}")


@define
class ServerProcess:
    """`twistd -n mailfw` in development mode, on free ports of 127.0.0.1.

    :ivar data: its data directory; what it prints is in the file `log` beside it.
    :ivar store: as `--store` takes it.
    :ivar options: more words for the command line.
    :ivar ready: what it prints when it can be used; "serves" where configuration names sources of accounts.
    :ivar ports: by service, once it has started.
    """

    data: Path
    store: str = "sqlite:mail"
    services: Sequence[str] = SERVICES
    options: Sequence[str] = ()
    ready: str = "Log in as"
    ports: dict[str, int] = field(factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.data.parent / "log"

    @property
    def certificate(self) -> Path:
        """Self-signed, so its own authority."""
        return self.data / "certificate.pem"

    def start(self) -> None:
        """Start it, and wait until it is ready.

        :raises AssertionError: it ended instead; says what it printed.
        """
        listeners = [word for name in self.services for word in ("--listen", f"{name}=tcp:0:interface={HOST}")]
        twistd = Path(sys.executable).with_name("twistd")
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
        words = [twistd, "-n", "--pidfile=", "mailfw", "--data", self.data, "--store", self.store, *listeners, *self.options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in words],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data.parent,
                env=os.environ | {"PYTHONPATH": path},
            )
        waitFor(self._isReady, "the server")
        said = self.said
        self.ports = {name: int(port) for name, port in re.findall(rf"\b([a-z0-9-]+) {re.escape(HOST)}:(\d+)", said)}

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def _isReady(self) -> bool:
        said = self.said
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"the server ended:\n{said}")
        return self.ready in said

    @property
    def isRunning(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End it as an init system does. :raises AssertionError: it does not end, or not well."""
        assert self.process is not None
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop:\n{self.said}") from None
        # twistd ends by the signal that stopped it.
        assert status in (0, -signal.SIGTERM), self.said

    def kill(self) -> None:
        """End it as a power failure would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
