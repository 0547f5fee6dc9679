"""Imports the modules that the configuration names, and again when a file of theirs has changed.

All modules below the directory are imported anew together, so that none goes on with another's old self; what is installed
elsewhere stays until a restart. A module that fails keeps the routes that it had.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from attrs import field, frozen

from mailfw.code.results import oneLine
from mailfw.code.routing import ROUTES, Route


@frozen(eq=False)
class Broken:
    """A module that cannot be imported. :ivar line: the exception in one line. :ivar traceback: without the machinery's
    frames."""

    module: str
    error: BaseException
    line: str
    traceback: str

    def __str__(self) -> str:
        return f"module {self.module} cannot be imported: {self.line}"


@frozen
class Loaded:
    """:ivar routes: of each module, in the order of their definition. :ivar failures: of the last time."""

    routes: Mapping[str, tuple[Route, ...]] = field(factory=dict)
    failures: tuple[Broken, ...] = ()
    digest: bytes = b""

    @property
    def all(self) -> list[Route]:
        """Of all modules, each once, though one may have imported another."""
        return list(dict.fromkeys(route for routes in self.routes.values() for route in routes))


def load(names: Sequence[str], path: str, before: Loaded | None = None) -> Loaded:
    """Import these modules; where no file below `path` has changed since `before`, only those that were not.

    :param path: a directory that modules are looked for in before all others; empty: none.
    """
    before = before or Loaded()
    digest = _digest(path, names)
    if digest == before.digest and not before.failures:
        return before
    replaced = _forget(path, names)
    routes: dict[str, tuple[Route, ...]] = {}
    failures = []
    with _lookingIn(path):
        for name in names:
            try:
                importlib.import_module(name)
                routes[name] = tuple(_routesOf(name))
            except (Exception, SystemExit) as error:
                failures.append(_broken(name, error))
                routes[name] = before.routes.get(name, ())
                for module in [each for each in replaced if each == name or each.startswith(f"{name}.")]:
                    sys.modules[module] = replaced[module]
    return Loaded(routes, tuple(failures), digest)


def _routesOf(name: str) -> Iterator[Route]:
    """What was defined in a module, and in modules of the package that it is."""
    for module in list(sys.modules):
        if module == name or module.startswith(f"{name}."):
            yield from getattr(sys.modules[module], ROUTES, ())


def _digest(path: str, names: Sequence[str]) -> bytes:
    """Changes with any source file below the directory. What cannot be read is none: editors leave locks there as links that lead
    nowhere, and files that have gone when they are looked at."""
    found = hashlib.blake2b(repr((path, list(names))).encode(errors="surrogateescape"))
    for file in sorted(Path(path).rglob("*.py")) if path else ():
        with suppress(OSError):
            found.update(b"%b\0%b\0" % (os.fsencode(file), hashlib.blake2b(file.read_bytes()).digest()))
    return found.digest()


def _forget(path: str, names: Sequence[str]) -> dict[str, ModuleType]:
    """Take out of `sys.modules` what is from files below the directory, and what has one of these names where a file has it now.
    A file that is only called as another module is (`json.py`) takes nothing from anybody. → what it was.
    """
    if not path:
        return {}
    inside = Path(path).resolve()
    there = {each.stem for each in inside.glob("*.py")} | {each.parent.name for each in inside.glob("*/__init__.py")}
    meant = there & {name.partition(".")[0] for name in names}
    gone = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in meant or (file and Path(file).resolve().is_relative_to(inside)):
            gone[name] = sys.modules.pop(name)
    return gone


@contextmanager
def _lookingIn(path: str) -> Iterator[None]:
    """The directory stays in `sys.path`, for functions may import later; nothing compiled is kept, for it could be of another
    second's source."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    if path:
        sys.path[:] = [path, *(each for each in sys.path if each != path)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _broken(name: str, error: BaseException) -> Broken:
    """Without the frames of the import machinery."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _isMachinery(each.filename)]
    lines = traceback.format_list(frames) + traceback.format_exception_only(error)
    return Broken(name, error, exceptionLine(error), "".join(lines))


def _isMachinery(filename: str) -> bool:
    ours = Path(__file__).parent  # such as the decorator
    return filename.startswith("<frozen importlib") or filename == importlib.__file__ or Path(filename).parent == ours


def exceptionLine(error: BaseException, within: str = "") -> str:
    """An exception in one line, with the file and line that it came from.

    :param within: the last of its frames in this file is named, where there is one, for what lies deeper is a library.
    """
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _isMachinery(each.filename)]
    where = next((each for each in reversed(frames) if each.filename == within), frames[-1] if frames else None)
    said, file, line = str(error), where.filename if where is not None else "", where.lineno if where is not None else 0
    if isinstance(error, SyntaxError) and error.filename:
        said, file, line = error.msg, error.filename, error.lineno or 0
    place = "" if not file else f" ({Path(file).name}:{line})"
    text = oneLine(said)[:300]
    return f"{type(error).__name__}{text and f': {text}'}{place}"
