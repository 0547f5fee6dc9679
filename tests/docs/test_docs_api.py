"""docs/api.md has every public name, and no other."""

from __future__ import annotations

import ast
import re
from importlib import import_module

import pytest
from blocks import DOCS, ROOT

from mailfw import __version__

ROWS = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| (.+) \| ([\d.]+) \|$", (DOCS / "api.md").read_text(), re.MULTILINE)
WHOLE = ("interfaces", "values", "errors", "stages", "plugins", "mail", "trap.trap")
INSIDE = {("trap.trap", "Wanted")}
"""What `waitFor` makes of its arguments."""
TESTING = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", (DOCS / "testing.md").read_text(), re.MULTILINE))


def defined(module: str) -> set[str]:
    """What a module says that it has, or makes itself; type variables are not meant."""
    path = ROOT / "mailfw" / f"{module.replace('.', '/')}.py"
    if names := getattr(import_module(f"mailfw.{module}"), "__all__", ()):
        return set(names)
    found = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"):
                    found.add(name)
    return {name for name in found if not name.startswith("_")}


def listed(module: str) -> set[str]:
    return {name for row, name, _, _ in ROWS if row == f"mailfw.{module}"}


def test_every_row_is_read() -> None:
    lines = [line for line in (DOCS / "api.md").read_text().splitlines() if line.startswith("| `")]
    assert len(lines) == len(ROWS) == len({row[:2] for row in ROWS})


@pytest.mark.parametrize("module", WHOLE)
def test_a_module_of_contracts_is_public_as_a_whole(module: str) -> None:
    names = defined(module)
    if module.startswith("trap."):  # constants are in no test's hands
        names = {name for name in names if not name.isupper()} - {name for where, name in INSIDE if where == module}
    assert listed(module) == names


@pytest.mark.parametrize("module", TESTING)
def test_of_testing_is_public_what_its_page_says(module: str) -> None:
    names = set(re.findall(r"`(\w+)`", TESTING[module].partition(":")[0])) or defined(f"testing.{module}")
    assert listed(f"testing.{module}") == names


def test_no_row_is_of_another_module() -> None:
    known = {*WHOLE, *(f"testing.{module}" for module in TESTING), "trap.plugin", "message.view"}
    assert {module for module, _, _, _ in ROWS} == {f"mailfw.{module}" for module in known}


@pytest.mark.parametrize(("module", "name", "what", "since"), ROWS, ids=[f"{row[0]}.{row[1]}" for row in ROWS])
def test_a_name_is_there_and_has_been_since(module: str, name: str, what: str, since: str) -> None:
    assert hasattr(import_module(module), name)
    assert what[0].isupper() or not what[0].isalpha()
    assert tuple(map(int, since.split("."))) <= tuple(map(int, __version__.split(".")[:2]))
