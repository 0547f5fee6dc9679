"""The one door to all plugins: finds them, checks them, and says what is wrong with those it cannot use.

A plugin is an object that provides one of the plugin contracts of `mailfw.interfaces`, and is named in configuration by
its prefix: `prefix:argument` (a service by its name alone). There are three places to find one, asked in this order:

- built in: a table of names that `mailfw.app` hands in; each is imported when it is first asked for, no other with it;
- a module dropped into a `twisted/plugins/` directory on the Python path, as `twisted.plugin` has it (whose `getPlugins` is
  not used, because it hides a plugin that fails to import);
- an entry point in the group `mailfw.plugins` of an installed package: a plugin, or a list of plugins.

Invariants: nothing is skipped silently (what fails to import or breaks its contract is a `Found` with its error, and an
error that names it when it is asked for); two plugins never share a word; a plugin that was handed out has been checked
with `verifyObject` and for methods that must be `async def`.
"""

from __future__ import annotations

import ast
import enum
import functools
import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from attrs import evolve, frozen
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass, Method
from zope.interface.verify import verifyObject

from mailfw import __version__
from mailfw.interfaces import (
    IAuthenticatorPlugin,
    IHookPlugin,
    IMailService,
    IMailStorePlugin,
    IRoutePlugin,
    ISimpleStorePlugin,
)

ENTRY_POINTS = "mailfw.plugins"


class Kind(enum.Enum):
    """What a plugin is for; the value is the word for it in commands and messages."""

    STORE = "store"
    AUTHENTICATOR = "authenticator"
    ROUTE = "route"
    HOOK = "hook"
    SERVICE = "service"

    @property
    def interfaces(self) -> tuple[InterfaceClass, ...]:
        """The contracts of this kind; a plugin provides one of them."""
        return _INTERFACES[self]


_INTERFACES: dict[Kind, tuple[InterfaceClass, ...]] = {
    Kind.STORE: (IMailStorePlugin, ISimpleStorePlugin),
    Kind.AUTHENTICATOR: (IAuthenticatorPlugin,),
    Kind.ROUTE: (IRoutePlugin,),
    Kind.HOOK: (IHookPlugin,),
    Kind.SERVICE: (IMailService,),
}


class PluginError(Exception):
    """A plugin cannot be used; the text is one clear line for whoever administers the server."""


class UnknownPlugin(PluginError):
    """No plugin has that word."""


class BrokenPlugin(PluginError):
    """A plugin has that word, and does not work: it fails to import, or breaks its contract."""


@frozen
class BuiltIn:
    """A plugin of our own, named without importing it.

    :ivar word: its prefix, or a service's name.
    :ivar path: `module:attribute`.
    :ivar summary: one line for lists.
    """

    kind: Kind
    word: str
    path: str
    summary: str = ""


@frozen
class Found:
    """What was found where a plugin may be.

    :ivar kind: None when it could not be told (the module failed to import).
    :ivar word: its prefix or name; empty when it could not be told.
    :ivar origin: where it comes from, for people.
    :ivar plugin: the checked object; None when there is an error.
    :ivar error: why it cannot be used; one line.
    :ivar version: of the package that brought it; empty where no package did.
    :ivar place: the file that it is in, as far as that can be told.
    :ivar interface: the contract that it was checked against; empty when it came to no check.
    :ivar traceback: of what was raised when it was imported.
    """

    kind: Kind | None
    word: str
    origin: str
    summary: str = ""
    plugin: Any = None
    error: str = ""
    version: str = ""
    place: str = ""
    interface: str = ""
    traceback: str = ""


def didYouMean(word: str, words: Iterable[str]) -> str:
    """` – did you mean "nearest"?`, or nothing when no word is near."""
    import difflib

    spelt = {known.lower(): known for known in words}
    near = difflib.get_close_matches(word.lower(), spelt, n=1, cutoff=0.6)
    return f' – did you mean "{spelt[near[0]]}"?' if near else ""


def check(interface: InterfaceClass, provider: object) -> None:
    """See that an object keeps a contract as far as that can be seen from outside.

    :raises BrokenPlugin: it does not declare the interface, lacks a method or attribute, takes other arguments, or has a plain
        `def` where the contract says `async def`, or the other way round. The text names everything found.
    """
    faults: list[str] = []
    try:
        verifyObject(interface, provider)
    except Invalid as error:
        faults = [_invalidity(each) for each in getattr(error, "exceptions", [error])]
    coroutines = _coroutineMethods(interface)
    for name, description in interface.namesAndDescriptions(all=True):
        method = getattr(provider, name, None)
        if coroutines is None or not isinstance(description, Method) or not inspect.isroutine(method):
            continue
        isCoroutine = inspect.iscoroutinefunction(method)
        if name in coroutines and not isCoroutine:
            faults.append(f"{name}() must be an `async def`")
        elif name not in coroutines and isCoroutine:
            faults.append(f"{name}() must be a plain `def`")
    if faults:
        raise BrokenPlugin(f"{type(provider).__qualname__} breaks {interface.__name__}: {'; '.join(faults)}")


def _invalidity(error: Invalid) -> str:
    text = getattr(error, "_str_details", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")


@functools.cache
def _coroutineMethods(interface: InterfaceClass) -> frozenset[str] | None:
    """Names of the interface's methods that are written `async def`; None where its source cannot be read.

    zope.interface forgets how a method was written, so the source is asked.
    """
    names: set[str] = set()
    for ancestor in interface.__iro__:
        tree = _source(ancestor.__module__)
        if tree is None:
            return None
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == ancestor.__name__:
                names.update(item.name for item in node.body if isinstance(item, ast.AsyncFunctionDef))
    return frozenset(names)


@functools.cache
def _source(module: str) -> ast.Module | None:
    if module.startswith("zope."):
        return ast.Module(body=[], type_ignores=[])
    try:
        return ast.parse(inspect.getsource(importlib.import_module(module)))
    except (OSError, SyntaxError, TypeError):
        return None


def _failed(error: Exception, origin: str, version: str = "", place: str = "", known: Found | None = None) -> Found:
    """What could not be imported. :param known: what is known of it without."""
    text = "".join(traceback.format_exception(error))
    found = known or Found(None, "", origin)
    return evolve(found, origin=origin, error=_oneLine(error), version=version, place=place, traceback=text)


def _oneLine(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def prefixed(kind: Kind, specification: str) -> tuple[str, str]:
    """Prefix and argument of `prefix:argument`. :raises UnknownPlugin: there is no colon."""
    word, colon, argument = specification.partition(":")
    if not colon:
        raise UnknownPlugin(f'"{specification}" lacks a colon: a {kind.value} is written prefix:argument, as in "{word}:"')
    return word, argument


class Plugins:
    """All plugins of this process.

    :param builtIns: our own.
    :param package: the package that modules are dropped into; `twisted.plugins` unless a test says otherwise.
    :param entryPoints: what `importlib.metadata.entry_points` gives for our group, unless a test says otherwise.
    """

    def __init__(
        self,
        builtIns: Iterable[BuiltIn] = (),
        package: ModuleType | None = None,
        entryPoints: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        self._builtIns = {(each.kind, each.word): each for each in builtIns}
        self._package = package
        self._entryPoints = entryPoints or _installedEntryPoints
        self._loaded: dict[tuple[Kind, str], Found] = {}
        self._foreign: list[Found] | None = None

    def find(self, kind: Kind, word: str) -> Any:
        """The plugin of that kind and word, imported and checked.

        :raises UnknownPlugin: with the nearest right word, and with every plugin that failed to import, which may be the one.
        :raises BrokenPlugin: it is there and cannot be used.
        """
        builtIn = self._builtIns.get((kind, word))
        if builtIn is not None:
            return self._usable(self._load(builtIn))
        matches = [found for found in self._others() if (found.kind, found.word) == (kind, word)]
        if len(matches) > 1:
            origins = " and ".join(found.origin for found in matches)
            raise BrokenPlugin(f'two plugins call themselves {kind.value} "{word}": {origins}')
        if matches:
            return self._usable(matches[0])
        message = f'there is no {kind.value} "{word}"{didYouMean(word, self.words(kind))}'
        unnamed = [f"{found.origin} ({found.error})" for found in self._others() if not found.word]
        if unnamed:
            message += f"; these plugins failed to import, it may be among them: {', '.join(unnamed)}"
        raise UnknownPlugin(message)

    def expect(self, kind: Kind, word: str) -> None:
        """See that a word can be used, without importing what is built in.

        :raises PluginError: as `find` does.
        """
        if not self.isBuiltIn(kind, word):
            self.find(kind, word)

    def isBuiltIn(self, kind: Kind, word: str) -> bool:
        """Whether the word is one of our own plugins."""
        return (kind, word) in self._builtIns

    def open(self, kind: Kind, specification: str) -> tuple[Any, str]:
        """The plugin and the argument that `prefix:argument` names.

        :raises PluginError: as `find` does, or there is no colon.
        """
        word, argument = prefixed(kind, specification)
        return self.find(kind, word), argument

    def words(self, kind: Kind) -> list[str]:
        """Every word that can be used for a kind, sorted."""
        foreign = {found.word for found in self._others() if found.kind is kind and found.plugin is not None}
        return sorted(foreign | {word for known, word in self._builtIns if known is kind})

    def all(self) -> list[Found]:
        """Everything there is, ours first, broken ones included. Imports all of them."""
        ours = [self._load(each) for each in self._builtIns.values()]
        return ours + [self._shadowed(found) for found in self._others()]

    def nameOf(self, module: str) -> str:
        """Whose of other people's a module is, as in `store ledger (entry point ledger of mailfw-ledger)`; empty: nobody's that
        anybody has asked for yet. Imports nothing, and may be called in any thread."""
        found = {_home(each): each for each in self._foreign or () if each.kind is not None and each.plugin is not None}
        place = module
        while place:
            if place in found:
                each = found[place]
                return f"{each.kind.value if each.kind else ''} {each.word} ({each.origin})"
            place = place.rpartition(".")[0]
        return ""

    @staticmethod
    def _usable(found: Found) -> Any:
        if found.plugin is None:
            kind = f"{found.kind.value} " if found.kind else ""
            raise BrokenPlugin(f'{kind}"{found.word}" ({found.origin}) cannot be used: {found.error}')
        return found.plugin

    def _shadowed(self, found: Found) -> Found:
        if found.kind is None or (found.kind, found.word) not in self._builtIns:
            return found
        return evolve(found, plugin=None, error=f'the built-in {found.kind.value} has the word "{found.word}"')

    def _load(self, builtIn: BuiltIn) -> Found:
        key = (builtIn.kind, builtIn.word)
        if key not in self._loaded:
            self._loaded[key] = self._imported(builtIn)
        return self._loaded[key]

    def _imported(self, builtIn: BuiltIn) -> Found:
        module, _, attribute = builtIn.path.partition(":")
        try:
            plugin = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            return _failed(error, "built in", __version__, module, Found(builtIn.kind, builtIn.word, "", builtIn.summary))
        for found in _classify(plugin, "built in", builtIn.summary):
            if (found.kind, found.word) == (builtIn.kind, builtIn.word):
                return evolve(found, version=__version__)
        fault = f"{builtIn.path} is no {builtIn.kind.value} of that word"
        return Found(builtIn.kind, builtIn.word, "built in", builtIn.summary, error=fault)

    def _others(self) -> list[Found]:
        """What other people brought, found once."""
        if self._foreign is None:
            found = [*self._droppedIn(), *self._installed()]
            unique: dict[int, Found] = {}
            for each in found:
                unique.setdefault(id(each.plugin) if each.plugin is not None else id(each), each)
            self._foreign = list(unique.values())
        return self._foreign

    def _droppedIn(self) -> Iterator[Found]:
        package = self._package
        if package is None:
            package = importlib.import_module("twisted.plugins")
        for module in pkgutil.iter_modules(package.__path__):
            origin = _mentionsUs(module)
            if origin is None:
                continue
            try:
                content = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            except Exception as error:
                yield _failed(error, origin, place=origin)
            else:
                for name, value in list(content.items()):
                    if not name.startswith("_") and not inspect.ismodule(value):
                        yield from _classify(value, origin)

    def _installed(self) -> Iterator[Found]:
        for point in self._entryPoints():
            distribution = getattr(point.dist, "name", None)
            version = getattr(point.dist, "version", None) or ""
            origin = f"entry point {point.name} of {distribution}" if distribution else f"entry point {point.name}"
            try:
                loaded = point.load()
            except Exception as error:
                yield _failed(error, origin, version, getattr(point, "value", ""))
                continue
            plugins = loaded if isinstance(loaded, list | tuple) else [loaded]
            for plugin in plugins:
                stranger = Found(None, "", origin, error=f"{plugin!r} provides no plugin contract of mailfw.interfaces")
                for found in list(_classify(plugin, origin)) or [stranger]:
                    yield evolve(found, version=version)


def _home(found: Found) -> str:
    """What all modules of a plugin's have in common: its package, or the module that was dropped in."""
    module = type(found.plugin).__module__
    if module.partition(".")[0] == "mailfw":
        return ""  # a class of ours, which is nobody's alone
    return module if module.startswith("twisted.plugins.") else module.partition(".")[0]


def _installedEntryPoints() -> Iterable[Any]:
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)


def _mentionsUs(module: pkgutil.ModuleInfo) -> str | None:
    """The path of a module that can hold a plugin for us; None for the many that belong to other programs.

    A plugin of ours names `mailfw`, if only to import its contracts, so no other module need be imported.
    """
    spec = module.module_finder.find_spec(module.name, None)
    if spec is None or spec.origin is None:
        return None
    try:
        with open(spec.origin, "rb") as file:
            return spec.origin if b"mailfw" in file.read() else None
    except OSError as error:
        return f"{spec.origin} ({error.strerror})"


def _classify(thing: object, origin: str, summary: str = "") -> Iterator[Found]:
    """One `Found` for each kind of plugin that an object is; none when it is no plugin at all."""
    if isinstance(thing, type):
        return
    for kind in Kind:
        for interface in kind.interfaces:
            if not interface.providedBy(thing):
                continue
            place = str(getattr(sys.modules.get(type(thing).__module__), "__file__", None) or "")
            word = str(getattr(thing, "name" if kind is Kind.SERVICE else "prefix", ""))
            about = summary or (inspect.getdoc(thing) or "").partition("\n")[0]
            try:
                check(interface, thing)
            except BrokenPlugin as error:
                yield Found(kind, word, origin, about, error=str(error), place=place, interface=interface.__name__)
            else:
                yield Found(kind, word, origin, about, thing, place=place, interface=interface.__name__)
