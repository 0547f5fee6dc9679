"""Stand-ins for what surrounds a protocol: accounts, a way for messages, a world on a fake clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.errors import AuthenticationFailed, NoSuchRecipient, RelayDenied
from mailfw.interfaces import (
    IAuthenticator,
    IDelivery,
    IDirectory,
    IMailStore,
    IOptionsContext,
    IRouter,
    IStoreContext,
    IUserList,
)
from mailfw.values import (
    FIRST_MAILBOXES,
    Address,
    Create,
    Credentials,
    Envelope,
    Fate,
    Identity,
    MessageSource,
    Outcome,
    PasswordCredentials,
    Peer,
    Quota,
    Recipient,
    Resolution,
    SpecialUse,
    Target,
)

START = 1_790_000_000.0
"""When fake clocks begin: 2026-09-21 14:13:20 UTC."""


@implementer(IStoreContext, IOptionsContext)
class FakeStoreContext:
    """Opens stores inline, on a fake clock that starts at `START`."""

    isInline = True
    options: Any = None  # the plugin's own model, where it has one

    def __init__(self, data: str, domains: Sequence[str] = ("localhost",), clock: Clock | None = None) -> None:
        self.reactor: Any = clock or Clock()
        self.data = data
        self.domains: Sequence[str] = tuple(domains)
        self.quotas: dict[str, Quota] = {}
        self.mailboxes: Sequence[Create] = FIRST_MAILBOXES
        self.expiry: Mapping[SpecialUse, float] = {}

    async def quotaOf(self, account: str) -> Quota:
        """What `quotas` says."""
        return self.quotas.get(account, Quota())

    def now(self) -> float:
        """Seconds since the epoch: the clock's, from `START` on."""
        return START + float(self.reactor.seconds())


@implementer(IAuthenticator, IUserList)
class FakeAuthenticator:
    """Accounts and their passwords in a dictionary; a name without a domain is of the first account's domain."""

    def __init__(self, passwords: Mapping[str, str], admins: Sequence[str] = ()) -> None:
        self.passwords = dict(passwords)
        self.administrators = list(admins)

    def canonical(self, user: str) -> str:
        """The account that a client's user name means."""
        domain = next(iter(self.passwords)).partition("@")[2]
        return (user if "@" in user else f"{user}@{domain}").lower()

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises AuthenticationFailed: wrong name or password."""
        account = self.canonical(credentials.user)
        if not isinstance(credentials, PasswordCredentials) or self.passwords.get(account) != credentials.password:
            raise AuthenticationFailed()
        return Identity(account, isAdmin=account in self.administrators)

    async def hasAccount(self, account: str) -> bool:
        return account in self.passwords

    async def admins(self) -> list[str]:
        return self.administrators


@implementer(IDirectory)
class FakeDirectory:
    """Every account of an authenticator takes mail at its own name; `user+tag` too; aliases are what is put into `aliases`."""

    def __init__(self, users: FakeAuthenticator, domains: Sequence[str] = ("localhost",)) -> None:
        self.users = users
        self.domains = tuple(domains)
        self.aliases: dict[str, Resolution] = {}

    def isLocalDomain(self, domain: str) -> bool:
        return domain in self.domains

    async def resolve(self, address: Address) -> Resolution:
        """:raises NoSuchRecipient: :raises RelayDenied:"""
        if address.domain and not self.isLocalDomain(address.domain):
            raise RelayDenied()
        local, _, detail = address.local.lower().partition("+")
        account = f"{local}@{address.domain or self.domains[0]}"
        if account in self.aliases:
            return self.aliases[account]
        if not await self.users.hasAccount(account):
            raise NoSuchRecipient()
        return Resolution((Target(account, detail=detail),))

    async def owns(self, identity: Identity, address: Address) -> bool:
        try:
            found = await self.resolve(address)
        except (NoSuchRecipient, RelayDenied):
            return False
        return any(target.account == identity.account for target in found.targets)

    async def expand(self, address: Address) -> list[Address]:
        found = self.aliases.get(str(address))
        return [] if found is None else [Address.parse(target.account) for target in found.targets] + list(found.forwards)


@define
class Delivered:
    """One message that a `FakeRouter` was given."""

    envelope: Envelope
    recipients: list[Recipient]
    content: bytes


@implementer(IDelivery)
class FakeDelivery:
    """Takes what its router's directory knows."""

    def __init__(self, router: FakeRouter, envelope: Envelope) -> None:
        self.router = router
        self.envelope = envelope
        self.recipients: list[Recipient] = []

    async def recipient(self, recipient: Recipient) -> None:
        await self.router.directory.resolve(recipient.address)
        self.recipients.append(recipient)

    async def commit(self, message: MessageSource) -> list[Outcome]:
        self.router.messages.append(Delivered(self.envelope, self.recipients, message.read()))
        return [self.router.outcomes.get(str(r.address), Outcome(Fate.DELIVERED)) for r in self.recipients]

    def abort(self) -> None:
        self.router.aborted += 1


@implementer(IRouter)
@define(eq=False)
class FakeRouter:
    """Keeps the messages it is given in `messages`; `outcomes` says by address what becomes of one, when not DELIVERED."""

    directory: IDirectory
    messages: list[Delivered] = field(factory=list)
    outcomes: dict[str, Outcome] = field(factory=dict)
    aborted: int = 0
    isQueueing: bool = True

    def begin(self, envelope: Envelope, peer: Peer) -> IDelivery:
        return FakeDelivery(self, envelope)


@implementer(IMailStore)
class NoStore:
    """For tests of what needs no store: every use of it is an error."""

    async def openAccount(self, identity: Identity, owner: str) -> Any:
        raise NotImplementedError

    async def deliver(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        raise NotImplementedError

    async def sharedWith(self, identity: Identity) -> list[str]:
        """Nobody shares anything."""
        return []

    async def removeAccount(self, account: str) -> int:
        raise NotImplementedError

    async def mustHaveRoom(self, account: str, octets: int) -> None:
        """There is always room."""

    async def close(self) -> None:
        """Nothing is open."""
