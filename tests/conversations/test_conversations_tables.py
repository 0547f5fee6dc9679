"""POP3 and IMAP on the cookbook's stores, which are tables of an application's: what every simple store has to pass."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.imap.server import imap, imaps
from mailfw.pop3.server import pop3, pop3s
from mailfw.smtp.server import lmtp, smtp, submission, submissions
from mailfw.storage.opening import openStore
from mailfw.testing.conversation import Player, parse
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "etc" / "examples"
DOCUMENTS = [parse(path.read_text(), path.stem) for path in sorted([*HERE.glob("imap-*.talk"), *HERE.glob("pop3-*.talk")])]
SERVICES = {each.name: each for each in (smtp, submission, submissions, lmtp, pop3, pop3s, imap, imaps)}


@pytest.fixture(scope="module")
def postgres():
    """A server; without one, or without psycopg, there is nothing to try but in continuous integration."""
    isMust = os.environ.get("CI") == "true"
    if not isMust:
        pytest.importorskip("psycopg")
    try:
        server = runpy.run_path(str(EXAMPLES / "pgletters" / "conftest.py"))["PostgreSQL"]()
    except FileNotFoundError as error:
        (pytest.fail if isMust else pytest.skip)(str(error))
    yield server
    server.close()


@pytest.fixture(params=["letters", "pgletters"])
def place(request):
    """A plugin, and its argument for an empty store."""
    argument = request.getfixturevalue("postgres").newSchema() if request.param == "pgletters" else "shop.sqlite"
    return runpy.run_path(str(EXAMPLES / request.param / f"{request.param}.py"))[request.param], argument


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_conversation(document, place, tmp_path):
    if "simple" not in document.option("only", "simple").split():
        pytest.skip("not for simple stores; the document says why")
    clock = Clock()
    store = openStore(*place, FakeStoreContext(str(tmp_path), clock=clock))
    world = World(store, clock=clock, directory=str(tmp_path / "spool"))
    world.context.spool.prepare()
    try:
        Player(document, world, SERVICES, False).play()
    finally:
        world.closeStore()
