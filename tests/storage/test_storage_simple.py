"""The engine beside a simple store: the whole contract on a store of fifty lines, with and without flags; crashes half-way."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from zope.interface import implementer

from mailfw.errors import Vanished
from mailfw.interfaces import IMailStore, ISimpleFlags, ISimpleFolders, ISimpleStore, IStoreContext
from mailfw.storage.simple.store import openSimple, statePath
from mailfw.testing.promises.home import Foreign
from mailfw.testing.store import MailStoreContract
from mailfw.values import (
    Entry,
    MessageSource,
    NewMessage,
)


@implementer(ISimpleStore, ISimpleFolders)
class Heap:
    """A file for each message, a directory for each folder: a whole store."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, account: str, folder: str, key: str = "") -> str:
        return os.path.join(self.root, quote(account, safe=""), quote("=" + folder, safe=""), key)

    def keys(self, account: str, folder: str) -> list[str]:
        path = self.path(account, folder)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def folders(self, account: str) -> Iterable[str]:
        path = os.path.join(self.root, quote(account, safe=""))
        return [unquote(name)[1:] for name in os.listdir(path)] if os.path.isdir(path) else []

    def token(self, account: str, folder: str) -> str:
        return " ".join(self.keys(account, folder))

    def scan(self, account: str, folder: str) -> Iterator[Entry]:
        for key in self.keys(account, folder):
            status = os.stat(self.path(account, folder, key))
            yield Entry(key, key, None, status.st_mtime, status.st_size)

    def read(self, account: str, folder: str, entry: Entry) -> bytes:
        try:
            return Path(self.path(account, folder, entry.key)).read_bytes()
        except FileNotFoundError as error:
            raise Vanished() from error

    def newKey(self, account: str, folder: str, message: NewMessage) -> str:
        self.count = getattr(self, "count", 0) + 1
        return f"{int(message.internalDate or 0):012d}.{self.count:06d}.{secrets.token_hex(4)}"

    def append(self, account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        self.createFolder(account, folder)
        return [self.write(self.path(account, folder, key), key, one) for key, one in messages]

    def write(self, path: str, key: str, message: NewMessage) -> Entry:
        content = message.source.read()
        with open(path + ".new", "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.utime(path + ".new", (message.internalDate or 0, message.internalDate or 0))
        os.rename(path + ".new", path)
        return Entry(key, key, None, message.internalDate or 0, len(content))

    def remove(self, account: str, folder: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            Path(self.path(account, folder, entry.key)).unlink(missing_ok=True)

    def createFolder(self, account: str, folder: str) -> None:
        os.makedirs(self.path(account, folder), exist_ok=True)

    def renameFolder(self, account: str, folder: str, newName: str) -> None:
        os.rename(self.path(account, folder), self.path(account, newName))

    def deleteFolder(self, account: str, folder: str) -> None:
        self.remove(account, folder, list(self.scan(account, folder)))
        os.rmdir(self.path(account, folder))


@implementer(ISimpleFlags)
class FlaggedHeap(Heap):
    """The same with \\Seen and \\Flagged kept in the file's mode."""

    permanentFlags = frozenset({"\\Seen", "\\Flagged"})
    bits = {"\\Seen": 0o100, "\\Flagged": 0o010}

    def flags(self, path: str) -> frozenset[str]:
        mode = os.stat(path).st_mode
        return frozenset(flag for flag, bit in self.bits.items() if mode & bit)

    def token(self, account: str, folder: str) -> str:
        return " ".join(f"{key}{sorted(self.flags(self.path(account, folder, key)))}" for key in self.keys(account, folder))

    def scan(self, account: str, folder: str) -> Iterator[Entry]:
        for one in super().scan(account, folder):
            yield Entry(one.key, one.locator, self.flags(self.path(account, folder, one.key)), one.internalDate, one.size)

    def write(self, path: str, key: str, message: NewMessage) -> Entry:
        entry = super().write(path, key, message)
        self.chmod(path, message.flags)
        return entry

    def chmod(self, path: str, flags: frozenset[str]) -> None:
        os.chmod(path, 0o600 | sum(bit for flag, bit in self.bits.items() if flag in flags))

    def setFlags(self, account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        for entry, flags in entries:
            path = self.path(account, folder, entry.key)
            if os.path.exists(path):
                self.chmod(path, flags)
        return [entry for entry, _ in entries]


class Program:
    """Another program that works on a heap's INBOX."""

    def __init__(self, heap: Heap, account: str) -> None:
        self.heap = heap
        self.account = account

    def add(self, content: bytes, flags: frozenset[str] = frozenset()) -> None:
        new = NewMessage(MessageSource(content), flags, 2_000_000_000.0)
        self.heap.append(self.account, "INBOX", [(self.heap.newKey(self.account, "INBOX", new), new)])

    def remove(self, content: bytes) -> None:
        for entry in self.heap.scan(self.account, "INBOX"):
            if self.heap.read(self.account, "INBOX", entry) == content:
                self.heap.remove(self.account, "INBOX", [entry])


class HeapContract(MailStoreContract):
    hasGrace = False
    heap: type[Heap] = Heap

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return openSimple(self.heap(os.path.join(directory, "heap")), statePath("heap:heap", directory), context)

    def foreign(self, directory: str, account: str) -> Foreign:
        return Program(self.heap(os.path.join(directory, "heap")), account)

    def loseState(self, directory: str) -> None:
        for path in Path(directory, "state").iterdir():
            path.unlink()


class TestHeap(HeapContract):
    pass


class TestFlaggedHeap(HeapContract):
    heap = FlaggedHeap
    formatHasFlags = True
