"""The cookbook's tables of an application keep the promises of a store, in SQLite and in a real PostgreSQL; and the conversations
of POP3 and IMAP go on them as on every store."""

from __future__ import annotations

import itertools
import os
import pwd
import runpy
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue
from mailfw.delivery.router import Outbound, Router
from mailfw.errors import Unavailable
from mailfw.imap.server import imap, imaps
from mailfw.interfaces import ISimpleStore, ISimpleStorePlugin
from mailfw.pop3.server import pop3, pop3s
from mailfw.smtp.server import lmtp, smtp, submission, submissions
from mailfw.storage.opening import openStore
from mailfw.testing.conversation import Player, parse
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.now import result
from mailfw.testing.process import waitFor
from mailfw.testing.simplestore import SimpleStoreContract
from mailfw.testing.world import World
from mailfw.values import Entry

try:
    import psycopg
except ImportError:
    psycopg = None

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "etc" / "examples" / "twisted" / "plugins"
letters = runpy.run_path(str(PLUGINS / "letters.py"))["letters"]
pgletters = runpy.run_path(str(PLUGINS / "pgletters.py"))["pgletters"]
TALKS = sorted(path for name in ("pop3", "imap") for path in (ROOT / "tests" / "conversations").glob(f"{name}-*.talk"))
SERVICES = {each.name: each for each in (smtp, submission, submissions, lmtp, pop3, pop3s, imap, imaps)}


class TestLetters(SimpleStoreContract):
    isTraced = False

    def openStore(self) -> ISimpleStore:
        return ISimpleStore(letters.openSimpleStore("letters.sqlite", self.context))

    def _ask(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(Path(self.context.data) / "letters.sqlite")) as database, database:
            database.execute(statement, values)

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        self._ask("INSERT INTO letter (person, box, content) VALUES (?, ?, ?)", account, folder, content)

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        self._ask("DELETE FROM letter WHERE person = ? AND name = ?", account, entry.key)


# --- A real PostgreSQL -----------------------------------------------------------------------------------------------


def program(name: str) -> str:
    """The path of a program of Debian's package; skipped where it is missing, except in continuous integration."""
    places = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *places]))
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI must have it")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a PostgreSQL of our own listens: on a socket in a directory of ours, and on no port. It does not run as root, so
    where the tests do, it is nobody's."""
    if psycopg is None and os.environ.get("CI") == "true":
        pytest.fail("psycopg is not installed, and CI must have it")
    if psycopg is None:
        pytest.skip("psycopg is not installed")
    initdb, server = program("initdb"), program("postgres")
    place = Path(tempfile.mkdtemp(prefix="mailfw-pg-", dir="/tmp"))  # a socket's path is at most 107 octets long
    data = place / "data"
    data.mkdir(mode=0o700)
    become: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (place, data):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        become = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
    environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(place)}
    process = None
    try:
        words = [initdb, "--pgdata", str(data), "--auth", "trust", "--username", "shop", "--encoding", "UTF8", "--no-sync"]
        made = subprocess.run(words, capture_output=True, text=True, cwd=place, env=environment, timeout=120, **become)
        assert made.returncode == 0, made.stderr
        options = ("listen_addresses=", f"unix_socket_directories={place}", "fsync=off", "max_connections=50")
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, "-D", str(data), *(word for option in options for word in ("-c", option))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place, env=environment, **become,
            )  # fmt: skip
        where = f"host={place} user=shop dbname=postgres"
        waitFor(lambda: _answers(where), "PostgreSQL")
        yield where
    finally:
        if process is not None:
            process.terminate()
            process.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def _answers(where: str) -> bool:
    try:
        psycopg.connect(where, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def database(cluster: str) -> Iterator[str]:
    """An empty database of that server."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield cluster.replace("dbname=postgres", f"dbname={name}")
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


_numbers = itertools.count()


class TestPGLetters(SimpleStoreContract):
    isTraced = False

    @pytest.fixture(autouse=True)
    def _database(self, database: str) -> Iterator[None]:
        self.where = database
        self.stores: list[Any] = []
        yield
        for store in self.stores:
            store.close()

    def openStore(self) -> ISimpleStore:
        self.stores.append(pgletters.openSimpleStore(self.where, self.context))
        return ISimpleStore(self.stores[-1])

    def _ask(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.where) as connection:
            connection.execute(statement, values)

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        self._ask("INSERT INTO letter (person, box, content) VALUES (%s, %s, %s)", account, folder, content)

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        self._ask("DELETE FROM letter WHERE person = %s AND name = %s", account, entry.key)

    def test_aConnectionThatBreaksIsMadeAnew(self) -> None:
        store = self.openStore()
        store.folders("jsmith@example.org")
        with psycopg.connect(self.where, autocommit=True) as connection:
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        with pytest.raises(Unavailable):
            store.folders("jsmith@example.org")
        assert list(store.folders("jsmith@example.org")) == []


# --- Conversations ---------------------------------------------------------------------------------------------------


@implementer(ISimpleStorePlugin)
@define
class Noted:
    """A plugin, and what it has opened."""

    plugin: Any
    opened: list[Any]
    prefix: str = "noted"

    def openSimpleStore(self, argument: str, context: Any) -> Any:
        self.opened.append(self.plugin.openSimpleStore(argument, context))
        return self.opened[-1]


@pytest.fixture(params=["letters", "pgletters"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """As in tests/conversations, with the store of the cookbook."""
    clock = Clock()
    plugin, argument = letters, "letters.sqlite"
    if request.param == "pgletters":
        plugin, argument = pgletters, request.getfixturevalue("database")
    opened: list[Any] = []
    store = openStore(Noted(plugin, opened), argument, FakeStoreContext(str(tmp_path), clock=clock))
    world = World(store, clock=clock, directory=str(tmp_path / "spool"))
    now = world.context.now
    queue = Queue.open(":memory:", reactor=clock, now=now, isInline=True)
    world.context.router = Router(world.directory, store, Outbound(queue, Bouncer("mail.localhost", now), now=now))
    world.context.spool.prepare()
    yield world
    world.closeStore()
    result(queue.close())
    for each in opened:
        if hasattr(each, "close"):
            each.close()


@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(talk: Path, world: World) -> None:
    document = parse(talk.read_text(), talk.name)
    if "simple" not in document.option("only", "simple").split():
        pytest.skip(f"only for {document.option('only')}; the document says why")
    Player(document, world, SERVICES, False).play()
