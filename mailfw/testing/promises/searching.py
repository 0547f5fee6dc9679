"""Searching: what an index says is never too little."""

from __future__ import annotations

from collections.abc import Sequence

from mailfw.interfaces import IMailbox, Row
from mailfw.message.criteria import And, Body, Criterion, HasFlag, Header, Not, Or, Text
from mailfw.message.search import compile as compileCriterion
from mailfw.testing.promises.home import Home, Promises, append, message, promise, read
from mailfw.values import Column, Copy, Expunge, UIDSet

_WORDS = ("needle", "Grüße", "straw", "hay")
_CRITERIA: tuple[Criterion, ...] = (
    Body("NEEDLE"),
    Body("nowhere"),
    Body("ra"),
    Text("grüsse"),
    Text("number 77"),
    Header("Subject", "Number 1"),
    Header("X-Odd", ""),
    Or((Body("needle"), Header("x-odd", "77"))),
    And((Body("straw"), Text("number 7"), Not(HasFlag("\\Seen")))),
    Not(Not(Body("straw"))),
    Not(Body("straw")),
)


class SearchPromises(Promises):
    """`IMailbox.candidates`."""

    @promise
    async def testNoMatchIsMissing(self, home: Home) -> None:
        account, inbox = await home.inbox()
        await append(account, *map(_message, range(1, 131)))
        await self._assertNoneIsMissing(inbox)
        await _wait(home)
        await self._assertNoneIsMissing(inbox)
        await append(account, *map(_message, range(131, 151)))
        await account.apply([Copy("INBOX", UIDSet.parse("5:125"), "Archive"), Expunge("INBOX", UIDSet.parse("7:20"), False)])
        for _ in range(2):
            for mailbox in inbox, await account.open("Archive"):
                await self._assertNoneIsMissing(mailbox)
            await _wait(home)

    async def _assertNoneIsMissing(self, mailbox: IMailbox) -> None:
        for criterion in _CRITERIA:
            found = await mailbox.candidates(criterion)
            assert found is None or not await _matching(mailbox, criterion) - found, criterion


def _message(number: int) -> bytes:
    headers = f"X-Odd: {number}\r\n" if number % 7 == 0 else ""
    return message(number, headers=headers, body=f"{_WORDS[number % len(_WORDS)]} {number}\r\n")


async def _wait(home: Home) -> None:
    """Give whoever keeps an index the time to come to its end."""
    for _ in range(30):
        home.clock.advance(1)
        await home.turn()


async def _matching(mailbox: IMailbox, criterion: Criterion) -> UIDSet:
    """What reading every message finds."""
    wanted = compileCriterion(criterion)

    def matching(rows: Sequence[Row]) -> list[int]:
        return [row[-1] for row in rows if wanted.matches(row)]

    return UIDSet.fromUIDs(await read(mailbox, *wanted.columns, Column.UID, render=matching))
