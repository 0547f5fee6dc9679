"""One listening socket as a Twisted service: bound while the process still may, opened once there is something behind it.

A connection that comes before `open` waits in the kernel's queue, for the reactor does not run yet. After `stopService`
begins, no new connection is accepted; those that are there are the session registry's business.

A listener that is stopped while the server runs keeps its socket, which a process without root's rights might not get again:
whoever comes is told so in the protocol's own words, where it has such words, and hung up on.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.python.log import callWithContext

from mailfw.app.endpoints import Binding, isFamilyMissing
from mailfw.app.logs import QUIET
from mailfw.app.problem import Problem
from mailfw.net.factory import MailFactory
from mailfw.net.peer import NOBODY, Networks
from mailfw.net.proxy import ProxiedFactory

_log = Logger("mailfw.app")


class Gate(Factory):
    """Stands at the socket until the factory behind it is made."""

    noisy = False

    def __init__(self) -> None:
        self.inner: Any = None  # IProtocolFactory, whose annotations in Twisted contradict its implementations
        self.isShut = False
        self._factory: Any = None

    def open(self, factory: IProtocolFactory, tls: Any, proxies: Networks, clock: IReactorTime) -> None:
        """Let connections in; with TLS from their first octet when `tls` is given.

        :param proxies: peers that say for whom they speak before anything else; where there are any, nobody else is let in.
        """
        self._factory = factory
        inner: Any = TLSMemoryBIOFactory(tls, False, factory) if tls is not None else factory
        self.inner = ProxiedFactory(inner, proxies, clock) if proxies != NOBODY else inner
        inner.doStart()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """What the factory behind builds; nobody is let in before there is one."""
        isPolite = isinstance(self._factory, MailFactory)
        if self.inner is None or (self.isShut and not isPolite):
            return None
        return self.inner.buildProtocol(addr)

    def shut(self, reason: str) -> None:
        """Let nobody in, who is told why; empty: let clients in again."""
        self.isShut = bool(reason)
        if isinstance(self._factory, MailFactory):
            self._factory.refusing = reason


class Listener(Service):
    """A service on one socket.

    :param service: the configuration's word.
    :param binding: where.
    :ivar isInside: it is for those who look inside the server (IInsideService).
    :param proxies: whom connections are taken from, where they come by way of a proxy.
    """

    def __init__(
        self, service: str, binding: Binding, reactor: Any, proxies: Networks = NOBODY, isInside: bool = False
    ) -> None:
        self.service = service
        self.isInside = isInside
        self.proxies = proxies
        self.binding = binding
        self.gate = Gate()
        self.port: IListeningPort | None = None
        self._reactor = reactor
        self.setName(f"{service} {binding}")

    def __repr__(self) -> str:
        return f"<listener {self.service} {self.address or self.binding}{' (stopped)' * self.isStopped}>"

    def bind(self) -> None:
        """Take the socket.

        :raises Problem: it cannot be had; the text says what to do. (Endpoint types that answer later are logged instead.)
        """
        try:
            endpoint: Any = serverFromString(self._reactor, self.binding.description)
        except Exception as error:  # whatever the endpoint type makes of its arguments; systemd's looks for its sockets here
            raise Problem(f"{self.service} cannot listen on {self.binding}: {_explained(self.binding, error)}") from None
        failures: list[Failure] = []
        callWithContext({QUIET: True}, endpoint.listen, self.gate).addCallbacks(self._bound, failures.append)
        for failure in failures:
            self._refused(failure)

    @property
    def address(self) -> str:
        """Where it listens in fact, which port 0 and systemd leave open; empty when it does not."""
        if self.port is None:
            return ""
        host: Any = self.port.getHost()
        if not hasattr(host, "port"):
            return str(self.binding)
        name = str(host.host)
        return f"[{name}]:{host.port}" if ":" in name else f"{name}:{host.port}"

    @property
    def isStopped(self) -> bool:
        """Whether nobody is let in, though it listens."""
        return self.gate.isShut

    def turnAway(self) -> None:
        """Let nobody in any more; who is in stays."""
        self.gate.shut("this service is stopped, try again later")

    def letIn(self) -> None:
        """End that."""
        self.gate.shut("")

    def stopService(self) -> Deferred[Any]:
        """Accept nobody any more."""
        super().stopService()
        port, self.port = self.port, None
        return maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)

    def _bound(self, port: IListeningPort) -> None:
        self.port = port

    def _refused(self, failure: Failure) -> None:
        error: BaseException = failure.value or RuntimeError()
        if isinstance(error, CannotListenError) and isinstance(error.socketError, OSError):
            error = error.socketError
        if self.binding.isOptional and isinstance(error, OSError) and isFamilyMissing(error):
            return
        raise cannotListen([(self.service, self.binding, error)])


def cannotListen(obstacles: list[tuple[str, Binding, BaseException]]) -> Problem:
    """One line for all the sockets that cannot be had, with what to do about it."""
    taken = [each for each in obstacles if _isOf(each[2], errno.EADDRINUSE)]
    if taken:
        which = ", ".join(f"{binding} ({service})" for service, binding, _ in taken[:3])
        which += f" and {len(taken) - 3} more" if len(taken) > 3 else ""
        verb, noun = ("are", "they belong to") if len(taken) > 1 else ("is", "it belongs to")
        return Problem(
            f"{which} {verb} taken: stop the program {noun}, or choose other ports with --listen {taken[0][0]}=ENDPOINT"
        )
    service, binding, error = obstacles[0]
    if _isOf(error, errno.EACCES, errno.EPERM):
        if binding.kind == "tcp":
            return Problem(
                f"{binding} ({service}) needs root's rights: start as root with twistd's --uid and --gid, "
                "or use systemd's socket activation"
            )
        return Problem(f"{binding} ({service}) cannot be made: its directory is not writable")
    if isinstance(error, OSError) and isFamilyMissing(error):
        return Problem(f"{binding} ({service}): this machine has no such address")
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return Problem(f"{binding} ({service}) cannot be listened on: {reason}")


def _explained(binding: Binding, error: Exception) -> str:
    if binding.kind == "systemd" and isinstance(error, LookupError):
        return "systemd has passed no such socket; is there a .socket unit with that FileDescriptorName?"
    return " ".join(str(error).split()) or type(error).__name__


def _isOf(error: BaseException, *numbers: int) -> bool:
    return isinstance(error, OSError) and error.errno in numbers
