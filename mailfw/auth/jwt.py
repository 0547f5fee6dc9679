"""Tokens that prove themselves: JWTs (RFC 7519, RFC 9068) signed by the provider, and where its public keys come from.

Invariants:

- Only asymmetric algorithms, and of those only what the configuration lists: neither `none` nor a public key taken for an
  HMAC secret can pass. Keys that a token brings with it (`jwk`, `jku`, `x5c` …) are not looked at.
- Keys are fetched at most once a minute, whatever key ids tokens name; those that were fetched last hold for a day while
  the provider is away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode
from twisted.logger import Logger

from mailfw.auth.claims import Claims
from mailfw.auth.sharing import UnderWay
from mailfw.errors import AuthenticationUnavailable, TokenRefused
from mailfw.net.web import Web, WebTrouble

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""All that can be configured."""

FRESH = 3600.0
"""Seconds after which keys are fetched again."""
AGAIN = 60.0
"""Seconds between two attempts to fetch keys."""
STALE = 86400.0
"""Seconds for which fetched keys hold while no others can be had."""

_KEYS_LIMIT = 100
_KEY_TYPES = ("RSA", "EC", "OKP")
_TYPES = ("jwt", "at+jwt", "application/at+jwt")  # not logout+jwt, secevent+jwt … (RFC 8725 §3.11)


def parseKeys(content: bytes) -> list[Key]:
    """The public keys for signatures in a JWK set (RFC 7517 §5); what is for something else, or not understood, is passed over.

    :raises ValueError: it is no set, or there is no usable key in it.
    """
    try:
        entries = json.loads(content)["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("not a set of JSON web keys") from None
    keys = [key for entry in entries[:_KEYS_LIMIT] if (key := _parseKey(entry)) is not None]
    if not keys:
        raise ValueError("there is no usable key in the set")
    return keys


def _parseKey(entry: Any) -> Key | None:
    if not isinstance(entry, dict) or entry.get("kty") not in _KEY_TYPES or entry.get("use", "sig") != "sig":
        return None
    try:
        return import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


class KeySource(Protocol):
    """Where a provider's keys are."""

    async def keys(self, keyId: str | None) -> Sequence[Key]:
        """Those there are, that one among them if it is to be had.

        :raises AuthenticationUnavailable: there are none now.
        """


class KeyFile:
    """Keys in a file, which is read again when it has changed; while it cannot be read, its last content holds."""

    log = Logger()

    def __init__(self, path: str) -> None:
        """:raises ValueError: it cannot be read, or holds no keys."""
        self._path = path
        try:
            self._stamp = self._stampNow()
            self._keys = self._read()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None

    async def keys(self, keyId: str | None) -> Sequence[Key]:
        """What the file says, or said when it could last be read."""
        try:
            stamp = self._stampNow()
            if stamp != self._stamp:
                self._stamp = stamp
                self._keys = self._read()
        except (OSError, ValueError) as error:
            self.log.error("{path}: its last content holds: {error}", path=self._path, error=error)
        return self._keys

    def _stampNow(self) -> tuple[int, ...]:
        found = os.stat(self._path)
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> list[Key]:
        with open(self._path, "rb") as file:
            try:
                return parseKeys(file.read())
            except ValueError as error:
                raise ValueError(f"{self._path}: {error}") from None


class KeyURL:
    """Keys that the provider publishes; fetched when they are first asked for, hourly, and when a token names a new one.

    :param now: seconds, on any clock that does not go back.
    """

    log = Logger()

    def __init__(self, url: str, web: Web, now: Callable[[], float]) -> None:
        self._url = url
        self._web = web
        self._now = now
        self._keys: list[Key] = []
        self._fetched = self._tried = -STALE
        self._fetching: UnderWay[str, None] = UnderWay()

    async def keys(self, keyId: str | None) -> Sequence[Key]:
        """:raises AuthenticationUnavailable: none could be fetched for a day."""
        isMissing = keyId is not None and all(key.kid not in (None, keyId) for key in self._keys)
        isOld = self._now() - self._fetched >= FRESH
        if (isMissing or isOld) and self._now() - self._tried >= AGAIN:
            await self._fetching.share(self._url, self._fetch)
        if not self._keys or self._now() - self._fetched >= STALE:
            raise AuthenticationUnavailable
        return self._keys

    async def _fetch(self) -> None:
        try:
            self._keys = parseKeys(await self._web.get(self._url))
            self._fetched = self._now()
        except (WebTrouble, ValueError) as error:
            self.log.error("{url}: the provider's keys could not be fetched: {error}", url=self._url, error=error)
        finally:
            self._tried = self._now()


class _Registry(JWSRegistry):
    max_header_length = 4096  # some put their certificates there


class JWTs:
    """Reads them. :param algorithms: those that are taken."""

    def __init__(self, source: KeySource, algorithms: Sequence[str]) -> None:
        self._source = source
        self._registry = _Registry(algorithms=list(algorithms), strict_check_header=False)

    async def claims(self, token: str) -> Claims:
        """What a token says that one of the provider's keys has signed; nothing of it has been judged.

        :raises TokenRefused: nobody we know has signed it.
        :raises AuthenticationUnavailable: there are no keys now.
        """
        keyId, algorithm = _headerOf(token)
        for key in await self._source.keys(keyId):
            if (keyId is not None and key.kid not in (None, keyId)) or key.alg not in (None, algorithm):
                continue
            try:
                read = jwt.decode(token, key, registry=self._registry)
            except (JoseError, ValueError, TypeError, KeyError, RecursionError):
                continue
            if str(read.header.get("typ", "JWT")).lower() not in _TYPES:
                raise TokenRefused("not an access token")
            return read.claims
        raise TokenRefused("not signed by a known key")


def _headerOf(token: str) -> tuple[str | None, str]:
    """`kid` and `alg` of a token, which so far only say where to look. :raises TokenRefused: it has no header."""
    try:
        header = json.loads(urlsafe_b64decode(token.partition(".")[0].encode("ascii")))
        keyId, algorithm = header.get("kid"), header.get("alg")
    except (ValueError, AttributeError, RecursionError):
        raise TokenRefused("not a JWT") from None
    return (keyId if isinstance(keyId, str) else None), str(algorithm)
