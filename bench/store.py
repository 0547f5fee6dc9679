"""Measures stores alone, without any protocol: `python bench/store.py [--store sqlite] [--seconds 3]`.

Prints durable deliveries a second with some messages in flight at a time, and the rate at which ENVELOPE and BODYSTRUCTURE of
10,000 messages are read and rendered, with the longest time for which the reactor was held meanwhile.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from mailfw.interfaces import IMailStore, Row
from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.values import ALL_UIDS, Column, Create, Identity, MessageSource, Quota, SpecialUse, Target

WORDS = ("project", "meeting", "report", "budget", "release", "server", "customer", "contract", "invoice", "travel", "review")
ACCOUNTS = 100
PLUGINS = {"sqlite": sqlite, "memory": memory, "maildir": maildir, "textfile": textfile}


@frozen
class Context:
    """What the store is given."""

    data: str
    reactor: Any = reactor
    domains: tuple[str, ...] = ("bench.test",)
    now: Any = time.time
    isInline: bool = False
    mailboxes: Sequence[Create] = ()
    expiry: Mapping[SpecialUse, float] = field(factory=dict)

    async def quotaOf(self, account: str) -> Quota:
        """Nothing is limited."""
        return Quota()


def message(number: int, size: int) -> bytes:
    """A message of about that many octets, with an alternative part."""
    chance = random.Random(number)
    lines = [" ".join(chance.choices(WORDS, k=10)) for _ in range(size // 70)]
    half = len(lines) // 2
    return "\r\n".join(
        [
            f"Received: from mx{number % 9}.example.org by mail.bench.test with ESMTPS id {number:010x};\r\n"
            "\tMon, 23 Nov 2026 18:00:00 +0000",
            f"From: Ana Berg <ana{number % 50}@example.org>",
            f"To: u{number % ACCOUNTS}@bench.test",
            f"Subject: {' '.join(chance.choices(WORDS, k=5))}",
            "Date: Mon, 23 Nov 2026 18:00:00 +0000",
            f"Message-ID: <m{number}.{size}@example.org>",
            "MIME-Version: 1.0",
            'Content-Type: multipart/alternative; boundary="b"',
            "",
            "--b",
            "Content-Type: text/plain; charset=utf-8",
            "",
            *lines[:half],
            "--b",
            "Content-Type: text/html; charset=utf-8",
            "",
            *lines[half:],
            "--b--",
            "",
        ]
    ).encode()


async def deliveries(store: IMailStore, inFlight: int, seconds: float, messages: Sequence[bytes], accounts: int) -> float:
    """Durable deliveries a second."""
    end = time.perf_counter() + seconds
    done = 0

    async def sender(number: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            content = messages[(done + number) % len(messages)]
            outcomes = await store.deliver(MessageSource(content), [Target(f"u{(done + number) % accounts}@bench.test")])
            assert outcomes[0].isTaken, outcomes
            done += 1

    begin = time.perf_counter()
    await gatherResults([ensureDeferred(sender(number)) for number in range(inFlight)])
    return done / (time.perf_counter() - begin)


def render(rows: Sequence[Row]) -> list[bytes]:
    """As an IMAP server would."""
    return [b"* %d FETCH (UID %d ENVELOPE %b BODYSTRUCTURE %b)\r\n" % (row[0], row[0], row[1], row[2]) for row in rows]


async def fetch(store: IMailStore, count: int, messages: Sequence[bytes]) -> tuple[float, float]:
    """Rows a second, and the longest time in seconds between two turns of the reactor."""
    who = Identity("fetch@bench.test")
    account = await store.openAccount(who, who.account)
    for start in range(0, count, 500):
        batch = [
            ensureDeferred(store.deliver(MessageSource(messages[n % len(messages)]), [Target(who.account)]))
            for n in range(start, start + 500)
        ]
        await gatherResults(batch)
    mailbox = await account.open("INBOX")
    worst, last, isOver = 0.0, time.perf_counter(), False

    def tick() -> None:
        nonlocal worst, last
        now = time.perf_counter()
        worst, last = max(worst, now - last), now
        if not isOver:
            reactor.callLater(0, tick)  # type: ignore[attr-defined]

    tick()
    begin = time.perf_counter()
    octets = 0
    async for items in mailbox.rows(ALL_UIDS, (Column.UID, Column.ENVELOPE, Column.BODY_STRUCTURE), render):
        octets += sum(map(len, items))
    spent = time.perf_counter() - begin
    isOver = True
    assert octets > count * 100
    return count / spent, worst


async def measure(options: argparse.Namespace, directory: str) -> None:
    """All of it, one line each."""
    messages = [message(number, options.size) for number in range(500)]
    argument = "" if options.store == "memory" else "mail"
    store = openStore(PLUGINS[options.store], argument, Context(directory))
    for accounts in (ACCOUNTS, 1):
        for inFlight in (1, 10, 50):
            rate = await deliveries(store, inFlight, options.seconds, messages, accounts)
            what = f"deliveries/s of {len(messages[0])} octets, {inFlight} in flight, {accounts} accounts"
            print(f"{options.store}: {rate:8.0f} {what}")
    rate, worst = await fetch(store, 10_000, messages)
    what = f"rows/s with ENVELOPE and BODYSTRUCTURE, reactor held at most {worst * 1000:.1f} ms"
    print(f"{options.store}: {rate:8.0f} {what}")
    await store.close()


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=list(PLUGINS), default="sqlite")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=3600)
    options = parser.parse_args()
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(dir=".") as directory:
        running: list[Deferred[None]] = []

        def begin() -> None:
            running.append(ensureDeferred(measure(options, directory)))
            running[0].addErrback(lambda failure: failure.printTraceback(sys.stderr)).addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]

        reactor.callWhenRunning(begin)  # type: ignore[attr-defined]
        reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
