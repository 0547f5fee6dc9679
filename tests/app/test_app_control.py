"""The administrator's command and the server, talking over the control socket."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, globalLogPublisher

from mailfw.app.control import ControlSocket
from mailfw.app.problem import Problem
from mailfw.app.remote import PIECE, Remote, cut, join
from mailfw.errors import OverQuota


@given(st.binary(max_size=50), st.integers(0, 3), st.integers(-2, 2))
def test_whatIsCutIsJoined(data: bytes, pieces: int, more: int) -> None:
    whole = (data or b"x") * ((pieces * PIECE + more) // len(data or b"x") if pieces else 1)
    box = cut(b"name", whole)
    assert all(len(value) < 65536 for value in box.values())
    box[b"other"] = b"stays"
    assert join(b"name", box) == whole
    assert box == {b"other": b"stays"}


async def served(path: str, operate: Callable[[str, dict[str, Any]], Awaitable[Any]], talk: Callable[[Remote], Any]) -> Any:
    """What a command in another thread gets from a control socket."""
    service = ControlSocket(path, operate, reactor)
    service.startService()

    def command() -> Any:
        remote = Remote.connect(path)
        assert remote is not None
        try:
            return talk(remote)
        finally:
            remote.close()

    try:
        return await deferToThread(command)
    finally:
        await service.stopService()


async def echo(operation: str, arguments: dict[str, Any]) -> Any:
    return [operation, arguments]


@pytest_twisted.ensureDeferred
async def test_operationsCarryAnyJSONOfAnySize(tmp_path: Path) -> None:
    arguments = {"text": "zwölf\n\0", "long": "x" * 200_000, "list": [1, None, {"a": True}]}
    result = await served(str(tmp_path / "control"), echo, lambda remote: [remote.perform("say", **arguments) for _ in range(2)])
    assert result == [["say", arguments]] * 2


@pytest_twisted.ensureDeferred
async def test_onlyTheOwnerCanOpenTheSocketAndItGoesWithTheServer(tmp_path: Path) -> None:
    path = tmp_path / "control"
    modes = await served(str(path), echo, lambda remote: stat.S_IMODE(path.stat().st_mode))
    assert modes == 0o600
    assert not path.exists()
    assert Remote.connect(str(path)) is None


@pytest_twisted.ensureDeferred
async def test_aPathTooLongForASocketWorks(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 120)
    directory.mkdir()
    assert await served(str(directory / "control"), echo, lambda remote: remote.perform("a")) == ["a", {}]


@pytest_twisted.ensureDeferred
async def test_whatAKilledServerLeftIsReplaced(tmp_path: Path) -> None:
    import socket

    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    assert Remote.connect(path) is None
    assert await served(path, echo, lambda remote: remote.perform("a")) == ["a", {}]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (Problem("no such thing"), "no such thing"),
        (OverQuota(), "mailbox is over its quota"),
        (KeyError("x"), "say failed; the server's log says why"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_whatCannotBeDoneIsOneLine(tmp_path: Path, raised: Exception, said: str) -> None:
    async def refuse(operation: str, arguments: dict[str, Any]) -> Any:
        raise raised

    def talk(remote: Remote) -> str:
        with pytest.raises(Problem) as caught:
            remote.perform("say")
        return str(caught.value)

    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        assert await served(str(tmp_path / "control"), refuse, talk) == said
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["log_failure"].value for event in events if "log_failure" in event] == (
        [raised] if isinstance(raised, KeyError) else []
    )


@pytest_twisted.ensureDeferred
async def test_aServerThatGoesAwayIsOneLine(tmp_path: Path) -> None:
    import socket

    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)

        def hangUp() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)

        hanging = deferToThread(hangUp)
        remote = Remote.connect(path)
        assert remote is not None
        with pytest.raises(Problem, match="the server went away before it answered"):
            await deferToThread(remote.perform, "status")
        remote.close()
        await hanging
