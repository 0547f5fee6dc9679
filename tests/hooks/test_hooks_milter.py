"""Milters: a small one of our own on a real socket, which notes what it is told and answers what a test wants."""

import struct

import pytest
import pytest_twisted
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from mailfw.hooks.failure import Unanswered
from mailfw.hooks.milter.connection import milter
from mailfw.hooks.milter.grammar import MilterError, PacketParser, negotiated
from mailfw.hooks.runner import FAILURE, Attached, Hooks
from mailfw.stages import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Continue,
    DeleteHeader,
    Discard,
    Disconnect,
    Event,
    Quarantine,
    Reject,
    RemoveRecipient,
    ReplaceBody,
    Stage,
    TempFail,
)
from mailfw.values import Address, MessageSource, Recipient

PATIENCE = 20.0
ALL = 0x1FFFFF & ~0x800  # every step is known to us but SMFIP_RCPT_REJ


def frame(code, data=b""):
    return struct.pack("!I", len(data) + 1) + code + data


@define(eq=False)
class Milter(Factory):
    """Answers `answers[command]`, a list of frames, or Continue; `steps` is what it negotiates."""

    steps: int = 0
    answers: dict = field(factory=dict)
    told: list = field(factory=list)
    connections: list = field(factory=list)
    version: int = 6

    def buildProtocol(self, addr):
        self.connections.append(Conversation(self))
        return self.connections[-1]


class Conversation(Protocol):
    def __init__(self, milter):
        self.milter, self.data = milter, b""

    def dataReceived(self, data):
        self.data += data
        while len(self.data) >= 4 and len(self.data) >= 4 + struct.unpack("!I", self.data[:4])[0]:
            (length,) = struct.unpack("!I", self.data[:4])
            command, rest = self.data[4:5], self.data[5 : 4 + length]
            self.data = self.data[4 + length :]
            self.answer(command, rest)

    def answer(self, command, rest):
        self.milter.told.append((command.decode(), rest))
        if command == b"O":
            offered = struct.unpack("!III", rest)
            assert offered[0] == 6 and offered[1] == 0x1FF and offered[2] == ALL
            self.transport.write(frame(b"O", struct.pack("!III", self.milter.version, offered[1], self.milter.steps & ALL)))
        elif command not in (b"D", b"A", b"Q"):
            for each in self.milter.answers.get(command.decode(), [frame(b"c")]):
                self.transport.write(each)


@define
class Context:
    data: str
    spool: str
    reactor: object = reactor


@pytest.fixture
def make(tmp_path, call):
    """A caller of a milter with those answers."""
    ports = []

    async def make(**options):
        server = Milter(**options)
        path = str(tmp_path / f"milter{len(ports)}")
        ports.append(await UNIXServerEndpoint(reactor, path).listen(server))
        caller = call(milter.openHook(f"unix:{path}", Context(str(tmp_path), str(tmp_path))))
        caller.server = server
        return caller

    yield make
    for port in ports:
        pytest_twisted.blockon(port.stopListening())


async def until(isSo, what):
    """Let the reactor turn until something is so."""
    end = reactor.seconds() + PATIENCE
    while not isSo():
        assert reactor.seconds() < end, what
        await deferLater(reactor, 0.001)


async def end(caller):
    """The client goes, and the milter notices."""
    await caller.leave()
    connections = caller.server.connections
    await until(lambda: not any(each.transport.connected for each in connections), "a connection to the milter is still open")


def commands(caller):
    return "".join(command for command, _ in caller.server.told)


@pytest_twisted.ensureDeferred
async def test_what_a_milter_is_told(make):
    caller = await make()
    assert await caller.hello() is None
    assert await caller.message("jsmith@localhost", "mbrain@localhost") == Continue()
    await end(caller)
    assert commands(caller) == "ODCHDMDRDRDTLLDNBDEQ"
    told = dict(caller.server.told)
    assert told["C"] == b"[192.0.2.7]\x004" + struct.pack("!H", 40000) + b"192.0.2.7\0"
    assert told["H"] == b"client.example\0"
    assert told["M"] == b"<a@example.org>\0" and told["R"] == b"<mbrain@localhost>\0"
    assert [data for command, data in caller.server.told if command == "L"] == [
        b"From\0a@example.org\0", b"Subject\0x\n folded\0",
    ]  # fmt: skip
    assert told["B"] == b"body\r\n"
    macros = [data for command, data in caller.server.told if command == "D"]
    assert macros[0].startswith(b"Cj\0mail.localhost\0") and b"M" + b"i\0smtp-1\0{mail_addr}\0a@example.org\0" in macros


@pytest_twisted.ensureDeferred
async def test_edits(make):
    edits = [
        frame(b"h", b"X-Last\0 end\0"),
        frame(b"i", struct.pack("!I", 1) + b"X-First\0top\0"),
        frame(b"m", struct.pack("!I", 1) + b"Subject\0other\0"),
        frame(b"m", struct.pack("!I", 2) + b"From\0\0"),
        frame(b"+", b"<mbrain@localhost>\0"),
        frame(b"2", b"<b@localhost>\0NOTIFY=NEVER\0"),
        frame(b"-", b"<jsmith@localhost>\0"),
        frame(b"e", b"<>\0"),
        frame(b"p"),
        frame(b"b", b"new\r"),
        frame(b"b", b"\nbody\r\n"),
        frame(b"c"),
    ]
    caller = await make(answers={"E": edits})
    said = await caller.message()
    *others, body = said.edits
    assert others == [
        AddHeader("X-Last", " end"),
        AddHeader("X-First", "top", 0),
        ChangeHeader("Subject", "other", 1),
        DeleteHeader("From", 2),
        AddRecipient(Recipient(Address("mbrain", "localhost"))),
        AddRecipient(Recipient(Address("b", "localhost"))),
        RemoveRecipient(Address("jsmith", "localhost")),
        ChangeSender(None),
    ]
    assert isinstance(body, ReplaceBody) and body.body.read() == b"new\r\nbody\r\n"
    caller.server.answers["E"] = [frame(b"q", b"looks bad\0"), frame(b"h", b"A\0b\0"), frame(b"c")]
    assert await caller.message() == Quarantine("looks bad", (AddHeader("A", "b"),))
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_a_large_body_comes_and_goes_in_pieces(make, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"A: b\r\n\r\n" + b"z" * 200_000)
    replaced = [frame(b"b", b"y" * 65535)] * 5
    caller = await make(answers={"E": [*replaced, frame(b"c")]})
    said = await caller.message(content=MessageSource(path=str(file), length=200_008))
    assert [len(data) for command, data in caller.server.told if command == "B"] == [65535, 65535, 65535, 3395]
    (body,) = said.edits
    assert body.body.path and body.body.size == 5 * 65535
    await end(caller)
    assert not list(tmp_path.glob("spool-*"))


REFUSALS = {
    b"r": Reject(550, "5.7.1", "refused by policy"),
    b"t": TempFail(451, "4.7.1", "not now, try again later"),
    b"d": Discard(),
    b"y554 5.6.9 not\n this\0": Reject,
    b"y451-4.2.0 a\r\n451 4.2.0 b\0": TempFail(451, "4.2.0", "a\nb"),
    b"y550 50%% off\0": Reject(550, "5.7.1", "50% off"),
    b"y421 4.0.0 bye\0": Disconnect(421, "4.0.0", "bye"),
}


@pytest.mark.parametrize("stage", "MRTLNBE")
@pytest.mark.parametrize("answer", list(REFUSALS)[:3] + list(REFUSALS)[4:], ids=lambda answer: answer.decode()[:4])
@pytest_twisted.ensureDeferred
async def test_refusals(make, stage, answer):
    caller = await make(answers={stage: [frame(answer[:1], answer[1:])]})
    assert await caller.message() == REFUSALS[answer]
    caller.server.answers.clear()
    assert await caller.message() == Continue()
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_accepted_is_left_in_peace(make):
    caller = await make(answers={"M": [frame(b"a")]})
    assert await caller.message() is None
    assert commands(caller) == "ODCDM"
    caller.server.answers = {"H": [frame(b"a")]}
    caller.server.told.clear()
    assert await caller.hello() is None
    assert await caller.message() is None
    assert sorted(commands(caller)) == sorted("Q" + "ODCH")  # another client is another connection
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_who_does_not_want_to_hear_does_not_and_who_will_not_answer_is_not_waited_for(make):
    caller = await make(steps=0x1 | 0x2 | 0x10 | 0x20 | 0x40 | 0x200)
    assert await caller.message() == Continue()
    assert commands(caller).replace("D", "") == "OMRE"
    await end(caller)
    silent = await make(steps=0x7F080, answers={command: [] for command in "CHMRTLN"})
    assert await silent.hello() is None
    assert await silent.message() == Continue()
    assert commands(silent).replace("D", "") == "OCHMRTLLNBE"
    await end(silent)


@pytest_twisted.ensureDeferred
async def test_leading_space_and_skip(make):
    caller = await make(steps=0x100000 | 0x400, answers={"B": [frame(b"s")]})
    assert await caller.message(content=b"A:  b\r\nC:d\r\n\r\n" + b"x" * 150_000) == Continue()
    assert [data for command, data in caller.server.told if command == "L"] == [b"A\0  b\0", b"C\0d\0"]
    assert commands(caller).count("B") == 1
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_messages_that_are_given_up(make):
    caller = await make(answers={"R": [frame(b"r")]})
    assert await caller.message() == Reject(550, "5.7.1", "refused by policy")
    await caller.ask(Stage.RSET)
    await caller.ask(Stage.RSET)
    await caller.message()
    assert commands(caller).count("A") == 1
    await caller.message()
    assert commands(caller).count("A") == 2
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_a_milter_that_goes_is_called_again_and_told_what_it_missed(make):
    caller = await make()
    await caller.hello()
    (opened,) = caller.client.notes.values()
    caller.server.connections[0].transport.loseConnection()
    await until(lambda: not opened.connection.isOpen, "nobody notices that the milter has gone")
    caller.server.told.clear()
    assert await caller.message() == Continue()
    assert commands(caller).replace("D", "") == "OCHMRTLLNBE"
    await end(caller)


@pytest.mark.parametrize("answer", [frame(b"?"), struct.pack("!I", 1 << 30), frame(b"y", b"hello\0"), frame(b"O"), b"\0\0\0\0"])
@pytest_twisted.ensureDeferred
async def test_nonsense_is_a_failure(make, answer):
    caller = await make(answers={"M": [answer]})
    with pytest.raises(MilterError):
        await caller.message()
    await end(caller)


@pytest.mark.parametrize("command", "CHMRTLNB")
@pytest_twisted.ensureDeferred
async def test_an_answer_too_many_is_no_consent_to_what_is_asked_next(make, command):
    caller = await make(answers={command: [frame(b"c") * 2], "E": [frame(b"r")]})
    try:
        await caller.hello()
        said = await caller.message()
    except MilterError:
        pass
    else:
        assert isinstance(said, Reject)
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_silence_ends_with_the_deadline(make):
    caller = await make(answers={"C": []})
    hooks = Hooks({Stage.CONNECT: [Attached("milter", caller.hook, deadline=0.05)]}, reactor)
    assert (await hooks.ask(Event(Stage.CONNECT, caller.client))).result == FAILURE
    await hooks.close()
    await end(caller)


@pytest_twisted.ensureDeferred
async def test_no_milter_is_a_failure(tmp_path, call):
    caller = call(milter.openHook(f"unix:{tmp_path}/nobody", Context(str(tmp_path), str(tmp_path))))
    with pytest.raises(Unanswered, match="nobody listens"):
        await caller.message()


@pytest.mark.parametrize("argument", ["", "unix:", "unix:relative", "localhost", "localhost:0", "localhost:99999", "::1:25"])
def test_where_nothing_can_listen(argument, tmp_path):
    with pytest.raises(ValueError):
        milter.openHook(argument, Context(str(tmp_path), str(tmp_path)))


@given(st.binary(max_size=100), st.integers(1, 10))
def test_any_octets_split_anywhere(data, step):
    def parse(pieces):
        parser, found = PacketParser(), []
        try:
            for piece in pieces:
                found += parser.feed(piece)
        except MilterError as error:
            found.append(str(error))
        return found

    assert parse([data[i : i + step] for i in range(0, len(data), step)])[-1:] == parse([data])[-1:]


@pytest.mark.parametrize("data", [b"", b"\0" * 11, struct.pack("!III", 1, 0, 0), struct.pack("!III", 7, 0, 0)])
def test_what_cannot_be_negotiated(data):
    with pytest.raises(MilterError):
        negotiated(data)
