"""The store of docs/write-a-store.md, made from the page's blocks alone: it keeps the contract, and serves
POP3 and IMAP."""

from __future__ import annotations

import os
import re
import runpy
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

import mailfw
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue
from mailfw.delivery.router import Outbound, Router
from mailfw.imap.server import imap, imaps
from mailfw.interfaces import ISimpleStore
from mailfw.pop3.server import pop3, pop3s
from mailfw.storage.opening import openStore
from mailfw.testing.conversation import Player, parse
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.now import result
from mailfw.testing.process import ServerProcess, waitFor
from mailfw.testing.simplestore import SimpleStoreContract
from mailfw.testing.world import World

ROOT = Path(mailfw.__file__).parent.parent
PAGE = (ROOT / "docs" / "write-a-store.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^```console\n\$ (.*)\n```$", PAGE, re.MULTILINE)
TALKS = sorted(path for path in (ROOT / "tests" / "conversations").glob("*.talk") if path.stem.startswith(("imap", "pop3")))
SERVICES = {each.name: each for each in (pop3, pop3s, imap, imaps)}
MODULE = "twisted/plugins/shoebox.py"
PATIENCE = 120


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the page's files."""
    place = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.fixture(scope="session")
def plugin(place: Path) -> Any:
    return runpy.run_path(str(place / MODULE))["shoebox"]


class TestShoebox(SimpleStoreContract):
    """As the page's own test has it, so that each promise is a test here."""

    @pytest.fixture(autouse=True)
    def _plugin(self, plugin: Any) -> None:
        self.plugin = plugin

    def openStore(self) -> ISimpleStore:
        store: ISimpleStore = self.plugin.openSimpleStore("mail", self.context)
        return store


@pytest.fixture
def world(plugin: Any, tmp_path: Path) -> Iterator[World]:
    """A world in which mail is kept in the page's store, and leaves by a queue."""
    clock = Clock()
    (tmp_path / "data").mkdir()
    store = openStore(plugin, "mail", FakeStoreContext(str(tmp_path / "data"), clock=clock))
    world = World(store, clock=clock, directory=str(tmp_path / "spool"))
    now = world.context.now
    queue = Queue.open(":memory:", reactor=clock, now=now, isInline=True)
    world.context.router = Router(world.directory, store, Outbound(queue, Bouncer("mail.localhost", now), now=now))
    world.context.spool.prepare()
    yield world
    world.closeStore()
    result(queue.close())


@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_itHoldsEveryConversation(world: World, talk: Path) -> None:
    Player(parse(talk.read_text(), talk.name), world, SERVICES, False).play()


def test_thePageIsAllThatIsNeeded() -> None:
    assert set(FILES) == {MODULE, "test_shoebox.py"}
    assert len(COMMANDS) == 2 == PAGE.count("```console")
    assert PAGE.count("```python") == len(FILES)
    ours = re.findall(r"^from (mailfw\S*) import", FILES[MODULE], re.MULTILINE)
    assert ours == ["mailfw.errors", "mailfw.interfaces", "mailfw.values"]  # nothing else of ours is in it


def environment() -> dict[str, str]:
    """As one has it where mailfw is installed and its programs are on the path."""
    binaries = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": binaries, "PYTHONDONTWRITEBYTECODE": "1"}


def test_itsOwnTestPasses(place: Path) -> None:
    command = COMMANDS[0].replace("PYTHONPATH=.", f"PYTHONPATH=.:{ROOT}")
    assert command.endswith("pytest -q test_shoebox.py")
    options = f" -p no:cacheprovider -k 'not hostile and not Name' --basetemp={place}/bt"
    done = subprocess.run(
        command + options, shell=True, cwd=place, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr


def test_itServes(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert COMMANDS[1] == "PYTHONPATH=. twistd -n mailfw --store shoebox:mail"
    monkeypatch.setenv("PYTHONPATH", str(place))
    server = ServerProcess(tmp_path / "mailfw-data", services=("smtp", "imap"), store="shoebox:mail")
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=PATIENCE) as smtp:
            smtp.sendmail("shop@example.org", ["mbrain@localhost"], "Subject: Hello\r\n\r\nHello!\r\n")
        [kept] = waitFor(lambda: list((tmp_path / "mailfw-data" / "mail").rglob("*.eml")), "the message")
        assert kept.read_bytes().endswith(b"Subject: Hello\r\n\r\nHello!\r\n")
    finally:
        server.stop()
