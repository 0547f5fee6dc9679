"""Reads the configuration, and finds every mistake in one go, each with its line and the nearest right word.

What `twistd mailfw` was started with is a `Source`: a file, or none (development mode), and the options that override it.
A source can be read again at any time (SIGHUP), and either gives a whole, valid `Configuration` or raises with all its
mistakes.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mailfw.app import development
from mailfw.app.place import SYSTEM_DATA, dataDirectory
from mailfw.app.positions import Path, Positions
from mailfw.app.problem import Problem
from mailfw.app.sections import Configuration
from mailfw.interfaces import IOptions
from mailfw.plugins import Kind, Plugins, didYouMean

FILE_SOURCES = ("passwd",)
"""Sources of accounts whose argument is a file that must be there."""


@frozen
class Mistake:
    """:ivar where: `line 12`, or the option that is wrong; empty when it is nowhere in particular."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


class ConfigurationError(Exception):
    """:ivar source: the file's name, or empty.
    :ivar mistakes: everything that was found, in the order of the file.
    """

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(f"{source}: {each}" if source else str(each) for each in mistakes))
        self.source = source
        self.mistakes = tuple(mistakes)


@frozen
class Source:
    """Where the configuration comes from.

    :ivar file: absolute path of the TOML file; empty: development mode.
    :ivar options: what the command line says, by the path of the key it overrides.
    """

    file: str = ""
    options: Mapping[Path, Any] = field(factory=dict)
    directory: str = field(factory=os.getcwd)

    @property
    def isDevelopment(self) -> bool:
        """Whether there is no file, so that what is left unsaid is made for trying out."""
        return not self.file

    def read(self, plugins: Plugins) -> Configuration:
        """:raises ConfigurationError: with every mistake there is."""
        text = ""
        if self.file:
            raw, text = _parse(self.file)
        else:
            raw = development.configuration(self.options.get(("domains",)))
        for path, value in self.options.items():
            _override(raw, path, copy.deepcopy(value))
        places = _Places(text, self.options)
        raw["data"] = data = self._dataDirectory(raw.get("data"))
        context = {"plugins": plugins, "data": data if isinstance(data, str) else self.directory}
        return _Reader(self.file, raw, places, context).read()

    def _dataDirectory(self, value: object) -> Any:
        """An absolute path; a value of a wrong type stays for the validator to find."""
        if value is None:
            value = SYSTEM_DATA
        if not isinstance(value, str) or not value:
            return value
        isOption = ("data",) in self.options
        return dataDirectory(value, os.path.dirname(self.file) if self.file and not isOption else self.directory)


def _parse(file: str) -> tuple[dict[str, Any], str]:
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
        return tomllib.loads(text), text
    except OSError as error:
        raise ConfigurationError(file, [Mistake("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(file, [Mistake("", f"is not UTF-8 at octet {error.start}")]) from None
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).rpartition(" (at ")
        where = place.rstrip(")").partition(",")[0] if place.startswith("line") else "at its end"
        raise ConfigurationError(file, [Mistake(where, f"is not TOML: {problem or error}")]) from None


def _override(raw: dict[str, Any], path: Path, value: Any) -> None:
    """Put a value where an option wants it; a section that is no table is left for the validator to find."""
    *sections, last = path
    inner: Any = raw
    for section in sections:
        inner = inner.setdefault(section, {})
        if not isinstance(inner, dict):
            return
    inner[last] = value


class _Places:
    """Says where a value came from: a line of the file, or an option."""

    def __init__(self, text: str, options: Mapping[Path, Any]) -> None:
        self._positions = Positions(text)
        self._hasFile = bool(text)
        self._options = options

    def order(self, path: Path) -> tuple[int, str]:
        option = self._optionOf(path)
        return (0, option) if option else (self._positions.lineOf(path), "")

    def name(self, path: Path) -> str:
        return self._optionOf(path) or (f"line {self._positions.lineOf(path)}" if self._hasFile else "")

    def _optionOf(self, path: Path) -> str:
        for given in self._options:
            if path[: len(given)] == given:
                return "--" + {"domains": "domain"}.get(str(given[0]), str(given[0]))
        return ""


class _Reader:
    """One reading of one source."""

    def __init__(self, file: str, raw: dict[str, Any], places: _Places, context: dict[str, Any]) -> None:
        self._file = file
        self._raw = raw
        self._places = places
        self._context = context
        self._mistakes: dict[Path, str] = {}

    def read(self) -> Configuration:
        configuration = self._validate()
        if configuration is not None:
            areDomainsKnown = not any(path[0] == "domains" for path in self._mistakes)
            for path, text in _consistency(configuration, areDomainsKnown):
                self._mistakes.setdefault(path, text)
            for path, text in _pluginOptions(configuration, self._context["plugins"]):
                self._mistakes.setdefault(path, text)
        if self._mistakes or configuration is None:
            ordered = sorted(self._mistakes, key=self._places.order)
            raise ConfigurationError(self._file, [Mistake(self._places.name(path), self._mistakes[path]) for path in ordered])
        return configuration

    def _validate(self) -> Configuration | None:
        """The configuration without what is wrong in it, so that the rest can still be looked at; None when too much is."""
        for isRepeat in (False, *(True,) * 8):
            try:
                return Configuration.model_validate(self._raw, context=self._context)
            except ValidationError as error:
                found = {_pathOf(details, self._raw): details for details in error.errors(include_url=False)}
                for path, details in found.items():
                    if not (isRepeat and details["type"] == "missing"):
                        self._mistakes.setdefault(path, _text(details, path))
                    _remove(self._raw, path)
        return None


def _pathOf(details: ErrorDetails, raw: Any) -> Path:
    """The way to the value in the document: pydantic's own adds the branches of unions and the word for a dictionary's key."""
    path: Path = ()
    for step in details["loc"]:
        if isinstance(raw, dict) and step in raw:
            raw = raw[str(step)]
        elif isinstance(raw, list) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        elif details["type"] == "missing":
            return (*path, step)
        else:
            break
        path = (*path, step)
    return path


def _remove(raw: dict[str, Any], path: Path) -> None:
    """Take a wrong value out of the document; one in a list, and a missing one, take their whole section with them."""
    inner: Any = raw
    for step in path[:-1]:
        if step not in inner or not isinstance(inner[step], dict):
            raw.pop(str(path[0]), None)
            return
        inner = inner[step]
    if inner.pop(path[-1], None) is None:
        raw.pop(str(path[0]), None)
        raw.update({name: value for name, value in _PLACEHOLDERS.items() if path == (name,)})


_PLACEHOLDERS = {"hostname": "localhost", "domains": ["localhost"]}
"""What stands for a missing key while the rest of the document is looked at."""

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "float_type": "a number",
}


def _text(details: ErrorDetails, path: Path) -> str:
    """What is wrong, in our words."""
    kind, name = details["type"], ".".join(str(step) for step in path if isinstance(step, str)) or "configuration"
    context = details.get("ctx", {})
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f'unknown key "{path[-1]}"{_hint(path)}'
    if kind == "value_error":
        return f"{name}: {context['error']}"
    if kind == "literal_error":
        return f'{name}: "{details["input"]}" is none of {context["expected"]}'.replace("'", '"')
    if kind == "too_short":
        return f"{name} is empty"
    if kind == "greater_than":
        return f"{name} must be above {context['gt']}"
    if kind == "greater_than_equal":
        return f"{name} must be {context['ge']} or more"
    if kind == "less_than":
        return f"{name} must be below {context['lt']}"
    if kind in _EXPECTED:
        return f"{name} must be {_EXPECTED[kind]}"
    return f"{name}: {details['msg']}"


def _hint(path: Path) -> str:
    """The nearest word in the same section; or the section where such a key belongs."""
    model: type[BaseModel] = Configuration
    for step in path[:-1]:
        if isinstance(step, str):
            model = _sections(model).get(step, model)
    keys = [each.alias or name for name, each in model.model_fields.items()]
    near = didYouMean(str(path[-1]), keys)
    if near:
        return near
    if len(path) > 1 and path[-1] in {each.alias or name for name, each in Configuration.model_fields.items()}:
        return " – it belongs above the first [section]"
    for name, section in _sections(Configuration).items():
        if path[-1] in {each.alias or key for key, each in section.model_fields.items()}:
            return f" – it belongs in [{name}]"
    return ""


def _sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The models of a model's fields, by key."""
    found: dict[str, type[BaseModel]] = {}
    for name, each in model.model_fields.items():
        for candidate in (each.annotation, *getattr(each.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                found[each.alias or name] = candidate
    return found


def _consistency(configuration: Configuration, areDomainsKnown: bool) -> Iterator[tuple[Path, str]]:
    """What is only wrong together."""
    seen: dict[str, int] = {}
    for index, listen in enumerate(configuration.listen):
        path: Path = ("listen", index, "endpoint")
        for binding in listen.bindings():
            if binding.kind == "tcp" and binding.port == 0:
                continue
            first = seen.setdefault(str(binding), index)
            if first != index:
                yield path, f"{listen.service}: {binding} is already taken by {configuration.listen[first].service}"
    if configuration.tls is not None:
        from mailfw.app.tls import Certificates

        try:
            tls = configuration.tls
            Certificates.load(tls.certificate, tls.key or "", configuration.hostname, tls.clientCA or "")
        except Problem as problem:
            yield ("tls", "certificate"), f"tls: {problem}"
    takesCertificates = any(source.partition(":")[0] == "certificate" for source in configuration.auth.sources)
    if takesCertificates and (configuration.tls is None or configuration.tls.clientCA is None):
        yield ("auth", "sources"), 'auth.sources: "certificate:" needs [tls] client_ca, so that clients are asked for theirs'
    for index, source in enumerate(configuration.auth.sources):
        prefix, _, argument = source.partition(":")
        file = configuration.path(argument)
        if prefix in FILE_SOURCES and not os.access(file, os.R_OK):
            yield ("auth", "sources", index), f"auth.sources: {source}: there is no file {file} that can be read"
    yield from _routing(configuration, areDomainsKnown)
    for domain in configuration.addresses.catchAll:
        if areDomainsKnown and domain not in configuration.domains:
            yield ("addresses", "catch_all", domain), f'catch_all: "{domain}" is not among domains'


def _routing(configuration: Configuration, areDomainsKnown: bool) -> Iterator[tuple[Path, str]]:
    """What is only wrong together about mail that leaves."""
    seen: set[str] = set()
    for index, route in enumerate(configuration.route):
        path: Path = ("route", index, "domain")
        if route.domain in seen:
            yield path, f'route.domain: there is a route for "{route.domain}" already'
        elif areDomainsKnown and route.domain in configuration.domains:
            yield path, f'route.domain: "{route.domain}" is among domains, whose mail ends here'
        seen.add(route.domain)
    relay = configuration.relay
    if relay.smarthost:
        from mailfw.delivery.routes import smarthost

        login = smarthost(relay.smarthost, relay.smarthostPassword)[1].login
        if login is not None and not login.password:
            yield ("relay", "smarthost"), "relay.smarthost: there is a user and no password: say smarthost_password"
        elif login is None and relay.smarthostPassword:
            yield ("relay", "smarthost_password"), 'relay.smarthost_password: for whom? write smarthost = "smtp://user@host:587"'


def _pluginOptions(configuration: Configuration, plugins: Plugins) -> Iterator[tuple[Path, str]]:
    """What the plugins' own models say about `[plugin.PREFIX]`, of those in use also where there is no such table."""
    inUse = [(Kind.STORE, configuration.store), *((Kind.AUTHENTICATOR, source) for source in configuration.auth.sources)]
    inUse += [(Kind.ROUTE, route.via) for route in configuration.route]
    inUse += [(Kind.HOOK, hook.plugin) for hook in configuration.hook]
    kinds = {specification.partition(":")[0]: kind for kind, specification in inUse}
    for prefix in configuration.plugin.keys() - kinds.keys():
        named = [kind for kind in Kind if prefix in plugins.words(kind)]
        if named:
            kinds[prefix] = named[0]
        else:
            words = [word for kind in Kind for word in plugins.words(kind)]
            yield ("plugin", prefix), f'there is no plugin "{prefix}"{didYouMean(prefix, words)}'
    for prefix, kind in kinds.items():
        if plugins.isBuiltIn(kind, prefix) and prefix not in configuration.plugin:
            continue  # none of ours has options that must be given, and there is no need to import it for that
        model = optionsModel(plugins.find(kind, prefix))
        if model is not None:
            yield from _optionMistakes(prefix, model, configuration.plugin.get(prefix, {}))
        elif prefix in configuration.plugin:
            yield ("plugin", prefix), f'the plugin "{prefix}" has no options'


def _optionMistakes(prefix: str, model: type[BaseModel], options: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    try:
        model.model_validate(options)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            path: Path = ("plugin", prefix, *details["loc"])
            if details["type"] == "extra_forbidden":
                known = [each.alias or name for name, each in model.model_fields.items()]
                yield path, f'unknown key "{path[-1]}"{didYouMean(str(path[-1]), known)}'
            else:
                yield path, _text(details, path)


def optionsModel(plugin: object) -> type[BaseModel] | None:
    """The pydantic model of a plugin's own options; None when it has none."""
    if not IOptions.providedBy(plugin):
        return None
    model: type[BaseModel] = IOptions(plugin).model
    return model
