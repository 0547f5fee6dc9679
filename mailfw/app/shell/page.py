"""What a prompt shows: lines of text with a style each, none of which can change anybody's terminal.

Whatever remote clients and senders put into names, headers and commands is text here. `printable` is the only way to a screen:
control characters, and those that are not seen but turn text round or hide it, are shown as escapes. Colours are added behind it.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

CUT = 120
"""Columns that one cell of a table may have."""


class Style(enum.Enum):
    """How a line looks: parameters of SGR (ECMA-48 §8.3.117)."""

    PLAIN = ""
    HEAD = "1"
    BAD = "31"
    ASIDE = "2"
    CLIENT = "36"
    SERVER = "32"
    WARNING = "33"

    def dress(self, text: str) -> str:
        """The text with what switches the style on and off."""
        return f"\x1b[{self.value}m{text}\x1b[0m" if self.value and text else text


def printable(text: str) -> str:
    """Text that is nothing but text: all but printable characters, line ends and tabs are escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escaped(each) for each in text)


def oneLine(text: str) -> str:
    """The same with line ends and tabs escaped too."""
    return text if text.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if ord(character) > 0x7F else f"\\x{ord(character):02x}"


def columns(text: str) -> int:
    """How many columns of a terminal printable text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


@frozen
class Line:
    """One line, or more, of one style."""

    text: str
    style: Style = Style.PLAIN


class Page:
    """Lines, shown as they are; `str` and `repr` give their text."""

    def __init__(self, lines: Iterable[Line | str] = ()) -> None:
        self.lines = [Line(each) if isinstance(each, str) else each for each in lines]

    def __repr__(self) -> str:
        return "\n".join(printable(line.text) for line in self.lines)

    def __iter__(self) -> Iterator[Line]:
        """Its lines, with their ends."""
        return (Line(line.text.removesuffix("\n") + "\n", line.style) for line in self.lines)


class Shown:
    """What has to be asked for first, and waited for, to be shown."""

    async def page(self) -> Page:
        """What a prompt shows for it now."""
        raise NotImplementedError


class Text(str):
    """A string that a prompt shows as it is."""

    def __repr__(self) -> str:
        return printable(self)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> list[Line]:
    """Rows under their headings, in columns.

    :param heads: one that ends in `#` stands above numbers, which are set to the right.
    :param nothing: said where there are no rows.
    """
    cells = [[_cut(oneLine(str(cell))) for cell in row] for row in rows]
    if not cells:
        return [Line(nothing, Style.ASIDE)]
    areNumbers = [head.endswith("#") for head in heads]
    cells.insert(0, [head.rstrip("#") for head in heads])
    widths = [max(columns(cell) for cell in column) for column in zip(*cells, strict=True)]
    texts = [
        "  ".join(
            " " * (width - columns(cell)) + cell if isNumber else cell + " " * (width - columns(cell))
            for cell, width, isNumber in zip(row, widths, areNumbers, strict=True)
        ).rstrip()
        for row in cells
    ]
    return [Line(text, Style.PLAIN if number else Style.HEAD) for number, text in enumerate(texts)]


def _cut(text: str) -> str:
    return text if len(text) <= CUT else text[: CUT - 1] + "…"
