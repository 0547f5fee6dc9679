"""The larger examples of docs/trap.md, run as their readers would run them. Those on the page tests/docs runs."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("example", "options"), [("signup", ()), ("flask", ("-p", "no:twisted"))])
def test_web_application(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, example: str, options: tuple[str, ...]
) -> None:
    """A whole application with its own suite; all of its tests pass."""
    suite = {path.name: path.read_text() for path in (ROOT / "etc" / "examples" / example).glob("*.py")}
    for name, text in suite.items():
        (pytester.path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    installed = [] if entry_points(group="pytest11", name="mailfw") else ["-p", "mailfw.trap.plugin"]
    counted = sum(len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE)) for text in suite.values())
    outcomes = pytester.runpytest_subprocess(*installed, *options, timeout=300).parseoutcomes()
    assert outcomes.pop("passed") == counted > 0 and not outcomes.keys() - {"warnings"}
