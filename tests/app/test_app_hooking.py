"""Hooks of the configuration, at a reload."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.app.catalogue import plugins
from mailfw.app.configuration import Source
from mailfw.app.hooking import Hooking
from mailfw.app.problem import Problem
from mailfw.hooks.runner import Hooks
from mailfw.net.watchdog import Watchdog
from mailfw.stages import Event, Reject, Stage
from mailfw.tally import Tally
from mailfw.testing.now import result
from mailfw.testing.resolver import FakeResolver

CONFIGURATION = """
hostname = "localhost"
domains = ["localhost"]
[[listen]]
service = "smtp"
endpoint = "tcp:0:interface=127.0.0.1"
[[hook]]
stage = "mail_from"
plugin = "python:rules.py:rules"
"""


def write(path: Path, text: str, at: int) -> None:
    path.write_text(f'from mailfw.stages import Reject\nasync def rules(event):\n    return Reject(550, "5.7.1", "{text}")\n')
    os.utime(path, (at, at))


def said(hooks: Hooks | None) -> str:
    assert hooks is not None
    refused = result(hooks.ask(Event(Stage.MAIL_FROM))).result
    assert isinstance(refused, Reject)
    return refused.text


def test_aFileThatHasChangedIsReadAgain(tmp_path: Path) -> None:
    (tmp_path / "mailfw.toml").write_text(CONFIGURATION)
    configuration = Source(str(tmp_path / "mailfw.toml"), {("data",): str(tmp_path)}).read(plugins())
    hooking = Hooking(Clock(), str(tmp_path), FakeResolver, Watchdog(0), Tally())
    write(tmp_path / "rules.py", "before", 1_000)
    first = hooking.hooks(configuration)
    assert said(first) == "before"
    write(tmp_path / "rules.py", "after", 2_000)
    assert said(hooking.hooks(configuration)) == "after"
    assert said(first) == "before", "a session that is there goes on with what it had"
    (tmp_path / "rules.py").unlink()
    with pytest.raises(Problem, match=r"python:rules\.py:rules cannot be opened"):
        hooking.hooks(configuration)
    result(hooking.close())
