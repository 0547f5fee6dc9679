"""`AuthenticatorContract` and `TokenContract`: what `interfaces.IAuthenticator` promises, as tests that a plugin's author runs.

>>> class TestMine(AuthenticatorContract):
...     def openAuthenticator(self, accounts):
...         return MyAuthenticator(accounts)

`TokenContract` is for sources that judge bearer tokens. A source that waits for more than its own thread overrides `run`.
What a source offers beyond IAuthenticator (users, aliases, names, quotas, verifiers) is tested where it provides the interface,
and passed over, by a skip that says so, where it does not.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mailfw.errors import AuthenticationFailed, TokenRefused
from mailfw.interfaces import (
    IAliases,
    IAuthContext,
    IAuthenticator,
    ICredentialKinds,
    IIdentitySource,
    IOptionsContext,
    IQuotas,
    IUserList,
    IVerifierSource,
)
from mailfw.sasl.steps import SCRAM
from mailfw.sasl.verifier import Verifier
from mailfw.testing.fakes import START
from mailfw.testing.promises.broken import tellsBrokenPromises
from mailfw.values import (
    CertificateCredentials,
    Create,
    Credentials,
    Identity,
    PasswordCredentials,
    Quota,
    SpecialUse,
    TokenCredentials,
)

T = TypeVar("T")

DOMAIN = "example.org"
ACCOUNTS = {"mbrain@example.org": "correct horse", "jsmith@example.org": "pässword", "anna@example.net": "battery"}

HOSTILE_USERS = (
    "",
    "@",
    "mbrain@",
    "@example.org",
    "mbrain@example.org@example.org",
    "mbrain\0",
    "mbrain\r\nroot",
    "mbrain example.org",
    "\ud800",
    "\u202embrain",
    "%s%n{0}",
    "' OR 1=1 --",
    "../../etc/passwd",
    "*",
    "m" * 100_000,
)
HOSTILE_PASSWORDS = ("", "\0", "correct horse\0", "\ud800", "x" * 1_000_000, "*", "!", "%s{0}", "\r\n")


@implementer(IAuthContext, IOptionsContext)
@define
class AuthContext:
    """An `IAuthContext` for tests: everything at once, in the caller's thread, on a fake clock."""

    data: str = "."
    domains: tuple[str, ...] = (DOMAIN, "example.net")
    rehash: bool = True
    isInline: bool = True
    mailboxes: tuple[Create, ...] = ()
    expiry: Mapping[SpecialUse, float] = field(factory=dict)
    clock: Clock = field(factory=Clock)
    options: Any = None  # the plugin's own model

    @property
    def reactor(self) -> Any:
        """The fake clock, for it is the reactor's time that is asked for."""
        return self.clock

    @property
    def now(self) -> Callable[[], float]:
        """The clock's seconds, counted from a fixed day."""
        return lambda: START + float(self.clock.seconds())

    async def quotaOf(self, account: str) -> Quota:
        """Nobody else knows of limits."""
        return Quota()

    def path(self, name: str) -> str:
        """A file in the data directory."""
        return os.path.join(self.data, name)


def resultOf(waiting: Awaitable[T]) -> T:
    """What something yields or raises that needs nobody else to go on: coroutines and Deferreds of inline sources."""
    outcome: list[Any] = []  # the result, or a Failure
    deferred: Deferred[T] = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(_toCoroutine(waiting))
    deferred.addBoth(outcome.append)
    if not outcome:
        raise AssertionError("it waits for something; override `run`")
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    result: T = outcome[0]
    return result


async def _toCoroutine(waiting: Awaitable[T]) -> T:
    return await waiting


@tellsBrokenPromises
class AuthenticatorContract:
    """Subclass, and supply `openAuthenticator`."""

    domain = DOMAIN

    def openAuthenticator(self, accounts: Mapping[str, str]) -> IAuthenticator:
        """A source that has these accounts (address → password), and whose first configured domain is `domain`."""
        raise NotImplementedError

    def run(self, waiting: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of the source's."""
        return resultOf(waiting)

    def operations(self, source: IAuthenticator) -> int | None:
        """How many passwords the source has hashed so far; None: it does not say."""
        return None

    @pytest.fixture
    def source(self) -> IAuthenticator:
        """A fresh source with the contract's accounts."""
        return self.openAuthenticator(ACCOUNTS)

    def logIn(self, source: IAuthenticator, user: str, password: str) -> Identity:
        """One login."""
        return self.run(source.authenticate(PasswordCredentials(user, password, "imap", "192.0.2.1")))

    def refusal(self, source: IAuthenticator, user: str, password: str) -> AuthenticationFailed:
        """How a login fails that must."""
        with pytest.raises(AuthenticationFailed) as caught:
            self.logIn(source, user, password)
        return caught.value

    def test_providesItsInterface(self, source: IAuthenticator) -> None:
        assert verifyObject(IAuthenticator, source)

    @pytest.mark.parametrize("account", ACCOUNTS)
    def test_rightPassword(self, source: IAuthenticator, account: str) -> None:
        """Whoever knows an account's password is let in."""
        assert self.logIn(source, account, ACCOUNTS[account]).account == account

    def test_rightPasswordAgainAndAgain(self, source: IAuthenticator) -> None:
        for _ in range(3):
            assert self.logIn(source, "mbrain@example.org", "correct horse").account == "mbrain@example.org"
        self.refusal(source, "mbrain@example.org", "incorrect horse")

    @pytest.mark.parametrize("user", ["mbrain", "MBRAIN", "MBrain@Example.ORG"])
    def test_spellingsOfAName(self, source: IAuthenticator, user: str) -> None:
        """An account has one name, however it is spelt."""
        assert self.logIn(source, user, "correct horse").account == "mbrain@example.org"

    def test_aLocalPartAloneIsOfTheFirstDomain(self, source: IAuthenticator) -> None:
        self.refusal(source, "anna", "battery")

    def test_wrongPasswordAndUnknownUserAreAlike(self, source: IAuthenticator) -> None:
        wrong = self.refusal(source, "mbrain@example.org", "wrong")
        unknown = self.refusal(source, "nobody@example.org", "wrong")
        assert (type(wrong), str(wrong)) == (type(unknown), str(unknown)) == (AuthenticationFailed, "authentication failed")

    def test_wrongPasswordAndUnknownUserCostTheSame(self, source: IAuthenticator) -> None:
        before = self.operations(source)
        if before is None:
            pytest.skip("the source does not count its hash operations")
        costs = []
        for user, password in (("mbrain", "wrong"), ("nobody", "wrong"), ("nobody", "correct horse"), ("\0", "wrong")):
            self.refusal(source, user, password)
            after = self.operations(source)
            assert after is not None
            costs.append(after - before)
            before = after
        assert costs == [1] * len(costs)

    def test_anotherAccountsPassword(self, source: IAuthenticator) -> None:
        """Another account's password lets nobody in."""
        self.refusal(source, "mbrain@example.org", "pässword")

    @pytest.mark.parametrize("password", HOSTILE_PASSWORDS, ids=lambda password: ascii(password[:12]))
    def test_hostilePasswords(self, source: IAuthenticator, password: str) -> None:
        """What is no password lets nobody in, and is refused as any wrong one."""
        self.refusal(source, "mbrain@example.org", password)
        self.refusal(source, "nobody@example.org", password)

    @pytest.mark.parametrize("user", HOSTILE_USERS, ids=lambda user: ascii(user[:12]))
    def test_hostileUsers(self, source: IAuthenticator, user: str) -> None:
        """What is no name lets nobody in, and is refused as any unknown one."""
        self.refusal(source, user, "correct horse")

    def test_otherCredentialsAreRefusedAtOnce(self, source: IAuthenticator) -> None:
        kinds = ICredentialKinds(source).kinds if ICredentialKinds.providedBy(source) else (PasswordCredentials,)
        assert PasswordCredentials in kinds
        before = self.operations(source)
        others: list[Credentials] = [TokenCredentials("mbrain", "correct horse"), CertificateCredentials("mbrain", b"0")]
        for credentials in others:
            if type(credentials) not in kinds:
                with pytest.raises(AuthenticationFailed):
                    self.run(source.authenticate(credentials))
        assert self.operations(source) == before

    def test_namesItsAccounts(self, source: IAuthenticator) -> None:
        if not IIdentitySource.providedBy(source):
            pytest.skip("the source does not know accounts by name")
        assert verifyObject(IIdentitySource, source)
        for account in ACCOUNTS:
            assert self.run(source.identityOf(account.upper())) == self.logIn(source, account, ACCOUNTS[account])
        for user in (*HOSTILE_USERS, "nobody", "anna"):
            with pytest.raises(AuthenticationFailed):
                self.run(source.identityOf(user))

    def test_tellsQuotas(self, source: IAuthenticator) -> None:
        if not IQuotas.providedBy(source):
            pytest.skip("the source keeps no quotas")
        assert verifyObject(IQuotas, source)
        for account in (*ACCOUNTS, *HOSTILE_USERS, "nobody@example.org"):
            assert self.run(source.quotaOf(account)) == Quota()

    def test_listsItsUsers(self, source: IAuthenticator) -> None:
        if not IUserList.providedBy(source):
            pytest.skip("the source lists no users")
        assert verifyObject(IUserList, source)
        for account in ACCOUNTS:
            assert self.run(source.hasAccount(account))
        for user in (*HOSTILE_USERS, "nobody@example.org", "mbrain@example.net"):
            assert not self.run(source.hasAccount(user)), user[:40]
        assert set(self.run(source.admins())) <= set(ACCOUNTS)

    def test_looksUpAliases(self, source: IAuthenticator) -> None:
        if not IAliases.providedBy(source):
            pytest.skip("the source keeps no aliases")
        assert verifyObject(IAliases, source)
        for user in (*HOSTILE_USERS, "nobody@example.org"):
            assert self.run(source.aliasTargets(user)) == []

    def test_servesVerifiers(self, source: IAuthenticator) -> None:
        if not IVerifierSource.providedBy(source):
            pytest.skip("the source keeps no verifiers")
        assert verifyObject(IVerifierSource, source)
        for mechanism in source.mechanisms():
            for account, password in ACCOUNTS.items():
                verifier = self.run(source.verifier(account, mechanism))
                assert isinstance(verifier, Verifier)
                assert verifier.matches(mechanism, password)
        assert self.run(source.identify("MBrain")) == self.logIn(source, "mbrain", "correct horse")
        for mechanism in SCRAM:
            for user in (*HOSTILE_USERS, "nobody"):
                assert self.run(source.verifier(user, mechanism)) is None
        for user in (*HOSTILE_USERS, "nobody"):
            with pytest.raises(AuthenticationFailed):
                self.run(source.identify(user))


HOSTILE_TOKENS = ("", " ", ".", "..", "null", "\0", "\r\n", "ü", "\ud800", "*", "a b", "=" * 100, "%s{0}", "x" * 100_000)


@tellsBrokenPromises
class TokenContract:
    """Subclass, and supply `openAuthenticator`, `token` and `badTokens`."""

    def openAuthenticator(self) -> IAuthenticator:
        """A source that judges tokens, of `DOMAIN` and example.net."""
        raise NotImplementedError

    def token(self, account: str) -> str:
        """A token that is good for this account now."""
        raise NotImplementedError

    def badTokens(self) -> Mapping[str, str]:
        """Tokens that name mbrain@example.org and are not good, by what is wrong with them."""
        raise NotImplementedError

    def run(self, waiting: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of the source's."""
        return resultOf(waiting)

    @pytest.fixture
    def source(self) -> IAuthenticator:
        """A fresh source."""
        return self.openAuthenticator()

    def logIn(self, source: IAuthenticator, token: str, user: str = "") -> Identity:
        """One login."""
        return self.run(source.authenticate(TokenCredentials(user, token, "imap", "192.0.2.1")))

    def test_providesItsInterfaces(self, source: IAuthenticator) -> None:
        assert verifyObject(IAuthenticator, source)
        assert verifyObject(ICredentialKinds, source)
        assert TokenCredentials in ICredentialKinds(source).kinds

    @pytest.mark.parametrize("account", ACCOUNTS)
    def test_rightToken(self, source: IAuthenticator, account: str) -> None:
        """Whoever has a good token is let in."""
        for _ in range(3):
            assert self.logIn(source, self.token(account)).account == account

    def test_theTokenSaysWhoThatIsAndNotTheUser(self, source: IAuthenticator) -> None:
        for user in ("jsmith@example.org", *HOSTILE_USERS):
            try:
                identity = self.logIn(source, self.token("mbrain@example.org"), user)
            except AuthenticationFailed:
                continue  # a source may look at the user too
            assert identity.account == "mbrain@example.org"

    def test_badTokens(self, source: IAuthenticator) -> None:
        """A token that is not good lets nobody in."""
        bad = self.badTokens()
        assert bad
        for name, token in bad.items():
            with pytest.raises(TokenRefused) as caught:
                self.logIn(source, token, "mbrain@example.org")
            assert str(caught.value) == "authentication failed", name

    @pytest.mark.parametrize("token", HOSTILE_TOKENS, ids=lambda token: ascii(token[:12]))
    def test_hostileTokens(self, source: IAuthenticator, token: str) -> None:
        """What is no token lets nobody in."""
        with pytest.raises(TokenRefused) as caught:
            self.logIn(source, token, "mbrain@example.org")
        assert not token.strip() or token not in caught.value.reason or len(token) < 3

    def test_otherCredentialsAreRefusedAtOnce(self, source: IAuthenticator) -> None:
        kinds = ICredentialKinds(source).kinds
        token = self.token("mbrain@example.org")
        others: list[Credentials] = [PasswordCredentials("mbrain", token), CertificateCredentials("mbrain", token.encode())]
        for credentials in others:
            if type(credentials) not in kinds:
                with pytest.raises(AuthenticationFailed):
                    self.run(source.authenticate(credentials))
