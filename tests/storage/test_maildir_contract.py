"""The maildir store keeps the promises of a simple store."""

from __future__ import annotations

import mailbox
import os

from mailfw.interfaces import ISimpleStore
from mailfw.storage import paths
from mailfw.storage.maildir import maildir
from mailfw.testing.simplestore import SimpleStoreContract
from mailfw.values import Entry


class TestMaildirStore(SimpleStoreContract):
    def openStore(self) -> ISimpleStore:
        return maildir.openSimpleStore("mail", self.context)

    def _directory(self, account: str, folder: str) -> str:
        parts = [self.context.data, "mail", paths.maildirAccount(account, "example.org"), paths.maildirFolder(folder)]
        return os.path.join(*filter(None, parts))

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        mailbox.Maildir(self._directory(account, folder)).add(content.replace(b"\r\n", b"\n"))

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        os.unlink(os.path.join(self._directory(account, folder), entry.locator))
