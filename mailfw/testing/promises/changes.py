"""What a reader learns: MODSEQ, changes, snapshots, \\Recent, bells; and that everything outlives a restart."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, gatherResults

from mailfw.errors import Unavailable
from mailfw.testing.promises.home import (
    OTHER,
    OWNER,
    Home,
    Promises,
    append,
    assertCountersAreTrue,
    contents,
    describe,
    message,
    promise,
    read,
    uidsOf,
)
from mailfw.values import (
    ALL_UIDS,
    Changes,
    Column,
    Copy,
    Create,
    Delete,
    Expunge,
    Fate,
    FlagChange,
    MessageChange,
    MessageSource,
    Move,
    Operation,
    Rename,
    SetFlags,
    Subscribe,
    Target,
    UIDSet,
)

SEEN = frozenset({"\\Seen"})


class ChangePromises(Promises):
    """The log and what wakes its readers."""

    @promise
    async def testEveryChangeTakesANewModSeqOfItsAccount(self, home: Home) -> None:
        account = await home.account()
        await append(account, message(1), message(2))
        last, _ = await account.changedSince(0)
        operations: list[Operation] = [
            SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, SEEN),
            Copy("INBOX", UIDSet.of(1), "Archive"),
            Move("INBOX", UIDSet.of(2), "Archive"),
            Expunge("Archive", UIDSet.of(1), onlyDeleted=False),
            Create("New"),
            Rename("New", "Newer"),
            Subscribe("Newer"),
            Delete("Newer"),
        ]
        for operation in operations:
            await account.apply([operation])
            now, _ = await account.changedSince(last)
            assert now > last, operation
            last = now
        account = await home.reopen()
        assert (await account.changedSince(0))[0] == last
        assert (await append(account, message(3))).modSeq > last

    @promise
    async def testAccountsCountForThemselves(self, home: Home) -> None:
        mine, others = await home.account(), await home.account(OTHER)
        before, _ = await others.changedSince(0)
        await append(mine, message(1))
        assert await others.changedSince(before) == (before, [])

    @promise
    async def testTheAccountNamesWhatChanged(self, home: Home) -> None:
        account = await home.account()
        since, _ = await account.changedSince(0)
        await append(account, message(1))
        now, changed = await account.changedSince(since)
        assert changed == ["INBOX"]
        await account.apply([Create("New"), Copy("INBOX", UIDSet.of(1), "Archive")])
        later, changed = await account.changedSince(now)
        assert changed == ["Archive", "New"]
        await account.apply([Rename("New", "Newer"), Subscribe("Trash", False)])
        assert sorted((await account.changedSince(later))[1]) == ["New", "Newer", "Trash"]

    @promise
    async def testAReaderLearnsWhatCameChangedAndWent(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 7)))
        start = await inbox.changesSince(0)
        assert [one.uid for one in start.changed] == [1, 2, 3, 4, 5, 6]
        await account.apply([SetFlags("INBOX", UIDSet.of(2), FlagChange.ADD, SEEN)])
        await account.apply([Expunge("INBOX", UIDSet.of(3, 4, 6), onlyDeleted=False)])
        appended = await append(account, message(7))
        changes = await inbox.changesSince(start.modSeq)
        assert [(one.uid, one.flags) for one in changes.changed] == [(2, SEEN), (7, frozenset())]
        assert str(changes.vanished) == "3:4,6"
        assert (changes.modSeq, changes.uidNext, changes.isComplete) == (appended.modSeq, 8, True)
        assert await inbox.changesSince(changes.modSeq) == Changes(changes.modSeq, 8)
        only = await inbox.changesSince(changes.changed[0].modSeq)
        assert only.changed == (MessageChange(7, appended.modSeq, frozenset()),)
        assert await (await (await home.crash()).open("INBOX")).changesSince(start.modSeq) == changes

    @promise
    async def testAReaderThatPollsMissesNothing(self, home: Home) -> None:
        account, inbox = await home.inbox()
        seen: list[int] = []
        modSeq, isOver = 0, False

        async def poll() -> None:
            nonlocal modSeq
            while True:
                wasOver = isOver
                changes = await inbox.changesSince(modSeq)
                seen.extend(one.uid for one in changes.changed)
                modSeq = changes.modSeq
                if wasOver:
                    return
                await home.turn()

        async def deliver(sender: int) -> None:
            for number in range(10):
                source = MessageSource(message(100 * sender + number))
                assert (await home.store.deliver(source, [Target(OWNER), Target(OTHER)]))[0].isTaken
                await home.turn()

        polling = Deferred.fromCoroutine(poll())
        await gatherResults([Deferred.fromCoroutine(deliver(sender)) for sender in range(5)])
        isOver = True
        await polling
        assert seen == sorted(set(seen)) == await uidsOf(inbox)
        assert len(seen) == 50
        await assertCountersAreTrue(account)

    # --- Snapshots

    @promise
    async def testASnapshotIsOfOneMomentAndStaysAsItWas(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), flags=SEEN)
        await append(account, message(2), message(3), flags=frozenset({"$Work"}))
        first = await inbox.snapshot()
        assert (list(first.uids), first.firstUnseen, first.keywords) == ([1, 2, 3], 2, ("$Work",))
        assert (first.status.messages, first.status.unseen, first.status.uidNext) == (3, 2, 4)
        await append(account, message(4))
        second = await inbox.snapshot()
        await account.apply([Expunge("INBOX", UIDSet.of(2), onlyDeleted=False)])
        third = await inbox.snapshot()
        await append(account, message(5))
        await account.apply([SetFlags("INBOX", ALL_UIDS, FlagChange.ADD, SEEN)])
        fourth = await inbox.snapshot()
        views = [list(one.uids) for one in (first, second, third, fourth)]
        assert views == [[1, 2, 3], [1, 2, 3, 4], [1, 3, 4], [1, 3, 4, 5]]
        assert [one.firstUnseen for one in (first, second, third, fourth)] == [2, 2, 3, 0]

    @promise
    async def testRecentIsClaimedOnce(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        assert (await inbox.status()).recentFrom == 1
        assert (await inbox.snapshot()).status.recentFrom == 1
        assert (await inbox.snapshot(claimRecent=True)).status.recentFrom == 1
        assert (await inbox.snapshot(claimRecent=True)).status.recentFrom == 3
        await append(account, message(3))
        other = await (await home.account()).open("INBOX")
        assert (await other.snapshot(claimRecent=True)).status.recentFrom == 3
        assert (await inbox.status()).recentFrom == 4

    # --- Bells

    @promise
    async def testWatchersAreRungForChangesWhoeverMadeThem(self, home: Home) -> None:
        account, inbox = await home.inbox()
        archive = await account.open("Archive")
        rung: list[str] = []
        end = account.watch(rung.append)
        await (await home.account(OTHER)).apply([Create("Elsewhere")])
        assert rung == []
        await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        await home.turn()
        assert set(rung) == {inbox.info.mailboxId}
        rung.clear()
        await (await home.account()).apply([Move("INBOX", UIDSet.of(1), "Archive")])
        await home.turn()
        assert set(rung) == {inbox.info.mailboxId, archive.info.mailboxId}
        rung.clear()
        await account.apply([SetFlags("Archive", UIDSet.of(1), FlagChange.ADD, SEEN)])
        await home.turn()
        assert set(rung) == {archive.info.mailboxId}
        end()
        rung.clear()
        await append(account, message(2))
        await home.turn()
        assert rung == []

    @promise
    async def testWhatTheBellTellsOfIsThereAlready(self, home: Home) -> None:
        account, inbox = await home.inbox()
        asked: list[Deferred[Changes]] = []
        end = account.watch(lambda _: asked.append(Deferred.fromCoroutine(inbox.changesSince(0))))
        await append(account, message(1))
        await home.turn()
        end()
        assert [one.uid for one in (await asked[0]).changed] == [1]

    @promise
    async def testABellThatRaisesCostsOthersNothing(self, home: Home) -> None:
        account = await home.account()
        rung: list[str] = []

        def broken(_: str) -> None:
            raise RuntimeError("a broken bell, as this test wants it")

        ends = [account.watch(broken), account.watch(rung.append)]
        await append(account, message(1))
        await home.turn()
        assert rung
        for end in ends:
            end()

    # --- Restarts

    @promise
    async def testAClosedStoreIsUnavailable(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await home.store.close()
        (outcome,) = await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        assert outcome.fate is Fate.DEFERRED
        for attempt in (account.mailboxes, inbox.status, lambda: account.apply([Create("New")]), lambda: inbox.read(1)):
            with pytest.raises(Unavailable):
                await attempt()
        await home.store.close()

    @promise
    async def testEverythingIsAsItWasAfterAnEndAndAfterACrash(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Work/2026"), Subscribe("Work/2026"), Subscribe("Ghost")])
        await append(account, *(message(number) for number in range(8)), flags=frozenset({"$Work", "\\Flagged"}))
        await account.apply(
            [
                SetFlags("INBOX", UIDSet.of(2, 3), FlagChange.REPLACE, SEEN),
                Copy("INBOX", UIDSet.of(1, 2), "Work/2026"),
                Move("INBOX", UIDSet.of(3), "Archive"),
                Expunge("INBOX", UIDSet.of(4), onlyDeleted=False),
            ]
        )
        await account.apply([Rename("Work", "Old")])
        before = await describe(account)
        assert await describe(await home.crash()) == before
        assert await describe(await home.reopen()) == before

    @promise
    async def testAnswersOfTheSameThreadShareItsId(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1, subject="Plans"))
        await append(account, message(2, subject="Re: Plans", headers="In-Reply-To: <1@localhost>\r\n"))
        await append(account, message(3, subject="Re: Plans", headers="References: <1@localhost> <2@localhost>\r\n"))
        await append(account, message(4, subject="Plans"))
        threads = [row[0] for row in await read(inbox, Column.THREAD_ID)]
        assert threads[0] == threads[1] == threads[2] != threads[3]

    @promise
    async def testIdsAreUniqueAndStay(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 5)))
        ids = await read(inbox, Column.UIDL, Column.EMAIL_ID)
        assert len({uidl for uidl, _ in ids}) == len({email for _, email in ids}) == 4
        for uidl, email in ids:
            assert 1 <= len(uidl) <= 70 and all("!" <= letter <= "~" for letter in uidl)
            assert email and len(email) <= 255 and email.replace("-", "").replace("_", "").isalnum()
        await account.apply([SetFlags("INBOX", ALL_UIDS, FlagChange.ADD, SEEN)])
        inbox = await (await home.reopen()).open("INBOX")
        assert await read(inbox, Column.UIDL, Column.EMAIL_ID) == ids
        assert len(await contents(inbox)) == 4
