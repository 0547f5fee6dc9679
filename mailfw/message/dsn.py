"""Delivery status notifications (RFC 3464, RFC 6533): what became of a message, recipient by recipient, as one mail system tells
another. `report` makes a message of it, and `parse` reads such messages, also those that other systems' programs wrote badly.

Texts come in from strangers (replies, ENVID, ORCPT). Written fields hold printable text of bounded length only, so that none of
it begins a field of its own.
"""

from __future__ import annotations

import enum
import re

from attrs import frozen

from mailfw.message import charset, date
from mailfw.message.decoding import UnknownEncoding
from mailfw.message.edit import fieldLine
from mailfw.message.header import scan, values
from mailfw.message.mime import Part
from mailfw.message.mime import scan as scanParts
from mailfw.message.section import decoded

MAX_RECIPIENTS = 10_000
_TEXT = 1000
_FIELD = 900  # octets of a written value, which may be one word, and a line holds 998

_STATUS_PARTS = (b"message/delivery-status", b"message/global-delivery-status")
_RETURNED_PARTS = (b"message/rfc822", b"message/global", b"text/rfc822-headers", b"message/global-headers")
_EMPTY_LINES = re.compile(rb"\n(?:[ \t]*+\r?\n)++")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_WORD = re.compile(r"[^\s(;]+")
_REPLY = re.compile(r"[245]\d\d(?:[ -]|\Z)")

# xtext = *( xchar / hexchar ), xchar = any printable ASCII but "+" and "=", RFC 3461 §4
_NO_XCHAR = re.compile(rb"[^!-*,-<>-~]")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
# utf-8-addr-xtext = 1*(QCHAR / EmbeddedUnicodeChar), EmbeddedUnicodeChar = "\x{" HEXPOINT "}", RFC 6533 §3
_NO_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


class Action(enum.Enum):
    """What happened (RFC 3464 §2.3.3)."""

    FAILED = "failed"  # given up
    DELAYED = "delayed"  # still being tried
    DELIVERED = "delivered"
    RELAYED = "relayed"  # handed to a system that tells nothing of what follows
    EXPANDED = "expanded"  # delivered to an address that sends it on to several


@frozen
class RecipientStatus:
    """What became of the message for one recipient (RFC 3464 §2.3).

    :ivar address: where it was to go at last, `local@domain`.
    :ivar status: RFC 3463.
    :ivar original: where the sender had addressed it, with its type, `rfc822;user@example.org`; `fromORCPT` reads it. Empty where
        the sender did not say.
    :ivar reply: why, in the words of the remote system, `550 5.1.1 who is that?`, or in ours; empty where nobody said anything.
    :ivar host: the remote system that said so.
    :ivar lastAttempt: seconds since the epoch, UTC. :ivar retryUntil: the same; of a delayed message.
    """

    address: str
    action: Action
    status: str
    original: str = ""
    reply: str = ""
    host: str = ""
    lastAttempt: float | None = None
    retryUntil: float | None = None


@frozen
class DeliveryStatus:
    """What became of a message (RFC 3464 §2.2).

    :ivar reporter: the host that tells it.
    :ivar envelopeId: the sender's ENVID, decoded from xtext.
    :ivar receivedFrom: the host that the message had come from.
    :ivar arrival: when it came, seconds since the epoch, UTC.
    """

    reporter: str
    recipients: tuple[RecipientStatus, ...]
    envelopeId: str = ""
    receivedFrom: str = ""
    arrival: float | None = None


@frozen
class Notification:
    """A delivery status notification that came in.

    :ivar returned: the message that it is about, or its header; empty where nothing came back.
    """

    status: DeliveryStatus
    returned: bytes = b""


def encodeXtext(text: str) -> str:
    """`xtext`, RFC 3461 §4."""
    return _NO_XCHAR.sub(lambda found: b"+%02X" % found[0][0], text.encode("utf-8", "replace")).decode("ascii")


def decodeXtext(text: str) -> str | None:
    """Read `xtext`; None where it is none."""
    if not _XTEXT.fullmatch(text):
        return None
    return _HEXCHAR.sub(lambda found: bytes((int(found[1], 16),)), text.encode("ascii")).decode("utf-8", "replace")


def fromORCPT(orcpt: str) -> str:
    """What `RecipientStatus.original` is for an ORCPT as it was given (RFC 3461 §4.2, RFC 6533 §3); empty where it is none."""
    kind, _, address = orcpt.partition(";")
    found = decodeXtext(address) if address.isascii() else address
    if not kind or not found:
        return ""
    return f"{kind};{_unembedded(found) if kind.lower() == 'utf-8' else found}"


def render(status: DeliveryStatus, isUTF8: bool = False) -> bytes:
    """The content of a message/delivery-status part, or of message/global-delivery-status.

    :param isUTF8: the latter is meant, and may hold octets above 127.
    """
    groups = [_fields(isUTF8, _messageFields(status))]
    groups += (_fields(isUTF8, _recipientFields(each, isUTF8)) for each in status.recipients)
    return b"\r\n".join(groups)


def parse(content: bytes) -> Notification | None:
    """Read a message; None where it is no delivery status notification. Of a message inside it nothing is believed."""
    parts = scanParts(content).children
    found = next((part for part in parts if part.contentType.mediaType in _STATUS_PARTS), None)
    body = None if found is None else _body(found, content)
    if body is None:
        return None
    status = _read(body)
    if not status.recipients:
        return None
    returned = next((part for part in parts if part.contentType.mediaType in _RETURNED_PARTS), None)
    return Notification(status, (returned is not None and _body(returned, content)) or b"")


def isAutomatic(header: bytes) -> bool:
    """Whether a program sent this message, to many or in answer to another: then no program may answer it (RFC 3834 §2), or two
    of them never stop. The null sender, which says so too, is in the envelope."""
    if any(word.lower() != "no" for word in _words(header, b"Auto-Submitted")):
        return True
    if any(word.lower() in ("bulk", "list", "junk") for word in _words(header, b"Precedence")):
        return True
    if any(word.lower().startswith("multipart/report") for word in _words(header, b"Content-Type")):
        return True
    return any(values(header, name) for name in (b"List-Id", b"List-Post", b"List-Unsubscribe", b"X-Auto-Response-Suppress"))


def printable(text: str, length: int = _TEXT) -> str:
    """A stranger's text, bounded, without anything that a terminal or a parser would obey."""
    text = text[:length].strip()
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def _messageFields(status: DeliveryStatus) -> dict[str, str]:
    """`per-message-fields`, RFC 3464 §2.2; what is empty is left out."""
    return {
        "Original-Envelope-Id": status.envelopeId,
        "Reporting-MTA": f"dns; {status.reporter}",
        "Received-From-MTA": status.receivedFrom and f"dns; {status.receivedFrom}",
        "Arrival-Date": _date(status.arrival),
    }


def _recipientFields(recipient: RecipientStatus, isUTF8: bool) -> dict[str, str]:
    """`per-recipient-fields`, RFC 3464 §2.3."""
    kind, _, original = recipient.original.partition(";")
    source = "smtp" if _REPLY.match(recipient.reply) else "x-mailfw"
    return {
        "Original-Recipient": original and _typed(kind, original, isUTF8),
        "Final-Recipient": _typed("rfc822", recipient.address, isUTF8),
        "Action": recipient.action.value,
        "Status": recipient.status,
        "Remote-MTA": recipient.host and f"dns; {recipient.host}",
        "Diagnostic-Code": recipient.reply and f"{source}; {recipient.reply}",
        "Last-Attempt-Date": _date(recipient.lastAttempt),
        "Will-Retry-Until": _date(recipient.retryUntil),
    }


def _fields(isUTF8: bool, fields: dict[str, str]) -> bytes:
    lines = []
    for name, value in fields.items():
        text = printable(value)
        octets = text.encode("utf-8") if isUTF8 else text.encode("ascii", "backslashreplace")
        if octets:
            lines.append(fieldLine(name, octets[:_FIELD].decode("utf-8", "ignore")))
    return b"".join(lines)


def _typed(kind: str, address: str, isUTF8: bool) -> str:
    """An address with its type, RFC 3464 §2.3.1; where it is not ASCII `utf-8-type-addr`, RFC 6533 §3."""
    if address.isascii() and kind.lower() != "utf-8":
        return f"{kind}; {address}"
    return f"utf-8; {address if isUTF8 else _NO_QCHAR.sub(_embedded, address)}"


def _embedded(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):02X}}}"


def _unembedded(text: str) -> str:
    return _EMBEDDED.sub(lambda found: chr(point) if (point := int(found[1], 16)) < 0x110000 else found[0], text)


def _date(moment: float | None) -> str:
    return "" if moment is None else date.render(moment).decode("ascii")


def _body(part: Part, content: bytes) -> bytes | None:
    try:
        return decoded(part, content)
    except UnknownEncoding:
        return None


def _read(body: bytes) -> DeliveryStatus:
    groups = _EMPTY_LINES.split(body.strip(b"\r\n") + b"\n", MAX_RECIPIENTS + 1)[: MAX_RECIPIENTS + 1]
    about = _group(groups[0])
    return DeliveryStatus(
        _host(about.get("reporting-mta", "")),
        tuple(recipient for group in groups[1:] if (recipient := _recipient(_group(group))) is not None),
        about.get("original-envelope-id", ""),
        _host(about.get("received-from-mta", "")),
        _moment(about.get("arrival-date", "")),
    )


def _group(octets: bytes) -> dict[str, str]:
    """Fields by their names in lower case, of each the first."""
    found: dict[str, str] = {}
    for field in scan(octets):
        found.setdefault(field.name.decode("latin-1").lower(), printable(" ".join(charset.decode(field.value).split())))
    return found


def _recipient(fields: dict[str, str]) -> RecipientStatus | None:
    original = _address(fields.get("original-recipient", ""))
    address = (_address(fields.get("final-recipient", "")) or original).partition(";")[2]
    found = _STATUS.search(fields.get("status", ""))
    status = found[0] if found else ""
    action = _action(fields.get("action", ""), status)
    if not address or action is None:
        return None
    return RecipientStatus(
        address,
        action,
        status or {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}.get(action, "2.0.0"),
        original,
        _untyped(fields.get("diagnostic-code", "")),
        _host(fields.get("remote-mta", "")),
        _moment(fields.get("last-attempt-date", "")),
        _moment(fields.get("will-retry-until", "")),
    )


def _action(text: str, status: str) -> Action | None:
    word = _WORD.match(text)
    try:
        return Action(word[0].lower() if word else "")
    except ValueError:
        return {"5": Action.FAILED, "4": Action.DELAYED, "2": Action.DELIVERED}.get(status[:1])


def _address(value: str) -> str:
    """`type;address` without the white space and brackets that some write."""
    kind, separator, address = value.partition(";")
    if not separator:
        kind, address = "rfc822", value
    address = address.strip().removeprefix("<").removesuffix(">")
    if not address:
        return ""
    kind = kind.strip()
    return f"{kind};{printable(_unembedded(address)) if kind.lower() == 'utf-8' else address}"


def _untyped(value: str) -> str:
    kind, separator, text = value.partition(";")
    return text.strip() if separator and " " not in kind.strip() else value


def _host(value: str) -> str:
    word = _WORD.match(_untyped(value))
    return word[0] if word else ""


def _moment(value: str) -> float | None:
    return date.timestamp(value.encode("ascii", "replace"))


def _words(header: bytes, name: bytes) -> list[str]:
    """The first word of every field of that name."""
    return [word[0] for value in values(header, name) if (word := _WORD.match(charset.decode(value)))]
