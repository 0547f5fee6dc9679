"""The figures of a running server in one picture: what was counted since the start, and how things are now.

`mailfw status`, `mailfw top` and `/metrics` show the same picture, whose shape `docs/monitoring.md` describes. Gathering it asks
databases; however many look, that is done every `FRESH` seconds at most. Nothing in it names an address or an account.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mailfw.app.asking import Patient, Shared
from mailfw.app.readiness import PATIENCE, Disk, disks
from mailfw.errors import Refusal
from mailfw.interfaces import IHealth
from mailfw.tally import BOUNDS, Health, Histogram, ServiceTally, percentile
from mailfw.values import Fate

if TYPE_CHECKING:
    from mailfw.app.server import Server

FRESH = 1.0
"""Seconds."""

OUTCOMES = ("accepted", "deferred", "refused")
"""What a client can be told of a message."""

LOGINS = ("succeeded", "failed")

PERCENTILES = (50, 90, 99)

_log = Logger("mailfw.app")


def timing(histogram: Histogram) -> dict[str, Any]:
    """A histogram for programs: how many, seconds of all together, percentiles in seconds, and the counts by `BOUNDS`."""
    counts = list(histogram.counts)
    shares = {f"p{share}": percentile(counts, share / 100) for share in PERCENTILES}
    return {"count": sum(counts), "seconds": histogram.seconds, **shares, "counts": counts}


class Figures:
    """One server's."""

    def __init__(self, server: Server, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._patient = Patient(PATIENCE, reactor)
        self._gathered = Shared(self._gather, FRESH, reactor)

    async def gather(self) -> dict[str, Any]:
        """The picture, which whoever gets it does not change."""
        return await self._gathered.get()

    async def _gather(self) -> dict[str, Any]:
        system = self._server.system
        assert system is not None
        tally, healths, relayed = system.tally, await self._healths(), system.outgoing.settled()
        directories = [self._server.data.path, *(os.path.dirname(each.path) for _, each in healths if each.path)]
        unknown: list[Disk] = []
        found = await self._patient.ask("disks", lambda: self._disks(directories), unknown)
        return {
            "time": time.time(),
            "bounds": list(BOUNDS),
            "services": self._services(),
            "logins": [
                {"service": service, **{word: tally.logins[service, word] for word in LOGINS}}
                for service in sorted({service for service, _ in tally.logins})
            ],
            "deliveries": {fate.value: tally.deliveries[fate] for fate in Fate if fate is not Fate.QUEUED},
            "relayed": {fate.value: relayed[fate] for fate in Fate if fate is not Fate.QUEUED},
            "queue": await self._queue(),
            "databases": [_database(part, health) for part, health in healths],
            "disks": [asdict(disk) for disk in found],
            "hooks": [
                {"hook": name, "failures": each.failures, "calls": timing(each.calls)} for name, each in tally.hooks.items()
            ],
            "reactor": {"lags": timing(tally.lags), "stalls": dict(tally.stalls)},
            "process": {"threads": threading.active_count(), "memory": _memory(), "processorTime": time.process_time()},
        }

    def _services(self) -> list[dict[str, Any]]:
        """One for each that listens, whether or not anybody came."""
        assert self._server.system is not None
        system = self._server.system
        words = dict.fromkeys(each.service for each in self._server.listeners if not each.isInside)
        flowing: dict[str, list[int]] = {word: [0, 0] for word in system.tally.services}
        for connection in system.context.sessions:
            flow = flowing[connection.listener.service]
            flow[0] += connection.octetsIn
            flow[1] += connection.octetsOut
        return [
            _service(word, system.tally.service(word), flowing.get(word, (0, 0)))
            for word in dict.fromkeys([*words, *system.tally.services])
        ]

    async def _queue(self) -> dict[str, Any]:
        """How much waits; all None where the queue cannot tell."""
        assert self._server.system is not None
        names = ("recipients", "messages", "waiting", "due", "leased", "held", "oldest")
        queue = self._server.system.queue
        try:
            seen = await self._patient.ask("overview", lambda: queue.overview(0), None)
        except Refusal:
            seen = None
        return {name: getattr(seen[0], name) if seen is not None else None for name in names}

    async def _disks(self, directories: list[str]) -> list[Disk]:
        return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), disks, directories)

    async def _healths(self) -> list[tuple[str, Health]]:
        """What can say how it is, each with the part of the system that it is of."""
        system = self._server.system
        assert system is not None
        found: list[tuple[str, Health]] = []
        for name, part, thing in (
            ("store", "store", system.store),
            ("queue", "queue", system.queue),
            *((name, "accounts", source) for name, source in system.sources),
        ):
            if IHealth.providedBy(thing):
                found += [(part, health) for health in await self._healthOf(name, IHealth(thing))]
        return found

    async def _healthOf(self, name: str, thing: IHealth) -> Sequence[Health]:
        try:
            return await self._patient.ask(name, thing.health, [Health(name, "does not answer")])
        except Refusal as refusal:
            return [Health(name, refusal.text)]
        except Exception as error:
            _log.failure("{part} could not be asked how it is", part=name)
            return [Health(name, type(error).__name__)]


def _service(word: str, tally: ServiceTally, flow: Sequence[int]) -> dict[str, Any]:
    return {
        "service": word,
        "open": tally.begun - tally.ended,
        "begun": tally.begun,
        "ended": tally.ended,
        "refused": tally.refused,
        "refusals": tally.refusals,
        "octetsIn": tally.octetsIn + flow[0],
        "octetsOut": tally.octetsOut + flow[1],
        "commands": timing(tally.commands),
        "messages": {outcome: tally.messages[outcome] for outcome in OUTCOMES},
        "taking": timing(tally.taking),
    }


def _database(part: str, health: Health) -> dict[str, Any]:
    shown: dict[str, Any] = {"part": part, "database": health.name, "trouble": health.trouble, "waiting": health.waiting}
    shown |= {"octets": health.octets, "walOctets": health.walOctets, "unindexed": health.unindexed}
    writer = health.writer
    if writer is not None:
        shown |= {"jobs": writer.jobs, "failures": writer.failures, "group": writer.group, "seconds": writer.seconds}
        shown |= {"transactions": timing(writer.transactions), "commits": timing(writer.commits)}
    return shown


def _memory() -> int | None:
    """Octets of memory that the process has in use; None where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
