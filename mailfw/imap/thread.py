"""THREAD (RFC 5256 §3)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.grammar.searching import Thread
from mailfw.imap.matching import criterion, matching
from mailfw.imap.ordering import mustBeFew
from mailfw.imap.progress import Progress
from mailfw.message import thread as threads
from mailfw.message.thread import ThreadItem
from mailfw.values import UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

_PIECE = 65536


async def thread(session: Session, command: Thread) -> Reply:
    """RFC 5256 §3. The answer is sent even when nothing was found."""
    view = session.view
    uids = await matching(session, view, criterion(command.key, view))
    mustBeFew(uids)
    items: list[ThreadItem] = []

    def take(some: Sequence[ThreadItem]) -> None:
        items.extend(some)
        progress.done += len(some)

    with Progress(session, len(uids)) as progress:
        columns = threads.columns(command.algorithm)
        rows = view.mailbox.rows(UIDSet.fromUIDs(uids), columns, partial(map, threads.item))
        await session.walk(rows, take)
        numbers = None if command.isUID else view.uids

        def forest() -> bytes:
            found = threads.thread(command.algorithm, items)
            return threads.render(found) if numbers is None else threads.render(found, partial(_number, numbers))

        found = await session.channel.think(forest)
    await session.send(_answer(found))
    return ok("threaded")


def _number(view: memoryview, uid: int) -> int:
    return bisect_left(view, uid) + 1


def _answer(threads: bytes) -> Iterator[bytes]:
    """`mailbox-data =/ "THREAD" [SP 1*thread-list]`"""
    yield b"* THREAD"
    if threads:
        yield b" "
        for at in range(0, len(threads), _PIECE):
            yield threads[at : at + _PIECE]
    yield b"\r\n"


HANDLERS: Mapping[type, Handler] = {Thread: thread}
