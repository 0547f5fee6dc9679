"""What happens to messages: delivery, append, flags, copy, move, expunge."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, gatherResults

from mailfw.errors import InvalidName, LimitExceeded, NoSuchMailbox, Refusal, UIDValidityChanged, Vanished
from mailfw.testing.promises.home import (
    OTHER,
    OWNER,
    Home,
    Promises,
    append,
    assertCountersAreTrue,
    contents,
    describe,
    flagsOf,
    message,
    promise,
    read,
    uidsOf,
)
from mailfw.values import (
    Append,
    Appended,
    Column,
    Copied,
    Copy,
    Create,
    Expunge,
    Expunged,
    Fate,
    FlagChange,
    FlagsSet,
    MessageSource,
    Move,
    NewMessage,
    Operation,
    SetFlags,
    Target,
    UIDSet,
)

SEEN = frozenset({"\\Seen"})
DELETED = frozenset({"\\Deleted"})

AWKWARD = {
    "empty": b"",
    "no header": b"\r\nonly a body\r\n",
    "no body": b"Subject: x\r\n\r\n",
    "no empty line": b"Subject: x\r\n",
    "no end of line": message(1)[:-2],
    "bare LF": b"Subject: x\n\nbody\n",
    "bare CR": b"Subject: x\r\n\r\na\rb\r\n",
    "NUL and 8 bit": b"Subject: \xff\x00\r\n\r\n\x00\x80\xfe\r\n",
    "From lines": b"From: a@localhost\r\n\r\nFrom here\r\n>From there\r\n>>From everywhere\r\n.\r\n",
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n",
    "long line": b"Subject: x\r\n\r\n" + b"y" * 100_000 + b"\r\n",
    "compressible": b"Subject: x\r\n\r\n" + b"all work and no play\r\n" * 8_000,
    "large": b"Subject: x\r\n\r\n" + bytes(range(32, 127)) * 4_000 + b"\r\n",
}


class MessagePromises(Promises):
    """Delivery and the operations on messages."""

    # --- Delivery

    @promise
    async def testADeliveredMessageIsThereAfterACrash(self, home: Home) -> None:
        outcomes = await home.store.deliver(MessageSource(message(1)), [Target(OWNER)])
        assert outcomes[0].fate is Fate.DELIVERED
        account = await home.crash()
        assert list((await contents(await account.open("INBOX"))).values()) == [message(1)]

    @promise
    async def testDeliveryMakesWhatIsMissing(self, home: Home) -> None:
        await home.store.deliver(MessageSource(message(1)), [Target(OTHER, "Lists/Twisted", SEEN)])
        mailbox = await (await home.account(OTHER)).open("Lists/Twisted")
        assert await flagsOf(mailbox) == {1: SEEN}
        assert await contents(mailbox) == {1: message(1)}

    @promise
    async def testOneTargetsFailureCostsTheOthersNothing(self, home: Home) -> None:
        targets = [Target(OWNER), Target(OTHER, "a//b"), Target(OTHER), Target(""), Target(OWNER, "Archive")]
        outcomes = await home.store.deliver(MessageSource(message(1)), targets)
        fates = [Fate.DELIVERED, Fate.FAILED, Fate.DELIVERED, Fate.FAILED, Fate.DELIVERED]
        assert [outcome.fate for outcome in outcomes] == fates
        assert isinstance(outcomes[1].refusal, InvalidName)
        for owner, name in ((OWNER, "INBOX"), (OWNER, "Archive"), (OTHER, "INBOX")):
            assert await contents(await (await home.account(owner)).open(name)) == {1: message(1)}

    @promise
    async def testDeliveriesAtTheSameTimeAllArrive(self, home: Home) -> None:
        sources = [MessageSource(message(number)) for number in range(40)]
        delivering = [Deferred.fromCoroutine(home.store.deliver(one, [Target(OWNER)])) for one in sources]
        assert all(outcomes[0].isTaken for outcomes in await gatherResults(delivering))
        account, inbox = await home.inbox()
        assert sorted((await contents(inbox)).values()) == sorted(message(number) for number in range(40))
        await assertCountersAreTrue(account)

    @promise
    async def testASpooledSourceIsTakenFromItsFile(self, home: Home, tmp_path: object) -> None:
        path = f"{tmp_path}/spool"
        with open(path, "wb") as file:
            file.write(b"before" + message(1) + b"after")
        source = MessageSource(path=path, offset=6, length=len(message(1))).withPrefix(b"X-Stamp: yes\r\n")
        await home.store.deliver(source, [Target(OWNER)])
        _, inbox = await home.inbox()
        assert await contents(inbox) == {1: b"X-Stamp: yes\r\n" + message(1)}

    @pytest.mark.parametrize("kind", AWKWARD)
    @promise
    async def testOctetsComeBackAsTheyCame(self, home: Home, kind: str) -> None:
        content = AWKWARD[kind]
        account, inbox = await home.inbox()
        await append(account, content)
        assert await contents(inbox) == {1: content}
        assert await read(inbox, Column.SIZE) == [(len(content),)]
        for start, length in ((0, 10), (5, 7), (len(content) - 3, 10), (len(content), 5), (3, -1)):
            start = max(start, 0)
            expected = content[start:] if length < 0 else content[start : start + length]
            assert await inbox.read(1, start, length) == expected

    # --- Append

    @promise
    async def testAppendGivesUIDsInTheOrderOfTheMessages(self, home: Home) -> None:
        account, inbox = await home.inbox()
        result = await append(account, message(1), message(2), message(3))
        assert result.uids == (1, 2, 3)
        assert result.uidValidity == inbox.info.uidValidity
        assert await contents(inbox) == {1: message(1), 2: message(2), 3: message(3)}
        assert result.modSeq == (await inbox.status()).highestModSeq

    @promise
    async def testEqualMessagesAreDifferentMessages(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(1), message(1))
        assert await contents(inbox) == dict.fromkeys((1, 2, 3), message(1))
        assert len(set(await read(inbox, Column.UIDL))) == 3

    @promise
    async def testAppendIsAllOrNothing(self, home: Home) -> None:
        account, inbox = await home.inbox()
        messages = (NewMessage(MessageSource(message(1))), NewMessage(MessageSource(message(2)), frozenset({"\\Nonsense"})))
        with pytest.raises(InvalidName):
            await account.apply([Append("INBOX", messages)])
        assert await uidsOf(inbox) == []

    @promise
    async def testApplyIsAllOrNothing(self, home: Home) -> None:
        account, _ = await home.inbox()
        await append(account, message(1))
        before = await describe(account)
        one = NewMessage(MessageSource(message(2)))
        operations: list[Operation] = [
            Create("New"),
            Append("INBOX", (one, one)),
            SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, SEEN),
            Move("INBOX", UIDSet.of(1), "New"),
            Append("Nowhere", (one,)),
        ]
        with pytest.raises(NoSuchMailbox):
            await account.apply(operations)
        assert await describe(account) == before
        assert await describe(await home.crash()) == before

    @promise
    async def testOperationsSeeWhatThoseBeforeThemDid(self, home: Home) -> None:
        account, inbox = await home.inbox()
        one = NewMessage(MessageSource(message(1)), SEEN)
        results = await account.apply(
            [
                Create("New"),
                Append("INBOX", (one,)),
                SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, DELETED),
                Copy("INBOX", UIDSet.of(1), "New"),
                Expunge("INBOX"),
            ]
        )
        assert isinstance(results[3], Copied) and results[3].copies == (1,)
        assert isinstance(results[4], Expunged) and list(results[4].uids) == [1]
        assert await uidsOf(inbox) == []
        new = await account.open("New")
        assert await contents(new) == {1: message(1)}
        assert await flagsOf(new) == {1: SEEN | DELETED}
        assert await describe(await home.crash()) == await describe(account)

    @promise
    async def testInternalDatesAreKept(self, home: Home) -> None:
        account, inbox = await home.inbox()
        new = (NewMessage(MessageSource(message(1)), internalDate=1_000_000_000.0), NewMessage(MessageSource(message(2))))
        home.clock.advance(100)
        await account.apply([Append("INBOX", new)])
        ((early,), (present,)) = await read(inbox, Column.INTERNAL_DATE)
        assert early == 1_000_000_000.0
        (saved, _) = await read(inbox, Column.SAVE_DATE)
        assert abs(present - saved[0]) < 1.0

    # --- Flags

    @promise
    async def testFlagsAreReplacedAddedAndRemoved(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        one = UIDSet.of(1)
        for change, flags, expected in (
            (FlagChange.ADD, {"\\Seen", "$Work"}, {"\\Seen", "$Work"}),
            (FlagChange.ADD, {"\\Flagged"}, {"\\Seen", "$Work", "\\Flagged"}),
            (FlagChange.REMOVE, {"\\Seen", "$Never"}, {"$Work", "\\Flagged"}),
            (FlagChange.REPLACE, {"\\Draft", "\\Answered", "$Home"}, {"\\Draft", "\\Answered", "$Home"}),
            (FlagChange.REPLACE, set(), set()),
        ):
            (result,) = await account.apply([SetFlags("INBOX", one, change, frozenset(flags))])
            assert isinstance(result, FlagsSet)
            assert [(one.uid, one.flags) for one in result.changed] == [(1, frozenset(expected))]
            assert await flagsOf(inbox) == {1: frozenset(expected), 2: frozenset()}
            await assertCountersAreTrue(account)
        assert await flagsOf(await (await home.crash()).open("INBOX")) == {1: frozenset(), 2: frozenset()}

    @promise
    async def testWhatStaysAsItIsKeepsItsModSeq(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), flags=SEEN)
        await append(account, message(2))
        before = await read(inbox, Column.UID, Column.MODSEQ)
        (result,) = await account.apply([SetFlags("INBOX", UIDSet.parse("1:9"), FlagChange.ADD, SEEN)])
        assert isinstance(result, FlagsSet)
        assert list(result.unchanged) == [1] and [one.uid for one in result.changed] == [2]
        after = await read(inbox, Column.UID, Column.MODSEQ)
        assert after[0] == before[0] and after[1] == (2, result.modSeq) and result.modSeq > before[1][1]

    @promise
    async def testUnchangedSinceLeavesNewerMessagesAlone(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        since = (await inbox.status()).highestModSeq
        await account.apply([SetFlags("INBOX", UIDSet.of(2), FlagChange.ADD, frozenset({"\\Flagged"}))])
        (result,) = await account.apply([SetFlags("INBOX", UIDSet.of(1, 2), FlagChange.ADD, SEEN, unchangedSince=since)])
        assert isinstance(result, FlagsSet)
        assert list(result.failed) == [2] and [one.uid for one in result.changed] == [1]
        assert await flagsOf(inbox) == {1: SEEN, 2: frozenset({"\\Flagged"})}

    @promise
    async def testOfManyConditionalChangesAtOnceOneWins(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))
        since = (await inbox.status()).highestModSeq
        changes = [
            SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, frozenset({f"$Session{number}"}), unchangedSince=since)
            for number in range(8)
        ]
        done = await gatherResults([Deferred.fromCoroutine(account.apply([one])) for one in changes])
        assert sum(bool(results[0].changed) for results in done) == 1  # type: ignore[union-attr]
        assert len((await flagsOf(inbox))[1]) == 1

    @promise
    async def testKeywordsKeepTheCaseInWhichTheAccountFirstUsedThem(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), flags=frozenset({"$Forwarded"}))
        await append(account, message(2), flags=frozenset({"$FORWARDED", "\\SEEN"}))
        await account.apply([SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, frozenset({"$forwarded"}))])
        assert await flagsOf(inbox) == {1: frozenset({"$Forwarded"}), 2: frozenset({"$Forwarded", "\\Seen"})}
        await account.apply([SetFlags("INBOX", UIDSet.of(1), FlagChange.REMOVE, frozenset({"$fORWARDED"}))])
        assert await flagsOf(inbox) == {1: frozenset(), 2: frozenset({"$Forwarded", "\\Seen"})}
        assert (await inbox.snapshot()).keywords == ("$Forwarded",)

    @pytest.mark.parametrize("flag", ["", "a b", "a(", 'a"', "\\Nonsense", "ä", "a\r\nb", "x" * 1000, "*", "\\*", "]"])
    @promise
    async def testWhatCannotBeAFlagIsRefused(self, home: Home, flag: str) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))
        with pytest.raises(InvalidName):
            await account.apply([SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, frozenset({flag}))])
        with pytest.raises(InvalidName):
            await append(account, message(2), flags=frozenset({flag}))
        assert await flagsOf(inbox) == {1: frozenset()}

    @promise
    async def testKeywordsAreBounded(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))
        many = frozenset(f"$Keyword{number}" for number in range(5000))
        with pytest.raises(LimitExceeded):
            await account.apply([SetFlags("INBOX", UIDSet.of(1), FlagChange.ADD, many)])
        assert (await inbox.snapshot()).keywords == ()

    # --- Copy and move

    @promise
    async def testAppendingTooManyKeywordsLeavesNothingBehind(self, home: Home) -> None:
        account, _ = await home.inbox()
        await append(account, message(1))
        with pytest.raises(LimitExceeded):
            await append(account, message(2), flags=frozenset(f"$Word{number}" for number in range(1000)))
        home.clock.advance(60)  # whatever a store believes of its files, it looks again
        assert await contents(await account.open("INBOX")) == {1: message(1)}
        await append(account, message(3))
        assert sorted((await contents(await account.open("INBOX"))).values()) == sorted((message(1), message(3)))
        await assertCountersAreTrue(account)

    @promise
    async def testACopyIsTheSameEmailWithItsFlagsAndDates(self, home: Home) -> None:
        account, inbox = await home.inbox()
        new = NewMessage(MessageSource(message(1)), frozenset({"\\Flagged", "$Work"}), 1_000_000_000.0)
        await account.apply([Append("INBOX", (new,))])
        home.clock.advance(50)
        (result,) = await account.apply([Copy("INBOX", UIDSet.parse("1:5"), "Archive")])
        archive = await account.open("Archive")
        assert result == Copied(archive.info.uidValidity, (1,), (1,), (await archive.status()).highestModSeq)
        columns = (Column.FLAGS, Column.INTERNAL_DATE, Column.EMAIL_ID, Column.THREAD_ID, Column.SIZE)
        assert await read(archive, *columns) == await read(inbox, *columns)
        assert (await read(archive, Column.SAVE_DATE)) > (await read(inbox, Column.SAVE_DATE))
        assert await contents(archive) == await contents(inbox) == {1: message(1)}
        assert (await archive.snapshot()).keywords == ("$Work",)

    @promise
    async def testCopiesLiveOnWhenTheirOriginalIsGone(self, home: Home) -> None:
        account, _ = await home.inbox()
        await append(account, message(1), b"Subject: large\r\n\r\n" + b"x" * 300_000)
        await account.apply([Copy("INBOX", UIDSet.parse("1:2"), "Archive"), Expunge("INBOX", onlyDeleted=False)])
        home.clock.advance(10_000)
        archive = await account.open("Archive")
        assert [content[:16] for content in (await contents(archive)).values()] == [message(1)[:16], b"Subject: large\r\n"]

    @promise
    async def testAMovedMessageIsInOnePlace(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2), message(3), flags=SEEN)
        before = (await inbox.status()).highestModSeq
        (result,) = await account.apply([Move("INBOX", UIDSet.of(1, 3), "Archive")])
        assert isinstance(result, Copied)
        assert (result.sources, result.copies) == ((1, 3), (1, 2))
        archive = await account.open("Archive")
        assert await contents(inbox) == {2: message(2)}
        assert await contents(archive) == {1: message(1), 2: message(3)}
        assert await flagsOf(archive) == {1: SEEN, 2: SEEN}
        assert list((await inbox.changesSince(before)).vanished) == [1, 3]
        await assertCountersAreTrue(account)
        assert await describe(await home.crash()) == await describe(account)

    @promise
    async def testCopyAndMoveIntoTheSameMailboxGiveNewUIDs(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        await account.apply([Copy("INBOX", UIDSet.of(1), "INBOX"), Move("INBOX", UIDSet.of(2), "INBOX")])
        assert await contents(inbox) == {1: message(1), 3: message(1), 4: message(2)}
        await assertCountersAreTrue(account)

    @promise
    async def testNothingIsCopiedToWhereNothingIs(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))
        for operation in (Copy("INBOX", UIDSet.of(1), "No"), Move("INBOX", UIDSet.of(1), "No")):
            with pytest.raises(NoSuchMailbox):
                await account.apply([operation])
        assert await uidsOf(inbox) == [1]

    @promise
    async def testOtherPeoplesAccountsCannotBeCopiedTo(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await home.account(OTHER)
        await append(account, message(1))
        with pytest.raises(Refusal):
            await account.apply([Move("INBOX", UIDSet.of(1), "INBOX", account=OTHER)])
        assert await uidsOf(inbox) == [1]
        assert await uidsOf(await (await home.account(OTHER)).open("INBOX")) == []

    # --- Expunge

    @promise
    async def testExpungeRemovesWhatIsMarkedDeleted(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2), message(3), message(4))
        await account.apply([SetFlags("INBOX", UIDSet.of(1, 2, 4), FlagChange.ADD, DELETED)])
        (result,) = await account.apply([Expunge("INBOX", UIDSet.parse("2:9"))])
        assert isinstance(result, Expunged)
        assert list(result.uids) == [2, 4] and result.modSeq == (await inbox.status()).highestModSeq
        assert await uidsOf(inbox) == [1, 3]
        (result,) = await account.apply([Expunge("INBOX", UIDSet.of(3), onlyDeleted=False)])
        assert await contents(inbox) == {1: message(1)}
        await assertCountersAreTrue(account)
        assert await describe(await home.crash()) == await describe(account)

    @promise
    async def testAnExpungedMessageCanBeReadForTenMinutes(self, home: Home) -> None:
        if not self.hasGrace:
            pytest.skip("the files of a simple store are gone at once")
        account, inbox = await home.inbox()
        large = b"Subject: large\r\n\r\n" + b"x" * 300_000
        await append(account, message(1), large)
        await account.apply([Expunge("INBOX", onlyDeleted=False)])
        home.clock.advance(500)
        assert await inbox.read(1) == message(1)
        assert await inbox.read(2, 0, 14) == b"Subject: large"
        assert await read(inbox, Column.UID) == []

    @promise
    async def testWhatWasNeverThereOrIsLongGoneHasVanished(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))
        with pytest.raises(Vanished):
            await inbox.read(7)
        await account.apply([Expunge("INBOX", onlyDeleted=False)])
        if home.isInline or not self.hasGrace:
            for _ in range(4):
                home.clock.advance(400)
            with pytest.raises(Vanished):
                await inbox.read(1)

    # --- Whose UIDs

    @promise
    async def testUIDsOnlyGrow(self, home: Home) -> None:
        account, inbox = await home.inbox()
        highest = 0
        for number in range(3):
            result = await append(account, message(number))
            assert result.uids[0] > highest
            highest = result.uids[0]
            await account.apply([Expunge("INBOX", onlyDeleted=False)])
            assert (await inbox.status()).uidNext > highest
        account = await home.reopen()
        assert (await append(account, message(9))).uids[0] > highest

    @promise
    async def testOperationsOnAMailboxThatWasReplacedAreRefused(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Work")])
        work = await account.open("Work")
        uidValidity = work.info.uidValidity
        one, add = UIDSet.of(1), FlagChange.ADD
        for operation in (
            SetFlags("Work", one, add, SEEN, uidValidity=uidValidity + 1),
            Copy("Work", one, "INBOX", uidValidity=uidValidity + 1),
            Move("Work", one, "INBOX", uidValidity=uidValidity + 1),
            Expunge("Work", uidValidity=uidValidity + 1),
            Expunge("Gone", uidValidity=uidValidity),
        ):
            with pytest.raises(UIDValidityChanged):
                await account.apply([operation])

    @promise
    async def testAppendedIsWhatWasPromised(self, home: Home) -> None:
        account, inbox = await home.inbox()
        results = await account.apply([Append("inbox", (NewMessage(MessageSource(message(1))),))])
        status = await inbox.status()
        assert results == [Appended(status.uidValidity, (1,), status.highestModSeq)]
