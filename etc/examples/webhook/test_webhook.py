# test_webhook.py
import hashlib
import hmac
import json
import sys
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from mailfw.testing.code import Functions


class Application(Resource):
    """Answers with `status`, and keeps what it was told."""

    isLeaf = True
    status = 200

    def __init__(self):
        super().__init__()
        self.told = []

    def render_POST(self, request):
        body = request.content.read()
        signature = "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(request.getHeader("x-signature"), signature)
        self.told.append(json.loads(body))
        request.setResponseCode(self.status)
        return b"{}"


@pytest.fixture
def application():
    return Application()


@pytest.fixture
def functions(application, monkeypatch):
    port = reactor.listenTCP(0, Site(application), interface="127.0.0.1")
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{port.getHost().port}/mail")
    monkeypatch.setenv("WEBHOOK_KEY", "key")
    place, domains = str(Path(__file__).parent), ["example.org", "hooks.example.org"]
    functions = Functions("webhook", path=place, domains=domains, reactor=reactor)
    yield functions
    pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(Deferred.fromCoroutine(functions.close()))


@pytest_twisted.ensureDeferred
async def test_it_tells(application, functions):
    handled = await functions.whenSent("orders@hooks.example.org", subject="One teapot, please", text="Blue.\n")
    assert handled.isDone and not handled.delivered
    (told,) = application.told
    assert (told["recipient"], told["subject"], told["text"]) == ("orders@hooks.example.org", "One teapot, please", "Blue.\n")


@pytest_twisted.ensureDeferred
async def test_what_is_not_taken_is_told_again(application, functions):
    application.status = 503
    handled = await functions.whenSent("orders@hooks.example.org")
    assert handled.deferred.endswith("answered 503")
    application.status = 202
    assert (await functions.whenSent("orders@hooks.example.org")).isDone


@pytest_twisted.ensureDeferred
async def test_nobody_listens(functions):
    sys.modules["webhook"].URL = "http://127.0.0.1:1/"
    assert "refused" in (await functions.whenSent("orders@hooks.example.org")).deferred
