"""What a new account has, and what goes from accounts by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from mailfw.interfaces import IAccount
from mailfw.testing.promises.home import OTHER, Home, Promises, append, message, promise
from mailfw.values import Append, Create, MessageSource, Move, NewMessage, Rename, SpecialUse, UIDSet

DAY = 86400.0
PATIENCE = 15.0
"""Seconds of the wall in which what is to happen by itself has happened on a busy machine too."""

_TURNS = 5000


async def count(account: IAccount, mailbox: str) -> int:
    """How many messages there are."""
    return (await (await account.open(mailbox)).status()).messages


async def until(home: Home, isSo: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """Whether something comes to be so before long; a round that was under way when time passed needs another."""
    turns, end = 0, time.monotonic() + PATIENCE
    while not await isSo():
        turns += 1
        if turns > _TURNS and time.monotonic() > end:
            return False
        await home.turn()
        if turns % 100 == 0 and turns <= _TURNS:
            home.clock.advance(3600)
    return True


class HouseholdPromises(Promises):
    """`IStoreContext.mailboxes` and `IStoreContext.expiry`."""

    @promise
    async def testTheFirstMailboxesAreThoseThatWereAskedFor(self, home: Home) -> None:
        home.mailboxes = (Create("Spam", frozenset({SpecialUse.JUNK})), Create("Notes"), Create("Work/Sent"))
        await home.restart()
        infos = {info.name: info for info in await (await home.account()).mailboxes()}
        assert infos.keys() == {"INBOX", "Spam", "Notes", "Work", "Work/Sent"}
        assert {name for name, info in infos.items() if info.isSubscribed and info.isSelectable} == infos.keys() - {"Work"}
        assert {name: info.specialUse for name, info in infos.items() if info.specialUse} == {"Spam": {SpecialUse.JUNK}}

    @promise
    async def testWithoutATimeNothingExpires(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Append("Trash", (NewMessage(MessageSource(message(1))),))])
        home.clock.advance(1000 * DAY)
        for _ in range(20):
            await home.turn()
        assert await count(account, "Trash") == 1

    @promise
    async def testMessagesExpireThatHaveBeenThereForSoLong(self, home: Home) -> None:
        home.expiry = {SpecialUse.TRASH: 30 * DAY}
        await home.restart()
        account, other = await home.account(), await home.account(OTHER)
        await append(account, *map(message, range(1, 6)))
        await account.apply([Move("INBOX", UIDSet.of(1, 2), "Trash"), Rename("Trash", "Bin")])
        old = NewMessage(MessageSource(message(7)), internalDate=1.0)
        await other.apply([Append("Trash", (NewMessage(MessageSource(message(6))),)), Append("Junk", (old,))])
        home.clock.advance(29 * DAY)
        await account.apply([Move("INBOX", UIDSet.of(3), "Bin")])
        await account.apply([Append("Bin", (old,))])
        home.clock.advance(2 * DAY)

        async def isDone() -> bool:
            return (await count(account, "Bin"), await count(other, "Trash")) == (2, 0)

        assert await until(home, isDone)
        assert (await count(account, "INBOX"), await count(other, "Junk")) == (2, 1)
        bin = await account.open("Bin")
        assert (await bin.changesSince(0)).vanished == UIDSet.of(1, 2)
        assert list((await bin.snapshot()).uids) == [3, 4]
        home.clock.advance(30 * DAY)

        async def isEmpty() -> bool:
            return await count(account, "Bin") == 0

        assert await until(home, isEmpty)

    @promise
    async def testManyMessagesExpireInOneRound(self, home: Home) -> None:
        home.expiry = {SpecialUse.JUNK: DAY, SpecialUse.TRASH: 2 * DAY}
        await home.restart()
        account = await home.account()
        await account.apply([Append("Junk", tuple(NewMessage(MessageSource(message(n))) for n in range(1, 621)))])
        home.clock.advance(1.5 * DAY)

        async def isEmpty() -> bool:
            return await count(account, "Junk") == 0

        assert await until(home, isEmpty)
