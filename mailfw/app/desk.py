"""The administrator's hand on the queue: operations whose arguments and results are what JSON can say.

A verb is for the messages named by `ids`, or, where none are, for every recipient that the other words of a filter mean; what is
done to how many is logged, one line a verb.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import asdict, evolve
from twisted.logger import Logger

from mailfw.app.problem import Problem
from mailfw.delivery.queue import Entry, Filter, Queue, QueuedMessage, State
from mailfw.message import words
from mailfw.message.header import firstFields, unfold
from mailfw.message.source import headerOf
from mailfw.values import MessageSource

if TYPE_CHECKING:
    from mailfw.app.context import System

PAGE = 1000
HEADER = 65536
"""Octets of a message in which its header is looked for."""

SHOWN = ("date", "from", "to", "cc", "subject", "message-id")
"""Fields of a message that `show` tells."""

BUSIEST = 20
"""Domains that an overview names."""

_log = Logger("mailfw.app")


class Desk:
    """Operations on one system's queue.

    :param isRunning: a server runs, and its relay with it.
    :param now: seconds since the epoch, UTC.
    """

    def __init__(self, system: System, isRunning: bool, now: Callable[[], float] = time.time) -> None:
        self._system = system
        self._isRunning = isRunning
        self._now = now

    @property
    def _queue(self) -> Queue:
        return self._system.queue

    async def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Do it. :raises Problem: :raises Refusal: it cannot be done."""
        method = self._OPERATIONS.get(operation)
        if method is None:
            raise Problem(f'this server knows no operation "{operation}": are server and command of the same version?')
        return await method(self, **arguments)

    # --- Looking -----------------------------------------------------------------------------------------------------

    async def entries(self, limit: int = 100, ids: Sequence[int] = (), **words: Any) -> dict[str, Any]:
        """Recipients in the order in which they came. :param limit: 0: all."""
        found: list[Entry] = []
        filters = await self._filters(ids, words)
        for filter in filters:
            after = 0
            while not limit or len(found) < limit:
                page = await self._queue.list(filter, after, min(PAGE, limit - len(found)) if limit else PAGE)
                found += page.entries
                after = page.next
                if not after:
                    break
        isAll = not limit or len(found) < limit
        total = len(found) if isAll else sum([await self._queue.count(filter) for filter in filters])
        return {"recipients": [self._entry(entry) for entry in found], "total": total}

    async def show(self, id: int, isWhole: bool = False) -> dict[str, Any]:
        """One message with all that is left of it. :param isWhole: with its octets, in base64."""
        message, entries = await self._message(id)
        content = await self._queue.content(message)
        envelope = message.envelope
        shown: dict[str, Any] = {
            "id": message.id,
            "sender": str(envelope.sender or ""),
            "account": envelope.identity.account if envelope.identity else "",
            "arrived": message.arrived,
            "size": message.size,
            "envelopeId": envelope.envelopeId,
            "isSMTPUTF8": envelope.isSMTPUTF8,
            "requiresTLS": envelope.requiresTLS,
            "priority": envelope.priority,
            "releaseAt": envelope.releaseAt,
            "header": _shown(content),
            "recipients": [self._entry(entry) for entry in entries],
        }
        if isWhole:
            shown["content"] = base64.b64encode(content.read()).decode("ascii")
        return shown

    async def overview(self) -> dict[str, Any]:
        """The queue at a glance: how many, for whom, what is under way, and what was done since the server started."""
        totals, domains = await self._queue.overview(BUSIEST)
        outgoing = self._system.outgoing if self._isRunning else None
        return {
            **asdict(totals),
            "time": self._now(),
            "isRunning": self._isRunning,
            "domains": [asdict(domain) for domain in domains],
            "lanes": [asdict(lane) for lane in await outgoing.lanes()] if outgoing else [],
            "done": {fate.value: count for fate, count in outgoing.settled().items()} if outgoing else {},
        }

    # --- Steering ----------------------------------------------------------------------------------------------------

    async def retry(self, ids: Sequence[int] = (), **words: Any) -> int:
        """Try waiting recipients at once, whether or not their destination rests. → how many."""
        if self._isRunning:
            self._system.outgoing.forgive()
        return await self._do("retry", self._queue.retry, ids, words)

    async def flush(self, domain: str) -> int:
        """The same for everything that waits for a domain."""
        return await self.retry(domain=domain)

    async def hold(self, ids: Sequence[int] = (), **words: Any) -> int:
        """Let nobody try them until they are released."""
        return await self._do("hold", self._queue.hold, ids, words)

    async def release(self, ids: Sequence[int] = (), **words: Any) -> int:
        """Let held recipients go on, at once, whether or not their destination rests. → how many."""
        if self._isRunning:
            self._system.outgoing.forgive()
        return await self._do("release", self._queue.release, ids, words)

    async def cancel(self, ids: Sequence[int] = (), **words: Any) -> int:
        """Forget them; nobody is told."""
        return await self._do("cancel", self._queue.cancel, ids, words)

    async def bounce(self, ids: Sequence[int] = (), text: str = "returned by the administrator", **words: Any) -> int:
        """Return them to their senders now."""
        relay = self._system.outgoing.relay
        return await self._do("bounce", lambda filter: relay.bounce(filter, text), ids, words)

    async def _do(self, verb: str, do: Callable[[Filter], Awaitable[int]], ids: Sequence[int], words: dict[str, Any]) -> int:
        filters = await self._filters(ids, words)
        count = sum([await do(filter) for filter in filters])
        said = " ".join([*map(str, ids), *(f"{name}={value}" for name, value in words.items())])
        _log.info("queue {verb}: {count} recipients ({said})", verb=verb, count=count, said=said or "all")
        return count

    # --- Values ------------------------------------------------------------------------------------------------------

    async def _filters(self, ids: Sequence[int], words: dict[str, Any]) -> list[Filter]:
        """What is meant. :raises Problem: one of the messages is not in the queue."""
        filter = self._filter(**words)
        for id in ids:
            await self._message(id)
        return [evolve(filter, message=id) for id in ids] or [filter]

    def _filter(
        self,
        recipient: str = "",
        person: str = "",
        domain: str = "",
        sender: str = "",
        reason: str = "",
        state: str = "",
        olderThan: float | None = None,
        newerThan: float | None = None,
    ) -> Filter:
        now = self._now()
        return Filter(
            address=recipient,
            person=person,
            domain=domain,
            sender=sender,
            reason=reason,
            state=State(state) if state else None,
            arrivedBefore=None if olderThan is None else now - olderThan,
            arrivedAfter=None if newerThan is None else now - newerThan,
        )

    async def _message(self, id: int) -> tuple[QueuedMessage, Sequence[Entry]]:
        found = await self._queue.message(id)
        if found is None:
            raise Problem(f"there is no message {id} in the queue")
        return found

    def _entry(self, entry: Entry) -> dict[str, Any]:
        return {
            "id": entry.message.id,
            "sender": str(entry.message.envelope.sender or ""),
            "recipient": str(entry.recipient.address),
            "state": entry.state(self._now()).value,
            "arrived": entry.message.arrived,
            "size": entry.message.size,
            "due": entry.due,
            "attempts": entry.attempts,
            "tried": entry.tried or None,
            "status": entry.status,
            "host": entry.host,
            "reply": entry.reply,
            "lane": entry.lane,
            "mailbox": f"{entry.target.account} {entry.target.mailbox}" if entry.target is not None else "",
        }

    _OPERATIONS: ClassVar[dict[str, Callable[..., Coroutine[Any, Any, Any]]]] = {
        "queue list": entries,
        "queue show": show,
        "queue overview": overview,
        "queue retry": retry,
        "queue flush": flush,
        "queue hold": hold,
        "queue release": release,
        "queue cancel": cancel,
        "queue bounce": bounce,
    }


def _shown(content: MessageSource) -> dict[str, str]:
    """The fields of a message that say which it is."""
    header = headerOf(content, HEADER)
    found = firstFields(header, 0, len(header))
    return {name: words.decode(unfold(found[name.encode()])) for name in SHOWN if name.encode() in found}
