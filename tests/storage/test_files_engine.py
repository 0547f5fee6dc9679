"""The whole contract on every simple store of ours: the engine beside Maildirs and text files."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailfw.errors import Vanished
from mailfw.interfaces import IMailStore, IRepairedStore, IStoreAccounts, IStoreContext
from mailfw.storage.maildir import maildir
from mailfw.storage.opening import openStore
from mailfw.storage.textfile import textfile
from mailfw.testing.promises.home import OWNER, Foreign, HomeContext, append, contents, message, promise
from mailfw.testing.store import MailStoreContract
from mailfw.values import Identity


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
