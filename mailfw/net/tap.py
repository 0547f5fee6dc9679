"""Listening to a connection: what is said on it, as it is handled, for an administrator who traces it.

A connection that nobody listens to has no `Taps`, and pays one look at an attribute for that. What a tap is told is the protocol
itself, beneath TLS and compression, secrets included: who shows it to anybody has to mask them (`app.shell.wire`).
A tap that raises is taken off, and costs the session nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

if TYPE_CHECKING:
    from mailfw.net.connection import Connection

_log = Logger("mailfw.net")


class Tap(Protocol):
    """Hears what one connection says."""

    def heard(self, line: bytes, /) -> None:
        """A line of the client's, without its end, that is about to be handled."""

    def readPast(self, octets: int, /) -> None:
        """So many octets of the client's that are no line: of a message, of a literal, of a line that is too long."""

    def told(self, data: bytes, /) -> None:
        """Octets for the client, in whatever pieces they were written."""

    def ended(self) -> None:
        """The connection is gone."""


class Taps:
    """All who listen to one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._taps: list[Tap] = []

    @classmethod
    def attach(cls, connection: Connection, tap: Tap) -> None:
        """Listen from here on."""
        if connection.taps is None:
            connection.taps = cls(connection)
        connection.taps._taps.append(tap)

    @classmethod
    def detach(cls, connection: Connection, tap: Tap) -> None:
        """Listen no longer; no error where that is so already."""
        taps = connection.taps
        if taps is not None and tap in taps._taps:
            taps._taps = [each for each in taps._taps if each is not tap]
            if not taps._taps:
                connection.taps = None

    def heard(self, line: bytes) -> None:
        self._tell(lambda tap: tap.heard(line))

    def readPast(self, octets: int) -> None:
        self._tell(lambda tap: tap.readPast(octets))

    def told(self, data: bytes) -> None:
        self._tell(lambda tap: tap.told(data))

    def ended(self) -> None:
        self._tell(lambda tap: tap.ended())

    def _tell(self, say: Callable[[Tap], None]) -> None:
        for tap in self._taps:
            try:
                say(tap)
            except Exception:
                _log.failure("listening to {session} failed", session=self._connection.id)
                self.detach(self._connection, tap)
