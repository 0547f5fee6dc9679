"""Where a store under test lives: a directory, a clock that stands still, and a way to open, reopen and crash."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.interfaces import IAccount, IMailbox, IMailStore, IOptionsContext, IStoreContext, Row
from mailfw.testing.fakes import START
from mailfw.testing.promises.broken import telling
from mailfw.values import (
    ALL_UIDS,
    FIRST_MAILBOXES,
    Append,
    Appended,
    Column,
    Create,
    Identity,
    MessageSource,
    NewMessage,
    Quota,
    SpecialUse,
    UIDSet,
)

OWNER = "mbrain@localhost"
OTHER = "jsmith@localhost"
ME = Identity(OWNER)


Test = TypeVar("Test", bound=Callable[..., Any])  # a test's own type is kept


def promise(test: Test) -> Test:
    """Marks an `async def` as a test that runs on the reactor, and says which promise broke."""
    return cast(Test, pytest_twisted.ensureDeferred(telling(test)))


def _fixture(function: Test) -> Test:
    return cast(Test, pytest_twisted.async_yield_fixture(function))


def message(number: int = 1, *, subject: str = "", headers: str = "", body: str = "Hello\r\n") -> bytes:
    """A message that no other number's is equal to."""
    return (
        f"From: John Smith <jsmith@localhost>\r\nTo: mbrain@localhost\r\nSubject: {subject or f'Number {number}'}\r\n"
        f"Date: Mon, 21 Sep 2026 16:00:{number % 60:02d} +0200\r\nMessage-ID: <{number}@localhost>\r\n{headers}\r\n{body}"
    ).encode()


class _FakeTime:
    """The clock's time, with the real reactor's threads."""

    def __init__(self, clock: Clock) -> None:
        from twisted.internet import reactor

        self.callLater = clock.callLater
        self.seconds = clock.seconds
        self.getDelayedCalls = clock.getDelayedCalls
        self.callFromThread: Any = reactor.callFromThread  # type: ignore[attr-defined]  # a reactor is a module to mypy
        self.callInThread: Any = reactor.callInThread  # type: ignore[attr-defined]


@implementer(IStoreContext, IOptionsContext)
class HomeContext:
    """What the store is given: a fake clock in either mode, threads of the real reactor in one."""

    options: Any = None  # the plugin's own model, where it has one

    def __init__(self, data: str, clock: Clock, isInline: bool) -> None:
        self.data = data
        self.domains: Sequence[str] = ("localhost",)
        self.isInline = isInline
        self.reactor: Any = clock if isInline else _FakeTime(clock)
        self._clock = clock
        self.quotas: dict[str, Quota] = {}
        self.mailboxes: Sequence[Create] = FIRST_MAILBOXES
        self.expiry: Mapping[SpecialUse, float] = {}

    async def quotaOf(self, account: str) -> Quota:
        """What `quotas` says."""
        return self.quotas.get(account, Quota())

    def now(self) -> float:
        """Seconds since the epoch, from `START` on."""
        return START + float(self._clock.seconds())


class Foreign(Protocol):
    """Another program that works on the files of a simple store. Folder INBOX is meant where none is named."""

    def add(self, content: bytes, flags: frozenset[str] = frozenset()) -> None:
        """Put a message there, as that program would; with flags where the format has them."""

    def remove(self, content: bytes) -> None:
        """Remove the message with that content."""


class Opener(Protocol):
    """The hooks of a contract."""

    isPersistent: bool

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        """Open, or open again, the store in that directory."""


class Home:
    """A directory with a store in it.

    :ivar clock: time passes only by `clock.advance`.
    :ivar quotas: what accounts may hold, as far as the source of accounts says.
    :ivar mailboxes: and :ivar expiry: what a store is told about them when it is opened.
    """

    def __init__(self, opener: Opener, directory: str, isInline: bool) -> None:
        self.clock = Clock()
        self.isInline = isInline
        self.directory = directory
        self.quotas: dict[str, Quota] = {}
        self.mailboxes: Sequence[Create] = FIRST_MAILBOXES
        self.expiry: Mapping[SpecialUse, float] = {}
        self.store: IMailStore
        self._opener = opener
        self._crashes = 0
        self._open: list[IMailStore] = []

    def start(self) -> None:
        """Open the store as it lies there."""
        context = HomeContext(self.directory, self.clock, self.isInline)
        context.quotas = self.quotas
        context.mailboxes, context.expiry = self.mailboxes, self.expiry
        self.store = self._opener.openStore(self.directory, context)
        self._open.append(self.store)

    async def restart(self) -> None:
        """Close the store and open it again, for what it is told when it is opened; a store in memory is empty then."""
        await self.store.close()
        self._open.remove(self.store)
        self.start()

    async def reopen(self) -> IAccount:
        """Close the store, open it again, and open its owner's account."""
        if not self._opener.isPersistent:
            pytest.skip("this store does not outlive its closing")
        await self.restart()
        return await self.account()

    async def crash(self) -> IAccount:
        """Open what a crash at this moment would have left on disk."""
        if not self._opener.isPersistent:
            pytest.skip("this store does not outlive a crash")
        self._crashes += 1
        copy = f"{self.directory}.crash{self._crashes}"
        shutil.copytree(self.directory, copy)
        self.directory = copy
        self.start()
        return await self.account()

    async def account(self, owner: str = OWNER) -> IAccount:
        """An account, opened by its owner."""
        return await self.store.openAccount(Identity(owner), owner)

    async def inbox(self) -> tuple[IAccount, IMailbox]:
        """The owner's account and INBOX."""
        account = await self.account()
        return account, await account.open("INBOX")

    async def turn(self) -> None:
        """Let threads and the reactor come to what waits for them."""
        from twisted.internet import reactor

        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        await turned

    async def close(self) -> None:
        """Close all that was opened."""
        for store in self._open:
            await store.close()


class Promises:
    """What every part of the contract stands on."""

    isPersistent = True
    hasGrace = True

    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        """Open, or open again, the store in that directory."""
        raise NotImplementedError("say how your store is opened")

    @pytest.fixture(params=["inline", "threads"])
    def isInline(self, request: pytest.FixtureRequest) -> bool:
        """Each test runs in both ways."""
        return bool(request.param == "inline")

    @_fixture
    async def home(self, tmp_path: Any, isInline: bool) -> AsyncIterator[Home]:
        """A new, empty store."""
        home = Home(self, os.path.join(str(tmp_path), "home"), isInline)
        os.mkdir(home.directory)
        home.start()
        yield home
        await home.close()


async def append(account: IAccount, *contents: bytes, mailbox: str = "INBOX", flags: frozenset[str] = frozenset()) -> Appended:
    """Append messages."""
    (result,) = await account.apply([Append(mailbox, tuple(NewMessage(MessageSource(one), flags) for one in contents))])
    assert isinstance(result, Appended)
    return result


def asTheyAre(rows: Sequence[Row]) -> list[Row]:
    """A `render` that changes nothing."""
    return list(rows)


async def read(
    mailbox: IMailbox,
    *columns: Column,
    uids: UIDSet = ALL_UIDS,
    render: Callable[[Sequence[Row]], Any] = asTheyAre,
) -> list[Any]:
    """All rows of some messages."""
    found: list[Any] = []
    async for items in mailbox.rows(uids, columns, render):
        found += items
    return found


async def contents(mailbox: IMailbox) -> dict[int, bytes]:
    """Every message's octets."""
    columns = (Column.UID, Column.CONTENT)
    return dict(await read(mailbox, *columns, render=lambda rows: [(uid, content.read()) for uid, content in rows]))


async def flagsOf(mailbox: IMailbox) -> dict[int, frozenset[str]]:
    """Every message's flags."""
    return dict(await read(mailbox, Column.UID, Column.FLAGS))


async def uidsOf(mailbox: IMailbox) -> list[int]:
    """Every message's UID."""
    return list((await mailbox.snapshot()).uids)


async def describe(account: IAccount) -> dict[str, Any]:
    """Everything about an account that a client could see and that outlives a restart."""
    seen: dict[str, Any] = {}
    for info in await account.mailboxes():
        seen[info.name] = info
        if info.isSelectable:
            mailbox = await account.open(info.name)
            columns = (
                Column.UID,
                Column.FLAGS,
                Column.MODSEQ,
                Column.INTERNAL_DATE,
                Column.SAVE_DATE,
                Column.SIZE,
                Column.EMAIL_ID,
                Column.THREAD_ID,
                Column.UIDL,
                Column.ENVELOPE,
                Column.BODY_STRUCTURE,
                Column.HEADER,
            )
            snapshot = await mailbox.snapshot()
            seen[info.name] = (
                info,
                snapshot.status,
                list(snapshot.uids),
                snapshot.keywords,
                await read(mailbox, *columns),
                await contents(mailbox),
            )
    return seen


async def assertCountersAreTrue(account: IAccount) -> None:
    """Every mailbox's counters are those of its messages."""
    for info in await account.mailboxes():
        if info.isSelectable:
            mailbox = await account.open(info.name)
            rows = await read(mailbox, Column.UID, Column.FLAGS, Column.SIZE, Column.MODSEQ)
            status = await mailbox.status()
            assert status.messages == len(rows)
            assert status.unseen == sum("\\Seen" not in row[1] for row in rows)
            assert status.deleted == sum("\\Deleted" in row[1] for row in rows)
            assert status.size == sum(row[2] for row in rows)
            assert status.uidNext > max((row[0] for row in rows), default=0)
            assert status.highestModSeq >= max((row[3] for row in rows), default=0)
