"""The door that every login goes through: which mechanisms are offered, the loop that drives one, and who is told.

A session needs three calls::

    exchange = logins.begin("SCRAM-SHA-256", service="imap", peer="192.0.2.1")
    answer = await exchange.step(initialResponse)        # bytes: a challenge to send
    answer = await exchange.step(response)               # … an Identity: logged in
    identity = await logins.password(user, password, service="pop3", peer="192.0.2.1")    # USER/PASS, LOGIN

Before either it waits `logins.delayFor(peer)` seconds. Base64 is in `wire`; cancelling (`*`) is the protocol's: it
forgets the exchange.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NoReturn, Protocol

from mailfw.errors import AccountSuspended, AuthenticationFailed, NotSupported
from mailfw.sasl.plain import LoginServer, PlainServer
from mailfw.sasl.scram import ChannelBinding, ScramServer
from mailfw.sasl.steps import (
    MESSAGE_LIMIT,
    SCRAM,
    Challenge,
    Failed,
    MalformedResponse,
    NeedPassword,
    NeedVerifier,
    ServerMechanism,
    Step,
    Succeeded,
)
from mailfw.sasl.verifier import Verifier, makeUp
from mailfw.values import Identity, PasswordCredentials, accountName

PLAINTEXT = ("PLAIN", "LOGIN")
MECHANISMS = (*(f"{name}-PLUS" for name in SCRAM), *SCRAM, *PLAINTEXT)
"""Every mechanism there is, in the order in which they are offered: the safest first."""


class Authenticator(Protocol):
    """`interfaces.IAuthenticator`."""

    async def authenticate(self, credentials: PasswordCredentials) -> Identity:
        """Who that is."""


class VerifierSource(Protocol):
    """`interfaces.IVerifierSource`."""

    def mechanisms(self) -> Collection[str]:
        """Those of SCRAM that it has verifiers for."""

    async def verifier(self, user: str, mechanism: str) -> Verifier | None:
        """What is stored for the user."""

    async def identify(self, user: str) -> Identity:
        """Who that is, the password being proved."""


class Guard(Protocol):
    """Who hears of every login, and holds back those that fail too often."""

    def delayFor(self, peer: str, user: str = "") -> float:
        """Seconds to wait before that peer may try (that user)."""

    def failed(self, user: str, service: str, peer: str, reason: str) -> None:
        """A login failed; the reason is for the log."""

    def succeeded(self, account: str, service: str, peer: str) -> None:
        """A login succeeded."""


class Logins:
    """Everything that a server's logins have in common. One for all its services.

    :param verifiers: what SCRAM needs; None where the authenticator keeps no verifiers: then SCRAM is not offered.
    :param offered: the mechanisms to offer, whatever `verifiers` says of itself; None: all that can be served.
    :param domain: the first configured domain.
    :param secret: what made-up verifiers are derived from; must outlive a restart, or the salts give them away.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        verifiers: VerifierSource | None = None,
        *,
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
        self._offered = offered
        self._domain = domain
        self._secret = secret or os.urandom(32)
        self._guard = guard

    def mechanisms(self, mayUsePlaintext: bool, binding: ChannelBinding | None = None) -> tuple[str, ...]:
        """What to announce on a connection, in the order of worth.

        :param mayUsePlaintext: passwords may come in clear here (TLS, or loopback, or as configured).
        :param binding: the data of the TLS channel, where it can be bound to.
        """
        names = []
        for name in MECHANISMS:
            scram = name.removesuffix("-PLUS")
            if name in PLAINTEXT:
                isServed = mayUsePlaintext
            else:
                isServed = self._canServe(scram) and (name == scram or binding is not None)
            if isServed and (self._offered is None or name in self._offered):
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
    ) -> Exchange:
        """Start one exchange of the mechanism that the client named, in any case.

        :raises NotSupported: it is not offered on this connection.
        """
        name = name.upper()
        names = self.mechanisms(mayUsePlaintext, binding)
        if name not in names:
            raise NotSupported("no such authentication mechanism here")
        mechanism: ServerMechanism
        if name == "PLAIN":
            mechanism = PlainServer()
        elif name == "LOGIN":
            mechanism = LoginServer()
        else:
            isBindingOffered = any(other.endswith("-PLUS") for other in names)
            mechanism = ScramServer(name, binding if isBindingOffered else None)
        return Exchange(mechanism, self, service, peer)

    async def password(self, user: str, password: str, *, service: str = "", peer: str = "") -> Identity:
        """Log in with a name and a password, as POP3's USER and PASS and IMAP's LOGIN bring them.

        :raises AuthenticationFailed: wrong or unknown, or AccountSuspended.
        :raises AuthenticationUnavailable: cannot be told now.
        """
        return await self.decide(NeedPassword(user, password), service, peer)

    def delayFor(self, peer: str, user: str = "") -> float:
        """Seconds to wait, answering nothing, before this peer's next login is looked at."""
        return self._guard.delayFor(peer, user) if self._guard is not None else 0.0

    def refuse(self, user: str, service: str, peer: str, reason: str) -> None:
        """Note a login that failed."""
        if self._guard is not None:
            self._guard.failed(user, service, peer, reason)

    async def verifier(self, user: str, mechanism: str) -> Verifier:
        """What is stored for the user, or something that looks like it. Both are worked out for each, to take the same time."""
        try:
            account = accountName(user, self._domain)
        except ValueError:
            account = user
        madeUp = makeUp(mechanism, account, self._secret)
        stored = await self._verifiers.verifier(user, mechanism) if self._verifiers is not None else None
        return madeUp if stored is None else stored

    async def decide(self, step: NeedPassword | Succeeded, service: str, peer: str) -> Identity:
        """Who that is, once everything has been said; the guard hears of it."""
        try:
            if isinstance(step, NeedPassword):
                credentials = PasswordCredentials(step.user, step.password, service, peer)
                identity = await self._authenticator.authenticate(credentials)
            elif self._verifiers is not None:
                identity = await self._verifiers.identify(step.user)
            else:
                raise AuthenticationFailed
            self._checkAuthorization(identity, step.authorizeAs)
        except AuthenticationFailed as error:
            reason = "suspended" if isinstance(error, AccountSuspended) else "wrong password or unknown user"
            self.refuse(step.user, service, peer, reason)
            raise
        if self._guard is not None:
            self._guard.succeeded(identity.account, service, peer)
        return identity

    def _checkAuthorization(self, identity: Identity, authorizeAs: str) -> None:
        """Nobody acts for another so far: an authorization identity (RFC 4422 §2) can only be one's own account."""
        if not authorizeAs:
            return
        try:
            isOwn = accountName(authorizeAs, self._domain) == identity.account
        except ValueError:
            isOwn = False
        if not isOwn:
            raise AuthenticationFailed


class Exchange:
    """One exchange of one mechanism with one client; made by `Logins.begin`. After Identity or an error it is over."""

    def __init__(self, mechanism: ServerMechanism, logins: Logins, service: str, peer: str) -> None:
        self._mechanism = mechanism
        self._logins = logins
        self._service = service
        self._peer = peer
        self._hasStarted = False
        self._isOver = False
        self._identity: Identity | None = None

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
        if self._identity is not None:
            return self._finish(data or b"")
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
        if isinstance(step, NeedPassword):
            return await self._logins.decide(step, self._service, self._peer)
        if isinstance(step, Succeeded):
            # None of our protocols can carry data beside its word of success: it goes out as one more challenge,
            # whose answer is empty (RFC 4954 §4, RFC 5034 §4, RFC 9051 §6.2.2).
            self._identity = await self._logins.decide(step, self._service, self._peer)
            return step.data
        if isinstance(step, Failed):
            self._refuse(step)
        raise TypeError(f"{type(self._mechanism).__name__} answered {step!r}")

    def _finish(self, data: bytes) -> Identity:
        if data or self._identity is None:
            self._refuse(Failed("answer to the final message is not empty", isMalformed=True))
        return self._identity

    def _refuse(self, failed: Failed) -> NoReturn:
        self._logins.refuse(self.user, self._service, self._peer, failed.reason)
        raise MalformedResponse if failed.isMalformed else AuthenticationFailed
