"""Programs behind HTTP: the JSON that they get and give, and a small one on a real socket."""

import json

import pytest
import pytest_twisted
from attrs import define, evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from mailfw.hooks.http import HTTPError, HTTPOptions, http, meaning, request
from mailfw.interfaces import IOptionsContext
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
from mailfw.values import Address, Envelope, MessageSource, Recipient


def test_what_is_asked(call):
    caller = call(None, account="mbrain@localhost")
    client = evolve(caller.client, hello="client.example", tls="TLSv1.3 AES")
    envelope = Envelope(Address("a", "b"), (Recipient(Address("c", "d")),))
    event = Event(Stage.END_OF_MESSAGE, client, envelope, message=MessageSource(b"Subject: x\r\n y\r\n\r\nbody\xff"))
    said = json.loads(request(event, 1000))
    assert said["context"] == {
        "stage": "data",
        "client": {"ip": "192.0.2.7", "port": 40000, "ptr": None, "helo": "client.example", "activeConnections": 1},
        "server": {"name": "mail.localhost", "port": 0, "ip": None},
        "protocol": {"version": 1},
        "sasl": {"login": "mbrain@localhost", "method": None},
        "tls": {"version": "TLSv1.3", "cipher": "AES"},
    }
    assert said["envelope"] == {"from": {"address": "a@b"}, "to": [{"address": "c@d"}]}
    assert said["message"] == {
        "headers": [["Subject", " x\r\n y\r\n"]], "serverHeaders": [], "contents": "body\ufffd", "size": 23,
    }  # fmt: skip
    assert json.loads(request(event, 5))["message"]["contents"] == ""
    with pytest.raises(HTTPError):
        request(evolve(event, stage=Stage.RSET), 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"action": "accept"}, Continue()),
        ({"action": "discard"}, Discard()),
        ({"action": "quarantine", "modifications": [{"type": "addHeader", "name": "A", "value": "b"}]}, Quarantine),
        ({"action": "reject"}, Reject()),
        (
            {"action": "reject", "response": {"status": 554, "enhancedStatus": "5.6.9", "message": "no"}},
            Reject(554, "5.6.9", "no"),
        ),
        (
            {"action": "reject", "response": {"status": 450, "enhanced_status": "4.2.0"}},
            TempFail(450, "4.2.0", "refused by policy"),
        ),
        ({"action": "reject", "response": {"disconnect": True}}, Disconnect()),
    ],
)
def test_what_is_answered(answer, said):
    found = meaning(json.dumps(answer).encode())
    assert found == said or (isinstance(said, type) and isinstance(found, said) and found.edits == (AddHeader("A", "b"),))


def test_modifications():
    said = [
        {"type": "addHeader", "name": "A", "value": "b"},
        {"type": "insertHeader", "index": 0, "name": "A", "value": "b"},
        {"type": "changeHeader", "index": 2, "name": "A", "value": "b"},
        {"type": "deleteHeader", "index": 1, "name": "A"},
        {"type": "replaceContents", "value": "new"},
        {"type": "changeFrom", "value": "", "parameters": {}},
        {"type": "addRecipient", "value": "a@b", "parameters": {"NOTIFY": None}},
        {"type": "deleteRecipient", "value": "<c@d>"},
    ]
    assert meaning(json.dumps({"action": "accept", "modifications": said}).encode()).edits == (
        AddHeader("A", "b"),
        AddHeader("A", "b", 0),
        ChangeHeader("A", "b", 2),
        DeleteHeader("A", 1),
        ReplaceBody(b"new"),
        ChangeSender(None),
        AddRecipient(Recipient(Address("a", "b"))),
        RemoveRecipient(Address("c", "d")),
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"action": "maybe"}', b'{"action": "accept", "modifications": [{"type": "explode"}]}',
     b'{"action": "accept", "modifications": [{"type": "addRecipient", "value": "nobody"}]}'],
)  # fmt: skip
def test_what_is_no_answer(answer):
    with pytest.raises((ValueError, HTTPError)):
        meaning(answer)


@implementer(IOptionsContext)
@define
class Context:
    options: HTTPOptions
    reactor: object = reactor


class Counted(Site):
    """Says when its one connection is gone."""

    def buildProtocol(self, address):
        self.gone = Deferred()
        channel = super().buildProtocol(address)
        lost = channel.connectionLost
        channel.connectionLost = lambda reason: (lost(reason), self.gone.callback(None))
        return channel


class Program(Resource):
    isLeaf = True

    def __init__(self):
        super().__init__()
        self.asked = []
        self.answer = b'{"action": "accept"}'
        self.status = 200

    def render_POST(self, said):
        self.asked.append((said.getHeader("authorization"), json.loads(said.content.read())))
        said.setResponseCode(self.status)
        return self.answer


@pytest_twisted.ensureDeferred
async def test_on_a_real_socket(call):
    program = Program()
    port = reactor.listenTCP(0, Counted(program), interface="127.0.0.1")
    hook = http.openHook(f"//127.0.0.1:{port.getHost().port}/hook", Context(HTTPOptions(authorization="Bearer x")))
    caller = call(hook)
    assert await caller.recipient() == Continue()
    assert program.asked[0][0] == "Bearer x"
    assert program.asked[0][1]["envelope"]["to"] == [{"address": "jsmith@localhost"}]
    program.answer = b'{"action": "reject"}'
    assert await caller.recipient() == Reject()
    program.status = 500
    with pytest.raises(HTTPError):
        await caller.recipient()
    await Deferred.fromCoroutine(hook.close())
    await port.stopListening()
    await port.factory.gone


@pytest.mark.parametrize("argument", ["", "host/path", "//host/a b", "//hö/"])
def test_what_is_no_url(argument):
    with pytest.raises(ValueError):
        http.openHook(argument, Context(HTTPOptions()))
