"""Our client: with our server, and with servers that mean no good."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from mailfw import errors
from mailfw.pop3 import client as room
from mailfw.pop3.client import POP3Client
from mailfw.sasl.exchange import Logins
from mailfw.sasl.plain import LoginClient, PlainClient
from mailfw.sasl.verifier import Verifier
from mailfw.values import Identity


class Wire(StringTransport):
    isTLS = False

    def startTLS(self, options):
        self.isTLS = True

    def written(self):
        data = self.value()
        self.clear()
        return data


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    assert not clock.getDelayedCalls()


@pytest.fixture
def pop3(clock):
    """A client that was greeted by a server which a test plays."""
    pop3 = POP3Client(clock)
    pop3.makeConnection(Wire())
    pop3.dataReceived(b"+OK ready\r\n")
    yield pop3
    pop3.connectionLost()


def result(deferred):
    """What a Deferred has come to."""
    outcome = []
    deferred.addBoth(outcome.append)
    assert outcome, "no result yet"
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


def start(coroutine):
    return Deferred.fromCoroutine(coroutine)


@pytest.fixture
def joinTo(connect, clock):
    """Makes a client of ours joined to a server of ours."""
    ours = POP3Client(clock)

    def carry(client):
        while True:
            if said := client.said():
                ours.dataReceived(said)
            if sent := ours.transport.written():
                client.transport.send(sent)
            elif not said:
                return

    def make():
        client = connect()
        ours.carry = lambda: carry(client)
        ours.makeConnection(Wire())
        ours.carry()
        return ours

    yield make
    ours.connectionLost()


@pytest.fixture
def joined(joinTo):
    return joinTo()


def test_withOurServer(joined, inbox):
    def do(coroutine):
        deferred = start(coroutine)
        joined.carry()
        return result(deferred)

    assert result(joined.greeting).text == "mail.localhost POP3 server ready"
    assert do(joined.capabilities())["SASL"] == ("PLAIN", "LOGIN")
    with pytest.raises(errors.AuthenticationFailed):
        do(joined.logIn("jsmith", "wrong"))
    do(joined.logInBest("jsmith", "mailfw", mayUsePlaintext=True))
    assert do(joined.status()) == (3, 90)
    assert do(joined.sizes()) == {1: 29, 2: 36, 3: 25}
    assert do(joined.uniqueIds()) == {1: "id11", 2: "id12", 3: "id13"}
    pieces = []
    do(joined.retrieve(1, pieces.append))
    assert b"".join(pieces) == inbox.messages[11]
    assert do(joined.top(2, 1)) == b"Subject: two\r\n\r\nsecond\r\n"
    with pytest.raises(errors.Refusal, match="no such message"):
        do(joined.top(9, 1))
    do(joined.delete(1))
    do(joined.reset())
    do(joined.delete(2))
    do(joined.noop())
    do(joined.quit())
    assert sorted(inbox.messages) == [11, 13]


@pytest.mark.parametrize("mechanism", [PlainClient("jsmith", "mailfw"), LoginClient("jsmith", "mailfw")])
def test_authenticatingWithOurServer(joined, mechanism):
    deferred = start(joined.authenticate(mechanism))
    joined.carry()
    result(deferred)


def test_scramWithOurServer(world, joinTo):
    world.context.logins = Logins(world.users, Verifiers())
    joined = joinTo()
    deferred = start(joined.logInBest("jsmith", "mailfw", mayUsePlaintext=False))
    joined.carry()
    result(deferred)
    deferred = start(joined.status())
    joined.carry()
    assert result(deferred) == (3, 90)


class Verifiers:
    """Verifiers of `mailfw` for everybody."""

    def mechanisms(self):
        return ("SCRAM-SHA-256",)

    async def verifier(self, user, mechanism):
        return Verifier.fromPassword(mechanism, "mailfw", iterations=4096)

    async def identify(self, user):
        return Identity(f"{user}@localhost")


def test_commandsArePipelined(pop3):
    waiting = gatherResults([start(pop3.status()), start(pop3.top(1, 0)), start(pop3.noop())])
    assert pop3.transport.written() == b"STAT\r\nTOP 1 0\r\nNOOP\r\n"
    pop3.dataReceived(b"+OK 1 9\r\n+OK\r\nA: 1\r\n..\r\n.\r\n+OK\r\n")
    assert result(waiting) == [(1, 9), b"A: 1\r\n.\r\n", None]


@given(st.lists(st.integers(1, 60)))
def test_responsesAreTheSameInPieces(at):
    wire = b"+OK ready\r\n+OK 2 octets\r\n..\r\n.\r\n-ERR [IN-USE] no\r\n+OK\r\n"
    clock, pieces = Clock(), []
    pop3 = POP3Client(clock)
    pop3.makeConnection(Wire())
    answers = [start(pop3.retrieve(1, pieces.append)), start(pop3.noop()), start(pop3.noop())]
    edges = [0, *sorted(at), len(wire)]
    for low, high in itertools.pairwise(edges):
        pop3.dataReceived(wire[low:high])
    assert result(answers[0]) is None and b"".join(pieces) == b".\r\n"
    with pytest.raises(errors.InUse):
        result(answers[1])
    assert result(answers[2]) is None
    assert not clock.getDelayedCalls()


def test_aLongInitialResponseWaitsForItsChallenge(pop3):
    waiting = start(pop3.authenticate(PlainClient("jsmith", "x" * 300)))
    assert pop3.transport.written() == b"AUTH PLAIN\r\n"
    pop3.dataReceived(b"+ \r\n")
    assert len(pop3.transport.written()) > 300
    pop3.dataReceived(b"+OK\r\n")
    result(waiting)


@pytest.mark.parametrize("inject", [b"+OK 1 1\r\n", b"+OK"])
def test_anAnswerInjectedBeforeTLSEndsTheConnection(pop3, inject):
    async def secureAndAsk():
        await pop3.startTLS(None)
        return await pop3.status()

    waiting = start(secureAndAsk())
    pop3.dataReceived(b"+OK begin\r\n" + inject)
    with pytest.raises(ConnectionError):
        result(waiting)
    assert not pop3.transport.isTLS
    assert pop3.transport.disconnecting


def test_noCommandCarriesASecondOne(pop3):
    for name in ("a\r\nDELE 1", "a\nDELE 1", "a\0"):
        with pytest.raises(ValueError):
            result(start(pop3.logIn(name, "x")))
    assert pop3.transport.written() == b""


@pytest.mark.parametrize(
    "said",
    [b"220 mail ESMTP\r\n", b"+ Zm9v\r\n", b"x" * (room.LINE_LIMIT + 1), b"+OK\r\n+OK\r\n"],
    ids=["smtp", "challenge", "endless line", "unasked"],
)
def test_aServerThatMakesNoSense(pop3, said):
    waiting = start(pop3.status())
    pop3.dataReceived(said)
    with pytest.raises((ConnectionError, ValueError)):
        result(waiting)
        result(start(pop3.noop()))


def test_anEndlessListing(pop3, monkeypatch):
    monkeypatch.setattr(room, "LISTING_LIMIT", 1000)
    waiting = start(pop3.sizes())
    pop3.dataReceived(b"+OK\r\n" + b"1 1\r\n" * 1000)
    with pytest.raises(ConnectionError):
        result(waiting)


def test_aSilentServer(pop3, clock):
    waiting = start(pop3.status())
    clock.advance(119)
    pop3.dataReceived(b"+OK 1")
    clock.advance(119)
    assert not pop3.transport.disconnecting
    clock.advance(2)
    with pytest.raises(ConnectionError, match="silent"):
        result(waiting)


def test_aConnectionLostInTheMiddleOfAMessage(pop3):
    waiting = start(pop3.retrieve(1, lambda piece: None))
    pop3.dataReceived(b"+OK\r\nA: 1\r\n")
    pop3.connectionLost()
    with pytest.raises(ConnectionError):
        result(waiting)
    with pytest.raises(ConnectionError):
        result(start(pop3.noop()))


def test_aServerThatSkipsTheProof(pop3):
    """LOGIN is done when both were asked for; a server that claims success before may be anybody."""
    waiting = start(pop3.authenticate(LoginClient("jsmith", "mailfw")))
    pop3.dataReceived(b"+OK welcome\r\n")
    with pytest.raises(ConnectionError):
        result(waiting)
