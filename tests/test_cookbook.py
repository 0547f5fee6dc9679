"""The cookbook's programs: their pages show them whole, and their own suites pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "etc" / "examples"
NAMES = sorted(page.stem for page in (ROOT / "docs" / "cookbook").glob("*.md"))


@pytest.mark.parametrize("name", NAMES)
def test_its_page_shows_the_program_and_its_tests(name):
    page = (ROOT / "docs" / "cookbook" / f"{name}.md").read_text()
    files = list((EXAMPLES / name).glob("*.py"))
    assert {file.name for file in files} - {"conftest.py"} == {f"{name}.py", f"test_{name}.py"}
    for file in files:
        assert f"```python\n{file.read_text()}```\n" in page, f"{file.name} is not what the page shows"


@pytest.mark.parametrize("name", NAMES)
def test_its_suite_passes(name, tmp_path):
    place = EXAMPLES / name
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/run", "-c", os.devnull]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    command += [f"--rootdir={place}", "."]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and os.environ.get("CI") != "true":
        pytest.skip("psycopg is not installed")
    assert done.returncode == 0, done.stdout + done.stderr
