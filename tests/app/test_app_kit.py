"""The plugin kit: what `mailfw plugin new` makes can be installed as it stands, and keeps its contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import mailfw
from mailfw.app.cli import cli
from mailfw.app.kit import KINDS

PROJECT = str(Path(mailfw.__file__).parent.parent)
PATIENCE = 600


def run(*words: object, path: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """A program, with what is installed in a directory."""
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{path}", "PYTHONDONTWRITEBYTECODE": "1"}
    given = [str(word) for word in words]
    return subprocess.run(given, env=environment, cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False)


def command(*words: str) -> Result:
    return CliRunner().invoke(cli, ["plugin", *words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a package of each kind, `mailfw-my-KIND`, each installed from its wheel into `installed`."""
    place = tmp_path_factory.mktemp("kit")
    for kind in KINDS:
        result = command("new", kind, f"my-{kind}", "--in", str(place))
        assert result.exit_code == 0, result.output
    words = ("-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index", "--target", "installed")
    pip = run(
        sys.executable, "-m", "pip", "install", *words, *(f"./mailfw-my-{kind}" for kind in KINDS), path=place, directory=place
    )
    assert pip.returncode == 0, pip.stderr
    return place


def mailfwCommand(made: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The `mailfw` command, where the packages are installed."""
    main = "from mailfw.app.cli import main; main()"
    return run(sys.executable, "-c", main, *words, path=made / "installed", directory=made)


@pytest.mark.parametrize("kind", KINDS)
def test_itsTestsAreGreen(made: Path, kind: str) -> None:
    package = made / f"mailfw-my-{kind}"
    tests = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path=made / "installed", directory=package)
    assert tests.returncode == 0, tests.stdout
    assert " passed" in tests.stdout


def test_itIsInstalledForWorkingOnIt(made: Path, tmp_path: Path) -> None:
    """`pip install -e .`, in an environment of its own, is found by its entry point where it lies."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", path=made, directory=made)
    [packages] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (packages / "ours.pth").write_text(os.path.dirname(os.path.dirname(pytest.__file__)))
    python = tmp_path / "venv" / "bin" / "python"
    package = made / "mailfw-my-storage"
    words = ("-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index", "-e", ".")
    pip = run(python, "-m", "pip", "install", *words, path=tmp_path, directory=package)
    assert pip.returncode == 0, pip.stderr
    main = "from mailfw.app.cli import main; main()"
    listed = json.loads(run(python, "-c", main, "plugin", "list", "--json", path=tmp_path, directory=made).stdout)
    assert [plugin["file"] for plugin in listed if plugin["word"] == "my-storage"] == [str(package / "mailfw_my_storage.py")]


def test_nothingOfTheTemplateIsLeft(made: Path) -> None:
    for kind in KINDS:
        package = made / f"mailfw-my-{kind}"
        present = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        names = {str(path.relative_to(package)) for path in present}
        assert names >= {"README.md", "pyproject.toml", ".gitignore", ".github/workflows/tests.yml", "tests/test_contract.py"}
        for path in present:
            assert "specimen" not in path.read_text().lower() + path.name.lower(), path
        assert tomllib.loads((package / "pyproject.toml").read_text())["project"]["name"] == f"mailfw-my-{kind}"


def test_theListSaysWhatWasFoundWhere(made: Path) -> None:
    listed = json.loads(mailfwCommand(made, "plugin", "list", "--json").stdout)
    mine = {plugin["word"]: plugin for plugin in listed if (plugin["word"] or "").startswith("my-")}
    assert set(mine) == {f"my-{kind}" for kind in KINDS}
    assert mine["my-storage"] == {
        "kind": "store",
        "word": "my-storage",
        "origin": "entry point my-storage of mailfw-my-storage",
        "version": "0.1.0",
        "file": str(made / "installed" / "mailfw_my_storage.py"),
        "interface": "ISimpleStorePlugin",
        "summary": "Messages in a table of SQLite.",
        "error": None,
        "traceback": None,
    }
    table = mailfwCommand(made, "plugin", "list", "--why").stdout
    assert "keeps ISimpleStorePlugin" in table and "entry point my-route of mailfw-my-route" in table


def test_whatFailsToImportIsShownWithItsTracebackOnDemand(made: Path, tmp_path: Path) -> None:
    (tmp_path / "twisted" / "plugins").mkdir(parents=True)
    (tmp_path / "twisted" / "plugins" / "hapless.py").write_text("import mailfw\n\nmailfw.theMoon\n")
    main = "from mailfw.app.cli import main; main()"
    for words, isShown in (((), False), (("--traceback",), True)):
        listed = run(sys.executable, "-c", main, "plugin", "list", *words, path=tmp_path, directory=made)
        assert "BROKEN: AttributeError: module 'mailfw' has no attribute 'theMoon'" in listed.stdout
        assert ('hapless.py", line 3' in listed.stdout) is isShown


@pytest.mark.parametrize("kind", ["storage", "hook", "service"])
def test_aCheckReportsAsATestRunnerDoes(made: Path, kind: str) -> None:
    checked = mailfwCommand(made, "plugin", "check", f"my-{kind}", "-v")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "PASSED" in checked.stdout and " passed" in checked.stdout and "FAILED" not in checked.stdout


def test_aFullStoreIsCheckedToo(made: Path) -> None:
    checked = mailfwCommand(made, "plugin", "check", "memory", "--volatile", "--only", "Closed or UIDsOnlyGrow")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "this store does not outlive its closing" in checked.stdout


def test_aCheckOfAccountsTakesTheirFile(made: Path) -> None:
    refused = mailfwCommand(made, "plugin", "check", "my-auth", "--argument", "nowhere")
    assert refused.returncode == 1
    assert "the plugin cannot be opened: there is no file" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr, "it is the plugin's word, and no failure of the test runner"
    (made / "users").write_text("")
    checked = mailfwCommand(made, "plugin", "check", "my-auth", "--argument", made / "users", "--only", "not hostile")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "name the plugin's own test class with --contract" in checked.stdout


def test_aCheckRunsThePluginsOwnTestClass(made: Path) -> None:
    (made / "installed" / "auth_contract.py").write_text((made / "mailfw-my-auth" / "tests" / "test_contract.py").read_text())
    words = ("--contract", "auth_contract:TestMyAuth", "--only", "rightPassword")
    checked = mailfwCommand(made, "plugin", "check", "my-auth", *words)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "4 passed" in checked.stdout


def test_aBrokenPromiseIsNamed(made: Path) -> None:
    """A store that says that it has taken a message, and has not."""
    module = made / "installed" / "mailfw_my_storage.py"
    whole = module.read_text()
    try:
        module.write_text(whole.replace("executemany(insert, rows)", "executemany(insert, rows[1:])"))
        checked = mailfwCommand(made, "plugin", "check", "my-storage", "--only", "octetForOctet")
    finally:
        module.write_text(whole)
    assert checked.returncode == 1
    assert "FAILED" in checked.stdout and "test_aMessageComesBackOctetForOctet" in checked.stdout


GREMLIN = """
import os, time

from mailfw.app.templates.storage.mailfw_specimen import SpecimenPlugin, SpecimenStore


class GremlinStore(SpecimenStore):
    def read(self, account, folder, entry):
        if entry.key == "nobody":
            time.sleep(1000)
        return super().read(account, folder, entry)

    def token(self, account, folder):
        os._exit(9)

    def newKey(self, account, folder, message):
        return "always the same"


class GremlinPlugin(SpecimenPlugin):
    prefix = "gremlin"

    def openSimpleStore(self, argument, context):
        return GremlinStore(os.path.join(context.data, "gremlin.sqlite"), context.now)


plugin = GremlinPlugin()
"""


def test_whatHangsOrDiesIsNamedAndTheOthersAreTried(tmp_path: Path) -> None:
    plugins = tmp_path / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "gremlin.py").write_text(GREMLIN)
    some = "Vanished or tokenStays or equalMessagesHave or theStoreProvides"
    words = ("plugin", "check", "gremlin", "--patience", "10", "--only", some)
    main = "from mailfw.app.cli import main; main()"
    checked = run(sys.executable, "-c", main, *words, "--json", path=tmp_path, directory=tmp_path)
    assert checked.returncode == 1
    found = {result["promise"]: result for result in json.loads(checked.stdout)}
    assert {promise: result["outcome"] for promise, result in found.items()} == {
        "The store provides what it says": "kept",
        "Equal messages have keys of their own": "broken",
        "What is gone has vanished": "hung",
        "The token stays while nothing changes": "died",
    }
    hung = found["What is gone has vanished"]["sentence"]
    assert hung.startswith("it did not end within 10 seconds") and hung.endswith("gremlin.py:10 in read")
    assert found["The token stays while nothing changes"]["sentence"] == "the process ended, with status 9"
    shown = run(sys.executable, "-c", main, *words, path=tmp_path, directory=tmp_path)
    assert shown.returncode == 1
    assert "\nHUNG TestPlugin::test_whatIsGoneHasVanished - What is gone has vanished. Instead: it did not end" in shown.stdout
    assert "\nDIED TestPlugin::test_theTokenStaysWhileNothingChanges - " in shown.stdout


def test_namesAreChecked(tmp_path: Path) -> None:
    for name in ("", "-", "Attic", "9lives", "a_b", "a--b", "a-", "a/b", "../x", "ä", "a b", "x" * 33, "specimen\n"):
        refused = command("new", "storage", "--in", str(tmp_path), "--", name)
        assert (refused.exit_code, refused.output.count("\n")) == (1, 1 + name.count("\n")), name
    for kind, name in (("route", "smtp"), ("storage", "sqlite"), ("hook", "dnsbl"), ("service", "imap"), ("auth", "accounts")):
        assert "of our own: take another" in command("new", kind, name, "--in", str(tmp_path)).output
    for kind, name in (("storage", "i-simple"), ("service", "i-mail"), ("hook", "i-hook")):
        assert "of its own" in command("new", kind, name, "--in", str(tmp_path)).output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["true", "none", "entry", "connection", "options", "store", "class", "a1-b2"])
@pytest.mark.parametrize("kind", KINDS)
def test_wordsThatPythonHasAreNamesToo(tmp_path: Path, kind: str, name: str) -> None:
    made = command("new", kind, name, "--in", str(tmp_path), "--json")
    assert made.exit_code == 0, made.output
    for path in json.loads(made.output):
        if path.endswith(".py"):
            compile(Path(path).read_text(), path, "exec")


def test_aDirectoryThatIsThereIsLeftAsItIs(tmp_path: Path) -> None:
    (tmp_path / "mailfw-attic").mkdir()
    (tmp_path / "mailfw-loft").symlink_to("nowhere")
    for name in ("attic", "loft"):
        refused = command("new", "storage", name, "--in", str(tmp_path))
        assert (refused.exit_code, refused.output) == (
            1,
            f"mailfw: {tmp_path}/mailfw-{name} exists already, and is left as it is\n",
        )
    assert list((tmp_path / "mailfw-attic").iterdir()) == []
    missing = command("new", "storage", "attic", "--in", str(tmp_path / "nowhere"))
    assert "cannot write to" in missing.output


def test_aWordOfSeveralKindsIsAskedAbout() -> None:
    asked = command("check", "smtp")
    assert (asked.exit_code, asked.output) == (1, 'mailfw: "smtp" is service and route: say which with --kind\n')


def test_withoutATestRunnerNothingIsChecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest_twisted", None)
    checked = command("check", "greylist")
    assert (checked.exit_code, checked.output) == (1, "mailfw: the test runner is not installed: pip install 'mailfw[test]'\n")


def test_whatIsNotThereIsNotChecked(made: Path) -> None:
    unknown = mailfwCommand(made, "plugin", "check", "my-stor")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        'mailfw: there is no plugin "my-stor" – did you mean "my-storage"?; mailfw plugin list --why says what was found\n',
    )
