"""Several sources of accounts as one: asked in the order of the configuration, until one says yes."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from mailfw.errors import AccountSuspended, AuthenticationFailed, AuthenticationUnavailable
from mailfw.interfaces import IAliases, IAuthenticator, IClosable, IUserList, IVerifierSource
from mailfw.sasl.steps import SCRAM
from mailfw.sasl.verifier import Verifier
from mailfw.values import Credentials, Identity


@implementer(IAuthenticator, IUserList, IAliases, IClosable)
class Chain:
    """Sources in order. Those that list no users, or keep no aliases, are passed over where that is asked."""

    def __init__(self, sources: Sequence[IAuthenticator]) -> None:
        self.sources = tuple(sources)
        self._lists = [IUserList(source) for source in sources if IUserList.providedBy(source)]
        self._aliases = [IAliases(source) for source in sources if IAliases.providedBy(source)]

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Every source is asked until one says yes, so that a failure takes as long whoever was asked for.

        :raises AccountSuspended: at the first source that says so: the next must not let in whom it shuts out.
        :raises AuthenticationUnavailable: nobody said yes, and not everybody could answer.
        """
        away: AuthenticationUnavailable | None = None
        for source in self.sources:
            try:
                return await source.authenticate(credentials)
            except AccountSuspended:
                raise
            except AuthenticationFailed:
                pass
            except AuthenticationUnavailable as error:
                away = error
        raise away or AuthenticationFailed()

    async def hasAccount(self, account: str) -> bool:
        """Whether any source lists it."""
        for source in self._lists:
            if await source.hasAccount(account):
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
    """Sources that can all serve SCRAM."""

    def __init__(self, sources: Sequence[IAuthenticator]) -> None:
        super().__init__(sources)
        self._verifiers = [IVerifierSource(source) for source in sources]

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


def chain(sources: Sequence[IAuthenticator]) -> Chain:
    """One authenticator of many; it provides IVerifierSource too when each of them does."""
    if sources and all(IVerifierSource.providedBy(source) for source in sources):
        return VerifierChain(sources)
    return Chain(sources)
