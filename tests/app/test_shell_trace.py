"""`sessions` and `trace` on connections in memory."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.app.shell import sessions as module
from mailfw.app.shell.page import Line, Page
from mailfw.app.shell.sessions import Sessions, Trace
from mailfw.imap.server import IMAPServer
from mailfw.net.connection import Listener
from mailfw.storage.memory import memory
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World


class Screen:
    """Remembers what is shown, and has one key."""

    width, height, isTerminal = 80, 24, True

    def __init__(self) -> None:
        self.isBlocked = False
        self.key: Deferred[bool] = Deferred()
        self.text = ""

    def press(self) -> None:
        self.key.callback(True)

    def wait(self) -> None:
        """No key is pressed for a while."""
        self.key.callback(False)

    def write(self, line: Line) -> None:
        self.text += line.text

    def picture(self, page: Page | None) -> None:
        raise NotImplementedError

    async def untilKey(self, seconds: float | None = None) -> bool:
        self.key = Deferred()
        return await self.key


class House:
    """A server of one protocol, and a prompt's names for it."""

    def __init__(self) -> None:
        clock = Clock()
        accounts = {f"{user}@localhost": f"pw-{user}" for user in ("jsmith", "mbrain")}
        self.world = World(memory.openStore("", FakeStoreContext("", clock=clock)), clock=clock, accounts=accounts)
        self.world.context.plaintext = "always"
        self.system: Any = SimpleNamespace(context=self.world.context, configuration=SimpleNamespace(domains=["localhost"]))
        self.screen = Screen()

    def come(self, host: str = "127.0.0.1") -> MemoryTransport:
        connection = IMAPServer(self.world.context, Listener("imap"))
        return MemoryTransport(connection, IPv4Address("TCP", host, 40000)).connect()

    def trace(self, *words: str) -> Deferred[None]:
        return Deferred.fromCoroutine(Trace(self.system, words, None).run(self.screen))

    def lines(self) -> list[str]:
        return [line.partition("  ")[2] for line in self.screen.text.splitlines()[1:]]


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    for connection in house.world.context.sessions:
        connection.abort()
    house.world.closeStore()


def login(house: House, transport: MemoryTransport, user: str = "jsmith") -> None:
    transport.send(f"a LOGIN {user} pw-{user}\r\n".encode())
    transport.take()


def test_anAccountsSessionsAreTracedFromTheirGreetingOn(house: House) -> None:
    traced = house.trace("jsmith")
    transport, other = house.come(), house.come()
    transport.send(b"x NOOP\r\n")
    assert house.lines() == []
    login(house, other, "mbrain")
    login(house, transport)
    other.send(b"b NOOP\r\n")
    transport.send(b"b NOOP\r\nc LOGOUT\r\n")
    lines = house.lines()
    assert lines[0] == "-- connected from 127.0.0.1:40000"
    assert [line for line in lines if line.startswith("C: ")] == [
        "C: x NOOP",
        "C: a LOGIN jsmith ***",
        "C: b NOOP",
        "C: c LOGOUT",
    ]
    assert lines[-1] == "-- closed"
    assert "mbrain" not in house.screen.text
    assert "pw-" not in house.screen.text
    house.screen.press()
    assert traced.called
    assert other.connection.taps is None
    last = house.screen.text
    login(house, house.come())
    assert house.screen.text == last


@pytest.mark.parametrize("word", ["id", "192.0.2.7", "imap", "IMAP", "jsmith@localhost"])
def test_sessionsThatAreThereAreFoundByMoreThanTheAccount(word: str, house: House) -> None:
    mine, other = house.come("192.0.2.7"), house.come("192.0.2.8")
    login(house, mine)
    house.trace(mine.connection.id if word == "id" else word)
    mine.send(b"b NOOP\r\n")
    other.send(b"b NOOP\r\n")
    ids = {line.partition("  ")[0] for line in house.screen.text.splitlines() if "C: b" in line}
    assert ids == ({mine.connection.id, other.connection.id} if word.lower() == "imap" else {mine.connection.id})
    house.screen.press()


def test_whoReadsSlowlyIsToldHowManyLinesWereLeftOut(house: House) -> None:
    transport = house.come()
    login(house, transport)
    house.trace("jsmith")
    house.screen.isBlocked = True
    before = house.screen.text
    transport.send(b"".join(b"%d NOOP\r\n" % number for number in range(500)))
    house.world.clock.pump([0] * 50)
    assert house.screen.text == before
    house.screen.isBlocked = False
    transport.send(b"z NOOP\r\n")
    assert "-- 1000 lines left out" in house.screen.text
    assert "C: z NOOP" in house.screen.text
    house.screen.press()


def test_ofWhomNobodyKnowsLittleIsRemembered(house: House) -> None:
    house.trace("jsmith")
    transport = house.come()
    for number in range(module.BEFORE):
        transport.send(b"%d NOOP\r\n" % number)
    login(house, transport)
    house.screen.wait()
    assert len(house.lines()) <= module.BEFORE + 3
    assert "C: 99 NOOP" in house.screen.text
    assert "C: 1 NOOP" not in house.screen.text
    house.screen.press()


def test_aTableSaysWhereSomebodyIs(house: House) -> None:
    transport = house.come()
    login(house, transport)
    transport.send(b"b SELECT INBOX\r\n")
    house.come("192.0.2.8")
    assert len(Sessions(house.system)) == 2
    shown = repr(Sessions(house.system)("jsmith")).splitlines()
    assert len(shown) == 2
    words = shown[1].split()
    assert words[1:6] == ["jsmith@localhost", "127.0.0.1:40000", "IMAP", "selected", "INBOX"]
    assert Sessions(house.system, ("jsmith",)).stop() == "1 told to end"
    assert transport.isClosed
    assert repr(Sessions(house.system, ("jsmith",))) == "nobody is connected"


def test_whatAClientIsCalledCannotReachTheScreen(house: House) -> None:
    traced = house.trace()
    transport = house.come()
    transport.send(b'a ID ("name" "\x1b[2Jx")\r\n')
    assert "\\x1b[2Jx" in house.screen.text
    assert "\x1b" not in house.screen.text
    house.screen.press()
    assert traced.called
