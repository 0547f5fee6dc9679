"""`accounts:` – the server's own accounts, in `data/accounts.sqlite`: how they log in, and how they are administered.

A login reads everything it needs in one moment and does the same statements and one hash operation for every name.
What is weaker than argon2id is replaced, and missing SCRAM verifiers are added, when a right password comes by
(`rehash`).

The verbs of the administrator's command are the `async def` methods of `Accounts`; what they raise is a Refusal with
one clear line. They take addresses as people write them, and have done durably what they return from.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from typing import TypeVar

from attrs import frozen
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.auth import hashes, rows
from mailfw.auth.hashing import Hasher
from mailfw.auth.rows import Account, Alias, AppPassword, Candidate, Stored
from mailfw.errors import (
    AccountSuspended,
    AuthenticationFailed,
    AuthenticationUnavailable,
    InvalidName,
    Refusal,
    Unavailable,
)
from mailfw.interfaces import (
    IAliases,
    IAuthContext,
    IAuthenticator,
    IAuthenticatorPlugin,
    IClosable,
    IHealth,
    IIdentitySource,
    IQuotas,
    IUserList,
    IVerifierSource,
)
from mailfw.sasl.verifier import Verifier
from mailfw.sql import Connection, Database
from mailfw.tally import Health
from mailfw.values import Address, Credentials, Identity, PasswordCredentials, Quota, accountName

T = TypeVar("T")

FILE = "accounts.sqlite"
_USED_GRAIN = 3600.0  # seconds: an app password's last use is not written more often

# Without letters and digits that people take for one another; 32 of them are 5 bits each.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 5


class NoSuchAccount(Refusal):
    """There is no account of that name."""


class NoSuchAlias(Refusal):
    """There is no alias of that name."""


class AlreadyThere(Refusal):
    """There is one of that name already."""


class ImportRefused(Refusal):
    """Some lines cannot be imported, so none was. :ivar mistakes: number of the line, from 1, and what is wrong with it."""

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        shown = "; ".join(f"line {number}: {reason}" for number, reason in mistakes[:10])
        more = f"; and {len(mistakes) - 10} more" if len(mistakes) > 10 else ""
        super().__init__(f"nothing was imported: {shown}{more}")
        self.mistakes = mistakes


@frozen
class Imported:
    """How many accounts an import added, and how many had their password replaced."""

    added: int
    replaced: int


@implementer(IAuthenticator, IVerifierSource, IIdentitySource, IUserList, IAliases, IQuotas, IHealth, IClosable)
class Accounts:
    """The accounts of one database file. Methods are for the reactor's thread.

    :param domain: the first configured domain.
    :param now: seconds since the epoch, UTC.
    """

    log = Logger()

    def __init__(self, database: Database, hasher: Hasher, now: Callable[[], float], domain: str, rehash: bool = True) -> None:
        self._database = database
        self._hasher = hasher
        self._now = now
        self._domain = domain
        self._rehash = rehash
        self._missing = frozenset(rows.VERIFIERS)
        database.read(rows.missingVerifiers).addCallbacks(self._setMissing, lambda _: None)

    def _setMissing(self, missing: frozenset[str]) -> None:
        self._missing = missing

    # --- Logging in

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises AuthenticationFailed: :raises AccountSuspended: :raises AuthenticationUnavailable:"""
        if not isinstance(credentials, PasswordCredentials) or not hashes.isPossible(credentials.password):
            raise AuthenticationFailed
        name = self._canonical(credentials.user)
        digest = _digestOf(credentials.password)
        choose = functools.partial(self._hasher.decoy, name)
        found = await self._read(lambda connection: rows.candidate(connection, name, digest, choose))
        if found.stored is None:
            await self._hasher.pretend(name, found.decoy, credentials.password)
            raise AuthenticationFailed
        await self._check(found, found.stored, credentials)
        if found.stored.account.isSuspended:
            raise AccountSuspended
        return _identityOf(found.stored)

    async def _check(self, found: Candidate, stored: Stored, credentials: PasswordCredentials) -> None:
        """Whether the password is right, the account's own or that of a device."""
        appPassword = found.appPassword if not credentials.isForAnother else None
        if appPassword is not None and appPassword.service in ("", credentials.service):
            if self._now() - (appPassword.lastUsed or 0.0) >= _USED_GRAIN:
                await self._improve(lambda connection: rows.use(connection, stored.id, appPassword.name, self._now()))
        elif not await self._hasher.verify(stored.password, credentials.password):
            raise AuthenticationFailed
        elif not stored.account.isSuspended:
            await self._upgrade(stored, credentials.password)

    async def _upgrade(self, stored: Stored, password: str) -> None:
        isWeak = self._rehash and not hashes.isStrong(stored.password)
        lacks = stored.verifiers.keys() < rows.VERIFIERS.keys()
        if not (isWeak or lacks):
            return

        def make() -> tuple[str, dict[str, str]]:
            return hashes.make(password) if isWeak else stored.password, hashes.makeVerifiers(password) if lacks else {}

        try:
            better, verifiers = await self._hasher.run(make)
        except AuthenticationUnavailable:
            return
        if isWeak or verifiers:
            await self._improve(lambda connection: rows.upgrade(connection, stored, better, verifiers))

    async def _improve(self, job: Callable[[Connection], object]) -> None:
        """Write what a login can do without: it succeeds also where the disk is full."""
        try:
            await self._change(job)
        except Unavailable as error:
            self.log.warn("a login could not be noted: {error}", error=error)

    def mechanisms(self) -> frozenset[str]:
        """SCRAM mechanisms that every account has a verifier for."""
        return frozenset(rows.VERIFIERS) - self._missing

    async def verifier(self, user: str, mechanism: str) -> Verifier | None:
        """What is stored for the user; None: nothing, or no such user."""
        stored = await self._find(user)
        text = stored.verifiers.get(mechanism) if stored else None
        return Verifier.parse(mechanism, text) if text is not None else None

    async def identify(self, user: str) -> Identity:
        """:raises AuthenticationFailed: no such user. :raises AccountSuspended:"""
        return await self.identityOf(user)

    async def identityOf(self, user: str) -> Identity:
        """:raises AuthenticationFailed: no such user. :raises AccountSuspended:"""
        stored = await self._find(user)
        if stored is None:
            raise AuthenticationFailed
        if stored.account.isSuspended:
            raise AccountSuspended
        return _identityOf(stored)

    # --- What the directory asks

    async def hasAccount(self, account: str) -> bool:
        """Whether that account takes mail; a suspended one does."""
        return await self._find(account) is not None

    async def admins(self) -> list[str]:
        """Administrators that are not suspended, the oldest first."""
        return await self._database.read(rows.admins)

    async def aliasTargets(self, address: str) -> list[str]:
        """Where an alias leads; empty: no such alias."""
        name = self._canonical(address)
        return await self._database.read(lambda connection: rows.targetsOf(connection, name))

    async def quotaOf(self, account: str) -> Quota:
        """What `user add --quota` or `user quota` said."""
        stored = await self._find(account)
        return Quota(stored.account.quota) if stored is not None else Quota()

    # --- Accounts

    async def addUser(self, address: str, password: str, *, isAdmin: bool = False, quota: int | None = None) -> Account:
        """Make an account. :raises AlreadyThere: :raises InvalidName: :raises Refusal: the password cannot be used."""
        account = Account(self._newName(address), isAdmin=isAdmin, quota=quota, created=self._now())
        stored, verifiers = await self._hash(password)
        if not await self._change(lambda connection: rows.add(connection, account, stored, verifiers)):
            raise AlreadyThere(f"there is an account {account.name} already")
        return account

    async def setPassword(self, address: str, password: str) -> None:
        """:raises NoSuchAccount: :raises Refusal: the password cannot be used."""
        name = (await self._demand(address)).account.name
        stored, verifiers = await self._hash(password)
        if not await self._change(lambda connection: rows.setPassword(connection, name, stored, verifiers)):
            raise NoSuchAccount(f"there is no account {_show(address)}")

    async def suspend(self, address: str) -> None:
        """Nobody logs in to it any more; its mail still arrives. :raises NoSuchAccount:"""
        await self._setSuspended(address, True)

    async def resume(self, address: str) -> None:
        """End that. :raises NoSuchAccount:"""
        await self._setSuspended(address, False)

    async def _setSuspended(self, address: str, isSuspended: bool) -> None:
        name = self._canonical(address)
        if not await self._change(lambda connection: rows.setSuspended(connection, name, isSuspended)):
            raise NoSuchAccount(f"there is no account {_show(address)}")

    async def setQuota(self, address: str, quota: int | None) -> None:
        """How many octets of mail it may hold; None: the server's default. :raises NoSuchAccount:"""
        name = self._canonical(address)
        if not await self._change(lambda connection: rows.setQuota(connection, name, quota)):
            raise NoSuchAccount(f"there is no account {_show(address)}")

    async def removeUser(self, address: str) -> None:
        """Remove the account with its app passwords; its mail is the store's. :raises NoSuchAccount:"""
        name = self._canonical(address)
        if not await self._change(lambda connection: rows.remove(connection, name)):
            raise NoSuchAccount(f"there is no account {_show(address)}")

    async def listUsers(self) -> list[Account]:
        """All accounts, by name."""
        return await self._database.read(rows.accounts)

    async def importUsers(self, entries: Iterable[tuple[str, str]]) -> Imported:
        """Take over accounts with passwords as they are stored, `{SCHEME}value`, all or none; known accounts get the
        password.

        :param entries: (address, stored password), walked in a thread.
        :raises ImportRefused: names every bad line.
        """
        checked = await self._hasher.run(lambda: self._checkImport(entries))
        return Imported(*await self._change(lambda connection: rows.importAll(connection, checked, self._now())))

    def _checkImport(self, entries: Iterable[tuple[str, str]]) -> list[tuple[str, str, dict[str, str]]]:
        checked, mistakes = [], []
        for number, (address, stored) in enumerate(entries, 1):
            try:
                checked.append((self._newName(address), stored, hashes.verifierIn(stored)))
            except (ValueError, Refusal) as error:
                mistakes.append((number, str(error)))
        if mistakes:
            raise ImportRefused(mistakes)
        return checked

    # --- App passwords

    async def addAppPassword(self, address: str, name: str, service: str = "") -> str:
        """Make a random password for one device or program, and return it: it is not shown again.

        :param service: what alone it is to be good for; empty: everything.
        :raises NoSuchAccount: :raises AlreadyThere: :raises InvalidName: the name is empty or holds control characters.
        """
        if not name.strip() or not name.isprintable() or len(name) > 100:
            raise InvalidName(f"{_show(name)} cannot be the name of an app password")
        account = (await self._demand(address)).id
        password = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
        entry = AppPassword(name, service, self._now(), None)
        digest = _digestOf(password)
        if not await self._change(lambda connection: rows.addAppPassword(connection, account, entry, digest)):
            raise AlreadyThere(f"there is an app password {_show(name)} already")
        return password

    async def listAppPasswords(self, address: str) -> list[AppPassword]:
        """The oldest first. :raises NoSuchAccount:"""
        account = (await self._demand(address)).id
        return await self._database.read(lambda connection: rows.appPasswords(connection, account))

    async def removeAppPassword(self, address: str, name: str) -> None:
        """:raises NoSuchAccount: :raises Refusal: it has none of that name."""
        account = (await self._demand(address)).id
        if not await self._change(lambda connection: rows.removeAppPassword(connection, account, name)):
            raise Refusal(f"there is no app password {_show(name)}")

    # --- Aliases

    async def addAlias(self, alias: str, targets: Iterable[str]) -> Alias:
        """Let an address lead to these addresses, here or elsewhere, besides those that it leads to already.

        :raises InvalidName: one of them is no address.
        """
        entry = Alias(self._newName(alias), tuple(str(self._address(target)) for target in targets))
        if not entry.targets:
            raise Refusal("an alias needs a target")
        return await self._change(lambda connection: rows.addAlias(connection, entry, self._now()))

    async def listAliases(self) -> list[Alias]:
        """All, by name."""
        return await self._database.read(rows.aliases)

    async def removeAlias(self, alias: str) -> None:
        """:raises NoSuchAlias:"""
        name = self._canonical(alias)
        if not await self._change(lambda connection: rows.removeAlias(connection, name)):
            raise NoSuchAlias(f"there is no alias {_show(alias)}")

    async def health(self) -> list[Health]:
        """How the file is."""
        return [self._database.health()]

    async def prove(self) -> None:
        """:raises Unavailable: it takes no change."""
        await self._database.prove()

    async def close(self) -> None:
        """Finish what is being written, and let go of the file."""
        await self._database.close()

    # --- What these share

    def _canonical(self, user: str) -> str:
        """The name of the account that is meant; empty, as no account is called, where none can have that name."""
        try:
            return accountName(user, self._domain)
        except ValueError:
            return ""

    def _address(self, text: str) -> Address:
        try:
            return Address.parse(text if "@" in text else f"{text}@{self._domain}")
        except ValueError:
            raise InvalidName(f"{_show(text)} is not an address") from None

    def _newName(self, text: str) -> str:
        try:
            return accountName(str(self._address(text)), self._domain)
        except ValueError as error:
            raise InvalidName(str(error)) from None

    async def _hash(self, password: str) -> tuple[str, dict[str, str]]:
        try:
            password = hashes.normalize(password)
        except ValueError as error:
            raise Refusal(str(error)) from None
        return await self._hasher.run(lambda: (hashes.make(password), hashes.makeVerifiers(password)))

    async def _find(self, user: str) -> Stored | None:
        name = self._canonical(user)
        return await self._read(lambda connection: rows.find(connection, name))

    async def _demand(self, address: str) -> Stored:
        stored = await self._find(address)
        if stored is None:
            raise NoSuchAccount(f"there is no account {_show(address)}")
        return stored

    async def _read(self, job: Callable[[Connection], T]) -> T:
        try:
            return await self._database.read(job)
        except Unavailable as error:
            raise AuthenticationUnavailable from error

    async def _change(self, job: Callable[[Connection], T]) -> T:
        """Do a job in a transaction, and learn in the same which mechanisms can be offered after it."""
        result, self._missing = await self._database.write(
            lambda connection: (job(connection), rows.missingVerifiers(connection))
        )
        return result


def _show(name: str) -> str:
    """A name that somebody gave us, as it may stand in a message."""
    return name if name.isprintable() and 0 < len(name) <= 100 else ascii(name[:100])


def _identityOf(stored: Stored) -> Identity:
    return Identity(stored.account.name, stored.account.isAdmin)


def _digestOf(password: str) -> str:
    """How an app password is kept, and found. It has 100 random bits: a plain digest of it cannot be guessed backwards."""
    plain = password.replace("-", "").replace(" ", "").lower()
    return hashlib.sha256(plain.encode("utf-8")).hexdigest()


@implementer(IAuthenticatorPlugin)
class AccountsPlugin:
    """`accounts:` is `accounts.sqlite` in the data directory, `accounts:FILE` another file."""

    prefix = "accounts"

    def openAuthenticator(self, argument: str, context: IAuthContext) -> Accounts:
        """:raises Unavailable: the database cannot be opened."""
        database = Database.open(
            os.path.join(context.data, argument or FILE), rows.SCHEMA, reactor=context.reactor, isInline=context.isInline
        )
        hasher = Hasher(context.reactor, context.reactor.seconds, context.isInline)
        return Accounts(database, hasher, context.now, context.domains[0], context.rehash)


plugin = AccountsPlugin()
