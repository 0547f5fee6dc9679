"""CPU time of the SMTP protocol itself: server, session and grammar, in memory, with a router that keeps nothing.

    python bench/smtp.py [--size OCTETS] [--count N]

Each message is MAIL, RCPT, DATA and the content, on one connection: once with a client that waits for each reply, once with one
that pipelines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from zope.interface import implementer

from mailfw.hooks.runner import Attached, Hooks
from mailfw.interfaces import IDelivery, IRouter
from mailfw.smtp.data import DataDecoder
from mailfw.smtp.server import smtp
from mailfw.stages import Event, Stage
from mailfw.testing.world import World
from mailfw.values import Envelope, Fate, MessageSource, Outcome, Peer, Recipient

DONE = Outcome(Fate.DELIVERED)


@implementer(IDelivery)
class NullDelivery:
    """Takes everything and keeps nothing."""

    def __init__(self) -> None:
        self.count = 0

    async def recipient(self, recipient: Recipient) -> None:
        self.count += 1

    async def commit(self, message: MessageSource) -> list[Outcome]:
        return [DONE] * self.count

    def abort(self) -> None:
        pass


@implementer(IRouter)
class NullRouter:
    """Opens deliveries to nowhere."""

    isQueueing = True

    def begin(self, envelope: Envelope, peer: Peer) -> IDelivery:
        return NullDelivery()


def content(size: int) -> bytes:
    """A message of about that size."""
    header = b"".join(b"X-Field-%d: %s\r\n" % (n, b"v" * 50) for n in range(10)) + b"Subject: x\r\n\r\n"
    line = b"0123456789" * 7 + b"abcdef\r\n"
    return header + line * max(1, (size - len(header)) // len(line))


async def silent(event: Event) -> None:
    """A hook that has nothing to say."""


def run(count: int, segments: Sequence[bytes], stages: Sequence[Stage] = ()) -> float:
    """Microseconds of CPU for each message, when these are the client's segments for one, and there are hooks at these stages."""
    world = World(router=NullRouter())
    if stages:
        world.context.hooks = Hooks({stage: [Attached("silent", silent)] for stage in stages}, world.clock)
    transport = world.connect(smtp)
    transport.send(b"EHLO bench.example\r\n")
    transport.take()
    start = time.process_time()
    for _ in range(count):
        for segment in segments:
            transport.send(segment)
        transport.take()
    spent = time.process_time() - start
    transport.send(segments[0][:0] + b"RSET\r\n")
    assert transport.take().startswith(b"250 ")
    return spent / count * 1e6


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", type=int, default=4096)
    options.add_argument("--count", type=int, default=5000)
    asked = options.parse_args()
    mail, rcpt, data = b"MAIL FROM:<sender@example.org> SIZE=4096\r\n", b"RCPT TO:<jsmith@localhost>\r\n", b"DATA\r\n"
    body = content(asked.size) + b".\r\n"
    print(f"{run(asked.count, [mail, rcpt, data, body]):8.1f} us a message of {len(body)} octets, waiting for replies")
    print(f"{run(asked.count, [mail + rcpt + data, body]):8.1f} us a message of {len(body)} octets, pipelined")
    stages = [Stage.RCPT_TO, Stage.END_OF_MESSAGE]
    spent = run(asked.count, [mail + rcpt + data, body], stages)
    print(f"{spent:8.1f} us a message of {len(body)} octets, pipelined, with a silent hook at each of {len(stages)} stages")
    large = content(10 << 20) + b".\r\n"
    decoder = DataDecoder(len)
    start = time.process_time()
    for at in range(0, len(large), 65536):
        decoder.feed(large[at : at + 65536])
    print(f"{time.process_time() - start:8.3f} s to decode {len(large)} octets of DATA")


if __name__ == "__main__":
    main()
