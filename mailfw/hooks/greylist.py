"""Greylisting as a hook: whoever writes for the first time is asked to come again, which mail systems do and most spam does not.

What counts is the client's network (IPv4 /24, IPv6 /64, for large senders try again from another host), the sender and the
recipient. Who came again in time is known from then on, and a network with several such is not asked any more. Who logged in, who
comes from this machine, and whoever `[plugin.greylist] allow` names is never put off. All of it stands in a small SQLite file,
and survives a restart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from ipaddress import ip_network

from attrs import frozen
from pydantic import Field
from zope.interface import implementer

from mailfw.hooks.allowed import Allowing
from mailfw.hooks.runner import Hook
from mailfw.interfaces import IClosable, IHookContext, IHookPlugin, IOptions, IOptionsContext
from mailfw.net.peer import Networks
from mailfw.sql import Connection, Database, Migration, Schema
from mailfw.stages import Event, Result, Stage, TempFail

SCHEMA = Schema(
    "greylist",
    (
        Migration(
            (
                """CREATE TABLE triple (
                    network TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
                    is_known INTEGER NOT NULL, PRIMARY KEY (network, sender, recipient)) {clustered}""",
                "CREATE INDEX triple_last ON triple (is_known, last)",
                "CREATE TABLE network (network TEXT PRIMARY KEY, count INTEGER NOT NULL, last REAL NOT NULL) {clustered}",
            )
        ),
    ),
)

SWEEP = 1000
"""Newcomers after which what has become too old is forgotten."""


class GreylistOptions(Allowing):
    """`[plugin.greylist]`, times in seconds.

    :ivar delay: before that it is too soon to come again; :ivar window: after that too late.
    :ivar lifetime: for which who is known stays so without writing.
    :ivar networks: of so many known senders a network is not asked any more; 0: it always is.
    :ivar allow: networks that are never put off.
    """

    delay: float = Field(300.0, gt=0)
    window: float = Field(2 * 86400.0, gt=0)
    lifetime: float = Field(36 * 86400.0, gt=0)
    networks: int = Field(5, ge=0)


def networkOf(host: str) -> str:
    """What an address is known by."""
    return str(ip_network(f"{host}/{64 if ':' in host else 24}", strict=False))


Triple = tuple[str, str, str]


@implementer(IClosable)
class GreylistHook:
    """:param now: seconds since the epoch, UTC."""

    def __init__(self, database: Database, options: GreylistOptions, now: Callable[[], float]) -> None:
        self._database = database
        self._options = options
        self._allowed = Networks.parse(options.allow)
        self._now = now
        self._newcomers = 0

    async def __call__(self, event: Event) -> Result | None:
        """Puts off who is unknown."""
        client, envelope, recipient = event.client, event.envelope, event.recipient
        if client is None or envelope is None or recipient is None or client.identity is not None:
            return None
        peer = client.peer
        if peer.isUnix or peer.isLoopback or not peer.host or peer in self._allowed:
            return None
        triple = (networkOf(peer.host), str(envelope.sender or "").lower(), str(recipient.address).lower())
        now = self._now()
        seconds = await self._database.write(lambda connection: self._judge(connection, triple, now))
        if seconds <= 0:
            return None
        return TempFail(450, "4.7.1", f"greylisted, come back in {int(seconds) + 1} seconds")

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.close()

    def _judge(self, connection: Connection, triple: Triple, now: float) -> float:
        """Seconds for which that is to wait; 0: it is welcome."""
        options, network = self._options, triple[0]
        known = connection.execute("SELECT count, last FROM network WHERE network = ?", (network,)).fetchone()
        if known and options.networks and known[0] >= options.networks and known[1] >= now - options.lifetime:
            connection.execute("UPDATE network SET last = ? WHERE network = ?", (now, network))
            return 0.0
        where = "WHERE network = ? AND sender = ? AND recipient = ?"
        row = connection.execute(f"SELECT first, last, is_known FROM triple {where}", triple).fetchone()
        if row is None or row[1] < now - (options.lifetime if row[2] else options.window):
            self._note(connection, triple, now)
            return options.delay
        first, _, isKnown = row
        if not isKnown and now < first + options.delay:
            return float(first + options.delay - now)
        connection.execute(f"UPDATE triple SET last = ?, is_known = 1 {where}", (now, *triple))
        if not isKnown:
            connection.execute(
                "INSERT INTO network (network, count, last) VALUES (?, 1, ?)"
                " ON CONFLICT (network) DO UPDATE SET count = count + 1, last = excluded.last",
                (network, now),
            )
        return 0.0

    def _note(self, connection: Connection, triple: Triple, now: float) -> None:
        connection.execute(
            "INSERT INTO triple (network, sender, recipient, first, last, is_known) VALUES (?, ?, ?, ?, ?, 0)"
            " ON CONFLICT (network, sender, recipient) DO UPDATE SET first = excluded.first, last = excluded.last, is_known = 0",
            (*triple, now, now),
        )
        self._newcomers += 1
        if self._newcomers % SWEEP == 0:
            connection.execute("DELETE FROM triple WHERE is_known = 0 AND last < ?", (now - self._options.window,))
            connection.execute("DELETE FROM triple WHERE is_known = 1 AND last < ?", (now - self._options.lifetime,))
            connection.execute("DELETE FROM network WHERE last < ?", (now - self._options.lifetime,))


@implementer(IHookPlugin, IOptions)
@frozen
class GreylistPlugin:
    """Opens `greylist:`, or `greylist:FILE` below the data directory."""

    prefix: str = "greylist"
    stages: Collection[Stage] = (Stage.RCPT_TO,)
    model: type[GreylistOptions] = GreylistOptions

    def openHook(self, argument: str, context: IHookContext) -> Hook:
        """:raises Unavailable: the file cannot be used."""
        path = os.path.join(context.data, argument or "greylist.sqlite")
        database = Database.open(path, SCHEMA, reactor=context.reactor, isInline=context.isInline)
        return GreylistHook(database, IOptionsContext(context).options, context.now)


greylist = GreylistPlugin()
