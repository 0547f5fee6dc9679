"""Password hashing for a reactor: in threads, few at a time, and not twice in ten minutes for the same right password.

A mail program that opens six connections at once is hashed once too: those who come with the same password for the same
user share the operation under way. Unknown users share in the same way, so that nobody can tell them by it.

What is remembered of a right password is a keyed digest of the *stored value and* the password. So there is nothing
to invalidate: whoever changes a password changes its stored value; a suspended or removed account is seen in its row,
which is read at every login.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mailfw.auth import hashes
from mailfw.auth.sharing import UnderWay
from mailfw.errors import AuthenticationUnavailable

T = TypeVar("T")

REMEMBER = 600.0
"""Seconds for which a right password is remembered."""
CAPACITY = 10_000
"""Right passwords remembered at once, 100 octets or so each."""
WAITING_LIMIT = 500
"""Hash operations that may wait for a thread; beyond that logins are put off."""


_NOBODYS = hashes.invent()


class RightPasswords:
    """Pairs of stored value and password that fitted within the last minutes.

    :param now: seconds, on any clock that does not go back.
    """

    def __init__(self, now: Callable[[], float], seconds: float = REMEMBER, capacity: int = CAPACITY) -> None:
        self._now = now
        self._seconds = seconds
        self._capacity = capacity
        self._key = os.urandom(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, stored: str, password: str) -> None:
        """Remember that they fit; the oldest is forgotten where there are too many."""
        mark = self.mark(stored, password)
        self._until[mark] = self._now() + self._seconds
        self._until.move_to_end(mark)
        while len(self._until) > self._capacity or next(iter(self._until.values())) <= self._now():
            self._until.popitem(last=False)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return self._until.get(self.mark(*pair), 0.0) > self._now()

    def mark(self, stored: str, password: str) -> bytes:
        """What stands for the pair: a digest that only this process can make."""
        row, secret = (text.encode("utf-8", "surrogatepass") for text in (stored, password))
        return hashlib.blake2b(b"%d:%b%b" % (len(row), row, secret), key=self._key, digest_size=32).digest()


class Hasher:
    """Where a source has its passwords hashed.

    :param reactor: IReactorThreads and IReactorFromThreads.
    :param isInline: hash in the caller's thread: for tests.
    :param threads: operations at once; each holds 19 MiB for argon2id. By default one for each processor.
    :ivar operations: stored values that passwords were compared with so far, remembered ones not counted.
    """

    log = Logger()

    def __init__(self, reactor: Any, now: Callable[[], float], isInline: bool = False, threads: int = 0) -> None:
        self.operations = 0
        self._reactor = reactor
        self._isInline = isInline
        self._secret = os.urandom(32)
        self._right = RightPasswords(now)
        self._places = DeferredSemaphore(threads or max(2, os.cpu_count() or 2))
        self._comparing: UnderWay[tuple[str, bytes], bool] = UnderWay()
        self._damaged: set[str] = set()

    async def verify(self, stored: str, password: str) -> bool:
        """Whether they fit. A stored value that cannot be checked fits nothing; it is logged once.

        :raises AuthenticationUnavailable: too many are waiting.
        """
        if (stored, password) in self._right:
            return True
        fits = await self._compare("", stored, password)
        if fits:
            self._right.add(stored, password)
        return fits

    async def pretend(self, user: str, stored: str, password: str) -> None:
        """Work as `verify` does, for a user who is not there.

        :param user: the canonical name; those who come with the same one at once share the work.
        :param stored: another user's stored password, chosen by `decoy`; empty where there are no users. What comes
            out is dropped, and never remembered: else it would show by its speed that the password is somebody's.
        """
        await self._compare(user or "-", stored or _NOBODYS, password)

    def decoy(self, user: str, count: int) -> int:
        """Which of `count` accounts stands in for a user who is not there: steady for a name, and unforeseeable.

        So unknown names take as long as known ones do, in whatever schemes those are stored. May be called in any
        thread.
        """
        return int.from_bytes(hmac.digest(self._secret, user.encode("utf-8", "surrogatepass"), "sha256")) % count

    async def run(self, work: Callable[[], T]) -> T:
        """Do other slow work on passwords (making hashes) in a thread, within the same bounds."""
        if self._isInline:
            return work()
        if len(self._places.waiting) >= WAITING_LIMIT:
            raise AuthenticationUnavailable
        return await self._places.run(deferToThreadPool, self._reactor, self._reactor.getThreadPool(), work)

    async def _compare(self, pretender: str, stored: str, password: str) -> bool:
        """:param pretender: the user who is not there; empty for a real one, whom the stored value stands for."""
        key = (pretender, self._right.mark(stored, password))
        return await self._comparing.share(key, lambda: self._hash(stored, password))

    async def _hash(self, stored: str, password: str) -> bool:
        self.operations += 1
        try:
            return await self.run(lambda: hashes.verify(stored, password))
        except hashes.UnusableHash as error:
            if stored not in self._damaged and len(self._damaged) < CAPACITY:
                self._damaged.add(stored)
                self.log.error("a stored password cannot be checked: {error}", error=error)
            return False
