"""Reports to a sender of what became of a message (RFC 3461 §6, RFC 6522 multipart/report): for a person in plain English, for
programs as `dsn` writes it, and the message or its header.

A report has the null sender in its envelope, which is the caller's to give, and says `Auto-Submitted`. Its boundary is a digest
of what it holds, so that nobody can write a message that ends a part of the report on it.
"""

from __future__ import annotations

import binascii
import hashlib
import textwrap
from collections.abc import Iterable, Iterator

from mailfw.message import date, dsn, words
from mailfw.message.dsn import Action, DeliveryStatus, RecipientStatus, printable
from mailfw.message.edit import fieldLine
from mailfw.message.header import firstFields, headerEnd, unfold
from mailfw.message.reference import messageIds
from mailfw.values import Address

_WIDTH = 72
_LONGEST_LINE = 998  # RFC 5322 §2.1.1
_LONGEST_REFERENCE = 250

# The most pressing first: it gives the report its subject.
_SUBJECTS = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.RELAYED: "Your message was passed on",
    Action.EXPANDED: "Your message was delivered to a list",
    Action.DELIVERED: "Your message was delivered",
}
_SAYING = {
    Action.FAILED: "It could not be delivered to {}. No further attempt will be made.",
    Action.DELAYED: "It could not be delivered to {} yet. You need not do anything: we keep trying.",
    Action.RELAYED: "It was passed on for {} to a mail server that does not report on deliveries, so you may hear no more of it.",
    Action.EXPANDED: "It was delivered to {}, and from there sent on to several others.",
    Action.DELIVERED: "It was delivered to {}.",
}
# What a status means to a person (RFC 3463 §3): subject and detail, else the subject alone.
_MEANING = {
    "1.1": "There is no such address at {domain}. Please check how it is spelled.",
    "1.2": "There is no mail system for {domain}. Please check how it is spelled.",
    "1.3": "This is not a valid address. Please check how it is spelled.",
    "1.6": "The mailbox has moved, and nobody knows where to.",
    "1.10": "{domain} accepts no mail.",
    "1": "Something is wrong with this address.",
    "2.1": "The mailbox is switched off.",
    "2.2": "The mailbox is full.",
    "2.3": "The message is larger than this mailbox allows.",
    "2.4": "The mailing list could not be reached as a whole.",
    "2": "The mailbox cannot take the message.",
    "3.4": "The message is larger than the mail system allows.",
    "3": "The mail system at {domain} has a problem.",
    "4.1": "The mail server for {domain} does not answer.",
    "4.3": "The servers that know the way to {domain} do not answer.",
    "4.4": "No way to {domain} could be found.",
    "4.6": "The message went round in a circle.",
    "4.7": "The message could not be delivered in the time that it had.",
    "4": "The network on the way to {domain} has a problem.",
    "5.3": "The message has more recipients than the mail server allows.",
    "5": "The mail server for {domain} did not understand ours.",
    "6": "The message is of a kind that the mail server for {domain} cannot take.",
    "7.1": "The mail server for {domain} does not allow you to send this message there.",
    "7": "The mail server for {domain} refused the message by its rules.",
}


def render(
    status: DeliveryStatus,
    recipient: Address,
    original: bytes,
    *,
    returns: str = "hdrs",
    moment: float,
    messageId: str,
    isUTF8: bool = False,
) -> bytes:
    """A report, ready to be sent from the null sender.

    :param recipient: the sender of the message that it is about.
    :param original: that message, its lines ended by CRLF; its header is enough where not all of it is to be returned.
    :param returns: RET, `full` or `hdrs`. Only a report of a failure returns all (RFC 3461 §4.3).
    :param moment: now, seconds since the epoch, UTC.
    :param messageId: of the report, without brackets.
    :param isUTF8: the report may go by SMTPUTF8 (RFC 6533); always so to an address that needs it.
    """
    isUTF8 = isUTF8 or not recipient.isASCII
    actions = {each.action for each in status.recipients}
    isFull = returns == "full" and Action.FAILED in actions
    header = original[: headerEnd(original)]
    parts = (
        _textPart("\r\n".join(_letter(status, header, isFull))),
        _statusPart(dsn.render(status, isUTF8)),
        _messagePart(original, header, isUTF8) if isFull else _headerPart(header, isUTF8),
    )
    boundary = f"report-{hashlib.blake2b(b''.join(parts), digest_size=16).hexdigest()}"
    encoding = "7bit" if _is7Bit(b"".join(parts)) else "8bit"
    head = [
        ("Date", date.render(moment).decode("ascii")),
        ("From", f"Mail Delivery System <{Address('postmaster', status.reporter)}>"),
        ("To", f"<{recipient}>"),
        ("Subject", next(subject for action, subject in _SUBJECTS.items() if action in actions or action is Action.DELIVERED)),
        ("Message-ID", f"<{messageId}>"),
        *_references(header),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/report; report-type=delivery-status; boundary="{boundary}"'),
        ("Content-Transfer-Encoding", encoding),
    ]
    delimiter = b"\r\n--%b" % boundary.encode("ascii")
    return b"".join((
        *(fieldLine(name, value) for name, value in head),
        *(b"%b\r\n%b" % (delimiter, part) for part in parts),
        delimiter,
        b"--\r\n",
    ))  # fmt: skip


def _references(header: bytes) -> Iterator[tuple[str, str]]:
    """What puts the report beside the message in a thread."""
    value = firstFields(header, 0, len(header)).get(b"message-id", b"")
    for found in messageIds(unfold(value))[:1]:
        if found.isascii() and found.isprintable() and len(found) <= _LONGEST_REFERENCE:
            yield "In-Reply-To", f"<{found}>"
            yield "References", f"<{found}>"


def _letter(status: DeliveryStatus, header: bytes, isFull: bool) -> Iterator[str]:
    """The part for a person, line by line."""
    yield f"This is the mail system at {printable(status.reporter)}, about your message"
    yield ""
    yield from _about(header)
    for action in _SUBJECTS:
        concerned = [each for each in status.recipients if each.action is action]
        if concerned:
            yield ""
            yield from textwrap.wrap(_SAYING[action].format("this address" if len(concerned) == 1 else "these addresses"), _WIDTH)
            for each in concerned:
                yield from _fate(each)
    yield ""
    whole = "the whole message" if isFull else "the beginning of your message, with its subject and addresses,"
    yield from textwrap.wrap(
        f"Attached are details for whoever looks after mail, and {whole} as it was received here. "
        "If you need help, please show them this message.",
        _WIDTH,
    )
    yield ""


def _about(header: bytes) -> Iterator[str]:
    fields = firstFields(header, 0, len(header))
    for name, label in ((b"subject", "Subject:"), (b"date", "Date:   "), (b"to", "To:     ")):
        value = printable(words.decode(unfold(fields.get(name, b""))), 200)
        if value:
            yield from _indented(f"{label} {value}", 4)


def _fate(recipient: RecipientStatus) -> Iterator[str]:
    yield ""
    yield f"  {printable(recipient.address)}"
    original = recipient.original.partition(";")[2]
    if original and original != recipient.address:
        yield from _indented(f"(You had addressed it to {original}.)", 4)
    if recipient.action in (Action.FAILED, Action.DELAYED) and (meaning := _meaning(recipient)):
        yield from _indented(meaning, 4)
    if recipient.reply:
        yield from _indented(f"The mail server {recipient.host} said:" if recipient.host else "The reason:", 4)
        yield from _indented(recipient.reply, 6)
    if recipient.action is Action.DELAYED and recipient.retryUntil is not None:
        yield from _indented(f"It will be tried until {date.render(recipient.retryUntil).decode('ascii')}.", 4)


def _meaning(recipient: RecipientStatus) -> str:
    _, _, code = recipient.status.partition(".")
    meaning = _MEANING.get(code) or _MEANING.get(code.partition(".")[0], "")
    return meaning.replace("{domain}", recipient.address.rpartition("@")[2] or "this host")


def _indented(text: str, columns: int) -> Iterable[str]:
    margin = " " * columns
    return textwrap.wrap(printable(text), _WIDTH, initial_indent=margin, subsequent_indent=margin)


def _textPart(letter: str) -> bytes:
    octets = letter.encode("utf-8")
    if octets.isascii():
        return _part("text/plain; charset=us-ascii", "7bit", octets)
    return _part("text/plain; charset=utf-8", "quoted-printable", binascii.b2a_qp(octets))


def _statusPart(octets: bytes) -> bytes:
    if octets.isascii():
        return _part("message/delivery-status", "7bit", octets)
    return _part("message/global-delivery-status", "8bit", octets)


def _headerPart(header: bytes, isUTF8: bool) -> bytes:
    if _is7Bit(header):
        return _part("text/rfc822-headers", "7bit", header)
    if isUTF8 and _isUTF8(header):
        return _part("message/global-headers", "8bit", header)
    return _part("text/rfc822-headers; charset=utf-8", "quoted-printable", binascii.b2a_qp(header, istext=True))


def _messagePart(original: bytes, header: bytes, isUTF8: bool) -> bytes:
    kind = "message/global" if isUTF8 and not header.isascii() and _isUTF8(header) else "message/rfc822"
    return _part(kind, "7bit" if _is7Bit(original) else "8bit", original)


def _part(kind: str, encoding: str, body: bytes) -> bytes:
    return b"%b%b\r\n%b" % (fieldLine("Content-Type", kind), fieldLine("Content-Transfer-Encoding", encoding), body)


def _is7Bit(octets: bytes) -> bool:
    """RFC 2045 §2.7."""
    return octets.isascii() and b"\0" not in octets and max(map(len, octets.split(b"\n"))) <= _LONGEST_LINE + 1


def _isUTF8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
