"""Reading in bulk: columns, pages, bounds on what is held."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from twisted.internet.task import LoopingCall

from mailfw.interfaces import Row
from mailfw.message.criteria import Body
from mailfw.testing.promises.home import OWNER, Home, Promises, append, message, promise, read
from mailfw.values import ALL_UIDS, Column, Copy, Expunge, FlagChange, MessageSource, SetFlags, Target, UIDSet

PATIENCE = 0.25
"""Seconds."""

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 20_000


class ReadingPromises(Promises):
    """`IMailbox.rows` and `read`."""

    @promise
    async def testEveryColumnHasItsValue(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1, body="Hello, world\r\n"), flags=frozenset({"\\Seen", "$Work"}))

        def render(rows: Sequence[Row]) -> list[dict[Column, Any]]:
            found = [dict(zip(Column, row, strict=True)) for row in rows]
            for one in found:
                one[Column.CONTENT] = (one[Column.CONTENT].size, one[Column.CONTENT].read(6, 4))
            return found

        (row,) = await read(inbox, *Column, render=render)
        assert row[Column.UID] == 1
        assert row[Column.FLAGS] == {"\\Seen", "$Work"} and isinstance(row[Column.FLAGS], frozenset)
        assert row[Column.MODSEQ] == (await inbox.status()).highestModSeq
        assert row[Column.SIZE] == len(message(1, body="Hello, world\r\n"))
        assert row[Column.HEADER] == message(1, body="")
        assert row[Column.ENVELOPE].startswith(b'("Mon, 21 Sep 2026 16:00:01 +0200" "Number 1" ((')
        assert row[Column.BODY_STRUCTURE].upper().startswith(b'("TEXT" "PLAIN" ')
        assert row[Column.PREVIEW] == "Hello, world"
        assert row[Column.CONTENT] == (row[Column.SIZE], b"John")
        for column, kind in ((Column.EMAIL_ID, str), (Column.THREAD_ID, str), (Column.UIDL, str), (Column.SAVE_DATE, float)):
            assert isinstance(row[column], kind) and row[column]
        assert row[Column.REFERENCES] == ()

    @promise
    async def testMessagesOfOneEmailAreInOneThread(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, b"Subject: without an id\r\n\r\nHello\r\n", b"Subject: without an id\r\n\r\nHello\r\n", message(3))
        await account.apply([Copy("INBOX", UIDSet.of(1, 3), "Archive")])
        threads: dict[str, set[str]] = {}
        for mailbox in inbox, await account.open("Archive"):
            for email, thread in await read(mailbox, Column.EMAIL_ID, Column.THREAD_ID):
                threads.setdefault(email, set()).add(thread)
        assert all(len(some) == 1 for some in threads.values())
        assert (await read(inbox, Column.EMAIL_ID))[2:] == (await read(await account.open("Archive"), Column.EMAIL_ID))[1:]

    @promise
    async def testReferencesAreThoseOfTheHeaderFromTheRootDown(self, home: Home) -> None:
        account, inbox = await home.inbox()
        for header in (b"References: <a@x>\r\n <b@x>\r\nIn-Reply-To: <c@x>\r\n", b"In-Reply-To: <c@x> <d@x>\r\n"):
            await append(account, header + message(1))
        assert await read(inbox, Column.REFERENCES) == [(("a@x", "b@x"),), (("c@x",),)]

    @promise
    async def testColumnsComeInTheOrderInWhichTheyWereAskedFor(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))
        assert await read(inbox, Column.SIZE, Column.UID, Column.SIZE) == [(len(message(1)), 1, len(message(1)))]

    @promise
    async def testRowsAscendAndWhatIsNotThereIsPassedOver(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 10)))
        await account.apply([Expunge("INBOX", UIDSet.parse("3:4"), onlyDeleted=False)])
        for asked, found in (
            ("1:9", [1, 2, 5, 6, 7, 8, 9]),
            ("3:4", []),
            ("2:3,5,100", [2, 5]),
            ("", []),
            ("10:4294967295", []),
            ("1,3,5,7,9", [1, 5, 7, 9]),
        ):
            assert await read(inbox, Column.UID, uids=UIDSet.parse(asked)) == [(uid,) for uid in found], asked

    @promise
    async def testManyRangesAreReadAsWell(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 301)))
        odd = UIDSet.fromUIDs(range(1, 1001, 2))
        assert await read(inbox, Column.UID, uids=odd) == [(uid,) for uid in range(1, 301, 2)]

    @promise
    async def testRenderingIsDoneInPages(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 1101)))
        pages: list[int] = []

        def render(rows: Sequence[Row]) -> list[bytes]:
            pages.append(len(rows))
            return [b"* %d" % uid for (uid,) in rows]

        found = await read(inbox, Column.UID, render=render)
        assert found == [b"* %d" % uid for uid in range(1, 1101)]
        assert max(pages) <= 500

    @promise
    async def testACrossingIsBounded(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, LARGE, LARGE, LARGE)

        def render(rows: Sequence[Row]) -> Iterator[bytes]:
            for (content,) in rows:
                for start in range(0, content.size, 65536):
                    yield content.read(start, 65536)

        crossings = [items async for items in inbox.rows(ALL_UIDS, (Column.CONTENT,), render)]
        assert b"".join(piece for items in crossings for piece in items) == LARGE * 3
        assert max(sum(map(len, items)) for items in crossings) <= 256 * 1024 + 65536

    @promise
    async def testNothingIsReadAhead(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, LARGE, LARGE, LARGE)
        rendered: list[int] = []

        def render(rows: Sequence[Row]) -> Iterator[bytes]:
            for uid, content in rows:
                rendered.append(uid)
                yield content.read()

        reading = inbox.rows(ALL_UIDS, (Column.UID, Column.CONTENT), render)
        await reading.__anext__()
        await home.turn()
        assert rendered == [1]
        await account.apply([Expunge("INBOX", UIDSet.of(3), onlyDeleted=False)])
        await reading.aclose()  # type: ignore[attr-defined]  # an async generator in every store there is

    @promise
    async def testWhatRenderRaisesComesOut(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1))

        def render(rows: Sequence[Row]) -> list[bytes]:
            raise ZeroDivisionError("as this test wants it")

        with pytest.raises(ZeroDivisionError):
            await read(inbox, Column.UID, render=render)
        assert await read(inbox, Column.UID) == [(1,)]

    @promise
    async def testAMessageThatComesDuringReadingDisturbsNothing(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *(message(number) for number in range(1, 601)))
        found: list[int] = []
        async for items in inbox.rows(ALL_UIDS, (Column.UID,), lambda rows: [row[0] for row in rows]):
            if not found:
                await append(account, message(601))
                await account.apply([Expunge("INBOX", UIDSet.of(599), onlyDeleted=False)])
            found += items
        assert found[:598] == list(range(1, 599)) and found == sorted(set(found))

    @promise
    async def testTheReactorIsNotKeptWaiting(self, home: Home) -> None:
        """Nobody else waits for a quarter of a second while a store does what it was asked for"""
        if home.isInline:
            pytest.skip("done inline, the work itself keeps the reactor")
        account, inbox = await home.inbox()
        await append(account, message(1))

        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "deliver": lambda: home.store.deliver(MessageSource(message(2)), [Target(OWNER)]),
            "mustHaveRoom": lambda: home.store.mustHaveRoom(OWNER, 1),
            "openAccount": lambda: home.account(),
            "mailboxes": account.mailboxes,
            "usage": account.usage,
            "changedSince": lambda: account.changedSince(0),
            "metadata": lambda: account.metadata("INBOX", ["/private/comment"]),
            "metadataSince": lambda: account.metadataSince(0),
            "apply": lambda: account.apply([SetFlags("INBOX", ALL_UIDS, FlagChange.ADD, frozenset({"\\Seen"}))]),
            "open": lambda: account.open("INBOX"),
            "status": inbox.status,
            "snapshot": inbox.snapshot,
            "changesSince": lambda: inbox.changesSince(0),
            "read": lambda: inbox.read(1),
            "rows": lambda: read(inbox, Column.UID),
            "candidates": lambda: inbox.candidates(Body("hello")),
        }

        for name, ask in asked.items():
            kept = [await _kept(ask)]
            while kept[-1] > PATIENCE and len(kept) < 6:  # another program may have had the processor
                kept.append(await _kept(ask))
            assert min(kept) <= PATIENCE, f"{name} kept the reactor for {min(kept):.1f} s; blocking work belongs in a thread"


async def _kept(ask: Callable[[], Awaitable[object]]) -> float:
    """For how long the reactor's thread did nothing else while something was done, in seconds of the wall."""
    from twisted.internet import reactor

    last, longest = time.monotonic(), 0.0

    def tick() -> None:
        nonlocal last, longest
        longest = max(longest, time.monotonic() - last)
        last = time.monotonic()

    ticking = LoopingCall(tick)
    ticking.clock = reactor
    ticking.start(0.01)
    await ask()
    tick()
    ticking.stop()
    return longest
