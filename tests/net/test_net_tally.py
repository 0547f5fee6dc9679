"""What listeners count."""

from __future__ import annotations

import pytest
from attrs import evolve

from mailfw.errors import MessageRefused, Unavailable
from mailfw.imap.server import imap
from mailfw.net.limits import Limits
from mailfw.smtp.server import lmtp, smtp
from mailfw.tally import ServiceTally
from mailfw.testing.world import World
from mailfw.values import Envelope, Fate, MessageSource, Outcome, Peer, Recipient

MESSAGE = b"MAIL FROM:<>\r\nRCPT TO:<jsmith@localhost>\r\nDATA\r\n"
BODY = b"Subject: x\r\n\r\nx\r\n.\r\n"


class Verdict:
    """A router whose deliveries all end alike."""

    isQueueing = True

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = outcomes

    def begin(self, envelope: Envelope, peer: Peer) -> Verdict:
        return self

    async def recipient(self, recipient: Recipient) -> None:
        pass

    async def commit(self, message: MessageSource) -> list[Outcome]:
        if isinstance(self.outcomes[0], Exception):
            raise self.outcomes[0]
        return list(self.outcomes)  # type: ignore[arg-type]

    def abort(self) -> None:
        pass


def test_sessionsAndOctetsAreCountedByService() -> None:
    world = World()
    first, second = world.connect(smtp), world.connect(smtp)
    first.send(b"NOOP\r\n")
    tally = world.context.tally.service("smtp")
    assert (tally.begun, tally.ended, tally.octetsIn) == (2, 0, 0)
    first.send(b"QUIT\r\n")
    said = first.take()
    first.hangUp()
    assert (tally.begun, tally.ended, tally.octetsIn, tally.octetsOut) == (2, 1, 12, len(said))
    second.hangUp()
    assert tally.ended == 2
    assert "imap" not in world.context.tally.services


def test_eachLineIsTimedOnceHoweverManyCome() -> None:
    world = World()
    client = world.connect(imap)
    client.send(b"a NOOP\r\n" * 250)
    for _ in range(10):
        world.advance()
    assert client.take().count(b"a OK") == 250
    assert sum(world.context.tally.service("imap").commands.counts) == 250


def test_aLineThatWaitsIsTimedWhenItIsDone() -> None:
    world = World()
    client = world.connect(smtp)
    client.send(b"BAD\r\n" * 6)
    tally: ServiceTally = world.context.tally.service("smtp")
    assert sum(tally.commands.counts) == 5
    world.advance(1.0)
    assert sum(tally.commands.counts) == 6


def test_aRefusedConnectionIsNoSession() -> None:
    world = World(limits=evolve(Limits(), connections=1))
    world.connect(smtp)
    smtp.factory(world.context).buildProtocol(None)
    tally = world.context.tally.service("smtp")
    assert (tally.begun, tally.refused) == (1, 1)


@pytest.mark.parametrize(
    "outcome, word",
    [
        (Outcome(Fate.DELIVERED), "accepted"),
        (Outcome(Fate.QUEUED), "accepted"),
        (Outcome(Fate.DEFERRED, Unavailable()), "deferred"),
        (Unavailable(), "deferred"),
        (RuntimeError("broken"), "deferred"),
        (Outcome(Fate.FAILED, MessageRefused()), "refused"),
    ],
)
def test_aMessageIsCountedByWhatItsSenderIsTold(outcome: Outcome | Exception, word: str) -> None:
    world = World(router=Verdict(outcome))
    client = world.connect(smtp)
    for piece in (b"EHLO c\r\n", MESSAGE, BODY):
        client.send(piece)
    tally = world.context.tally.service("smtp")
    assert tally.messages == {word: 1}
    assert sum(tally.taking.counts) == 1


def test_ofWhatSeveralRecipientsAreToldTheBestCounts() -> None:
    world = World(router=Verdict(Outcome(Fate.FAILED, MessageRefused()), Outcome(Fate.DELIVERED)))
    client = world.connect(lmtp)
    for piece in (b"LHLO c\r\n", MESSAGE[:-6] + b"RCPT TO:<mbrain@localhost>\r\nDATA\r\n", BODY):
        client.send(piece)
    assert world.context.tally.service("lmtp").messages == {"accepted": 1}


def test_refusalsOfRecipientsAreCountedWithoutNames() -> None:
    world = World()
    client = world.connect(smtp)
    client.send(b"HELO c\r\n")
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<nobody@localhost>\r\nRCPT TO:<jsmith@localhost>\r\n")
    tally = world.context.tally.service("smtp")
    assert (tally.refusals, tally.messages) == (1, {})


def test_chunksAreOneMessage() -> None:
    world = World(router=Verdict(Outcome(Fate.DELIVERED)))
    client = world.connect(smtp)
    client.send(b"EHLO c\r\n")
    client.send(MESSAGE[:-6] + b"BDAT 14\r\nSubject: x\r\n\r\n")
    assert world.context.tally.service("smtp").messages == {}
    client.send(b"BDAT 3 LAST\r\nx\r\n")
    assert world.context.tally.service("smtp").messages == {"accepted": 1}


def test_aMessageThatIsTooLargeIsRefused() -> None:
    world = World(limits=evolve(Limits(), messageSize=100))
    client = world.connect(smtp)
    for piece in (b"EHLO c\r\n", MESSAGE, b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" + b"x" * 70 + b"\r\n.\r\n"):
        client.send(piece)
    assert world.context.tally.service("smtp").messages == {"refused": 1}
