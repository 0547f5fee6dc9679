"""What a log line looks like, whatever is in the event."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from mailfw.app.logs import LineObserver, LogFile, clean, renderer

HEAD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ")


class Lines:
    def __init__(self) -> None:
        self.text = ""

    def write(self, lines: str) -> None:
        self.text += lines


def logged(act: Any, form: str = "text", level: str = "info", source: Any = None) -> str:
    """What an observer writes while `act` logs."""
    lines = Lines()
    act(Logger("mailfw.test", source=source, observer=LineObserver(lines, renderer(form), level)))
    return lines.text


def test_aLineHasTimeLevelSessionAndWords() -> None:
    line = logged(lambda log: log.info("hello {name}", name="jsmith"), source=SimpleNamespace(id="imap-1f"))
    assert re.fullmatch(HEAD.pattern + r"info \[imap-1f\] hello jsmith\n", line)


def test_anEventOfNoSessionNamesItsRoom() -> None:
    assert logged(lambda log: log.warn("alarm")).endswith(" warn [mailfw.test] alarm\n")


def test_everyLineOfATracebackHasTheSession() -> None:
    def act(log: Logger) -> None:
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            log.failure("it broke", failure=Failure())

    lines = logged(act, source=SimpleNamespace(id="smtp-2")).splitlines()
    assert lines[0].endswith("critical [smtp-2] it broke")
    assert len(lines) > 3
    assert all(HEAD.match(line) and " critical [smtp-2] " in line for line in lines)
    assert any(line.endswith("| second") for line in lines)


@given(st.text())
def test_whatAClientSendsNeitherBreaksALineNorCommandsATerminal(text: str) -> None:
    for form in ("text", "json"):
        line = logged(lambda log: log.info("said {text}", text=text), form)
        assert line.endswith("\n")
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line[:-1])


def test_lineEndsAreShownAsEscapes() -> None:
    assert clean("a\r\nlogin failed: user=<root>\x1b[2J") == "a\\r\\nlogin failed: user=<root>\\x1b[2J"


def test_levelsBelowTheConfiguredOneAreLeftOut() -> None:
    def act(log: Logger) -> None:
        for level in LogLevel.iterconstants():
            log.emit(level, level.name)

    assert [line.rpartition(" ")[2] for line in logged(act, level="warn").splitlines()] == ["warn", "error", "critical"]


def test_JSONHasTheEventsOwnFields() -> None:
    line = logged(
        lambda log: log.info("{size} octets", size=5, to="jsmith", thing=object()), "json", source=SimpleNamespace(id="x-1")
    )
    event = json.loads(line)
    assert {key: event[key] for key in ("level", "session", "system", "text", "size", "to")} == {
        "level": "info",
        "session": "x-1",
        "system": "mailfw.test",
        "text": "5 octets",
        "size": 5,
        "to": "jsmith",
    }
    assert "thing" not in event


def test_JSONHasTheTraceback() -> None:
    event = json.loads(logged(lambda log: log.failure("broke", failure=Failure(ValueError("why"))), "json"))
    assert "why" in event["traceback"]


def test_aLogFileIsAppendedToAndOpenedAnew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    file = LogFile(str(path))
    file.write("one\n")
    path.rename(tmp_path / "log.1")
    file.write("two\n")
    file.reopen()
    file.write("three\n")
    assert (tmp_path / "log.1").read_text() == "before\none\ntwo\n"
    assert path.read_text() == "three\n"


def test_aLogFileThatCannotBeOpenedAnewGoesOnWithTheOldOne(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    file = LogFile(str(tmp_path / "logs" / "log"))
    (tmp_path / "logs").rename(tmp_path / "moved")
    with pytest.raises(OSError):
        file.reopen()
    file.write("still here\n")
    assert (tmp_path / "moved" / "log").read_text() == "still here\n"
