"""A whole mail system in memory, on a fake clock: what conversations and protocol tests run in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mailfw.interfaces import IMailService, IMailStore, IRouter
from mailfw.net.connection import Connection
from mailfw.net.context import ServiceContext
from mailfw.net.limits import Limits
from mailfw.net.sessions import SessionRegistry
from mailfw.net.spool import SpoolDirectory
from mailfw.sasl.exchange import Logins
from mailfw.testing.fakes import START, FakeAuthenticator, FakeDirectory, FakeRouter, NoStore
from mailfw.testing.transport import MemoryTransport

ACCOUNTS = {"mbrain@localhost": "mailfw", "jsmith@localhost": "mailfw"}


class World:
    """A `ServiceContext` made of fakes, and connections into it.

    :ivar clock: time stands still until `advance`.
    :ivar context: change what a test needs changed before connecting.
    """

    def __init__(
        self,
        store: IMailStore | None = None,
        router: IRouter | None = None,
        clock: Clock | None = None,
        accounts: Mapping[str, str] = ACCOUNTS,
        limits: Limits | None = None,
        directory: str = "",
    ) -> None:
        self.clock = clock or Clock()
        self.users = FakeAuthenticator(accounts)
        self.directory = FakeDirectory(self.users)
        spool = SpoolDirectory(directory or os.path.join(tempfile.gettempdir(), f"mailfw-{os.getpid()}"))
        self.context = ServiceContext(
            hostname="mail.localhost",
            domains=("localhost",),
            store=store or NoStore(),
            logins=Logins(self.users, domain="localhost", secret=b"fake"),
            directory=self.directory,
            router=router or FakeRouter(self.directory),
            spool=spool,
            reactor=self.clock,
            sessions=SessionRegistry(self.clock),
            limits=limits or Limits(),
            tls=object(),
            now=lambda: START + self.clock.seconds(),
        )

    def connect(self, service: IMailService, peer: IAddress | None = None) -> MemoryTransport:
        """A client connects to a service."""
        connection: Any = service.factory(self.context).buildProtocol(peer)
        assert isinstance(connection, Connection)
        return MemoryTransport(connection, peer).connect()

    def closeStore(self) -> None:
        """Close the store. :raises Exception: what it raises, or that it waits for something that is not coming."""
        closed = Deferred.fromCoroutine(self.context.store.close())
        outcome: list[Any] = []
        closed.addBoth(outcome.append)
        if not outcome:
            raise AssertionError("the store does not close")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and what is due happen."""
        self.clock.advance(seconds)
