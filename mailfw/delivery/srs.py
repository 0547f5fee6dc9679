"""Senders of forwarded mail, rewritten so that this system may send for them: SRS, as shevek.co.uk/srs describes it.

A message that an alias of ours sends on to another system still names its first sender, whose domain's SPF does not allow us. So
the return path becomes an address of ours that holds the first one, signed and dated:

    SRS0=HASH=TT=example.com=jane@our.example      for jane@example.com
    SRS1=HASH=first.example==REST@our.example      for what another forwarder had rewritten already: bounces go to it, not past it

A bounce to such an address goes on to the one in it, when the signature is ours and not too old; nobody else can make us send.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Callable

from mailfw.errors import NoSuchRecipient
from mailfw.values import Address

DAYS = 21
"""A bounce comes within these days, or not."""

_HASH = 8  # characters of base32: 40 bits, guessed one by one over SMTP
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SRS0 = re.compile(r"SRS0[=+-]([A-Z2-7]{8})=([A-Z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL)
_SRS1 = re.compile(r"SRS1[=+-]([A-Z2-7]{8})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_FOREIGN0 = re.compile(r"SRS0([=+-].+)", re.IGNORECASE | re.DOTALL)
_FOREIGN1 = re.compile(r"SRS1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_PREFIX = re.compile(r"SRS[01][=+-]", re.IGNORECASE)


class SRS:
    """:param secret: what signatures are made with. :param domain: ours, that rewritten senders are of."""

    def __init__(self, secret: bytes, domain: str, now: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._domain = domain.lower()
        self._now = now

    @classmethod
    def open(cls, path: str, domain: str, now: Callable[[], float] = time.time) -> SRS:
        """With the secret in that file, made where it is missing, 0600."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
        with open(path, "rb") as file:
            secret = file.read()
        if len(secret) < 16:
            raise ValueError(f"{path} holds no secret: remove it, and a new one is made")
        return cls(secret, domain, now)

    def isOne(self, address: Address) -> bool:
        """Whether that looks like one of ours."""
        return address.domain == self._domain and _PREFIX.match(address.local) is not None

    def forward(self, sender: Address) -> Address:
        """What a sender elsewhere becomes."""
        if sender.domain == self._domain:
            return sender
        first = _FOREIGN0.fullmatch(sender.local)
        again = _FOREIGN1.fullmatch(sender.local)
        if first or again:
            host, rest = (sender.domain, first[1]) if first else (again[1], again[2]) if again else ("", "")
            return Address(f"SRS1={self._sign(host + rest)}={host}={rest}", self._domain)
        day = _stamp(int(self._now() // 86400))
        text = f"{day}={sender.domain}={sender.local}"
        return Address(f"SRS0={self._sign(text)}={text}", self._domain)

    def reverse(self, address: Address) -> Address:
        """The address that is in one of ours. :raises NoSuchRecipient: it is none, forged, or too old."""
        match = _SRS0.fullmatch(address.local)
        if match:
            signature, day, domain, local = match.groups()
            if self._isSigned(signature, f"{day.upper()}={domain}={local}") and self._isRecent(day.upper()):
                return Address(local, domain)
        match = _SRS1.fullmatch(address.local)
        if match:
            signature, domain, rest = match.groups()
            if self._isSigned(signature, domain + rest):
                return Address(f"SRS0{rest}", domain)
        raise NoSuchRecipient

    def _sign(self, text: str) -> str:
        """A signature without regard to case, which some hosts change on the way."""
        digest = hmac.new(self._secret, text.lower().encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.b32encode(digest).decode("ascii")[:_HASH]

    def _isSigned(self, signature: str, text: str) -> bool:
        return hmac.compare_digest(signature.upper(), self._sign(text))

    def _isRecent(self, day: str) -> bool:
        written = _BASE32.index(day[0]) * 32 + _BASE32.index(day[1])
        return (int(self._now() // 86400) - written) % 1024 <= DAYS


def _stamp(day: int) -> str:
    return _BASE32[day // 32 % 32] + _BASE32[day % 32]
