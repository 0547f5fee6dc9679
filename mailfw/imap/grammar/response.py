"""What a server sends, as octets (RFC 3501 §7, §9).

Nothing here trusts its input: whatever a string holds, what comes out is one well-formed response.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from attrs import frozen

from mailfw import errors
from mailfw.message.decoding import UnknownEncoding
from mailfw.values import Flag

_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_UNQUOTABLE = re.compile(rb"[^\x01-\x7f]|[\r\n]")
_UNQUOTABLE_UTF8 = re.compile(rb"[\0\r\n]")
_TO_ESCAPE = re.compile(rb'([\\"])')
_NOT_TEXT = re.compile(r"[^\x20-\x7e]")

MAX_QUOTED = 1000
"""Octets above which a string is sent as a literal: clients keep quoted strings in line buffers."""


class Condition(bytes, enum.Enum):
    """`resp-cond-state`, and `resp-cond-bye` (RFC 3501 §7.1)."""

    OK = b"OK"
    NO = b"NO"
    BAD = b"BAD"
    BYE = b"BYE"


@frozen
class Reply:
    """How a command ended.

    :ivar code: a response code without its brackets (RFC 3501 §7.1, RFC 5530), or nothing.
    """

    condition: Condition
    text: str
    code: bytes = b""

    def render(self, tag: bytes = b"*") -> bytes:
        """`response-tagged = tag SP resp-cond-state CRLF`; with the tag `*` an untagged status."""
        text = _NOT_TEXT.sub("?", self.text).encode("ascii") or b"-"
        if self.code:
            return b"%b %b [%b] %b\r\n" % (tag, self.condition, self.code, text)
        # A text must not look as if a code came first.
        return b"%b %b %b\r\n" % (tag, self.condition, text.lstrip(b"[") or b"-")


def ok(text: str, code: bytes = b"") -> Reply:
    """The command did what it should."""
    return Reply(Condition.OK, text, code)


def no(text: str, code: bytes = b"") -> Reply:
    """The command was understood and not done."""
    return Reply(Condition.NO, text, code)


def bad(text: str, code: bytes = b"") -> Reply:
    """The command was not understood, or does not belong here."""
    return Reply(Condition.BAD, text, code)


def bye(text: str, code: bytes = b"") -> bytes:
    """The connection is about to be closed."""
    return Reply(Condition.BYE, text, code).render()


_CODES: tuple[tuple[type[errors.Refusal], bytes], ...] = (
    # The first class that fits counts, so a class stands before those it is derived from.
    (errors.AuthenticationFailed, b"AUTHENTICATIONFAILED"),
    (errors.AuthenticationUnavailable, b"UNAVAILABLE"),
    (errors.InUse, b"INUSE"),
    (errors.Unavailable, b"UNAVAILABLE"),
    (errors.TemporaryRefusal, b"UNAVAILABLE"),
    (errors.LimitExceeded, b"LIMIT"),
    (errors.NotSupported, b"CANNOT"),
    (errors.NoPermission, b"NOPERM"),
    (errors.MessageTooLarge, b"TOOBIG"),
    (errors.MessageRefused, b"CANNOT"),
    (errors.OverQuota, b"OVERQUOTA"),
    (errors.NoSuchMailbox, b"NONEXISTENT"),
    (errors.MailboxExists, b"ALREADYEXISTS"),
    (errors.HasChildren, b"HASCHILDREN"),
    (errors.InvalidName, b"CANNOT"),
    (errors.Vanished, b"EXPUNGEISSUED"),
    (errors.UIDValidityChanged, b"NONEXISTENT"),
    (UnknownEncoding, b"UNKNOWN-CTE"),
    (errors.Refusal, b"CANNOT"),
)


def refused(refusal: errors.Refusal) -> Reply:
    """The reply for something refused (RFC 5530; TOOBIG: RFC 4469 §4, UNKNOWN-CTE: RFC 3516 §4.3)."""
    code = next(code for kind, code in _CODES if isinstance(refusal, kind))
    return no(refusal.text, code)


# --- Strings ---------------------------------------------------------------------------------------------------------


def literal(octets: bytes) -> bytes:
    """`literal = "{" number "}" CRLF *CHAR8`"""
    return b"{%d}\r\n%b" % (len(octets), octets)


def string(octets: bytes, isUTF8: bool = False) -> bytes:
    """`string = quoted / literal`, quoted where it can be.

    :param isUTF8: the client knows UTF-8 in quoted strings (RFC 9051 §4.3, RFC 9755 §3).
    """
    isQuotable = not _UNQUOTABLE.search(octets) or (isUTF8 and not _UNQUOTABLE_UTF8.search(octets) and isValidUTF8(octets))
    if len(octets) > MAX_QUOTED or not isQuotable:
        return literal(octets)
    return b'"%b"' % _TO_ESCAPE.sub(rb"\\\1", octets)


def isValidUTF8(octets: bytes) -> bool:
    """Whether that is UTF-8."""
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def nstring(octets: bytes | None, isUTF8: bool = False) -> bytes:
    """`nstring = string / nil`"""
    return b"NIL" if octets is None else string(octets, isUTF8)


def astring(octets: bytes, isUTF8: bool = False) -> bytes:
    """`astring`, bare where it can be; a bare NIL would be read as nothing."""
    if _ATOM.fullmatch(octets) and octets.upper() != b"NIL":
        return octets
    return string(octets, isUTF8)


# --- Flags -----------------------------------------------------------------------------------------------------------

RECENT = "\\Recent"
_ORDER = {flag: position for position, flag in enumerate((*Flag.SYSTEM, RECENT))}


def flags(flags: Iterable[str]) -> bytes:
    """Flags without their parentheses: system flags in the RFC's order, then keywords by name."""
    return " ".join(sorted(flags, key=lambda flag: (_ORDER.get(flag, len(_ORDER)), flag))).encode("ascii", "replace")


def untagged(*words: bytes) -> bytes:
    """`response-data = "*" SP … CRLF`"""
    return b"* %b\r\n" % b" ".join(words)
