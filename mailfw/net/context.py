"""What a listening service is given to work with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from mailfw.interfaces import IDirectory, IHooks, IMailStore, IRouter
from mailfw.net.connection import Connection
from mailfw.net.limits import Limits
from mailfw.net.peer import NOBODY, Networks
from mailfw.net.sessions import SessionRegistry
from mailfw.net.spool import SpoolDirectory
from mailfw.net.stretches import Stretches
from mailfw.sasl.exchange import Logins
from mailfw.tally import Tally


@define(eq=False)
class ServiceContext:
    """The system as one listening service sees it. Reloading the configuration changes attributes in place.

    :ivar hostname: what the server calls itself.
    :ivar domains: the domains that mail ends in here, the first one being that of users without a domain.
    :ivar logins: who may come in, and by which mechanisms.
    :ivar reactor: `IReactorTime` and what else the reactor gives.
    :ivar tls: `IOpenSSLServerConnectionCreator`; None: no certificate, so TLS is not offered.
    :ivar plaintext: where passwords may come without TLS: `loopback`, `never`, `always`.
    :ivar protocols: what the configuration says to one protocol alone, by its name: an object of that room's own.
    :ivar now: seconds since the epoch, UTC.
    :ivar inquiries: whom VRFY and EXPN tell the truth: `login`, `never`, `always`.
    :ivar xclient: peers that may say whom they speak for.
    :ivar hooks: who else has a say; None: nobody.
    :ivar tally: what is counted.
    :ivar stretches: where long work on the reactor waits for its turns.
    """

    hostname: str
    domains: tuple[str, ...]
    store: IMailStore
    logins: Logins
    directory: IDirectory
    router: IRouter
    spool: SpoolDirectory
    reactor: Any
    sessions: SessionRegistry
    limits: Limits = field(factory=Limits)
    tls: Any = None
    plaintext: str = "loopback"
    protocols: Mapping[str, Any] = field(factory=dict)
    now: Callable[[], float] = field(default=time.time)
    inquiries: str = "login"
    xclient: Networks = NOBODY
    hooks: IHooks | None = None
    tally: Tally = field(factory=Tally)
    stretches: Stretches = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.stretches = Stretches(self.reactor)

    def mayUsePlaintext(self, connection: Connection) -> bool:
        """Whether a password may come on this connection as it is now."""
        if connection.isTLS or self.plaintext == "always":
            return True
        return self.plaintext == "loopback" and connection.peer.isLoopback
