"""Simple stores whose files other programs change too."""

from __future__ import annotations

import pytest

from mailfw.errors import OverQuota, Vanished
from mailfw.testing.promises.home import OWNER, Foreign, Home, Promises, append, contents, flagsOf, message, promise, read, uidsOf
from mailfw.values import Column, Expunge, FlagChange, Quota, SetFlags, UIDSet

SEEN = frozenset({"\\Seen"})


class ForeignPromises(Promises):
    """What the engine makes of changes that it did not make. Skipped where nobody else can change a store."""

    formatHasFlags = False

    def foreign(self, directory: str, account: str) -> Foreign | None:
        """Another program, working on that account's INBOX; None: no other program can."""
        return None

    def program(self, home: Home) -> Foreign:
        """The other program, or a skip."""
        found = self.foreign(home.directory, OWNER)
        if found is None:
            pytest.skip("no other program changes this store")
        return found

    @promise
    async def testMessagesThatWereThereBeforeAreFound(self, home: Home) -> None:
        program = self.program(home)
        program.add(message(1))
        program.add(message(2))
        _, inbox = await home.inbox()
        assert await uidsOf(inbox) == [1, 2]
        assert sorted((await contents(inbox)).values()) == [message(1), message(2)]

    @promise
    async def testMessagesThatOthersAddGetUIDs(self, home: Home) -> None:
        program = self.program(home)
        account, inbox = await home.inbox()
        await append(account, message(1))
        modSeq = (await inbox.status()).highestModSeq
        program.add(message(2))
        self.look(home)
        changes = await inbox.changesSince(modSeq)
        assert [one.uid for one in changes.changed] == [2]
        assert await contents(inbox) == {1: message(1), 2: message(2)}
        assert (await inbox.status()).messages == 2

    @promise
    async def testMessagesThatOthersRemoveVanish(self, home: Home) -> None:
        program = self.program(home)
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        modSeq = (await inbox.status()).highestModSeq
        program.remove(message(1))
        self.look(home)
        assert list((await inbox.changesSince(modSeq)).vanished) == [1]
        assert await contents(inbox) == {2: message(2)}
        with pytest.raises(Vanished):
            await inbox.read(1)

    @promise
    async def testFlagsThatOthersSetAreSeen(self, home: Home) -> None:
        program = self.program(home)
        if not self.formatHasFlags:
            pytest.skip("the format has no flags")
        program.add(message(1), SEEN)
        _, inbox = await home.inbox()
        assert await flagsOf(inbox) == {1: SEEN}

    @promise
    async def testOurFlagsAndUIDsStayWhenOthersWork(self, home: Home) -> None:
        program = self.program(home)
        account, inbox = await home.inbox()
        await append(account, message(1), message(2), message(3))
        flags = frozenset({"\\Answered", "$Work"})
        await account.apply([SetFlags("INBOX", UIDSet.of(2), FlagChange.ADD, flags)])
        program.add(message(4))
        program.remove(message(1))
        self.look(home)
        assert await uidsOf(inbox) == [2, 3, 4]
        assert await contents(inbox) == {2: message(2), 3: message(3), 4: message(4)}
        assert (await flagsOf(inbox))[2] == flags
        await account.apply([Expunge("INBOX", UIDSet.of(3), onlyDeleted=False)])
        assert await contents(inbox) == {2: message(2), 4: message(4)}

    @promise
    async def testWhatOthersAddCountsAndIsNeverRefused(self, home: Home) -> None:
        program = self.program(home)
        home.quotas[OWNER] = Quota(messages=1)
        account, inbox = await home.inbox()
        program.add(message(1))
        program.add(message(2))
        self.look(home)
        usage = await account.usage()
        assert (usage.messages, usage.octets) == (2, len(message(1)) + len(message(2)))
        assert await uidsOf(inbox) == [1, 2]
        with pytest.raises(OverQuota):
            await append(account, message(3))
        program.remove(message(1))
        self.look(home)
        assert (await account.usage()).messages == 1

    @promise
    async def testWatchersHearOfOthersWork(self, home: Home) -> None:
        program = self.program(home)
        if not home.isInline:
            pytest.skip("the look at the files is taken by the clock: told inline")
        account, inbox = await home.inbox()
        rung: list[str] = []
        end = account.watch(rung.append)
        program.add(message(1))
        self.look(home)
        end()
        assert set(rung) == {inbox.info.mailboxId}
        self.look(home)

    @promise
    async def testALostStateCostsNeitherUIDLNorEmailId(self, home: Home) -> None:
        self.program(home)
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        columns = (Column.UIDL, Column.EMAIL_ID)
        before = sorted(await read(inbox, *columns))
        uidValidity = inbox.info.uidValidity
        await home.store.close()
        self.loseState(home.directory)
        home.clock.advance(10)
        inbox = await (await home.reopen()).open("INBOX")
        assert sorted(await read(inbox, *columns)) == before
        assert inbox.info.uidValidity > uidValidity

    def loseState(self, directory: str) -> None:
        """Remove what the engine keeps beside the files."""
        pytest.skip("say where the state is")

    def look(self, home: Home) -> None:
        """Let the time pass after which the engine looks at the files again, whatever it believes."""
        for _ in range(8):
            home.clock.advance(5)
