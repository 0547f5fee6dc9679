"""Every broken simple store and source of accounts is caught by the contract's tests that are meant for it, and by no others,
each with a sentence that says which promise broke.

Full stores are in test_broken_stores.py; hooks, routes and services in test_testing_kit_contracts.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import mailfw
from mailfw.testing.report import HUNG

BROKEN = Path(__file__).parent / "broken"
PATIENCE = 600

SIMPLE = """
import os
import simple
from mailfw.testing.simplestore import SimpleStoreContract

for store in simple.MEANT:
    def openStore(self, store=store):
        return store(os.path.join(self.context.data, "mail.sqlite"), self.context.now)

    name = f"Test{store.__name__}"
    globals()[name] = type(name, (SimpleStoreContract,), {"isTraced": False, "openStore": openStore})
"""

SOURCES = """
import sources
from mailfw.testing.authenticator import AuthenticatorContract

for source in sources.MEANT:
    def openAuthenticator(self, accounts, source=source):
        return source(accounts)

    def operations(self, source):
        return source.operations

    name = f"Test{source.__name__}"
    globals()[name] = type(name, (AuthenticatorContract,), {"openAuthenticator": openAuthenticator, "operations": operations})
"""

KINDS = {
    "simple": SIMPLE,
    "sources": SOURCES,
}


def meant(kind: str) -> dict[str, set[str]]:
    """The table of a kind, as its module has it."""
    code = f"import json, {kind}; print(json.dumps({{plugin.__name__: sorted(tests) for plugin, tests in {kind}.MEANT.items()}}))"
    words = [sys.executable, "-c", code]
    said = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    return {plugin: set(tests) for plugin, tests in json.loads(said).items()}


def environment() -> dict[str, str]:
    project = str(Path(mailfw.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([project, str(BROKEN)]), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module", params=KINDS)
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, str]]]:
    """A kind, and its contract's report on all that is broken; a process that a hanging test has ended is followed by another."""
    place = tmp_path_factory.mktemp(request.param)
    memory = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else place)  # nothing here has to outlive the machine
    (place / "test_broken.py").write_text(KINDS[request.param])
    options = ["-q", "-p", "no:cacheprovider", "--tb=no", "-c", os.devnull, f"--rootdir={place}", f"--basetemp={memory}/bt"]
    options += ["-p", "mailfw.testing.report", f"--mailfw-report={place}/report", "--mailfw-patience=15"]
    status = HUNG
    for _ in range(3):
        if status == HUNG:
            run = subprocess.run(
                [sys.executable, "-m", "pytest", *options, str(place / "test_broken.py")],
                env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
            status = run.returncode
    shutil.rmtree(memory)
    assert status in (0, 1), run.stdout + run.stderr
    return request.param, [json.loads(line) for line in (place / "report").read_text().splitlines()]


def test_eachIsCaughtByTheTestsThatAreMeantForItAndByNoOthers(tried: tuple[str, list[dict[str, str]]]) -> None:
    kind, lines = tried
    table = meant(kind)
    caught: dict[str, set[str]] = {plugin: set() for plugin in table}
    for line in lines:
        plugin, _, test = line["test"].removeprefix("Test").partition("::")
        if line["outcome"] in ("broken", "hung"):
            caught[plugin].add(test.partition("[")[0])
    assert caught == table


def test_aSentenceSaysWhichPromiseBroke(tried: tuple[str, list[dict[str, str]]]) -> None:
    broken = [line for line in tried[1] if line["outcome"] == "broken"]
    for line in broken:
        assert line["sentence"].startswith(f"{line['promise']}. Instead: "), line
        assert " " in line["promise"] and "_" not in line["promise"], line
    hung = {line["sentence"].partition(";")[0] for line in tried[1] if line["outcome"] == "hung"}
    assert hung <= {"it did not end within 15 seconds"}
    assert bool(hung) is (tried[0] == "simple")
