"""The pytest plugin: the fixture `mailfw`, and what it is made of. Imports nothing until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mailfw.trap.loop import Loop
    from mailfw.trap.server import TrapServer
    from mailfw.trap.trap import Trap


def pytest_addoption(parser: pytest.Parser) -> None:
    """What may stand in pytest's configuration."""
    parser.addini("mailfw_domains", "domains whose mail ends in the trap, the first one first", "args", ["localhost"])
    parser.addini("mailfw_catch_all", "whether every address at every domain is taken", "bool", False)


@pytest.fixture(scope="session")
def _mailfwLoop() -> Iterator[Loop]:
    """The reactor: pytest-twisted's where that is in use, otherwise one in a thread."""
    from mailfw.trap.loop import ThreadLoop, TwistedLoop

    loop: Loop = TwistedLoop() if TwistedLoop.isThere() else ThreadLoop()
    yield loop
    loop.stop()


@pytest.fixture(scope="session")
def _mailfwListening(
    _mailfwLoop: Loop, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrapServer]:
    """Listeners for the whole session."""
    from mailfw.trap.server import TrapServer

    config = request.config
    directory = str(tmp_path_factory.mktemp("mailfw"))

    async def start() -> TrapServer:
        server = TrapServer(_mailfwLoop.reactor, directory, config.getini("mailfw_domains"), config.getini("mailfw_catch_all"))
        server.listen()
        return server

    server = _mailfwLoop.wait(start())
    yield server
    _mailfwLoop.wait(server.stop())


@pytest.fixture(scope="session")
def mailfwServer(_mailfwListening: TrapServer, _mailfwLoop: Loop) -> Trap:
    """Addresses, certificate and TLS context, for what is set up once a session. Mail is a test's own: ask `mailfw` for it."""
    from mailfw.trap.trap import Trap

    return Trap(_mailfwListening, _mailfwLoop)


@pytest.fixture
def mailfw(_mailfwListening: TrapServer, _mailfwLoop: Loop) -> Iterator[Trap]:
    """A mail server that takes everything and lets nothing leave, empty: see docs/trap.md."""
    from mailfw.trap.trap import Trap

    _mailfwLoop.wait(_mailfwListening.begin())
    trap = Trap(_mailfwListening, _mailfwLoop)
    yield trap
    if unmet := trap.unmet:
        pytest.fail(f"the test asked for failures that nobody met: {'; '.join(unmet)}", pytrace=False)
