"""`oauth:` – bearer tokens of one OAuth 2 provider in place of passwords (OAUTHBEARER, XOAUTH2); see `[plugin.oauth]`.

Tokens that are JWTs are checked here by the provider's public keys (`jwks`); any others, or all where no keys are given,
by asking the provider (`introspection`). A token proves a name. Where other sources know accounts by name (`accounts:`,
`passwd:`), there must be such an account; alone, this source lets in whoever the provider names in our domains, and lists
no users for mail to be addressed to.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_snake
from zope.interface import implementer

from mailfw.auth.claims import Demands
from mailfw.auth.introspection import Endpoint, Introspection
from mailfw.auth.jwt import ALGORITHMS, JWTs, KeyFile, KeySource, KeyURL
from mailfw.errors import AuthenticationFailed, TokenRefused
from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, ICredentialKinds, IOptions
from mailfw.net.web import Web, checkURL
from mailfw.values import Credentials, Identity, TokenCredentials, accountName


def _urlOrNone(value: str) -> str:
    return value and checkURL(value)


def _urlOrFile(value: str) -> str:
    return checkURL(value) if "://" in value else value


def _algorithm(value: str) -> str:
    if value not in ALGORITHMS:
        raise ValueError(f'"{value}" is none of {", ".join(ALGORITHMS)}')
    return value


URL = Annotated[str, AfterValidator(_urlOrNone)]


class OAuthOptions(BaseModel):
    """`[plugin.oauth]`.

    :ivar issuer: `iss` of tokens. :ivar audience: one of these is in `aud`; for introspection it may be left out.
    :ivar jwks: URL, or file, of the provider's keys: JWTs are checked by them.
    :ivar introspection: URL where other tokens are asked about, as `client_id` with `client_secret`.
    :ivar userClaim: names the account. :ivar scope: what a token must allow.
    :ivar discovery: URL of the provider's openid-configuration, which clients are told.
    :ivar authorities: PEM file of certificates to trust for `https`, in place of the system's.
    :ivar algorithms: with which a JWT may be signed. :ivar clientId: :ivar clientSecret: what we are at the provider.
    :ivar timeout, leeway, remember: seconds, for an answer, between clocks, and for what introspection said.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_snake)

    issuer: str = ""
    audience: list[str] = []
    jwks: Annotated[str, AfterValidator(_urlOrFile)] = ""
    algorithms: Annotated[list[Annotated[str, AfterValidator(_algorithm)]], Field(min_length=1)] = list(ALGORITHMS)
    introspection: URL = ""
    clientId: str = ""
    clientSecret: str = Field("", repr=False)
    userClaim: Annotated[str, Field(min_length=1)] = "email"
    scope: str = ""
    discovery: URL = ""
    authorities: str = ""
    timeout: Annotated[float, Field(gt=0)] = 10.0
    leeway: Annotated[int, Field(ge=0)] = 60
    remember: Annotated[float, Field(ge=0)] = 300.0

    @model_validator(mode="after")
    def _isEnough(self) -> Self:
        """JWTs prove themselves only when it is said whose they are, and for whom (RFC 8725 §3.8, §3.9)."""
        if self.model_fields_set and not self.jwks and not self.introspection:
            raise ValueError("say jwks, introspection, or both")
        if self.jwks and not (self.issuer and self.audience):
            raise ValueError("jwks needs issuer and audience, for a token may be another's or for others")
        return self


@implementer(IAuthenticator, ICredentialKinds)
class OAuth:
    """The tokens of one provider.

    :param domains: ours, the first one first; users of others are not let in.
    :param now: seconds since the epoch, UTC.
    """

    kinds = frozenset({TokenCredentials})

    def __init__(
        self, options: OAuthOptions, domains: tuple[str, ...], now: Any, jwts: JWTs | None, introspection: Introspection | None
    ) -> None:
        self._options = options
        self._demands = Demands(
            options.issuer, tuple(options.audience), options.scope, userClaim=options.userClaim, leeway=options.leeway
        )
        self._domains = tuple(domain.lower() for domain in domains)
        self._now = now
        self._jwts = jwts
        self._introspection = introspection

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises TokenRefused: :raises AuthenticationUnavailable: the provider does not answer."""
        if not isinstance(credentials, TokenCredentials):
            raise AuthenticationFailed
        try:
            return Identity(self._accountOf(await self._userOf(credentials.token)))
        except TokenRefused as refusal:
            refusal.scope, refusal.discovery = self._options.scope, self._options.discovery
            raise

    async def _userOf(self, token: str) -> str:
        if not token or not token.isascii() or not token.isprintable():
            raise TokenRefused("no token")
        if self._jwts is not None and (self._introspection is None or token.count(".") == 2):
            return self._demands.user(await self._jwts.claims(token), self._now(), isSelfContained=True)
        if self._introspection is None:
            raise TokenRefused("no token of ours")
        return self._demands.user(await self._introspection.claims(token), self._now(), isSelfContained=False)

    def _accountOf(self, user: str) -> str:
        try:
            account = accountName(user, self._domains[0])
        except ValueError:
            raise TokenRefused("no account can have that name") from None
        if account.rpartition("@")[2] not in self._domains:
            raise TokenRefused("the user is of another domain")
        return account


@implementer(IAuthenticatorPlugin, IOptions)
class OAuthPlugin:
    """`oauth:`; everything about it is in `[plugin.oauth]`."""

    prefix = "oauth"
    model = OAuthOptions

    def openAuthenticator(self, argument: str, context: Any) -> OAuth:
        """:param context: IAuthContext and IOptionsContext.

        :raises ValueError: the options are not enough, or name what cannot be read.
        """
        options: OAuthOptions = context.options
        if argument:
            raise ValueError("oauth: takes no argument; the provider is described in [plugin.oauth]")
        if not options.jwks and not options.introspection:
            raise ValueError("oauth: needs jwks, introspection, or both, in [plugin.oauth]")
        web = Web(context.reactor, options.timeout, _read(options.authorities, context.data))
        jwts = introspection = None
        if options.jwks:
            jwts = JWTs(self._keySource(options.jwks, web, context), options.algorithms)
        if options.introspection:
            endpoint = Endpoint(options.introspection, options.clientId, options.clientSecret)
            introspection = Introspection(endpoint, web, context.now, options.remember)
        return OAuth(options, tuple(context.domains), context.now, jwts, introspection)

    @staticmethod
    def _keySource(jwks: str, web: Web, context: Any) -> KeySource:
        if "://" in jwks:
            return KeyURL(jwks, web, context.reactor.seconds)
        return KeyFile(os.path.join(context.data, jwks))


def _read(name: str, data: str) -> list[bytes]:
    """The certificates of a PEM file. :raises ValueError: it cannot be read, or holds none."""
    if not name:
        return []
    path, begin = os.path.join(data, name), b"-----BEGIN CERTIFICATE-----"
    try:
        with open(path, "rb") as file:
            found = [begin + each for each in file.read().split(begin)[1:]]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if not found:
        raise ValueError(f"{path} holds no PEM certificate")
    return found


plugin = OAuthPlugin()
