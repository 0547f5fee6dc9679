"""The webhook's own suite, under pytest-twisted: a real program behind HTTP, and mail that comes by SMTP."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.mail.smtp import SMTPClientError, sendmail
from twisted.web.resource import Resource
from twisted.web.server import Site

HERE = str(Path(__file__).parent)
SECRET = "s3cret"


class Program(Resource):
    """Takes what is posted; `answers` come first."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.posted = []
        self.answers = []

    def render_POST(self, request):
        body = request.content.read()
        self.posted.append((request.getHeader("X-Mail-Id"), request.getHeader("X-Mail-Signature"), body))
        if self.answers:
            code, headers = self.answers.pop(0)
            request.setResponseCode(code)
            for name, value in headers.items():
                request.setHeader(name, value)
        return b"said"


@pytest.fixture
def program(mailfw, monkeypatch):
    program = Program()
    port = reactor.listenTCP(0, Site(program), interface="127.0.0.1")
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{port.getHost().port}/mail")
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    mailfw.load("webhook", path=HERE)
    yield program
    pytest_twisted.blockon(port.stopListening())


async def send(mailfw, content=b"Subject: Order\n\nTwo, please.\n", to="hook-orders@example.org"):
    host, port = mailfw.smtp
    await sendmail(host, "shop@example.com", [to], content, port=port)


async def until(condition):
    """Wait, for five seconds at most."""
    for _ in range(500):
        if condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it never came to that")


@pytest_twisted.ensureDeferred
async def test_posts(mailfw, program):
    await send(mailfw)
    await until(lambda: program.posted)
    [(id, signed, body)] = program.posted
    posted = json.loads(body)
    assert (posted["id"], posted["hook"], posted["subject"], posted["text"]) == (id, "orders", "Order", "Two, please.\n")
    seconds, _, found = signed.removeprefix("t=").partition(",v1=")
    assert found == hmac.new(SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    await until(lambda: not mailfw.problems)


@pytest_twisted.ensureDeferred
async def test_tries_again_with_the_same_id(mailfw, program):
    program.answers = [(503, {}), (429, {"Retry-After": "1"})]
    await send(mailfw)
    await until(lambda: len(program.posted) == 3)
    assert len({id for id, _, _ in program.posted}) == 1
    assert list(mailfw.outbox) == []


@pytest_twisted.ensureDeferred
async def test_goes_back_when_it_is_not_wanted(mailfw, program):
    program.answers = [(410, {})]
    await send(mailfw)
    report = await mailfw.outbox.whenReceived(subject="could not be delivered")
    assert "HTTP 410" in report.text and report.recipients == ("shop@example.com",)


@pytest_twisted.ensureDeferred
async def test_nobody_listens(mailfw, monkeypatch):
    monkeypatch.setenv("WEBHOOK_URL", "http://127.0.0.1:1/")
    mailfw.load("webhook", path=HERE)
    await send(mailfw)
    await until(lambda: mailfw.problems)
    assert "ConnectionRefusedError" in mailfw.problems[0]


@pytest_twisted.ensureDeferred
async def test_other_hooks(mailfw, program):
    await send(mailfw, to="hook-nothing@example.org")
    assert "no such hook" in (await mailfw.outbox.whenReceived()).text
    with pytest.raises(SMTPClientError):
        await send(mailfw, to="hook-@example.org")
