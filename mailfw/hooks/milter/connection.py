"""The hook: a connection to the milter for each client's, opened when it is first needed.

When a milter is gone, or was too slow, its connection is closed, and the question at hand fails; the next one is put on a new
connection, on which the milter is first told what it has missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.hooks.address import connected, endpointOf
from mailfw.hooks.milter.grammar import MilterError, Packet, PacketParser
from mailfw.hooks.milter.session import MilterSession
from mailfw.hooks.runner import Hook
from mailfw.interfaces import IHookContext, IHookPlugin
from mailfw.net.spool import Spool, SpoolDirectory
from mailfw.stages import Client, Event, Result, Stage
from mailfw.values import Envelope


class MilterConnection(Protocol):
    """Packets to and from a milter; a `session.Channel`."""

    def __init__(self, spools: SpoolDirectory) -> None:
        self.isOpen = True
        self._spools = spools
        self._parser = PacketParser()
        self._packets: deque[Packet] = deque()
        self._waiting: Deferred[Packet] | None = None

    def write(self, data: bytes) -> None:
        """Send octets; they go nowhere when the milter is gone, or has said something that would be taken for the answer."""
        if self._packets:
            self._stray()
        if self.isOpen and self.transport is not None:
            self.transport.write(data)

    def packet(self) -> Deferred[Packet]:
        """The next packet; whoever gives up waiting for it has closed the connection."""
        waiting: Deferred[Packet] = Deferred(lambda _: self.abort())
        if self._packets:
            waiting.callback(self._packets.popleft())
        elif not self.isOpen:
            waiting.errback(MilterError("the milter has closed the connection"))
        else:
            self._waiting = waiting
        return waiting

    def spool(self) -> Spool:
        """For a body that takes the place of another."""
        return self._spools.open()

    def close(self) -> None:
        """End it, when what was written has left."""
        self.isOpen = False
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """End it at once: what was written may never leave, for a milter that does not read."""
        self.isOpen = False
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Some octets."""
        try:
            self._packets.extend(self._parser.feed(data))
        except MilterError as error:
            self.abort()
            self._fail(error)
            return
        if self._waiting is not None and self._packets:
            waiting, self._waiting = self._waiting, None
            waiting.callback(self._packets.popleft())
        if self._packets and self._waiting is None:
            self._stray()

    def _stray(self) -> None:
        """It says more than it was asked: whatever it says next is the answer to something else."""
        self._packets.clear()
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The milter is gone."""
        self.isOpen = False
        self._fail(MilterError("the milter has closed the connection"))

    def _fail(self, error: MilterError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(error)


@frozen
class _Open:
    """A session and its connection."""

    session: MilterSession
    connection: MilterConnection


class MilterHook:
    """:param endpoint: where the milter listens."""

    def __init__(self, endpoint: Any, spools: SpoolDirectory) -> None:
        self._endpoint = endpoint
        self._spools = spools

    async def __call__(self, event: Event) -> Result | None:
        """What the milter says at one stage."""
        client, stage = event.client, event.stage
        if client is None:
            raise MilterError(f"a milter knows no {stage.value}")
        found: _Open | None = client.notes.get(self)
        if stage in (Stage.RSET, Stage.DISCONNECT):
            if found is not None:
                self._end(found, client, isGone=stage is Stage.DISCONNECT)
            return None
        if found is not None and stage is Stage.CONNECT:  # the connection has become another client's (XCLIENT)
            self._end(found, client, isGone=True)
            found = None
        if found is None or not found.connection.isOpen:
            return await self._begin(event, client)
        return await self._tell(found.session, event, client)

    def _end(self, found: _Open, client: Client, isGone: bool) -> None:
        if isGone:
            found.session.quit()
            found.connection.close()
            client.notes.pop(self, None)
        else:
            found.session.forget()

    async def _begin(self, event: Event, client: Client) -> Result | None:
        """A connection, on which the milter is told who is there."""
        connection = await connected(self._endpoint, lambda: MilterConnection(self._spools))
        session = MilterSession(connection)
        try:
            await session.negotiate()
            said = await session.connect(client)
            if said is None and event.stage is not Stage.CONNECT and client.hello:
                said = await session.helo(client)
        except BaseException:
            connection.abort()
            raise
        client.notes[self] = _Open(session, connection)
        if said is not None or event.stage in (Stage.CONNECT, Stage.EHLO):
            return said
        return await self._tell(session, event, client)

    async def _tell(self, session: MilterSession, event: Event, client: Client) -> Result | None:
        stage, envelope = event.stage, event.envelope
        if stage is Stage.EHLO:
            return await session.helo(client)
        if stage is Stage.UNKNOWN_COMMAND:
            return await session.unknown(event.argument)
        if envelope is None:
            raise MilterError(f"a milter knows no {stage.value}")
        if stage is Stage.MAIL_FROM:
            return await session.mail(client, envelope)
        said = None if session.isInMessage else await self._catchUp(session, event, client, envelope)
        if said is not None:
            return said
        if stage is Stage.RCPT_TO and event.recipient is not None:
            return await session.rcpt(event.recipient)
        if stage is Stage.DATA:
            return await session.data(client)
        if stage is Stage.END_OF_MESSAGE and event.message is not None:
            return await session.message(client, event.message)
        raise MilterError(f"a milter knows no {stage.value}")

    async def _catchUp(self, session: MilterSession, event: Event, client: Client, envelope: Envelope) -> Result | None:
        """Tell it of the message so far, which it has not heard of on this connection."""
        said = await session.mail(client, envelope)
        for recipient in envelope.recipients:
            said = said or await session.rcpt(recipient)
        if event.stage is Stage.END_OF_MESSAGE:
            said = said or await session.data(client)
        return said


@implementer(IHookPlugin)
@frozen
class MilterPlugin:
    """Opens milters by where they listen."""

    prefix: str = "milter"
    stages: Collection[Stage] = (
        Stage.CONNECT,
        Stage.EHLO,
        Stage.MAIL_FROM,
        Stage.RCPT_TO,
        Stage.DATA,
        Stage.END_OF_MESSAGE,
        Stage.RSET,
        Stage.DISCONNECT,
        Stage.UNKNOWN_COMMAND,
    )

    def openHook(self, argument: str, context: IHookContext) -> Hook:
        """:raises ValueError: that is no place where something can listen."""
        return MilterHook(endpointOf(argument, context.reactor), SpoolDirectory(context.spool))


milter = MilterPlugin()
