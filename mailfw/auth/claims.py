"""What is asked of a token's claims, whether it carries them itself (RFC 7519 §4) or its issuer was asked (RFC 7662 §2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from mailfw.errors import TokenRefused

Claims = Mapping[str, Any]
"""JSON, as it was parsed."""


@frozen
class Demands:
    """What must be said, and what says whose account it is.

    :ivar issuer: the only one that is believed; empty: whoever was asked is.
    :ivar audience: of whom the token must be for one; empty: for anybody.
    :ivar scope: what the token must allow; empty: nothing in particular.
    :ivar userClaim: the claim with the user's name.
    :ivar leeway: seconds by which clocks may differ.
    """

    issuer: str = ""
    audience: tuple[str, ...] = ()
    scope: str = ""
    userClaim: str = "email"
    leeway: int = 60

    def user(self, claims: Claims, now: float, isSelfContained: bool) -> str:
        """The user whom the claims are about.

        :param now: seconds since the epoch, UTC.
        :param isSelfContained: nobody was asked, so the token itself must say who issued it and when it ends.
        :raises TokenRefused: they do not say what is asked.
        """
        options: dict[str, ClaimsOption] = {"exp": {"essential": isSelfContained}}
        if self.issuer:
            options["iss"] = {"essential": isSelfContained, "value": self.issuer}
        if self.audience:
            options["aud"] = {"essential": True, "values": list(self.audience)}
        try:
            JWTClaimsRegistry(now=int(now), leeway=self.leeway, **options).validate(dict(claims))
        except ExpiredTokenError:
            raise TokenRefused("expired") from None
        except MissingClaimError:
            raise TokenRefused("iss, aud or exp is missing") from None
        except ClaimError as error:
            raise TokenRefused(f"{error.claim} is wrong") from None
        except JoseError:
            raise TokenRefused("wrong claims") from None
        if self.scope and self.scope not in _scopesOf(claims):
            raise TokenRefused("scope is missing", "insufficient_scope")
        return self._userOf(claims)

    def _userOf(self, claims: Claims) -> str:
        user = claims.get(self.userClaim)
        if not isinstance(user, str) or not user:
            raise TokenRefused(f"{self.userClaim} is missing")
        # At some providers people write what they like into their profile until they are asked to prove it.
        if self.userClaim == "email" and claims.get("email_verified", True) not in (True, "true"):
            raise TokenRefused("email is not verified")
        return user


def _scopesOf(claims: Claims) -> list[str]:
    """`scope` (RFC 8693 §4.2), or `scp` as some providers call it: a list, or words in one string."""
    said = claims.get("scope", claims.get("scp"))
    if isinstance(said, str):
        return said.split(" ")
    return [each for each in said if isinstance(each, str)] if isinstance(said, list) else []
