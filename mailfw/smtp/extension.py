"""The service extensions: what EHLO announces, and the parameters that each adds to MAIL and RCPT.

Everything that is announced stands in `EXTENSIONS`, one entry each, with its parameters; a parameter that is in no entry is
refused with 555 (RFC 5321 §4.1.1.11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import define, field, frozen

from mailfw.smtp.grammar import Parameters, bad, parseMailbox


@frozen
class Offer:
    """What the announcement depends on. :ivar mechanisms: of SASL, that may be used on this connection now."""

    messageSize: int
    canStartTLS: bool = False
    mechanisms: tuple[str, ...] = ()


@define
class MailDraft:
    """What MAIL's parameters said. :ivar size: octets, 0 where nothing was said."""

    size: int = 0
    is8Bit: bool = False
    isSMTPUTF8: bool = False


@frozen
class Extension:
    """:ivar announce: what follows the keyword in the reply to EHLO; None: it is not there now.
    :ivar mail: keyword of a parameter of MAIL → what reads its value into the draft.
    """

    keyword: str
    announce: Callable[[Offer], str | None] = lambda offer: ""
    mail: Mapping[str, Callable[[MailDraft, str | None], None]] = field(factory=dict)


def _size(draft: MailDraft, value: str | None) -> None:
    """`size-value ::= 1*20DIGIT` (RFC 1870 §4)."""
    if value is None or not re.fullmatch(r"[0-9]{1,20}", value):
        bad(501, "5.5.4", "syntax: SIZE=octets")
    draft.size = int(value)


def _body(draft: MailDraft, value: str | None) -> None:
    """`body-value ::= "7BIT" / "8BITMIME"` (RFC 6152 §3)."""
    if value is None or value.upper() not in ("7BIT", "8BITMIME"):
        bad(501, "5.5.4", "syntax: BODY=7BIT or BODY=8BITMIME")
    draft.is8Bit = value.upper() == "8BITMIME"


def _smtpUTF8(draft: MailDraft, value: str | None) -> None:
    """RFC 6531 §3.4: no value."""
    if value is not None:
        bad(501, "5.5.4", "SMTPUTF8 has no value")
    draft.isSMTPUTF8 = True


def _auth(draft: MailDraft, value: str | None) -> None:
    """`AUTH=` an xtext mailbox or `<>` (RFC 4954 §5): who submitted it, in the eyes of a server that we do not trust to know."""
    decoded = re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), value or "")
    if decoded != "<>" and parseMailbox(decoded) is None:
        bad(501, "5.5.4", "syntax: AUTH=mailbox or AUTH=<>")


def _startTLS(offer: Offer) -> str | None:
    return "" if offer.canStartTLS else None


def _mechanisms(offer: Offer) -> str | None:
    return " ".join(offer.mechanisms) or None


EXTENSIONS = (
    Extension("PIPELINING"),  # RFC 2920
    Extension("SIZE", lambda offer: str(offer.messageSize), mail={"SIZE": _size}),  # RFC 1870
    Extension("8BITMIME", mail={"BODY": _body}),  # RFC 6152
    Extension("ENHANCEDSTATUSCODES"),  # RFC 2034
    Extension("STARTTLS", _startTLS),  # RFC 3207
    Extension("AUTH", _mechanisms, mail={"AUTH": _auth}),  # RFC 4954
    Extension("SMTPUTF8", mail={"SMTPUTF8": _smtpUTF8}),  # RFC 6531
    Extension("CHUNKING"),  # RFC 3030
    Extension("EXPN"),  # RFC 5321 §3.5.2
    Extension("VERB"),
    Extension("HELP"),  # RFC 5321 §4.1.1.8
)

_MAIL = {keyword: read for extension in EXTENSIONS for keyword, read in extension.mail.items()}


def announced(offer: Offer) -> list[str]:
    """The lines of the reply to EHLO after the first (RFC 5321 §4.1.1.1 `ehlo-line`)."""
    said = [(extension.keyword, extension.announce(offer)) for extension in EXTENSIONS]
    return [f"{keyword} {rest}".rstrip() for keyword, rest in said if rest is not None]


def readMail(parameters: Parameters) -> MailDraft:
    """:raises BadCommand: one is unknown (555) or has a wrong value (501)."""
    draft = MailDraft()
    for keyword, value in parameters:
        if keyword not in _MAIL:
            bad(555, "5.5.4", f"unknown parameter {keyword}")
        _MAIL[keyword](draft, value)
    return draft


def readRcpt(parameters: Parameters) -> None:
    """:raises BadCommand: there are any: none of the extensions here adds parameters to RCPT."""
    if parameters:
        bad(555, "5.5.4", f"unknown parameter {parameters[0][0]}")
