"""What an account may hold: counted exactly, kept where mail comes in, in nobody's way otherwise."""

from __future__ import annotations

import pytest

from mailfw.errors import NoPermission, OverQuota
from mailfw.interfaces import IAccount
from mailfw.testing.promises.home import ME, OTHER, OWNER, Home, Promises, append, message, promise
from mailfw.values import (
    Append,
    Copy,
    Create,
    Delete,
    Expunge,
    Fate,
    FlagChange,
    Identity,
    MessageSource,
    Move,
    NewMessage,
    Quota,
    Rename,
    SetFlags,
    SetQuota,
    Target,
    UIDSet,
)

SIZE = len(message(1))
ADMIN = Identity(OTHER, isAdmin=True)


async def held(account: IAccount) -> tuple[int, int]:
    """Octets and messages."""
    usage = await account.usage()
    return usage.octets, usage.messages


class QuotaPromises(Promises):
    """`IAccount.usage`, `SetQuota`, and every way in."""

    @promise
    async def testWhatIsHeldIsCounted(self, home: Home) -> None:
        account = await home.account()
        mailboxes = (await account.usage()).mailboxes
        assert await held(account) == (0, 0)
        await append(account, message(1), message(2))
        await account.apply([Copy("INBOX", UIDSet.of(1), "Archive")])
        assert await held(account) == (3 * SIZE, 3)
        await account.apply([Move("INBOX", UIDSet.of(2), "Archive")])
        assert await held(account) == (3 * SIZE, 3)
        await account.apply([Expunge("INBOX", onlyDeleted=False)])
        assert await held(account) == (2 * SIZE, 2)
        await account.apply([Create("Work")])
        assert (await account.usage()).mailboxes == mailboxes + 1
        await account.apply([Delete("Archive")])
        assert await held(account) == (0, 0)

    @promise
    async def testNothingIsLimitedUnlessSomebodySaysSo(self, home: Home) -> None:
        assert (await (await home.account()).usage()).limits == Quota()

    @promise
    @pytest.mark.parametrize("limits", [Quota(messages=3), Quota(octets=3 * SIZE)])
    async def testWhatDoesNotFitIsRefusedWhole(self, home: Home, limits: Quota) -> None:
        home.quotas[OWNER] = limits
        account = await home.account()
        await append(account, message(1), message(2))
        for operation in (
            Append("INBOX", (NewMessage(MessageSource(message(3))), NewMessage(MessageSource(message(4))))),
            Copy("INBOX", UIDSet.of(1, 2), "Archive"),
        ):
            with pytest.raises(OverQuota):
                await account.apply([operation])
            assert await held(account) == (2 * SIZE, 2)
        await append(account, message(3))
        with pytest.raises(OverQuota):
            await append(account, message(4))
        await account.apply([Move("INBOX", UIDSet.of(1), "Archive"), Rename("INBOX", "Elsewhere")])
        assert await held(account) == (3 * SIZE, 3)
        await account.apply([Expunge("Elsewhere", UIDSet.of(1), onlyDeleted=False)])
        await append(account, message(4))

    @promise
    async def testDeliveryIsRefusedToWhoIsFullAndToNobodyElse(self, home: Home) -> None:
        home.quotas[OWNER] = Quota(messages=1)
        await append(await home.account(), message(1))
        full, other = await home.store.deliver(MessageSource(message(2)), [Target(OWNER), Target(OTHER)])
        assert isinstance(full.refusal, OverQuota)
        assert (full.isTaken, other.fate) == (False, Fate.DELIVERED)
        with pytest.raises(OverQuota):
            await home.store.mustHaveRoom(OWNER, 0)
        await home.store.mustHaveRoom(OTHER, 1 << 40)
        home.quotas[OTHER] = Quota(octets=2 * SIZE)
        home.clock.advance(60)
        await home.store.mustHaveRoom(OTHER, SIZE)
        with pytest.raises(OverQuota):
            await home.store.mustHaveRoom(OTHER, SIZE + 1)

    @promise
    async def testWhoIsAskedForRoomIsNotMadeByThat(self, home: Home) -> None:
        home.quotas["nobody@localhost"] = Quota(messages=0)
        await home.store.mustHaveRoom("somebody@localhost", 0)
        with pytest.raises(OverQuota):
            await home.store.mustHaveRoom("nobody@localhost", 0)
        with pytest.raises(NoPermission):
            await home.store.openAccount(ADMIN, "somebody@localhost")

    @promise
    async def testMailboxesAreLimitedToo(self, home: Home) -> None:
        account = await home.account()
        usage = await account.usage()
        home.quotas[OWNER] = Quota(mailboxes=usage.mailboxes + 1)
        home.clock.advance(60)
        await account.apply([Create("One")])
        for operation in Create("Two"), Rename("INBOX", "Two"):
            with pytest.raises(OverQuota):
                await account.apply([operation])
        await account.apply([Delete("One"), Create("Two")] if self.hasGrace else [Delete("One")])

    @promise
    async def testAnAdministratorsLimitsCountBeforeTheSources(self, home: Home) -> None:
        home.quotas[OWNER] = Quota(messages=1)
        account = await home.account()
        asAdmin = await home.store.openAccount(ADMIN, OWNER)
        for limits in Quota(octets=5 * SIZE, mailboxes=100), Quota(), None:
            assert await asAdmin.apply([SetQuota(limits)]) == [None]
            expected = Quota(messages=1) if limits is None else limits
            assert (await account.usage()).limits == (await asAdmin.usage()).limits == expected
        await asAdmin.apply([SetQuota(Quota(octets=0))])
        with pytest.raises(OverQuota):
            await append(account, message(1))

    @promise
    async def testLimitsOutliveAReopening(self, home: Home) -> None:
        await home.account()
        await (await home.store.openAccount(ADMIN, OWNER)).apply([SetQuota(Quota(messages=1))])
        account = await home.reopen()
        await append(account, message(1))
        with pytest.raises(OverQuota):
            await append(account, message(2))

    @promise
    async def testLimitsAreSetByAdministratorsAloneAndSeenByNoStranger(self, home: Home) -> None:
        account = await home.account()
        with pytest.raises(NoPermission):
            await account.apply([SetQuota(Quota())])
        with pytest.raises(NoPermission):
            await home.store.openAccount(ME, OTHER)

    @promise
    async def testAnAccountThatHoldsTooMuchCanStillBeUsed(self, home: Home) -> None:
        account = await home.account()
        await append(account, message(1), message(2))
        home.quotas[OWNER] = Quota(octets=1, messages=1, mailboxes=1)
        home.clock.advance(60)
        seen = SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, frozenset({"\\Seen"}))
        await account.apply([seen, Move("INBOX", UIDSet.of(1), "Archive")])
        with pytest.raises(OverQuota):
            await append(account, message(3))
        await account.apply([Expunge("INBOX", onlyDeleted=False)])
        assert await held(account) == (SIZE, 1)
