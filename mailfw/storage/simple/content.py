"""A message in a simple store, read by range."""

from __future__ import annotations

import hashlib
import threading

from zope.interface import implementer

from mailfw.interfaces import IContent, ISimpleStore, ISimpleStream
from mailfw.values import Entry

_local = threading.local()
UIDL_LENGTH = 70  # RFC 1939 §7
_PRINTABLE = frozenset(map(chr, range(0x21, 0x7F)))


def uidl(key: str) -> str:
    """The key itself, where POP3 can say it, so that a lost state changes nothing for its clients; else a digest of it."""
    if 0 < len(key) <= UIDL_LENGTH and _PRINTABLE.issuperset(key):
        return key
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:64]


@implementer(IContent)
class FileContent:
    """Reads in the account's strand. What a store without streams had to read whole is kept for the next range, one message in
    each thread."""

    __slots__ = ("_account", "_entry", "_folder", "_store", "size")

    def __init__(
        self, store: ISimpleStore, account: str, folder: str, key: str, locator: str, internalDate: float, size: int
    ) -> None:
        self._store = store
        self._account = account
        self._folder = folder
        self._entry = Entry(key, locator, None, internalDate, size)
        self.size = size

    def read(self, start: int = 0, length: int = -1) -> bytes:
        if ISimpleStream.providedBy(self._store) and (start or length >= 0):
            with ISimpleStream(self._store).open(self._account, self._folder, self._entry) as file:
                file.seek(start)
                return file.read(length)
        whole = getattr(_local, "content", None) if getattr(_local, "holder", None) is self else None
        if whole is None:
            whole = self._store.read(self._account, self._folder, self._entry)
        end = len(whole) if length < 0 else start + length
        _local.holder, _local.content = (self, whole) if end < len(whole) else (None, None)
        return whole[start:end]
