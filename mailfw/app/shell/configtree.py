"""`config`: the configuration in use as a tree, with the words of the file, and secrets masked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from mailfw.app.shell.page import Line, Page, Style, oneLine

MASK = "***"

_MIB = 1 << 20

_SECRET = re.compile(r"passw(?:or)?d|passphrase|secret|token(?!iz)|credential|api_?key", re.IGNORECASE)
_IN_URL = re.compile(r"(://[^/@\s:]*:)[^/@\s]+(@)")
_WITHOUT = rf"\1{MASK}\2"


class Tree:
    """A section of the configuration; its attributes are its keys, as `mailfw.app.sections` calls them.

    :param find: the section as it is now, which a reload may change.
    """

    def __init__(self, find: Callable[[], BaseModel], path: str = "") -> None:
        self._find = find
        self._path = path

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._find(), name)
        if isinstance(value, BaseModel):
            return Tree(lambda: getattr(self._find(), name), f"{self._path}{name}.")
        return value

    def __dir__(self) -> list[str]:
        return [*type(self._find()).model_fields]

    def __repr__(self) -> str:
        return repr(Page(_lines(self._find(), "")))


def _lines(value: BaseModel, indent: str) -> Iterator[Line]:
    """Values before sections, as TOML has them."""
    named = [(_word(value, name), getattr(value, name)) for name in type(value).model_fields]
    for word, each in sorted(named, key=lambda item: _isTable(item[1])):
        yield from _entry(word, each, indent)


def _entry(word: str, value: Any, indent: str) -> Iterator[Line]:
    if isinstance(value, BaseModel):
        yield Line(f"{indent}{word}", Style.HEAD)
        yield from _lines(value, indent + "    ")
    elif isinstance(value, dict) and value:
        yield Line(f"{indent}{oneLine(word)}", Style.HEAD)
        for key, each in value.items():
            yield from _entry(str(key), each, indent + "    ")
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for number, each in enumerate(value):
            yield Line(f"{indent}{word}[{number}]", Style.HEAD)
            yield from _lines(each, indent + "    ")
    else:
        yield Line(f"{indent}{oneLine(word)} = {_shown(word, value)}")


def _isTable(value: Any) -> bool:
    return isinstance(value, BaseModel | dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], BaseModel))


def _word(value: BaseModel, name: str) -> str:
    return type(value).model_fields[name].alias or name


def _shown(word: str, value: Any) -> str:
    """A value as the file would say it."""
    if _SECRET.search(word) and isinstance(value, str) and value:
        return f'"{MASK}"'
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + oneLine(_IN_URL.sub(_WITHOUT, value)) + '"'
    if isinstance(value, list):
        return f"[{', '.join(_shown('', each) for each in value)}]"
    if isinstance(value, float):
        return _time(value)
    if isinstance(value, int) and value and value % _MIB == 0:
        return f'"{value // _MIB} MiB"'
    return oneLine(str(value))


def _time(seconds: float) -> str:
    """Seconds as the file would say them: `"15m"`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f'"{seconds / length:g}{unit}"'
    return f'"{seconds:g}s"'
