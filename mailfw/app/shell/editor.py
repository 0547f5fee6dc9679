"""A line that is being written: its text, the cursor, the history behind it, and how it is drawn. Pure.

The line may take several rows of the screen; it is drawn anew from its first row on after each group of keys. So nothing needs
to be known of the terminal but its width.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Callable, Sequence

from mailfw.app.shell.page import Style, columns

Complete = Callable[[str], Sequence[str]]
"""What a name that was begun could be, each whole."""

_NAME = re.compile(r"[\w.]*\Z")
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_WORD = re.compile(r"\w+\W*")
_STRING, _NUMBER, _KEYWORD, _COMMENT = "35", "36", "33", "2"


class Editor:
    """One line after another.

    :param history: lines that were entered before, the oldest first; it grows.
    :ivar text: the line. :ivar at: where the cursor is in it.
    :ivar offers: what the name before the cursor could be, after two tabs; for whoever draws, once.
    """

    def __init__(self, history: list[str], complete: Complete) -> None:
        self.text = ""
        self.at = 0
        self.offers: Sequence[str] = ()
        self.history = history
        self._complete = complete
        self._place = len(history)  # in the history; its length: the line is new
        self._kept = ""  # the new line, while others are looked at
        self._wasTab = False
        self._search: str | None = None
        self._cut = ""
        self._row = 0  # of the cursor when it was drawn last

    # --- Keys --------------------------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """Do what a key does that does not end the line."""
        wasTab, self._wasTab = self._wasTab, key == "tab"
        if self._search is not None and self._searches(key):
            return
        if len(key) == 1:
            self._insert(key)
        elif key == "tab":
            self._tab(wasTab)
        elif action := _ACTIONS.get(key):
            action(self)

    def take(self) -> str:
        """The line as it is; the next one begins."""
        line = self.text
        if line.strip() and (not self.history or self.history[-1] != line):
            self.history.append(line)
        self.clear()
        return line

    def clear(self) -> None:
        """Begin anew."""
        self.text, self.at, self._kept, self._search = "", 0, "", None
        self._place = len(self.history)

    def _insert(self, text: str) -> None:
        self.text = self.text[: self.at] + text + self.text[self.at :]
        self.at += len(text)

    def _delete(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.at = start

    def _left(self) -> None:
        self.at = max(0, self.at - 1)

    def _right(self) -> None:
        self.at = min(len(self.text), self.at + 1)

    def _home(self) -> None:
        self.at = 0

    def _end(self) -> None:
        self.at = len(self.text)

    def _wordLeft(self) -> int:
        starts = [match.start() for match in _WORD.finditer(self.text, 0, self.at)]
        return starts[-1] if starts else 0

    def _wordRight(self) -> int:
        match = _WORD.search(self.text, self.at)
        return match.end() if match else len(self.text)

    def _toWordLeft(self) -> None:
        self.at = self._wordLeft()

    def _toWordRight(self) -> None:
        self.at = self._wordRight()

    def _backspace(self) -> None:
        if self.at:
            self._delete(self.at - 1, self.at)

    def _deleteNext(self) -> None:
        self._delete(self.at, self.at + 1)

    def _kill(self, start: int, end: int) -> None:
        self._cut = self.text[start:end]
        self._delete(start, end)

    def _killLeft(self) -> None:
        self._kill(0, self.at)

    def _killRight(self) -> None:
        self._kill(self.at, len(self.text))

    def _killWordLeft(self) -> None:
        self._kill(self._wordLeft(), self.at)

    def _killWordRight(self) -> None:
        self._kill(self.at, self._wordRight())

    def _yank(self) -> None:
        self._insert(self._cut)

    # --- History -----------------------------------------------------------------------------------------------------

    def _older(self) -> None:
        if self._place > 0:
            self._show(self._place - 1)

    def _newer(self) -> None:
        if self._place < len(self.history):
            self._show(self._place + 1)

    def _show(self, place: int) -> None:
        if self._place == len(self.history):
            self._kept = self.text
        self._place = place
        self.text = self.history[place] if place < len(self.history) else self._kept
        self.at = len(self.text)

    def _beginSearch(self) -> None:
        self._search = ""

    def _searches(self, key: str) -> bool:
        """Whether a key belongs to the search for an older line; any other ends it, with the line that was found."""
        assert self._search is not None
        if key == "c-r":
            self._find(self._place - 1)
        elif key == "backspace":
            self._search = self._search[:-1]
            self._find(len(self.history) - 1)
        elif len(key) == 1:
            self._search += key
            self._find(min(self._place, len(self.history) - 1))
        elif key == "c-g":
            self._search = None
            self._show(len(self.history))
        else:
            self._search = None
            return False
        return True

    def _find(self, start: int) -> None:
        for place in range(start, -1, -1):
            if self._search and self._search in self.history[place]:
                self._show(place)
                return

    # --- Completion --------------------------------------------------------------------------------------------------

    def _tab(self, wasTab: bool) -> None:
        match = _NAME.search(self.text, 0, self.at)
        begun = match[0] if match else ""
        if begun and not {"'", '"'}.isdisjoint(_QUOTED.sub("", self.text[: self.at])):
            return  # in a text there are no names of ours
        if not begun:
            self._insert(" " * 4)
            return
        found = sorted(set(self._complete(begun)))
        if not found:
            return
        common = found[0]
        while not all(each.startswith(common) for each in found):
            common = common[:-1]
        if len(common) > len(begun):
            self._insert(common[len(begun) :])
        elif wasTab and len(found) > 1:
            self.offers = [each.rpartition(".")[2] for each in found]

    # --- Drawing -----------------------------------------------------------------------------------------------------

    def draw(self, prompt: str, width: int, isColoured: bool = True) -> str:
        """What brings the prompt and the line to the screen, over what was drawn of them before."""
        if self._search is not None:
            prompt = f"(looking for {self._search!r}) "
        drawn = Style.HEAD.dress(prompt) + coloured(self.text) if isColoured else prompt + self.text
        total = columns(prompt + self.text)
        ahead = columns(prompt + self.text[: self.at])
        rows, row = total // width, ahead // width
        out = self._toStart() + "\x1b[J" + drawn
        if total and total % width == 0:
            out += "\r\n"  # else the terminal keeps the cursor behind the last column
        if rows > row:
            out += f"\x1b[{rows - row}A"
        out += "\r" + (f"\x1b[{ahead % width}C" if ahead % width else "")
        self._row = row
        return out

    def leave(self, width: int, prompt: str) -> str:
        """What brings the cursor behind the line, to where the next thing is written."""
        rows = columns(prompt + self.text) // width
        down = rows - self._row
        self._row = 0
        return (f"\x1b[{down}B" if down else "") + "\r\n"

    def erase(self) -> str:
        """What takes the line off the screen, to be drawn again below what is written now."""
        start, self._row = self._toStart(), 0
        return start + "\x1b[J"

    def rewrapped(self, prompt: str, width: int) -> None:
        """The terminal has another width, and has wrapped the line anew, as most do."""
        self._row = columns(prompt + self.text[: self.at]) // width

    def _toStart(self) -> str:
        return "\r" + (f"\x1b[{self._row}A" if self._row else "")


_ACTIONS: dict[str, Callable[[Editor], None]] = {
    "left": Editor._left,
    "c-b": Editor._left,
    "right": Editor._right,
    "c-f": Editor._right,
    "home": Editor._home,
    "c-a": Editor._home,
    "end": Editor._end,
    "c-e": Editor._end,
    "word left": Editor._toWordLeft,
    "word right": Editor._toWordRight,
    "backspace": Editor._backspace,
    "delete": Editor._deleteNext,
    "c-d": Editor._deleteNext,
    "c-u": Editor._killLeft,
    "c-k": Editor._killRight,
    "c-w": Editor._killWordLeft,
    "kill word": Editor._killWordRight,
    "c-y": Editor._yank,
    "up": Editor._older,
    "c-p": Editor._older,
    "down": Editor._newer,
    "c-n": Editor._newer,
    "c-r": Editor._beginSearch,
}


def coloured(text: str) -> str:
    """A line of Python with colours; as it is where it cannot be read yet."""
    spans: list[tuple[int, int, str]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            colour = _colour(token)
            if colour and token.start[0] == token.end[0] == 1:
                spans.append((token.start[1], token.end[1], colour))
    except (tokenize.TokenError, SyntaxError):
        pass  # a bracket or a string is open; what was read is coloured
    out, at = "", 0
    for start, end, colour in spans:
        out += f"{text[at:start]}\x1b[{colour}m{text[start:end]}\x1b[0m"
        at = end
    return out + text[at:]


def _colour(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.STRING:
        return _STRING
    if token.type == tokenize.NUMBER:
        return _NUMBER
    if token.type == tokenize.COMMENT:
        return _COMMENT
    return _KEYWORD if token.type == tokenize.NAME and keyword.iskeyword(token.string) else ""
