"""`mailfw plugin check` with plugins that misbehave: what it reports, and with which status it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mailfw

PROJECT = str(Path(mailfw.__file__).parent.parent)
PATIENCE = 600

PLUGIN = """
import os, time
from pydantic import BaseModel
from zope.interface import implementer
from mailfw.app.templates.storage.mailfw_specimen import SpecimenStore
from mailfw.interfaces import IOptions, ISimpleStorePlugin
from mailfw.errors import Vanished

class Bad(SpecimenStore):
    def read(self, account, folder, entry):
        try:
            return super().read(account, folder, entry)
        except Vanished:
            {deed}

class Model(BaseModel):
    file: str = ""

@implementer(ISimpleStorePlugin, IOptions)
class Plugin:
    \"\"\"Keeps mail badly.\"\"\"

    prefix = "bad"
    model = Model

    def openSimpleStore(self, argument, context):
        if not context.options.file:
            raise ValueError("bad: needs [plugin.bad] file")
        return Bad(os.path.join(context.data, context.options.file), context.now)

bad = Plugin()
"""
OPTIONS = ("--options", '{"file": "mail.sqlite"}')
GONE = "test_whatIsGoneHasVanished"


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """Checks a store that does something bad where a message is gone."""

    def run(deed: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "twisted" / "plugins").mkdir(parents=True, exist_ok=True)
        (tmp_path / "twisted" / "plugins" / "bad.py").write_text(PLUGIN.replace("{deed}", deed))
        environment = {**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{tmp_path}", "PYTHONDONTWRITEBYTECODE": "1"}
        main = "from mailfw.app.cli import main; main()"
        given = [sys.executable, "-c", main, "plugin", "check", "bad", *words]
        return subprocess.run(given, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)

    return run


def test_theReportHasEachPromise(check: Any) -> None:
    checked = check("return b''", *OPTIONS, "--json", "--only", "GoneHasVanished or foretold or fullDisk")
    assert checked.returncode == 1, checked.stderr
    report = {each["test"].partition("::")[2]: each for each in json.loads(checked.stdout)}
    assert {name: each["outcome"] for name, each in report.items()} == {
        GONE: "broken",
        "test_aMessageHasTheKeyThatWasForetold": "kept",
        "test_onAFullDiskNoneIsAdded": "skipped",
    }
    assert report[GONE]["promise"] == "What is gone has vanished"
    assert report[GONE]["sentence"] == "What is gone has vanished. Instead: DID NOT RAISE Vanished"
    assert report["test_onAFullDiskNoneIsAdded"]["sentence"] == "this store's changes cannot be seen"
    assert all(each["seconds"] >= 0 for each in report.values())


@pytest.mark.parametrize(
    ("deed", "outcome", "said"),
    [
        ("time.sleep(3600)", "hung", "it did not end within 10 seconds; it is at "),
        ("os._exit(0)", "died", "the process ended"),
    ],
)
def test_theOthersAreTriedAllTheSame(check: Any, deed: str, outcome: str, said: str) -> None:
    checked = check(deed, *OPTIONS, "--json", "--patience", "10", "--only", "GoneHasVanished or foretold or withoutInternalDate")
    assert checked.returncode == 1, checked.stderr
    report = {each["test"].partition("::")[2]: each for each in json.loads(checked.stdout)}
    assert report[GONE]["outcome"] == outcome
    assert report[GONE]["sentence"].startswith(said)
    assert sorted(each["outcome"] for each in report.values()) == sorted([outcome, "kept", "kept"])


def test_aStoreThatBringsAModelIsGivenItsOptions(check: Any) -> None:
    for words, said in ((), "bad: needs [plugin.bad] file"), (("--options", '{"file": 7}'), "valid string"):
        refused = check("raise", *words)
        assert refused.returncode == 1
        assert "the plugin cannot be opened: " in refused.stdout and said in refused.stdout
    checked = check("raise", *OPTIONS, "--only", "GoneHasVanished")
    assert checked.returncode == 0, checked.stdout
