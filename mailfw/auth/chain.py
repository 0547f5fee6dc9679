"""Several sources of accounts as one: asked in the order of the configuration, until one says yes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.errors import AccountSuspended, AuthenticationFailed, AuthenticationUnavailable, TokenRefused
from mailfw.interfaces import (
    IAliases,
    IAuthenticator,
    IClosable,
    ICredentialKinds,
    IIdentitySource,
    IQuotas,
    IUserList,
    IVerifierSource,
)
from mailfw.sasl.steps import SCRAM
from mailfw.sasl.verifier import Verifier
from mailfw.values import Credentials, Identity, PasswordCredentials, Quota

PATIENCE = 60.0
"""Seconds that a source has for a login. Logins of one user from one place take turns: one that no source ever answered would
keep him out until the server is started anew."""


def kindsOf(source: IAuthenticator) -> frozenset[type]:
    """Which credentials a source can judge."""
    return frozenset(ICredentialKinds(source).kinds if ICredentialKinds.providedBy(source) else (PasswordCredentials,))


@implementer(IAuthenticator, ICredentialKinds, IIdentitySource, IUserList, IAliases, IQuotas, IClosable)
class Chain:
    """Sources in order. Those that do not provide what is asked (users, aliases, quotas) are passed over.

    What a token or a certificate proves is a name. Whether there is such an account, and whether it is suspended, is said
    by the sources that know accounts by name; only where there is none of those does the proof alone let somebody in.
    A source that raises what it may not, or does not answer in time, cannot answer: whom another knows comes in all the same.

    :param reactor: IReactorTime; None: sources that answer at once.
    """

    log = Logger("mailfw.auth")

    def __init__(self, sources: Sequence[IAuthenticator], reactor: Any = None) -> None:
        self.sources = tuple(sources)
        self._reactor = reactor
        self.kinds = frozenset[type]().union(*map(kindsOf, sources))
        self._judges = {kind: [source for source in sources if kind in kindsOf(source)] for kind in self.kinds}
        self._identities = [IIdentitySource(source) for source in sources if IIdentitySource.providedBy(source)]
        self._lists = [IUserList(source) for source in sources if IUserList.providedBy(source)]
        self._aliases = [IAliases(source) for source in sources if IAliases.providedBy(source)]
        self._quotas = [IQuotas(source) for source in sources if IQuotas.providedBy(source)]

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Every source that judges such credentials is asked until one says yes, so that a failure takes as long whoever was
        asked for.

        :raises AccountSuspended: at the first source that says so: the next must not let in whom it shuts out.
        :raises AuthenticationUnavailable: nobody said yes, and not everybody could answer.
        """
        identity = await self._ask(credentials)
        if isinstance(credentials, PasswordCredentials) or not self._identities:
            return identity
        return await self.identityOf(identity.account)

    async def _ask(self, credentials: Credentials) -> Identity:
        away: AuthenticationUnavailable | None = None
        refusal = AuthenticationFailed()
        for source in self._judges.get(type(credentials), ()):
            try:
                identity: object = await self._answer(source, credentials)
                if isinstance(identity, Identity):
                    return identity
                raise TypeError(f"its answer is a {type(identity).__name__}, and no identity")  # which may be a secret
            except AccountSuspended:
                raise
            except TokenRefused as error:
                refusal = error
            except AuthenticationFailed:
                pass
            except AuthenticationUnavailable as error:
                away = error
            except (Exception, SystemExit):
                self.log.failure("the source of accounts {source} failed", source=type(source).__name__)
                away = AuthenticationUnavailable()
        raise away or refusal

    async def _answer(self, source: IAuthenticator, credentials: Credentials) -> object:
        if self._reactor is None:
            return await source.authenticate(credentials)
        answering: Deferred[object] = Deferred.fromCoroutine(source.authenticate(credentials))
        return await answering.addTimeout(PATIENCE, self._reactor)

    async def identityOf(self, user: str) -> Identity:
        """By the first source that knows the account.

        :raises AuthenticationFailed: none does. :raises AccountSuspended: at the first source that says so.
        :raises AuthenticationUnavailable: a source before could not tell, and it may have suspended the account.
        """
        for source in self._identities:
            try:
                return await source.identityOf(user)
            except AccountSuspended:
                raise
            except AuthenticationFailed:
                pass
        raise AuthenticationFailed

    async def quotaOf(self, account: str) -> Quota:
        """Of the first source that has set a limit for the account."""
        for source in self._quotas:
            quota = await source.quotaOf(account)
            if quota != Quota():
                return quota
        return Quota()

    async def hasAccount(self, account: str) -> bool:
        """Whether any source lists it. :raises TypeError: one says neither yes nor no, which must not make mail come back."""
        for source in self._lists:
            answer: object = await source.hasAccount(account)
            if answer is None:
                raise TypeError(f"hasAccount of {type(source).__name__} returned None, which is neither yes nor no")
            if answer:
                return True
        return False

    async def admins(self) -> list[str]:
        """Those of the first source, then those of the next."""
        return [name for source in self._lists for name in await source.admins()]

    async def aliasTargets(self, address: str) -> list[str]:
        """Of the first source that knows the alias."""
        for source in self._aliases:
            if targets := await source.aliasTargets(address):
                return targets
        return []

    async def close(self) -> None:
        """Close those that can be closed."""
        for source in self.sources:
            if IClosable.providedBy(source):
                await IClosable(source).close()


@implementer(IVerifierSource)
class VerifierChain(Chain):
    """Sources of which all that judge passwords can serve SCRAM."""

    def __init__(self, sources: Sequence[IAuthenticator], reactor: Any = None) -> None:
        super().__init__(sources, reactor)
        self._verifiers = [IVerifierSource(source) for source in sources if PasswordCredentials in kindsOf(source)]

    def mechanisms(self) -> frozenset[str]:
        """Those that every source can serve now."""
        return frozenset(SCRAM).intersection(*(source.mechanisms() for source in self._verifiers))

    async def verifier(self, user: str, mechanism: str) -> Verifier | None:
        """Of the first source that has one. Every source is asked, whoever has it, so that the time tells nothing."""
        found = [await source.verifier(user, mechanism) for source in self._verifiers]
        return next((verifier for verifier in found if verifier is not None), None)

    async def identify(self, user: str) -> Identity:
        """By the source whose verifier was used. :raises AuthenticationFailed: nobody knows him. :raises AccountSuspended:"""
        for source in self._verifiers:
            for mechanism in SCRAM:
                if await source.verifier(user, mechanism) is not None:
                    return await source.identify(user)
        raise AuthenticationFailed


def chain(sources: Sequence[IAuthenticator], reactor: Any = None) -> Chain:
    """One authenticator of many; it provides IVerifierSource too when each of those does that judge passwords."""
    passwords = [source for source in sources if PasswordCredentials in kindsOf(source)]
    if passwords and all(IVerifierSource.providedBy(source) for source in passwords):
        return VerifierChain(sources, reactor)
    return Chain(sources, reactor)
