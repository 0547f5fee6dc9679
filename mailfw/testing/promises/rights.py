"""Shared mailboxes: what a list allows happens, what it does not does not, and nobody learns what they may not look up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mailfw.errors import InvalidName, NoPermission, NoSuchMailbox, NotSupported, OverQuota, Refusal, UIDValidityChanged
from mailfw.interfaces import IAccount
from mailfw.testing.promises.home import ME, OTHER, OWNER, Home, Promises, append, contents, flagsOf, message, promise, uidsOf
from mailfw.values import (
    ALL_UIDS,
    RIGHTS,
    Append,
    Copied,
    Copy,
    Create,
    Delete,
    Expunge,
    FlagChange,
    FlagsSet,
    Identity,
    MessageSource,
    Move,
    NewMessage,
    Operation,
    Quota,
    Rename,
    SetFlags,
    SetMetadata,
    SetQuota,
    SetRights,
    SpecialUse,
    Subscribe,
    UIDSet,
)

GUEST = Identity(OTHER)
ADMIN = Identity("admin@localhost", isAdmin=True)
DELETED = frozenset({"\\Deleted"})
SEEN = frozenset({"\\Seen"})
WORD = frozenset({"$Word"})
ONE = UIDSet.of(1)


async def allow(account: IAccount, rights: str, mailbox: str = "INBOX", who: str = OTHER) -> None:
    """Replace somebody's rights."""
    assert await account.apply([SetRights(mailbox, who, FlagChange.REPLACE, rights)]) == [None]


def new(number: int, flags: frozenset[str] = frozenset()) -> NewMessage:
    """A message to append."""
    return NewMessage(MessageSource(message(number)), flags)


class RightsPromises(Promises):
    """`SetRights`, `IAccount.rights`, `myRights`, `IMailStore.sharedWith`, and every operation in another's account."""

    async def shared(self, home: Home, rights: str, mailbox: str = "INBOX") -> tuple[IAccount, IAccount]:
        """The owner's account with three messages in INBOX, and as a guest with these rights opens it."""
        account = await home.account()
        await append(account, message(1), message(2), message(3))
        await allow(account, rights, mailbox)
        return account, await home.store.openAccount(GUEST, OWNER)

    # --- Lists

    @promise
    async def testAListIsKept(self, home: Home) -> None:
        account = await home.account()
        assert await account.rights("INBOX") == {}
        await allow(account, "rli")
        await allow(account, "w", who="Anyone")
        await allow(account, "w", who=f"-{OTHER.partition('@')[0].upper()}")
        assert await account.rights("INBOX") == {OTHER: "lri", "anyone": "w", f"-{OTHER}": "w"}
        await account.apply([SetRights("INBOX", OTHER, FlagChange.ADD, "ts"), SetRights("INBOX", OTHER, FlagChange.REMOVE, "i")])
        await allow(account, "", who="anyone")
        assert await account.rights("INBOX") == {OTHER: "lrst", f"-{OTHER}": "w"}
        assert await account.myRights("INBOX") == RIGHTS
        assert await account.rights("Archive") == {}

    @promise
    async def testAListOutlivesAReopening(self, home: Home) -> None:
        await allow(await home.account(), "lr")
        account = await home.reopen()
        assert await account.rights("INBOX") == {OTHER: "lr"}
        assert await home.store.sharedWith(GUEST) == [OWNER]

    @promise
    async def testWhatMakesNoSenseIsRefused(self, home: Home) -> None:
        account = await home.account()
        for who, rights in (OWNER, "l"), (f"-{OWNER}", "l"), ("", "l"), ("a b", "l"), ("$team", "l"), ("-", "l"), (OTHER, "lq"):
            with pytest.raises(InvalidName):
                await allow(account, rights, who=who)
        with pytest.raises(NoSuchMailbox):
            await allow(account, "l", "Nowhere")
        assert await account.rights("INBOX") == {}

    @promise
    async def testRightsAddUpAndAreTakenAway(self, home: Home) -> None:
        account, guest = await self.shared(home, "lri")
        await allow(account, "lrw", who="anyone")
        assert await guest.myRights("INBOX") == "lrwi"
        await allow(account, "w", who=f"-{OTHER}")
        await allow(account, "i", who="-anyone")
        assert await guest.myRights("INBOX") == "lr"

    @promise
    async def testAMailboxHasTheListOfTheOneAboveAndKeepsIt(self, home: Home) -> None:
        account = await home.account()
        if not await self._makes(account, "Work"):
            return
        await allow(account, "lrk", "Work")
        await account.apply([Create("Work/2026")])
        assert await account.rights("Work/2026") == {OTHER: "lrk"}
        await account.apply([Rename("Work", "Play")])
        assert await account.rights("Play") == await account.rights("Play/2026") == {OTHER: "lrk"}
        await account.apply([Delete("Play/2026")])
        await allow(account, "l", "Play")
        await account.apply([Create("Play/2026")])
        assert await account.rights("Play/2026") == {OTHER: "l"}
        await account.apply([Delete("Play/2026"), Delete("Play")])
        await account.apply([Create("Play")])
        assert await account.rights("Play") == {}

    async def _makes(self, account: IAccount, name: str) -> bool:
        try:
            await account.apply([Create(name)])
        except NotSupported:
            return False
        return True

    # --- Who sees what

    @promise
    async def testAnAccountOfWhichNothingIsSharedIsNotThere(self, home: Home) -> None:
        account = await home.account()
        for owner in OWNER, "nobody@localhost":
            with pytest.raises(NoPermission):
                await home.store.openAccount(GUEST, owner)
        assert await home.store.sharedWith(GUEST) == []
        await allow(account, "l")
        assert await home.store.sharedWith(GUEST) == [OWNER]
        assert await home.store.sharedWith(ME) == []
        await allow(account, "l", who="anyone")
        assert await home.store.sharedWith(Identity("third@localhost")) == [OWNER]
        await home.store.openAccount(Identity("third@localhost"), OWNER)

    @promise
    async def testOnlyWhatMayBeLookedUpIsListed(self, home: Home) -> None:
        account, guest = await self.shared(home, "lr", "Archive")
        infos = await guest.mailboxes()
        assert [(info.name, info.rights, info.isSubscribed) for info in infos] == [("Archive", "lr", False)]
        assert (await guest.open("Archive")).info == infos[0]
        assert infos[0].mailboxId == (await account.open("Archive")).info.mailboxId

    @promise
    @pytest.mark.parametrize("rights", ["", "rswipkxtea"])
    async def testWhatMayNotBeLookedUpAnswersAsWhatIsNotThere(self, home: Home, rights: str) -> None:
        """Whatever is asked, with no right at all, or with every other one and a wrong one needed."""
        account, guest = await self.shared(home, "lr", "Archive")
        if rights:
            return await self._sameAnswers(guest, "Nowhere", "Nowhere too")
        await self._sameAnswers(guest, "INBOX", "Nowhere")
        assert await contents(await account.open("INBOX")) == {1: message(1), 2: message(2), 3: message(3)}
        return None

    async def _sameAnswers(self, guest: IAccount, hidden: str, missing: str) -> None:
        for operations in zip(self._asked(hidden), self._asked(missing), strict=True):
            kinds = []
            for operation in operations:
                with pytest.raises(Refusal) as caught:
                    await guest.apply([operation])
                kinds.append((type(caught.value), str(caught.value)))
            assert kinds[0] == kinds[1], operations
        for ask in guest.open, guest.rights, guest.myRights, lambda name: guest.metadata(name, ["/private/comment"]):
            for name in hidden, missing:
                with pytest.raises(NoSuchMailbox):
                    await ask(name)

    def _asked(self, name: str) -> Sequence[Operation]:
        return (
            Append(name, (new(4),)),
            SetFlags(name, ALL_UIDS, FlagChange.ADD, SEEN),
            Copy(name, ALL_UIDS, "Archive"),
            Move(name, ALL_UIDS, "Archive"),
            Copy("Archive", ALL_UIDS, name),
            Expunge(name),
            Create(f"{name}/below"),
            Rename(name, "Archive/new"),
            Delete(name),
            Subscribe(name),
            SetRights(name, OTHER, FlagChange.ADD, "l"),
            SetMetadata(name, (("/private/comment", b"x"),)),
        )

    # --- What each right is for

    @promise
    async def testReadingNeedsR(self, home: Home) -> None:
        account, guest = await self.shared(home, "l")
        with pytest.raises(NoPermission):
            await guest.open("INBOX")
        await allow(account, "lr")
        inbox = await guest.open("INBOX")
        assert await uidsOf(inbox) == [1, 2, 3]
        assert await inbox.read(1, 0, 4) == message(1)[:4]

    @promise
    async def testAddingNeedsIAndFlagsTheirOwn(self, home: Home) -> None:
        account, guest = await self.shared(home, "l")
        with pytest.raises(NoPermission):
            await append(guest, message(4))
        await allow(account, "i")  # a letter box: what is in it nobody sees
        await guest.apply([Append("INBOX", (new(4, SEEN | DELETED | WORD), new(5)))])
        for rights in "s", "t", "w":
            await allow(account, "i" + rights)
            await guest.apply([Append("INBOX", (new(6, SEEN | DELETED | WORD),))])
        assert list((await flagsOf(await account.open("INBOX"))).values())[3:] == [frozenset(), frozenset(), SEEN, DELETED, WORD]

    @promise
    async def testFlagsNeedTheirRights(self, home: Home) -> None:
        account, guest = await self.shared(home, "lr")
        inbox = await account.open("INBOX")
        with pytest.raises(NoPermission):
            await guest.apply([SetFlags("INBOX", ONE, FlagChange.ADD, SEEN)])
        await allow(account, "lrs")
        for change in FlagChange.ADD, FlagChange.REPLACE:
            await account.apply([SetFlags("INBOX", ONE, FlagChange.REPLACE, DELETED | WORD)])
            (done,) = await guest.apply([SetFlags("INBOX", ONE, change, SEEN | frozenset({"$Other"}))])
            assert isinstance(done, FlagsSet)
            assert (await flagsOf(inbox))[1] == SEEN | DELETED | WORD
        await guest.apply([SetFlags("INBOX", ONE, FlagChange.REMOVE, SEEN | DELETED | WORD)])
        assert (await flagsOf(inbox))[1] == DELETED | WORD
        with pytest.raises(NoPermission):
            await guest.apply([SetFlags("INBOX", ONE, FlagChange.REMOVE, DELETED)])
        await allow(account, "lrwt")
        await guest.apply([SetFlags("INBOX", ONE, FlagChange.REPLACE, SEEN)])
        assert (await flagsOf(inbox))[1] == frozenset()

    @promise
    async def testExpungingNeedsE(self, home: Home) -> None:
        account, guest = await self.shared(home, "lrt")
        await guest.apply([SetFlags("INBOX", UIDSet.of(1, 2), FlagChange.ADD, DELETED)])
        with pytest.raises(NoPermission):
            await guest.apply([Expunge("INBOX")])
        await allow(account, "lre")
        with pytest.raises(NoPermission):
            await guest.apply([Expunge("INBOX", onlyDeleted=False)])
        await guest.apply([Expunge("INBOX")])
        assert await uidsOf(await account.open("INBOX")) == [3]

    @promise
    async def testCopiesNeedRightsAtBothEnds(self, home: Home) -> None:
        account, guest = await self.shared(home, "lr")
        await account.apply([SetFlags("INBOX", ONE, FlagChange.ADD, SEEN | WORD)])
        await allow(account, "l", "Archive")
        with pytest.raises(NoPermission):
            await guest.apply([Copy("INBOX", ONE, "Archive")])
        await allow(account, "lis", "Archive")
        await guest.apply([Copy("INBOX", ONE, "Archive")])
        archive = await account.open("Archive")
        assert await flagsOf(archive) == {1: SEEN}
        with pytest.raises(NoPermission):
            await guest.apply([Move("INBOX", ONE, "Archive")])
        await allow(account, "lrte")
        await guest.apply([Move("INBOX", ONE, "Archive")])
        assert await uidsOf(await account.open("INBOX")) == [2, 3]
        status = await archive.status()
        assert (status.messages, status.unseen) == (2, 0)

    @promise
    async def testMessagesGoFromOneAccountToAnother(self, home: Home) -> None:
        account, guest = await self.shared(home, "lr")
        own = await home.account(OTHER)
        (done,) = await guest.apply([Copy("INBOX", UIDSet.of(1, 3), "Archive", OTHER)])
        assert isinstance(done, Copied)
        assert (done.sources, done.copies) == ((1, 3), (1, 2))
        with pytest.raises(NoPermission):
            await guest.apply([Move("INBOX", ONE, "Archive", OTHER)])
        with pytest.raises(NoPermission):
            await own.apply([Copy("Archive", ALL_UIDS, "INBOX", OWNER)])
        assert await contents(await own.open("Archive")) == {1: message(1), 2: message(3)}
        await allow(account, "lrite")
        await own.apply([Copy("Archive", ONE, "INBOX", OWNER)])
        await guest.apply([Move("INBOX", ONE, "Archive", OTHER)])
        assert await contents(await account.open("INBOX")) == {2: message(2), 3: message(3), 4: message(1)}

    @promise
    async def testTheTreeNeedsKAndX(self, home: Home) -> None:
        account = await home.account()
        if not (await self._makes(account, "Work") and await self._makes(account, "Play")):
            return
        await allow(account, "lr", "Work")
        guest = await home.store.openAccount(GUEST, OWNER)
        for refused in (
            Create("Work/a"),
            Create("a"),
            Delete("Work"),
            Rename("Work", "Play/Work"),
            Create("Work/b", frozenset({SpecialUse.JUNK})),
        ):
            with pytest.raises(NoPermission):
                await guest.apply([refused])
        await allow(account, "lrkx", "Work")
        await guest.apply([Create("Work/a")])
        assert [info.name for info in await guest.mailboxes()] == ["Work", "Work/a"]
        await guest.apply([Rename("Work/a", "Work/b")])
        for refused in Rename("Work/b", "Play/b"), Rename("Work/b", "b"), Create("Work/c", frozenset({SpecialUse.JUNK})):
            with pytest.raises(NoPermission):
                await guest.apply([refused])
        await guest.apply([Delete("Work/b")])
        await account.apply([Create("Work/hers")])
        await allow(account, "", "Work/hers")
        await allow(account, "lk", "Play")
        with pytest.raises(NoPermission):
            await guest.apply([Rename("Work", "Play/Work")])
        await guest.apply([Delete("Work")])

    @promise
    async def testAdministeringNeedsA(self, home: Home) -> None:
        account, guest = await self.shared(home, "lr")
        with pytest.raises(NoPermission):
            await allow(guest, RIGHTS)
        with pytest.raises(NoPermission):
            await guest.rights("INBOX")
        await allow(account, "la")
        await allow(guest, "lra")
        assert await guest.rights("INBOX") == {OTHER: "lra"}

    @promise
    async def testNotesNeedTheirRights(self, home: Home) -> None:
        account, guest = await self.shared(home, "l")
        private, shared = (SetMetadata("INBOX", ((f"/{scope}/comment", b"guest's"),)) for scope in ("private", "shared"))
        for ask in guest.apply([private]), guest.metadata("INBOX", ["/shared/comment"]):
            with pytest.raises(NoPermission):
                await ask
        await allow(account, "lr")
        await guest.apply([private])
        await account.apply([SetMetadata("INBOX", (("/private/comment", b"owner's"), ("/shared/comment", b"for both")))])
        names = ["/private/comment", "/shared/comment"]
        assert list((await guest.metadata("INBOX", names)).values()) == [b"guest's", b"for both"]
        assert list((await account.metadata("INBOX", names)).values()) == [b"owner's", b"for both"]
        with pytest.raises(NoPermission):
            await guest.apply([shared])
        await allow(account, "lrw")
        await guest.apply([shared])
        for refused in SetMetadata("", (("/private/comment", b"x"),)), SetMetadata("INBOX", (("/private/specialuse", None),)):
            with pytest.raises(NoPermission):
                await guest.apply([refused])
        assert await guest.metadata("", ["/private/comment"]) == {}
        await allow(account, "lr", "Drafts")
        assert await guest.metadata("Drafts", ["/private"], None) == {}

    @promise
    async def testWhatIsTheOwnersAloneStaysSo(self, home: Home) -> None:
        _, guest = await self.shared(home, RIGHTS)
        for refused in Subscribe("INBOX"), Rename("INBOX", "Archive/x"), SetQuota(Quota()), Create("Top"):
            with pytest.raises(NoPermission):
                await guest.apply([refused])
        with pytest.raises(NoPermission):
            await guest.usage()

    # --- While it changes

    @promise
    async def testWhoLosesARightLosesItAtOnce(self, home: Home) -> None:
        account, guest = await self.shared(home, "lrs")
        inbox = await guest.open("INBOX")
        await allow(account, "")
        for ask in inbox.status(), inbox.snapshot(), inbox.changesSince(0), inbox.read(1), uidsOf(inbox), flagsOf(inbox):
            with pytest.raises(UIDValidityChanged):
                await ask
        with pytest.raises(NoSuchMailbox):
            await guest.apply([SetFlags("INBOX", ONE, FlagChange.ADD, SEEN)])
        assert await guest.mailboxes() == []

    @promise
    async def testChangesInASharedMailboxAreHeardOf(self, home: Home) -> None:
        account, guest = await self.shared(home, "lrs")
        inbox = await guest.open("INBOX")
        before, _ = await guest.changedSince(0)
        seen = await inbox.status()
        rung: list[str] = []
        end = guest.watch(rung.append)
        await append(account, message(4))
        await append(account, message(5), mailbox="Archive")
        await home.turn()
        end()
        assert inbox.info.mailboxId in rung
        assert (await guest.changedSince(before))[1] == ["INBOX"]
        assert [one.uid for one in (await inbox.changesSince(seen.highestModSeq)).changed] == [4]
        await guest.apply([SetFlags("INBOX", ONE, FlagChange.ADD, SEEN)])
        assert (await (await account.open("INBOX")).status()).unseen == 3

    @promise
    async def testSharingIsInTheLog(self, home: Home) -> None:
        account = await home.account()
        before, _ = await account.changedSince(0)
        rung: list[str] = []
        end = account.watch(rung.append)
        await allow(account, "lr", "Archive")
        await home.turn()
        end()
        assert await account.changedSince(before) == (before + 1, ["Archive"])
        assert rung == [(await account.open("Archive")).info.mailboxId]

    @promise
    async def testWhatGuestsPutThereCountsForTheOwner(self, home: Home) -> None:
        home.quotas[OWNER] = Quota(messages=3)
        _, guest = await self.shared(home, "lri")
        with pytest.raises(OverQuota):
            await append(guest, message(4))

    @promise
    async def testAnAdministratorCanChangeAnyList(self, home: Home) -> None:
        account, guest = await self.shared(home, "lr")
        asAdmin = await home.store.openAccount(ADMIN, OWNER)
        assert await asAdmin.myRights("INBOX") == "la"
        with pytest.raises(NoPermission):
            await asAdmin.open("INBOX")
        await allow(asAdmin, "")
        assert await account.rights("INBOX") == {}
        assert await guest.mailboxes() == []
        assert await home.store.sharedWith(ADMIN) == []

    # --- Removing an account

    @promise
    async def testWhatIsLeftOfARemovedAccountIsNothing(self, home: Home) -> None:
        account = await home.account()
        own = await home.account(OTHER)
        await append(own, message(1), message(2))
        await own.apply([SetMetadata("INBOX", (("/private/comment", b"x"),)), Subscribe("Elsewhere")])
        await allow(account, "lr")
        await (await home.store.openAccount(GUEST, OWNER)).apply([SetMetadata("INBOX", (("/private/comment", b"guest's"),))])
        await allow(own, "lr", who=OWNER)
        inbox = await own.open("INBOX")
        assert await home.store.removeAccount(OTHER) == len(await account.mailboxes())
        with pytest.raises(UIDValidityChanged):
            await inbox.status()
        assert await account.rights("INBOX") == {}
        assert await home.store.sharedWith(ME) == []
        with pytest.raises(NoPermission):
            await home.store.openAccount(ADMIN, OTHER)
        own = await home.account(OTHER)
        again = await own.open("INBOX")
        assert again.info.uidValidity > inbox.info.uidValidity
        assert await uidsOf(again) == []
        assert [info.name for info in await own.mailboxes()] == [info.name for info in await account.mailboxes()]
        assert await own.metadata("INBOX", ["/private/comment"]) == {}
        assert (await own.usage()).messages == 0
        await allow(account, "lr")
        assert await (await home.store.openAccount(GUEST, OWNER)).metadata("INBOX", ["/private/comment"]) == {}
        await append(own, message(1))

    @promise
    async def testNobodyIsRemovedTwice(self, home: Home) -> None:
        await home.account(OTHER)
        await home.store.removeAccount(OTHER)
        await append(await home.account(), message(1))
        assert await uidsOf(await (await home.account()).open("INBOX")) == [1]
