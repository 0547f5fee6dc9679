"""What takes long: begun by one operation, followed by others, so that whoever asked sees how far it is and can end it.

A task belongs to the process that owns the data directory. It goes on when nobody follows it any longer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from attrs import asdict, define
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.app.problem import Problem
from mailfw.errors import Refusal
from mailfw.moving import Progress, Stopped

if TYPE_CHECKING:
    from mailfw.app.context import System

PATIENCE = 0.25
"""Seconds after which whoever follows is told how far it is."""

REMEMBERED = 10
"""Tasks of which is known what came of them."""

_log = Logger("mailfw.app")


@define(eq=False)
class _Task:
    """:ivar outcome: what came of it, or a Failure; nothing while it is under way."""

    operation: str
    progress: Progress
    outcome: list[Any]


class Tasks:
    """Those of one system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._tasks: dict[int, _Task] = {}
        self._last = 0

    async def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """`task start`, `task follow`, `task stop`. :raises Problem: it cannot be done, or what came of a task is one."""
        perform: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            "task start": self.start,
            "task follow": self.follow,
            "task stop": self.stop,
        }
        if operation not in perform:
            raise Problem(f'this server knows no operation "{operation}": are server and command of the same version?')
        return await perform[operation](**arguments)

    async def start(self, name: str, **arguments: Any) -> int:
        """Begin it; its number. :raises Problem: one of that kind is under way."""
        from mailfw.app.moving import OPERATIONS

        if name not in OPERATIONS:
            raise Problem(f'this server knows no operation "{name}": are server and command of the same version?')
        if any(task.operation == name and not task.outcome for task in self._tasks.values()):
            raise Problem(f"another {name} is under way: wait until it is done")
        self._last += 1
        for number in [number for number, task in self._tasks.items() if task.outcome and number <= self._last - REMEMBERED]:
            del self._tasks[number]
        task = self._tasks[self._last] = _Task(name, Progress(), [])
        work = OPERATIONS[name](self._system, task.progress, **arguments)
        Deferred.fromCoroutine(work).addBoth(task.outcome.append)
        return self._last

    async def follow(self, task: int) -> dict[str, Any]:
        """How far it is, after a moment; what came of it, also to whoever asks again because a connection broke."""
        found = self._find(task)
        if not found.outcome:
            waiting: Deferred[None] = Deferred()
            self._system.reactor.callLater(PATIENCE, waiting.callback, None)
            await waiting
        said: dict[str, Any] = {"progress": asdict(found.progress), "isDone": bool(found.outcome), "result": None}
        if found.outcome:
            said["result"] = self._result(found)
        return said

    async def stop(self, task: int) -> None:
        """End it where it can be ended; what it did stays."""
        self._find(task).progress.isStopped = True

    def _find(self, task: int) -> _Task:
        if task not in self._tasks:
            raise Problem("there is no such task")
        return self._tasks[task]

    def _result(self, task: _Task) -> Any:
        [outcome] = task.outcome
        if not isinstance(outcome, Failure):
            return outcome
        error = outcome.value
        if isinstance(error, Stopped):
            raise Problem(f"{task.operation} was stopped; give the command again to go on from there")
        if isinstance(error, Problem):
            raise error
        if isinstance(error, Refusal):
            raise Problem(f"{task.operation}: {error.text}; give the command again to go on from there")
        _log.failure("{operation} failed", outcome, operation=task.operation)
        raise Problem(f"{task.operation} failed ({outcome.getErrorMessage()}); the server's log says why")
