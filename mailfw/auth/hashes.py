"""How passwords are stored: `{SCHEME}value`, in every scheme that users of Dovecot or htpasswd have.

The value may be encoded as Dovecot does: `{SSHA.HEX}`, `{SHA512-CRYPT.B64}`. Without `{SCHEME}` it is a crypt string
(htpasswd, /etc/shadow, and Dovecot's own rule for passwd files). Everything here blocks; `hashing` calls it in
threads.

New passwords are stored as argon2id. A stored value that is empty, or that starts with `!` or `*` as in /etc/shadow,
fits no password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable

from attrs import frozen

from mailfw.auth import crammd5, crypts
from mailfw.sasl.prep import saslPrep
from mailfw.sasl.steps import PASSWORD_LIMIT
from mailfw.sasl.verifier import HASHES, Verifier

DEFAULT = "ARGON2ID"
"""The scheme of passwords that we store; any other is weaker."""


class UnusableHash(ValueError):
    """A stored password that cannot be checked. The text names the scheme, and never holds the value."""


class UnknownScheme(UnusableHash):
    """It is stored in a scheme that we do not know."""


@frozen
class _Text:
    """A scheme whose value is text.

    :ivar matches: (value, password) → whether they fit; raises ValueError for a damaged value.
    :ivar check: raises ValueError for a value that `matches` could not use.
    """

    matches: Callable[[str, bytes], bool]
    check: Callable[[str], object]


@frozen
class _Octets:
    """A scheme whose value is octets: a digest, and after it the salt where there is one.

    :ivar size: of the digest.
    :ivar matches: (digest and salt, password) → whether they fit.
    """

    size: int
    matches: Callable[[bytes, bytes], bool]
    isSalted: bool = False

    def decode(self, value: str, encoding: str) -> bytes:
        """Without an encoding a value of the right length is hexadecimal, and any other base64. :raises ValueError:"""
        octets = _decode(value, encoding or ("HEX" if len(value) == 2 * self.size and not self.isSalted else "B64"))
        if len(octets) < self.size or (len(octets) > self.size and not self.isSalted):
            raise ValueError("the digest has the wrong length")
        return octets


def _digest(algorithm: str, isSalted: bool = False) -> _Octets:
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def matches(kept: bytes, password: bytes) -> bool:
        made = hashlib.new(algorithm, password + kept[size:], usedforsecurity=False).digest()
        return hmac.compare_digest(made, kept[:size])

    return _Octets(size, matches, isSalted)


def _matchesPlain(value: str, password: bytes) -> bool:
    # Through a digest, so that the time does not tell how long the stored password is.
    return hmac.compare_digest(hashlib.sha256(value.encode("utf-8")).digest(), hashlib.sha256(password).digest())


_PBKDF2 = re.compile(r"\$1\$([^$]+)\$([1-9][0-9]{0,8})\$([0-9a-fA-F]{40})")


def _checkPBKDF2(value: str) -> re.Match[str]:
    """Dovecot's {PBKDF2}: `$1$salt$rounds$digest`, HMAC-SHA-1, 20 octets in hexadecimal."""
    found = _PBKDF2.fullmatch(value)
    if not found:
        raise ValueError("not $1$salt$rounds$digest")
    return found


def _matchesPBKDF2(value: str, password: bytes) -> bool:
    salt, rounds, digest = _checkPBKDF2(value).groups()
    made = hashlib.pbkdf2_hmac("sha1", password, salt.encode("utf-8"), int(rounds), 20)
    return hmac.compare_digest(made, bytes.fromhex(digest))


def _scram(mechanism: str) -> _Text:
    def matches(value: str, password: bytes) -> bool:
        return Verifier.parse(mechanism, value).matches(mechanism, password.decode("utf-8"))

    return _Text(matches, lambda value: Verifier.parse(mechanism, value))


def _checkCrypt(value: str) -> None:
    if not crypts.kindOf(value):
        raise ValueError("not a crypt string")


_PLAIN = _Text(_matchesPlain, lambda value: None)
_CRYPT = _Text(crypts.matches, _checkCrypt)
_CRAM_MD5 = _Octets(crammd5.SIZE, crammd5.matches)

_SCHEMES: dict[str, _Text | _Octets] = {
    **dict.fromkeys(("PLAIN", "CLEAR", "CLEARTEXT"), _PLAIN),
    **dict.fromkeys(("ARGON2ID", "ARGON2I", "ARGON2", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "MD5"), _CRYPT),
    **dict.fromkeys(("CRYPT", "DES-CRYPT", "EXT-DES-CRYPT", "DES"), _CRYPT),
    **dict.fromkeys(("SHA", "SHA1"), _digest("sha1")),
    "SHA256": _digest("sha256"),
    "SHA512": _digest("sha512"),
    "SSHA": _digest("sha1", isSalted=True),
    "SSHA256": _digest("sha256", isSalted=True),
    "SSHA512": _digest("sha512", isSalted=True),
    "SMD5": _digest("md5", isSalted=True),
    **dict.fromkeys(("PLAIN-MD5", "LDAP-MD5"), _digest("md5")),
    "PBKDF2": _Text(_matchesPBKDF2, _checkPBKDF2),
    **dict.fromkeys(("CRAM-MD5", "HMAC-MD5"), _CRAM_MD5),
    **{mechanism: _scram(mechanism) for mechanism in HASHES},
}

_PREFIX = re.compile(r"\{([A-Za-z0-9-]{1,32})(?:\.([A-Za-z0-9]{1,8}))?\}")


def _decode(value: str, encoding: str) -> bytes:
    if encoding == "HEX":
        return bytes.fromhex(value)
    if encoding in ("B64", "BASE64"):
        try:
            return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    raise ValueError(f"no such encoding: .{encoding}")


@frozen
class _Stored:
    """A stored password, taken apart: the scheme's name in capitals (empty: nobody can log in), its value decoded."""

    name: str
    scheme: _Text | _Octets
    value: str | bytes

    @classmethod
    def parse(cls, stored: str) -> _Stored:
        """:raises UnusableHash: of an unknown scheme, or damaged."""
        if not stored or stored[0] in "!*":
            return cls("", _PLAIN, "")
        found = _PREFIX.match(stored)
        name, encoding = (found[1].upper(), (found[2] or "").upper()) if found else ("CRYPT", "")
        value = stored[found.end() :] if found else stored
        if name not in _SCHEMES:
            raise UnknownScheme(f"unknown password scheme {{{name}}}")
        if not found and not crypts.kindOf(value):
            kind = re.match(r"\$[a-zA-Z0-9-]{1,16}\$", value)
            raise UnknownScheme(f"unknown password scheme {kind[0]}" if kind else "the password has no {SCHEME} before it")
        scheme = _SCHEMES[name]
        try:
            if isinstance(scheme, _Octets):
                return cls(name, scheme, scheme.decode(value, encoding))
            text = _decode(value, encoding).decode("utf-8") if encoding else value
            scheme.check(text)
        except ValueError as error:
            reason = "damaged" if isinstance(error, UnicodeDecodeError) else str(error)
            raise UnusableHash(f"the value of {{{name}}} cannot be used: {reason}") from None
        return cls(name, scheme, text)

    def matches(self, password: bytes) -> bool:
        try:
            if isinstance(self.scheme, _Octets) and isinstance(self.value, bytes):
                return self.scheme.matches(self.value, password)
            if isinstance(self.scheme, _Text) and isinstance(self.value, str):
                return bool(self.name and self.value) and self.scheme.matches(self.value, password)
        except ValueError:
            raise UnusableHash(f"the value of {{{self.name}}} is damaged") from None
        raise TypeError(f"{{{self.name}}} and its value do not fit")


def check(stored: str) -> None:
    """Whether a stored password could be verified, without hashing anything.

    :raises UnusableHash: it could not.
    """
    _Stored.parse(stored)


def verify(stored: str, password: str) -> bool:
    """Whether the stored value was made from this password, as it was typed or in NFC.

    Never true for an empty password, one with a NUL or one that is longer than PASSWORD_LIMIT octets.

    :raises UnusableHash: it cannot be told.
    """
    parsed = _Stored.parse(stored)
    spellings = dict.fromkeys((password, unicodedata.normalize("NFC", password)))
    return any(isPossible(spelling) and parsed.matches(spelling.encode("utf-8")) for spelling in spellings)


def isPossible(password: str) -> bool:
    """Whether it can be anybody's password at all."""
    try:
        return "\0" not in password and 0 < len(password.encode("utf-8")) <= PASSWORD_LIMIT
    except UnicodeEncodeError:
        return False


def isStrong(stored: str) -> bool:
    """Whether it is stored in the way that we store new passwords."""
    return stored.upper().startswith("{ARGON2ID.") or _PREFIX.sub("", stored, count=1).startswith("$argon2id$")


def normalize(password: str) -> str:
    """A new password as it is hashed: NFC.

    :raises ValueError: nobody could log in with it by every mechanism; the text says why.
    """
    password = unicodedata.normalize("NFC", password)
    if not password:
        raise ValueError("the password is empty")
    if not isPossible(password):
        raise ValueError(f"the password is longer than {PASSWORD_LIMIT} octets, or holds what no password can")
    try:
        saslPrep(password)
    except ValueError as error:
        raise ValueError(f"the password cannot be used: {error}") from None
    return password


def make(password: str) -> str:
    """`{ARGON2ID}…` with a random salt, for a normalized password."""
    return f"{{{DEFAULT}}}{crypts.makeArgon2(password.encode('utf-8'))}"


def invent() -> str:
    """A value like those that `make` returns, which costs as much to verify, and which no password is known to fit."""
    return f"{{{DEFAULT}}}{crypts.inventArgon2()}"


def makeVerifiers(password: str) -> dict[str, str]:
    """What SCRAM needs, by mechanism; none where SASLprep does not allow the password."""
    try:
        return {mechanism: str(Verifier.fromPassword(mechanism, password)) for mechanism in HASHES}
    except ValueError:
        return {}


def verifierIn(stored: str) -> dict[str, str]:
    """The verifier, by mechanism, that a stored `{SCRAM-…}` value is."""
    parsed = _Stored.parse(stored)
    return {parsed.name: str(parsed.value)} if parsed.name in HASHES else {}
