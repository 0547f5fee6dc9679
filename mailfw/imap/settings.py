"""What the configuration says to IMAP alone: `[imap]`."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import field, frozen

import mailfw


class Workaround(enum.Enum):
    """What is let pass although a standard forbids it, for clients that people use would fail otherwise.

    Each is named in the configuration, and stands in docs/decisions/097 with the clients that need it.
    """

    RAW_HEADERS = "raw-headers"
    """APPEND of a header with octets above 127 by a client that has not enabled UTF8=ACCEPT (against RFC 9755 §4): programs that
    copy old mail from elsewhere, as imapsync, mbsync and Thunderbird do, know of no header what is in it."""

    TRAILING_SPACE = "trailing-space"
    """Spaces behind a command's last argument, which scripts and small devices send."""


OWN_NAME: tuple[tuple[str, str], ...] = (("name", "mailfw"), ("version", mailfw.__version__))


@frozen
class Settings:
    """What holds for all IMAP sessions.

    :ivar identification: what ID answers, field and value (RFC 2971 §3.3).
    :ivar without: capabilities that are not announced, and whose commands and arguments are not there; in capitals.
    :ivar withoutFor: the same for one account more, by its canonical name.
    """

    identification: tuple[tuple[str, str], ...] = OWN_NAME
    without: frozenset[str] = frozenset()
    withoutFor: Mapping[str, frozenset[str]] = field(factory=dict)
    workarounds: frozenset[Workaround] = frozenset(Workaround)

    def missing(self, account: str = "") -> frozenset[str]:
        """Capabilities that a session of that account does not have."""
        return self.without | self.withoutFor.get(account, frozenset())
