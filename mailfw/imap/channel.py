"""What a session needs around it: its connection, and who else may take lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from mailfw.imap.reader import Spool

T = TypeVar("T")


class Channel(Protocol):
    """What a session needs of its connection."""

    @property
    def isOpen(self) -> bool:
        """Whether there is still somebody to talk to."""

    @property
    def isTLS(self) -> bool:
        """Whether the connection is under TLS."""

    @property
    def peerHost(self) -> str:
        """Where the client is, as logins know it."""

    @property
    def log(self) -> Any:
        """A logger whose events name the connection (a `twisted.logger.Logger`, which this room does not import)."""

    @property
    def peerCertificate(self) -> bytes | None:
        """The client's verified certificate."""

    def channelBinding(self, kind: str, /) -> bytes | None:
        """What a login can be bound to."""

    def mayUsePlaintext(self) -> bool:
        """Whether a password may come now."""

    def mayStartTLS(self) -> bool:
        """Whether STARTTLS would do."""

    def startTLS(self) -> bool:
        """Begin TLS. False: the client had sent more in the clear, and is gone."""

    def write(self, data: bytes, /) -> None:
        """Send."""

    async def drain(self) -> None:
        """Wait while the client does not read."""

    async def breathe(self) -> None:
        """Let other connections have their turn."""

    async def pause(self, seconds: float) -> None:
        """Wait; ends at once when the connection is lost."""

    @property
    def isCompressed(self) -> bool:
        """Whether both sides speak DEFLATE."""

    def startCompression(self) -> bool:
        """Speak it from here on. False: the client had sent more, and is gone."""

    def stopCompression(self) -> bool:
        """Speak it no more. False: the client goes on with it, and is gone."""

    def restartLogin(self) -> None:
        """The client is nobody again, and has time to log in."""

    def openSpool(self) -> Spool:
        """Where a message can be put together; whoever opens it discards it."""

    def later(self, seconds: float, call: Callable[[], object]) -> Callable[[], None]:
        """Call after so many seconds, if the connection is there then. Returns what prevents it."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    async def think(self, work: Callable[[], T]) -> T:
        """Do work that needs nothing but the processor, while others have their turns; → what it returns."""

    def hangUp(self) -> None:
        """Close once everything is sent."""

    def abort(self) -> None:
        """Close at once."""


class Dialogue(Protocol):
    """Lines that belong to a command under way."""

    async def line(self, line: bytes) -> None:
        """The client sent a line."""

    def ended(self) -> None:
        """There is no such session any more."""
