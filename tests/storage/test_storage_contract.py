"""Every promise, on every store of this room."""

from __future__ import annotations

from mailfw.interfaces import IMailStore, IStoreContext
from mailfw.storage.memory import memory
from mailfw.storage.sqlite import sqlite
from mailfw.testing.store import MailStoreContract


class TestSQLite(MailStoreContract):
    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return sqlite.openStore("mail?shards=2", context)


class TestMemory(MailStoreContract):
    isPersistent = False

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return memory.openStore("", context)
