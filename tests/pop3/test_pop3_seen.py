"""What POP3 retrieved whole and left there has been seen when the session ends with QUIT, as IMAP clients are told."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw import errors
from mailfw.pop3.server import pop3
from mailfw.storage.memory import memory
from mailfw.testing.conversation import fill
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import ALL_UIDS, Column, Identity

ACCOUNT = "jsmith@localhost"


@pytest.fixture
def kept():
    """A world in which jsmith's INBOX, in memory, has three messages."""
    clock = Clock()
    world = World(memory.openStore("", FakeStoreContext("", clock=clock)), clock=clock)
    finish(fill(world.context.store, "jsmith INBOX 3"))
    yield world
    world.closeStore()


def finish(coroutine):
    """What a coroutine returns that waits for nothing outside."""
    done = []
    Deferred.fromCoroutine(coroutine).addCallback(done.append)
    return done[0]


def flags(world):
    """UID → flags of all messages in INBOX."""

    async def read():
        account = await world.context.store.openAccount(Identity(ACCOUNT), ACCOUNT)
        mailbox = await account.open("INBOX")
        return {uid: set(found) async for page in mailbox.rows(ALL_UIDS, (Column.UID, Column.FLAGS), list) for uid, found in page}

    return finish(read())


def talk(world, *lines):
    """One session of jsmith's, ended as the last line says."""
    transport = world.connect(pop3)
    transport.send(b"".join(line + b"\r\n" for line in (b"USER jsmith", b"PASS mailfw", *lines)))
    world.advance()
    transport.hangUp()
    return transport.take()


def test_what_was_retrieved_is_seen(kept):
    assert talk(kept, b"RETR 1", b"TOP 2 0", b"LIST", b"RETR 3", b"QUIT").endswith(b"+OK goodbye\r\n")
    assert flags(kept) == {1: {"\\Seen"}, 2: set(), 3: {"\\Seen"}}


def test_without_quit_nothing_is(kept):
    talk(kept, b"RETR 1", b"DELE 2")
    assert flags(kept) == {1: set(), 2: set(), 3: set()}


def test_what_is_removed_is_removed(kept):
    talk(kept, b"RETR 1", b"DELE 1", b"RETR 2", b"DELE 3", b"QUIT")
    assert flags(kept) == {2: {"\\Seen"}}


def test_a_store_that_cannot_keep_it_spoils_no_goodbye(client, inbox):
    client.logIn()
    client.say(b"RETR 1")
    inbox.fault = errors.NoPermission()
    assert client.say(b"QUIT") == b"+OK goodbye\r\n"
