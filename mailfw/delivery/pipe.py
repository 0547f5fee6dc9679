"""The way into a program: `pipe:PROGRAM ARGUMENTS`, run once for each recipient, the message on its standard input.

No shell is involved: the words are divided once, when the route is opened, and what a stranger wrote is put into a word that is
there, never divided again: `${recipient}`, `${user}`, `${domain}`, `${sender}`. An address that begins with a dash is refused, so
that none can be an option. The exit status says what became of it, as sysexits.h has it; a program that takes too long is killed
with all that it has started, and what it prints is read up to a bound.

The program gets the message with Return-Path and Delivered-To before it, and lines ended by LF, as programs expect that.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IPullProducer
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.delivery.local import returnPath
from mailfw.errors import Refusal, TemporaryRefusal
from mailfw.interfaces import IDelivery, IRoute, IRouteContext, IRoutePlugin
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Recipient

DEADLINE = 300.0
"""Seconds that a program may take."""

OUTPUT = 4096
"""Octets of what it prints that are kept."""

_APART = shutil.which("setsid", path=os.defpath)
"""Begins a program as the head of a process group of its own; None: there is no such thing, and its children are left alone."""

_TEMPORARY = {71: "4.3.0", 72: "4.3.0", 73: "4.3.0", 74: "4.3.0", 75: "4.3.0", 126: "4.3.5", 127: "4.3.5"}
_PERMANENT = {
    64: "5.3.5",  # EX_USAGE
    65: "5.6.0",  # EX_DATAERR
    66: "5.3.0",  # EX_NOINPUT
    67: "5.1.1",  # EX_NOUSER
    68: "5.1.2",  # EX_NOHOST
    69: "5.3.0",  # EX_UNAVAILABLE
    70: "5.3.0",  # EX_SOFTWARE
    76: "5.5.0",  # EX_PROTOCOL
    77: "5.7.0",  # EX_NOPERM
    78: "5.3.5",  # EX_CONFIG
}

_PLACE = re.compile(r"\$\{(recipient|user|domain|sender)\}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@implementer(IRoute)
class PipeRoute:
    """:param words: the program's path, and its arguments with places in them.
    :param reactor: IReactorProcess and IReactorTime.
    """

    def __init__(self, words: Sequence[str], reactor: Any, directory: str, deadline: float = DEADLINE) -> None:
        self.words = tuple(words)
        self.reactor = reactor
        self.directory = directory
        self.deadline = deadline

    def destination(self, domain: str) -> str:
        """The program."""
        return f"pipe:{self.words[0]}"

    def begin(self, envelope: Envelope) -> IDelivery:
        """A delivery into the program."""
        return _Pipe(self, envelope)


@implementer(IDelivery)
class _Pipe:
    def __init__(self, route: PipeRoute, envelope: Envelope) -> None:
        self._route = route
        self._envelope = envelope
        self._recipients: list[Address] = []

    async def recipient(self, recipient: Recipient) -> None:
        self._recipients.append(recipient.address)

    def abort(self) -> None:
        """Nothing was begun."""

    async def commit(self, message: MessageSource) -> list[Outcome]:
        return [await self._run(address, message) for address in self._recipients]

    async def _run(self, address: Address, message: MessageSource) -> Outcome:
        sender = self._envelope.sender
        values = {
            "recipient": f"{address.local}@{address.domain}",
            "user": address.local,
            "domain": address.domain,
            "sender": f"{sender.local}@{sender.domain}" if sender else "",
        }
        if any(value.startswith("-") or "\0" in value for value in values.values()):
            return Outcome(Fate.FAILED, Refusal("this address cannot be given to a program"), status="5.1.3")
        apart = [_APART] if _APART is not None else []
        words = apart + [_PLACE.sub(lambda match: values[match[1]], word) for word in self._route.words]
        header = b"Delivered-To: %b\r\n" % str(address).encode()
        program = _Program(message.withPrefix(returnPath(sender) + header), self._route)
        environment = {"PATH": os.defpath, **{name.upper(): value for name, value in values.items()}}
        try:
            self._route.reactor.spawnProcess(program, words[0], words, environment, self._route.directory)
        except OSError as error:
            return Outcome(Fate.DEFERRED, TemporaryRefusal(f"the program cannot be run: {error.strerror}"), status="4.3.5")
        return await program.ended


@implementer(IPullProducer)
class _Program(ProcessProtocol):
    """One run. :ivar ended: fires with its outcome."""

    def __init__(self, message: MessageSource, route: PipeRoute) -> None:
        self.ended: Deferred[Outcome] = Deferred()
        self._route = route
        self._pieces = _withLF(message)
        self._output = b""
        self._error: Exception | None = None
        self._timer: IDelayedCall | None = None
        self._transport: Any = None
        self._group = 0

    def connectionMade(self) -> None:
        """Twisted's: it runs."""
        self._transport = self.transport
        self._group = self._transport.pid if _APART is not None else 0
        self._timer = self._route.reactor.callLater(self._route.deadline, self._kill, None)
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Twisted's: it takes the next piece."""
        try:
            piece = next(filter(None, self._pieces), None)
        except Exception as error:  # our own file: it must not be taken for a whole message
            self._kill(error)
            return
        if piece is None:
            self._transport.unregisterProducer()
            self._transport.closeStdin()
        else:
            self._transport.write(piece)

    def stopProducing(self) -> None:
        """Twisted's: it takes no more, which its exit status explains."""

    def outReceived(self, data: bytes) -> None:
        """Twisted's: it prints."""
        self._output = (self._output + data)[:OUTPUT]

    errReceived = outReceived

    def _kill(self, error: Exception | None) -> None:
        self._error = error or TimeoutError(f"the program took longer than {self._route.deadline:.0f} seconds")
        if self._group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
        with suppress(ProcessExitedAlready):
            self._transport.signalProcess("KILL")
        self._transport.loseConnection()  # or what has left the group keeps its output open

    def processEnded(self, reason: Failure) -> None:
        """Twisted's: it has ended, and its output with it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.ended.callback(self._outcome(reason))

    def _outcome(self, reason: Failure) -> Outcome:
        said = _UNSAFE.sub(" ", self._output.decode("utf-8", "replace")).strip()[:500]
        if self._error is not None:
            return Outcome(Fate.DEFERRED, TemporaryRefusal(str(self._error)), str(self._error), "4.3.0")
        if isinstance(reason.value, ProcessDone):
            return Outcome(Fate.DELIVERED, remark=said, status="2.0.0")
        status = reason.value.exitCode if isinstance(reason.value, ProcessTerminated) else None
        words = said or f"the program ended with status {status}"
        if status in _PERMANENT:
            return Outcome(Fate.FAILED, Refusal(words), words, _PERMANENT[status])
        return Outcome(Fate.DEFERRED, TemporaryRefusal(words), words, _TEMPORARY.get(status or 0, "4.3.0"))


def _withLF(message: MessageSource) -> Iterator[bytes]:
    held = b""
    for piece in message.chunks():
        piece = held + piece
        held = b"\r" if piece.endswith(b"\r") else b""
        yield piece.removesuffix(b"\r").replace(b"\r\n", b"\n")
    if held:
        yield held


@implementer(IRoutePlugin)
class _Plugin:
    prefix = "pipe"

    def openRoute(self, argument: str, context: IRouteContext) -> IRoute:
        """:raises ValueError: there is no such program."""
        words = shlex.split(argument)
        if not words or not os.path.isabs(words[0]):
            raise ValueError('a program is named by its whole path: "pipe:/usr/bin/program ${recipient}"')
        if not os.access(words[0], os.X_OK):
            raise ValueError(f"{words[0]} is no program that can be run")
        unknown = re.search(r"\$\{(?!recipient\}|user\}|domain\}|sender\})[^}]*\}?", " ".join(words))
        if unknown:
            raise ValueError(f"{unknown[0]} is nothing: there are ${{recipient}}, ${{user}}, ${{domain}} and ${{sender}}")
        return IRoute(PipeRoute(words, context.reactor, context.data))


pipe = _Plugin()
