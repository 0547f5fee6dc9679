"""What the store derives from a message's octets: the one place where storage asks the message room."""

from __future__ import annotations

import hashlib
from datetime import datetime

from attrs import frozen

from mailfw.message import preview as previews
from mailfw.message.mime import scan
from mailfw.message.summary import FORMAT_VERSION, summarise

__all__ = ["ABSENT", "FORMAT_VERSION", "Derived", "derive", "preview"]

_REFERENCES = 50  # of a long References field the newest count
_TEXT_LENGTH = 998


@frozen
class Derived:
    """The derived columns of an `email` row.

    :ivar references: message-ids of the thread's other messages, separated by spaces.
    :ivar subject: the base subject (RFC 5256 §2.1).
    :ivar sentDate: seconds since the epoch, UTC; None where the message has no date.
    :ivar threadKeys: digests of (message-id, base subject), the message's own first when it has one.
    """

    format: int
    headerSize: int
    messageId: str
    references: str
    subject: str
    sentDate: float | None
    envelope: bytes | None
    structure: bytes | None
    threadKeys: tuple[int, ...]


ABSENT = Derived(0, 0, "", "", "", None, None, None, ())
"""For a message that nobody has looked into yet."""


def derive(content: bytes) -> Derived:
    """All derived columns at once; no content makes it raise."""
    summary = summarise(content)
    subject = _text(summary.baseSubject)
    messageId = _text(summary.messageId)
    references = [_text(one) for one in summary.ancestors[-_REFERENCES:]]
    salt = subject.casefold().encode()
    return Derived(
        FORMAT_VERSION,
        summary.headerSize,
        messageId,
        "\n".join(references),
        subject,
        _seconds(summary.sentDate),
        summary.envelope,
        summary.bodyStructure,
        tuple(_threadKey(one, salt) for one in ([messageId, *references] if messageId else references)),
    )


def preview(content: bytes) -> str:
    """The first words of a message (RFC 8970)."""
    return previews.preview(scan(content), content)


def _threadKey(messageId: str, salt: bytes) -> int:
    """64 signed bits, so that it fits a column. Nobody can aim at another thread without knowing both texts."""
    digest = hashlib.blake2b(messageId.encode() + b"\0" + salt, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _text(text: str) -> str:
    """Text that any database takes: bounded, no NUL, no lone surrogate."""
    text = text[:_TEXT_LENGTH]
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode(errors="replace").decode()


def _seconds(moment: datetime | None) -> float | None:
    try:
        return moment.timestamp() if moment is not None else None
    except (OverflowError, ValueError):
        return None
