"""What the parameters of MAIL and RCPT say: one reader for each, with its grammar.

Pure. A reader takes the value as it stood on the wire into the draft, or raises BadCommand; `extension` says which of them are
there. Nothing here knows the time: what is relative stays so, and the session makes it absolute when MAIL is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from attrs import define

from mailfw.message.dsn import decodeXtext
from mailfw.smtp.grammar import bad, parseMailbox

ENVELOPE_ID_LIMIT = 100
"""Octets of ENVID as written (RFC 3461 §4.4)."""

ORIGINAL_LIMIT = 500
"""Octets of ORCPT as written (RFC 3461 §4.2)."""


@define
class MailDraft:
    """What MAIL's parameters said.

    :ivar size: octets, 0 where nothing was said.
    :ivar by: seconds from now until the message is of no use (RFC 2852); None: nothing was said.
    :ivar holdFor: seconds from now, :ivar holdUntil: seconds since the epoch, UTC (RFC 4865).
    """

    size: int = 0
    is8Bit: bool = False
    isBinary: bool = False
    isSMTPUTF8: bool = False
    returns: str = ""
    envelopeId: str = ""
    requiresTLS: bool = False
    by: int | None = None
    isReturned: bool = False
    isTraced: bool = False
    holdFor: int | None = None
    holdUntil: float | None = None
    priority: int = 0


@define
class RcptDraft:
    """What RCPT's parameters said, as `values.Recipient` has it."""

    notify: frozenset[str] = frozenset()
    original: str = ""


MailReader = Callable[[MailDraft, str | None], None]
RcptReader = Callable[[RcptDraft, str | None], None]

# --- MAIL ------------------------------------------------------------------------------------------------------------


def size(draft: MailDraft, value: str | None) -> None:
    """`size-value ::= 1*20DIGIT` (RFC 1870 §4)."""
    if value is None or not re.fullmatch(r"[0-9]{1,20}", value):
        bad(501, "5.5.4", "syntax: SIZE=octets")
    draft.size = int(value)


def body(draft: MailDraft, value: str | None) -> None:
    """`body-value ::= "7BIT" / "8BITMIME" / "BINARYMIME"` (RFC 6152 §3, RFC 3030 §3)."""
    kind = (value or "").upper()
    if kind not in ("7BIT", "8BITMIME", "BINARYMIME"):
        bad(501, "5.5.4", "syntax: BODY=7BIT, BODY=8BITMIME or BODY=BINARYMIME")
    draft.is8Bit = kind != "7BIT"
    draft.isBinary = kind == "BINARYMIME"


def smtpUTF8(draft: MailDraft, value: str | None) -> None:
    """RFC 6531 §3.4: no value."""
    _alone("SMTPUTF8", value)
    draft.isSMTPUTF8 = True


def auth(draft: MailDraft, value: str | None) -> None:
    """`AUTH=` an xtext mailbox or `<>` (RFC 4954 §5): who submitted it, in the eyes of a server that we do not trust to know."""
    decoded = decodeXtext(value or "")
    if decoded != "<>" and parseMailbox(decoded or "") is None:
        bad(501, "5.5.4", "syntax: AUTH=mailbox or AUTH=<>")


def returns(draft: MailDraft, value: str | None) -> None:
    """`ret-value = "FULL" / "HDRS"` (RFC 3461 §4.3)."""
    if (value or "").upper() not in ("FULL", "HDRS"):
        bad(501, "5.5.4", "syntax: RET=FULL or RET=HDRS")
    draft.returns = str(value).lower()


def envelopeId(draft: MailDraft, value: str | None) -> None:
    """`envid-parameter = "ENVID=" xtext`; what it encodes is printable ASCII (RFC 3461 §4.4)."""
    decoded = decodeXtext(value) if value and len(value) <= ENVELOPE_ID_LIMIT else None
    if not decoded or not decoded.isascii() or not decoded.isprintable():
        bad(501, "5.5.4", f"syntax: ENVID=xtext of printable characters, at most {ENVELOPE_ID_LIMIT}")
    draft.envelopeId = decoded


def requireTLS(draft: MailDraft, value: str | None) -> None:
    """RFC 8689 §2: no value."""
    _alone("REQUIRETLS", value)
    draft.requiresTLS = True


_BY = re.compile(r"([+-]?[0-9]{1,9});([NR])(T?)", re.IGNORECASE)


def deliverBy(draft: MailDraft, value: str | None) -> None:
    """`by-value = by-time ";" by-mode [by-trace]`, `by-time = ["-" / "+"] 1*9digit`, `by-mode = "N" / "R"` (RFC 2852 §4).

    What is to come back when it is late cannot be late from the beginning.
    """
    match = _BY.fullmatch(value or "")
    if match is None:
        bad(501, "5.5.4", "syntax: BY=seconds;N or BY=seconds;R, perhaps with T behind it")
    draft.by = int(match[1])
    draft.isReturned = match[2].upper() == "R"
    draft.isTraced = bool(match[3])
    if draft.isReturned and draft.by <= 0:
        bad(501, "5.5.4", "BY with R wants a time that is not over")


def holdFor(draft: MailDraft, value: str | None) -> None:
    """`holdfor-param = "HOLDFOR=" future-release-interval`, `1*9DIGIT` seconds (RFC 4865 §4.1)."""
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value):
        bad(501, "5.5.4", "syntax: HOLDFOR=seconds")
    draft.holdFor = int(value)


_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)


def holdUntil(draft: MailDraft, value: str | None) -> None:
    """`holduntil-param = "HOLDUNTIL=" future-release-date-time`, a `date-time` of RFC 3339 (RFC 4865 §4.1)."""
    try:
        if value is None or not _DATE_TIME.fullmatch(value):
            raise ValueError
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        bad(501, "5.5.4", "syntax: HOLDUNTIL=2026-12-24T18:00:00Z")
    draft.holdUntil = moment.timestamp()


def priority(draft: MailDraft, value: str | None) -> None:
    """`priority-value = (["-"] NZDIGIT) / "0"` (RFC 6710 §9)."""
    if value is None or not re.fullmatch(r"0|-?[1-9]", value):
        bad(501, "5.5.4", "syntax: MT-PRIORITY=number from -9 to 9")
    draft.priority = int(value)


# --- RCPT ------------------------------------------------------------------------------------------------------------

_NOTIFY = frozenset({"success", "failure", "delay"})


def notify(draft: RcptDraft, value: str | None) -> None:
    """`notify-esmtp-value = "NEVER" / 1#notify-list-element`, of SUCCESS, FAILURE, DELAY (RFC 3461 §4.1)."""
    words = frozenset((value or "").lower().split(","))
    if words != {"never"} and not words <= _NOTIFY:
        bad(501, "5.5.4", "syntax: NOTIFY=NEVER, or of SUCCESS,FAILURE,DELAY")
    draft.notify = words


_ORIGINAL = re.compile(r"([A-Za-z0-9!#$%&'*+/?^_`{|}~-]{1,64});(.+)")
_UTF8_XTEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\x80-\U0010ffff]|\\x\{[0-9A-F]{2,6}\}|\+[0-9A-F]{2})+")


def original(draft: RcptDraft, value: str | None) -> None:
    """`original-recipient-address = addr-type ";" xtext` (RFC 3461 §4.2), with `utf-8` in forms of its own (RFC 6533 §3)."""
    match = _ORIGINAL.fullmatch(value or "")
    if match is None or len(str(value).encode()) > ORIGINAL_LIMIT:
        bad(501, "5.5.4", "syntax: ORCPT=type;address")
    isUTF8 = match[1].lower() == "utf-8"
    if not (_UTF8_XTEXT.fullmatch(match[2]) if isUTF8 else match[2].isascii() and decodeXtext(match[2])):
        bad(501, "5.5.4", "syntax: ORCPT=type;address in xtext")
    draft.original = str(value)


def _alone(keyword: str, value: str | None) -> None:
    if value is not None:
        bad(501, "5.5.4", f"{keyword} has no value")
