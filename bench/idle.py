"""How soon many sessions of one mailbox hear of a message, and what each of them weighs.

    python bench/idle.py [--store sqlite:mail] [--sessions 200] [--messages 100] [--notify]

Starts a server, opens the sessions, all in IDLE, or with NOTIFY and no command under way, and appends messages one by one.
For each the time is taken from before APPEND until the first and until the last session has read its EXISTS.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import tempfile
import time
from pathlib import Path

from mailfw.testing.process import HOST, ServerProcess

MESSAGE = b"From: a@example.org\r\nSubject: News\r\n\r\n" + b"x" * 4000 + b"\r\n"
NOTIFY = "NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge))"


def connect(port: int) -> socket.socket:
    """A client that has logged in and looks at INBOX."""
    client = socket.create_connection((HOST, port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.recv(4096)
    command(client, "LOGIN jsmith mailfw")
    command(client, "SELECT INBOX")
    return client


def command(client: socket.socket, text: str, end: bytes = b"\r\nx OK") -> None:
    """Say something, and wait for its end."""
    client.sendall(b"x " + text.encode() + b"\r\n")
    said = b"\r\n"
    while end not in said or not said.endswith(b"\r\n"):
        said += client.recv(65536)


def resident(server: ServerProcess) -> int:
    """Octets of memory that the process has to itself."""
    assert server.process is not None
    for line in Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no smaps_rollup")


def round_(sender: socket.socket, listeners: list[socket.socket], awaited: bytes) -> tuple[float, float]:
    """Seconds until the first and until the last has heard of one more message."""
    selector = selectors.DefaultSelector()
    for each in listeners:
        selector.register(each, selectors.EVENT_READ, [b""])
    heard: list[float] = []
    begin = time.perf_counter()
    sender.sendall(b"x APPEND INBOX {%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE))
    while len(heard) < len(listeners):
        ready = selector.select(10)
        if not ready:
            raise SystemExit(f"{len(listeners) - len(heard)} sessions were not told")
        for key, _ in ready:
            assert isinstance(key.fileobj, socket.socket)
            key.data[0] += key.fileobj.recv(65536)
            if awaited in key.data[0]:
                heard.append(time.perf_counter() - begin)
                selector.unregister(key.fileobj)
    selector.close()
    sender.recv(65536)
    return heard[0], heard[-1]


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", default="sqlite:mail")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--notify", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = ServerProcess(Path(directory) / "data", options.store, services=("imap",))
        server.start()
        try:
            port = server.ports["imap"]
            sender = connect(port)
            command(sender, "UNSELECT")
            connect(port).close()
            before = resident(server)
            listeners = [connect(port) for _ in range(options.sessions)]
            for each in listeners:
                if options.notify:
                    command(each, NOTIFY)
                else:
                    command(each, "IDLE", b"+ ")
            weight = (resident(server) - before) / options.sessions / 1024
            ending = b" FETCH (UID " if options.notify else b" EXISTS\r\n"
            rounds = [round_(sender, listeners, ending) for _ in range(options.messages)]
            first, last = (sorted(times) for times in zip(*rounds, strict=True))
            print(f"{options.store}, {options.sessions} sessions, {weight:.1f} KiB each")
            for name, times in ("first", first), ("last", last):
                middle, worst = times[len(times) // 2] * 1000, times[-1] * 1000
                print(f"the {name} session heard after: median {middle:.1f} ms, longest {worst:.1f} ms")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
