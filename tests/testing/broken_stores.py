"""Full stores that break one promise each: what `MailStoreContract` is tried on.

Two ways lead to a broken store. `Passing` stands before a store that is whole and passes everything on but what a class
overrides. `Sabotaged` is `sqlite:` with a trigger in its database, for what a store would do wrong on disk. The first line of a
class says what is wrong with it; `MEANT` names the tests of the contract that fail for it. All others pass.
"""

import os
import sqlite3
import time
from array import array
from contextlib import closing, suppress

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface import implementer

from mailfw.errors import NoPermission, Refusal
from mailfw.interfaces import IAccount, IMailbox, IMailStore
from mailfw.storage.memory import memory
from mailfw.storage.sqlite import sqlite
from mailfw.values import Column, Copy, Expunge, Fate, Identity, Move, Outcome


class _Passing:
    def __init__(self, inner, store=None):
        self.inner = inner
        self.store = store or self

    def __getattr__(self, name):
        return getattr(self.inner, name)


@implementer(IMailbox)
class Mailbox(_Passing):
    """Nothing is wrong with it."""


@implementer(IAccount)
class Account(_Passing):
    async def open(self, name):
        return self.store.mailbox(await self.inner.open(name), self.store)


@implementer(IMailStore)
class Passing(_Passing):
    """Nothing is wrong with it."""

    isPersistent = False
    account = Account
    mailbox = Mailbox

    @classmethod
    def openStore(cls, directory, context):
        store = sqlite.openStore("mail?shards=1", context) if cls.isPersistent else memory.openStore("", context)
        return cls(store)

    async def openAccount(self, identity, owner):
        return self.account(await self.inner.openAccount(identity, owner), self.store)


def databaseOf(data):
    return os.path.join(data, "mail", "mail0.sqlite")


def change(data, statement):
    """Behind the store's back; nothing where there is no store yet."""
    if os.path.exists(databaseOf(data)):
        with closing(sqlite3.connect(databaseOf(data))) as database, database:
            database.execute(statement)


class Sabotaged:
    """Nothing is wrong with it."""

    isPersistent = True
    trigger = "SELECT 1"

    @classmethod
    def openStore(cls, directory, context):
        isNew = not os.path.exists(databaseOf(context.data))
        store = sqlite.openStore("mail?shards=1", context)
        if isNew:
            change(context.data, cls.trigger)
        return store


# --- What happens to messages


class SyncSlip(Passing):
    """Says that a delivered message is behind a reader before the reader can see it."""

    def __init__(self, inner):
        super().__init__(inner)
        self.hidden = {}

    class mailbox(Mailbox):
        async def changesSince(self, modSeq):
            found = await self.inner.changesSince(modSeq)
            last = self.store.hidden.get(self.inner.info.mailboxId)
            return evolve(found, changed=tuple(one for one in found.changed if last is None or one.uid <= last))

    async def deliver(self, message, targets):
        for target in targets:
            with suppress(Refusal):
                account = await self.inner.openAccount(Identity(target.account), target.account)
                inbox = await account.open("INBOX")
                self.hidden.setdefault(inbox.info.mailboxId, (await inbox.status()).uidNext - 1)
        outcomes = await self.inner.deliver(message, targets)
        await deferLater(reactor, 0)  # counters are out, rows are not
        self.hidden.clear()
        return outcomes


class UIDReuse(Sabotaged):
    """Gives the UID of an expunged message to the next one, when it was the highest."""

    trigger = """CREATE TRIGGER broken AFTER DELETE ON message BEGIN
        UPDATE mailbox SET uid_next = coalesce((SELECT max(uid) FROM message WHERE mailbox = OLD.mailbox), 0) + 1
        WHERE id = OLD.mailbox;
        END"""


class LostFlag(Sabotaged):
    """Loses a flag where a message is copied or moved."""

    trigger = """CREATE TRIGGER broken AFTER INSERT ON message WHEN (SELECT copies FROM email WHERE id = NEW.email) > 1 BEGIN
        UPDATE message SET flags = 0, keywords = '' WHERE mailbox = NEW.mailbox AND uid = NEW.uid;
        END"""


class WrongSize(Passing):
    """Counts the line ends that it writes into its files, not those that came."""

    class mailbox(Mailbox):
        def rows(self, uids, columns, render):
            asked = [*columns, Column.CONTENT]

            def rendered(rows):
                return render([tuple(self._size(row, *pair) for pair in zip(columns, row, strict=False)) for row in rows])

            return self.inner.rows(uids, asked, rendered) if Column.SIZE in columns else self.inner.rows(uids, columns, render)

        def _size(self, row, column, value):
            return value + row[-1].read().replace(b"\r\n", b"").count(b"\n") if column is Column.SIZE else value


class CopyNotAtomic(Passing):
    """Copies and moves one message after the other, and leaves half of it done when something fails."""

    class account(Account):
        async def apply(self, operations):
            if any(isinstance(operation, Copy | Move) for operation in operations):
                return [(await self.inner.apply([operation]))[0] for operation in operations]
            return await self.inner.apply(operations)


class Reappears(Passing):
    """Shows the last message again after it was expunged."""

    isExpunged = False

    class account(Account):
        async def apply(self, operations):
            self.store.isExpunged |= any(isinstance(operation, Expunge) for operation in operations)
            return await self.inner.apply(operations)

    class mailbox(Mailbox):
        async def snapshot(self, claimRecent=False):
            found = await self.inner.snapshot(claimRecent)
            last = found.status.uidNext - 1
            isShown = self.store.isExpunged and last and last not in found.uids
            return evolve(found, uids=memoryview(array("I", [*found.uids, last]))) if isShown else found


# --- What outlives an end


class NotDurable(Sabotaged):
    """Says that messages are kept before they are on disk, so that a crash takes them."""

    @classmethod
    def openStore(cls, directory, context):
        if ".crash" in context.data:
            change(context.data, "DELETE FROM message")
        return super().openStore(directory, context)


class ModSeqGoesBack(Sabotaged):
    """Counts MODSEQ in memory, and begins again from what its messages have."""

    @classmethod
    def openStore(cls, directory, context):
        change(context.data, "UPDATE account SET modseq = 1")
        return super().openStore(directory, context)


class UIDValidityRepeats(Sabotaged):
    """Gives a mailbox that is made anew the UIDVALIDITY of the one of that name that was deleted."""

    trigger = """CREATE TRIGGER broken AFTER UPDATE OF name ON mailbox WHEN NEW.name IS NULL BEGIN
        UPDATE account SET uid_validity = OLD.uid_validity - 1 WHERE id = OLD.account;
        UPDATE name SET uid_validity = 0 WHERE account = OLD.account AND name = OLD.name;
        END"""


class LimitsForgotten(Sabotaged):
    """Forgets an administrator's limits when it is closed."""

    @classmethod
    def openStore(cls, directory, context):
        change(context.data, "UPDATE account SET quota_octets = NULL, quota_messages = NULL, quota_mailboxes = NULL")
        return super().openStore(directory, context)


# --- Who may see what, and how much of it


class Leaks(Passing):
    """Opens an account for whoever may not see it, as if they were its owner."""

    async def openAccount(self, identity, owner):
        try:
            return await super().openAccount(identity, owner)
        except NoPermission:
            return await super().openAccount(Identity(owner), owner)


class LiesAboutQuota(Passing):
    """Says that nothing is held."""

    class account(Account):
        async def usage(self):
            return evolve(await self.inner.usage(), octets=0, messages=0)


class HasAlwaysRoom(Passing):
    """Says that there is room where there is none."""

    async def mustHaveRoom(self, account, octets):
        pass


# --- Bad manners


class Raises(Passing):
    """Raises for a target, so that those before it get their mail again."""

    async def deliver(self, message, targets):
        outcomes = await self.inner.deliver(message, targets)
        for outcome in outcomes:
            if isinstance(outcome.refusal, Refusal):
                raise outcome.refusal
        return outcomes


class Nonsense(Passing):
    """Answers a delivery with one outcome, however many targets there are."""

    async def deliver(self, message, targets):
        outcomes = await self.inner.deliver(message, targets)
        return outcomes[:1]


class WrongTypes(Passing):
    """Answers with octets where text is asked for."""

    class mailbox(Mailbox):
        def rows(self, uids, columns, render):
            def rendered(rows):
                return render([tuple(map(self._odd, columns, row)) for row in rows])

            return self.inner.rows(uids, columns, rendered)

        def _odd(self, column, value):
            return value.encode() if column is Column.PREVIEW else value


class Blocks(Passing):
    """Stops the whole server while it looks something up."""

    class account(Account):
        async def metadataSince(self, modSeq):
            time.sleep(0.4)
            return await self.inner.metadataSince(modSeq)


class ReadsAhead(Passing):
    """Reads everything as soon as anything is asked for."""

    class mailbox(Mailbox):
        async def rows(self, uids, columns, render):
            for items in [items async for items in self.inner.rows(uids, columns, render)]:
                yield items


class SaysItIsDone(Passing):
    """Says DELIVERED when it was closed, and nobody has the message."""

    isClosed = False

    async def close(self):
        self.isClosed = True
        await self.inner.close()

    async def deliver(self, message, targets):
        return [Outcome(Fate.DELIVERED)] * len(targets) if self.isClosed else await self.inner.deliver(message, targets)


class Deaf(Passing):
    """Rings for nothing."""

    class account(Account):
        def watch(self, bell):
            return lambda: None


MEANT = {
    SyncSlip: {"testAReaderThatPollsMissesNothing"},
    UIDReuse: {
        "testUIDsOnlyGrow",
        "testCopyAndMoveIntoTheSameMailboxGiveNewUIDs",
        "testRenameOfINBOXGivesItsMessagesToANewMailbox",
        "testAReaderLearnsWhatCameChangedAndWent",
    },
    LostFlag: {
        "testACopyIsTheSameEmailWithItsFlagsAndDates",
        "testAMovedMessageIsInOnePlace",
        "testCopiesNeedRightsAtBothEnds",
        "testOperationsSeeWhatThoseBeforeThemDid",
    },
    WrongSize: {"testOctetsComeBackAsTheyCame"},
    CopyNotAtomic: {"testApplyIsAllOrNothing"},
    Reappears: {"testExpungeRemovesWhatIsMarkedDeleted", "testOperationsSeeWhatThoseBeforeThemDid"},
    NotDurable: {
        "testADeliveredMessageIsThereAfterACrash",
        "testAMovedMessageIsInOnePlace",
        "testAReaderLearnsWhatCameChangedAndWent",
        "testAdoptedMessagesAreThereAfterACrash",
        "testApplyIsAllOrNothing",
        "testEverythingIsAsItWasAfterAnEndAndAfterACrash",
        "testExpungeRemovesWhatIsMarkedDeleted",
        "testFlagsAreReplacedAddedAndRemoved",
        "testOperationsSeeWhatThoseBeforeThemDid",
        "testRenameTakesAllBelowWithIt",
        "testUnusualNamesAreNamesLikeAnyOther",
    },
    ModSeqGoesBack: {"testEveryChangeTakesANewModSeqOfItsAccount"},
    UIDValidityRepeats: {"testUIDValidityOfANameNeverRepeats", "testAnAdoptedUIDValidityIsNotGivenAgain"},
    LimitsForgotten: {"testLimitsOutliveAReopening"},
    Leaks: {
        "testNobodyOpensAnothersAccount",
        "testAnAccountOfWhichNothingIsSharedIsNotThere",
        "testWhatIsLeftOfARemovedAccountIsNothing",
        "testWhoIsAskedForRoomIsNotMadeByThat",
        "testLimitsAreSetByAdministratorsAloneAndSeenByNoStranger",
    },
    LiesAboutQuota: {
        "testWhatIsHeldIsCounted",
        "testWhatDoesNotFitIsRefusedWhole",
        "testAnAccountThatHoldsTooMuchCanStillBeUsed",
        "testAdoptionAsksForNoQuota",
    },
    HasAlwaysRoom: {"testWhoIsAskedForRoomIsNotMadeByThat", "testDeliveryIsRefusedToWhoIsFullAndToNobodyElse"},
    Raises: {
        "testOneTargetsFailureCostsTheOthersNothing",
        "testDeliveryIsRefusedToWhoIsFullAndToNobodyElse",
        "testAClosedStoreIsUnavailable",
    },
    Nonsense: {"testOneTargetsFailureCostsTheOthersNothing", "testDeliveryIsRefusedToWhoIsFullAndToNobodyElse"},
    WrongTypes: {"testEveryColumnHasItsValue"},
    Blocks: {"testTheReactorIsNotKeptWaiting"},
    ReadsAhead: {"testNothingIsReadAhead"},
    SaysItIsDone: {"testAClosedStoreIsUnavailable"},
    Deaf: {
        "testWatchersAreRungForChangesWhoeverMadeThem",
        "testWhatTheBellTellsOfIsThereAlready",
        "testABellThatRaisesCostsOthersNothing",
        "testChangesInASharedMailboxAreHeardOf",
        "testSharingIsInTheLog",
        "testWhatHappenedIsInTheLog",
    },
}
"""The tests of the contract that fail for each, by their names."""
