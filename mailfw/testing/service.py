"""`ServiceContract`: what a listening service promises, as tests that a plugin's author runs.

>>> class TestMine(ServiceContract):
...     plugin = myPlugin

The service is put into a `World` and spoken to by clients that know nothing of its protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from mailfw.interfaces import IMailService
from mailfw.plugins import check
from mailfw.testing.promises.broken import tellsBrokenPromises
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World

BABBLE = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "line ends": b"\r\r\n\n\r\n\0\r\n",
    "every octet": bytes(range(256)) + b"\r\n",
    "words": b"HELO x\r\nUSER x\r\na1 LOGIN x x\r\nGET / HTTP/1.1\r\n\r\n",
    "a handshake": b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
    "a line without an end": b"x" * 1_000_000,
    "many lines": b"x\r\n" * 5_000,
}
DAY = 86_400


def cut(data: bytes, length: int) -> list[bytes]:
    """Pieces of at most so many octets."""
    return [data[start : start + length] for start in range(0, len(data), length)]


@tellsBrokenPromises
class ServiceContract:
    """Subclass it as `Test…` and supply `plugin`.

    :cvar plugin: what the package's entry point names.
    :ivar world: what the service is in; time passes by `world.advance`.
    """

    plugin: Any  # judged by the tests
    world: World

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        self.world = World(directory=str(tmp_path / "spool"))
        failures: list[LogEvent] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_failure") is not None:
                failures.append(event)

        globalLogPublisher.addObserver(observe)
        yield
        globalLogPublisher.removeObserver(observe)
        assert not failures, f"an error that nobody caught: {failures[0]['log_failure'].getTraceback()}"

    def connect(self) -> MemoryTransport:
        """A client connects."""
        return self.world.connect(self.plugin)

    def test_thePluginKeepsItsInterface(self) -> None:
        check(IMailService, self.plugin)
        assert 0 < self.plugin.port < 65536, "the standard port is a number from 1 to 65535"
        assert self.plugin.name == self.plugin.name.lower(), "a service's name is written in small letters"

    @pytest.mark.parametrize("name", BABBLE)
    @pytest.mark.parametrize("piece", [0, 1, 1000], ids=["at once", "octet by octet", "in pieces"])
    def test_babbleIsBorne(self, name: str, piece: int) -> None:
        client = self.connect()
        said = BABBLE[name][: 5_000 if piece == 1 else None]
        for part in cut(said, piece or 1_000_000):
            client.send(part)
        client.hangUp()
        self.world.advance()

    def test_whatIsSaidDoesNotDependOnHowItIsCut(self) -> None:
        answers = []
        for piece in (1, 7, 1_000):
            client = self.connect()
            for part in cut(BABBLE["words"], piece):
                client.send(part)
            answers.append(client.take())
            client.hangUp()
        assert answers[0] == answers[1] == answers[2]

    def test_whoSaysNothingIsNotKeptForEver(self) -> None:
        client = self.connect()
        for _ in range(DAY // 60):
            self.world.advance(60)
            if client.isClosed:
                break
        assert client.isClosed, "a client that says nothing for a day is still connected: set a deadline"

    def test_whoHangsUpIsForgotten(self) -> None:
        before = len(self.world.clock.getDelayedCalls())
        for _ in range(3):
            self.connect().hangUp()
        self.world.advance(DAY)
        assert len(self.world.clock.getDelayedCalls()) <= before, "a connection that is gone has left a delayed call"
