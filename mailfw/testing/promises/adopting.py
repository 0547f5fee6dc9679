"""What a store promises about messages that come with UIDs of their own (`values.Adopt`).

A store that cannot keep numbers which it has not given itself raises NotSupported, and its tests set `adopts` to False. It is
copied to all the same; its messages have other UIDs then.
"""

from __future__ import annotations

import pytest

from mailfw.errors import NoPermission, NotSupported, UIDValidityChanged
from mailfw.interfaces import IAccount
from mailfw.testing.promises.home import (
    ME,
    OWNER,
    Home,
    Promises,
    append,
    assertCountersAreTrue,
    contents,
    flagsOf,
    message,
    promise,
    uidsOf,
)
from mailfw.values import Adopt, Appended, Create, Delete, Identity, MessageSource, NewMessage, Quota

ADMINISTRATOR = Identity(OWNER, isAdmin=True)
SEEN = frozenset({"\\Seen"})


def adoption(*uids: int, mailbox: str = "INBOX", uidValidity: int = 0, uidNext: int = 0) -> Adopt:
    """Messages with these UIDs, the number of each being its UID."""
    messages = tuple(NewMessage(MessageSource(message(uid)), SEEN, 1_000_000.0 + uid) for uid in uids)
    return Adopt(mailbox, messages, uids, uidValidity, uidNext)


class AdoptionPromises(Promises):
    """Adopt. :ivar adopts: False: the store keeps no numbers but its own."""

    adopts = True

    async def administered(self, home: Home) -> IAccount:
        """The owner's account, as an administrator opens it."""
        if not self.adopts:
            pytest.skip("this store keeps no numbers but its own")
        await home.account()
        return await home.store.openAccount(ADMINISTRATOR, OWNER)

    @promise
    async def testAdoptedMessagesKeepTheirUIDs(self, home: Home) -> None:
        account = await self.administered(home)
        (adopted,) = await account.apply([adoption(3, 7, 20, uidValidity=1_234_567, uidNext=31)])
        assert isinstance(adopted, Appended)
        assert (adopted.uidValidity, adopted.uids) == (1_234_567, (3, 7, 20))
        inbox = await account.open("INBOX")
        assert await contents(inbox) == {uid: message(uid) for uid in (3, 7, 20)}
        assert set((await flagsOf(inbox)).values()) == {SEEN}
        status = await inbox.status()
        assert (status.uidValidity, status.uidNext, status.messages) == (1_234_567, 31, 3)
        assert (await append(account, message(99))).uids == (31,)
        await assertCountersAreTrue(account)

    @promise
    async def testAdoptedMessagesAreThereAfterACrash(self, home: Home) -> None:
        account = await self.administered(home)
        await account.apply([adoption(5, uidValidity=77)])
        await account.apply([adoption(9, 10, uidValidity=77)])
        after = await home.crash()
        inbox = await after.open("INBOX")
        assert (inbox.info.uidValidity, await uidsOf(inbox)) == (77, [5, 9, 10])

    @promise
    async def testAdoptedUIDsOnlyGrow(self, home: Home) -> None:
        account = await self.administered(home)
        await append(account, message(1), message(2))
        for uids in ((2,), (5, 4), (4, 4)):
            with pytest.raises(NotSupported):
                await account.apply([adoption(*uids)])
        inbox = await account.open("INBOX")
        assert await uidsOf(inbox) == [1, 2]
        await account.apply([adoption(3, 8)])
        assert await uidsOf(inbox) == [1, 2, 3, 8]

    @promise
    async def testAUIDValidityIsAdoptedOnlyWhereNobodyCanKnowIt(self, home: Home) -> None:
        account = await self.administered(home)
        await append(account, message(1))
        with pytest.raises(UIDValidityChanged):
            await account.apply([adoption(5, uidValidity=77)])
        await account.apply([Create("Work"), adoption(mailbox="Work", uidValidity=500)])
        await account.apply([Delete("Work")])
        await account.apply([Create("Work")])
        with pytest.raises(UIDValidityChanged):
            await account.apply([adoption(5, mailbox="Work", uidValidity=500)])
        await account.apply([adoption(5, mailbox="Work")])
        assert await uidsOf(await account.open("Work")) == [5]

    @promise
    async def testAnAdoptedUIDValidityIsNotGivenAgain(self, home: Home) -> None:
        account = await self.administered(home)
        far = int(home.clock.seconds()) + 3_000_000_000
        await account.apply([Create("Work"), adoption(4, mailbox="Work", uidValidity=far)])
        await account.apply([Delete("Work")])
        await account.apply([Create("Work")])
        assert (await account.open("Work")).info.uidValidity > far

    @promise
    async def testAdoptedMessagesWithoutUIDsHaveTheNextOnes(self, home: Home) -> None:
        account = await self.administered(home)
        await append(account, message(1))
        messages = tuple(NewMessage(MessageSource(message(number))) for number in (2, 3))
        (adopted,) = await account.apply([Adopt("INBOX", messages)])
        assert isinstance(adopted, Appended) and adopted.uids == (2, 3)

    @promise
    async def testAdoptionAsksForNoQuota(self, home: Home) -> None:
        account = await self.administered(home)
        home.quotas[OWNER] = Quota(octets=10)
        await account.apply([adoption(1, 2)])
        assert (await account.usage()).messages == 2

    @promise
    async def testAdoptionIsForAdministratorsAlone(self, home: Home) -> None:
        await self.administered(home)
        account = await home.store.openAccount(ME, OWNER)
        with pytest.raises(NoPermission):
            await account.apply([adoption(1)])
        assert await uidsOf(await account.open("INBOX")) == []
