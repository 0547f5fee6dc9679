"""The wheels of mailfw and of a plugin of each kind, in a fresh environment: what is installed there serves mail by all five.

No network is needed: whatever mailfw stands on is seen from the environment that the tests run in; mailfw itself is not.
"""

from __future__ import annotations

import imaplib
import json
import os
import re
import smtplib
import socket
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import mailfw
from mailfw.app.kit import KINDS
from mailfw.testing.process import waitFor

PROJECT = Path(mailfw.__file__).parent.parent
PATIENCE = 180
SERVICES = ("submission", "imap", "my-service")

pytestmark = pytest.mark.skipif(
    not (PROJECT / "pyproject.toml").exists(), reason="wheels are built from a copy of the repository"
)


def run(*words: object, directory: Path) -> str:
    """What a program says, that knows nothing of the environment in which the tests run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    given = [str(word) for word in words]
    done = subprocess.run(given, env=environment, cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(source: Path, directory: Path) -> Path:
    """The wheel of a package."""
    words = ("-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index", "-w", directory / "wheels")
    known = set(directory.glob("wheels/*.whl"))
    run(sys.executable, "-m", "pip", "wheel", *words, source, directory=directory)
    [made] = set(directory.glob("wheels/*.whl")) - known
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a virtual environment `venv`, in which six wheels are installed."""
    place = tmp_path_factory.mktemp("fresh")
    wheels = [wheel(PROJECT, place)]
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv", directory=place)
    [packages] = (place / "venv" / "lib").glob("python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    words = ("-q", "--disable-pip-version-check", "--no-deps", "--no-index", "--ignore-installed")
    python = place / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", *words, *wheels, directory=place)
    for kind in KINDS:
        run(place / "venv" / "bin" / "mailfw", "plugin", "new", kind, f"my-{kind}", directory=place)
    wheels = [wheel(place / f"mailfw-my-{kind}", place) for kind in KINDS]
    run(python, "-m", "pip", "install", *words, *wheels, directory=place)
    return place


def test_theWheelHasAllThatIsNeeded(place: Path) -> None:
    [built] = (place / "wheels").glob("mailfw-[0-9]*.whl")
    names = set(zipfile.ZipFile(built).namelist())
    assert {"mailfw/py.typed", "twisted/plugins/mailfw_plugin.py", "mailfw/app/templates/common/pyproject.toml"} <= names
    templates = {str(path.relative_to(PROJECT)) for path in (PROJECT / "mailfw/app/templates").rglob("*") if path.is_file()}
    assert {name for name in templates if "__pycache__" not in name} <= names
    assert not [
        name
        for name in names
        if name.startswith(("tests/", "docs/", "etc/")) or (name.startswith("twisted/") and "__init__" in name)
    ]
    [points] = [name for name in names if name.endswith("/entry_points.txt")]
    assert "mailfw.trap.plugin" in zipfile.ZipFile(built).read(points).decode()


def test_whatIsInstalledIsFound(place: Path) -> None:
    said = run(place / "venv/bin/python", "-c", "import mailfw; print(mailfw.__file__)", directory=place)
    assert said.startswith(str(place / "venv"))
    listed = json.loads(run(place / "venv/bin/mailfw", "plugin", "list", "--json", directory=place))
    mine = {each["word"]: each for each in listed if (each["word"] or "").startswith("my-")}
    assert set(mine) == {f"my-{kind}" for kind in KINDS}
    assert all(each["error"] is None and each["file"].startswith(str(place / "venv")) for each in mine.values())


def test_itsContractIsKeptThere(place: Path) -> None:
    words = ("plugin", "check", "my-hook", "--json")
    report = json.loads(run(place / "venv/bin/mailfw", *words, directory=place))
    assert {each["outcome"] for each in report} == {"kept", "skipped"}


BLOCKING = """
import smtplib

def test_mail(mailfw):
    jsmith = mailfw.account("jsmith")
    with smtplib.SMTP(*mailfw.smtp) as server:
        server.sendmail("shop@example.org", [jsmith.address], "Subject: Hello\\n\\nYour code is 123456.\\n")
    assert jsmith.waitFor(subject="Hello").otp() == "123456"
"""

AWAITING = """
import pytest_twisted
from twisted.mail.smtp import sendmail

@pytest_twisted.ensureDeferred
async def test_mail(mailfw):
    jsmith = mailfw.account("jsmith")
    host, port = mailfw.smtp
    await sendmail(host, "shop@example.org", [jsmith.address], b"Subject: Hello\\n\\nYour code is 123456.\\n", port=port)
    assert (await jsmith.whenReceived(subject="Hello")).otp() == "123456"
"""


@pytest.mark.parametrize(("suite", "options"), [(BLOCKING, ("-p", "no:twisted")), (AWAITING, ())], ids=["plain", "twisted"])
def test_aSuiteThereHasTheTrap(place: Path, tmp_path: Path, suite: str, options: tuple[str, ...]) -> None:
    """Installed, the fixture is there without being asked for."""
    (tmp_path / "test_mail.py").write_text(suite)
    said = run(place / "venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, directory=tmp_path)
    assert "1 passed" in said


def test_twistdServesMailByAllFive(place: Path) -> None:
    data = place / "mail"
    data.mkdir()
    python = place / "venv" / "bin" / "python"
    line = "from mailfw_my_auth import line; print(line('anna@localhost', 'geheim'), end='')"
    (data / "users").write_text(run(python, "-c", line, directory=place))
    (place / "mailfw.toml").write_text(f"""
hostname = "mail.localhost"
domains = ["localhost"]
data = "{data}"
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
""")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    twistd = "from twisted.scripts.twistd import run; run()"  # Twisted's scripts are in the outer environment
    listeners = [word for name in SERVICES for word in ("--listen", f"{name}=tcp:0:interface=127.0.0.1")]
    words = [python, "-c", twistd, "-n", "--pidfile=", "mailfw", "--config", place / "mailfw.toml", *listeners]
    with open(place / "log", "w") as log:
        server = subprocess.Popen(
            [str(word) for word in words], cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def ports() -> dict[str, int]:
        said = (place / "log").read_text()
        assert server.poll() is None, said
        found = {name: int(port) for name, port in re.findall(r"\b([a-z0-9-]+) 127\.0\.0\.1:(\d+)", said)}
        return found if set(SERVICES) <= set(found) else {}

    try:
        listening = waitFor(ports, "the server")
        with smtplib.SMTP("127.0.0.1", listening["submission"], timeout=PATIENCE) as smtp:
            smtp.login("anna", "geheim")
            to = ["anna@localhost", "fax@faxes.example.org"]
            assert smtp.sendmail("anna@localhost", to, "Subject: by all five\r\n\r\nhello\r\n") == {}
            assert smtp.mail("anna@spam.example")[0] == 550
        with imaplib.IMAP4("127.0.0.1", listening["imap"], timeout=PATIENCE) as imap:
            imap.login("anna", "geheim")
            imap.select()
            found = imap.fetch("1", "BODY[]")[1][0][1]
        assert b"X-Seen-By: my-hook\r\n" in found and b"Subject: by all five\r\n" in found
        [fax] = waitFor(lambda: list((data / "faxes").glob("*.eml")), "the fax")
        assert fax.read_bytes().endswith(b"hello\r\n")
        with (
            socket.create_connection(("127.0.0.1", listening["my-service"]), timeout=PATIENCE) as client,
            client.makefile("rb") as lines,
        ):
            assert lines.readline() == b"mail.localhost knows: NAME DOMAINS QUIT\r\n"
    finally:
        server.terminate()
        server.wait(PATIENCE)
