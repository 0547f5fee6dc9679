"""The administrator's command, beside a running server and without one."""

from __future__ import annotations

import imaplib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mailfw.app.cli import cli
from mailfw.app.place import Place
from mailfw.app.problem import Problem

Command = Callable[..., subprocess.CompletedProcess[str]]


def canLogIn(port: int, user: str, password: str) -> bool:
    with imaplib.IMAP4("127.0.0.1", port, timeout=120) as client:
        try:
            return bool(client.login(user, password)[0] == "OK")
        except imaplib.IMAP4.error:
            return False


@pytest.fixture
def server(start: Any) -> Any:
    """A running server in development mode."""
    running = start()
    running.waitFor("mailfw is up")
    return running


@pytest.fixture(params=["beside a running server", "alone"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A system in development mode, whether or not a server runs."""
    if request.param == "alone":
        (tmp_path / "mailfw-data").mkdir()
    else:
        request.getfixturevalue("server")


def test_accounts(system: None, command: Command) -> None:
    added = command("user", "add", "Anna@localhost", "--password-stdin", "--admin", "--quota", "5 GiB", given="geheim\n")
    assert (added.stdout, added.stderr, added.returncode) == ("added anna@localhost\n", "", 0)
    again = command("user", "add", "anna", "--password-stdin", given="x\n")
    assert (again.stderr, again.returncode) == ("mailfw: there is an account anna@localhost already\n", 1)
    assert command("user", "suspend", "anna").returncode == 0
    users = {user["name"]: user for user in json.loads(command("user", "list", "--json").stdout)}
    assert users["anna@localhost"] | {"created": 0} == {
        "name": "anna@localhost",
        "isAdmin": True,
        "isSuspended": True,
        "quota": 5 << 30,
        "created": 0,
    }
    assert command("user", "resume", "anna").stdout == "resumed\n"
    assert any(line.split()[:3] == ["anna@localhost", "admin", "5"] for line in command("user", "list").stdout.splitlines())
    assert command("user", "quota", "anna", "6 GiB").stdout == "may hold 6 GiB\n"
    assert any(line.split()[:3] == ["anna@localhost", "admin", "6"] for line in command("user", "list").stdout.splitlines())
    assert command("user", "quota", "anna", "none").stdout == "no limit\n"
    assert command("user", "quota", "anna", "much").returncode == 2
    assert command("user", "remove", "anna", "--purge").stdout.startswith("removed, with ")
    gone = command("user", "passwd", "anna@localhost", "--password-stdin", given="x\n")
    assert (gone.stderr, gone.returncode) == ("mailfw: there is no account anna@localhost\n", 1)


def test_aliasesAndAppPasswords(server: Any, command: Command) -> None:
    command("user", "add", "anna@localhost", "--password-stdin", given="geheim\n")
    assert command("alias", "add", "sales@localhost", "anna@localhost", "bert@example.net").stdout == (
        "sales@localhost leads to anna@localhost, bert@example.net\n"
    )
    assert json.loads(command("alias", "list", "--json").stdout) == [
        {"name": "sales@localhost", "targets": ["anna@localhost", "bert@example.net"]}
    ]
    assert command("alias", "remove", "sales@localhost").returncode == 0
    assert command("alias", "list").stdout == "there are no aliases\n"
    password = command("user", "app-password", "add", "anna", "telephone", "--service", "imap").stdout.strip()
    assert len(password) > 20
    listed = command("user", "app-password", "list", "anna").stdout
    assert "telephone" in listed
    assert password not in listed
    assert command("user", "app-password", "remove", "anna", "telephone").returncode == 0


def test_mailboxes(server: Any, command: Command) -> None:
    command("user", "add", "anna@localhost", "--password-stdin", given="geheim\n")
    found = json.loads(command("mailbox", "list", "anna", "--json").stdout)
    assert [(box["name"], box["messages"]) for box in found if box["name"] == "INBOX"] == [("INBOX", 0)]
    missing = command("mailbox", "list", "nobody")
    assert (missing.stderr, missing.returncode) == ("mailfw: there is no account nobody@localhost\n", 1)


def test_importIsAllOrNothing(system: None, command: Command) -> None:
    lines = ["# from elsewhere", "", "anna@localhost:{PLAIN}one", "bert@localhost:{SHA256}nonsense"]
    refused = command("user", "import", "-", given="\n".join(lines))
    assert refused.returncode == 1
    assert "nothing was imported" in refused.stderr
    assert "anna" not in command("user", "list").stdout
    done = command("user", "import", "-", given="\n".join(lines[:3]))
    assert (done.stdout, done.stderr) == ("1 added, 0 given another password\n", "")
    malformed = command("user", "import", "-", given="anna@localhost\n")
    assert malformed.stderr == "mailfw: nothing was imported: line 1 is not ADDRESS:{SCHEME}VALUE\n"


def test_whatIsChangedWhileTheServerRunsHoldsAtOnce(server: Any, command: Command) -> None:
    port = server.port("imap")
    command("user", "add", "anna@localhost", "--password-stdin", given="geheim\n")
    assert canLogIn(port, "anna", "geheim")
    command("user", "passwd", "anna@localhost", "--password-stdin", given="neu\n")
    assert canLogIn(port, "anna", "neu")
    assert not canLogIn(port, "anna", "geheim")
    client = imaplib.IMAP4("127.0.0.1", port, timeout=120)
    client.login("anna", "neu")
    command("user", "suspend", "anna")
    assert client.readline().startswith(b"* BYE")
    client.shutdown()
    assert not canLogIn(port, "anna", "neu")


def test_withoutAServerThereIsNoStatus(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    none = command("status")
    assert (none.stderr, none.returncode) == ("mailfw: no server runs with this data directory\n", 1)


def test_statusIsOfTheRunningServer(server: Any, command: Command) -> None:
    with server.connect("imap") as client:
        assert client.recv(1000).startswith(b"* OK")
        status = json.loads(command("status", "--json").stdout)
    assert status["pid"] == server.process.pid
    assert {"service": "imap", "address": f"127.0.0.1:{server.port('imap')}"} in status["listeners"]
    assert [session["service"] for session in status["sessions"]] == ["imap"]
    assert f"pid {server.process.pid}" in command("status").stdout


def test_checkConfigShowsEveryMistake(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('hostnam = "a"\ndomains = 3\n')
    bad = command("check-config", "bad.toml")
    assert bad.returncode == 1
    assert bad.stdout == ""
    assert bad.stderr.splitlines() == [
        "bad.toml: line 1: hostname is missing",
        'bad.toml: line 1: unknown key "hostnam" – did you mean "hostname"?',
        "bad.toml: line 2: domains must be a list",
    ]
    (tmp_path / "good.toml").write_text('hostname = "a"\ndomains = ["b"]\n')
    good = command("check-config", "good.toml")
    assert (good.stdout, good.stderr, good.returncode) == ("good.toml: no mistakes\n", "", 0)


def test_usageMistakesAre2(command: Command) -> None:
    assert command("user", "ad").returncode == 2
    assert command("--nonsense").returncode == 2
    nowhere = command("user", "list")
    assert nowhere.returncode == 2
    assert "say which system is meant: --config FILE or --data DIR" in nowhere.stderr


def test_aDataDirectoryThatIsNotThereIsNotMade(command: Command, tmp_path: Path) -> None:
    missing = command("--data", "nowhere", "user", "list")
    assert (missing.stderr, missing.returncode) == (f"mailfw: there is no data directory {tmp_path}/nowhere\n", 1)
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can go through, which pytest's own are not: each run of it closes their parent anew."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as somebody else")
def test_rootLeavesNoFilesOfItsOwn(command: Command, public: Path) -> None:
    data = public / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 65534, 65534)
    done = command("--data", str(data), "user", "add", "anna", "--password-stdin", given="x\n")
    assert (done.stdout, done.stderr) == ("added anna@localhost\n", "")
    assert {path.stat().st_uid for path in data.rglob("*")} == {65534}


def test_pluginsAreListedWithWhatIsWrongWithThem(tmp_path: Path) -> None:
    directory = tmp_path / "twisted" / "plugins"
    directory.mkdir(parents=True)
    (directory / "sorry.py").write_text("import mailfw.no_such_room\n")
    script = "from mailfw.app.cli import main; main()"
    project = str(Path(__file__).parent.parent.parent)
    path = os.pathsep.join([str(tmp_path), project])
    done = subprocess.run(
        [sys.executable, "-c", script, "plugin", "list", "--why"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert any(line.split()[:2] == ["store", "sqlite"] and "keeps IMailStorePlugin" in line for line in lines)
    [broken] = [line for line in lines if "sorry.py" in line]
    assert "BROKEN: ModuleNotFoundError: No module named 'mailfw.no_such_room'" in broken


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("user",),
        ("user", "add"),
        ("user", "import"),
        ("alias",),
        ("mailbox",),
        ("plugin",),
        ("status",),
        ("plugin", "new"),
        ("plugin", "check"),
        ("plugin", "list"),
        ("store",),
        ("store", "check"),
        ("store", "copy"),
    ],
)
def test_everyCommandHasHelp(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, [*words, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")


def test_helpIsThereBeforeTwistedIs() -> None:
    script = (
        "import sys\nfrom mailfw.app.cli import cli\ncli(['user', 'add', '--help'], standalone_mode=False)\n"
        "print([name for name in ('twisted', 'rich', 'pydantic', 'cryptography', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_whichSystemIsMeant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mailfw.toml"
    assert Place.find(None, "some") == Place("", str(tmp_path / "some"))
    file.write_text('data = "here"\n')
    assert Place.find("mailfw.toml", None) == Place(str(file), str(tmp_path / "here"))
    assert Place.find("mailfw.toml", "there") == Place(str(file), str(tmp_path / "there"))
    file.write_text("")
    assert Place.find("mailfw.toml", None) == Place(str(file), "/var/lib/mailfw")
    file.write_text("data = ")
    with pytest.raises(Problem, match="is not TOML"):
        Place.find("mailfw.toml", None)
    (tmp_path / "mailfw-data").mkdir()
    assert Place.find(None, None) == Place("", str(tmp_path / "mailfw-data"))
