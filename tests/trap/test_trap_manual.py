"""The examples of docs/trap.md, run as its readers would run them."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "trap.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)
TWISTED = "test_twisted.py"
FILES = dict(re.findall(r"\A# (\w+\.py)\n(.*)\Z", text, re.DOTALL)[0] for language, text in BLOCKS if language == "python")


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, suite: dict[str, str], *options: str) -> None:
    """Run the suite that these files are; all of its tests pass."""
    for name, text in suite.items():
        (pytester.path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    installed = [] if entry_points(group="pytest11", name="mailfw") else ["-p", "mailfw.trap.plugin"]
    counted = sum(len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE)) for text in suite.values())
    outcomes = pytester.runpytest_subprocess(*installed, *options, timeout=60).parseoutcomes()
    assert outcomes.pop("passed") == counted > 0 and not outcomes.keys() - {"warnings"}


def test_every_block_is_a_file() -> None:
    """No example stands there that is not run, under its name."""
    assert len(FILES) == sum(language == "python" for language, _ in BLOCKS)
    assert {name for name in FILES if not name.startswith("test_")} == {"shop.py", "conftest.py"}


def test_examples(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pytester, monkeypatch, {name: text for name, text in FILES.items() if name != TWISTED}, "-p", "no:twisted")


def test_twisted_examples(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pytester, monkeypatch, {TWISTED: FILES[TWISTED]})


def test_web_application(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole application with its own suite."""
    run(pytester, monkeypatch, {path.name: path.read_text() for path in (ROOT / "etc" / "examples" / "signup").glob("*.py")})
