"""Tokens that only their provider understands: it is asked what each is worth (RFC 7662).

What it says of a good token is remembered until the token ends, but not longer than configured: so long may a token that was
revoked still let somebody in. The tokens themselves are not kept, only digests that nobody else can make.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable

from attrs import field, frozen
from twisted.logger import Logger

from mailfw.auth.claims import Claims
from mailfw.auth.sharing import UnderWay
from mailfw.errors import AuthenticationUnavailable, TokenRefused
from mailfw.net.web import Web, WebTrouble

CAPACITY = 10_000
"""Good tokens remembered at once."""


@frozen
class Endpoint:
    """Where to ask, and as whom. :ivar client: empty: as nobody."""

    url: str
    client: str = ""
    secret: str = field(default="", repr=False)


class Introspection:
    """Asks one provider.

    :param now: seconds since the epoch, UTC.
    :param remember: seconds.
    """

    log = Logger()

    def __init__(self, endpoint: Endpoint, web: Web, now: Callable[[], float], remember: float) -> None:
        self._endpoint = endpoint
        self._web = web
        self._now = now
        self._remember = remember
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, tuple[float, Claims]] = OrderedDict()
        self._asking: UnderWay[bytes, Claims] = UnderWay()

    async def claims(self, token: str) -> Claims:
        """What the provider says of the token.

        :raises TokenRefused: it is not good, or not any more.
        :raises AuthenticationUnavailable: the provider does not answer, or not to us.
        """
        mark = hashlib.blake2b(token.encode("utf-8"), key=self._key, digest_size=32).digest()
        until, claims = self._known.get(mark, (0.0, {}))
        return claims if until > self._now() else await self._asking.share(mark, lambda: self._ask(token, mark))

    async def _ask(self, token: str, mark: bytes) -> Claims:
        endpoint = self._endpoint
        fields = {"token": token, "token_type_hint": "access_token"}
        try:
            answer = json.loads(await self._web.post(endpoint.url, fields, endpoint.client, endpoint.secret))
            if not isinstance(answer, dict) or not isinstance(answer.get("active"), bool):
                raise WebTrouble(f"{endpoint.url}: answered what is no introspection response")
        except (WebTrouble, ValueError, RecursionError) as error:
            self.log.error("tokens cannot be checked: {error}", error=error)
            raise AuthenticationUnavailable from error
        if not answer["active"]:
            self._known.pop(mark, None)
            raise TokenRefused("not active")
        self._keep(mark, answer)
        return answer

    def _keep(self, mark: bytes, claims: Claims) -> None:
        until, ends = self._now() + self._remember, claims.get("exp")
        if isinstance(ends, int | float):
            until = min(until, ends)
        self._known[mark] = (until, claims)
        self._known.move_to_end(mark)
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)
