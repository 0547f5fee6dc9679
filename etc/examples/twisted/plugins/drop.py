"""A route in one screen: `drop:DIRECTORY` puts each message into a file of its own, for a program that looks there now and then.

[[route]]
domain = "faxes.example.org"
via = "drop:faxes"
"""

import os
import secrets

from twisted.internet.threads import deferToThread
from zope.interface import implementer

from mailfw.interfaces import IDelivery, IRoute, IRoutePlugin
from mailfw.values import Fate, Outcome


@implementer(IDelivery)
class Drop:
    """One message on its way, for recipients of one domain."""

    def __init__(self, directory):
        self.directory = directory
        self.recipients = []

    async def recipient(self, recipient):
        self.recipients.append(recipient.address)  # raising NoSuchRecipient() would refuse this one, and its sender is told

    async def commit(self, message):
        name = await deferToThread(self.write, message)  # an OSError here is logged, and the message is tried again later
        return [Outcome(Fate.DELIVERED, remark=name)] * len(self.recipients)

    def write(self, message):
        name = f"{secrets.token_hex(8)}.eml"
        path = os.path.join(self.directory, name)
        with open(f"{path}.part", "xb") as file:
            file.write("".join(f"X-Fax: {address.local}\r\n" for address in self.recipients).encode())
            file.writelines(message.chunks())
            file.flush()
            os.fsync(file.fileno())  # what is said to be delivered is on disk
        os.rename(f"{path}.part", path)
        return name

    def abort(self):
        """Nothing was begun."""


@implementer(IRoute)
class DropRoute:
    def __init__(self, directory):
        self.directory = directory

    def destination(self, domain):
        return f"drop:{self.directory}"  # deliveries are counted, and rest, by this

    def begin(self, envelope):
        return Drop(self.directory)


@implementer(IRoutePlugin)
class DropPlugin:
    """Messages become files in a directory."""

    prefix = "drop"

    def openRoute(self, argument, context):
        directory = os.path.join(context.data, argument)
        if not os.path.isdir(directory):
            raise ValueError(f"there is no directory {directory}")
        return DropRoute(directory)


drop = DropPlugin()
