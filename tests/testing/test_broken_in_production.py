"""What a broken plugin costs where mail is served: a session or a recipient a temporary failure; the log says what failed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from zope.interface import implementer

from mailfw.auth.chain import chain
from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.queue import Queue, Submission
from mailfw.delivery.relay import Relay
from mailfw.delivery.router import Router
from mailfw.delivery.routes import DiscardRoute, Routes
from mailfw.errors import Unavailable
from mailfw.hooks.runner import Attached, Hooks
from mailfw.imap.server import imap
from mailfw.interfaces import IAuthenticator, IDelivery, IRoute
from mailfw.pop3.server import pop3
from mailfw.sasl.exchange import Logins
from mailfw.smtp.server import smtp
from mailfw.stages import Stage
from mailfw.storage.memory import memory
from mailfw.testing.conversation import fill
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.faultystore import FaultyStore
from mailfw.testing.now import result
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World
from mailfw.values import Address, Envelope, Fate, Identity, MessageSource, Outcome, Recipient

PEER = IPv4Address("TCP", "127.0.0.1", 40000)
LETTER = b"Subject: x\r\n\r\nhello\r\n.\r\n"


class Bad(FaultyStore):
    """Delivers to John Smith, and for mbrain returns or raises what `answer` does."""

    answer: Any = None

    async def deliver(self, message: MessageSource, targets: Any) -> Any:
        if self.answer is not None and any(target.account == "mbrain@localhost" for target in targets):
            return self.answer(targets)
        return await super().deliver(message, targets)


@pytest.fixture
def logged() -> Any:
    """What the log says of errors, in words."""
    said: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"] in (LogLevel.critical, LogLevel.error, LogLevel.warn):
            failure = event.get("log_failure")
            said.append(f"{event['log_format'].format(**event)} {failure.value if failure else ''}")

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def world(tmp_path: Any) -> Any:
    store = Bad(memory.openStore("", FakeStoreContext("")))
    result(fill(store, "mbrain INBOX 2"))
    result(fill(store, "jsmith INBOX 2"))
    world = World(store, directory=str(tmp_path / "spool"))
    world.context.spool.prepare()
    world.context.router = Router(world.directory, store)
    world.made = []  # type: ignore[attr-defined]
    yield world
    for client in world.made:  # type: ignore[attr-defined]
        client.hangUp()
    world.closeStore()


def connect(world: World, service: Any) -> MemoryTransport:
    client = world.connect(service, PEER)
    world.made.append(client)  # type: ignore[attr-defined]
    client.take()
    return client


def say(world: World, client: MemoryTransport, *lines: str | bytes) -> bytes:
    """What is answered to all of it."""
    answers = b""
    for line in lines:
        client.send(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        for _ in range(4):
            world.advance(1)
        answers = client.take()
    return answers


def send(world: World, *recipients: str) -> bytes:
    """The last words to a client that sends mail."""
    client = connect(world, smtp)
    said = say(world, client, "EHLO client.example", "MAIL FROM:<shop@example.org>", *(f"RCPT TO:<{r}>" for r in recipients))
    assert said.startswith(b"250"), said
    return say(world, client, "DATA", LETTER)


def messages(world: World, account: str) -> int:
    opened = result(world.context.store.openAccount(Identity(account), account))
    return int(result(result(opened.open("INBOX")).status()).messages)


# --- Stores


def raises(targets: Any) -> Any:
    raise RuntimeError("the disk is on fire")


def ends(targets: Any) -> Any:
    raise SystemExit(3)


BAD_ANSWERS = {
    "raises": raises,
    "ends": ends,
    "none": lambda targets: None,
    "nothing": lambda targets: [],
    "too many": lambda targets: [Outcome(Fate.DELIVERED)] * (len(targets) + 1),
    "nonsense": lambda targets: ["delivered"] * len(targets),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_aStoreThatCannotDeliverCostsARecipientATemporaryFailure(world: Any, logged: list[str], kind: str) -> None:
    world.context.store.answer = BAD_ANSWERS[kind]
    assert send(world, "mbrain@localhost").startswith(b"451 4."), kind
    assert len([line for line in logged if "the store" in line]) == 1, logged
    assert send(world, "jsmith@localhost").startswith(b"250 2.")
    assert messages(world, "jsmith@localhost") == 3
    world.context.store.answer = None
    assert send(world, "mbrain@localhost").startswith(b"250 2.")


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("out of cheese")])
@pytest.mark.parametrize("method", ["openAccount", "open", "rows", "apply"])
def test_aStoreThatFailsCostsAPOP3ClientACommand(world: Any, logged: list[str], method: str, error: Exception) -> None:
    store, client, other = world.context.store, connect(world, pop3), connect(world, pop3)
    assert say(world, other, "USER jsmith", "PASS mailfw").startswith(b"+OK")
    store.failNext(method, error)
    said = [say(world, client, line) for line in ("USER mbrain", "PASS mailfw", "LIST", "RETR 1", "DELE 1", "QUIT")]
    assert next(answer for answer in said if answer.startswith(b"-ERR")).startswith(b"-ERR [SYS/TEMP]"), said
    assert isinstance(error, Unavailable) or any(str(error) in line for line in logged), logged
    assert say(world, other, "RETR 1").startswith(b"+OK")
    assert say(world, connect(world, pop3), "USER mbrain", "PASS mailfw").startswith(b"+OK")


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("out of cheese")])
@pytest.mark.parametrize("method", ["openAccount", "mailboxes", "open", "snapshot", "rows", "apply", "status"])
def test_aStoreThatFailsCostsAnIMAPClientACommand(world: Any, logged: list[str], method: str, error: Exception) -> None:
    store, client, other = world.context.store, connect(world, imap), connect(world, imap)
    assert b"x OK" in say(world, other, "x LOGIN jsmith mailfw")
    assert b"y OK" in say(world, other, "y SELECT INBOX")
    lines = ["a LOGIN mbrain mailfw", 'b LIST "" *', "c STATUS INBOX (MESSAGES)", "d SELECT INBOX", "e FETCH 1 FLAGS"]
    lines.append("f STORE 1 FLAGS \\Seen")
    store.failNext(method, error, times=1)
    said = [say(world, client, line) for line in lines]
    bad = [answer for answer in said if b" NO " in answer or b" BAD " in answer or b"BYE" in answer]
    assert bad, said
    assert b"[UNAVAILABLE]" in bad[0] or b"[SERVERBUG]" in bad[0], bad
    assert isinstance(error, Unavailable) or any(str(error) in line for line in logged), logged
    assert b"z OK" in say(world, other, "z FETCH 1 FLAGS")
    again = connect(world, imap)
    assert b"a OK" in say(world, again, "a LOGIN mbrain mailfw")
    assert b"d OK" in say(world, again, "d SELECT INBOX")


# --- Hooks


BAD_HOOKS = {"raises": raises, "nonsense": lambda event: "go on", "a type": lambda event: Outcome}


@pytest.mark.parametrize("stage", [Stage.MAIL_FROM, Stage.RCPT_TO, Stage.DATA, Stage.END_OF_MESSAGE])
@pytest.mark.parametrize("kind", BAD_HOOKS)
def test_aHookThatFailsCostsATemporaryFailure(world: Any, logged: list[str], kind: str, stage: Stage) -> None:
    def hook(event: Any) -> Any:
        """Breaks for one sender."""
        return BAD_HOOKS[kind](event) if event.envelope.sender.local == "shop" else None

    world.context.hooks = Hooks({stage: [Attached("gremlin", hook)]}, world.clock)
    lines = "EHLO client.example", "MAIL FROM:<{}@example.org>", "RCPT TO:<jsmith@localhost>", "DATA"
    for sender in ("shop", "friend"):
        client = connect(world, smtp)
        said = [say(world, client, line.format(sender)) for line in lines]
        said += [say(world, client, LETTER)] if said[-1].startswith(b"354") else []
        if sender == "friend":
            assert said[-1].startswith(b"250 2."), said
        else:
            assert next(answer for answer in said[1:] if not answer.startswith((b"250", b"354"))).startswith(b"451 4.3.0"), said
    assert messages(world, "jsmith@localhost") == 3
    assert logged and all("gremlin" in line for line in logged)
    result(world.context.hooks.close())


# --- Sources of accounts


@implementer(IAuthenticator)
class BadSource:
    """Breaks for everybody."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def authenticate(self, credentials: Any) -> Any:
        return self.answer(credentials)


LOGINS = [
    (pop3, ("USER {}", "PASS mailfw"), b"+OK", b"-ERR [SYS/TEMP]"),
    (imap, ("a LOGIN {} mailfw",), b"a OK", b"a NO [UNAVAILABLE]"),
    (smtp, ("EHLO client.example", "AUTH PLAIN", "{plain}"), b"235 2.7.0", b"454 4.7.0"),
]


@pytest.mark.parametrize(("service", "lines", "welcome", "later"), LOGINS, ids=["pop3", "imap", "smtp"])
@pytest.mark.parametrize("answer", [raises, ends, lambda credentials: None, lambda credentials: credentials.password])
def test_aSourceOfAccountsThatFailsCostsALoginATemporaryFailure(
    world: Any, logged: list[str], service: Any, lines: tuple[str, ...], welcome: bytes, later: bytes, answer: Any
) -> None:
    """Whom another source knows comes in; others are told to come again, and never that their password is wrong."""
    world.context.logins = Logins(chain([BadSource(answer), world.users]), domain="localhost", secret=b"fake")
    for name, expected in (("jsmith", welcome), ("nobody", later), ("mbrain", welcome)):
        plain = base64.b64encode(f"\0{name}\0mailfw".encode()).decode()
        said = say(world, connect(world, service), *(line.format(name, plain=plain) for line in lines))
        assert said.startswith(expected), said
    assert len([line for line in logged if "BadSource failed" in line]) == 3
    assert not any("mailfw" in line for line in logged)


# --- Routes


@implementer(IRoute, IDelivery)
class BadRoute:
    """Breaks for everybody."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def destination(self, domain: str) -> str:
        return "bad"

    def begin(self, envelope: Any) -> Any:
        return self

    async def recipient(self, recipient: Any) -> None:
        pass

    async def commit(self, message: Any) -> Any:
        return self.answer([message])

    def abort(self) -> None:
        pass


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_aRouteThatFailsCostsItsRecipientsADelay(tmp_path: Path, logged: list[str], kind: str) -> None:
    queue = Queue.open(str(tmp_path / "queue.sqlite"), reactor=(clock := Clock()), now=clock.seconds, isInline=True)
    broken = Routes(DiscardRoute(), {"bad.example": BadRoute(BAD_ANSWERS[kind])})
    relay = Relay(queue, broken, Bouncer("mail.localhost", clock.seconds), clock, now=clock.seconds)
    there = tuple(Recipient(Address.parse(address)) for address in ("a@bad.example", "b@good.example"))
    source = MessageSource(b"Subject: x\r\n\r\nx\r\n")
    result(queue.enqueue([Submission(Envelope(Address.parse("mbrain@localhost"), there))], source))
    relay.start()
    for _ in range(10):
        clock.advance(1)
    assert dict(relay.counts) == {Fate.DELIVERED: 1, Fate.DEFERRED: 1}
    (left,) = result(queue.list()).entries
    assert str(left.recipient.address) == "a@bad.example" and left.attempts == 1
    assert len([line for line in logged if "a route failed" in line]) == 1
    relay.replaceRoutes(Routes(DiscardRoute()))
    clock.advance(4000)
    assert result(queue.count()) == 0
    stopping = Deferred.fromCoroutine(relay.stop(1))
    clock.advance(5)
    assert stopping.called
    result(queue.close())
