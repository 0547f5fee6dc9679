"""A service in one screen: finger (RFC 1288) tells whether somebody has mail that nobody has read.

PYTHONPATH=etc/examples twistd -n mailfw --listen finger=localhost:1079 --listen smtp=localhost:1025
"""

from zope.interface import implementer

from mailfw.errors import Refusal
from mailfw.interfaces import IMailService
from mailfw.net.connection import Connection, Listener
from mailfw.net.factory import MailFactory
from mailfw.values import Address, Identity


class Finger(Connection):
    lineLimit = 256

    def greet(self):
        self.setDeadline(30)

    async def lineReceived(self, line):
        self.write(await self.answer(line.decode("utf-8", "replace").strip()) + b"\r\n")
        self.close()

    async def answer(self, name):
        try:
            address = Address.parse(name if "@" in name else f"{name}@{self.context.domains[0]}")
            found = await self.context.directory.resolve(address)
            owner = found.targets[0].account
            account = await self.context.store.openAccount(Identity(owner), owner)
            status = await (await account.open("INBOX")).status()
        except (ValueError, LookupError, Refusal):
            return b"Nobody of that name is here."
        return b"New mail: %d of %d messages unread." % (status.unseen, status.messages) if status.unseen else b"No new mail."

    def failed(self, failure):
        self.write(b"Something is wrong here, sorry.\r\n")
        self.close()


@implementer(IMailService)
class FingerService:
    """Who has mail."""

    name = "finger"
    port = 79
    isTLS = False

    def factory(self, context):
        return MailFactory(Finger, context, Listener(self.name))


finger = FingerService()
