"""What a session asks of the connection that it runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from mailfw.smtp.reply import Reply
from mailfw.values import Address, Envelope, Outcome, Peer

T = TypeVar("T")


class Channel(Protocol):
    """`net.connection.Connection`, as `smtp.server` completes it."""

    id: str
    peer: Peer
    isTLS: bool

    @property
    def tlsName(self) -> str:
        """Version and cipher of TLS, for the Received field; empty in the clear."""

    @property
    def peerCertificate(self) -> bytes | None:
        """The client's verified certificate."""

    def channelBinding(self, kind: str, /) -> bytes | None:
        """What a login can be bound to."""

    def hasInput(self) -> bool:
        """Whether the client has already sent more than the command at hand."""

    def mayUsePlaintext(self) -> bool:
        """Whether a password may come now."""

    def mayStartTLS(self) -> bool:
        """Whether STARTTLS would do."""

    async def pause(self, seconds: float) -> None:
        """Wait; ends at once when the connection is lost."""

    def think(self, work: Callable[[], T]) -> Awaitable[T]:
        """Do what would hold the reactor too long elsewhere."""

    @property
    def isTrustedProxy(self) -> bool:
        """Whether the client may say for whom it speaks."""

    def speakFor(self, peer: Peer) -> None:
        """The client is that peer from now on."""

    def faulted(self, what: str) -> None:
        """Log the exception being handled."""

    def accepted(self, messageId: str, envelope: Envelope, names: Sequence[str], size: int, outcomes: Sequence[Outcome]) -> None:
        """Log what became of a message."""

    def refused(self, answer: Reply, sender: Address | None, names: Sequence[str] = ()) -> None:
        """Log that mail from that sender, to those recipients, is not taken."""

    def answered(self, answers: Sequence[Reply]) -> None:
        """A message that came in whole gets these replies; none: something went wrong here."""
