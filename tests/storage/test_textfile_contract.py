"""The text file store keeps the promises of a simple store, in both of its formats."""

from __future__ import annotations

import mailbox
import os

from mailfw.interfaces import ISimpleStore
from mailfw.storage.textfile import textfile
from mailfw.testing.simplestore import SimpleStoreContract
from mailfw.values import Entry


class TestMboxrdStore(SimpleStoreContract):
    def openStore(self) -> ISimpleStore:
        return textfile.openSimpleStore("mail", self.context)

    @property
    def inbox(self) -> str:
        return os.path.join(self.context.data, "mail", "MBRAIN.TXT")

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        box = mailbox.mbox(self.inbox)
        box.lock()
        box.add(content.replace(b"\r\n", b"\n"))
        box.close()

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        at = [found.key for found in store.scan(account, folder)].index(entry.key)
        box = mailbox.mbox(self.inbox)
        box.lock()
        del box[at]
        box.close()


class TestSimpleFormatStore(SimpleStoreContract):
    def openStore(self) -> ISimpleStore:
        return textfile.openSimpleStore("mail?format=simple", self.context)

    @property
    def inbox(self) -> str:
        return os.path.join(self.context.data, "mail", "MBRAIN.TXT")

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        with open(self.inbox, "ab") as file:
            file.write(b"From: alice\nTo: mbrain\n" + content.replace(b"\r\n", b"\n"))

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        start, end = map(int, entry.locator.split("-"))
        with open(self.inbox, "r+b") as file:
            text = file.read()
            file.seek(0)
            file.write(text[:start] + text[end:])
            file.truncate()
