"""What a store keeps of a message beside its octets, all from one look at them.

The wire forms in it belong to `FORMAT_VERSION`, which is to be stored with them.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from mailfw.message import date, words
from mailfw.message.envelope import FORMAT_VERSION, envelope
from mailfw.message.header import unfold
from mailfw.message.mime import Part, scan
from mailfw.message.reference import messageId, messageIds
from mailfw.message.structure import bodyStructure
from mailfw.message.subject import baseSubject

__all__ = ["FORMAT_VERSION", "Summary", "summarise", "summarisePart"]


@frozen
class Summary:
    """:ivar envelope: ENVELOPE as IMAP sends it.
    :ivar bodyStructure: BODYSTRUCTURE as IMAP sends it; `structure.plainBody` makes BODY of it.
    :ivar headerSize: octets up to and with the empty line after the header.
    :ivar messageId: without brackets; empty where there is none.
    :ivar inReplyTo: the ids in In-Reply-To.
    :ivar references: the ids in References, from the root of the thread down.
    :ivar subject: decoded.
    :ivar baseSubject: RFC 5256 §2.1, case kept.
    :ivar isReply: whether the subject says that this is a reply or a forward.
    :ivar sentDate: the Date field in its own zone; None where there is no date in it.
    """

    envelope: bytes
    bodyStructure: bytes
    headerSize: int
    messageId: str
    inReplyTo: tuple[str, ...]
    references: tuple[str, ...]
    subject: str
    baseSubject: str
    isReply: bool
    sentDate: datetime | None

    @property
    def ancestors(self) -> tuple[str, ...]:
        """The messages above this one in its thread, from the root down: References, else the first id of In-Reply-To, for
        more of them name no line of descent (RFC 5256 §3)."""
        return self.references or self.inReplyTo[:1]


def summarise(content: bytes) -> Summary:
    """Everything a store asks about a message at delivery."""
    return summarisePart(scan(content), content)


def summarisePart(part: Part, content: bytes) -> Summary:
    """The same for a message that has been scanned already, or one inside another."""
    fields = part.fields
    subject = words.decode(unfold(fields[b"subject"])) if b"subject" in fields else ""
    base = baseSubject(subject)
    return Summary(
        envelope(fields),
        bodyStructure(part, content),
        part.bodyStart - part.start,
        messageId(unfold(fields[b"message-id"])) if b"message-id" in fields else "",
        messageIds(unfold(fields[b"in-reply-to"])) if b"in-reply-to" in fields else (),
        messageIds(unfold(fields[b"references"])) if b"references" in fields else (),
        subject,
        base.text,
        base.isReply,
        date.parse(unfold(fields[b"date"])) if b"date" in fields else None,
    )
