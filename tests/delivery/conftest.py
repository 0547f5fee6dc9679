"""A queue on a fake clock, where everything happens at once."""

import pytest
from twisted.internet.task import Clock

from mailfw.delivery.queue import Queue, Submission
from mailfw.testing.fakes import START
from mailfw.testing.now import result
from mailfw.values import Address, Envelope, MessageSource, Recipient

CONTENT = b"Subject: x\r\n\r\nhello\r\n"


class Desk:
    """A queue file, with time in hand."""

    def __init__(self, path):
        self.path = str(path)
        self.clock = Clock()
        self.queue = self.open()

    def now(self):
        return START + self.clock.seconds()

    def open(self):
        return Queue.open(self.path, reactor=self.clock, now=self.now, isInline=True)

    def reopen(self):
        """As after a crash: nobody said goodbye."""
        result(self.queue.close())
        self.queue = self.open()

    def put(self, *recipients, sender="sender@example.org", content=CONTENT, due=None, **envelope):
        """Queue a message; its id."""
        source = content if isinstance(content, MessageSource) else MessageSource(content)
        addresses = tuple(Recipient(Address.parse(r)) if isinstance(r, str) else r for r in recipients or ("a@example.com",))
        sent = Envelope(Address.parse(sender) if sender else None, addresses, **envelope)
        return result(self.queue.enqueue([Submission(sent, due=due)], source))[0]

    def lease(self, owner="w", seconds=600.0, **keywords):
        return result(self.queue.lease(owner, self.now() + seconds, **keywords))

    def do(self, verb, *arguments, **keywords):
        return result(getattr(self.queue, verb)(*arguments, **keywords))


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path / "queue.sqlite")
    yield desk
    result(desk.queue.close())
