"""Every conversation, on every store, whole and octet by octet."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.delivery.router import Router
from mailfw.imap.server import imap, imaps
from mailfw.pop3.server import pop3, pop3s
from mailfw.smtp.server import lmtp, smtp, submission, submissions
from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.conversation import Player, parse
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World

TALKS = sorted(Path(__file__).parent.glob("*.talk"))
SERVICES = {each.name: each for each in (smtp, submission, submissions, lmtp, pop3, pop3s, imap, imaps)}
STORES = {
    "memory": (memory, ""),
    "sqlite": (sqlite, "mail?shards=1"),
    "maildir": (maildir, "mail"),
    "textfile": (textfile, "mail"),
    "simple": (textfile, "mail?format=simple"),
}
SPLITS = {"whole": False, "split": True}


@pytest.fixture
def makeWorld(tmp_path):
    """A world in which mail is kept in that store; every session of it is over when the test is."""
    worlds = []
    numbers = itertools.count()

    def make(store):
        plugin, argument = STORES[store]
        clock = Clock()
        data = tmp_path / str(next(numbers))
        data.mkdir()
        world = World(
            openStore(plugin, argument, FakeStoreContext(str(data), clock=clock)), clock=clock, directory=str(data / "spool")
        )
        world.context.router = Router(world.directory, world.context.store)
        world.context.spool.prepare()
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.closeStore()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(talk, store, split, makeWorld):
    document = parse(talk.read_text(), talk.name)
    if store not in document.option("only", store).split():
        pytest.skip(f"only for {document.option('only')}; the document says why")
    Player(document, makeWorld(store), SERVICES, SPLITS[split]).play()
