"""A service for mailfw: `specimen` answers questions about the system in lines of text.

twistd -n mailfw --listen specimen=tcp:4000:interface=127.0.0.1
"""

from zope.interface import implementer

from mailfw.interfaces import IMailService
from mailfw.net.connection import Connection, Listener
from mailfw.net.factory import MailFactory


class SpecimenProtocol(Connection):
    """One client. Limits, TLS, backpressure and graceful stop are the connection's; it is given one line at a time."""

    lineLimit = 256

    def greet(self):
        self.setDeadline(60)
        self.write(f"{self.context.hostname} knows: NAME DOMAINS QUIT\r\n".encode())

    async def lineReceived(self, line):
        self.setDeadline(60)
        match line.strip().upper():
            case b"NAME":
                self.write(f"{self.context.hostname}\r\n".encode())
            case b"DOMAINS":
                self.write(" ".join(self.context.domains).encode() + b"\r\n")
            case b"QUIT":
                self.write(b"good bye\r\n")
                self.close()
            case _:
                self.write(b"what?\r\n")

    def lineTooLong(self):
        self.write(b"what?\r\n")

    def timedOut(self):
        self.write(b"good night\r\n")

    def failed(self, failure):
        self.write(b"something is wrong here, sorry\r\n")


@implementer(IMailService)
class SpecimenService:
    """Answers questions about the system."""

    name = "specimen"
    port = 4000
    isTLS = False

    def factory(self, context):
        return MailFactory(SpecimenProtocol, context, Listener(self.name))


plugin = SpecimenService()
