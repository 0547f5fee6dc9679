"""The directory: which accounts an address leads to, and who may send as it.

An address of ours is looked up in this order, and the first that knows it decides: function (mail to code), alias, account, the
last two without the tag (`user+tag`), `postmaster`, the domain's catch-all. Aliases lead to addresses, which are looked up in
turn.

Invariants:

- The local part is looked up as it stands, only without regard to case: `a%b@local`, `b!a@local` and `"a@b"@local` are names like
  any other, and never routes.
- Resolving ends, whatever aliases lead to: each address is expanded once, to a depth of 10, and to 1,000 addresses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import idna
from attrs import frozen
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.errors import AuthenticationUnavailable, NoSuchRecipient, RelayDenied, Unavailable
from mailfw.interfaces import IAliases, IDirectory, IUserList
from mailfw.values import Address, Identity, Resolution, Target, accountName

DEPTH_LIMIT = 10
SIZE_LIMIT = 1000
POSTMASTER = "postmaster"


@frozen
class _Found:
    """What one address is: an account, or other addresses. :ivar detail: the tag that was taken off."""

    account: str = ""
    addresses: tuple[Address, ...] = ()
    detail: str = ""


@implementer(IDirectory)
class Directory:
    """What the sources and the configuration say of addresses.

    :param users: every source that can list accounts.
    :param aliases: every source that keeps aliases.
    :param domains: ours, the first one first. Mail for a domain's A-label form is mail for the domain (RFC 5890).
    :param postmaster: where `postmaster` leads, at every domain and without one; empty: to the first administrator.
    :param catchAll: where addresses of a domain lead that nobody has, by domain.
    :param tagDelimiter: characters that each begin a tag; empty: there are no tags.
    :param isRouted: whether an address of ours has a route of its own in the queue, whoever else may have it.
    :raises ValueError: an address in the configuration is none, or a catch-all is for a domain that is not ours.
    """

    log = Logger()

    def __init__(
        self,
        users: IUserList,
        aliases: IAliases,
        domains: Sequence[str],
        postmaster: str = "",
        catchAll: Mapping[str, str] | None = None,
        tagDelimiter: str = "+",
        isRouted: Callable[[Address], bool] = lambda address: False,
    ) -> None:
        self._users = users
        self._aliases = aliases
        self._first = domains[0].lower()
        self._domains = {spelling: domain.lower() for domain in domains for spelling in spellings(domain)}
        self._postmaster = self._parse(postmaster) if postmaster else None
        self._catchAll = {}
        for domain, address in (catchAll or {}).items():
            if domain.lower() not in self._domains:
                raise ValueError(f"catch_all is for {domain}, which is not among the domains")
            self._catchAll[self._domains[domain.lower()]] = self._parse(address)
        self._tagDelimiter = tagDelimiter
        self._isRouted = isRouted

    def _parse(self, text: str) -> Address:
        return Address.parse(text if "@" in text else f"{text}@{self._first}")

    def isLocalDomain(self, domain: str) -> bool:
        """Whether mail for the domain ends here."""
        return domain.lower() in self._domains

    async def resolve(self, address: Address) -> Resolution:
        """Where mail for the address goes.

        :raises NoSuchRecipient: :raises RelayDenied: :raises Unavailable:
        """
        return _somewhere(await self._resolve(address, hasCatchAll=True))

    async def resolvePeople(self, address: Address) -> Resolution:
        """The same, as if there were no functions. :raises NoSuchRecipient: :raises RelayDenied: :raises Unavailable:"""
        return _somewhere(await self._resolve(address, hasCatchAll=True, hasFunctions=False))

    async def owns(self, identity: Identity, address: Address) -> bool:
        """Whether the address is the account's own, one of its tagged ones, or an alias that leads to it.

        A catch-all gives its account what arrives, but not the right to send as everybody.
        """
        try:
            found = await self._resolve(address, hasCatchAll=False, hasFunctions=False)
        except (NoSuchRecipient, RelayDenied):
            return False
        return any(target.account == identity.account for target in found.targets)

    async def expand(self, address: Address) -> list[Address]:
        """Where an alias leads, one level; empty when it is none, or none of ours."""
        try:
            found = await self._look(self._ours(address), hasCatchAll=False)
        except (NoSuchRecipient, RelayDenied):
            return []
        return list(found.addresses)

    async def _resolve(self, address: Address, hasCatchAll: bool, hasFunctions: bool = True) -> Resolution:
        targets: dict[str, Target] = {}
        forwards: dict[Address, None] = {}
        routed: dict[Address, None] = {}
        expanded: set[str] = set()
        waiting = deque([(self._ours(address), "", 0)])
        size = 0
        while waiting:
            here, detail, depth = waiting.popleft()
            if not self.isLocalDomain(here.domain):
                forwards[here] = None
                continue
            here = self._ours(here)
            if hasFunctions and self._isRouted(here):
                routed[here] = None
                continue
            # An address that comes by again is itself meant: `mbrain` may lead to `mbrain` and a copy elsewhere.
            spelling = str(here).lower()
            try:
                found = await self._look(here, hasCatchAll, onlyAccounts=spelling in expanded)
            except NoSuchRecipient:
                if not depth:
                    raise
                continue  # one target that leads nowhere does not keep the mail from the others
            expanded.add(spelling)
            size += len(found.addresses)
            if found.addresses and (depth == DEPTH_LIMIT or size > SIZE_LIMIT):
                self.log.error("the alias {address} leads too far", address=str(address))
                raise Unavailable("the address leads to too many others")
            detail = found.detail or detail
            if found.account:
                targets.setdefault(found.account, Target(found.account, detail=detail))
            waiting.extend((target, detail, depth + 1) for target in found.addresses)
        return Resolution(tuple(targets.values()), tuple(forwards), tuple(routed))

    def _ours(self, address: Address) -> Address:
        """The address with its domain as it is configured. `<postmaster>` has none (RFC 5321 §4.1.1.3)."""
        if not address.domain:
            if address.local.lower() != POSTMASTER:
                raise NoSuchRecipient
            return Address(POSTMASTER, self._first)
        if not self.isLocalDomain(address.domain):
            raise RelayDenied
        return Address(address.local, self._domains[address.domain])

    async def _look(self, address: Address, hasCatchAll: bool, onlyAccounts: bool = False) -> _Found:
        """What one address of ours is, without going further; nothing at all where nobody knows it.

        :raises NoSuchRecipient: it is postmaster, and there is none.
        """
        try:
            for local, detail in self._untagged(address.local):
                name = _nameOf(Address(local, address.domain))
                addresses = () if onlyAccounts else await self._targetsOf(name)
                if addresses:
                    return _Found(addresses=addresses, detail=detail)
                if name and await self._users.hasAccount(name):
                    return _Found(account=name, detail=detail)
            if onlyAccounts:
                return _Found()
            if address.local.lower() == POSTMASTER:
                return _Found(addresses=(await self._findPostmaster(),))
        except AuthenticationUnavailable as error:
            raise Unavailable from error
        catchAll = self._catchAll.get(address.domain) if hasCatchAll else None
        return _Found(addresses=(catchAll,)) if catchAll is not None else _Found()

    def _untagged(self, local: str) -> list[tuple[str, str]]:
        """The local part as it is, then without its tag, each with the tag taken off."""
        places = [place for place, character in enumerate(local) if place and character in self._tagDelimiter]
        return [(local, ""), *((local[:place], local[place + 1 :]) for place in places[:1])]

    async def _targetsOf(self, name: str) -> tuple[Address, ...]:
        targets = []
        for text in await self._aliases.aliasTargets(name) if name else ():
            try:
                targets.append(self._parse(text))
            except ValueError:
                self.log.error("the alias {name} leads to {target}, which is no address", name=name, target=text)
        return tuple(targets)

    async def _findPostmaster(self) -> Address:
        if self._postmaster is not None:
            return self._postmaster
        for name in await self._users.admins():
            return Address.parse(name)
        raise NoSuchRecipient("this system has no postmaster")


def _somewhere(found: Resolution) -> Resolution:
    """:raises NoSuchRecipient: it leads nowhere."""
    if not found.targets and not found.forwards and not found.routed:
        raise NoSuchRecipient
    return found


def _nameOf(address: Address) -> str:
    """The canonical name that an account or alias of that address would have; empty where none can have it."""
    try:
        return accountName(str(address), address.domain)
    except ValueError:
        return ""


def spellings(domain: str) -> set[str]:
    """A domain in lower case, as a U-label and as an A-label, as far as there are such."""
    domain = domain.lower()
    try:
        return {domain, idna.encode(domain, uts46=True).decode("ascii"), idna.decode(domain, uts46=True)}
    except (idna.IDNAError, UnicodeError):
        return {domain}
