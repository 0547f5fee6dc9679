"""What is written at the top of a message on its way in, and what submission mends in its header.

Pure. The content's own octets stay as they came, but for Bcc in submission.
"""

from __future__ import annotations

import re

from attrs import evolve, frozen

from mailfw.message import date
from mailfw.message.header import scan, withoutFields
from mailfw.values import Address, MessageSource, Peer

HEADER_LIMIT = 1 << 20
"""Octets in a message's header; `message.header` does not look further either."""

# field-name = 1*ftext, ":" (RFC 5322 §3.6.8); an empty header; mbox's line, which is followed by fields.
_HEADER_START = re.compile(rb"[!-9;-~\x80-\xff]++[ \t]*+:|\r\n|From |$")
_BLIND = (b"Bcc", b"Resent-Bcc")


@frozen
class Trace:
    """What one hop knows about how a message came (RFC 5321 §4.4).

    :ivar hello: what the client called itself. :ivar protocol: as RFC 3848 and RFC 6531 §4.3 name it.
    :ivar tls: version and cipher, empty in the clear.
    :ivar recipient: the only one, None where there are several, for nobody is to see who else got the message.
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

    def field(self) -> bytes:
        """The Received field."""
        tls = f" ({self.tls})" if self.tls else ""
        to = f"\r\n\tfor <{self.recipient}>" if self.recipient else ""
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


def countReceived(header: bytes) -> int:
    """How many Received fields there are."""
    lower = header.lower()
    return lower.count(b"\nreceived:") + lower.startswith(b"received:")


def separated(stamp: bytes, header: bytes) -> bytes:
    """The stamp as it can stand before that content.

    Content that does not start with a header field is a body alone: it gets the empty line that ends the stamp's header. So
    people can type a message without a header, and no content can go on with a line of ours (by starting with white space).
    """
    return stamp if _HEADER_START.match(header) else stamp + b"\r\n"


def complete(source: MessageSource, header: bytes, time: float, messageId: str) -> tuple[MessageSource, bytes]:
    """What submission adds and takes away (RFC 6409 §8.1, §8.2; RFC 5322 §3.6.3 on Bcc).

    :param header: of the source, which has no prefix yet.
    :param messageId: for a message that has none: the whole `<…>`.
    Returns the source, and lines to be put before it.
    """
    names = {field.name.lower() for field in scan(header)}
    stamp = b""
    if b"date" not in names:
        stamp += b"Date: " + date.render(time) + b"\r\n"
    if b"message-id" not in names:
        stamp += b"Message-ID: " + messageId.encode("ascii", "replace") + b"\r\n"
    if names.isdisjoint(name.lower() for name in _BLIND):
        return source, stamp
    kept = withoutFields(header, _BLIND)
    if source.path:
        source = evolve(source, prefix=kept, offset=source.offset + len(header), length=source.length - len(header))
    else:
        source = evolve(source, prefix=kept, data=source.data[len(header) :])
    return source, stamp
