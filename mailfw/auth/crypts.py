"""Modular crypt: strings that start with `$`, and the DES forms that are older. Everything here blocks, most without
the GIL.

argon2 and bcrypt have libraries of their own; what crypt(3) of the system knows (Debian's: all of them, yescrypt too)
is left to it; passlib does what it may lack, and Apache's own `$apr1$`.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import warnings
from collections.abc import Callable
from typing import cast

import argon2
import bcrypt

# OWASP's smallest advice for argon2id: mail clients log in often, and each login under way holds this memory.
_ARGON2 = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=argon2.Type.ID)

_BCRYPT_LIMIT = 72  # octets; what is beyond never counted in bcrypt, and the library now refuses it

_PREFIXES = ("$1$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$sha1$", "$md5$", "$md5,", "$apr1$")
_BCRYPT = ("$2a$", "$2b$", "$2x$", "$2y$")
_ARGON2_PREFIXES = ("$argon2id$", "$argon2i$", "$argon2d$")
_DES = re.compile(r"[./0-9A-Za-z]{13}")
_EXTENDED_DES = re.compile(r"_[./0-9A-Za-z]{19}")


def kindOf(stored: str) -> str:
    """What sort of crypt string this is: its `$…$`, `DES`, or empty where it is none that we know."""
    for prefix in (*_ARGON2_PREFIXES, *_BCRYPT, *_PREFIXES):
        if stored.startswith(prefix):
            return prefix
    return "DES" if _DES.fullmatch(stored) or _EXTENDED_DES.fullmatch(stored) else ""


def makeArgon2(password: bytes) -> str:
    """A new argon2id string with a random salt."""
    return _ARGON2.hash(password)


def inventArgon2() -> str:
    """A string like those that `makeArgon2` returns, with random octets in place of a digest."""
    salt, digest = (
        base64.b64encode(os.urandom(size)).decode("ascii").rstrip("=") for size in (_ARGON2.salt_len, _ARGON2.hash_len)
    )
    return f"$argon2id$v=19$m={_ARGON2.memory_cost},t={_ARGON2.time_cost},p={_ARGON2.parallelism}${salt}${digest}"


def matches(stored: str, password: bytes) -> bool:
    """Whether the crypt string was made from this password.

    :raises ValueError: it is of no kind that we know, or damaged.
    """
    kind = kindOf(stored)
    if not kind:
        raise ValueError("not a crypt string")
    if kind in _ARGON2_PREFIXES:
        return _matchesArgon2(stored, password)
    if kind in _BCRYPT:
        return bcrypt.checkpw(password[:_BCRYPT_LIMIT], stored.encode("ascii"))
    return _matchesSystem(kind, stored, password)


def _matchesArgon2(stored: str, password: bytes) -> bool:
    try:
        return _ARGON2.verify(stored, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.InvalidHashError, argon2.exceptions.VerificationError) as error:
        raise ValueError(str(error)) from None


def _matchesSystem(kind: str, stored: str, password: bytes) -> bool:
    if kind != "$apr1$":
        made = _systemCrypt(password, stored)
        # A crypt(3) that does not know a kind says nothing, `*0`, or falls back to DES.
        if made and made[:1] != "*" and kind in ("DES", made[: len(kind)]):
            return hmac.compare_digest(made.encode("utf-8"), stored.encode("utf-8"))
    return _matchesPasslib(kind, stored, password)


def _matchesPasslib(kind: str, stored: str, password: bytes) -> bool:
    from passlib import hash as handlers  # slow to import, and seldom needed

    names = {"$1$": "md5_crypt", "$5$": "sha256_crypt", "$6$": "sha512_crypt", "$sha1$": "sha1_crypt", "$apr1$": "apr_md5_crypt"}
    names["DES"] = "bsdi_crypt" if stored.startswith("_") else "des_crypt"
    if kind not in names:
        raise ValueError(f"crypt(3) of this system does not know {kind}")
    return bool(getattr(handlers, names[kind]).verify(password, stored))


def _findSystemCrypt() -> Callable[[str, str], str | None] | None:
    """crypt(3): in the standard library until Python 3.12, a package of its own since."""
    try:
        import crypt_r

        return cast("Callable[[str, str], str | None]", crypt_r.crypt)
    except ImportError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import crypt

        return crypt.crypt
    except ImportError:
        return None


_crypt = _findSystemCrypt()


def _systemCrypt(password: bytes, setting: str) -> str | None:
    """None: there is no crypt(3), or it does not know the setting."""
    if _crypt is None:
        return None
    try:
        return _crypt(password.decode("utf-8"), setting)
    except (OSError, ValueError):
        return None
