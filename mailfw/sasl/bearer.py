"""OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's forerunner of it): a bearer token in place of a password.

Who holds the token is taken for its owner, so these are only to be offered under TLS. A refused token is answered with a
challenge that says why, in JSON; the client's next message, whatever it is, ends the exchange in failure.
"""

from __future__ import annotations

import json
import re

from mailfw.errors import AuthenticationFailed, TokenRefused
from mailfw.sasl.scram import decodeName, encodeName
from mailfw.sasl.steps import USER_LIMIT, Challenge, Failed, NeedToken, Step, decodeText

_MALFORMED = Failed("malformed response", isMalformed=True)

# client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep, RFC 7628 §3.1. There is no channel binding to speak of, so `p=`
# has no place in the header.
_OAUTHBEARER = re.compile(rb"[ny],(?:a=(?P<user>[^,\x00\x01]+))?,\x01(?P<pairs>(?:[^\x01]+\x01)*)\x01")
_XOAUTH2 = re.compile(rb"user=(?P<user>[^\x00\x01]*)\x01(?P<pairs>(?:[^\x01]+\x01)*)\x01")
_PAIR = re.compile(rb"(?P<key>[A-Za-z]+)=(?P<value>[\x20-\x7e\t\r\n]*)")  # key "=" value
# `Bearer` and b64token, RFC 6750 §2.1. A client that has no token yet sends none, to be told where to get one (RFC 7628 §4.3).
_AUTH = re.compile(rb"(?:[Bb][Ee][Aa][Rr][Ee][Rr](?: +(?P<token>[A-Za-z0-9._~+/-]+=*))?)?")


def _tokenIn(pairs: bytes) -> str | None:
    """The bearer token among `key=value` pairs, each ended by ^A; None where they break the grammar."""
    values: dict[bytes, bytes] = {}
    for pair in pairs.split(b"\x01")[:-1]:
        found = _PAIR.fullmatch(pair)
        if not found or found["key"] in values:
            return None
        values[found["key"]] = found["value"]
    found = _AUTH.fullmatch(values.get(b"auth", b""))
    return (found["token"] or b"").decode("ascii") if found else None


class OAuthBearerServer:
    """RFC 7628 §3."""

    def __init__(self) -> None:
        self.user = ""

    def start(self, initial: bytes | None) -> Step:
        """The client speaks first; without an initial response it is asked to."""
        return Challenge() if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take the one message apart."""
        found = _OAUTHBEARER.fullmatch(data)
        if not found:
            return _MALFORMED
        user, token = decodeName(found["user"] or b""), _tokenIn(found["pairs"])
        if user is None or token is None:
            return _MALFORMED
        self.user = user
        return NeedToken(user, token, self._explain)

    @staticmethod
    def _explain(refusal: TokenRefused) -> bytes:
        """RFC 7628 §3.2.2."""
        said = {"status": refusal.status, "scope": refusal.scope, "openid-configuration": refusal.discovery}
        return json.dumps({key: value for key, value in said.items() if value}).encode("ascii")


class XOAuth2Server:
    """`user=` name, `auth=Bearer` token, as Google and Microsoft have it."""

    def __init__(self) -> None:
        self.user = ""

    def start(self, initial: bytes | None) -> Step:
        """The client speaks first; without an initial response it is asked to."""
        return Challenge() if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take the one message apart."""
        found = _XOAUTH2.fullmatch(data)
        if not found:
            return _MALFORMED
        user, token = decodeText(found["user"], USER_LIMIT), _tokenIn(found["pairs"])
        if user is None or token is None:
            return _MALFORMED
        self.user = user
        return NeedToken(user, token, self._explain)

    @staticmethod
    def _explain(refusal: TokenRefused) -> bytes:
        said = {"status": "400" if refusal.status == "insufficient_scope" else "401", "schemes": "bearer", "scope": refusal.scope}
        return json.dumps({key: value for key, value in said.items() if value}).encode("ascii")


class _BearerClient:
    """What the clients of both have in common: one message, and an answer that says nothing to a server that refuses it.

    :ivar explanation: what the server said of a token that it refused (JSON); empty so far.
    """

    name = ""
    _silence = b""

    def __init__(self, message: bytes) -> None:
        self.isDone = False
        self.explanation = b""
        self._message = message

    def start(self) -> bytes | None:
        """All of it at once."""
        self.isDone = True
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        """Only a refusal is left to be heard; the server's failure follows our answer."""
        if self.explanation or not challenge:
            raise AuthenticationFailed(f"the server asked {self.name} for more than there is")
        self.isDone = False
        self.explanation = challenge
        return self._silence


class OAuthBearerClient(_BearerClient):
    """The client's half of OAUTHBEARER."""

    name = "OAUTHBEARER"
    _silence = b"\x01"

    def __init__(self, token: str, user: str = "") -> None:
        asked = b"a=" + encodeName(user) if user else b""
        super().__init__(b"n,%b,\x01auth=Bearer %b\x01\x01" % (asked, token.encode("ascii")))


class XOAuth2Client(_BearerClient):
    """The client's half of XOAUTH2."""

    name = "XOAUTH2"

    def __init__(self, token: str, user: str) -> None:
        super().__init__(b"user=%b\x01auth=Bearer %b\x01\x01" % (user.encode("utf-8"), token.encode("ascii")))
