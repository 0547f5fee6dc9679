"""A client in memory, on a fake clock."""

import pytest
from twisted.internet.address import IPv4Address

from mailfw.smtp.reply import ReplyParser
from mailfw.smtp.server import lmtp, smtp, submission, submissions
from mailfw.testing.world import World

SERVICES = {service.name: service for service in (smtp, submission, submissions, lmtp)}
ABROAD = IPv4Address("TCP", "192.0.2.7", 40000)


class Client:
    """Says things to one service; `say` returns the replies."""

    def __init__(self, service="smtp", world=None, peer=None, hello=True, **kept):
        self.world = world or World(**kept)
        self.world.context.spool.prepare()
        self.transport = self.world.connect(SERVICES.get(service, service), peer or IPv4Address("TCP", "127.0.0.1", 40000))
        self.parser = ReplyParser()
        self.connection = self.transport.connection
        self.greeting = self.replies()
        if hello:
            (self.hello,) = self.say("LHLO client.example" if service == "lmtp" else "EHLO client.example")
            assert self.hello.code == 250

    def replies(self):
        return self.parser.feed(self.transport.take())

    def send(self, data):
        self.transport.send(data)
        self.world.advance()
        return self.replies()

    def say(self, *lines):
        """Each line in turn, after the replies to the one before (mistakes are answered late); what was said to all of them."""
        said = []
        for line in lines:
            said += self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n") or self.wait(3)
        return said

    def codes(self, *lines):
        return [reply.code for reply in self.say(*lines)]

    def wait(self, seconds):
        self.world.advance(seconds)
        self.world.advance()
        return self.replies()

    def begin(self, *recipients, sender="<sender@example.org>"):
        """A transaction, up to DATA."""
        for line in (f"MAIL FROM:{sender}", *(f"RCPT TO:<{r}>" for r in recipients or ("jsmith@localhost",))):
            (reply,) = self.say(line)
            assert reply.code == 250, reply

    def deliver(self, content, *recipients):
        """A whole transaction; the last replies."""
        self.begin(*recipients)
        assert self.codes("DATA") == [354]
        return self.send(content + b"\r\n.\r\n")

    @property
    def messages(self):
        return self.world.context.router.messages

    @property
    def isClosed(self):
        return self.transport.isClosed


@pytest.fixture
def connect(tmp_path):
    """Makes clients; none may leave delayed calls or spool files behind."""
    clients = []
    spool = tmp_path / "spool"

    def make(*arguments, **keywords):
        if "world" not in keywords:
            keywords.setdefault("directory", str(spool))
        clients.append(Client(*arguments, **keywords))
        return clients[-1]

    make.abroad = ABROAD
    yield make
    for client in clients:
        client.transport.hangUp()
        assert not client.world.clock.getDelayedCalls()
    assert not clients or list(spool.glob("*")) == []
