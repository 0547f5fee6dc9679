"""Every conversation, on every store, whole and octet by octet."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue
from mailfw.delivery.router import Outbound, Router
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
from mailfw.testing.now import result
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
    """A world in which mail is kept in that store, and leaves by a queue; every session of it is over when the test is."""
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
        now = world.context.now
        queue = Queue.open(":memory:", reactor=clock, now=now, isInline=True)
        outbound = Outbound(queue, Bouncer("mail.localhost", now), now=now)
        world.context.router = Router(world.directory, world.context.store, outbound)
        world.context.spool.prepare()
        worlds.append((world, queue))
        return world

    yield make
    for world, queue in worlds:
        world.closeStore()
        result(queue.close())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(talk, store, split, makeWorld):
    document = parse(talk.read_text(), talk.name)
    if store not in document.option("only", store).split():
        pytest.skip(f"only for {document.option('only')}; the document says why")
    Player(document, makeWorld(store), SERVICES, SPLITS[split]).play()
