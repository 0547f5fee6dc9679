"""The store that docs/write-a-store.md writes, put together from the page, keeps the contract and holds every conversation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import DOCS, ROOT, blocks
from twisted.internet.task import Clock

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue
from mailfw.delivery.router import Outbound, Router
from mailfw.imap.server import imap, imaps
from mailfw.pop3.server import pop3, pop3s
from mailfw.smtp.server import lmtp, smtp, submission
from mailfw.storage.opening import openStore
from mailfw.testing.conversation import Player, parse
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.now import result
from mailfw.testing.world import World

BLOCKS = [block for block in blocks(DOCS / "write-a-store.md") if block.kind == "python"]
MODULE = "\n".join(block.text for block in BLOCKS if not block.fileName)
[TEST] = [block.text for block in BLOCKS if block.fileName]
SERVICES = {service.name: service for service in (smtp, submission, lmtp, pop3, pop3s, imap, imaps)}
TALKS = [path for path in sorted((ROOT / "tests" / "conversations").glob("*.talk")) if path.name.startswith(("imap-", "pop3-"))]
PATIENCE = 600


@pytest.fixture(scope="module")
def plugin() -> Any:
    names: dict[str, Any] = {"__name__": "cabinet"}
    exec(compile(MODULE, "cabinet.py", "exec"), names)
    return names["cabinet"]


@pytest.fixture
def world(plugin: Any, tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    store = openStore(plugin, "mail", FakeStoreContext(str(tmp_path), clock=clock))
    world = World(store, clock=clock, directory=str(tmp_path / "spool"))
    now = world.context.now
    queue = Queue.open(":memory:", reactor=clock, now=now, isInline=True)
    world.context.router = Router(world.directory, store, Outbound(queue, Bouncer("mail.localhost", now), now=now))
    world.context.spool.prepare()
    yield world
    world.closeStore()
    result(queue.close())


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    (tmp_path / "cabinet.py").write_text(MODULE)
    (tmp_path / "test_cabinet.py").write_text(TEST)
    words = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}", f"--basetemp={tmp_path}/bt", "--tb=short")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "test_cabinet.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


def test_two_accounts_may_be_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find that the store's directory is missing, and one makes it after the other."""
    names: dict[str, Any] = {"__name__": "cabinet"}
    exec(compile(MODULE, "cabinet.py", "exec"), names)
    directory, isdir = str(tmp_path / "mail"), os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: path != directory and isdir(path))
    for _ in range(2):
        names["make"](directory)
    assert os.listdir(tmp_path) == ["mail"]


@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_it_holds_every_conversation(talk: Path, world: World) -> None:
    document = parse(talk.read_text(), talk.name)
    if "simple" not in document.option("only", "simple").split():
        pytest.skip(f"only for {document.option('only')}; the document says why")
    Player(document, world, SERVICES, False).play()
