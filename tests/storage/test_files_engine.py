"""The whole contract on every simple store of ours: the engine beside Maildirs and text files."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path
from typing import Any

import pytest

from mailfw.interfaces import IMailStore, IStoreContext
from mailfw.storage.maildir import maildir
from mailfw.storage.opening import openStore
from mailfw.storage.textfile import textfile
from mailfw.testing.promises.home import Foreign
from mailfw.testing.store import MailStoreContract


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
