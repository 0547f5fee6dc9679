"""The whole contract on every simple store of ours: the engine beside Maildirs and text files."""

from __future__ import annotations

import mailbox
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailfw.errors import Vanished
from mailfw.interfaces import IMailStore, IRepairedStore, IStoreAccounts, IStoreContext
from mailfw.storage.maildir import maildir
from mailfw.storage.opening import openStore
from mailfw.storage.restored import UID_STEP, renumber
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import START
from mailfw.testing.promises.home import OWNER, Foreign, HomeContext, append, contents, message, promise, uidsOf
from mailfw.testing.store import MailStoreContract
from mailfw.values import Copy, Expunge, Identity, MessageSource, Move, Target, UIDSet


def opened(directory: Path, plugin: Any) -> Any:
    return openStore(plugin, "mail", HomeContext(str(directory), Clock(), isInline=True))


class SimpleContract(MailStoreContract):
    hasGrace = False
    plugin: Any
    argument = "mail"

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openStore(self.plugin, self.argument, context)

    def loseState(self, directory: str) -> None:
        for path in Path(directory, "state").iterdir():
            path.unlink()


class StandardProgram:
    """Python's own mailbox module, as the other program."""

    def __init__(self, box: Any) -> None:
        self.box = box

    def add(self, content: bytes, flags: frozenset[str] = frozenset()) -> None:
        message = mailbox.MaildirMessage(content)
        if "\\Seen" in flags:
            message.set_subdir("cur")
            message.set_flags("S")
        self.box.add(message)

    def remove(self, content: bytes) -> None:
        for key in list(self.box.iterkeys()):
            if self.box.get_bytes(key).replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n"):
                self.box.remove(key)


class TestMaildir(SimpleContract):
    plugin = maildir
    formatHasFlags = True

    def foreign(self, directory: str, account: str) -> Foreign:
        path = os.path.join(directory, "mail", account.partition("@")[0])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return StandardProgram(mailbox.Maildir(path))


class TestTextfile(SimpleContract):
    plugin = textfile


class TestTextbook(SimpleContract):
    plugin = textfile
    argument = "mail?format=simple"

    @pytest.fixture
    def isInline(self) -> bool:
        return True


@promise
async def testAMessageThatWasChangedInItsPlaceGetsAnotherUID(tmp_path: Path) -> None:
    """Dovecot and others note sizes in names; who edits a file leaves them there."""
    store = opened(tmp_path, maildir)
    inbox = tmp_path / "mail" / "mbrain" / "new"
    account = await store.openAccount(Identity(OWNER), OWNER)
    await append(account, message(1))
    (inbox / "1.host,S=3,W=5").write_bytes(b"Subject: longer\n\n")
    box = await account.open("INBOX")
    with pytest.raises(Vanished):
        await box.read(2)
    await box.refresh()
    changes = await box.changesSince(0)
    assert [one.uid for one in changes.changed] == [1, 3] and list(changes.vanished) == [2]
    assert await contents(box) == {1: message(1), 3: b"Subject: longer\r\n\r\n"}
    assert (await box.status()).messages == 2
    await store.close()


@promise
async def testOnlyWhatCanBeAnAccountIsOne(tmp_path: Path) -> None:
    """What lies in the root beside them must not keep everybody's mail from being copied, mended or backed up."""
    store = opened(tmp_path, maildir)
    for name in ("Backup", "two words", "mbrain", "a%00b"):
        (tmp_path / "mail" / name / "cur").mkdir(parents=True)
    assert await IStoreAccounts(store).accounts() == [OWNER]
    assert await IRepairedStore(store).repair(False) == []
    await store.close()


def fromDovecot(directory: Path, folder: str = "") -> Path:
    """A Maildir as Dovecot has left it, with two messages."""
    path = directory / "mail" / "mbrain" / folder
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    for number in (1, 2):
        (path / "cur" / f"{number}.host:2,S").write_bytes(message(number))
    (path / "dovecot-uidlist").write_text("3 V100 N50 G0\n1 :1.host\n2 :2.host\n")
    return path


async def numbers(account: Any, name: str = "INBOX") -> tuple[int, int, list[int]]:
    box = await account.open(name)
    await box.refresh()
    status = await box.status()
    return status.uidValidity, status.uidNext, await uidsOf(box)


@pytest.mark.parametrize("how", ["delivered", "appended", "copied", "moved"])
@promise
async def testDovecotsNumbersStayThoughMailComesFirst(tmp_path: Path, how: str) -> None:
    """Before anybody has opened the mailbox."""
    store = opened(tmp_path, maildir)
    fromDovecot(tmp_path, "" if how == "delivered" else ".Work")
    name = "INBOX" if how == "delivered" else "Work"
    if how == "delivered":
        await store.deliver(MessageSource(message(9)), [Target(OWNER)])
    account = await store.openAccount(Identity(OWNER), OWNER)
    if how == "appended":
        await append(account, message(9), mailbox="Work")
    elif how != "delivered":
        await append(account, message(9))
        await account.apply([(Copy if how == "copied" else Move)("INBOX", UIDSet.of(1), "Work")])
    assert await numbers(account, name) == (100, 51, [1, 2, 50])
    assert await contents(await account.open(name)) == {1: message(1), 2: message(2), 50: message(9)}
    await store.close()


@pytest.mark.parametrize("how", ["repaired", "restored"])
@pytest.mark.parametrize("isEmpty", [True, False])
@promise
async def testDovecotsNumbersAreTakenOverOnce(tmp_path: Path, how: str, isEmpty: bool) -> None:
    """Its list stays, and grows old: what it says later must not have a number come to mean two things."""
    store = opened(tmp_path, maildir)
    path = fromDovecot(tmp_path)
    account = await store.openAccount(Identity(OWNER), OWNER)
    assert await numbers(account) == (100, 50, [1, 2])
    await append(account, message(3), message(4))
    await account.apply([Expunge("INBOX", UIDSet.of(*((1, 2, 50, 51) if isEmpty else (1, 2, 50))), onlyDeleted=False)])
    if how == "repaired":
        await IRepairedStore(store).repair(False)
    else:
        store._engines[0].database.call(lambda connection: renumber(connection, START, START + 1))
    (path / "new" / "3.host").write_bytes(message(5))
    (path / "dovecot-uidlist").write_text("3 V100 N52 G0\n51 :3.host\n")
    validity, uidNext, uids = await numbers(account)
    least = 52 if how == "repaired" else 52 + UID_STEP
    assert validity == 100 and uidNext > least and uids == ([] if isEmpty else [51]) + [uidNext - 1]
    await store.close()


@promise
async def testNumbersOfDovecotsThatComeLateAreNone(tmp_path: Path) -> None:
    """A state of before, in which mail had been put into a mailbox that nobody had opened."""
    store = opened(tmp_path, maildir)
    account = await store.openAccount(Identity(OWNER), OWNER)
    await append(account, message(9))
    store._engines[0].database.call(lambda connection: connection.execute("UPDATE mailbox SET token = ''").rowcount)
    shutil.copytree(fromDovecot(tmp_path / "old"), tmp_path / "mail" / "mbrain", dirs_exist_ok=True)
    validity, _, uids = await numbers(account)
    assert validity != 100 and uids == [1, 2, 3]
    await store.close()
