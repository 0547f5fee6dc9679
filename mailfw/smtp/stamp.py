"""What is written at the top of a message on its way in. Pure."""

from __future__ import annotations

from attrs import evolve, frozen

from mailfw.message import date
from mailfw.message.edit import receivedCount
from mailfw.values import Address, MessageSource, Peer

HEADER_LIMIT = 1 << 20
"""Octets in a message's header; `message.header` does not look further either."""


@frozen
class Trace:
    """What one hop knows about how a message came (RFC 5321 §4.4).

    :ivar hello: what the client called itself. :ivar protocol: as RFC 3848 and RFC 6531 §4.3 name it.
    :ivar tls: version and cipher, empty in the clear.
    :ivar recipient: the only one, None where there are several, for nobody is to see who else got the message.
    :ivar priority: as RFC 6710 §6 has it; 0 is not written.
    :ivar time: seconds since the epoch, UTC.
    """

    hello: str
    peer: Peer
    hostname: str
    protocol: str
    messageId: str
    time: float
    tls: str = ""
    recipient: Address | None = None
    priority: int = 0

    def field(self) -> bytes:
        """The Received field."""
        tls = f" ({self.tls})" if self.tls else ""
        to = f"\r\n\tfor <{self.recipient}>" if self.recipient else ""
        to += f"\r\n\tpriority {self.priority}" if self.priority else ""
        text = (
            f"Received: from {self.hello}{_origin(self.peer)}\r\n"
            f"\tby {self.hostname} with {self.protocol}{tls} id {self.messageId}{to};\r\n\t"
        )
        if not self.protocol.startswith("UTF8"):
            text = text.encode("ascii", "replace").decode("ascii")
        return text.encode("utf-8") + date.render(self.time) + b"\r\n"


def _origin(peer: Peer) -> str:
    """`TCP-info` in parentheses."""
    if peer.isUnix or not peer.host:
        return " (local)"
    return f" ([IPv6:{peer.host}])" if ":" in peer.host else f" ([{peer.host}])"


def protocolName(isLMTP: bool, isExtended: bool, isUTF8: bool, isTLS: bool, isAuthenticated: bool) -> str:
    """`with` of a Received field: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, LMTP…, UTF8SMTP…, UTF8LMTP…."""
    if not isExtended:
        return "SMTP"
    base = "LMTP" if isLMTP else "SMTP" if isUTF8 else "ESMTP"
    return ("UTF8" if isUTF8 else "") + base + ("S" if isTLS else "") + ("A" if isAuthenticated else "")


def headerOf(source: MessageSource, size: int) -> bytes:
    """The first `size` octets of the content, at most `HEADER_LIMIT`; all of it where size is -1."""
    length = min(size, HEADER_LIMIT) if size >= 0 else HEADER_LIMIT
    return next(source.chunks(length), b"") if length else b""


def isLooping(header: bytes, limit: int) -> bool:
    """Whether there are more Received fields than that (RFC 5321 §6.3). The word alone is counted first: that costs nothing."""
    return header.lower().count(b"received") > limit and receivedCount(header) > limit


def withHeader(source: MessageSource, old: bytes, new: bytes) -> MessageSource:
    """The message with another header. :param old: the one it has, after no prefix."""
    if old == new:
        return source
    if source.path:
        return evolve(source, prefix=new, offset=source.offset + len(old), length=source.length - len(old))
    return evolve(source, prefix=new, data=source.data[len(old) :])
