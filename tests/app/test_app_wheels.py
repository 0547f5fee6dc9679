"""mailfw and a plugin of each kind, built as wheels and installed into a fresh environment, serve there as `twistd mailfw`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import mailfw
from mailfw.app.cli import cli
from mailfw.app.kit import KINDS

PROJECT = Path(mailfw.__file__).parent.parent
PATIENCE = 600
PIP = ("-m", "pip", "--disable-pip-version-check", "-q")
OFFLINE = ("--no-deps", "--no-index")

CONFIGURATION = """
hostname = "mail.localhost"
domains = ["localhost"]
data = "mail"
store = "my-storage:mail.sqlite"
[auth]
sources = ["my-auth:users"]
[addresses]
postmaster = "anna@localhost"
[[hook]]
plugin = "my-hook:"
[plugin.my-hook]
domains = ["spam.example"]
[[route]]
domain = "faxes.example.org"
via = "my-route:faxes"
"""
CONVERSATION = r"""
import imaplib, json, smtplib, socket
from pathlib import Path

import mailfw
from mailfw.testing.process import ServerProcess, waitFor
from mailfw_my_auth import line

data = Path("mail").resolve()
data.mkdir()
(data / "users").write_text(line("anna@localhost", "geheim"))
said = {"mailfw": mailfw.__file__}
services = ("submission", "imap", "my-service")
options = ("--config", str(data.parent / "mailfw.toml"))
server = ServerProcess(data, "my-storage:mail.sqlite", services, options, ready="serves")
try:
    server.start()
    with socket.create_connection(("127.0.0.1", server.ports["my-service"]), 120) as client, client.makefile("rb") as lines:
        said["service"] = lines.readline().decode()
    with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=120) as smtp:
        smtp.login("anna", "geheim")
        to = ["anna@localhost", "fax@faxes.example.org"]
        said["refused"] = smtp.sendmail("anna@localhost", to, "Subject: by all five\r\n\r\nhello\r\n")
        said["hook"] = smtp.mail("anna@spam.example")[0]
    with imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=120) as imap:
        imap.login("anna", "geheim")
        imap.select()
        said["storage"] = imap.fetch("1", "BODY[]")[1][0][1].decode()
    [fax] = waitFor(lambda: list((data / "faxes").glob("*.eml")), "the fax")
    said["route"] = fax.read_text()
    server.stop()
finally:
    server.kill()
print(json.dumps(said))
"""


def run(*words: object, directory: Path) -> str:
    """What a program prints, that has of us what is installed, and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    given = [str(word) for word in words]
    done = subprocess.run(given, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `wheels` of mailfw and of a new plugin of each kind."""
    place = tmp_path_factory.mktemp("wheels")
    for kind in KINDS:
        made = CliRunner().invoke(cli, ["plugin", "new", kind, f"my-{kind}", "--in", str(place)])
        assert made.exit_code == 0, made.output
    packages = [PROJECT, *(f"./mailfw-my-{kind}" for kind in KINDS)]
    run(sys.executable, *PIP, "wheel", *OFFLINE, "--no-build-isolation", "-w", "wheels", *packages, directory=place)
    return place


@pytest.fixture(scope="module")
def python(place: Path) -> Path:
    """The interpreter of a fresh environment with the wheels, and `twistd`; what is not ours is lent by the one that runs us."""
    run(sys.executable, "-m", "venv", "--without-pip", "venv", directory=place)
    [packages] = (place / "venv" / "lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text(os.path.dirname(os.path.dirname(pytest.__file__)))
    python = place / "venv" / "bin" / "python"
    wheels = (place / "wheels").glob("*.whl")
    run(python, *PIP, "install", *OFFLINE, "--force-reinstall", *wheels, directory=place)
    twistd = python.with_name("twistd")
    twistd.write_text(f"#!{python}\nfrom twisted.scripts.twistd import run\n\nrun()\n")
    twistd.chmod(0o755)
    return python


def test_theWheelHoldsWhatIsNeeded(place: Path) -> None:
    [wheel] = [path for path in (place / "wheels").iterdir() if path.name.startswith("mailfw-")]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [entries] = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    files = [path for path in (PROJECT / "mailfw").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert names >= {str(path.relative_to(PROJECT)) for path in files}
    assert names >= {"mailfw/py.typed", "mailfw/app/templates/common/gitignore", "twisted/plugins/mailfw_plugin.py"}
    assert "mailfw = mailfw.app.cli:main" in entries and "mailfw = mailfw.trap.plugin" in entries
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"mailfw", "twisted"}


def test_aServerUsesThemAll(place: Path, python: Path, tmp_path: Path) -> None:
    (tmp_path / "mailfw.toml").write_text(CONFIGURATION)
    said = json.loads(run(python, "-c", CONVERSATION, directory=tmp_path))
    assert Path(said["mailfw"]).is_relative_to(place / "venv")
    assert said["service"] == "mail.localhost knows: NAME DOMAINS QUIT\r\n"
    assert (said["refused"], said["hook"]) == ({}, 550)
    assert "X-Seen-By: my-hook\r\n" in said["storage"] and "Subject: by all five\r\n" in said["storage"]
    assert said["route"].endswith("hello\n")


def test_theCommandFindsThem(place: Path, python: Path) -> None:
    listed = json.loads(run(python.with_name("mailfw"), "plugin", "list", "--json", directory=place))
    mine = {plugin["word"]: plugin for plugin in listed if (plugin["word"] or "").startswith("my-")}
    assert set(mine) == {f"my-{kind}" for kind in KINDS}
    for plugin in mine.values():
        assert plugin["error"] is None
        assert Path(plugin["file"]).is_relative_to(place / "venv")


def test_aPluginIsMadeAndCheckedThere(python: Path, tmp_path: Path) -> None:
    command = python.with_name("mailfw")
    assert "mailfw_attic.py" in run(command, "plugin", "new", "storage", "attic", directory=tmp_path)
    assert " passed" in run(command, "plugin", "check", "my-storage", "--only", "octetForOctet", directory=tmp_path)
