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
FILES = dict(re.findall(r"\A# (\w+\.py)\n(.*)\Z", text, re.DOTALL)[0] for language, text in BLOCKS if language == "python")


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, names: list[str], *options: str) -> pytest.RunResult:
    """Run the suite that these files are."""
    for name in names:
        (pytester.path / name).write_text(FILES[name])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    installed = [] if entry_points(group="pytest11", name="mailfw") else ["-p", "mailfw.trap.plugin"]
    return pytester.runpytest_subprocess(*installed, *options, timeout=60)


def counted(names: list[str]) -> int:
    return sum(len(re.findall(r"^(?:async )?def test_", FILES[name], re.MULTILINE)) for name in names)


def test_every_block_is_a_file() -> None:
    """No example stands there that is not run, under its name."""
    assert len(FILES) == sum(language == "python" for language, _ in BLOCKS)
    assert {name for name in FILES if not name.startswith("test_")} == {"shop.py", "conftest.py"}


def test_examples(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in FILES if name != "test_twisted.py"]
    run(pytester, monkeypatch, names, "-p", "no:twisted").assert_outcomes(passed=counted(names))


def test_twisted_examples(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["test_twisted.py"]
    run(pytester, monkeypatch, names).assert_outcomes(passed=counted(names))
