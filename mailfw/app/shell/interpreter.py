"""Runs statements, in the reactor's thread, and shows what comes of them.

Invariants:

- What waits, waits as any coroutine does: an `await` at the top of a statement, and an expression whose value is a coroutine or a
  Deferred. Nobody else is held up meanwhile.
- What does not wait holds up everybody. So each step of a statement is timed, from where it gets the processor to where it gives
  it back.
- What a statement prints goes to its own screen, though others print at the same time.
"""

from __future__ import annotations

import inspect
import io
import pprint
import time
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import redirect_stdout
from typing import Any

from twisted.internet.defer import CancelledError

from mailfw.app.problem import Problem
from mailfw.app.shell.page import Line, Page, Shown, Style
from mailfw.app.shell.screen import Live, Screen
from mailfw.app.shell.statements import FILENAME, compiled
from mailfw.errors import Refusal

BLOCKED = 0.1
"""Seconds that a statement may hold up the server without being told of it."""

SHOWN = 20_000
"""Characters of a value that are shown unasked."""


class _Output(io.TextIOBase):
    """Where a statement prints to."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._screen.write(Line(text))
        return len(text)


class Interpreter:
    """Runs one statement after another in one namespace.

    :param warn: told how many seconds a step took that took too long.
    """

    def __init__(
        self,
        names: dict[str, Any],
        screen: Screen,
        warn: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = names
        self._screen = screen
        self._warn = warn
        self._clock = clock
        self._output = _Output(screen)

    async def run(self, source: str) -> bool:
        """Run a statement; whether it worked. What went wrong has been shown.

        :raises SystemExit: it wants to leave.
        """
        try:
            for code, isExpression in compiled(source):
                await self._timed(self._piece(code, isExpression))
        except SystemExit:
            raise
        except CancelledError:
            self._say("cancelled", Style.WARNING)
        except (Problem, Refusal) as error:
            self._say(f"{type(error).__name__}: {error}", Style.BAD)
        except BaseException as error:
            self._say(_told(error), Style.BAD)
        else:
            return True
        return False

    async def _piece(self, code: types.CodeType, isExpression: bool) -> None:
        value = eval(code, self.names)
        if code.co_flags & inspect.CO_COROUTINE:
            value = await value
        if isExpression:
            await self._show(value)

    @types.coroutine
    def _timed(self, coroutine: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Take a coroutine's steps, each with its output and its time."""
        step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
        while True:
            begun = self._clock()
            try:
                with redirect_stdout(self._output):
                    awaited = step()
            except StopIteration:
                return
            finally:
                took = self._clock() - begun
                if took > BLOCKED:
                    self._warn(took)
            try:
                result = yield awaited
            except BaseException as error:
                step = _thrower(coroutine, error)
            else:
                step = _sender(coroutine, result)

    async def _show(self, value: Any) -> None:
        while inspect.isawaitable(value) and not isinstance(value, Shown):
            value = await value
        if value is None:
            return
        self.names["_"] = value
        if isinstance(value, Live):
            await value.run(self._screen)
            return
        if isinstance(value, Shown):
            value = await value.page()
        if isinstance(value, Page):
            for line in value:
                self._screen.write(line)
            return
        self._say(_pictured(value, self._screen.width))

    def _say(self, text: str, style: Style = Style.PLAIN) -> None:
        self._screen.write(Line(text + "\n", style))


def _sender(coroutine: Coroutine[Any, Any, None], value: Any) -> Callable[[], Any]:
    return lambda: coroutine.send(value)


def _thrower(coroutine: Coroutine[Any, Any, None], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)


def _pictured(value: Any, width: int) -> str:
    isContainer = type(value) in (list, tuple, dict, set, frozenset)
    text = pprint.pformat(value, width=width) if isContainer else repr(value)
    if len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]}\n… {len(text) - SHOWN} characters more: print(_) shows them all"


def _told(error: BaseException) -> str:
    """An error as Python would tell it, without the steps that are ours."""
    told = traceback.TracebackException.from_exception(error)
    while told.stack and told.stack[0].filename != FILENAME:
        del told.stack[0]
    return "".join(told.format() if told.stack else told.format_exception_only()).rstrip("\n")
