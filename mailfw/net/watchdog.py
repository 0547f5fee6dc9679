"""Names who holds the reactor: while it lasts, by a thread that looks now and then, and when it is over, by how long it was.

The reactor says a few times a second that it has come round. When it has not for `bound` seconds, the thread reads the stack of
the reactor's thread and names the code on it: the hook whose step is under way, a plugin's module, or the room of ours. Steps of
hooks are timed besides, so that one that takes long without being stuck is named too.

Invariants: nothing here waits for the reactor; one stall is counted once, by who was on the stack when it was first looked at;
however many there are, a stack is logged at most every `QUIET` seconds.

A process that was stopped as a whole, or got no processor, is told from one that is held by the processor time it used: for
code in C that keeps Python's own lock keeps this thread from looking, too, but works meanwhile.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any, TypeVar

from attrs import define
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mailfw.tally import Tally

T = TypeVar("T")

LONG = 0.1
"""Seconds of one step of a hook that are told of."""

QUIET = 10.0
"""Seconds between two stacks in the log, and between two lines about stalls that are over."""

LOOKS = 4
"""How often the reactor says that it has come round, and the thread looks, in the time of a bound."""

SHOWN = 6
"""Lines of a stack that are logged: the innermost."""

UNSEEN = "unseen"
OUTSIDE = "outside"
"""What stalls are counted by that nobody was found for, and those in which the whole process stood still."""

_OURS = "mailfw"
_LIBRARIES = frozenset(
    {
        "OpenSSL", "__main__", "_pytest", "argon2", "attr", "attrs", "automat", "bcrypt", "chardet", "click", "constantly",
        "cryptography", "dns", "hyperlink", "incremental", "joserfc", "mailfw", "passlib", "pluggy", "prometheus_client",
        "pydantic", "pydantic_core", "pytest", "rich", "scramp", "service_identity", "twisted", "zope", "zstandard",
    }
)  # fmt: skip
"""Packages that are on stacks and nobody's plugin, beside Python's own."""

_WAITS = frozenset({"doPoll", "doIteration", "doSelect", "doKEvent"})
"""Functions in which a reactor waits for something to do."""

NameOf = Callable[[str], str]
"""Names the plugin that a module belongs to, for people; empty: none."""


def noPlugin(module: str) -> str:
    """No module belongs to a plugin."""
    return ""


def blamed(modules: list[str], nameOf: NameOf = noPlugin) -> str:
    """Whose code it is that is under way, by the names of the modules on a stack, the outermost first.

    A plugin comes before other strangers' modules, for it may have called them, and those before our own, which everybody calls.
    """
    for module in modules:
        if name := nameOf(module):
            return name
    for module in modules:
        top = module.partition(".")[0]
        if top not in _LIBRARIES and top not in sys.stdlib_module_names:
            return f"module {top}"
    ours = [module for module in modules if module.partition(".")[0] == _OURS]
    return ".".join(ours[-1].split(".")[:2]) if ours else UNSEEN


@define
class _Stall:
    """A time for which the reactor did not come round. :ivar toldAt: after so many seconds of it, last."""

    who: str
    toldAt: float


class Watchdog:
    """One for a process. It watches steps of hooks from the first one on, and the whole reactor from `start` on.

    :param nameOf: asked in the watchdog's thread.
    :param long: seconds. :param clock: seconds.
    :ivar bound: seconds that the reactor may be held; 0: nobody looks, and only steps of hooks are timed.
    :ivar tally: where stalls are counted.
    """

    log = Logger()

    def __init__(
        self,
        bound: float = 1.0,
        tally: Tally | None = None,
        nameOf: NameOf = noPlugin,
        long: float = LONG,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.bound = bound
        self.tally = tally or Tally()
        self._nameOf = nameOf
        self._long = long
        self._clock = clock
        self._step: tuple[str, float] | None = None  # what has its step under way, and since when
        self._dueAt: float | None = None  # when the reactor is to come round next
        self._observed = 0  # the thread that is looked at
        self._ticking: LoopingCall | None = None
        self._stall: _Stall | None = None
        self._stackAt = self._saidAt = -QUIET
        self._unsaid = 0
        self._worked = 0.0  # processor time at the last tick
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def start(self, reactor: Any) -> None:
        """Watch the reactor, which runs in this thread."""
        if self.bound and self._ticking is None:
            self._observed = threading.get_ident()
            self._worked = time.process_time()
            self._ticking = LoopingCall(self._tick)
            self._ticking.clock = reactor
            self._ticking.start(self.bound / LOOKS, now=False)
            self._dueAt = self._clock() + self.bound / LOOKS
            self._begin()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        if self._thread is not None:
            self._thread.join(1.0)

    # --- The reactor -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """The reactor has come round."""
        now, worked = self._clock(), time.process_time()
        late = max(0.0, now - (self._dueAt or now))
        used, self._worked = worked - self._worked, worked
        self._dueAt = now + self.bound / LOOKS
        self.tally.lags.add(late)
        stall, self._stall = self._stall, None
        if late >= self.bound:
            self._ended(late, stall, isOutside=used < late / 2)

    def _ended(self, late: float, stall: _Stall | None, isOutside: bool) -> None:
        """A stall is over. :param isOutside: the process used little of that time."""
        if stall is None:
            stall = _Stall(OUTSIDE if isOutside else UNSEEN, 0.0)
            self.tally.stalls[stall.who] += 1
        now = self._clock()
        if now - self._saidAt < QUIET:
            self._unsaid += 1
            return
        self.log.warn(
            "{who} for {late:.1f} s; it goes on now (and {more} more such times before)",
            who=_OUTSIDE if stall.who == OUTSIDE else f"{stall.who} held the reactor",
            late=late,
            more=self._unsaid,
        )
        self._saidAt, self._unsaid = now, 0

    # --- The thread --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is None and self.bound:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        looked, used = self._clock(), time.process_time()
        while not self._closing.wait(self.bound / LOOKS):
            now, worked = self._clock(), time.process_time()
            hasStoodStill = now - looked >= self.bound and worked - used < (now - looked) / 2
            looked, used = now, worked
            if not hasStoodStill:
                self.look()

    def look(self) -> None:
        """See whether the reactor is held, and say by whom; for the watchdog's thread."""
        now, step, dueAt = self._clock(), self._step, self._dueAt
        since = step[1] if dueAt is None and step is not None else dueAt
        if since is None or now - since < self.bound:
            return
        took, stall = now - since, self._stall
        if stall is not None and took < 4 * stall.toldAt:
            return
        frames = self._frames()
        if stall is None:
            who = step[0] if step is not None else blamed([_moduleOf(frame) for frame in frames], self._nameOf)
            if not frames or frames[-1].f_code.co_name in _WAITS:
                return  # it has just come round
            stall = _Stall(who, took)
            self.tally.stalls[who] += 1
            if now - self._stackAt < QUIET:
                self._stall = stall
                return
        self._stackAt, stall.toldAt, self._stall = now, took, stall
        lines = [
            f"{at.filename}:{at.lineno} in {at.name}: {at.line}"
            for at in traceback.StackSummary.extract([(frame, frame.f_lineno) for frame in reversed(frames[-SHOWN:])])
        ]
        said = "{who} has held the reactor for {took:.1f} s, and does not let go; it is at {line}"
        self.log.error(said, who=stall.who, took=took, line=lines[0])
        for line in lines[1:]:
            self.log.error("| called by {line}", line=line)

    def _frames(self) -> list[types.FrameType]:
        """The stack of the thread that is looked at, the outermost frame first."""
        frame = sys._current_frames().get(self._observed)
        frames: list[types.FrameType] = []
        while frame is not None:
            frames.insert(0, frame)
            frame = frame.f_back
        return frames

    # --- Steps of hooks ----------------------------------------------------------------------------------------------

    def watched(self, name: str, work: Coroutine[Any, Any, T], what: str = "hook") -> Coroutine[Any, Any, T]:
        """Work of other people's functions, every step of it timed. :param what: the log calls it, before its name."""
        if self._ticking is None:
            self._observed = threading.get_ident()
            self._begin()
        return self._timed(f"{what} {name}", work)

    async def _timed(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        return await self._steps(name, work)

    @types.coroutine
    def _steps(self, name: str, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        try:
            while True:
                began = self._clock()
                self._step = (name, began)
                try:
                    awaited = resume()
                finally:
                    self._step = None
                    took = self._clock() - began
                    if self._ticking is None:
                        self._stall = None
                    if took >= self._long:
                        self.log.warn("{who} held the reactor for {took:.2f} s", who=name, took=took)
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


_OUTSIDE = "the whole process stood still, stopped from outside or without a processor,"


def _moduleOf(frame: types.FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "")


def _throwing(work: Coroutine[Any, Any, T], error: BaseException) -> Callable[[], Any]:
    return lambda: work.throw(error)


def _sending(work: Coroutine[Any, Any, T], value: Any) -> Callable[[], Any]:
    return lambda: work.send(value)
