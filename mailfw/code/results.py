"""What a function returns: one of these, several in a list, or None where there is nothing left to do. Frozen values. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import EmailMessage
from typing import get_args

from attrs import field, frozen

from mailfw.message.view import Message

Content = Message | EmailMessage | bytes
"""What can be sent: a message as it is, one that the standard library made, or octets."""

_STATUS = re.compile(r"\s*([45])\.(\d{1,3})\.(\d{1,3})(?:\s+|\Z)")


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _flags(value: str | Sequence[str]) -> frozenset[str]:
    return frozenset(_several(value))


@frozen
class Deliver:
    """Put the message into a mailbox.

    :ivar account: an account or an alias; without a domain, of the first one. Empty: where the address would lead without the
        function.
    :ivar mailbox: made where it is missing. :ivar flags: `\\\\Seen`, `\\\\Flagged`, keywords.
    :ivar message: what is put there instead of the message.
    """

    account: str = ""
    mailbox: str = "INBOX"
    flags: frozenset[str] = field(default=(), converter=_flags)
    message: Content | None = None


@frozen
class Reject:
    """Return the message to its sender, who gets a report.

    :ivar text: perhaps with a status before it (RFC 3463): `5.7.1 members only`.
    """

    text: str = "5.7.1 refused"

    @property
    def status(self) -> str:
        """RFC 3463."""
        found = _STATUS.match(self.text)
        return f"5.{found[2]}.{found[3]}" if found else "5.7.1"

    @property
    def words(self) -> str:
        """The text without its status, in one line."""
        return oneLine(_STATUS.sub("", self.text, count=1)) or "refused"


@frozen
class Defer:
    """Call the function again later.

    :ivar text: why, for `mailfw queue show`. :ivar after: seconds, or `"10m"`; None: as its schedule has it.
    """

    text: str = ""
    after: float | str | None = None


@frozen
class Discard:
    """Nothing is left to do: nobody hears of the message. :ivar reason: for the log."""

    reason: str = ""


@frozen
class Reply:
    """Answer whoever sent the message; not, whatever the function wants, where nobody should (`Message.isAutomatic`).

    :ivar message: the text of the answer, or all of it: see `Message.reply`.
    :ivar sender: of its envelope: where reports about it go; empty: nobody is told (RFC 3834 §3.3).
    """

    message: str | EmailMessage
    sender: str = ""


@frozen
class Send:
    """Send a message, this one or another, to anybody.

    :ivar to: one address or several. :ivar sender: of its envelope; empty: `<>`; None: the message's own, rewritten where it is
        not of our domains (SRS).
    """

    message: Content
    to: tuple[str, ...] = field(converter=_several)
    sender: str | None = None


Result = Deliver | Reject | Defer | Discard | Reply | Send


class Nonsense(Exception):
    """What a function returned means nothing; the text says why."""


def resultsOf(returned: object) -> list[Result]:
    """What a function wants to become of its message. :raises Nonsense:"""
    several: list[Result] = []
    for each in returned if isinstance(returned, list | tuple) else () if returned is None else (returned,):
        if not isinstance(each, Result):
            hint = f": write mail.{type(each).__name__}(…)" if type(each).__module__ == "mailfw.stages" else ""
            raise Nonsense(f"it returns {_shown(each)}, which is nothing that a function returns{hint}")
        several.append(each)
    for alone in (Reject, Defer):
        if len(several) > 1 and any(isinstance(each, alone) for each in several):
            raise Nonsense(f"it returns {alone.__name__} beside something else, and cannot mean both")
    return several


def _shown(thing: object) -> str:
    if isinstance(thing, type) and thing in get_args(Result):
        return f"the class {thing.__name__} (it lacks its brackets)"
    shown = repr(thing)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def oneLine(text: str) -> str:
    """Text in one line that is safe to show."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:400]
