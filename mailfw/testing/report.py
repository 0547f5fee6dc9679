"""`-p mailfw.testing.report`: a pytest plugin that writes down what became of each promise as soon as it is known, and ends a
test that hangs, with the process.

Each line of the report is a JSON object: `file` and `test` (the test's id in it), `promise` (in words), `outcome` (of
`OUTCOMES`), `sentence` (what was seen instead, or why it was not tried) and `seconds`. The line of a test that begins says
`under way`: where no other follows, the process died in it. A test that hangs cannot be left, since it may wait in C or keep
the reactor; so the process ends, and whoever runs it begins again with the tests that the report does not have
(`--mailfw-report` is read first, and appended to).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Generator
from pathlib import Path

import pytest

from mailfw.testing.promises.broken import BrokenPromise, CannotBeOpened, sentence

OUTCOMES = "under way", "kept", "broken", "skipped", "hung", "died"
HUNG = 70
"""The status of a process that was ended in a test that hangs."""

_NOT_DONE = "under way"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the report is, and how long a test may take."""
    group = parser.getgroup("mailfw")
    group.addoption("--mailfw-report", metavar="FILE", required=True, help="where the report is written")
    group.addoption("--mailfw-patience", metavar="SECONDS", type=float, default=60.0, help="what a test may take")


def pytest_configure(config: pytest.Config) -> None:
    """Report what these options say."""
    config.pluginmanager.register(Report(Path(config.getoption("--mailfw-report")), config.getoption("--mailfw-patience")))


class Report:
    """The report of one run. :param patience: seconds."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._told: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what the report has already."""
        if self._path.exists():
            lines = map(json.loads, self._path.read_text(encoding="utf-8").splitlines())
            known = {(line["file"], line["test"]) for line in lines}
            config.hook.pytest_deselected(items=[item for item in items if (item.path.name, _name(item)) in known])
            items[:] = [item for item in items if (item.path.name, _name(item)) not in known]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Report one test."""
        promise = sentence(getattr(item, "originalname", item.name), getattr(getattr(item, "function", None), "__doc__", None))
        self._write(item, promise, _NOT_DONE, "", 0.0)
        begun = time.monotonic()
        timer = threading.Timer(self._patience, self._end, (item, promise, threading.get_ident()))
        timer.daemon = True
        timer.start()
        try:
            result = yield
        finally:
            timer.cancel()
            timer.join()
        outcome, said = self._told.pop(item.nodeid, ("kept", ""))
        self._write(item, promise, outcome, said, time.monotonic() - begun)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Remember how it went."""
        report = yield
        if report.skipped and isinstance(report.longrepr, tuple):
            self._told[item.nodeid] = "skipped", report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed and call.excinfo is not None and self._told.get(item.nodeid, ("",))[0] != "broken":
            self._told[item.nodeid] = "broken", _seen(call.excinfo.value)
            if isinstance(call.excinfo.value, CannotBeOpened):  # nothing else can be tried either
                report.longrepr = str(call.excinfo.value)
                item.session.shouldfail = str(call.excinfo.value)
        return report

    def _end(self, item: pytest.Item, promise: str, thread: int) -> None:
        """Whoever waits does so for ever: say where, and end."""
        frames = traceback.extract_stack(sys._current_frames()[thread])
        theirs = [frame for frame in frames if f"{os.sep}mailfw{os.sep}testing{os.sep}" not in frame.filename] or frames
        where = f"{theirs[-1].filename}:{theirs[-1].lineno} in {theirs[-1].name}"
        self._write(item, promise, "hung", f"it did not end within {self._patience:g} seconds; it is at {where}", self._patience)
        os._exit(HUNG)

    def _write(self, item: pytest.Item, promise: str, outcome: str, said: str, seconds: float) -> None:
        line = {
            "file": item.path.name,
            "test": _name(item),
            "promise": promise,
            "outcome": outcome,
            "sentence": said,
            "seconds": round(seconds, 3),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _name(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[2]


def _seen(error: BaseException) -> str:
    """The failure in words; a broken promise tells itself."""
    return str(error) if isinstance(error, (BrokenPromise, CannotBeOpened)) else f"{type(error).__name__}: {error}"
