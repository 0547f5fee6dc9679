"""The examples of docs/testing.md, run as its readers would run them; and its table, which is the list of what is public."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mailfw.testing

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)
FILES = dict(re.findall(r"\A# (test_\w+\.py)\n(.*)\Z", text, re.DOTALL)[0] for text in BLOCKS)
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


def test_examples(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(FILES) == len(BLOCKS)
    for name, text in FILES.items():
        (pytester.path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    outcomes = pytester.runpytest_subprocess(timeout=60).parseoutcomes()
    counted = sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in FILES.values())
    assert outcomes["passed"] > counted and not outcomes.keys() & {"failed", "errors", "warnings"}
