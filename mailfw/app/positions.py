"""On which line of a TOML document each key stands: tomllib reads values and forgets where they were.

The scanner expects a document that tomllib has accepted, so it need not find mistakes, only its way through strings,
arrays, inline tables and headers. A path is the way to a value through tables (`str`) and arrays (`int`).
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\r\n]+")


class Positions:
    """The lines of one document's keys."""

    def __init__(self, text: str) -> None:
        self._lines = _Scanner(text).document()

    def lineOf(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest table or array around it; the first line is 1."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[Path, int] = {}
        self._lastOf: dict[Path, int] = {}  # array of tables -> index of the table being read

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._pair(table)
        return self._lines

    def _header(self) -> Path:
        at, isArray = self._at, self._text.startswith("[[", self._at)
        self._at += 2 if isArray else 1
        *parents, last = self._key()
        self._skip(_SPACE)
        self._at += 2 if isArray else 1
        path: Path = ()
        for key in parents:
            path = self._note((*path, key), at)
            if path in self._lastOf:
                path = (*path, self._lastOf[path])
        path = self._note((*path, last), at)
        if isArray:
            self._lastOf[path] = self._lastOf.get(path, -1) + 1
        return self._note((*path, self._lastOf[path]), at) if path in self._lastOf else path

    def _pair(self, table: Path) -> Path:
        """`key = value`; the table that it stands in, unchanged."""
        at, path = self._at, table
        for key in self._key():
            path = self._note((*path, key), at)
        self._skip(_SPACE)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)
        return table

    def _value(self, path: Path) -> None:
        opening = self._text[self._at]
        if opening == "[":
            self._items(path, "]")
        elif opening == "{":
            self._items(path, "}")
        else:
            self._skip(_STRING if opening in "\"'" else _BARE)

    def _items(self, path: Path, closing: str) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != closing:
            if closing == "}":
                self._pair(path)
            else:
                self._value(self._note((*path, index), self._at))
                index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            start = self._at
            part = self._text[start : self._skip(_KEY_PART)]
            parts.append(str(tomllib.loads(f"key = {part}")["key"]) if part[0] in "\"'" else part)
            if self._text[self._skip(_SPACE)] != ".":
                return parts
            self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return self._at

    def _note(self, path: Path, at: int) -> Path:
        self._lines.setdefault(path, bisect_right(self._starts, at))
        return path
