"""IDLE: the server says at once what is new (RFC 2177)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mailfw.errors import NotSupported
from mailfw.imap.client.session import IMAPClient, Pending, nothing
from mailfw.imap.client.stream import Stream
from mailfw.imap.grammar import commands
from mailfw.imap.grammar.answers import NO_CODE, Answer, Status
from mailfw.imap.grammar.response import Condition

RENEWAL = 29 * 60.0
"""Seconds after which IDLE is begun anew: servers may log out who has idled for half an hour (RFC 2177 §3)."""


class Idling(Stream[Answer]):
    """What happens while a session idles, as the view has completed it. Nothing else can be asked of the session until `done`.

    It ends with `done`, or when the server ends it; or raises what the connection ended with.
    """

    def __init__(self, client: IMAPClient) -> None:
        super().__init__(lambda: None)
        self._client = client
        self._isDone = False
        self._pending: Pending | None = None
        self._over: Deferred[None] = Deferred()
        self._renewal: Deferred[None] | None = None
        self._cancel: Callable[[], None] = lambda: None

    def push(self, item: Answer) -> None:
        """Something was said; that the server is still there is nothing new."""
        if not (isinstance(item, Status) and item.condition is Condition.OK and item.code == NO_CODE):
            super().push(item)

    async def start(self) -> None:
        """Begin; → when the server idles. :raises Refusal:"""
        self._client.listeners.append(self.push)
        try:
            await self._begin()
        except BaseException:
            self._client.listeners.remove(self.push)
            raise

    async def done(self) -> None:
        """End it, so that something else can be asked. What was said is still there to be taken."""
        if self._isDone:
            return
        self._isDone = True
        if self._renewal is not None:
            await self._renewal
        try:
            await self._stop()
        finally:
            self._client.listeners.remove(self.push)
            self.finish()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.done()

    async def _begin(self) -> None:
        begun: Deferred[None] = Deferred()
        over: Deferred[None] = Deferred()

        def ended(status: Status) -> None:
            if not begun.called:
                begun.errback(NotSupported("the server would not idle"))
            elif pending.isIdle:  # of its own accord
                pending.isIdle = False
                self._cancel()
                self.finish()
            over.callback(None)

        def refused(failure: Failure) -> None:
            if not begun.called:
                begun.errback(failure)
            elif not self._isDone:
                self._failed(failure)
            over.callback(None)

        pending = Pending(nothing, goOn=lambda octets: None if begun.called else begun.callback(None))
        self._pending, self._over = pending, over
        reply = Deferred.fromCoroutine(self._client.begin(commands.Idle(), pending))
        reply.addCallbacks(ended, refused)
        await begun
        pending.isIdle = True
        self._client.connection.watch()
        self._cancel = self._client.connection.later(RENEWAL, self._renew)

    async def _stop(self) -> None:
        self._cancel()
        pending = self._pending
        if pending is not None and pending.isIdle:
            pending.isIdle = False
            self._client.connection.sendLine(b"DONE")
        await self._over

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        self.finish(error if isinstance(error, Exception) else ConnectionError("IDLE was cut off"))

    def _renew(self) -> None:
        self._renewal = Deferred.fromCoroutine(self._again())
        self._renewal.addErrback(self._failed)

    async def _again(self) -> None:
        await self._stop()
        if not self._isDone:
            await self._begin()


async def idle(client: IMAPClient) -> Idling:
    """IDLE, until `Idling.done`."""
    idling = Idling(client)
    await idling.start()
    return idling
