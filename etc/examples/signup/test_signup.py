"""The application's own suite, under pytest-twisted: real HTTP, real SMTP, and no mail that leaves."""

from io import BytesIO
from urllib.parse import urlencode

import pytest
import pytest_twisted
from signup import Application
from twisted.internet import reactor
from twisted.web.client import Agent, FileBodyProducer, readBody
from twisted.web.http_headers import Headers
from twisted.web.server import Site


class Browser:
    def __init__(self, port):
        self.port = port
        self.agent = Agent(reactor)

    async def post(self, path, **form):
        """→ the status, and what it says."""
        headers = Headers({b"content-type": [b"application/x-www-form-urlencoded"]})
        body = FileBodyProducer(BytesIO(urlencode(form).encode()))
        url = f"http://127.0.0.1:{self.port}{path}".encode()
        response = await self.agent.request(b"POST", url, headers, body)
        return response.code, (await readBody(response)).decode()


@pytest.fixture
def application(mailfw):
    return Application(*mailfw.smtp)


@pytest.fixture
def browser(application):
    port = reactor.listenTCP(0, Site(application), interface="127.0.0.1")
    yield Browser(port.getHost().port)
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred
async def test_signs_up(mailfw, application, browser):
    jsmith = mailfw.account("jsmith@example.com")
    assert await browser.post("/signup", address=jsmith.address) == (200, "look into your mail\n")
    message = await jsmith.whenReceived(subject="Welcome to the club")
    assert await browser.post("/confirm", address=jsmith.address, code=message.otp()) == (200, "welcome\n")
    assert application.members == {"jsmith@example.com"}


@pytest_twisted.ensureDeferred
async def test_wrong_code(mailfw, application, browser):
    await browser.post("/signup", address="anybody@example.com")
    assert mailfw.outbox[0].recipients == ("anybody@example.com",)
    assert (await browser.post("/confirm", address="anybody@example.com", code="no"))[0] == 403
    assert application.members == set()


@pytest_twisted.ensureDeferred
async def test_no_such_address(mailfw, browser):
    assert (await browser.post("/signup", address="nobody@localhost"))[0] == 400


@pytest_twisted.ensureDeferred
async def test_mail_server_is_busy(mailfw, browser):
    mailfw.failNext("451 4.3.2 too much to do", stage="mail_from")
    assert (await browser.post("/signup", address="anybody@example.com"))[0] == 503
    assert (await browser.post("/signup", address="anybody@example.com"))[0] == 200
    assert len(mailfw.outbox) == 1
