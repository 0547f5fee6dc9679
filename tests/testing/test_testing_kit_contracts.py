"""Plugins that break a promise are caught by the test that is meant for it, and by no other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mailfw

TEMPLATES = Path(mailfw.__file__).parent / "app" / "templates"
PATIENCE = 60

BROKEN = {
    "hook": {
        "answers what may not be answered there": (
            ("Continue((AddHeader", "Discard() if not event.message.size else Continue((AddHeader"),
            ("import AddHeader", "import Discard, AddHeader"),
            ("Stage.END_OF_MESSAGE", "Stage.DSN_CREATED"),
        ),
        "answers nonsense": (("return None  # go on", 'return "go on"'),),
        "raises for the sender of reports": (("sender is not None and ", ""),),
        "is no plugin": (("def openHook(self, argument, context)", "def openHook(self, argument)"),),
    },
    "route": {
        "says that it delivered what it lost": (("file.writelines(message.chunks())", "file.write(b'')"),),
        "loses what is empty": (("return name", 'message.size or os.remove(path)\n        return "gone"'),),
        "has one outcome for all": (("] * len(self.recipients)", "]"),),
        "delivers what was aborted": (
            ('"""Nothing was begun."""', "self.write(__import__('mailfw').values.MessageSource(b'x'))"),
        ),
        "has a new destination each time": (('return f"specimen:{self.directory}"', "return secrets.token_hex(4)"),),
        "chokes on names": (
            ("self.recipients.append(recipient)", "self.recipients.append(recipient.address.local.encode('ascii'))"),
        ),
        "blocks where it may wait": (
            ("async def commit", "def commit"),
            ("await deferToThread(self.write, message)", "self.write(message)"),
        ),
    },
    "service": {
        "keeps the silent for ever": (("self.setDeadline(60)", "pass"),),
        "has no port": (("port = 4000", "port = 0"),),
        "raises": (("case _:", "case _ if line.decode('ascii') and False:"),),
        "leaves a call behind": (("def greet(self):", "def greet(self):\n        self.context.reactor.callLater(10**6, list)"),),
    },
}
MEANT = {
    "answers what may not be answered there": ["test_itAnswersWhatMayBeAnsweredAtItsStages"],
    "answers nonsense": ["test_itAnswersWhatMayBeAnsweredAtItsStages"],
    "raises for the sender of reports": ["test_itAnswersWhatMayBeAnsweredAtItsStages"],
    "says that it delivered what it lost": ["test_whatIsSaidToBeDeliveredHasArrived"],
    "loses what is empty": ["test_whatIsSaidToBeDeliveredHasArrived"],
    "has one outcome for all": ["test_eachRecipientHasAnOutcomeInItsPlace"],
    "delivers what was aborted": ["test_whatIsAbortedNeverArrives"],
    "has a new destination each time": ["test_aDomainHasOneDestination"],
    "chokes on names": ["test_aRecipientIsTakenOrRefused"],
    "keeps the silent for ever": ["test_whoSaysNothingIsNotKeptForEver"],
    "has no port": ["test_thePluginKeepsItsInterface"],
    "leaves a call behind": ["test_whoHangsUpIsForgotten"],
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of the contract's tests that failed, by what is broken; all plugins are tried in one run."""
    place = tmp_path_factory.mktemp("broken")
    numbered = {}
    for kind, plugins in BROKEN.items():
        for name, changes in plugins.items():
            number = f"n{len(numbered)}"
            numbered[number] = name
            text = (TEMPLATES / kind / "mailfw_specimen.py").read_text()
            for old, new in changes:
                assert old in text, (name, old)
                text = text.replace(old, new)
            (place / f"specimen_{number}.py").write_text(text)
            test = (TEMPLATES / kind / "tests" / "test_contract.py").read_text()
            (place / f"test_{number}.py").write_text(test.replace("mailfw_specimen", f"specimen_{number}"))
    words = ("-q", "-rfE", "-p", "no:cacheprovider", "--tb=no", "-c", "/dev/null", f"--rootdir={place}", f"--basetemp={place}/bt")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "."],
        cwd=place,
        env={"PYTHONPATH": str(Path(mailfw.__file__).parent.parent), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 1, run.stdout  # collected, and some failed
    found: dict[str, set[str]] = {name: set() for name in numbered.values()}
    for number, test in re.findall(r"^(?:FAILED|ERROR) test_(n\d+)\.py::TestSpecimen::(\w+)", run.stdout, re.M):
        found[numbered[number]].add(test)
    return found


@pytest.mark.parametrize("name", MEANT)
def test_aBrokenPromiseIsCaughtByItsTest(failed: dict[str, set[str]], name: str) -> None:
    own = {"test_refusesMailFromTheDomains", "test_answers"}  # the plugin's own tests, beside the contract
    assert failed[name] - own == set(MEANT[name])


@pytest.mark.parametrize("name", ["is no plugin", "blocks where it may wait", "raises"])
def test_whatBreaksMoreThanOnePromiseIsCaught(failed: dict[str, set[str]], name: str) -> None:
    assert failed[name]
