"""Who there is while a test runs: accounts in a dictionary, and where addresses lead."""

from __future__ import annotations

from collections.abc import Collection

from zope.interface import implementer

from mailfw.code.routing import Table
from mailfw.errors import AuthenticationFailed, NoSuchRecipient, RelayDenied
from mailfw.interfaces import IAuthenticator, IDirectory
from mailfw.values import Address, Credentials, Identity, PasswordCredentials, Resolution, Target, accountName

PASSWORD = "mailfw"


@implementer(IAuthenticator, IDirectory)
class People:
    """Accounts of one test.

    An address that has an account is its own, with a tag too (`jsmith+shop`). Another one in `domains` is refused; another one
    elsewhere would leave. When everything is caught, it gets an account of its own instead.

    :ivar passwords: by canonical account name. :ivar functions: that addresses belong to.
    """

    def __init__(self, domains: Collection[str], isCatchingAll: bool) -> None:
        self.domains = tuple(domains)
        self.isCatchingAll = isCatchingAll
        self.passwords: dict[str, str] = {}
        self.functions = Table()

    def add(self, name: str, password: str = "") -> str:
        """Make an account where there is none; an empty password leaves the one that it has. → its canonical name.

        :raises ValueError: nothing can be called so.
        """
        account = accountName(name, self.domains[0])
        self.passwords[account] = password or self.passwords.get(account, PASSWORD)
        return account

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises AuthenticationFailed: wrong name or password."""
        try:
            account = accountName(credentials.user, self.domains[0])
        except ValueError:
            raise AuthenticationFailed from None
        if not isinstance(credentials, PasswordCredentials) or self.passwords.get(account) != credentials.password:
            raise AuthenticationFailed
        return Identity(account)

    def isLocalDomain(self, domain: str) -> bool:
        """Whether mail for the domain ends here, whoever it is for."""
        return self.isCatchingAll or domain.lower() in self.domains

    def isRouted(self, address: Address) -> bool:
        """Whether it belongs to a function."""
        return self.functions.find(address) is not None

    async def resolve(self, address: Address) -> Resolution:
        """:raises NoSuchRecipient: :raises RelayDenied: the address is elsewhere."""
        return Resolution(routed=(address,)) if self.isRouted(address) else await self.resolvePeople(address)

    async def resolvePeople(self, address: Address) -> Resolution:
        """The same, as if there were no functions."""
        base, _, tag = address.local.partition("+")
        for local, detail in ((address.local, ""), (base, tag)):
            account = self._nameOf(local, address.domain)
            if account in self.passwords:
                return Resolution((Target(account, detail=detail),))
        if self.isCatchingAll and (account := self._nameOf(address.local, address.domain)):
            return Resolution((Target(self.add(account)),))
        if address.domain and not self.isLocalDomain(address.domain):
            raise RelayDenied
        raise NoSuchRecipient

    def _nameOf(self, local: str, domain: str) -> str:
        try:
            return accountName(str(Address(local, domain or self.domains[0])), self.domains[0])
        except ValueError:
            return ""

    async def owns(self, identity: Identity, address: Address) -> bool:
        """Whoever has logged in may send as anybody: the trap is there for what programs send, not for who may."""
        return True

    async def expand(self, address: Address) -> list[Address]:
        """There are no aliases."""
        return []
