"""What is done to a message on its way, on its header alone, so that the body can stay where it was spooled.

A header is the octets up to and with the empty line (`header.headerEnd`). What is not named here stays octet for octet.
"""

from __future__ import annotations

import re

from mailfw.message import date
from mailfw.message.header import scan, withoutFields

_FIELD_LINE = re.compile(rb"[^\x00-\x20\x7f:]++[ \t]*+:")
_MBOX_LINE = re.compile(rb">?From [^\n]*+\n")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_LINE = 78
_BLIND = (b"bcc", b"resent-bcc")


def countFields(header: bytes, name: bytes) -> int:
    """How many fields of that name there are."""
    wanted = name.lower()
    return sum(field.name.lower() == wanted for field in scan(header))


def hasField(header: bytes, name: bytes) -> bool:
    """Whether there is a field of that name."""
    wanted = name.lower()
    return any(field.name.lower() == wanted for field in scan(header))


def receivedCount(header: bytes) -> int:
    """How many hosts stamped the message: what a loop is known by (RFC 5321 §6.3)."""
    return countFields(header, b"Received")


def beginsWithHeader(content: bytes) -> bool:
    """Whether a message begins with a field, or with the empty line after none.

    Text that somebody typed without a header would become part of the header: whoever stamps fields before it puts an empty line
    between (`separator`), so that it is read.
    """
    mbox = _MBOX_LINE.match(content)
    return content.startswith((b"\r\n", b"\n")) or _FIELD_LINE.match(content, mbox.end() if mbox else 0) is not None


def separator(content: bytes) -> bytes:
    """What must stand between stamped fields and a message: nothing, or the empty line that the message lacks."""
    return b"" if not content or beginsWithHeader(content) else b"\r\n"


def fieldLine(name: str, value: str) -> bytes:
    """A field, folded at its spaces (RFC 5322 §2.2.3) and ended by CRLF.

    Runs of spaces and control characters become one space, so that nothing a stranger said can begin a field of its own.
    """
    lines = [f"{name}:"]
    for word in filter(None, _CONTROLS.sub(" ", value).split(" ")):
        if len(lines[-1]) + 1 + len(word) > _LINE and len(lines[-1]) > len(name) + 1:
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return "\r\n".join(lines).encode("utf-8") + b"\r\n"


def submitted(header: bytes, now: float, messageId: str, zone: int = 0) -> bytes:
    """The header of a message that a user submits (RFC 6409 §8): Bcc taken out, Date and Message-ID added where they miss.

    :param now: seconds since the epoch, UTC.
    :param messageId: for a message that has none, without brackets.
    :param zone: minutes east of UTC in which the Date is written.
    """
    kept = withoutFields(header, _BLIND)
    added = b""
    if not hasField(kept, b"Date"):
        added += b"Date: %b\r\n" % date.render(now, zone)
    if not hasField(kept, b"Message-ID"):
        added += fieldLine("Message-ID", f"<{messageId}>")
    return added + separator(kept) + kept if added else kept


def topEnd(content: bytes, start: int, lines: int) -> tuple[int, int]:
    """Where so many lines end (RFC 1939 §7 TOP), and how many of them `content` lacks: a body can be read a piece at a time.

    :param start: where the body begins in `content`, for TOP 0 ends there.
    """
    there = content.count(b"\n", start)
    if there < lines:
        return len(content), lines - there
    at = start
    for _ in range(lines):
        at = content.find(b"\n", at) + 1
    return at, 0
