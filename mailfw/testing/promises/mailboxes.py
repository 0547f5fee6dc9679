"""The tree of names, and who may see it."""

from __future__ import annotations

import pytest

from mailfw.errors import (
    HasChildren,
    InvalidName,
    MailboxExists,
    NoPermission,
    NoSuchMailbox,
    NotSupported,
    Refusal,
    UIDValidityChanged,
)
from mailfw.interfaces import IAccount, IMailbox
from mailfw.testing.promises.home import (
    ME,
    OTHER,
    OWNER,
    Home,
    Promises,
    append,
    contents,
    describe,
    message,
    promise,
    read,
    uidsOf,
)
from mailfw.values import Column, Create, Delete, MailboxInfo, Rename, SpecialUse, Subscribe

BAD_NAMES = [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "a\0b",
    "a\r\nb",
    "a\x7f",
    "a\u2028b",
    "a*",
    "50%",
    "\ud800",
    "x" * 2000,
    "a/" * 100 + "a",
]


async def names(account: IAccount) -> list[str]:
    """Every name."""
    return [info.name for info in await account.mailboxes()]


async def infoOf(account: IAccount, name: str) -> MailboxInfo:
    """What the tree says of a name."""
    return next(info for info in await account.mailboxes() if info.name == name)


class MailboxPromises(Promises):
    """Create, rename, delete, subscribe, list."""

    @promise
    async def testANewAccountHasItsFirstMailboxes(self, home: Home) -> None:
        account = await home.account()
        infos = await account.mailboxes()
        assert infos[0].name == "INBOX"
        assert all(info.isSubscribed and info.isSelectable for info in infos)
        uses = {info.name: set(info.specialUse) for info in infos if info.specialUse}
        assert uses == {
            "Drafts": {SpecialUse.DRAFTS},
            "Sent": {SpecialUse.SENT},
            "Junk": {SpecialUse.JUNK},
            "Trash": {SpecialUse.TRASH},
            "Archive": {SpecialUse.ARCHIVE},
        }

    @promise
    async def testNobodyOpensAnothersAccount(self, home: Home) -> None:
        await home.account(OTHER)
        with pytest.raises(NoPermission):
            await home.store.openAccount(ME, OTHER)
        assert (await home.store.openAccount(ME, OWNER)).owner == OWNER

    @promise
    async def testCreateMakesAMailboxAndItsParentsAsNames(self, home: Home) -> None:
        account = await home.account()
        (made,) = await account.apply([Create("Work/2026/Reports")])
        assert isinstance(made, MailboxInfo)
        assert made.name == "Work/2026/Reports" and made.isSelectable and made.mailboxId and made.uidValidity
        assert [name for name in await names(account) if name.startswith("Work")] == ["Work", "Work/2026", "Work/2026/Reports"]
        assert not (await infoOf(account, "Work")).isSelectable
        with pytest.raises(NoSuchMailbox):
            await account.open("Work")
        await account.apply([Create("Work")])
        assert (await infoOf(account, "Work")).isSelectable
        assert await describe(await home.crash()) == await describe(account)

    @promise
    async def testParentsComeBeforeTheirChildren(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create(name) for name in ("b/a", "b!", "b", "a/z/y", "INBOX/x", "b/a/c")])
        found = await names(account)
        for name in found:
            parent = name.rpartition("/")[0]
            assert not parent or found.index(parent) < found.index(name)
        assert found[0] == "INBOX"

    @pytest.mark.parametrize("name", BAD_NAMES)
    @promise
    async def testNamesThatCannotBeAreRefused(self, home: Home, name: str) -> None:
        account = await home.account()
        before = await names(account)
        for operation in (Create(name), Rename("Trash", name), Subscribe(name), Delete(name)):
            with pytest.raises(InvalidName):
                await account.apply([operation])
        with pytest.raises(InvalidName):
            await account.open(name)
        assert await names(account) == before

    @pytest.mark.parametrize(
        "name", ["Grüße", "日本語/メール", "a.b", ".", "..", "~", "a\\b", "&", "Sent Items", " x ", "con", "-"]
    )
    @promise
    async def testUnusualNamesAreNamesLikeAnyOther(self, home: Home, name: str) -> None:
        account = await home.account()
        await account.apply([Create(name)])
        await append(account, message(1), mailbox=name)
        account = await home.crash()
        assert name in await names(account)
        assert await contents(await account.open(name)) == {1: message(1)}
        await account.apply([Delete(name)])
        assert name not in await names(account)

    @promise
    async def testINBOXIsTheSameInAnyCase(self, home: Home) -> None:
        account = await home.account()
        assert (await account.open("inBox")).info.name == "INBOX"
        with pytest.raises(MailboxExists):
            await account.apply([Create("Inbox")])
        with pytest.raises(Refusal):
            await account.apply([Delete("inbox")])

    @promise
    async def testCanonicallyEquivalentNamesAreOne(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Gru\u0308\u00dfe")])
        assert "Gr\u00fc\u00dfe" in await names(account)
        with pytest.raises(MailboxExists):
            await account.apply([Create("Gr\u00fc\u00dfe")])

    @promise
    async def testDeleteLeavesTheChildrenAndThenTheName(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Work"), Create("Work/2026")])
        await append(account, message(1), mailbox="Work")
        await account.apply([Delete("Work")])
        assert not (await infoOf(account, "Work")).isSelectable
        assert (await infoOf(account, "Work/2026")).isSelectable
        with pytest.raises(HasChildren):
            await account.apply([Delete("Work")])
        await account.apply([Delete("Work/2026")])
        assert not [name for name in await names(account) if name.startswith("Work")]
        with pytest.raises(NoSuchMailbox):
            await account.apply([Delete("Work")])
        assert await describe(await home.crash()) == await describe(account)

    @promise
    async def testADeletedMailboxSaysSo(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Work")])
        await append(account, message(1), mailbox="Work")
        mailbox: IMailbox = await account.open("Work")
        await account.apply([Delete("Work"), Create("Work")]) if self.hasGrace else await self._replace(account)
        for attempt in (mailbox.status, mailbox.snapshot, lambda: mailbox.read(1), lambda: mailbox.changesSince(0)):
            with pytest.raises(UIDValidityChanged):
                await attempt()
        with pytest.raises(UIDValidityChanged):
            await read(mailbox, Column.UID)

    async def _replace(self, account: IAccount) -> None:
        with pytest.raises(NotSupported):
            await account.apply([Delete("Work"), Create("Work")])
        await account.apply([Delete("Work")])
        await account.apply([Create("Work")])

    @promise
    async def testUIDValidityOfANameNeverRepeats(self, home: Home) -> None:
        account = await home.account()
        seen = []
        for _ in range(3):
            await account.apply([Create("Work")])
            seen.append((await account.open("Work")).info.uidValidity)
            await account.apply([Delete("Work")])
        account = await home.reopen()
        await account.apply([Create("Work")])
        seen.append((await account.open("Work")).info.uidValidity)
        await account.apply([Rename("Work", "Old")])
        await account.apply([Create("Work")])
        seen.append((await account.open("Work")).info.uidValidity)
        await account.apply([Delete("Work")])
        await account.apply([Rename("Old", "Work")])
        seen.append((await account.open("Work")).info.uidValidity)
        assert sorted(set(seen)) == seen

    @promise
    async def testUIDValiditiesOfAnAccountDiffer(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create(f"Box {number}") for number in range(5)])
        validities = [info.uidValidity for info in await account.mailboxes()]
        assert len(set(validities)) == len(validities)

    @promise
    async def testRenameTakesAllBelowWithIt(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Work/a"), Create("Work/a/b"), Create("Workshop")])
        await append(account, message(1), mailbox="Work/a/b")
        before = await infoOf(account, "Work/a/b")
        await account.apply([Rename("Work", "Old/Work")])
        found = await names(account)
        assert [name for name in found if "Work" in name] == ["Old/Work", "Old/Work/a", "Old/Work/a/b", "Workshop"]
        after = await infoOf(account, "Old/Work/a/b")
        assert (after.mailboxId, after.uidValidity) == (before.mailboxId, before.uidValidity)
        assert await contents(await account.open("Old/Work/a/b")) == {1: message(1)}
        assert await describe(await home.crash()) == await describe(account)

    @promise
    async def testRenameOfINBOXGivesItsMessagesToANewMailbox(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await account.apply([Create("INBOX/child")])
        await append(account, message(1), message(2))
        await account.apply([Rename("INBOX", "Old mail")])
        assert await uidsOf(inbox) == []
        assert await contents(await account.open("Old mail")) == {1: message(1), 2: message(2)}
        assert "INBOX/child" in await names(account)
        assert (await inbox.status()).uidNext == 3

    @promise
    async def testRenamesThatCannotBeChangeNothing(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("a/b"), Create("c/b")])
        before = await describe(account)
        for operation, refusal in (
            (Rename("a", "c"), MailboxExists),
            (Rename("a/b", "Trash"), MailboxExists),
            (Rename("a/b", "INBOX"), MailboxExists),
            (Rename("a", "a/b/c"), InvalidName),
            (Rename("nothing", "something"), NoSuchMailbox),
            (Rename("INBOX", "Trash"), MailboxExists),
        ):
            with pytest.raises(refusal):
                await account.apply([operation])
        assert await describe(account) == before

    @promise
    async def testAnOpenMailboxIsNotDisturbedByItsRenaming(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Work")])
        await append(account, message(1), mailbox="Work")
        mailbox = await account.open("Work")
        await account.apply([Rename("Work", "Old")])
        await append(account, message(2), mailbox="Old")
        assert await contents(mailbox) == {1: message(1), 2: message(2)}

    @promise
    async def testSubscriptionsAreOfNames(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Subscribe("Not there/yet"), Subscribe("Trash", False)])
        assert await infoOf(account, "Not there/yet") == MailboxInfo("Not there/yet", isSelectable=False, isSubscribed=True)
        assert not (await infoOf(account, "Trash")).isSubscribed
        await account.apply([Create("Not there/yet")])
        assert (await infoOf(account, "Not there/yet")).isSubscribed
        await account.apply([Delete("Not there/yet")])
        assert (await infoOf(account, "Not there/yet")).isSubscribed
        account = await home.reopen()
        await account.apply([Subscribe("Not there/yet", False)])
        assert not [name for name in await names(account) if name.startswith("Not")]

    @promise
    async def testSpecialUseIsKept(self, home: Home) -> None:
        account = await home.account()
        await account.apply([Create("Important", frozenset({SpecialUse.IMPORTANT}))])
        account = await home.reopen()
        assert (await infoOf(account, "Important")).specialUse == {SpecialUse.IMPORTANT}
