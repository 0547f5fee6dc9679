"""`queue`: the administrator's hand on mail that waits, with the verbs of `mailfw queue`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from mailfw.app.commands.queue import describe, when
from mailfw.app.desk import Desk
from mailfw.app.problem import Problem
from mailfw.app.quantities import sizeText, spanText
from mailfw.app.shell.page import Line, Page, Shown, Style, Text, table

VERBS = ("retry", "hold", "release", "cancel", "bounce")


class Queue(Shown):
    """Mail that waits to leave."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __repr__(self) -> str:
        return "<queue: queue at the prompt shows it>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *VERBS]

    async def page(self) -> Page:
        return await self._list((), {})

    def list(self, *ids: int, **words: Any) -> Deferred[Page]:
        """Recipients; the words are `recipient`, `domain`, `sender`, `reason`, `state`, `olderThan`, `newerThan`, `limit`."""
        return Deferred.fromCoroutine(self._list(ids, words))

    def show(self, id: int) -> Deferred[Page]:
        """One message."""
        return Deferred.fromCoroutine(self._show(id))

    def flush(self, domain: str) -> Deferred[Text]:
        """Try everything at once that waits for a domain."""
        return self._do("retry", (), {"domain": domain})

    def __getattr__(self, verb: str) -> Callable[..., Deferred[Text]]:
        """`retry`, `hold`, `release`, `cancel`, `bounce`: of messages, or of what words choose; not of everything by mistake."""
        if verb not in VERBS:
            raise AttributeError(verb)
        return lambda *ids, **words: self._do(verb, ids, words)

    def _do(self, verb: str, ids: Sequence[int], words: dict[str, Any]) -> Deferred[Text]:
        if not (ids or set(words) - {"text"}):
            raise Problem(f"say which: queue.{verb}(ID, …), or words that choose, as in domain='example.com'")
        return Deferred.fromCoroutine(self._count(verb, ids, words))

    async def _count(self, verb: str, ids: Sequence[int], words: dict[str, Any]) -> Text:
        count = await self._desk.perform(f"queue {verb}", {"ids": ids, **words})
        return Text(f"{count} {'recipient' if count == 1 else 'recipients'}")

    async def _show(self, id: int) -> Page:
        found, now = await self._desk.show(id), time.time()
        size = sizeText(found["size"])
        head = f"message {found['id']} from <{found['sender']}>, {size}, {spanText(now - found['arrived'])} old"
        fields = [Line(f"{name}: {value}") for name, value in found["header"].items()]
        return Page([Line(head, Style.ASIDE), *fields, *(Line(describe(each, now)) for each in found["recipients"])])

    async def _list(self, ids: Sequence[int], words: dict[str, Any]) -> Page:
        found, now = await self._desk.entries(ids=ids, **words), time.time()
        rows = [_row(each, now) for each in found["recipients"]]
        heads = ("ID#", "SENDER", "RECIPIENT", "SIZE#", "AGE#", "NEXT", "TRIED#", "REPLY")
        more = found["total"] - len(rows)
        note = [Line(f"and {more} more: queue.list(limit=0) shows all", Style.ASIDE)] if more > 0 else []
        return Page([*table(heads, rows, "nothing waits"), *note])


def _row(each: dict[str, Any], now: float) -> Sequence[object]:
    who = (each["id"], each["sender"] or "<>", each["recipient"], sizeText(each["size"]), spanText(now - each["arrived"]))
    return (*who, when(each, now), each["attempts"], " ".join(filter(None, (each["host"], each["status"], each["reply"]))))
