"""docs/THREATS.md names no test that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = sorted(set(re.findall(r"`(test\w+)`", (ROOT / "docs/THREATS.md").read_text())))
DEFINED = {
    name
    for directory in ("tests", "mailfw/testing")
    for path in (ROOT / directory).rglob("*.py")
    for name in re.findall(r"^ *(?:async )?def (test\w+)\(", path.read_text(), re.MULTILINE)
}


def test_itNamesMany():
    assert len(NAMED) > 100


@pytest.mark.parametrize("name", NAMED)
def test_whatItNamesIsThere(name):
    assert name in DEFINED
