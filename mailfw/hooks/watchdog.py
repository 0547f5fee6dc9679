"""Names what holds the reactor: a hook, or another function of other people's, that is an `async def` and works, or blocks,
between two of its awaits.

Each step is timed. One that took long is named when it is over; one that does not end is named by a thread that looks
now and then, with the line that it is at.
"""

from __future__ import annotations

import sys
import threading
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any, TypeVar

from twisted.logger import Logger

T = TypeVar("T")

LONG = 0.1
"""Seconds of one step that are told of."""

STUCK = 2.0
"""Seconds after which a step is told of that has not ended."""


class Watchdog:
    """One for all hooks of a process. :param what: is watched, as the log calls it."""

    log = Logger("mailfw.hooks")

    def __init__(
        self, clock: Callable[[], float] = perf_counter, long: float = LONG, stuck: float = STUCK, what: str = "hook"
    ) -> None:
        self._what = what
        self._clock = clock
        self._long = long
        self._stuck = stuck
        self._step: tuple[str, float, int] | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def watched(self, name: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The same work, every step of it timed."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="hooks-watchdog", daemon=True)
            self._thread.start()
        return self._timed(name, work)

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(1.0)

    async def _timed(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        return await self._steps(name, work)

    @types.coroutine
    def _steps(self, name: str, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        try:
            while True:
                began = self._clock()
                self._step = (name, began, threading.get_ident())
                try:
                    awaited = resume()
                finally:
                    self._step = None
                    took = self._clock() - began
                    if took >= self._long:
                        self.log.warn("{what} {hook} held the reactor for {took:.2f} s", what=self._what, hook=name, took=took)
                try:
                    result = yield awaited
                except GeneratorExit:
                    work.close()
                    raise
                except BaseException as error:
                    resume = _throwing(work, error)
                else:
                    resume = _sending(work, result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _look(self) -> None:
        told: tuple[str, float, int] | None = None
        while not self._closing.wait(self._stuck / 2):
            step = self._step
            if step is None or step is told or self._clock() - step[1] < self._stuck:
                continue
            told = step
            frame = sys._current_frames().get(step[2])
            where = "".join(traceback.format_stack(frame)[-3:]) if frame is not None else ""
            self.log.error(
                "{what} {hook} has held the reactor for {took:.0f} s, and does not let go:\n{where}",
                what=self._what,
                hook=step[0],
                took=self._clock() - step[1],
                where=where,
            )


def _throwing(work: Coroutine[Any, Any, T], error: BaseException) -> Callable[[], Any]:
    return lambda: work.throw(error)


def _sending(work: Coroutine[Any, Any, T], value: Any) -> Callable[[], Any]:
    return lambda: work.send(value)
