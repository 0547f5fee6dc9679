"""Sources of accounts that break one promise each: what `AuthenticatorContract` is tried on."""

from zope.interface import implementer

from mailfw.errors import AuthenticationFailed
from mailfw.interfaces import IAuthenticator, IUserList
from mailfw.values import Identity, PasswordCredentials, accountName


@implementer(IAuthenticator, IUserList)
class Whole:
    """Nothing is wrong with it."""

    def __init__(self, passwords):
        self.passwords = dict(passwords)
        self.operations = 0

    def isRight(self, account, password):
        self.operations += 1
        return self.passwords.get(account) == password

    async def authenticate(self, credentials):
        try:
            account = accountName(getattr(credentials, "user", ""), "example.org")
        except ValueError:
            account = ""
        if not isinstance(credentials, PasswordCredentials) or not self.isRight(account, credentials.password):
            raise AuthenticationFailed
        return Identity(account)

    async def hasAccount(self, account):
        return account in self.passwords

    async def admins(self):
        return []


class TellsWhoIsThere(Whole):
    """Says of unknown users that they are unknown."""

    async def authenticate(self, credentials):
        isUnknown = credentials.user == "nobody@example.org" and isinstance(credentials, PasswordCredentials)
        if isUnknown and credentials.password == "wrong":
            raise AuthenticationFailed("no such user")
        return await super().authenticate(credentials)


class Quick(Whole):
    """Hashes no password of somebody whom it does not know."""

    def isRight(self, account, password):
        return account in self.passwords and super().isRight(account, password)


class AsWritten(Whole):
    """Calls the account as the client has spelled it."""

    async def authenticate(self, credentials):
        return Identity((await super().authenticate(credentials)) and credentials.user)


class TakesAnything(Whole):
    """Takes a token for a password."""

    async def authenticate(self, credentials):
        token = getattr(credentials, "token", None)
        return await super().authenticate(credentials if token is None else PasswordCredentials(credentials.user, token))


class EmptyPassword(Whole):
    """Takes an empty password for an anonymous visit."""

    async def authenticate(self, credentials):
        if isinstance(credentials, PasswordCredentials) and not credentials.password:
            return Identity("mbrain@example.org")
        return await super().authenticate(credentials)


class RaisesForOdd(Whole):
    """Raises what its library raises for a NUL."""

    async def authenticate(self, credentials):
        if "\0" in getattr(credentials, "user", ""):
            raise ValueError("embedded null byte")
        return await super().authenticate(credentials)


class HasEverybody(Whole):
    """Has every account that it is asked about."""

    async def hasAccount(self, account):
        return True


MEANT = {
    TellsWhoIsThere: {"test_wrongPasswordAndUnknownUserAreAlike"},
    Quick: {"test_wrongPasswordAndUnknownUserCostTheSame"},
    AsWritten: {"test_spellingsOfAName"},
    TakesAnything: {"test_otherCredentialsAreRefusedAtOnce"},
    EmptyPassword: {"test_hostilePasswords"},
    RaisesForOdd: {"test_hostileUsers", "test_wrongPasswordAndUnknownUserCostTheSame"},
    HasEverybody: {"test_listsItsUsers"},
}
"""The tests of the contract that fail for each."""
