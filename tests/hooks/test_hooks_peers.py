"""Programs behind hooks that close, fall silent or do not read, at any octet: what is asked of them ends by its deadline in what
the configuration says of failures, and no connection is left over."""

import json
import struct
from collections import Counter

import pytest
import pytest_twisted
from attrs import define, evolve, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer

from mailfw.hooks.http import HTTPOptions, http
from mailfw.hooks.milter.connection import milter
from mailfw.hooks.policy import policy
from mailfw.hooks.runner import FAILURE, Attached, Hooks
from mailfw.interfaces import IOptionsContext
from mailfw.stages import Client, Continue, Event, Stage
from mailfw.values import Address, Envelope, MessageSource, Peer, Recipient

CONTENT = b"From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"
WHOLE = 1 << 30


@implementer(IOptionsContext)
@define
class Context:
    spool: str
    options: HTTPOptions = field(factory=HTTPOptions)
    reactor: object = reactor


@define(eq=False)
class Program(Factory):
    """Says no more than so many octets, all of its connections together; then it closes or is silent. `isDeaf`: it does not read
    what comes after that."""

    speaks: type
    octets: int
    closes: bool = True
    isDeaf: bool = False
    said: int = 0
    connections: tuple = ()

    def buildProtocol(self, addr):
        self.connections += (self.speaks(self),)
        return self.connections[-1]


class Speaker(Protocol):
    def __init__(self, program):
        self.program, self.data, self.isOpen = program, b"", False

    def connectionMade(self):
        self.isOpen = True
        if self.program.isDeaf and not self.program.octets:
            self.transport.pauseProducing()
        elif self.program.said >= self.program.octets:
            self.fail()

    def connectionLost(self, reason):
        self.isOpen = False

    def dataReceived(self, data):
        self.data += data
        self.heard()

    def say(self, answer):
        program = self.program
        told = answer[: max(0, program.octets - program.said)]
        program.said += len(told)
        self.transport.write(told)
        if program.said >= program.octets:
            self.fail()

    def fail(self):
        if self.program.isDeaf:
            self.transport.pauseProducing()
        elif self.program.closes:
            self.transport.loseConnection()


class MilterSpeaker(Speaker):
    """Wants to hear of everything; answers nothing to a body's chunks, so that all of it is on its way at once."""

    def heard(self):
        while len(self.data) >= 4 and len(self.data) >= 4 + struct.unpack("!I", self.data[:4])[0]:
            (length,) = struct.unpack("!I", self.data[:4])
            command, self.data = self.data[4:5], self.data[4 + length :]
            if command == b"O":
                self.say(struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x80000))
            elif command not in (b"D", b"A", b"Q", b"B"):
                self.say(struct.pack("!Ic", 1, b"c"))


class PolicySpeaker(Speaker):
    def heard(self):
        if self.data.endswith(b"\n\n"):
            self.data = b""
            self.say(b"action=DUNNO\n\n")


class HTTPSpeaker(Speaker):
    def heard(self):
        head, _, body = self.data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), WHOLE)
        if len(body) >= length or (self.program.isDeaf and body):
            self.data = b""
            answer = json.dumps({"action": "accept"}).encode()
            self.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


KINDS = {
    "milter": (milter, MilterSpeaker, "127.0.0.1:{}"),
    "policy": (policy, PolicySpeaker, "127.0.0.1:{}"),
    "http": (http, HTTPSpeaker, "//127.0.0.1:{}/hook"),
}


async def results(kind, program, spool, content=CONTENT, deadline=10.0, isOptional=False):
    """What a hook comes to at the stages of one message, and then that nothing is open any more."""
    plugin, _, argument = KINDS[kind]
    port = reactor.listenTCP(0, program, interface="127.0.0.1")
    number = port.getHost().port
    hook = plugin.openHook(argument.format(number), Context(spool))
    attached = Attached(kind, hook, deadline, isOptional)
    stages = (Stage.CONNECT, Stage.EHLO, Stage.MAIL_FROM, Stage.RCPT_TO, Stage.DATA, Stage.END_OF_MESSAGE, Stage.DISCONNECT)
    if kind != "milter":
        stages = (Stage.RCPT_TO,) if kind == "policy" else (Stage.END_OF_MESSAGE,)
    hooks = Hooks({stage: [attached] for stage in stages}, reactor)
    client = Client("smtp-1", "smtp", Peer("192.0.2.7", 40000), "mail.localhost", hello="client.example")
    people = (Recipient(Address.parse("jsmith@localhost")),)
    envelope = evolve(Envelope(Address.parse("a@example.org")), recipients=people)
    found = []
    for stage in stages:
        isEarly = stage in (Stage.MAIL_FROM, Stage.RCPT_TO)
        sent = None if stage in stages[:2] and kind == "milter" else evolve(envelope, recipients=()) if isEarly else envelope
        recipient = people[0] if stage is Stage.RCPT_TO else None
        message = MessageSource(content) if stage is Stage.END_OF_MESSAGE else None
        decision = await hooks.ask(Event(stage, client, envelope=sent, recipient=recipient, message=message))
        if stage is not Stage.DISCONNECT:
            found.append(decision.result)
    if hasattr(hook, "close"):
        await Deferred.fromCoroutine(hook.close())
    await hooks.close()
    await port.stopListening()
    for _ in range(200):
        if not any(connection.isOpen and not program.isDeaf for connection in program.connections):
            break
        await deferLater(reactor, 0.01)
    assert not any(connection.isOpen for connection in program.connections) or program.isDeaf
    ours = [reader for reader in reactor.getReaders() + reactor.getWriters() if isOurs(reader, number)]
    assert ours == [], "no connection of ours is left over"
    for connection in program.connections:
        connection.transport.abortConnection()
    await deferLater(reactor, 0)
    return found


def isOurs(reader, number):
    """Whether it is our end of a connection to the port of that number."""
    return getattr(reader, "addr", ("", 0))[1] == number and "Client" in type(reader).__name__


@pytest.mark.parametrize("isOptional", [False, True], ids=["tempfail", "accept"])
@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_closed_at_any_octet(kind, isOptional, tmp_path):
    whole = Program(KINDS[kind][1], WHOLE)
    assert set(map(type, await results(kind, whole, str(tmp_path)))) == {Continue}
    failed = Counter()
    for octets in range(whole.said):
        found = await results(kind, Program(KINDS[kind][1], octets), str(tmp_path), isOptional=isOptional)
        if isOptional:
            assert set(map(type, found)) == {Continue}
        else:
            assert set(found) <= {Continue(), FAILURE}
            failed[octets] = found.count(FAILURE)
    assert isOptional or all(failed.values()), "whatever is missing, something fails"


@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_silent_at_any_octet(kind, tmp_path):
    whole = Program(KINDS[kind][1], WHOLE)
    await results(kind, whole, str(tmp_path))
    for octets in range(0, whole.said, 1 if kind == "policy" else 7):
        began = reactor.seconds()
        program = Program(KINDS[kind][1], octets, closes=False)
        found = await results(kind, program, str(tmp_path), deadline=0.02)
        assert FAILURE in found
        assert reactor.seconds() - began < 2


@pytest.mark.parametrize("octets", [0, 17, 57])
@pytest.mark.parametrize("kind", ["milter", "http"])
@pytest_twisted.ensureDeferred
async def test_a_program_that_does_not_read_holds_nothing_open(kind, octets, tmp_path):
    content = CONTENT + b"x" * 70 * 100_000 + b"\r\n"
    program = Program(KINDS[kind][1], octets, isDeaf=True)
    found = await results(kind, program, str(tmp_path), content, deadline=0.3)
    assert found[-1] == FAILURE
