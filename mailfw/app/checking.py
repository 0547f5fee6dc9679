"""Runs tests of a plugin that may do anything: hang, end its process, write on standard output. `mailfw plugin check` does it.

The tests run in a process of their own, whose report (`mailfw.testing.report`) is read when it has ended. Where it ended in the
midst of a test, because that hung or took the process with it, another process goes on with the tests that come after.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from attrs import evolve, frozen

from mailfw.app.problem import Problem

ENDED = ("hung", "died")
"""Outcomes of a test with which its process ended."""

_MOST_PROCESSES = 20
_MIDST = "under way"


@frozen
class Promise:
    """What became of one promise.

    :ivar test: the test's name. :ivar promise: in words. :ivar outcome: kept, broken, skipped, hung or died.
    :ivar sentence: what was seen instead, or why it was not tried. :ivar seconds: how long that took.
    """

    test: str
    promise: str
    outcome: str
    sentence: str
    seconds: float


@frozen
class Trial:
    """Tests that are to be run.

    :ivar name: what the module of tests is to be called. :ivar source: its text.
    :ivar patience: seconds that a test may take. :ivar only: words of `pytest -k`.
    :ivar isQuiet: nothing that the test runner says is shown.
    """

    name: str
    source: str
    patience: float
    only: str = ""
    isVerbose: bool = False
    isQuiet: bool = False

    def run(self) -> list[Promise]:
        """Run them all, whatever happens.

        :raises Problem: nothing was tried, or the test runner is not there.
        """
        if find_spec("pytest") is None or find_spec("pytest_twisted") is None:
            raise Problem("the test runner is not installed: pip install 'mailfw[test]'")
        with tempfile.TemporaryDirectory(prefix="mailfw-check-") as place:
            directory = Path(place)
            (directory / f"{self.name}.py").write_text(self.source, encoding="utf-8")
            report = directory / "report"
            found: list[Promise] = []
            for number in range(_MOST_PROCESSES):
                ended = self._process(directory, report, number)
                before, found = len(found), _read(report)
                if len(found) == before or found[-1].outcome not in ENDED:
                    break
        if not found:
            raise Problem(f"nothing was checked: {_last(ended) or f'the test runner ended with status {ended.returncode}'}")
        return found

    def _process(self, directory: Path, report: Path, number: int) -> subprocess.CompletedProcess[str]:
        words = [
            sys.executable,
            "-m",
            "pytest",
            f"{directory}/{self.name}.py",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(directory),
        ]
        words += ["-c", os.devnull, "--tb=short", "--import-mode=importlib", f"--basetemp={directory}/places{number}", "-rfEs"]
        words += ["-p", "mailfw.testing.report", f"--mailfw-report={report}", f"--mailfw-patience={self.patience}"]
        words += ["-v" if self.isVerbose else "-q", *(["-k", self.only] if self.only else [])]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(words, env=environment, capture_output=self.isQuiet, text=True, check=False)


def _last(ended: subprocess.CompletedProcess[str]) -> str:
    """The last thing that the test runner said, where nobody has seen it."""
    lines = [line.strip("! ") for line in ((ended.stdout or "") + (ended.stderr or "")).splitlines() if line.strip("!= ")]
    return lines[-1] if lines else ""


def _read(report: Path) -> list[Promise]:
    """The promises of a report; a test in whose midst the process ended has died."""
    found: dict[str, Promise] = {}
    for line in report.read_text(encoding="utf-8").splitlines() if report.exists() else ():
        said = json.loads(line)
        del said["file"]  # there is one
        one = Promise(**said)
        found[one.test] = one
    died = "the plugin ended the process in which it was tried"
    return [evolve(one, outcome="died", sentence=died) if one.outcome == _MIDST else one for one in found.values()]
