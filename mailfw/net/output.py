"""Backpressure: what stands between a transport's buffer and those who fill it."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


class _Blockable(Protocol):
    def outputBlocked(self) -> None:
        """The transport's buffer is full."""


@implementer(IPushProducer)
class Output:
    """:ivar isBlocked: the buffer is full. :ivar waiting: who goes on when it is not any more."""

    def __init__(self, connection: _Blockable) -> None:
        self.connection = connection
        self.isBlocked = False
        self.waiting: list[Deferred[None]] = []

    def pauseProducing(self) -> None:
        self.isBlocked = True
        self.connection.outputBlocked()

    def resumeProducing(self) -> None:
        self.isBlocked = False
        waiting, self.waiting = self.waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def stopProducing(self) -> None:
        self.resumeProducing()
