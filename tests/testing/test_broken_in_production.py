"""What a broken plugin costs in a server: one session or one recipient a temporary failure. The log names it, and all goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from mailfw.delivery.router import Router
from mailfw.hooks.runner import Attached, Hooks
from mailfw.imap.server import imap
from mailfw.pop3.server import pop3
from mailfw.sasl.exchange import Logins
from mailfw.smtp.server import lmtp, smtp
from mailfw.stages import Stage
from mailfw.storage.memory import memory
from mailfw.testing.conversation import fill
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.now import result
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World
from mailfw.values import Identity

MESSAGE = b"Subject: x\r\n\r\nHello\r\n.\r\n"


class Fault(Exception):
    """What a plugin has never heard of raising."""


class Attic:
    """A store that is whole until a method of its own is given to it. Its name is what the log has to say."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.own: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return self.own.get(name, getattr(self.inner, name))


async def atticRaises(*_: object, **__: object) -> Any:
    raise Fault("the ladder is gone")


def atticAnswers(answer: Any) -> Callable[..., Any]:
    async def atticAnswered(*_: object, **__: object) -> Any:
        return answer

    return atticAnswered


@pytest.fixture
def attic() -> Attic:
    return Attic(memory.openStore("", FakeStoreContext("")))


@pytest.fixture
def world(attic: Attic, tmp_path: Any) -> Iterator[World]:
    """Mail for jsmith and mbrain ends in the attic."""
    world = World(attic, clock=Clock(), directory=str(tmp_path / "spool"))
    world.context.spool.prepare()
    world.context.router = Router(world.directory, attic)
    result(fill(attic, "jsmith INBOX 2"))
    yield world
    attic.own.clear()
    world.closeStore()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Everything that the log says, with the tracebacks."""
    said: list[str] = []

    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure")
        said.append(formatEvent(event) + (failure.getTraceback() if failure is not None else ""))

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)


def say(world: World, client: MemoryTransport, *lines: bytes) -> bytes:
    """What is answered to the last of these lines."""
    for line in lines:
        client.take()
        client.send(line if line.endswith(b"\r\n") else line + b"\r\n")
        world.advance(10)
    return client.take().splitlines()[-1]


def sent(world: World, service: Any, *recipients: bytes) -> list[bytes]:
    """The answers to a message, from DATA on."""
    client = world.connect(service)
    say(world, client, b"LHLO x" if service is lmtp else b"HELO x", b"MAIL FROM:<shop@example.org>")
    for recipient in recipients:
        assert say(world, client, b"RCPT TO:<%b>" % recipient).startswith(b"250")
    assert say(world, client, b"DATA").startswith(b"354")
    client.send(MESSAGE)
    world.advance(10)
    answers = client.take().splitlines()
    assert say(world, client, b"NOOP").startswith(b"250")
    client.hangUp()
    return answers


# --- Stores


def test_aStoreThatRaisesCostsTheSenderAnotherTry(world: World, attic: Attic, logged: list[str]) -> None:
    attic.own["deliver"] = atticRaises
    [answer] = sent(world, smtp, b"jsmith@localhost")
    assert answer.startswith(b"451 4.3.0") and b"ladder" not in answer
    assert any(
        "the store failed to deliver" in said and "atticRaises" in said and "the ladder is gone" in said for said in logged
    )
    attic.own.clear()
    [answer] = sent(world, smtp, b"jsmith@localhost")
    assert answer.startswith(b"250 2.0.0")


@pytest.mark.parametrize("answer", [None, [], ["delivered"], [None], 7, "x", [True, True]])
def test_nonsenseIsNoAnswer(world: World, attic: Attic, logged: list[str], answer: Any) -> None:
    attic.own["deliver"] = atticAnswers(answer)
    answers = sent(world, lmtp, b"jsmith@localhost", b"mbrain@localhost")
    assert [each[:9] for each in answers] == [b"451 4.3.0"] * 2
    assert any("store" in said for said in logged)


@pytest.mark.parametrize("method", ["openAccount", "mailboxes", "open", "snapshot"])
def test_aStoreThatRaisesCostsASessionOneCommand(world: World, attic: Attic, logged: list[str], method: str) -> None:
    class Broken:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return breaking(method, name, getattr(self.inner, name))

    def breaking(method: str, name: str, found: Any) -> Any:
        if name == method:
            return atticRaises
        if name not in ("openAccount", "open"):
            return found

        async def opened(*arguments: Any) -> Any:
            return Broken(await found(*arguments))

        return opened

    attic.own["openAccount"] = breaking(method, "openAccount", attic.inner.openAccount)
    client = world.connect(imap)
    said = say(world, client, b"a LOGIN jsmith mailfw"), say(world, client, b'b LIST "" *'), say(world, client, b"c SELECT INBOX")
    assert any(b" NO [" in each for each in said), said
    assert not any(b"ladder" in each for each in said)
    assert any("atticRaises" in each for each in logged)
    assert say(world, client, b"d NOOP").startswith(b"d OK")
    other = world.connect(pop3)
    if method in ("openAccount", "open"):  # which is all that POP3 asks of these
        assert say(world, other, b"USER jsmith", b"PASS mailfw").startswith(b"-ERR [SYS/TEMP]")
    attic.own.clear()
    assert say(world, other, b"USER jsmith", b"PASS mailfw").startswith(b"+OK")
    for each in client, other:
        each.hangUp()


# --- Sources of accounts


@pytest.mark.parametrize("answer", [Fault("the ladder is gone"), None, "jsmith@localhost", 7])
@pytest.mark.parametrize("service", [imap, pop3], ids=["imap", "pop3"])
def test_aSourceThatIsBrokenLetsNobodyIn(world: World, logged: list[str], service: Any, answer: Any) -> None:
    class Doorman:
        async def authenticate(self, credentials: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    world.context.logins = Logins(Doorman(), domain="localhost", secret=b"fake")
    client = world.connect(service)
    if service is imap:
        said = say(world, client, b"a LOGIN jsmith mailfw")
        assert said.startswith((b"a NO [UNAVAILABLE]", b"a NO [SERVERBUG]")), said
        assert say(world, client, b"b NOOP").startswith(b"b OK")
    else:
        said = say(world, client, b"USER jsmith", b"PASS mailfw")
        assert said.startswith(b"-ERR [SYS/TEMP]"), said
        assert say(world, client, b"NOOP").startswith(b"-ERR")  # not logged in, and still there
    assert logged
    client.hangUp()


# --- Hooks


def hookRaises(event: Any) -> Any:
    raise Fault("the ladder is gone")


@pytest.mark.parametrize("hook", [hookRaises, lambda event: "go on", lambda event: 7], ids=["raises", "text", "number"])
def test_aHookThatIsBrokenCostsARecipientAnotherTry(world: World, logged: list[str], hook: Any) -> None:
    async def asked(event: Any) -> Any:
        return hook(event)

    hooks = Hooks({Stage.RCPT_TO: [Attached("attic:", asked)]}, world.clock)
    world.context.hooks = hooks
    client = world.connect(smtp)
    say(world, client, b"HELO x", b"MAIL FROM:<shop@example.org>")
    assert say(world, client, b"RCPT TO:<jsmith@localhost>").startswith(b"451 4.")
    assert say(world, client, b"NOOP").startswith(b"250")
    assert any("hook attic:" in said for said in logged)
    client.hangUp()
    result(hooks.close())


# --- Routes are in tests/delivery/test_relay.py: a broken one costs its message an attempt


def test_whoIsLoggedInGoesOn(world: World, attic: Attic) -> None:
    """One session's failure is nobody else's."""
    client = world.connect(imap)
    assert say(world, client, b"a LOGIN jsmith mailfw", b"b SELECT INBOX").startswith(b"b OK")
    attic.own["openAccount"] = atticRaises
    other = world.connect(imap)
    say(world, other, b"a LOGIN mbrain mailfw")
    assert say(world, other, b"b SELECT INBOX").startswith(b"b ")
    assert say(world, client, b"c FETCH 1:2 FLAGS").startswith(b"c OK")
    for each in client, other:
        each.hangUp()
    assert result(attic.inner.openAccount(Identity("jsmith@localhost"), "jsmith@localhost")).owner == "jsmith@localhost"
