"""The programs of docs/cookbook/, each with its own suite, run as its readers would run it; and the pages, which show them."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "etc" / "examples"
PAGES = sorted((ROOT / "docs" / "cookbook").glob("*.md"))
SUITES = {"tickets": "-p no:twisted", "webhook": "", "mailinglist": "-p no:twisted", "autoreply": "-p no:twisted"}


@pytest.mark.parametrize("name", SUITES)
def test_suite(name: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ""
    for file in (EXAMPLES / name).glob("*.py"):
        (pytester.path / file.name).write_text(file.read_text())
        source += file.read_text() if file.name.startswith("test_") else ""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    installed = [] if entry_points(group="pytest11", name="mailfw") else ["-p", "mailfw.trap.plugin"]
    outcomes = pytester.runpytest_subprocess(*installed, *SUITES[name].split(), timeout=90).parseoutcomes()
    counted = len(re.findall(r"^(?:async )?def test_", source, re.MULTILINE))
    assert outcomes.pop("passed") >= counted > 0 and not outcomes.keys() - {"warnings"}
