"""Measures the queue alone: `python bench/mailqueue.py [--messages 10000] [--recipients 1000000]`.

Prints durable messages of 4 KiB a second that are submitted concurrently, the time to lease and settle them; then, with so many
recipients in the queue, the time to open it, to find what is due next, and to lease a hundred.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from mailfw.delivery.queue import Queue, Settlement, Submission
from mailfw.values import Address, Envelope, MessageSource, Recipient

SIZE = 4096
DOMAINS = 2000


def submission(number: int, recipients: int = 1) -> Submission:
    """An envelope from somebody to others elsewhere."""
    to = tuple(Recipient(Address(f"user{n}", f"d{(number + n) % DOMAINS}.example")) for n in range(recipients))
    return Submission(Envelope(Address(f"sender{number % 50}", "bench.test"), to))


async def traffic(queue: Queue, messages: int, inFlight: int) -> None:
    """Messages in, and out again."""
    content = os.urandom(SIZE // 2).hex().encode()
    numbers = iter(range(messages))

    async def sender() -> None:
        for number in numbers:
            await queue.enqueue([submission(number)], MessageSource(content))

    begin = time.perf_counter()
    await gatherResults([ensureDeferred(sender()) for _ in range(inFlight)])
    print(f"enqueue, {inFlight} in flight: {messages / (time.perf_counter() - begin):,.0f} messages/s")
    begin = time.perf_counter()
    pending: list[Deferred[bool]] = []
    while leased := await queue.lease("bench", time.time() + 600):
        await queue.content(leased[0].message)
        pending += [ensureDeferred(queue.settle("bench", [Settlement(entry, None)])) for entry in leased]
    await gatherResults(pending)
    print(f"lease by 100 and settle one by one: {messages / (time.perf_counter() - begin):,.0f} messages/s")


async def crowd(path: str, recipients: int) -> None:
    """What a full queue costs."""
    queue = Queue.open(path, reactor=reactor)
    begin = time.perf_counter()
    each = 1000
    for number in range(0, recipients, each * 20):
        await gatherResults(
            [ensureDeferred(queue.enqueue([submission(n, each)], MessageSource(b"x"))) for n in range(number, number + 20)]
        )
    print(f"{recipients:,} recipients queued in {time.perf_counter() - begin:.1f} s")
    await queue.close()
    begin = time.perf_counter()
    queue = Queue.open(path, reactor=reactor)
    await queue.nextDue()
    print(f"opened, and first answer: {1000 * (time.perf_counter() - begin):.2f} ms")
    await _timed("next due", queue, 200)
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        leased = await queue.lease("bench", time.time() + 600)
        times.append(time.perf_counter() - begin)
        assert len(leased) == 100
    print(f"lease 100: {_middle(times):.2f} ms")
    await queue.close()


async def _timed(what: str, queue: Queue, times: int) -> None:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        await queue.nextDue()
        taken.append(time.perf_counter() - begin)
    print(f"{what}: {_middle(taken):.3f} ms, crossing to a reader thread and back included")


def _middle(seconds: Sequence[float]) -> float:
    return 1000 * sorted(seconds)[len(seconds) // 2]


async def measure(options: argparse.Namespace, directory: str) -> None:
    """All of it."""
    queue = Queue.open(os.path.join(directory, "traffic.sqlite"), reactor=reactor)
    for inFlight in options.in_flight:
        await traffic(queue, options.messages, inFlight)
    await queue.close()
    if options.recipients:
        await crowd(os.path.join(directory, "crowd.sqlite"), options.recipients)


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--recipients", type=int, default=1_000_000)
    options = parser.parse_args()
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(dir=".") as directory:
        running: list[Deferred[None]] = []

        def begin() -> None:
            running.append(ensureDeferred(measure(options, directory)))
            running[0].addErrback(lambda failure: failure.printTraceback()).addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]

        reactor.callWhenRunning(begin)  # type: ignore[attr-defined]
        reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
