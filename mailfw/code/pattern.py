"""Patterns of addresses: `ticket-{id:int}@example.org`. Pure.

    pattern  = part "@" part
    part     = 1*(literal / variable)       ; no two variables without a literal between them
    variable = "{" name [":" converter] "}"

Case counts neither in literals nor in domains; values keep theirs. Of several ways to match, the first variable takes as little
as it can, then the second, and so on. Matching takes steps in proportion to the address's length times the pattern's, whatever is
in them: what can follow is worked out once from the end, so that nothing is ever tried twice.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import frozen

LONGEST = 320
"""Characters of an address that is looked at at all."""

_INT_DIGITS = 18
"""More digits fit into no column of a database."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z]+))?\}")


class PatternError(ValueError):
    """It is no pattern; the text says why."""


@frozen
class Converter:
    """Which characters a variable takes, and what is made of them.

    :ivar rank: takes a character that one of lower rank takes, too.
    :ivar sample: a character that all of this rank and above take.
    """

    name: str
    rank: int
    sample: str
    takes: Callable[[str], bool]
    longest: int = LONGEST
    value: Callable[[str], Any] = str  # whatever the function wants


CONVERTERS = {
    each.name: each
    for each in (
        Converter("int", 0, "0", lambda c: c in "0123456789", _INT_DIGITS, int),
        Converter("word", 1, "a", lambda c: c.isalnum() or c == "_"),
        Converter("slug", 2, "-", lambda c: c.isalnum() or c in "_-"),
        Converter("str", 3, ".", lambda c: c.isprintable() and c not in '+/ @"\\<>'),
        Converter("any", 4, "+", str.isprintable),
    )
}


@frozen
class Variable:
    """A place in a pattern."""

    name: str
    converter: Converter


Part = tuple[str | Variable, ...]
"""Literals in lower case, and variables."""


@frozen
class Pattern:
    """:ivar text: as it was written."""

    text: str
    local: Part
    domain: Part

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """:raises PatternError: it is none."""
        local, at, domain = text.strip().rpartition("@")
        if not at or not local or not domain or len(text) > LONGEST:
            raise PatternError(f'"{text}" is no pattern of an address: write "ticket-{{id:int}}@example.org"')
        pattern = cls(text, _parsed(local, text), _parsed(domain, text))
        names = pattern.names
        for name in names:
            if names.count(name) > 1:
                raise PatternError(f'"{text}" has two places for {name}')
        return pattern

    @property
    def names(self) -> list[str]:
        """Of the variables."""
        return [each.name for each in (*self.local, *self.domain) if isinstance(each, Variable)]

    @property
    def isLiteral(self) -> bool:
        """Whether the local part has no variables."""
        return not any(isinstance(each, Variable) for each in self.local)

    @property
    def order(self) -> tuple[int, ...]:
        """The lower, the more is said: no variable in the domain, none in the local part; more literal characters; narrower
        variables."""
        return (*_vagueness(self.domain), *_vagueness(self.local))

    def __str__(self) -> str:
        return self.text


def _vagueness(part: Part) -> tuple[int, int, int]:
    variables = [each for each in part if isinstance(each, Variable)]
    literals = sum(len(each) for each in part if isinstance(each, str))
    return bool(variables), -literals, sum(1 + each.converter.rank for each in variables)


def _parsed(text: str, whole: str) -> Part:
    found: list[str | Variable] = []
    at = 0
    for match in _VARIABLE.finditer(text):
        if literal := text[at : match.start()]:
            found.append(_literal(literal, whole))
        elif found:
            raise PatternError(f'"{whole}": nothing divides {match[0]} from what comes before it')
        converter = CONVERTERS.get(match[2] or "str")
        if converter is None:
            raise PatternError(f'"{whole}": there is no converter "{match[2]}"; there are {", ".join(CONVERTERS)}')
        found.append(Variable(match[1], converter))
        at = match.end()
    if text[at:]:
        found.append(_literal(text[at:], whole))
    return tuple(found)


def _literal(text: str, whole: str) -> str:
    if re.search(r"[{}\s@<>\x00-\x1f]", text):
        raise PatternError(f'"{whole}": "{text}" cannot stand there; a variable is written {{name}} or {{name:int}}')
    return text.lower()


# --- Matching --------------------------------------------------------------------------------------------------------


def match(part: Part, text: str) -> dict[str, Any] | None:
    """The variables' values; None: the text is not so."""
    if len(text) > LONGEST:
        return None
    rest = _endings(part, text)
    if not rest[0][0]:
        return None
    found: dict[str, Any] = {}
    at = 0
    for number, piece in enumerate(part):
        end = at + len(piece) if isinstance(piece, str) else rest[number + 1].index(True, at + 1)
        if isinstance(piece, Variable):
            if end - at > piece.converter.longest:
                return None
            found[piece.name] = piece.converter.value(text[at:end])
        at = end
    return found


def _endings(part: Part, text: str) -> list[list[bool]]:
    """By piece and place, whether all from that piece on fits what comes from that place on."""
    length = len(text)
    after = [False] * length + [True]
    rows = [after]
    for piece in reversed(part):
        row = [False] * (length + 1)
        if isinstance(piece, str):
            for at in range(length - len(piece) + 1):
                row[at] = after[at + len(piece)] and text[at : at + len(piece)].lower() == piece
        else:
            for at in range(length - 1, -1, -1):
                row[at] = (after[at + 1] or row[at + 1]) and piece.converter.takes(text[at])
        rows.append(row)
        after = row
    return rows[::-1]


# --- What two patterns have in common --------------------------------------------------------------------------------

_Step = tuple[str | Converter, bool]
"""A character, or one that a converter takes; and whether more of them may come."""


def overlap(one: Part, other: Part) -> str | None:
    """A text that both match; None: there is none."""
    first, second = _steps(one), _steps(other)
    begin, end = (0, 0), (len(first), len(second))
    seen = {begin}
    waiting = deque([(begin, "")])
    while waiting:
        (i, j), text = waiting.popleft()
        if (i, j) == end:
            return text
        for a, nextI in _moves(first, i):
            for b, nextJ in _moves(second, j):
                common = _common(a, b)
                if common and (nextI, nextJ) not in seen:
                    seen.add((nextI, nextJ))
                    waiting.append(((nextI, nextJ), text + common))
    return None


def _steps(part: Part) -> list[_Step]:
    return [
        step for piece in part for step in ([(c, False) for c in piece] if isinstance(piece, str) else [(piece.converter, True)])
    ]


def _moves(steps: Sequence[_Step], at: int) -> Iterator[tuple[str | Converter, int]]:
    """What may come next, and where one is then."""
    if at < len(steps):
        yield steps[at][0], at + 1
    if at and steps[at - 1][1]:
        yield steps[at - 1][0], at


def _common(a: str | Converter, b: str | Converter) -> str:
    """A character that is both; empty: there is none."""
    if isinstance(a, Converter) and isinstance(b, Converter):
        return min(a, b, key=lambda each: each.rank).sample
    if isinstance(a, Converter):
        a, b = b, a
    isBoth = b.takes(str(a)) if isinstance(b, Converter) else a == b
    return str(a) if isBoth else ""
