"""The rule of the house that import-linter cannot keep: pure rooms import no Twisted, and a session hardly any.

Rules 1, 2 and 4 are contracts of import-linter in `pyproject.toml`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mailfw

ROOT = Path(mailfw.__file__).parent
PURE_ROOMS = ("values", "errors", "stages", "tally", "message", "sasl")
SESSION_MAY_IMPORT = {"twisted.internet.defer"}


def nameOf(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {nameOf(path): path for path in ROOT.rglob("*.py")}


def isForTypes(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that is executed at some time, which what only a type checker reads is not."""
    for child in ast.iter_child_nodes(node):
        if not isForTypes(child):
            yield child
            yield from statements(child)


def importsOf(module: str) -> set[str]:
    """Names of the modules that a module imports, anywhere in it."""
    found: set[str] = set()
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in statements(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [base])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def withinHouse(name: str) -> str | None:
    """The module of ours that an imported name is, or is in."""
    while name.startswith("mailfw"):
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


def fromTwisted(names: set[str]) -> set[str]:
    return {name for name in names if name == "twisted" or name.startswith("twisted.")}


def pureModules() -> list[str]:
    rooms = tuple(f"mailfw.{room}" for room in PURE_ROOMS)
    return sorted(
        name
        for name in MODULES
        if name in rooms or name.startswith(tuple(f"{room}." for room in rooms)) or name.endswith(".grammar")
    )


def sessions() -> list[str]:
    return sorted(name for name in MODULES if name.endswith(".session"))


@pytest.mark.parametrize("module", pureModules())
def test_aPureRoomImportsNoTwistedNeitherItselfNorThroughOthers(module: str) -> None:
    seen: dict[str, str] = {module: module}
    waiting = [module]
    while waiting:
        here = waiting.pop()
        imported = importsOf(here)
        assert not fromTwisted(imported), f"{seen[here]} imports {sorted(fromTwisted(imported))}"
        for name in imported:
            inside = withinHouse(name)
            if inside and inside not in seen:
                seen[inside] = f"{seen[here]} → {inside}"
                waiting.append(inside)


@pytest.mark.parametrize("module", sessions())
def test_aSessionImportsOfTwistedOnlyDeferreds(module: str) -> None:
    foreign = {name for name in fromTwisted(importsOf(module)) if not any(name.startswith(may) for may in SESSION_MAY_IMPORT)}
    assert not foreign, f"{module} imports {sorted(foreign)}"


def test_theRulesAreAboutModulesThatExist() -> None:
    assert {"mailfw.values", "mailfw.errors"} <= set(pureModules())
    assert any(name.startswith("mailfw.sasl.") for name in pureModules())
