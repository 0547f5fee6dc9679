"""A full store over a fixed number of engines, one database file each; an account is always in the same one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.errors import NoPermission
from mailfw.interfaces import IFiledStore, IHealth, IMailStore, IRepairedStore, IStoreAccounts
from mailfw.storage import rights
from mailfw.storage.account import Account
from mailfw.storage.across import Across
from mailfw.storage.engine import AccountRef, Engine
from mailfw.storage.serverentries import ServerEntries
from mailfw.storage.transaction import Terms
from mailfw.tally import Health
from mailfw.values import Damage, Identity, MessageSource, Outcome, Target


@implementer(IMailStore, IStoreAccounts, IRepairedStore, IFiledStore, IHealth)
class Store:
    """Accounts over some engines.

    :param domain: the first configured one, which a local part alone is of.
    """

    log = Logger()

    def __init__(self, engines: Sequence[Engine], domain: str) -> None:
        self._engines = list(engines)
        self._domain = domain
        self._shared = ServerEntries(self._engines[0].database, self._engines[0].bells)

    async def openAccount(self, identity: Identity, owner: str) -> Account:
        """The account named `owner`, made for its owner where it is not there yet. :raises NoPermission:"""
        engine = self._engineOf(owner)
        if identity.account == owner:
            ref = await engine.account(owner)
        else:
            ref = await self._another(engine, identity, owner)
        across = Across(lambda other: self.openAccount(identity, other))
        return Account(engine, ref, identity, self._domain, across, self._shared)

    async def _another(self, engine: Engine, identity: Identity, owner: str) -> AccountRef:
        """Another's account. :raises NoPermission: it is not there, or nothing in it is shared, which is said alike."""
        found = await engine.existing(owner)
        if found is None:
            raise NoPermission()
        terms = Terms(identity.account, False, identity.isAdmin)
        await engine.database.read(lambda connection: rights.mustShare(connection, found.key, terms))
        return found

    async def sharedWith(self, identity: Identity) -> list[str]:
        """Owners of mailboxes that the identity may look up, but its own account."""
        asked = [each.database.read(lambda connection: rights.sharing(connection, identity.account)) for each in self._engines]
        return sorted(owner for owners in await gatherResults(asked) for owner in owners)

    async def accounts(self) -> list[str]:
        """Canonical names of all accounts, sorted."""
        asked = [Deferred.fromCoroutine(each.accountNames()) for each in self._engines]
        return sorted(name for names in await gatherResults(asked) for name in names)

    async def check(self) -> list[Damage]:
        """What is wrong in any of the files."""
        return [damage for engine in self._engines for damage in await engine.check()]

    async def repair(self, isRehearsal: bool) -> list[Damage]:
        """What was mended, or would be, in any of the files."""
        return [damage for engine in self._engines for damage in await engine.repair(isRehearsal)]

    async def takeFiles(self, take: Callable[[Sequence[str]], None]) -> None:
        """Let files be taken that hold mail and change."""
        for engine in self._engines:
            await engine.takeFiles(take)

    async def deliver(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        """Put a message into each target; outcomes in their order."""
        if len(targets) == 1:
            return await self._engineOf(targets[0].account).deliver(message, targets)
        places: dict[int, list[int]] = {}
        for at, target in enumerate(targets):
            places.setdefault(self._place(target.account), []).append(at)
        outcomes: dict[int, Outcome] = {}
        done = await gatherResults(
            [
                Deferred.fromCoroutine(self._engines[place].deliver(message, [targets[at] for at in ats]))
                for place, ats in places.items()
            ]
        )
        for ats, some in zip(places.values(), done, strict=True):
            outcomes.update(zip(ats, some, strict=True))
        return [outcomes[at] for at in range(len(targets))]

    async def removeAccount(self, account: str) -> int:
        """Remove an account with all its mail, and its name from the lists of others; how many mailboxes it had."""
        count = await self._engineOf(account).removeAccount(account)
        for engine in self._engines:
            await engine.forgetName(account)
        return count

    async def mustHaveRoom(self, account: str, octets: int) -> None:
        """:raises OverQuota: a message of that size does not fit into the account."""
        await self._engineOf(account).mustHaveRoom(account, octets)

    async def health(self) -> list[Health]:
        """How each engine's file is."""
        return [await engine.health() for engine in self._engines]

    async def prove(self) -> None:
        """:raises Unavailable: one of the files takes no change."""
        for engine in self._engines:
            await engine.database.prove()

    async def close(self) -> None:
        """Finish what is under way."""
        await gatherResults([Deferred.fromCoroutine(engine.close()) for engine in self._engines])

    def _engineOf(self, account: str) -> Engine:
        return self._engines[self._place(account)]

    def _place(self, account: str) -> int:
        return zlib.crc32(account.encode()) % len(self._engines)
