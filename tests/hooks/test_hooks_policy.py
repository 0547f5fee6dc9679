"""Policy services: a small one on a real socket."""

import pytest
import pytest_twisted
from attrs import define, evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from mailfw.hooks.policy import PolicyError, meaning, policy, request
from mailfw.stages import (
    Accept,
    AddHeader,
    Continue,
    Discard,
    Disconnect,
    Event,
    Quarantine,
    Reject,
    Stage,
    TempFail,
)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("DUNNO", Continue()),
        ("OK", Accept()),
        ("REJECT", Reject()),
        ("reject go away", Reject(text="go away")),
        ("550 5.1.1 no such", Reject(550, "5.1.1", "no such")),
        ("554 no", Reject(554, "5.7.1", "no")),
        ("450 later", TempFail(450, "4.7.1", "later")),
        ("421 4.3.2 bye", Disconnect(421, "4.3.2", "bye")),
        ("DEFER_IF_PERMIT Greylisted", TempFail(450, "4.7.1", "Greylisted")),
        ("DEFER", TempFail()),
        ("DISCARD", Discard()),
        ("HOLD suspicious", Quarantine("suspicious")),
        ("PREPEND X-A: b: c", AddHeader("X-A", "b: c", 0)),
        ("WARN look", Continue()),
        ("FILTER smtp:x", Continue()),
    ],
)
def test_actions(action, said):
    assert meaning(action) == said


@pytest.mark.parametrize("action", ["", "SURE", "PREPEND nothing", "250 fine"])
def test_what_is_no_action(action):
    with pytest.raises(PolicyError):
        meaning(action)


def test_a_request_is_lines_whatever_the_client_says(call):
    caller = call(None)
    client = evolve(caller.client, hello="x\nrequest=evil", tls="TLSv1.3 TLS_AES_128_GCM_SHA256")
    lines = request(Event(Stage.CONNECT, client)).decode().split("\n")
    assert lines[-2:] == ["", ""] and all("=" in line for line in lines[:-2])
    assert "helo_name=x?request=evil" in lines and "protocol_state=CONNECT" in lines
    assert "encryption_protocol=TLSv1.3" in lines and lines[0] == "request=smtpd_access_policy"
    with pytest.raises(PolicyError):
        request(Event(Stage.RSET, client))


@define(eq=False)
class Service(Factory):
    answers: list
    asked: list
    connections: list

    def buildProtocol(self, addr):
        self.connections.append(Answering(self))
        return self.connections[-1]


class Answering(Protocol):
    def __init__(self, service):
        self.service, self.data = service, b""

    def dataReceived(self, data):
        self.data += data
        if self.data.endswith(b"\n\n"):
            self.service.asked.append(dict(line.split("=", 1) for line in self.data.decode().splitlines() if line))
            self.data = b""
            answer = self.service.answers.pop(0) if self.service.answers else b"action=DUNNO\n\n"
            if answer is None:
                self.transport.loseConnection()
            else:
                self.transport.write(answer)


@define
class Context:
    reactor: object = reactor


@pytest.fixture
def make(call):
    made = []

    def make(*answers):
        service = Service(list(answers), [], [])
        port = reactor.listenTCP(0, service, interface="127.0.0.1")
        caller = call(policy.openHook(f"127.0.0.1:{port.getHost().port}", Context()))
        caller.service = service
        made.append((port, caller.hook, service))
        return caller

    yield make
    for port, hook, service in made:
        pytest_twisted.blockon(port.stopListening())
        pytest_twisted.blockon(Deferred.fromCoroutine(hook.close()))
        while any(connection.transport.connected for connection in service.connections):
            pytest_twisted.blockon(deferLater(reactor, 0.001))


@pytest_twisted.ensureDeferred
async def test_recipients_are_asked_about_and_headers_wait_for_the_message(make):
    caller = make(b"action=PREPEND X-Grey: 5s\n\n", b"action=PREPEND X-Grey: 5s\n\n", b"action=DUNNO\n\n")
    caller.client = evolve(caller.client, hello="client.example", notes=caller.client.notes)
    assert await caller.recipient("a@localhost") is None
    assert await caller.recipient("b@localhost") is None
    said = await caller.ask(Stage.END_OF_MESSAGE)
    assert said == Continue((AddHeader("X-Grey", "5s", 0),))
    assert [asked["recipient"] for asked in caller.service.asked] == ["a@localhost", "b@localhost"]
    assert caller.service.asked[0]["client_address"] == "192.0.2.7" and caller.service.asked[0]["sender"] == "a@example.org"
    assert len(caller.service.connections) == 1
    assert await caller.ask(Stage.END_OF_MESSAGE) == Continue()


@pytest_twisted.ensureDeferred
async def test_headers_of_a_message_that_was_given_up_are_not_the_next_ones(make):
    caller = make(b"action=PREPEND X-Grey: first\n\n", b"action=DUNNO\n\n")
    assert await caller.recipient() is None
    assert await caller.recipient() == Continue()
    assert await caller.ask(Stage.END_OF_MESSAGE) == Continue()


@pytest_twisted.ensureDeferred
async def test_a_service_that_closed_meanwhile_is_called_again(make):
    caller = make(b"action=DUNNO\n\n", None, b"action=REJECT no\n\n")
    assert await caller.recipient() == Continue()
    assert await caller.recipient() == Reject(text="no")
    assert len(caller.service.connections) == 2


@pytest_twisted.ensureDeferred
async def test_two_answers_to_one_question_are_no_answer_to_the_next(make):
    caller = make(b"action=DUNNO\n\naction=OK\n\n", b"action=REJECT no\n\n")
    assert await caller.recipient() == Continue()
    assert await caller.recipient() == Reject(text="no")
    assert len(caller.service.connections) == 2


@pytest.mark.parametrize("answer", [None, b"\n\n", b"hello\n\n", b"action=NONSENSE\n\n", b"x" * 70_000, b"action=OK\n" * 7_000])
@pytest_twisted.ensureDeferred
async def test_nonsense_is_a_failure(make, answer):
    caller = make(answer)
    with pytest.raises(PolicyError):
        await caller.recipient()
