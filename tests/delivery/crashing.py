"""A process that takes mail into a queue and brings it on until it is killed: `python crashing.py DIRECTORY NAME [drain]`.

What the queue has acknowledged is a line in `accepted`, what the next hop has taken a line in `taken`: both outlive the process.
"""

import os
import random
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.lanes import RelayLimits
from mailfw.delivery.queue import Queue, Submission
from mailfw.delivery.relay import Relay
from mailfw.delivery.routes import Routes
from mailfw.delivery.schedule import Schedule
from mailfw.errors import Refusal, TemporaryRefusal
from mailfw.interfaces import IDelivery, IRoute
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Recipient

LEASE = 1.0
CHOICES = [Fate.DELIVERED] * 8 + [Fate.DEFERRED, Fate.FAILED]


def append(path):
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return lambda line: os.write(handle, line.encode() + b"\n")


@implementer(IRoute)
class FileRoute:
    """A next hop that is a file, in a bad mood at times."""

    def __init__(self, take):
        self.take = take

    def destination(self, domain):
        return domain

    def begin(self, envelope):
        return FileDelivery(self.take, envelope)


@implementer(IDelivery)
class FileDelivery:
    def __init__(self, take, envelope):
        self.take = take
        self.isReport = envelope.sender is None
        self.recipients = []

    async def recipient(self, recipient):
        self.recipients.append(recipient.address)

    def abort(self):
        pass

    async def commit(self, message):
        waiting = Deferred()
        reactor.callLater(random.uniform(0, 0.02), waiting.callback, None)
        await waiting
        if self.isReport:
            body = message.read().decode()
            self.take("failed " + body.partition("X-Number: ")[2].split()[0])
            return [Outcome(Fate.DELIVERED)]
        fates = [random.choice(CHOICES) for _ in self.recipients]
        for address, fate in zip(self.recipients, fates, strict=True):
            if fate is Fate.DELIVERED:
                self.take(f"delivered {address.local}")
        refusals = {Fate.DEFERRED: TemporaryRefusal("later"), Fate.FAILED: Refusal("no")}
        return [Outcome(fate, refusals.get(fate)) for fate in fates]


async def submit(queue, name, accepted):
    """Queue numbered messages, a few at a time, for ever."""

    async def one(number):
        ident = f"{name}.{number}"
        to = Recipient(Address(ident, f"d{number % 7}.example"))
        size = 300_000 if number % 100 == 99 else 2000
        content = f"X-Number: {ident}\r\n\r\n".encode() + b"x" * size
        await queue.enqueue([Submission(Envelope(Address("me", "here.example"), (to,)))], MessageSource(content))
        accepted(ident)

    async def many(start):
        for number in range(start, 10**9, 10):
            await one(number)

    for start in range(10):
        Deferred.fromCoroutine(many(start))


async def drain(queue, relay):
    while await queue.count():
        waiting = Deferred()
        reactor.callLater(0.05, waiting.callback, None)
        await waiting
    await relay.stop()
    await queue.collect()
    await queue.close()
    reactor.stop()


def main(directory, name, mode=""):
    queue = Queue.open(os.path.join(directory, "queue.sqlite"), reactor=reactor)
    routes = Routes(FileRoute(append(os.path.join(directory, "taken"))))
    schedule = Schedule(((0.05, 1),))
    limits = RelayLimits(lease=LEASE)
    relay = Relay(queue, routes, Bouncer("here.example"), reactor, schedule=lambda domain: schedule, limits=limits)
    reactor.callWhenRunning(relay.start)
    work = drain(queue, relay) if mode == "drain" else submit(queue, name, append(os.path.join(directory, "accepted")))
    reactor.callWhenRunning(Deferred.fromCoroutine, work)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
