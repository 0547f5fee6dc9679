"""The configuration as a chapter: every section and key with its type, default and meaning, from the pydantic models."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from attrs import frozen
from docstrings import markdown, read
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mailfw.app import catalogue, sections
from mailfw.app.catalogue import BUILT_IN
from mailfw.app.quantities import sizeText
from mailfw.interfaces import IOptions
from mailfw.net.limits import Limits
from mailfw.plugins import Kind

_TIMES = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@frozen
class Key:
    """:ivar name: as the file has it. :ivar kind: what may stand there, in words. :ivar default: as the file would have it."""

    name: str
    kind: str
    default: str
    meaning: str


@frozen
class Table:
    """One section. :ivar heading: `[auth]`, `[[listen]]`; empty: the top of the file."""

    heading: str
    text: str
    keys: tuple[Key, ...]


def tables() -> list[Table]:
    """All sections there are, those of our own plugins at the end."""
    found = [Table("", "", tuple(_keys(sections.Configuration)))]
    for name, field in sections.Configuration.model_fields.items():
        model = sections.TLS if name == "tls" else _model(field.annotation)
        if model is not None:
            isList = get_origin(field.annotation) is list
            heading = f"[[{name}]]" if isList else f"[{name}]"
            found.append(_table(heading, model))
    found.append(_table('[imap.accounts."ADDRESS"]', sections.AccountIMAP))
    return found + [_table(f"[plugin.{prefix}]", model) for prefix, model in _plugins()]


def chapter() -> str:
    """Markdown for all sections."""
    return "\n".join(line for table in tables() for line in _lines(table))


PLACES = {
    Kind.STORE: "store",
    Kind.AUTHENTICATOR: "[auth] sources",
    Kind.ROUTE: "[[route]] via",
    Kind.HOOK: "[[hook]] plugin",
    Kind.SERVICE: "[[listen]] service",
}
"""Where a plugin of each kind is named."""


def plugins() -> str:
    """Markdown for what comes with the server and can be named."""
    lines = ["| where | word | what it is |", "| --- | --- | --- |"]
    before = None
    for each in BUILT_IN:
        place = f"`{PLACES[each.kind]}`" if each.kind is not before else ""
        before = each.kind
        lines.append(f"| {place} | `{each.word}` | {markdown(each.summary)} |")
    return "\n".join(lines)


def _plugins() -> Iterator[tuple[str, type[BaseModel]]]:
    found = catalogue.plugins()
    for kind in Kind:
        for prefix in sorted(found.words(kind)):
            plugin = found.find(kind, prefix) if found.isBuiltIn(kind, prefix) else None
            if plugin is not None and IOptions.providedBy(plugin):
                yield prefix, plugin.model


def _table(heading: str, model: type[BaseModel]) -> Table:
    text = read(model.__doc__).text.partition(":")
    return Table(heading, text[2].strip() if text[0].startswith("`[") else read(model.__doc__).text, tuple(_keys(model)))


def _lines(table: Table) -> Iterator[str]:
    yield from (f"## `{table.heading}`" if table.heading else "## The top of the file", "")
    if table.heading and table.text:
        yield from (markdown(table.text[:1].upper() + table.text[1:]), "")
    yield from ("| key | what may stand there | default | meaning |", "| --- | --- | --- | --- |")
    for key in table.keys:
        cells = (f"`{key.name}`", key.kind, f"`{key.default}`" if key.default else "", markdown(key.meaning))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _keys(model: type[BaseModel]) -> Iterator[Key]:
    isLimits = model is sections.LimitsSection
    meanings = read(Limits.__doc__ if isLimits else model.__doc__).named("ivar")
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        if model is sections.Configuration and (name == "tls" or _model(field.annotation) is not None):
            continue  # a section of its own
        default = None if field.default is PydanticUndefined else field.default
        if field.default_factory is not None:
            default = field.get_default(call_default_factory=True)
        shown = _default(default, hints[name])
        meaning = meanings.get(name, "")
        meaning = meaning[:1].upper() + meaning[1:]
        if field.is_required():
            meaning += " Must be said."
        yield Key(field.alias or name, _kind(hints[name]), shown, meaning)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field is, or is a list of."""
    inner = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _words() -> list[tuple[Any, str]]:
    return [
        (sections.Octets, "size"),
        (sections.Seconds, "time"),
        (sections.Count, "number above 0"),
        (sections.AnyNumber, "number, 0: none"),
        (sections.Port, "port"),
        (sections.Domain, "domain"),
        (sections.AddressText, "address"),
        (sections.ReadablePath, "file"),
        (sections.Peers, "network"),
        (sections.Intervals, "list of times"),
    ]


def _kind(hint: Any) -> str:
    """In words."""
    for known, word in _words():
        if hint == known:
            return word
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        words = [_validated(each) for each in arguments[1:]]
        return next(filter(None, words), "") or _kind(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(each) for each in arguments if each is not type(None))
    if origin is Literal:
        return ", ".join(f'`"{each}"`' for each in arguments)
    if origin in (list, tuple):
        word = _kind(arguments[0])
        return f"list of {word}es" if word.endswith("s") else f"list of {word}s"
    if origin is dict:
        return f"table: {_kind(arguments[0])} = {_kind(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "table"
    return {bool: "`true`, `false`", int: "number", float: "number", str: "text"}.get(hint, "anything")


def _validated(mark: Any) -> str:
    name = getattr(getattr(mark, "func", None), "__qualname__", "")
    return {
        "seconds": "time",
        "octets": "size",
        "_specification.<locals>.known": "plugin",
        "_service": "service",
        "_endpoint": "endpoint",
        "_stages": "stage, or a list of them",
        "_via": "route",
        "_routed": "domain",
        "_delimiter": "one character",
        "_nameServer": "name server",
        "_network": "network",
        "_capability": "capability",
        "_addressOrNone": "address",
    }.get(name, "")


def _default(value: Any, hint: Any) -> str:
    if value is None or value == "":
        return "" if value is None else '""'
    if isinstance(value, bool):
        return str(value).lower()
    if _kind(hint) == "size":
        return f'"{sizeText(value)}"'
    if isinstance(value, float) and _kind(hint) == "time":
        length, unit = next((length, unit) for length, unit in _TIMES if value % length == 0)
        return f'"{value / length:.0f}{unit}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_default(each, str)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_default(each, str) for each in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
