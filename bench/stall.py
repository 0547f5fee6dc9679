"""How long one client's large command keeps another client waiting.

    python bench/stall.py [--store sqlite:mail] [--messages 100000]

Starts a server, fills one mailbox, and measures the round trips of NOOP on a second connection, one after another, while the
first fetches, stores, copies and searches. The longest round trip bounds the time for which the reactor was held.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from pathlib import Path

from mailfw.testing.process import HOST, ServerProcess

COMMANDS = (
    "FETCH 1:* (FLAGS)",
    "FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE INTERNALDATE BODYSTRUCTURE)",
    "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])",
    "SEARCH SUBJECT needle",
    r"STORE 1:* +FLAGS.SILENT (\Flagged)",
    r"STORE 1:* -FLAGS (\Flagged)",
    "COPY 1:* Archive",
    r"STORE 1:* +FLAGS.SILENT (\Deleted)",
    "EXPUNGE",
)


BATCH = 100
"""Messages of one APPEND."""


def message(number: int) -> bytes:
    """A small message with a structure."""
    return (
        f"From: Sender {number} <s{number % 97}@example.org>\r\nTo: Jane <jsmith@localhost>\r\nSubject: Number {number}\r\n"
        f"Date: Mon, 21 Sep 2026 10:00:00 +0000\r\nMessage-ID: <{number}@example.org>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n'
        "--b\r\nContent-Type: text/html\r\n\r\n<p>Hello\r\n--b--\r\n"
    ).encode()


class Client:
    """A client that reads as fast as it can."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.recv(4096)
        self.command("LOGIN jsmith mailfw")

    def command(self, text: str) -> float:
        """Seconds that a command takes."""
        begin = time.perf_counter()
        self.socket.sendall(b"x " + text.encode() + b"\r\n")
        self.waitFor(b"x ")
        return time.perf_counter() - begin

    def waitFor(self, tag: bytes) -> None:
        """Read until a line starts with the tag."""
        tail = b"\r\n"
        while True:
            tail = (tail + self.socket.recv(1 << 20))[-4096:]
            last = tail[tail.rfind(b"\n", 0, -1) + 1 :]
            if last.startswith(tag) and last.endswith(b"\r\n"):
                if not last.startswith(tag + b"OK"):
                    raise SystemExit(last.decode())
                return

    def fill(self, count: int) -> None:
        """Append messages, many with each command."""
        for start in range(0, count, BATCH):
            batch = [b"a APPEND INBOX"]
            for number in range(start, min(count, start + BATCH)):
                content = message(number)
                batch.append(b" {%d+}\r\n%b" % (len(content), content))
            sender = threading.Thread(target=self.socket.sendall, args=(b"".join((*batch, b"\r\n")),))
            sender.start()
            self.waitFor(b"a ")
            sender.join()


class Pinger(threading.Thread):
    """NOOP after NOOP; the round trips in seconds."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.trips: list[float] = []
        self.isOver = False

    def run(self) -> None:
        while not self.isOver:
            self.trips.append(self.client.command("NOOP"))


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", default="sqlite:mail")
    parser.add_argument("--messages", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = ServerProcess(Path(directory) / "data", options.store, services=("imap",))
        server.start()
        try:
            worker, other = Client(server.ports["imap"]), Client(server.ports["imap"])
            worker.fill(options.messages)
            worker.command("SELECT INBOX")
            print(f"{options.store}, {options.messages} messages")
            for command in COMMANDS:
                pinger = Pinger(other)
                pinger.start()
                spent = worker.command(command)
                pinger.isOver = True
                pinger.join()
                trips = sorted(pinger.trips)
                middle, worst = trips[len(trips) // 2] * 1000, trips[-1] * 1000
                print(f"{spent:8.2f} s  NOOP meanwhile: median {middle:5.1f} ms, longest {worst:6.1f} ms   {command}", flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
