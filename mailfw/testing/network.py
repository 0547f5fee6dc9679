"""Other systems' mail servers by address, in memory, on a fake clock: what a relay delivers to in tests.

network = Network({"192.0.2.1": Remote()})
sessions = network.sessions()
network.run(seconds=300)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from mailfw.delivery.destination import Hop
from mailfw.delivery.sessions import Sessions
from mailfw.smtp.client import SMTPClient
from mailfw.testing.fakes import START
from mailfw.testing.link import Link
from mailfw.testing.remote import Remote


class Network:
    """:ivar remotes: servers by IP address or socket path; nobody listens anywhere else.
    :ivar calls: hops that were connected to, or would have been, in order.
    :ivar link: options of each `Link`, by address.
    """

    def __init__(self, remotes: Mapping[str, Remote], clock: Clock | None = None) -> None:
        self.remotes = dict(remotes)
        self.clock = clock or Clock()
        self.calls: list[Hop] = []
        self.links: list[Link] = []
        self.link: dict[str, dict[str, Any]] = {}  # a Link's keywords

    def now(self) -> float:
        """Seconds since the epoch."""
        return START + float(self.clock.seconds())

    def sessions(self, **options: Any) -> Sessions:
        """Connections into this network."""
        return Sessions(self.clock, "mail.example.org", connect=self.connect, now=self.now, **options)

    async def connect(self, hop: Hop, tls: Any) -> SMTPClient:
        """:raises ConnectionRefusedError: nobody listens there."""
        self.calls.append(hop)
        if hop.address not in self.remotes:
            raise ConnectionRefusedError()  # type: ignore[no-untyped-call]
        client = SMTPClient(self.clock)
        client.isTLS = tls is not None
        self.links.append(Link(client, self.remotes[hop.address].connection(), **self.link.get(hop.address, {})))
        return client

    def run(self, seconds: float = 0.0, step: float = 0.0, until: Callable[[], object] = lambda: False) -> None:
        """Let everything happen that happens now, and then in so many seconds, in steps; or until something is true."""
        self._settle()
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end and not until():
            self.clock.advance(min(step or seconds, end - self.clock.seconds()))
            self._settle()

    def _settle(self) -> None:
        while True:
            self.clock.advance(0)
            moved = [link.pump() for link in list(self.links)]
            if not any(moved):
                break
        self.links = [link for link in self.links if not link.isOver]
