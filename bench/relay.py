"""Measures mail that leaves: `python bench/relay.py [--messages 5000]`, into Postfix's smtp-sink on loopback.

Messages of 4 KiB are queued, then relayed to one host; prints messages a second and this process's CPU time for a thousand.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue, Submission
from mailfw.delivery.relay import Relay
from mailfw.delivery.routes import Host, HostRoute, Routes
from mailfw.delivery.sessions import Sessions
from mailfw.testing.resolver import FakeResolver
from mailfw.values import Address, Envelope, MessageSource, Recipient

SIZE = 4096


async def _pause(seconds: float) -> None:
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)  # type: ignore[attr-defined]
    await waiting


async def measure(messages: int, port: int, directory: str) -> None:
    """Queue them, then relay them."""
    queue = Queue.open(os.path.join(directory, "queue.sqlite"), reactor=reactor)
    sessions = Sessions(reactor, "bench.test")
    relay = Relay(queue, Routes(HostRoute(Host("127.0.0.1", port), FakeResolver(), sessions)), Bouncer("bench.test"), reactor)
    content = MessageSource(b"Subject: bench\r\n\r\n" + (b"x" * 70 + b"\r\n") * (SIZE // 72))

    def one(number: int) -> Deferred[list[int]]:
        to = (Recipient(Address(f"u{number}", "far.example")),)
        return ensureDeferred(queue.enqueue([Submission(Envelope(Address("me", "bench.test"), to))], content))

    await gatherResults([one(number) for number in range(messages)])
    begin, cpu = time.perf_counter(), time.process_time()
    relay.start()
    while await queue.count():
        await _pause(0.02)
    seconds, used = time.perf_counter() - begin, time.process_time() - cpu
    print(f"relayed: {messages / seconds:,.0f} messages/s, {1000 * used / messages:.2f} s of CPU for 1,000")
    await relay.stop()
    await queue.close()


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    options = parser.parse_args()
    program = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin")
    if program is None:
        sys.exit("smtp-sink is needed: it comes with Postfix")
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen([program, *user, f"127.0.0.1:{port}", "100"])
    sys.setswitchinterval(0.0005)
    try:
        with tempfile.TemporaryDirectory(dir=".") as directory:
            running: list[Deferred[None]] = []

            def begin() -> None:
                running.append(ensureDeferred(measure(options.messages, port, directory)))
                running[0].addErrback(lambda failure: failure.printTraceback()).addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]

            reactor.callLater(0.3, begin)  # type: ignore[attr-defined]
            reactor.run()  # type: ignore[attr-defined]
    finally:
        sink.terminate()


if __name__ == "__main__":
    main()
