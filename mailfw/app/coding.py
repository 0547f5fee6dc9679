"""Mail to code, wired: what `[code]` says, made into the routes of functions.

A reload imports anew what has changed. A module that cannot be imported keeps the functions that it had, and the rest is
reloaded; at the start there are none to keep, so that the server does not start: mail for an address that nobody knows would be
returned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.app.problem import Problem
from mailfw.app.quantities import seconds
from mailfw.app.sections import Configuration
from mailfw.code.delivery import Functions, Surroundings
from mailfw.code.loading import Broken, Loaded, load
from mailfw.code.routing import Overlap, Route, RouteError, Table
from mailfw.code.running import Runner
from mailfw.delivery.directory import Directory
from mailfw.delivery.queue.queue import LOCAL_LANE
from mailfw.delivery.router import Router
from mailfw.delivery.routes import Own
from mailfw.delivery.schedule import Schedule, parseIntervals
from mailfw.net.watchdog import Watchdog
from mailfw.storage.flags import encode
from mailfw.storage.names import mailboxName
from mailfw.values import Address

_log = Logger("mailfw.code")


class OwnFunctions(Functions):
    """Functions as the relay sees them. :ivar schedules: of routes."""

    schedules: dict[Route, Schedule]

    def schedule(self, address: Address) -> Schedule | None:
        """That of the function that the address belongs to."""
        match = self.table.find(address)
        return self.schedules.get(match.route) if match is not None else None


class Coding:
    """The functions of a system.

    :param watchdog: of the process, which is closed by whoever made it.
    :ivar current: those in use. :ivar failures: of modules, when they were imported last.
    """

    def __init__(self, reactor: Any, watchdog: Watchdog | None = None) -> None:
        self._reactor = reactor
        self._watchdog = watchdog
        self._runner: Runner | None = None
        self._loaded = Loaded()
        self.current = Table()
        self.failures: Sequence[Broken] = ()

    def table(self, configuration: Configuration) -> tuple[Table, list[str]]:
        """The functions that the configuration names; and what could not be imported, in words.

        :raises Problem: they make no sense together.
        """
        code = configuration.code
        if not code.modules:
            self._loaded, self.failures = Loaded(), ()
            return Table(), []
        path = configuration.path(code.path) if code.path else ""
        loaded = load(code.modules, path, self._loaded)
        routes = [
            evolve(each, timeout=each.timeout or code.timeout, concurrency=each.concurrency or code.concurrency)
            for each in loaded.all
        ]
        try:
            for each in routes:
                _schedule(each, configuration)
                _named(each, lambda route: seconds(route.timeout))
            table = Table(routes, configuration.domains, configuration.addresses.tagDelimiter)
        except (RouteError, ValueError) as error:
            raise Problem(f"code: {error}") from None
        self._loaded, self.failures = loaded, loaded.failures
        for failure in loaded.failures:
            _log.failure("{line}", Failure(failure.error), line=str(failure))
        for overlap in table.overlaps:
            _log.warn("{line}", line=said(overlap))
        return table, [f"{failure}; its functions stay as they were" for failure in loaded.failures]

    def tableAtStart(self, configuration: Configuration) -> Table:
        """The same, in use from now on. :raises Problem: a module cannot be imported, or they make no sense together."""
        table, _ = self.table(configuration)
        if self.failures:
            raise Problem("; ".join(map(str, self.failures)))
        self.use(table)
        return table

    def use(self, table: Table) -> None:
        """These are the functions from now on."""
        self.current = table

    def own(self, configuration: Configuration, table: Table, directory: Directory) -> Callable[[Router], Own]:
        """Makes the routes of functions for a router."""
        if self._runner is None:
            self._runner = Runner(self._reactor, self._watchdog)
        runner = self._runner

        def made(router: Router) -> Own:
            surroundings = Surroundings(
                hostname=configuration.hostname,
                firstDomain=configuration.domains[0],
                now=time.time,
                resolve=directory.resolvePeople,
                sendingOn=router.sendingOn,
                mailboxName=mailboxName,
                encodeFlags=encode,
                seconds=seconds,
                lane=LOCAL_LANE,
            )
            own = OwnFunctions(table, runner, surroundings)
            own.schedules = {route: _schedule(route, configuration) for route in table.routes}
            return own

        return made

    async def close(self) -> None:
        """Let go of threads."""
        if self._runner is not None:
            self._runner.close()


def said(overlap: Overlap) -> str:
    """An ambiguity in a line."""
    first, second = overlap.first, overlap.second
    return (
        f'"{first.pattern}" of {first.name} and "{second.pattern}" of {second.name} both mean {overlap.address}:'
        f" the first one gets it; say more in one of them"
    )


def _schedule(route: Route, configuration: Configuration) -> Schedule:
    """When a function is called again. :raises ValueError: what its decorator says of that makes no sense."""
    code, general = configuration.code, configuration.queue.schedule()
    retry = route.retry if route.retry is not None else code.retry
    return Schedule(
        _named(route, lambda _: parseIntervals(retry)) if retry is not None else general.intervals,
        code.warnAfter if code.warnAfter is not None else general.warnAfter,
        _named(route, lambda _: seconds(route.giveUpAfter)) if route.giveUpAfter is not None
        else code.giveUpAfter if code.giveUpAfter is not None
        else general.giveUpAfter,
    )  # fmt: skip


def _named(route: Route, read: Callable[[Route], Any]) -> Any:
    """What is read. :raises ValueError: names the route."""
    try:
        return read(route)
    except ValueError as error:
        raise ValueError(f"{route.name}: {error}") from None
