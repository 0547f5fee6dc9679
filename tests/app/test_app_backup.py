"""`mailfw backup` and `mailfw restore` with real servers."""

from __future__ import annotations

import imaplib
import json
import os
import re
import resource
import shlex
import signal
import smtplib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import mailfw
from mailfw.backup.manifest import Manifest

Command = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = (sys.executable, "-c", "from mailfw.app.cli import main; main()")
HELD = """
import sys, time
from mailfw.app import backing

class Held(backing.Pace):
    \"\"\"Comes no further than the first database of the store, until it is stopped.\"\"\"

    def __call__(self, path, octets):
        super().__call__(path, octets)
        while path.endswith("/mail/mail0.sqlite"):
            time.sleep(0.01)
            super().__call__(path, 0)

backing.Pace = Held
"""
PROJECT = str(Path(mailfw.__file__).parent.parent)


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Begin a command in a process of its own, in the directory of the test."""
    paths = os.pathsep.join([PROJECT, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    streams: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)

    def begin(*words: str, program: Sequence[str] = PROGRAM) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*program, *words],
            cwd=tmp_path,
            env=environment,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # who runs the tests may ignore it
            **streams,
        )

    return begin


@pytest.fixture
def command(begin: Callable[..., subprocess.Popen[str]]) -> Command:
    """Run one."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        process = begin(*words)
        out, err = process.communicate(timeout=1200)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run


def message(number: int, size: int = 500) -> bytes:
    lines = (os.urandom(35).hex().encode() + b"\r\n" for _ in range(size // 72))
    return f"Subject: number {number}\r\n\r\n".encode() + b"".join(lines)


def deliver(server: Any, first: int, count: int, size: int = 500, to: str = "jsmith@localhost") -> None:
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
        for number in range(first, first + count):
            client.sendmail("mbrain@localhost", [to], message(number, size))


def login(server: Any, name: str = "jsmith") -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120)
    client.login(name, "mailfw")
    return client


def subjects(server: Any, name: str = "jsmith") -> list[int]:
    with login(server, name) as client:
        client.select("INBOX", readonly=True)
        _, data = client.fetch("1:*", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        return [int(found) for found in re.findall(r"number (\d+)", str(data))]


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def restored(command: Command, source: Path, target: str = "back", *more: str) -> None:
    done = command("--data", target, "restore", str(source), *more)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("store", ["sqlite:mail", "sqlite:{}/mail?shards=3", "maildir:mail", "maildir:{}/mail", "textfile:mail"])
def test_whatWasAcknowledgedBeforeIsThere(start: Any, command: Command, tmp_path: Path, store: str) -> None:
    """Deliveries go on while it is made, some to people whose mail is in other files, some too large for a row."""
    (tmp_path / "elsewhere").mkdir()
    store = store.format(tmp_path / "elsewhere")
    server = start(f"--store={store}")
    server.waitFor("mailfw is up")
    acknowledged: dict[str, list[tuple[float, int]]] = {"jsmith": [], "mbrain": []}
    stop = threading.Event()

    def work(name: str) -> None:
        with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
            number = 0
            while not stop.is_set():
                client.sendmail("a@example.org", [f"{name}@localhost"], message(number, 300_000 if number % 10 == 0 else 500))
                acknowledged[name].append((time.time(), number))
                number += 1

    workers = [threading.Thread(target=work, args=(name,)) for name in acknowledged]

    def areAtWork() -> bool:
        assert all(worker.is_alive() for worker in workers)
        return True

    for worker in workers:
        worker.start()
    try:
        while areAtWork() and any(len(found) < 12 for found in acknowledged.values()):
            stop.wait(0.01)
        done = command("backup", "set", "--json")
        then = {name: len(found) for name, found in acknowledged.items()}
        while areAtWork() and any(len(found) == then[name] for name, found in acknowledged.items()):
            stop.wait(0.01)  # they went on
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert done.returncode == 0, done.stderr
    moment = json.loads(done.stdout)["moment"]
    server.stop()
    if "elsewhere" in store:
        (tmp_path / "elsewhere" / "mail").rename(tmp_path / "elsewhere" / "old")
    restored(command, tmp_path / "set")
    back = start(f"--store={store}", "--data=back")
    back.waitFor("mailfw is up")
    for name, found in acknowledged.items():
        before = [number for at, number in found if at < moment]
        there = subjects(back, name)
        assert len(before) >= 12
        assert set(before) <= set(there) and len(there) == len(set(there))
    assert command("--data", "back", "store", "check").stdout == "the store is whole\n"


@pytest.mark.parametrize("store", ["maildir:mail", "textfile:mail"])
def test_mailboxesCalledAsCachesAndLocksAreThereAndLocksAreNot(start: Any, command: Command, tmp_path: Path, store: str) -> None:
    """A lock that came back would lock people out of their mail; a mailbox that is called as one must come back."""
    server = start(f"--store={store}")
    server.waitFor("mailfw is up")
    deliver(server, 1, 1)
    with login(server) as client:
        client.select("INBOX", readonly=True)
        for name in ("a.index", "b.lock", "spool"):
            client.create(name)
            client.copy("1", name)
    for folder in list((tmp_path / "mailfw-data" / "mail").rglob("*")):
        if folder.is_file() and folder.suffix in (".TXT", ""):
            folder.with_name(folder.name + ".lock").write_text("1:elsewhere\n")
    assert command("backup", "set").returncode == 0
    server.stop()
    assert list((tmp_path / "mailfw-data" / "mail").rglob("*.lock"))
    restored(command, tmp_path / "set")
    assert not [path for path in (tmp_path / "back" / "mail").rglob("*.lock") if path.is_file()]
    back = start(f"--store={store}", "--data=back")
    back.waitFor("mailfw is up")
    with login(back) as client:
        for name in ("INBOX", "a.index", "b.lock", "spool"):
            assert client.select(name, readonly=True) == ("OK", [b"1"])


@pytest.mark.parametrize("place", ["d/spool", "d/log", "elsewhere"])
def test_peopleAndStoresCalledAsWhatIsLeftOutAreThere(command: Command, tmp_path: Path, place: str) -> None:
    """As spools, parts of a Maildir, locks and what is interrupted. Dovecot's own files in a Maildir change where they lie."""
    root = tmp_path / place
    (tmp_path / "d").mkdir()
    configuration = tmp_path / "mailfw.toml"
    words = [f'data = "{tmp_path}/d"', f'store = "maildir:{root}"', 'hostname = "localhost"', 'domains = ["localhost"]']
    configuration.write_text("\n".join([*words, "[log]", f'file = "{tmp_path}/d/lo"', ""]))
    for name in ("cur", "new", "spool", "lock", "not-whole", ".not-whole", "lo.1"):
        person = root / name.replace(".not", "%2Enot")
        for part in ("cur", "new", "tmp"):
            (person / part).mkdir(parents=True)
        for path in "new/1.host.index", "cur/2.host.lock:2,S", "new/3.host.lock.5", "dovecot-uidlist":
            (person / path).write_text(f"Subject: for {name}\n\n")
        (person / "tmp" / "4.host").write_bytes(b"SQLite format 3\0 is what nobody was told of")
    for path in "lock", "spool/spool-1", "lo", "lo.1", "lo-2.gz":
        (tmp_path / "d" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "d" / path).write_text("a process's own")
    for path in "uv.lock", "notes.index":
        (tmp_path / "d" / path).write_text("somebody's")
    given = ("--config", str(configuration))
    done = command(*given, "backup", "set")
    assert done.returncode == 0, done.stderr
    before = files(root)
    for path in root.glob("*/dovecot-uidlist"):
        with path.open("a") as file:
            file.write("more\n")
    (tmp_path / "d").rename(tmp_path / "old")
    if root.exists():
        root.rename(tmp_path / "older")
    done = command(*given, "restore", "set")
    assert done.returncode == 0, done.stderr
    expected = {path: content for path, content in before.items() if "/tmp/" not in path}
    assert files(root) == expected
    assert len([path for path in expected if path.endswith("dovecot-uidlist")]) == 7
    assert (tmp_path / "d" / "uv.lock").exists() and (tmp_path / "d" / "notes.index").exists()
    assert not (tmp_path / "d" / "lo").is_file() and not (tmp_path / "d" / "lo-2.gz").exists()


@pytest.mark.parametrize("store", ["sqlite:mail", "maildir:mail", "textfile:mail"])
def test_aClientResynchronisesWithAnOlderState(start: Any, command: Command, tmp_path: Path, store: str) -> None:
    """A cache from after the backup: a message more is flagged, one is gone, two have come. All of that has not happened."""
    server = start(f"--store={store}")
    server.waitFor("mailfw is up")
    deliver(server, 1, 5)
    with login(server) as client:
        client.select("INBOX")
        client.uid("store", "5", "+FLAGS", "\\Answered")
    assert command("backup", "set").returncode == 0
    deliver(server, 6, 2)
    with login(server) as client:
        client.select("INBOX")
        client.uid("store", "2", "+FLAGS", "\\Seen")
        client.uid("store", "3", "+FLAGS", "\\Deleted")
        client.expunge()
        (validity,) = client.response("UIDVALIDITY")[1]
        modSeq = int(re.findall(rb"\d+", client.status("INBOX", "(HIGHESTMODSEQ)")[1][0])[-1])
    server.stop()
    lives: list[tuple[set[bytes], set[int], set[bytes]]] = []
    for life in "first", "second":
        restored(command, tmp_path / "set", life)
        back = start(f"--data={life}", f"--store={store}")
        back.waitFor("mailfw is up")
        with login(back) as client:
            client.enable("QRESYNC")
            said = resynchronised(client, validity.decode(), modSeq)
        ranges = re.findall(r"VANISHED \(EARLIER\) (\d+):?(\d*)", said)
        gone = {uid for low, high in ranges for uid in range(int(low), int(high or low) + 1)}
        told = {int(uid): flags for uid, flags in re.findall(r"FETCH \(UID (\d+).*?FLAGS \(([^)]*)\)", said)}
        assert gone >= {6, 7} and not gone & set(told)
        assert set(told) == {1, 2, 3, 4, 5}
        assert "Seen" not in told[2] and "Deleted" not in told[3] and "Answered" in told[5]
        deliver(back, 100, 3)
        with login(back) as client:
            client.select("INBOX")
            assert client.response("UIDVALIDITY")[1] == [validity]
            fresh = client.uid("search", "UID", "6:*")[1][0].split()
            newest = int(re.findall(rb"\d+", client.status("INBOX", "(HIGHESTMODSEQ)")[1][0])[-1])
            client.create("Fresh")
            (made,) = client.status("Fresh", "(MAILBOXID)")[1]
        assert len(fresh) == 3 and min(map(int, fresh)) > 7 and newest > modSeq
        lives.append(({*fresh}, {newest}, set(re.findall(rb"MAILBOXID \(([^)]*)", made))))
        back.stop()
        time.sleep(1.1)  # the numbers that one restoration skips grow by the second
    assert not any(one & other for one, other in zip(*lives, strict=True))


def resynchronised(client: imaplib.IMAP4, validity: str, modSeq: int) -> str:
    """All that the server says to a SELECT with what a cache has."""
    tag = "R1"
    client.send(f"{tag} SELECT INBOX (QRESYNC ({validity} {modSeq}))\r\n".encode())
    said = ""
    while not said.splitlines() or not said.splitlines()[-1].startswith(tag):
        said += client.readline().decode()
    assert f"{tag} OK" in said
    client.state = "SELECTED"
    return said


def test_queueAndAccountsComeBack(start: Any, command: Command, tmp_path: Path) -> None:
    server = start()
    server.waitFor("mailfw is up")
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
        client.sendmail("mbrain@localhost", ["jsmith@localhost"], message(1, 400_000))
    queue = sqlite3.connect(tmp_path / "mailfw-data" / "queue.sqlite")
    with queue:
        queue.execute("INSERT INTO content (id, octets, blob, size) VALUES (1, x'41', '', 1)")
        queue.execute("INSERT INTO message VALUES (1, 1, 0, 'a@localhost', '', 0, 0, 0, '', '', 0, NULL, '', 0)")
        recipient = "INSERT INTO recipient VALUES (?, 1, 'b', 'b.example', 'b.example', '', '', '', ?, ?, 0, 0, 0, '', '', '')"
        queue.executemany(recipient, [(1, 4e9, ""), (2, 4e9, "a worker"), (3, None, "")])
        queue.execute("INSERT INTO lane VALUES ('b.example', 4e9)")
    queue.close()
    assert command("backup", "set").returncode == 0
    for target, more, expected in (
        ("back", (), [(1, 4e9, ""), (3, None, "")]),
        ("held", ("--hold-queue",), [(1, None, ""), (2, None, ""), (3, None, "")]),
    ):
        restored(command, tmp_path / "set", target, *more)
        with sqlite3.connect(tmp_path / target / "queue.sqlite") as queue:
            rows = queue.execute("SELECT id, due, owner FROM recipient ORDER BY id").fetchall()
            (last,) = queue.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
        queue.close()
        assert set(expected) <= set(rows) and len(rows) == 3 and all(not owner for _, _, owner in rows)
        assert last >= 1 << 20
        known = json.loads(command("--data", target, "user", "list", "--json").stdout)
        assert {"jsmith@localhost", "mbrain@localhost"} <= {user["name"] for user in known}


def large(start: Any, count: int = 60, size: int = 200_000, isHeld: bool = False) -> Any:
    """A server with so much mail; :param isHeld: whether its backups come to no end."""
    twistd = HELD + "from twisted.scripts.twistd import run; run()"
    server = start(tool=(sys.executable, "-c", twistd, "-n", "--pidfile=") if isHeld else ())
    server.waitFor("mailfw is up")
    deliver(server, 0, count, size)
    return server


@pytest.mark.parametrize("victim", ["server", "command"])
def test_killedInTheMiddleItLeavesNothingThatLooksWhole(
    start: Any, command: Command, begin: Any, tmp_path: Path, victim: str
) -> None:
    server = large(start, isHeld=True)
    if victim == "command":
        server.stop()
    backup = begin("backup", "set", program=(*PROGRAM[:2], HELD + PROGRAM[2]))
    partial = tmp_path / "set.partial" / "data"
    waitUntilItIsHeld(backup, tmp_path)
    if victim == "command":
        backup.kill()
    else:
        server.stop(signal.SIGKILL)
    _, said = backup.communicate(timeout=120)
    assert backup.returncode != 0
    if victim == "server":
        assert said.startswith("mailfw: ") and said.count("\n") == 1
    assert not (tmp_path / "set").exists() and partial.exists()
    assert command("backup", "set.partial", "--verify").returncode == 1
    assert "is no backup" in command("--data", "back", "restore", "set.partial").stderr
    done = command("backup", "set")
    assert done.returncode == 0, done.stderr
    assert not partial.exists()
    assert command("backup", "set", "--verify").stdout == "the backup is whole\n"


def waitUntilItIsHeld(backup: subprocess.Popen[str], directory: Path) -> None:
    while not list((directory / "set.partial").glob("data/mail/mail0.sqlite")):
        assert backup.poll() is None
        time.sleep(0.01)


def test_aServerThatIsStoppedStopsIt(start: Any, begin: Any, tmp_path: Path) -> None:
    server = large(start, isHeld=True)
    backup = begin("backup", "set")
    waitUntilItIsHeld(backup, tmp_path)
    assert server.stop() in (0, -signal.SIGTERM)
    assert backup.communicate(timeout=120)[1].count("\n") == 1
    assert not list(tmp_path.glob("set*"))


def test_whoInterruptsTheCommandGetsNothing(start: Any, begin: Any, tmp_path: Path) -> None:
    large(start, isHeld=True)
    backup = begin("backup", "set")
    waitUntilItIsHeld(backup, tmp_path)
    backup.send_signal(signal.SIGINT)
    assert backup.communicate(timeout=120)[1] == "mailfw: the backup was stopped, and nothing is left of it\n"
    assert backup.returncode == 1
    assert not list(tmp_path.glob("set*"))


def test_aFullDiskIsOneLineAndTheServerServesOn(start: Any, command: Command, tmp_path: Path) -> None:
    server = large(start, 20)
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    with login(server) as client:
        client.select("INBOX", readonly=True)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1_000_000, before[1]))
        try:
            done = command("backup", "set")
            assert client.noop()[0] == "OK"
        finally:
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    assert done.returncode == 1
    assert re.fullmatch(r"mailfw: .*set.*; the backup was not made\n", done.stderr)
    assert not list(tmp_path.glob("set*"))
    deliver(server, 20, 1)
    assert len(subjects(server)) == 21
    assert command("backup", "set").returncode == 0


def test_everyNightOneMoreAndTheOldestGoes(start: Any, command: Command, tmp_path: Path) -> None:
    """`etc/mailfw-backup`, as the timer runs it."""
    large(start, 1, 400_000)
    (tmp_path / "program").write_text(f"#!/bin/sh\nexec {shlex.join(PROGRAM)} \"$@\"\n")
    (tmp_path / "program").chmod(0o700)
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "diary").mkdir()
    environment = {**os.environ, "PYTHONPATH": PROJECT, "MAILFW": str(tmp_path / "program")}
    made = []
    for _ in range(3):
        words = [f"{PROJECT}/etc/mailfw-backup", "sets", "2"]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("the backup is whole\n")
        made.append(max(path.name for path in (tmp_path / "sets").glob("20*")))
        time.sleep(1.1)  # sets are named by the second
    assert {path.name for path in (tmp_path / "sets").iterdir()} == {"diary", *made[1:]}


def test_whatIsWrongIsSaidInOneLineAndForPrograms(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    assert command("backup", "set").returncode == 0
    for words, said in (
        (("backup", "set"), f"{tmp_path}/set is there already: name a directory that is not"),
        (("backup", "mailfw-data/set"), f"{tmp_path}/mailfw-data/set lies in {tmp_path}/mailfw-data, of which"),
        (("backup", "two", "--previous", "none"), f"{tmp_path}/none is no backup"),
        (("restore", "set"), f"{tmp_path}/mailfw-data is not empty"),
    ):
        done = command(*words)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"mailfw: {said}")
    path = tmp_path / "set" / Manifest.load(str(tmp_path / "set")).files[0].path
    path.write_bytes(b"")
    done = command("backup", "set", "--verify", "--json")
    assert (done.returncode, [flaw["what"] for flaw in json.loads(done.stdout)]) == (1, ["size"])
    assert "is damaged: data/accounts.sqlite has 0 octets" in command("--data", "back", "restore", "set").stderr
    assert not list(tmp_path.glob("back*"))
