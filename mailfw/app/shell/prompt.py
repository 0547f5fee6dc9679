"""One prompt: keys and lines in, statements run one after another, what comes of them on the screen.

With a terminal there is a line to edit, colours, and keys that end what is shown live. Without one, lines are taken as they come,
nothing is shown but what statements show, and the end of input ends the prompt, with status 1 where a statement failed.

Whatever is typed is logged, with who typed it, before it is run; what looks like a password in it is masked.
"""

from __future__ import annotations

import rlcompleter
from collections import deque
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailfw.app.shell.editor import Editor
from mailfw.app.shell.history import History
from mailfw.app.shell.interpreter import Interpreter
from mailfw.app.shell.keys import Keys
from mailfw.app.shell.page import Line, Page, Style, columns, printable
from mailfw.app.shell.statements import Lines, discreet

GREETING = "mailfw: help() says what is here, Ctrl-D leaves"
PROMPT, MORE = ">>> ", "... "
TYPED_AHEAD = 1 << 20
"""Octets that wait while a statement runs; who sends more without waiting is hung up on."""

_PASTES, _PASTES_NO_MORE = "\x1b[?2004h", "\x1b[?2004l"
_PICTURE, _PICTURE_NO_MORE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"

_log = Logger("mailfw.manhole")


class Terminal(Protocol):
    """The other end. :ivar isBlocked: much of what was written has not been taken."""

    @property
    def isBlocked(self) -> bool: ...

    def write(self, data: bytes, /) -> None:
        """Send octets."""

    def leave(self, status: int, /) -> None:
        """Say how it ended, and end."""


class Prompt:
    """One prompt, and the screen of what is run at it.

    :param who: for the log. :param session: likewise: which of those that are there at a time.
    :ivar isTerminal: somebody looks at it, and has keys.
    """

    def __init__(
        self,
        terminal: Terminal,
        names: dict[str, Any],
        who: str,
        session: str,
        history: History,
        reactor: Any,
        isTerminal: bool,
        size: tuple[int, int] = (80, 24),
        isColoured: bool = True,
    ) -> None:
        self.isTerminal = isTerminal
        self.width, self.height = size
        self._terminal = terminal
        self._who, self._session = who, session
        self._history = history
        self._reactor = reactor
        self._isColoured = isColoured and isTerminal
        self._completer = rlcompleter.Completer(names)
        self._editor = Editor(history.lines, self._completions)
        self._keys = Keys()
        self._interpreter = Interpreter(names, self, self._warn)
        self._lines = Lines()
        self._pressed: deque[str] = deque()  # keys that nobody has looked at
        self._input = b""  # without a terminal: the line that is coming
        self._came: deque[str] = deque()  # without a terminal: lines that nobody has looked at
        self._statements: deque[str] = deque()
        self._running: Deferred[Any] | None = None
        self._key: Deferred[bool] | None = None
        self._isGoing = True  # until it begins
        self._isEnded = self._isOver = self._isPicture = False
        self._isFresh = True  # the cursor is where a line begins
        self._status = 0

    def begin(self) -> None:
        """Greet who has come, and do what has come already."""
        self._isGoing = False
        if self.isTerminal:
            self._send(_PASTES)
            self._send(Style.ASIDE.dress(GREETING) + "\r\n" if self._isColoured else GREETING + "\r\n")
        self._goOn()

    # --- What comes --------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Octets from the other end."""
        if self._key is not None and self.isTerminal:
            pressed, self._key = self._key, None
            pressed.callback(True)
            return
        if self.isTerminal:
            for key in self._keys.feed(data):
                if key == "c-c" and self._running is not None:
                    self._pressed.clear()
                    self._statements.clear()
                    self._running.cancel()
                else:
                    self._pressed.append(key)
        else:
            *lines, self._input = (self._input + data).split(b"\n")
            self._came += [line.decode("utf-8", "replace").removesuffix("\r") for line in lines]
        if len(self._pressed) + len(self._input) + sum(map(len, self._came)) > TYPED_AHEAD:
            self._leave(1)
        else:
            self._goOn()

    def resized(self, width: int, height: int) -> None:
        """The window has another size."""
        if not self.isTerminal:
            return
        self.width, self.height = max(1, width), max(1, height)
        if self._running is None and not self._isGoing and not self._isOver:
            self._editor.rewrapped(self._prompt, self.width)
            self._draw()

    def inputEnded(self) -> None:
        """No more will come."""
        if not self._isEnded:
            self._isEnded = True
            if self._input:
                self._came.append(self._input.decode("utf-8", "replace"))
            self._goOn()

    def lost(self) -> None:
        """The other end is gone: what waits is cancelled."""
        self._isOver = True
        if self._running is not None:
            self._running.cancel()

    # --- One thing after another -------------------------------------------------------------------------------------

    def _goOn(self) -> None:
        """Do what there is to do, until something has to be waited for."""
        if self._isGoing:
            return
        self._isGoing = True
        try:
            while self._running is None and not self._isOver and self._step():
                pass
        finally:
            self._isGoing = False
        if self._running is None and not self._isOver:
            if self.isTerminal:
                self._draw()
            elif self._isEnded:
                self._leave(self._status)

    def _step(self) -> bool:
        """Do one thing; whether there was any."""
        if self._statements:
            self._run(self._statements.popleft())
        elif self._pressed:
            self._press(self._pressed.popleft())
        elif self._came:
            self._statements += self._lines.push(self._came.popleft(), False)
        elif self._isEnded and self._lines.isInside:
            self._statements.append(self._lines.take())
        else:
            return False
        return True

    def _press(self, key: str) -> None:
        editor = self._editor
        if key in ("enter", "pasted"):
            editor.press(key)
            self._draw()
            self._send(editor.leave(self.width, self._prompt))
            self._statements += self._lines.push(editor.take(), key == "enter")
        elif key == "c-c":
            self._draw()
            self._send(editor.leave(self.width, self._prompt))
            editor.clear()
            self._lines.take()
        elif key == "c-d" and not editor.text:
            self._send(editor.leave(self.width, self._prompt))
            self._leave(0)
        elif key == "c-l":
            self._send(editor.erase() + "\x1b[H\x1b[2J")
        else:
            editor.press(key)
            if editor.offers:
                self._offer()

    def _offer(self) -> None:
        """Show what a name could be, below the line, which comes again below that."""
        offers, self._editor.offers = self._editor.offers, ()
        self._draw()
        self._send(self._editor.leave(self.width, self._prompt))
        widest = max(map(columns, offers)) + 2
        each = max(1, self.width // widest)
        rows = [offers[start : start + each] for start in range(0, len(offers), each)]
        for row in rows:
            self.write(Line("".join(f"{offer:{widest}}" for offer in row).rstrip() + "\n", Style.ASIDE))

    def _run(self, source: str) -> None:
        said, hasSecret = discreet(source)
        _log.info("{who} typed: {statement}", who=self._who, statement=said, session=self._session)
        if not hasSecret and self.isTerminal:
            self._history.keep(source)
        self._running = Deferred.fromCoroutine(self._interpreter.run(source))
        self._running.addBoth(self._ran)

    def _ran(self, result: Any) -> None:
        self._running = None
        if isinstance(result, Failure):
            if result.check(SystemExit):
                self._leave(_status(result.value))
                return
            if not result.check(CancelledError):
                _log.failure("a statement could not be run", result, session=self._session)
        if result is not True:
            self._status = 1
        self._goOn()

    def _leave(self, status: int) -> None:
        if not self._isOver:
            self._isOver = True
            if self.isTerminal:
                self._send(_PASTES_NO_MORE)
            self._terminal.leave(status)

    def _warn(self, seconds: float) -> None:
        self.write(Line(f"(that held up the server, and everybody in it, for {seconds:.2f} s)\n", Style.WARNING))
        told = "a statement of {who} held up the server for {seconds:.2f} s"
        _log.warn(told, who=self._who, seconds=seconds, session=self._session)

    # --- The screen --------------------------------------------------------------------------------------------------

    @property
    def isBlocked(self) -> bool:
        """Whether more was written than is read."""
        return self._terminal.isBlocked

    def write(self, line: Line) -> None:
        """Show text, below what is there; the line that is edited comes below it again."""
        if self._isOver or not line.text:
            return
        isEditing = self.isTerminal and self._running is None and not self._isGoing
        if isEditing:
            self._send(self._editor.erase())
        text = printable(line.text)
        self._isFresh = text.endswith("\n")
        if self._isColoured and line.style is not Style.PLAIN:
            text = "\n".join(map(line.style.dress, text.split("\n")))
        self._send(text.replace("\n", "\r\n") if self.isTerminal else text)
        if isEditing:
            self._draw()

    def picture(self, page: Page | None) -> None:
        """Show a page in place of everything; None: show again what was there before."""
        if page is None:
            if self._isPicture:
                self._send(_PICTURE_NO_MORE)
            self._isPicture = False
            return
        rows = [(row, line.style) for line in page.lines for row in printable(line.text).rstrip("\n").split("\n")]
        out = "\x1b[H" if self._isPicture else _PICTURE + "\x1b[H"
        self._isPicture = True
        for row, style in rows[: self.height - 1]:
            out += (style.dress(_fitting(row, self.width)) if self._isColoured else _fitting(row, self.width)) + "\x1b[K\r\n"
        self._send(out + "\x1b[J" + _fitting("any key ends this", self.width))

    async def untilKey(self, seconds: float | None = None) -> bool:
        """Wait until a key is pressed; whether one was."""
        call: IDelayedCall | None = None
        key: Deferred[bool] = Deferred(self._keyless)
        self._key = key
        if seconds is not None:
            call = self._reactor.callLater(seconds, self._late)
        try:
            return await key
        finally:
            if call is not None and call.active():
                call.cancel()

    def _keyless(self, key: Deferred[bool]) -> None:
        self._key = None

    def _late(self) -> None:
        if self._key is not None:
            key, self._key = self._key, None
            key.callback(False)

    @property
    def _prompt(self) -> str:
        return MORE if self._lines.isInside else PROMPT

    def _draw(self) -> None:
        if not self._isFresh:
            self._send("\r\n")
            self._isFresh = True
        self._send(self._editor.draw(self._prompt, self.width, self._isColoured))

    def _send(self, text: str) -> None:
        self._terminal.write(text.encode("utf-8", "replace"))

    def _completions(self, begun: str) -> list[str]:
        found: list[str] = []
        try:
            while (each := self._completer.complete(begun, len(found))) is not None:
                found.append(each)
        except Exception:  # whatever an attribute of somebody's raises
            return found
        return [each.strip().rstrip("()") for each in found]


def _fitting(text: str, width: int) -> str:
    while columns(text) > width:
        text = text[: min(len(text) - 1, width)]
    return text


def _status(error: Any) -> int:
    """The status that `exit(…)` asks for."""
    code = getattr(error, "code", None)
    return code & 0xFF if isinstance(code, int) else 0 if code is None else 1


