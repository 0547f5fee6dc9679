"""A client's session as a hook sees it, stage by stage."""

import pytest
from attrs import evolve

from mailfw.stages import Accept, Client, Continue, Event, Stage
from mailfw.values import Address, Envelope, Identity, MessageSource, Peer, Recipient

CONTENT = b"From: a@example.org\r\nSubject: x\r\n folded\r\n\r\nbody\r\n"


class Caller:
    """Asks a hook at every stage of a message; `stop` at the first refusal."""

    def __init__(self, hook, host="192.0.2.7", account=""):
        self.hook = hook
        identity = Identity(account) if account else None
        self.client = Client("smtp-1", "smtp", Peer(host, 40000), "mail.localhost", identity=identity)

    async def ask(self, stage, **facts):
        return await self.hook(Event(stage, self.client, **facts))

    async def hello(self):
        """CONNECT and EHLO."""
        said = await self.ask(Stage.CONNECT)
        self.client = evolve(self.client, hello="client.example", notes=self.client.notes)
        return said or await self.ask(Stage.EHLO)

    async def message(self, *recipients, sender="a@example.org", content=CONTENT):
        """MAIL to the end of the message: the last answer, with the stage that gave it."""
        envelope = Envelope(Address.parse(sender) if sender else None)
        source = content if isinstance(content, MessageSource) else MessageSource(content)
        said = await self.ask(Stage.MAIL_FROM, envelope=envelope)
        if not isinstance(said, None | Continue | Accept):
            return said
        for recipient in recipients or ("jsmith@localhost",):
            to = Recipient(Address.parse(recipient))
            said = await self.ask(Stage.RCPT_TO, envelope=envelope, recipient=to)
            if isinstance(said, None | Continue | Accept):
                envelope = evolve(envelope, recipients=(*envelope.recipients, to))
        if not envelope.recipients:
            return said
        said = await self.ask(Stage.DATA, envelope=envelope)
        if not isinstance(said, None | Continue | Accept):
            return said
        return await self.ask(Stage.END_OF_MESSAGE, envelope=envelope, message=source)

    async def recipient(self, address="jsmith@localhost", sender="a@example.org"):
        """RCPT alone."""
        envelope = Envelope(Address.parse(sender) if sender else None)
        return await self.ask(Stage.RCPT_TO, envelope=envelope, recipient=Recipient(Address.parse(address)))

    async def leave(self):
        await self.ask(Stage.DISCONNECT)


@pytest.fixture
def call():
    return Caller
