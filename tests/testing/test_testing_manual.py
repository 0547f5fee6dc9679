"""The table of docs/testing.md, which is the list of what is public. Its examples are run with all others, by tests/docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mailfw.testing

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "testing.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", MANUAL, re.MULTILINE))


def test_the_table_has_every_module() -> None:
    """Nobody uses what is not public, and nothing public goes untold."""
    modules = {path.stem for path in Path(mailfw.testing.__file__).parent.glob("*.py")}
    assert set(ROWS) == modules - {"__init__"}


@pytest.mark.parametrize("module", sorted(ROWS))
def test_the_table_names_what_is_there(module: str) -> None:
    told = ROWS[module].partition(":")[0] if ":" in ROWS[module] else ROWS[module]
    names = re.findall(r"`(\w+)`", told)
    source = (Path(mailfw.testing.__file__).parent / f"{module}.py").read_text()
    for name in names:
        assert re.search(rf"^(?:class|def) {name}\b", source, re.MULTILINE), name
    assert names or module == "samples"
