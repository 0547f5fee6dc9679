"""The service extensions: what EHLO announces, and the parameters that each adds to MAIL and RCPT.

Everything that is announced stands in `EXTENSIONS`, one entry each, with its parameters; a parameter that is in no entry, or in
one that is not there on this connection, is refused with 555 (RFC 5321 §4.1.1.11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from attrs import field, frozen

from mailfw.net.limits import Limits
from mailfw.smtp import parameter
from mailfw.smtp.grammar import XCLIENT_ATTRIBUTES, Parameters, bad
from mailfw.smtp.parameter import MailDraft, MailReader, RcptDraft, RcptReader


@frozen
class Offer:
    """What the announcement depends on.

    :ivar now: seconds since the epoch, UTC.
    :ivar mechanisms: of SASL, that may be used on this connection now.
    :ivar isQueueing: what is taken can wait here, and senders are told what becomes of it (`IRouter.isQueueing`).
    :ivar isSubmission: mail comes from our own people.
    :ivar isTrusted: the client may say whom it speaks for (XCLIENT).
    """

    limits: Limits
    now: float = 0.0
    isTLS: bool = False
    canStartTLS: bool = False
    mechanisms: tuple[str, ...] = ()
    isQueueing: bool = False
    isSubmission: bool = False
    isTrusted: bool = False


@frozen
class Extension:
    """:ivar announce: what follows the keyword in the reply to EHLO; None: it is not there now.
    :ivar mail: keyword of a parameter of MAIL → what reads its value into the draft. :ivar rcpt: the same for RCPT.
    :ivar isUnderstood: its parameters are, whatever is announced.
    """

    keyword: str
    announce: Callable[[Offer], str | None] = lambda offer: ""
    mail: Mapping[str, MailReader] = field(factory=dict)
    rcpt: Mapping[str, RcptReader] = field(factory=dict)
    isUnderstood: bool = False


def _startTLS(offer: Offer) -> str | None:
    return "" if offer.canStartTLS else None


def _mechanisms(offer: Offer) -> str | None:
    return " ".join(offer.mechanisms) or None


def _whereMailWaits(offer: Offer) -> str | None:
    return "" if offer.isQueueing else None


def _limits(offer: Offer) -> str:
    """`limits-param = limit-name ["=" limit-value]` (RFC 9422 §3)."""
    limits = offer.limits
    return f"MAILMAX={limits.transactions} RCPTMAX={limits.recipients} RCPTDOMAINMAX={limits.recipientDomains}"


def _requireTLS(offer: Offer) -> str | None:
    """Only under TLS (RFC 8689 §2)."""
    return "" if offer.isQueueing and offer.isTLS else None


def _futureRelease(offer: Offer) -> str | None:
    """The longest interval in seconds, and the same as a date and time (RFC 4865 §3); for submission alone (§2)."""
    if not (offer.isQueueing and offer.isSubmission):
        return None
    longest = int(offer.limits.holdTime)
    return f"{longest} {datetime.fromtimestamp(offer.now + longest, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _xclient(offer: Offer) -> str | None:
    return " ".join(sorted(XCLIENT_ATTRIBUTES)) if offer.isTrusted else None


EXTENSIONS = (
    Extension("PIPELINING"),  # RFC 2920
    Extension("SIZE", lambda offer: str(offer.limits.messageSize), mail={"SIZE": parameter.size}),  # RFC 1870
    Extension("8BITMIME", mail={"BODY": parameter.body}),  # RFC 6152
    Extension("ENHANCEDSTATUSCODES"),  # RFC 2034
    Extension("STARTTLS", _startTLS),  # RFC 3207
    Extension("AUTH", _mechanisms, mail={"AUTH": parameter.auth}, isUnderstood=True),  # RFC 4954
    Extension("SMTPUTF8", mail={"SMTPUTF8": parameter.smtpUTF8}),  # RFC 6531
    Extension("CHUNKING"),  # RFC 3030
    Extension("BINARYMIME"),  # RFC 3030
    Extension(
        "DSN",  # RFC 3461
        _whereMailWaits,
        mail={"RET": parameter.returns, "ENVID": parameter.envelopeId},
        rcpt={"NOTIFY": parameter.notify, "ORCPT": parameter.original},
    ),
    Extension("LIMITS", _limits),  # RFC 9422
    Extension("REQUIRETLS", _requireTLS, mail={"REQUIRETLS": parameter.requireTLS}),  # RFC 8689
    Extension("DELIVERBY", _whereMailWaits, mail={"BY": parameter.deliverBy}),  # RFC 2852
    Extension(
        "FUTURERELEASE",  # RFC 4865
        _futureRelease,
        mail={"HOLDFOR": parameter.holdFor, "HOLDUNTIL": parameter.holdUntil},
    ),
    Extension("MT-PRIORITY", _whereMailWaits, mail={"MT-PRIORITY": parameter.priority}),  # RFC 6710
    Extension("XCLIENT", _xclient),  # Postfix, XCLIENT_README
    Extension("EXPN"),  # RFC 5321 §3.5.2
    Extension("VERB"),
    Extension("HELP"),  # RFC 5321 §4.1.1.8
)

_MAIL = {keyword: (extension, read) for extension in EXTENSIONS for keyword, read in extension.mail.items()}
_RCPT = {keyword: (extension, read) for extension in EXTENSIONS for keyword, read in extension.rcpt.items()}


def announced(offer: Offer) -> list[str]:
    """The lines of the reply to EHLO after the first (RFC 5321 §4.1.1.1 `ehlo-line`)."""
    said = [(extension.keyword, extension.announce(offer)) for extension in EXTENSIONS]
    return [f"{keyword} {rest}".rstrip() for keyword, rest in said if rest is not None]


def readMail(parameters: Parameters, offer: Offer) -> MailDraft:
    """:raises BadCommand: one is unknown (555) or has a wrong value (501)."""
    draft = MailDraft()
    for keyword, value in parameters:
        extension, read = _MAIL.get(keyword) or _unknown(keyword)
        if not extension.isUnderstood and extension.announce(offer) is None:
            _unknown(keyword)
        read(draft, value)
    if draft.holdFor is not None and draft.holdUntil is not None:
        bad(501, "5.5.4", "HOLDFOR or HOLDUNTIL, not both")
    return draft


_NOTHING = RcptDraft()


def readRcpt(parameters: Parameters, offer: Offer) -> RcptDraft:
    """:raises BadCommand: as with MAIL."""
    if not parameters:
        return _NOTHING
    draft = RcptDraft()
    for keyword, value in parameters:
        extension, read = _RCPT.get(keyword) or _unknown(keyword)
        if extension.announce(offer) is None:
            _unknown(keyword)
        read(draft, value)
    return draft


def _unknown(keyword: str) -> tuple[Extension, Callable[..., None]]:
    bad(555, "5.5.4", f"unknown parameter {keyword}")
