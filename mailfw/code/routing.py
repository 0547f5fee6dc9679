"""The decorator that gives addresses to functions, and the table that finds the function of an address.

Of the functions whose patterns match an address, the one is called of whose pattern most is said (`Pattern.order`); among
equals the one that was defined first. Equals that have an address in common are named when they are loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen

from mailfw.code import pattern as patterns
from mailfw.code.pattern import Pattern
from mailfw.values import Address

ROUTES = "__mail_routes__"
"""Where a module keeps the routes that were defined in it."""

F = TypeVar("F", bound=Callable[..., Any])
Span = float | str
"""Seconds, or as the configuration has it: `"90s"`, `"15m"`."""


class RouteError(ValueError):
    """A function cannot have that route; the text says why."""


@frozen(eq=False)
class Route:
    """A pattern and its function, with what was said of them.

    :ivar name: `module.function`. :ivar isAsync: it is an `async def`.
    :ivar timeout: :ivar concurrency: :ivar retry: :ivar giveUpAfter: None: as `[code]` has it.
    """

    pattern: Pattern
    function: Callable[..., Any]
    name: str
    isAsync: bool
    timeout: Span | None = None
    concurrency: int | None = None
    retry: tuple[str, ...] | None = None
    giveUpAfter: Span | None = None


def route(
    *patterns: str,
    timeout: Span | None = None,
    concurrency: int | None = None,
    retry: Sequence[str] | None = None,
    giveUpAfter: Span | None = None,
) -> Callable[[F], F]:
    """Call the function with mail for an address: `@mail.route("ticket-{id:int}@example.org")`. It stays as it is, and can be
    called.

    It is called with the message, and by name with each variable's value.

    :param patterns: one or several.
    :param timeout: after which it is tried again. :param concurrency: how many calls of it may be under way at once.
    :param retry: when it is called again after it failed: `["1m", "10m*6", "1h"]`. :param giveUpAfter: when the message goes
        back.
    :raises RouteError: one is no pattern, or the function's parameters are not what the pattern gives.
    """
    if not patterns or not all(isinstance(each, str) for each in patterns):
        raise RouteError('a route has a pattern: @mail.route("ticket-{id:int}@example.org")')
    if concurrency is not None and concurrency < 1:
        raise RouteError(f"concurrency is {concurrency}, so that nothing would ever be called")

    def decorate(function: F) -> F:
        if not inspect.isfunction(function):
            raise RouteError(f"only functions have routes; {function!r} is none")
        kept = function.__globals__.setdefault(ROUTES, [])
        name = f"{function.__module__}.{function.__qualname__}"
        for text in reversed(patterns):
            pattern = Pattern.parse(text)
            _mustFit(function, name, pattern)
            words = tuple(retry) if retry is not None else None
            isAsync = inspect.iscoroutinefunction(function)
            kept.append(Route(pattern, function, name, isAsync, timeout, concurrency, words, giveUpAfter))
        return function

    return decorate


def _mustFit(function: Callable[..., Any], name: str, pattern: Pattern) -> None:
    """:raises RouteError: it cannot be called with a message and the pattern's values."""
    parameters = list(inspect.signature(function).parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in kinds:
        raise RouteError(f"{name} has to take the message: def {function.__name__}(message, …)")
    first, *others = parameters
    takesAny = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in others)
    known = {each.name: each for each in others if each.kind in (kinds[1], inspect.Parameter.KEYWORD_ONLY)}
    for variable in pattern.names:
        if variable == first.name:
            raise RouteError(f'{name}: {{{variable}}} of "{pattern}" is what the message is called; name one of them otherwise')
        if variable not in known and not takesAny:
            raise RouteError(f'{name} has no parameter {variable}, which "{pattern}" gives')
    for each in others:
        isNeeded = each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if isNeeded and each.name not in pattern.names:
            raise RouteError(f'{name} wants {each.name}, which "{pattern}" does not give')


@frozen
class Match:
    """A function that an address belongs to. :ivar values: of the pattern's variables. :ivar tag: that was taken off."""

    route: Route
    values: Mapping[str, Any]  # whatever converters make
    tag: str = ""


@frozen
class Overlap:
    """Two routes of which as much is said, and an address that both have; the first one gets it."""

    first: Route
    second: Route
    address: str


class Table:
    """All routes of a system, by domain.

    :param routes: in the order of their definition.
    :param domains: ours, as addresses are written that are looked up.
    :param tagDelimiter: characters that each begin a tag.
    :raises RouteError: a pattern's domain is none of ours, or two patterns are the same.
    """

    def __init__(self, routes: Iterable[Route] = (), domains: Sequence[str] = (), tagDelimiter: str = "+") -> None:
        self.routes = tuple(routes)
        self._tagDelimiter = tagDelimiter
        self._byDomain: dict[str, list[tuple[Route, Mapping[str, Any]]]] = {}
        for each in self.routes:
            there = [(domain, patterns.match(each.pattern.domain, domain)) for domain in map(str.lower, domains)]
            for domain, values in there:
                if values is not None:
                    self._byDomain.setdefault(domain, []).append((each, values))
            if all(values is None for _, values in there):
                raise RouteError(f'{each.name}: "{each.pattern}" is of none of the configured domains ({", ".join(domains)})')
        for found in self._byDomain.values():
            found.sort(key=lambda pair: pair[0].pattern.order)
        self.overlaps = list(self._overlaps())

    def find(self, address: Address) -> Match | None:
        """The function that the address belongs to, if there is one. A tag is taken off where nothing matches with it.

        `postmaster` belongs to a function only that names it, for mail to it has to reach a person (RFC 5321 §4.5.1).
        """
        there = self._byDomain.get(address.domain)
        if there is None:
            return None
        isPostmaster = address.local.lower() == "postmaster"
        for local, tag in self._untagged(address.local):
            for route, values in there:
                if isPostmaster and not route.pattern.isLiteral:
                    continue
                found = patterns.match(route.pattern.local, local)
                if found is not None:
                    return Match(route, {**values, **found}, tag)
        return None

    def _untagged(self, local: str) -> list[tuple[str, str]]:
        places = [place for place, character in enumerate(local) if place and character in self._tagDelimiter]
        return [(local, ""), *((local[:place], local[place + 1 :]) for place in places[:1])]

    def _overlaps(self) -> Iterator[Overlap]:
        """:raises RouteError: a route can never be reached."""
        for domain, found in self._byDomain.items():
            for number, (second, _) in enumerate(found):
                for first, _ in found[:number]:
                    if first.pattern.order != second.pattern.order:
                        continue
                    if _shape(first.pattern) == _shape(second.pattern):
                        raise RouteError(
                            f'"{second.pattern}" of {second.name} is "{first.pattern}" of {first.name}: which is meant?'
                        )
                    common = patterns.overlap(first.pattern.local, second.pattern.local)
                    if common is not None:
                        yield Overlap(first, second, f"{common}@{domain}")


def _shape(pattern: Pattern) -> list[object]:
    """The pattern without the names of its variables."""
    return [each if isinstance(each, str) else each.converter.name for each in (*pattern.local, "@", *pattern.domain)]
