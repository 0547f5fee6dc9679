"""Whether a server can do its work now: what `/readyz`, `mailfw status` and `mailfw top` ask.

It is, when it is not stopping, every listener is there, the store, the queue and the accounts can be written (which is tried,
with a change that changes nothing and lasts), accounts can be looked up, and the disk has room for a message of the largest size.

Invariants: however often it is asked, it looks every `FRESH` seconds at most; an answer comes within `PATIENCE` seconds whatever
hangs, and what hangs is not asked again before it has answered.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mailfw.app.asking import Patient, Shared
from mailfw.errors import Refusal
from mailfw.interfaces import IHealth
from mailfw.values import accountName

if TYPE_CHECKING:
    from mailfw.app.server import Server

FRESH = 5.0
"""Seconds."""

PATIENCE = 5.0
"""Seconds that each part has."""

NOBODY = "readiness-probe"
"""The local part of an account that is looked up, and need not be there."""

_log = Logger("mailfw.app")


@frozen
class Disk:
    """A file system that data is on. :ivar path: a directory there. :ivar free: octets that we may use; :ivar size: in all."""

    path: str
    free: int
    size: int


def disks(paths: list[str]) -> list[Disk]:
    """The file systems of these directories, each once. Blocks."""
    found: dict[int, Disk] = {}
    for path in paths:
        try:
            device, system = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue  # whoever works there says what is wrong
        found.setdefault(device, Disk(path, system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize))
    return list(found.values())


class Readiness:
    """One server's."""

    def __init__(self, server: Server, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._patient = Patient(PATIENCE, reactor)
        self._looked = Shared(self._look, FRESH, reactor)

    async def reasons(self) -> list[str]:
        """Why it is not ready, for people; empty: it is."""
        if not self._server.running:
            return ["the server is stopping"]
        missing = [f"{each.service} does not listen on {each.binding}" for each in self._server.listeners if each.port is None]
        return missing + await self._looked.get()

    async def _look(self) -> list[str]:
        system = self._server.system
        assert system is not None
        parts = {"the store": system.store, "the queue": system.queue, **dict(system.sources)}
        asked = [
            self._asked(name, "takes no change", IHealth(part).prove) for name, part in parts.items() if IHealth.providedBy(part)
        ]
        asked.append(self._asked("accounts", "cannot be looked up", lambda: system.hasAccount(self._nobody())))
        asked.append(self._asked("the disk", "is full", self._mustHaveRoom))
        return [reason for reason in await gatherResults([Deferred.fromCoroutine(each) for each in asked]) if reason]

    def _nobody(self) -> str:
        return accountName(NOBODY, self._server.configuration.domains[0])

    async def _mustHaveRoom(self) -> None:
        """:raises Refusal: there is none."""
        least, data = self._server.configuration.netLimits().messageSize, self._server.data.path
        for disk in await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), disks, [data]):
            if disk.free < least:
                raise Refusal(f"{disk.free >> 20} MiB are free at {data}, less than a message may have")

    async def _asked(self, name: str, fault: str, ask: Callable[[], Awaitable[object]]) -> str:
        """What is wrong with a part; empty: nothing. Never raises."""

        async def answer() -> str:
            await ask()
            return ""

        try:
            return await self._patient.ask(name, answer, f"{name} does not answer")
        except Refusal as refusal:
            return f"{name} {fault}: {refusal.__cause__ or refusal.text}"
        except Exception as error:
            _log.failure("{part} could not be asked how it is", part=name)
            return f"{name} {fault}: {type(error).__name__}"
