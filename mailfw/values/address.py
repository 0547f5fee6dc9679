"""Addresses, and the names of accounts."""

from __future__ import annotations

import re
import unicodedata

from attrs import field, frozen

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"


_DOT_ATOM = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")


def _lower(text: str) -> str:
    return text.lower()


@frozen
class Address:
    """A mailbox's address (RFC 5321 §4.1.2, RFC 6531 §3.3).

    :ivar local: the local part without its quoting, case kept.
    :ivar domain: lower case; a U-label where it was written so; `[192.0.2.1]` for an address literal; empty only for
        `<postmaster>`.
    """

    local: str
    domain: str = field(converter=_lower)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address that a person or a configuration file wrote; the local part is quoted where it must be.

        :raises ValueError: it is no address. (The wire's stricter grammar is in `smtp.grammar`.)
        """
        local, at, domain = text.strip().rpartition("@")
        if not at or not domain or re.search(r"[\s<>@,;:\"\\()\x00-\x20\x7f]", domain.strip("[]").replace(":", "")):
            raise ValueError(f"{text!r} is not an address")
        if local.startswith('"') and local.endswith('"') and len(local) > 2:
            local = re.sub(r"\\(.)", r"\1", local[1:-1])
        elif not _DOT_ATOM.fullmatch(local):
            raise ValueError(f"{text!r} is not an address")
        if re.search(r"[\x00-\x1f\x7f]", local):
            raise ValueError(f"{text!r} is not an address")
        return cls(local, domain)

    @property
    def isASCII(self) -> bool:
        """Whether the address can travel without SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        """`local@domain`, the local part quoted where RFC 5321 asks for it."""
        local = self.local
        if not _DOT_ATOM.fullmatch(local):
            local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def accountName(user: str, domain: str) -> str:
    """The canonical name of the account that a user name means: NFC, lower case, with its domain.

    :param user: as a client or an administrator wrote it.
    :param domain: the first configured domain, which a local part alone is of.
    :raises ValueError: no account can have that name (empty, over 320 characters, spaces, control characters).
    """
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", user).lower()) if len(user) <= 320 else ""
    local, at, host = name.rpartition("@")
    if not at:
        local, host = name, domain.lower()
    if not local or not host or not name.isprintable() or " " in name:
        raise ValueError(f"{user[:320]!r} cannot be the name of an account")
    return f"{local}@{host}"
