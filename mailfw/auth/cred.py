"""`cred:SPEC` – any checker plugin of twisted.cred, named as `twistd --auth` names it: `cred:unix`,
`cred:file:/etc/mailfw/users`, `cred:memory:mbrain:mailfw`.

The checker works in the reactor's thread, as twisted.cred has it; one that blocks there (`unix`, with slow hashes)
holds everybody up, and `unix` needs Python's spwd, which is gone since 3.13, to read /etc/shadow.

A user of the first configured domain is asked for by his local part, and then by his whole
address; a user of another domain only by his address. A checker is asked for both whether or not it knows the first,
and what it answers is not remembered.
"""

from __future__ import annotations

import pwd
from collections.abc import Callable
from typing import TypeVar

from twisted.cred import checkers, strcred
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.auth import hashes
from mailfw.errors import AuthenticationFailed, AuthenticationUnavailable
from mailfw.interfaces import IAuthContext, IAuthenticator, IAuthenticatorPlugin, IIdentitySource, IUserList
from mailfw.values import Credentials, Identity, PasswordCredentials, accountName

T = TypeVar("T")
Knows = Callable[[bytes], bool]
"""Whether a checker knows a user name."""


@implementer(IAuthenticator)
class CredChecker:
    """A checker as a source of accounts."""

    log = Logger()

    def __init__(self, checker: checkers.ICredentialsChecker, domain: str) -> None:
        self._checker = checker
        self._domain = domain

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises AuthenticationFailed: :raises AuthenticationUnavailable: the checker raised what it should not."""
        if not isinstance(credentials, PasswordCredentials) or not hashes.isPossible(credentials.password):
            raise AuthenticationFailed
        try:
            account = accountName(credentials.user, self._domain)
        except ValueError:
            raise AuthenticationFailed from None
        for name in self._namesOf(account):
            if await self._accepts(name, credentials.password.encode("utf-8")):
                return Identity(account)
        raise AuthenticationFailed

    def _namesOf(self, account: str) -> list[bytes]:
        local, _, domain = account.rpartition("@")
        names = [local, account] if domain == self._domain.lower() else [account]
        return [name.encode("utf-8") for name in names]

    async def _accepts(self, name: bytes, password: bytes) -> bool:
        try:
            avatar = await maybeDeferred(self._checker.requestAvatarId, UsernamePassword(name, password))
        except UnauthorizedLogin:
            return False
        except Exception as trouble:
            self.log.failure("the checker {checker} failed", checker=self._checker)
            raise AuthenticationUnavailable from trouble
        return avatar is not checkers.ANONYMOUS


@implementer(IUserList, IIdentitySource)
class ListingCredChecker(CredChecker):
    """A checker of which we know how to ask it whether a user is there: then mail can be addressed to its users."""

    def __init__(self, checker: checkers.ICredentialsChecker, domain: str, knows: Knows) -> None:
        super().__init__(checker, domain)
        self._knows = knows

    async def hasAccount(self, account: str) -> bool:
        """Whether the checker knows the local part (in the first domain) or the address."""
        try:
            return any(map(self._knows, self._namesOf(accountName(account, self._domain))))
        except ValueError:
            return False

    async def identityOf(self, user: str) -> Identity:
        """:raises AuthenticationFailed: the checker knows no such user."""
        if not await self.hasAccount(user):
            raise AuthenticationFailed
        return Identity(accountName(user, self._domain))

    async def admins(self) -> list[str]:
        """twisted.cred knows of none."""
        return []


def _knowerOf(checker: checkers.ICredentialsChecker) -> Knows | None:
    """How to ask the checkers that come with Twisted whom they know; None: a stranger."""
    if isinstance(checker, checkers.InMemoryUsernamePasswordDatabaseDontUse):
        # Twisted's `memory` plugin fills it with str, and then looks for bytes.
        checker.users = {_toBytes(name): _toBytes(password) for name, password in checker.users.items()}
        return checker.users.__contains__
    if isinstance(checker, checkers.FilePasswordDB):
        return lambda name: _finds(checker.getUser, name)
    if type(checker).__name__ == "UNIXChecker":
        return lambda name: _finds(pwd.getpwnam, name.decode("utf-8"))
    return None


def _toBytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def _finds(look: Callable[[T], object], name: T) -> bool:
    try:
        look(name)
    except KeyError:
        return False
    return True


def adapt(checker: checkers.ICredentialsChecker, domain: str) -> CredChecker:
    """A source for any checker of names and passwords.

    :param domain: the first configured domain.
    :raises ValueError: it checks something else.
    """
    if IUsernamePassword not in checker.credentialInterfaces:
        raise ValueError(f"the checker {checker!r} takes no passwords")
    knows = _knowerOf(checker)
    return CredChecker(checker, domain) if knows is None else ListingCredChecker(checker, domain, knows)


@implementer(IAuthenticatorPlugin)
class CredPlugin:
    """`cred:SPEC`."""

    prefix = "cred"

    def openAuthenticator(self, argument: str, context: IAuthContext) -> CredChecker:
        """:raises ValueError: there is no such checker, or it makes nothing of the argument."""
        try:
            checker = strcred.makeChecker(argument)  # type: ignore[no-untyped-call]
        except strcred.InvalidAuthType:
            factories = strcred.findCheckerFactories()  # type: ignore[no-untyped-call]
            known = ", ".join(sorted({factory.authType for factory in factories}))
            raise ValueError(f"cred:{argument}: no such checker (there are {known})") from None
        except strcred.InvalidAuthArgumentString as trouble:
            raise ValueError(f"cred:{argument}: {trouble or 'the argument makes no sense'}") from None
        return adapt(checker, context.domains[0])


plugin = CredPlugin()
