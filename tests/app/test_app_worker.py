"""Workers as an administrator starts them: `mailfw relay` beside a server that relays nothing itself."""

from __future__ import annotations

import random
import re
import signal
import smtplib
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE = 120.0
IN_FLIGHT = 20  # deliveries_per_destination
BACKLOG = 100
CONFIGURATION = """
hostname = "mail.localhost"
domains = ["localhost"]
data = "mailfw-data"
[auth]
sources = ["passwd:{users}"]
rehash = false
[relay]
deliveries = 0
networks = ["127.0.0.0/8"]
[queue]
retry = ["1s"]
[[route]]
domain = "far.example"
via = "pipe:{taker}"
[[hook]]
stage = ["rcpt_to", "route", "delivered"]
plugin = "python:{asked}:ask"
"""
HOOK = """
import os

def ask(event):
    with open({path!r}, "a") as file:
        print(event.stage.value, os.getpid(), file=file)
"""
TAKER = """#!/bin/sh
sed -n 's/^X-Number: *//p' | tr -d '\\r' >> {taken}
"""


@pytest.fixture
def launch(tmp_path: Path, start: Any) -> Iterator[Callable[..., Any]]:
    """Start a server or a worker; what far.example takes is a line in `taken`."""
    taker = tmp_path / "taker"
    taker.write_text(TAKER.format(taken=tmp_path / "taken"))
    taker.chmod(0o700)
    hook = tmp_path / "hook.py"
    hook.write_text(HOOK.format(path=str(tmp_path / "asked")))
    (tmp_path / "mailfw.toml").write_text(CONFIGURATION.format(taker=taker, users=tmp_path / "users", asked=hook))
    (tmp_path / "users").write_text("mbrain@localhost:{PLAIN}mailfw\n")

    def begin(worker: str = "") -> Any:
        if not worker:
            return start("--config", "mailfw.toml", services=("smtp",))
        return start.worker(worker)

    yield begin


def submit(server: Any, *numbers: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=PATIENCE) as smtp:
        for number in numbers:
            smtp.sendmail("me@localhost", ["you@far.example"], f"X-Number: {number}\r\n\r\nHello\r\n")


def taken(tmp_path: Path) -> list[str]:
    path = tmp_path / "taken"
    return path.read_text().split() if path.exists() else []


def until(isDone: Callable[[], bool], *running: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not isDone():
        assert time.monotonic() < end, "\n".join(line for each in running for line in each.lines[-40:])
        time.sleep(0.05)


def test_aWorkerBringsOnWhatTheServerLeavesToIt(launch: Any, tmp_path: Path, command: Command) -> None:
    server = launch()
    server.port("smtp")
    submit(server, "1")
    listed = command("--config", "mailfw.toml", "queue", "list")
    assert "you@far.example" in listed.stdout, "it waits"
    worker = launch("1")
    server.waitFor("worker 1 relays")
    until(lambda: taken(tmp_path) == ["1"], server, worker)
    submit(server, "2")
    until(lambda: taken(tmp_path) == ["1", "2"], server, worker)
    worker.waitFor(r"queue 2 from <me@localhost> to <you@far.example>: delivered")
    asked = dict(line.split() for line in (tmp_path / "asked").read_text().splitlines())
    assert asked == {
        "rcpt_to": str(server.process.pid),
        "route": str(worker.process.pid),
        "delivered": str(worker.process.pid),
    }, "each process asks hooks of what it does"
    assert "workers that relay: 1" in command("--config", "mailfw.toml", "status").stdout
    second = launch("1")
    assert second.process.wait(PATIENCE) == 1
    second.waitFor("mailfw: a worker 1 is at work already: give this one another --name")
    assert worker.stop() == 0
    server.waitFor("worker 1 is gone")
    assert "Traceback" not in "\n".join(server.lines + worker.lines)


def test_aWorkerOutlivesItsServer(launch: Any, tmp_path: Path) -> None:
    server = launch()
    server.port("smtp")
    worker = launch("1")
    server.waitFor("worker 1 relays")
    server.stop()
    worker.waitFor("the server cannot be reached; it is tried again")
    server = launch()
    server.waitFor("worker 1 relays")
    submit(server, "1")
    until(lambda: taken(tmp_path) == ["1"], server, worker)
    server.stop(signal.SIGKILL)
    worker.process.send_signal(signal.SIGHUP)
    worker.waitFor("] reloaded")
    assert worker.stop() == 0, "also without a server"
    assert "Traceback" not in "\n".join(worker.lines)


@pytest.mark.prove
def test_nothingIsLostByKills(launch: Any, tmp_path: Path, isProof: bool) -> None:
    """The server or one of two workers is killed, again and again, while mail flows."""
    chance = random.Random(12)
    running = {"": launch()}
    running[""].port("smtp")
    running |= {name: launch(name) for name in ("1", "2")}
    accepted: list[str] = []
    isOver = threading.Event()

    def flow() -> None:
        while not isOver.is_set():
            if len(accepted) - len(set(taken(tmp_path))) > BACKLOG:
                time.sleep(0.05)  # a process for each message is slower than what comes in
                continue
            number = str(len(accepted) + 1)
            try:
                submit(running[""], number)
            except (OSError, smtplib.SMTPException, AssertionError):
                time.sleep(0.05)  # the server is being started
            else:
                accepted.append(number)

    flowing = threading.Thread(target=flow)
    flowing.start()
    rounds = 100 if isProof else 3
    try:
        for _ in range(rounds):
            before = len(accepted)
            until(lambda before=before: len(accepted) > before, *running.values())
            threading.Event().wait(chance.uniform(0.3, 1.0))  # how long mail flows before the kill is the experiment
            name = chance.choice(["", "1", "2"])
            running[name].stop(signal.SIGKILL)
            running[name] = launch(name)
            running[""].port("smtp")
    finally:
        isOver.set()
        flowing.join()
    assert accepted
    until(lambda: set(accepted) <= set(taken(tmp_path)), *running.values())
    twice = sum(count - 1 for count in Counter(taken(tmp_path)).values())
    assert twice <= rounds * (IN_FLIGHT + 1), "sent twice only what was under way at a kill, or accepted with its 250"
    for name in ("1", "2", ""):
        assert running[name].stop() in (0, -signal.SIGTERM)
    assert not re.search("Traceback", "\n".join(line for each in running.values() for line in each.lines))
