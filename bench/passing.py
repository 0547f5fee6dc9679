"""Measures mail that passes through a whole server, for mailfw and, with `--postfix`, for Postfix in turn.

    python bench/passing.py --messages 5000 --rounds 3 --postfix [--held] [--workers 1]

Messages of 4 KiB come from Postfix's smtp-source over ten connections and go to its smtp-sink as the smart host (`relayhost`);
the time is from the first message in to the end of the queue. With `--held` all of them are in the queue first, and the time is
from their release on. With `--workers` mailfw's server leaves relaying to so many processes beside it (`mailfw relay`). CPU is
that of all the server's processes, from /proc. Prints each round, and the medians.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mailfw.app.remote import Remote
from mailfw.testing.process import HOST, ServerProcess, waitFor

SIZE = 4096
PROGRAMS = os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin"
TICKS = os.sysconf("SC_CLK_TCK")

MAILFW = """
hostname = "mail.bench.test"
domains = ["bench.test"]
data = "{base}/data"
[auth]
sources = ["passwd:{base}/users"]
[relay]
networks = ["127.0.0.0/8"]
smarthost = "smtp://127.0.0.1:{sink}"
hold = {isHeld}
{workers}
"""

POSTFIX = """
compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = mail.bench.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
relayhost = [127.0.0.1]:{sink}
smtpd_relay_restrictions = permit_mynetworks,reject
disable_dns_lookups = yes
smtp_dns_support_level = disabled
in_flow_delay = 0
initial_destination_concurrency = 20
defer_transports = {deferred}
notify_classes =
"""


class Server:
    """One of the two.

    :ivar port: where it takes mail. :ivar roots: pids of the processes above all others. :ivar waiting: how many are held in its
        queue. :ivar isEmpty: whether nothing at all is in it. :ivar release: lets what is held go.
    """

    def __init__(
        self,
        port: int,
        roots: Sequence[int],
        waiting: Callable[[], int],
        isEmpty: Callable[[], bool],
        release: Callable[[bool], None],
    ) -> None:
        self.port = port
        self.roots = roots
        self.waiting = waiting
        self.isEmpty = isEmpty
        self.release = release

    def cpu(self) -> float:
        """Seconds of CPU so far, of those too that have ended."""
        children: dict[int, list[int]] = {}
        used: dict[int, tuple[int, int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                pid = int(stat.parent.name)
                children.setdefault(int(fields[1]), []).append(pid)
                used[pid] = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        waiting, found, ended = list(self.roots), 0, sum(used[root][1] for root in self.roots)
        while waiting:
            pid = waiting.pop()
            found += used.get(pid, (0, 0))[0]
            waiting += children.get(pid, [])
        return (found + ended) / TICKS


class _Mailfw(ServerProcess):
    def _isReady(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.said
        return "mailfw.app] mailfw " in self.said


@contextlib.contextmanager
def mailfw(base: Path, sink: int, isHeld: bool, workers: int) -> Iterator[Server]:
    """A server as `twistd mailfw` starts it, and its workers."""
    (base / "users").write_text("me@bench.test:{PLAIN}x\n")
    leaves = "deliveries = 0" if workers else ""
    (base / "mailfw.toml").write_text(MAILFW.format(base=base, sink=sink, isHeld=str(isHeld).lower(), workers=leaves))
    server = _Mailfw(base / "data", services=("smtp",), options=("--config", str(base / "mailfw.toml")))
    server.start()
    assert server.process is not None

    def perform(operation: str) -> Any:
        remote = Remote.connect(str(base / "data" / "control"))
        assert remote is not None
        try:
            return remote.perform(operation)
        finally:
            remote.close()

    def waiting() -> int:
        return int(perform("queue overview")["recipients"])

    def release(isOver: bool) -> None:
        if not isOver:
            perform("queue release")

    program = [sys.executable, "-c", "from mailfw.app.cli import main; main()"]
    words = [*program, "--config", str(base / "mailfw.toml"), "relay", "--name"]
    running = [subprocess.Popen([*words, str(number)], stdout=subprocess.DEVNULL) for number in range(workers)]
    try:
        waitFor(lambda: len(perform("status")["workers"]) == workers, "the workers")
        roots = [process.pid for process in (server.process, *running)]
        yield Server(server.ports["smtp"], roots, waiting, lambda: not waiting(), release)
    finally:
        for process in running:
            process.terminate()
            process.wait(timeout=30)
        server.stop()


@contextlib.contextmanager
def postfix(base: Path, sink: int, isHeld: bool, _workers: int) -> Iterator[Server]:
    """Debian's Postfix, with its own configuration and spool; it takes root to start it."""
    port = _freePort()
    for name in ("etc", "spool", "data"):
        (base / name).mkdir()
    shutil.chown(base / "data", pwd.getpwnam("postfix").pw_uid)
    (base / "etc" / "main.cf").write_text(POSTFIX.format(base=base, sink=sink, deferred="smtp" * isHeld))
    lines = []
    for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
        words = line.split()
        if len(words) >= 8 and not line.startswith(("#", " ")):
            words[4] = "n"
            words[0] = f"{HOST}:{port}" if words[:2] == ["smtp", "inet"] else words[0]
            line = " ".join(words)
        lines.append(line)
    (base / "etc" / "master.cf").write_text("\n".join(lines) + "\n")
    subprocess.run([_program("postfix"), "-c", base / "etc", "start"], check=True, capture_output=True)
    waitFor(lambda: _answers(port), "Postfix")
    queues = [base / "spool" / name for name in ("maildrop", "incoming", "active", "deferred")]

    def waiting() -> int:
        return sum(len(files) for _, _, files in os.walk(queues[-1]))

    def isEmpty() -> bool:
        return not any(files for queue in queues for _, _, files in os.walk(queue))

    def release(isOver: bool) -> None:
        """Until it is over, what comes is not held any more."""
        transports = "smtp" if isOver else ""
        for words in (
            ["postconf", f"defer_transports={transports}"],
            ["postfix", "reload"],
            *([] if isOver else [["postqueue", "-f"]]),
        ):
            subprocess.run([_program(words[0]), "-c", base / "etc", *words[1:]], check=True, capture_output=True)

    try:
        yield Server(port, [int((base / "spool" / "pid" / "master.pid").read_text())], waiting, isEmpty, release)
    finally:
        subprocess.run([_program("postfix"), "-c", base / "etc", "stop"], check=False, capture_output=True)


def _program(name: str) -> str:
    found = shutil.which(name, path=PROGRAMS)
    if found is None:
        sys.exit(f"{name} is needed: it comes with Postfix")
    return found


def _freePort() -> int:
    with contextlib.closing(socket.create_server((HOST, 0))) as chosen:
        return int(chosen.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.closing(socket.socket()) as caller:
        return caller.connect_ex((HOST, port)) == 0


def passing(server: Server, messages: int, connections: int, isHeld: bool) -> tuple[float, float, float]:
    """→ messages a second until they were accepted, until they had left, and seconds of CPU for a thousand."""
    source = [_program("smtp-source"), "-d", "-N", "-s", str(connections), "-m", str(messages), "-l", str(SIZE)]
    used, begin = server.cpu(), time.perf_counter()
    subprocess.run([*source, "-f", "me@bench.test", "-t", "u@far.example", f"{HOST}:{server.port}"], check=True)
    accepted = time.perf_counter() - begin
    if isHeld:
        waitFor(lambda: server.waiting() >= messages, "all of them to be held")
        used, begin = server.cpu(), time.perf_counter()
        server.release(False)
    while not server.isEmpty():
        time.sleep(0.02)
    left = time.perf_counter() - begin
    used = server.cpu() - used
    if isHeld:
        server.release(True)
    return messages / accepted, messages / left, 1000 * used / messages


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postfix", action="store_true", help="measure Postfix too, in turn")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--held", action="store_true", help="measure only the way out of the queue")
    options = parser.parse_args()
    sink = _freePort()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([_program("smtp-sink"), *user, f"{HOST}:{sink}", "200"])
    found: dict[str, list[tuple[float, float, float]]] = {}
    try:
        with contextlib.ExitStack() as running:
            servers = {}
            for start in (mailfw, postfix) if options.postfix else (mailfw,):
                base = Path(running.enter_context(tempfile.TemporaryDirectory(dir=".")))
                base.chmod(0o755)
                servers[start.__name__] = running.enter_context(start(base.resolve(), sink, options.held, options.workers))
            for _ in range(options.rounds):
                for name, server in servers.items():
                    found.setdefault(name, []).append(passing(server, options.messages, options.connections, options.held))
                    print(name, _shown(found[name][-1]), flush=True)
    finally:
        process.terminate()
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, row in medians.items():
        print(f"median: {name} {_shown(row)}")
    if options.postfix:
        ours, theirs = medians["mailfw"], medians["postfix"]
        print(f"mailfw / Postfix: {ours[1] / theirs[1]:.2f} times as many a second, {ours[2] / theirs[2]:.2f} of the CPU")


def _shown(row: tuple[float, ...] | list[float]) -> str:
    return f"accepted {row[0]:,.0f}/s, passed through {row[1]:,.0f}/s, {row[2]:.2f} s of CPU for 1,000"


if __name__ == "__main__":
    main()
