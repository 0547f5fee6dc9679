"""The door that every login goes through: which mechanisms are offered, the loop that drives one, and who is told.

A session needs three calls::

    exchange = logins.begin("SCRAM-SHA-256", service="imap", peer="192.0.2.1")
    answer = await exchange.step(initialResponse)        # bytes: a challenge to send
    answer = await exchange.step(response)               # … an Identity: logged in
    identity = await logins.password(user, password, service="pop3", peer="192.0.2.1")    # USER/PASS, LOGIN

Before either it may wait `logins.delayFor(peer, user)` seconds, so that the wait ends with the connection; what comes
earlier waits for its turn in here. Base64 is in `wire`; cancelling (`*`) is the protocol's: it forgets the exchange.

Whoever is configured as a master may enter another's account: by naming it as the authorization identity of any
mechanism, or by logging in as `user*master`. Nobody else acts for another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn, Protocol

from attrs import evolve, field, frozen

from mailfw.errors import AccountSuspended, AuthenticationFailed, NotSupported, TokenRefused
from mailfw.sasl.bearer import OAuthBearerServer, XOAuth2Server
from mailfw.sasl.external import ExternalServer
from mailfw.sasl.plain import LoginServer, PlainServer
from mailfw.sasl.scram import ChannelBinding, ScramServer
from mailfw.sasl.steps import (
    MESSAGE_LIMIT,
    SCRAM,
    Challenge,
    Claim,
    Failed,
    MalformedResponse,
    NeedCertificate,
    NeedPassword,
    NeedToken,
    NeedVerifier,
    ServerMechanism,
    Step,
    Succeeded,
)
from mailfw.sasl.verifier import Verifier, makeUp
from mailfw.values import (
    CertificateCredentials,
    Credentials,
    Identity,
    PasswordCredentials,
    TokenCredentials,
    accountName,
)

BINDINGS = ("tls-exporter", "tls-server-end-point")
"""Types of channel binding, of which a connection must have one for -PLUS to be offered on it."""

_SERVERS: dict[str, Callable[[], ServerMechanism]] = {
    "EXTERNAL": ExternalServer,
    "OAUTHBEARER": OAuthBearerServer,
    "XOAUTH2": XOAuth2Server,
    "PLAIN": PlainServer,
    "LOGIN": LoginServer,
}
_KINDS: dict[str, type] = {
    "EXTERNAL": CertificateCredentials,
    "OAUTHBEARER": TokenCredentials,
    "XOAUTH2": TokenCredentials,
    "PLAIN": PasswordCredentials,
    "LOGIN": PasswordCredentials,
}
PLAINTEXT = ("OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN")
"""Mechanisms in which whoever listens learns enough to log in himself."""
MECHANISMS = ("EXTERNAL", *(f"{name}-PLUS" for name in SCRAM), *SCRAM, *PLAINTEXT)
"""Every mechanism there is, in the order in which they are offered: the safest first."""


class Authenticator(Protocol):
    """`interfaces.IAuthenticator`."""

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Who that is."""


class VerifierSource(Protocol):
    """`interfaces.IVerifierSource`."""

    def mechanisms(self) -> Collection[str]:
        """Those of SCRAM that it has verifiers for."""

    async def verifier(self, user: str, mechanism: str) -> Verifier | None:
        """What is stored for the user."""

    async def identify(self, user: str) -> Identity:
        """Who that is, the password being proved."""


class IdentitySource(Protocol):
    """`interfaces.IIdentitySource`."""

    async def identityOf(self, user: str) -> Identity:
        """The identity of an account."""


class Guard(Protocol):
    """Who hears of every login, and holds back those that fail too often."""

    def delayFor(self, peer: str, user: str = "") -> float:
        """Seconds for which that user's login from there is held back at least."""

    async def admit(self, user: str, peer: str) -> AbstractContextManager[None]:
        """Wait until it is this login's turn; the turn lasts until the context is left.

        :raises AuthenticationUnavailable: too many are waiting.
        """

    def failed(self, user: str, service: str, peer: str, reason: str) -> None:
        """A login failed; the reason is for the log."""

    def succeeded(self, identity: Identity, service: str, peer: str) -> None:
        """A login succeeded."""


@frozen
class Origin:
    """Where a login comes from.

    :ivar certificate: the client's, in DER, where TLS has verified one.
    """

    service: str = ""
    peer: str = ""
    certificate: bytes | None = field(default=None, repr=False)


@frozen
class Masters:
    """Who may enter the accounts of others.

    :ivar accounts: canonical names.
    :ivar separator: stands between the account and the master in a user name; empty: there are no such names.
    """

    accounts: frozenset[str] = frozenset()
    separator: str = ""


NO_MASTERS = Masters()


class Logins:
    """Everything that a server's logins have in common. One for all its services.

    :param verifiers: what SCRAM needs; None where the authenticator keeps no verifiers: then SCRAM is not offered.
    :param kinds: classes of credentials that the authenticator can judge.
    :param identities: who knows accounts by name, for masters; None: there can be none.
    :param offered: the mechanisms to offer, whatever `verifiers` says of itself; None: all that can be served.
    :param domain: the first configured domain.
    :param secret: what made-up verifiers are derived from; must outlive a restart, or the salts give them away.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        verifiers: VerifierSource | None = None,
        *,
        kinds: Collection[type] = (PasswordCredentials,),
        identities: IdentitySource | None = None,
        masters: Masters = NO_MASTERS,
        offered: Collection[str] | None = None,
        domain: str = "localhost",
        secret: bytes | None = None,
        guard: Guard | None = None,
    ) -> None:
        unknown = sorted(set(offered or ()) - set(MECHANISMS))
        if unknown:
            raise ValueError(f"no such mechanism: {', '.join(unknown)} (there are {', '.join(MECHANISMS)})")
        self._authenticator = authenticator
        self._verifiers = verifiers
        self._kinds = frozenset(kinds)
        self._identities = identities
        self._masters = masters
        self._offered = offered
        self._domain = domain
        self._secret = secret or os.urandom(32)
        self._guard = guard

    # --- What is offered -------------------------------------------------------------------------------------------

    def mechanisms(
        self, mayUsePlaintext: bool, binding: ChannelBinding | None = None, certificate: bytes | None = None
    ) -> tuple[str, ...]:
        """What to announce on a connection, in the order of worth.

        :param mayUsePlaintext: passwords may come in clear here (TLS, or loopback, or as configured).
        :param binding: the data of the TLS channel, by type; it may have none.
        :param certificate: the client's, where TLS has verified one.
        """
        canBind = binding is not None and any(binding(kind) is not None for kind in BINDINGS)
        names = []
        for name in MECHANISMS:
            if self._offered is not None and name not in self._offered:
                continue
            if name in _KINDS:
                isServed = _KINDS[name] in self._kinds and (mayUsePlaintext or name not in PLAINTEXT)
                isServed = isServed and (certificate is not None or name != "EXTERNAL")
            else:
                isServed = self._canServe(name.removesuffix("-PLUS")) and (canBind or name in SCRAM)
            if isServed:
                names.append(name)
        return tuple(names)

    def _canServe(self, scram: str) -> bool:
        if self._verifiers is None:
            return False
        return self._offered is not None or scram in self._verifiers.mechanisms()

    def begin(
        self,
        name: str,
        *,
        service: str = "",
        peer: str = "",
        mayUsePlaintext: bool = True,
        binding: ChannelBinding | None = None,
        certificate: bytes | None = None,
    ) -> Exchange:
        """Start one exchange of the mechanism that the client named, in any case.

        :raises NotSupported: it is not offered on this connection.
        """
        name = name.upper()
        names = self.mechanisms(mayUsePlaintext, binding, certificate)
        if name not in names:
            raise NotSupported("no such authentication mechanism here")
        mechanism: ServerMechanism
        if name in _SERVERS:
            mechanism = _SERVERS[name]()
        else:
            isBindingOffered = any(other.endswith("-PLUS") for other in names)
            mechanism = ScramServer(name, binding if isBindingOffered else None)
        return Exchange(mechanism, self, Origin(service, peer, certificate))

    # --- Who that is -----------------------------------------------------------------------------------------------

    async def password(self, user: str, password: str, *, service: str = "", peer: str = "") -> Identity:
        """Log in with a name and a password, as POP3's USER and PASS and IMAP's LOGIN bring them.

        :raises AuthenticationFailed: wrong or unknown, or AccountSuspended.
        :raises AuthenticationUnavailable: cannot be told now.
        """
        return await self.decide(NeedPassword(user, password), Origin(service, peer))

    def delayFor(self, peer: str, user: str = "") -> float:
        """Seconds to wait, answering nothing, before this user's next login from there is looked at."""
        return self._guard.delayFor(peer, self._loginName(user)[0]) if self._guard is not None else 0.0

    async def identityOf(self, user: str) -> Identity:
        """Who that is, in the words of somebody whom we trust to know.

        :raises AuthenticationFailed: there is no such account, or nobody who could tell.
        """
        if self._identities is None:
            raise AuthenticationFailed
        return await self._identities.identityOf(self._canonical(user))

    async def verifier(self, user: str, mechanism: str) -> Verifier:
        """What is stored for the user, or something that looks like it. Both are worked out for each, to take the same time."""
        user, _ = self._loginName(user)
        madeUp = makeUp(mechanism, self._canonical(user) or user, self._secret)
        stored = await self._verifiers.verifier(user, mechanism) if self._verifiers is not None else None
        return madeUp if stored is None else stored

    async def decide(self, claim: Claim, origin: Origin) -> Identity:
        """Who that is, once everything has been said; the guard hears of it.

        :raises AuthenticationFailed: wrong, unknown, suspended, or not the master of that account.
        :raises AuthenticationUnavailable: cannot be told now.
        """
        if isinstance(claim, NeedCertificate):
            user, asked = claim.authorizeAs, claim.authorizeAs
        elif isinstance(claim, NeedToken):
            user, asked = claim.user, claim.user
        else:
            user, asked = self._loginName(claim.user)
            asked = claim.authorizeAs or asked
        with await self._turn(user, origin):
            try:
                identity = await self._authorize(await self._believe(claim, user, asked, origin), asked)
            except AuthenticationFailed as error:
                self._note(user, origin, _reasonOf(claim, error))
                raise
            if self._guard is not None:
                self._guard.succeeded(identity, origin.service, origin.peer)
        return identity

    async def refuse(self, user: str, origin: Origin, failed: Failed) -> NoReturn:
        """Answer a login that the mechanism itself found wrong, when its turn has come."""
        user, _ = self._loginName(user)
        with await self._turn(user, origin):
            self._note(user, origin, failed.reason)
        raise MalformedResponse if failed.isMalformed else AuthenticationFailed

    async def _believe(self, claim: Claim, user: str, asked: str, origin: Origin) -> Identity:
        """Whose credentials these are."""
        service, peer = origin.service, origin.peer
        if isinstance(claim, Succeeded):
            if self._verifiers is None:
                raise AuthenticationFailed
            return await self._verifiers.identify(user)
        credentials: Credentials
        if isinstance(claim, NeedPassword):
            isForAnother = bool(asked) and self._canonical(asked) != self._canonical(user)
            credentials = PasswordCredentials(user, claim.password, service, peer, isForAnother)
        elif isinstance(claim, NeedToken):
            credentials = TokenCredentials(claim.user, claim.token, service, peer)
        elif origin.certificate is not None:
            credentials = CertificateCredentials(asked, origin.certificate, service, peer)
        else:
            raise AuthenticationFailed
        return await self._authenticator.authenticate(credentials)

    async def _authorize(self, identity: Identity, asked: str) -> Identity:
        """Whose account is entered (RFC 4422 §2): one's own, or that of anybody for a master, who is no administrator there."""
        if not asked or self._canonical(asked) == identity.account:
            return identity
        if self._identities is None or identity.account not in self._masters.accounts:
            raise AuthenticationFailed
        owner = await self._identities.identityOf(asked)
        return evolve(owner, isAdmin=False, authenticatedAs=identity.account)

    def _loginName(self, user: str) -> tuple[str, str]:
        """Who logs in, and the account that a name such as `user*master` asks for; empty for one's own.

        A name with the separator in it that names no master is an ordinary name.
        """
        if self._masters.separator:
            account, found, master = user.rpartition(self._masters.separator)
            if found and account and self._canonical(master) in self._masters.accounts:
                return master, account
        return user, ""

    def _canonical(self, user: str) -> str:
        """The name of the account that is meant; empty where none can have that name."""
        try:
            return accountName(user, self._domain)
        except ValueError:
            return ""

    async def _turn(self, user: str, origin: Origin) -> AbstractContextManager[None]:
        return await self._guard.admit(user, origin.peer) if self._guard is not None else nullcontext()

    def _note(self, user: str, origin: Origin, reason: str) -> None:
        if self._guard is not None:
            self._guard.failed(user, origin.service, origin.peer, reason)


def _reasonOf(claim: Claim, error: AuthenticationFailed) -> str:
    """Why a login failed, for the log."""
    if isinstance(error, AccountSuspended):
        return "suspended"
    if isinstance(error, TokenRefused) and error.reason:
        return f"token refused: {error.reason}"
    if isinstance(claim, NeedToken):
        return "token is for another user or an unknown one"
    if isinstance(claim, NeedCertificate):
        return "certificate is for another user or an unknown one"
    return "wrong password or unknown user"


class Exchange:
    """One exchange of one mechanism with one client; made by `Logins.begin`. After Identity or an error it is over."""

    def __init__(self, mechanism: ServerMechanism, logins: Logins, origin: Origin) -> None:
        self._mechanism = mechanism
        self._logins = logins
        self._origin = origin
        self._hasStarted = False
        self._isOver = False
        self._identity: Identity | None = None  # the answer to the final challenge is still to come
        self._refusal: AuthenticationFailed | None = None  # likewise

    @property
    def user(self) -> str:
        """The name that the client claims, once it has said it."""
        return self._mechanism.user

    async def step(self, data: bytes | None) -> bytes | Identity:
        """Go on with what the client sent: first the initial response (None: it sent none), then each answer.

        Returns a challenge to send (its answer is the next step), or who the client is.

        :raises MalformedResponse: the message breaks the mechanism's grammar (an AuthenticationFailed too).
        :raises AuthenticationFailed: wrong or unknown, or AccountSuspended.
        :raises AuthenticationUnavailable: cannot be told now.
        """
        if self._isOver:
            raise RuntimeError("the exchange is over")
        self._isOver = True  # until it is clear that there is a next step, so that nothing raised can be tried again
        if self._refusal is not None:
            raise self._refusal
        if self._identity is not None:
            return await self._finish(self._identity, data or b"")
        answer = await self._answer(self._take(data))
        self._isOver = isinstance(answer, Identity)
        return answer

    def _take(self, data: bytes | None) -> Step:
        if data is not None and len(data) > MESSAGE_LIMIT:
            return Failed("message too long", isMalformed=True)
        if self._hasStarted:
            return self._mechanism.respond(data or b"")
        self._hasStarted = True
        return self._mechanism.start(data)

    async def _answer(self, step: Step) -> bytes | Identity:
        if isinstance(step, NeedVerifier):
            step = step.resume(await self._logins.verifier(step.user, step.mechanism))
        if isinstance(step, Challenge):
            return step.data
        if isinstance(step, Failed):
            await self._logins.refuse(self.user, self._origin, step)
        if isinstance(step, NeedVerifier):
            raise TypeError(f"{type(self._mechanism).__name__} asked for a verifier twice")
        try:
            identity = await self._logins.decide(step, self._origin)
        except AuthenticationFailed as refusal:
            if not isinstance(step, NeedToken):
                raise
            self._refusal = refusal
            return step.explain(refusal if isinstance(refusal, TokenRefused) else TokenRefused())
        if isinstance(step, Succeeded):
            # None of our protocols can carry data beside its word of success: it goes out as one more challenge,
            # whose answer is empty (RFC 4954 §4, RFC 5034 §4, RFC 9051 §6.2.2).
            self._identity = identity
            return step.data
        return identity

    async def _finish(self, identity: Identity, data: bytes) -> Identity:
        if data:
            failed = Failed("answer to the final message is not empty", isMalformed=True)
            await self._logins.refuse(self.user, self._origin, failed)
        return identity
