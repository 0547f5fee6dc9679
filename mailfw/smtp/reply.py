"""SMTP replies: the value, its wire form, and the one table that gives every refusal its codes.

Pure. A reply that leaves here is well-formed whatever its text was made from: no control octet, no line over 512 octets
(RFC 5321 §4.5.3.1.5), nothing but ASCII unless the client asked for UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attrs import frozen

from mailfw import errors
from mailfw.values import Fate, Outcome

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_OCTETS = 512 - len("250-5.999.999 \r\n")


@frozen
class Reply:
    """What a server answers (RFC 5321 §4.2).

    :ivar enhanced: `2.1.0` (RFC 3463), repeated on each line; empty where RFC 2034 §4 wants none (greeting, EHLO, 3xx).
    :ivar lines: the text; at least one line.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The first line."""
        return self.lines[0]

    @property
    def said(self) -> str:
        """All of it in one line for people and reports, whoever wrote it: no control characters, at most 1,000 characters."""
        return _UNSAFE.sub("?", " ".join(filter(None, (str(self.code), self.enhanced, *self.lines))))[:1000]

    @property
    def isPositive(self) -> bool:
        """2xx and 3xx: the command was carried out."""
        return self.code < 400

    def encode(self, isUTF8: bool = False) -> bytes:
        """The wire form. :param isUTF8: the client said SMTPUTF8, so that the text may hold UTF-8 (RFC 6531 §3.7.4.2)."""
        space = self.enhanced and self.enhanced + " "
        texts = [_safe(line, isUTF8) for line in self.lines]
        wire = "".join([f"{self.code}-{space}{text}\r\n" for text in texts[:-1]] + [f"{self.code} {space}{texts[-1]}\r\n"])
        return wire.encode("utf-8")


def reply(code: int, enhanced: str, *lines: str) -> Reply:
    """A reply of one line or more."""
    return Reply(code, enhanced, lines)


def _safe(text: str, isUTF8: bool) -> str:
    """Text that can stand in a reply line, whoever supplied it."""
    if len(text) <= _LINE_OCTETS and text.isascii() and text.isprintable():
        return text
    text = _UNSAFE.sub("?", text)
    if not isUTF8:
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    return text.encode("utf-8", "replace")[:_LINE_OCTETS].decode("utf-8", "ignore")


class ReplyParser:
    """Reads what a server answers, for clients (RFC 5321 §4.2, RFC 2034). The same replies however the octets are split.

    :raises ValueError: (from `feed`) that is no SMTP reply, or one over `limit` octets.
    """

    _LINE = re.compile(r"([2-5][0-9][0-9])(?:([ -])(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*))?")

    def __init__(self, limit: int = 65536) -> None:
        self._limit = limit
        self._rest = b""
        self._size = 0
        self._lines: list[str] = []
        self._code = 0

    @property
    def hasRest(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Replies that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        replies = []
        for line in lines:
            self._size += len(line)
            if (done := self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))) is not None:
                replies.append(done)
        if self._size + len(self._rest) > self._limit:
            raise ValueError("an endless reply")
        return replies

    def _line(self, line: str) -> Reply | None:
        match = self._LINE.fullmatch(line)
        if match is None or (self._lines and int(match[1]) != self._code):
            raise ValueError(f"not a reply line: {line[:80]!r}")
        self._code = int(match[1])
        self._lines.append(match[4] or "")
        if match[2] == "-":
            return None
        done = Reply(self._code, match[3] or "", tuple(self._lines))
        self._lines, self._size = [], 0
        return done


# --- Refusals --------------------------------------------------------------------------------------------------------

_CODES: dict[type[errors.Refusal], tuple[int, str]] = {
    errors.Refusal: (554, "5.0.0"),
    errors.TemporaryRefusal: (451, "4.3.0"),
    errors.Unavailable: (451, "4.3.0"),
    errors.InUse: (450, "4.2.1"),
    errors.LimitExceeded: (452, "4.5.3"),
    errors.NotSupported: (554, "5.3.3"),
    errors.AuthenticationFailed: (535, "5.7.8"),
    errors.AuthenticationUnavailable: (454, "4.7.0"),
    errors.AccountSuspended: (525, "5.7.13"),
    errors.NoPermission: (550, "5.7.1"),
    errors.NoSuchRecipient: (550, "5.1.1"),
    errors.RelayDenied: (550, "5.7.1"),
    errors.RateExceeded: (450, "4.7.1"),
    errors.NoRoute: (550, "5.4.4"),
    errors.NoSuchDomain: (550, "5.1.2"),
    errors.Unreachable: (451, "4.4.1"),
    errors.MessageTooLarge: (552, "5.3.4"),
    errors.MessageRefused: (554, "5.6.0"),
    errors.OverQuota: (452, "4.2.2"),
    errors.NoSuchMailbox: (550, "5.2.0"),
    errors.InvalidName: (550, "5.1.3"),
}
"""RFC 5321 §4.2.2 and RFC 3463 for each class of `mailfw.errors`; a class that is not here speaks as its base does."""


def refusal(error: BaseException, prefix: str = "") -> Reply:
    """The reply for something that was refused. What is no `Refusal` is a fault of ours: it says no more than 451.

    :param prefix: put before the text: which recipient it is about.
    """
    if not isinstance(error, errors.Refusal):
        error = errors.Unavailable()
    code, enhanced = next(_CODES[base] for base in type(error).__mro__ if base in _CODES)
    return Reply(code, enhanced, (prefix + error.text,))


def final(outcomes: Sequence[Outcome], names: Sequence[str], messageId: str, isVerbose: bool = False) -> Reply:
    """SMTP's one reply for all recipients of a message.

    A promise for all, or none: one recipient deferred makes it a 4xx (a repeat may then duplicate for the others), one
    failed a 5xx, so that the sender learns of it; nothing is silently lost.

    :param names: of the recipients, in the order of the outcomes.
    :param isVerbose: VERB was said: a line for each recipient.
    """
    lines = [_line(outcome, name) for outcome, name in zip(outcomes, names, strict=True)] if isVerbose else []
    refused = [_refused(outcome) for outcome in outcomes if not outcome.isTaken]
    if not refused:
        return Reply(250, "2.0.0", (*lines, f"accepted as {messageId}"))
    told = next((reply for reply in refused if reply.code < 500), refused[0])
    taken = len(outcomes) - len(refused)
    text = f"{told.text} ({taken} of {len(outcomes)} recipients have it)" if taken else told.text
    return Reply(told.code, told.enhanced, (*lines, text))


def each(outcomes: Iterable[Outcome], names: Iterable[str]) -> list[Reply]:
    """LMTP's replies, one for each recipient (RFC 2033 §4.2)."""
    return [
        Reply(250, "2.1.5", (_line(outcome, name),)) if outcome.isTaken else _refused(outcome, f"<{name}> ")
        for outcome, name in zip(outcomes, names, strict=True)
    ]


def _line(outcome: Outcome, name: str) -> str:
    told = outcome.remark or str(outcome.refusal or "")
    return f"<{name}> {outcome.fate.value}" + (f": {told}" if told else "")


def _refused(outcome: Outcome, prefix: str = "") -> Reply:
    """Why it was not taken; never permanent where the outcome says that a repeat may succeed."""
    error = outcome.refusal or (errors.Unavailable() if outcome.fate is Fate.DEFERRED else errors.MessageRefused())
    told = refusal(error, prefix)
    if outcome.fate is Fate.DEFERRED and told.code >= 500:
        return refusal(errors.Unavailable(str(error)), prefix)
    return told
