"""Stores that break a promise are caught by the tests that are meant for it, by no others, and in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mailfw
from mailfw.testing.promises.broken import sentence

sys.path.append(str(Path(__file__).parent))
from broken_stores import MEANT  # the process below needs it by that name too

PATIENCE = 600
MODULE = """
from broken_stores import MEANT
from mailfw.testing.store import MailStoreContract

def contractOf(broken):
    def openStore(self, directory, context):
        return broken.openStore(directory, context)

    return type(broken.__name__, (MailStoreContract,), {"openStore": openStore, "isPersistent": broken.isPersistent})

for broken in MEANT:
    globals()[f"Test{broken.__name__}"] = contractOf(broken)
"""


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What was said of each promise that broke, by store and the test's name.

    `make prove` runs all of the contract on each store, others the tests that are meant for any of them.
    """
    place = tmp_path_factory.mktemp("broken")
    (place / "test_them.py").write_text(MODULE)
    meant = sorted(set().union(*MEANT.values()))
    some = f"inline and ({' or '.join(meant)})"
    chosen = f"({'inline' if request.config.getoption('--prove') else some}) or testTheReactorIsNotKeptWaiting"
    words = ("-q", "-p", "no:cacheprovider", "-p", "mailfw.testing.report", f"--mailfw-report={place}/report")
    words += ("-c", os.devnull, f"--rootdir={place}", f"--basetemp={place}/bt")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--import-mode=importlib", "--tb=no", "-k", chosen, "."],
        cwd=place,
        env={
            "PYTHONPATH": os.pathsep.join([str(Path(mailfw.__file__).parent.parent), str(Path(__file__).parent)]),
            "PATH": os.defpath,
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr  # collected, and some failed
    said: dict[str, dict[str, str]] = {broken.__name__: {} for broken in MEANT}
    for line in (place / "report").read_text().splitlines():
        result = json.loads(line)
        if result["outcome"] not in ("under way", "kept", "skipped"):
            store, _, test = result["test"].partition("::")
            said[store.removeprefix("Test")][test.partition("[")[0]] = result["sentence"]
    return said


@pytest.mark.prove
@pytest.mark.parametrize("broken", MEANT, ids=lambda broken: broken.__name__)
def test_itIsCaughtByItsTestsAndByNoOthers(told: dict[str, dict[str, str]], broken: type) -> None:
    assert set(told[broken.__name__]) == MEANT[broken]


@pytest.mark.parametrize("broken", MEANT, ids=lambda broken: broken.__name__)
def test_aSentenceSaysWhichPromiseBroke(told: dict[str, dict[str, str]], broken: type) -> None:
    for test, said in told[broken.__name__].items():
        promise = OWN.get(test) or sentence(test)
        assert said.startswith(f"{promise}. Instead: ")


OWN = {
    "testTheReactorIsNotKeptWaiting": "Nobody else waits for a quarter of a second while a store does what it was asked for",
}
"""A promise that has a sentence of its own; others are told in the words of the test's name."""


def test_aTestsNameIsASentence() -> None:
    assert sentence("testAUIDValidityIsGivenOnce") == "A UIDVALIDITY is given once"
    assert sentence("testUIDsOnlyGrow") == "UIDs only grow"
    assert sentence("test_aNameInINBOXKeepsItsModSeq") == "A name in INBOX keeps its MODSEQ"
    assert sentence("testX", "  What was kept stays.\n\n More.\n") == "What was kept stays"
