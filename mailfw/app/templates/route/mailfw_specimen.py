"""A route for mailfw: `specimen:DIRECTORY` makes a file of each message.

[[route]]
domain = "faxes.example.org"
via = "specimen:faxes"
"""

import os
import secrets

from twisted.internet.threads import deferToThread
from zope.interface import implementer

from mailfw.interfaces import IDelivery, IRoute, IRoutePlugin
from mailfw.values import Fate, Outcome


@implementer(IDelivery)
class SpecimenDelivery:
    """One message on its way. Queue, retries, reports and `mailfw queue` are the core's."""

    def __init__(self, directory):
        self.directory = directory
        self.recipients = []

    async def recipient(self, recipient):
        self.recipients.append(recipient)  # raising NoSuchRecipient() would refuse this one, and its sender is told

    async def commit(self, message):
        name = await deferToThread(self.write, message)  # an OSError here is logged, and the message is tried again later
        return [Outcome(Fate.DELIVERED, remark=name)] * len(self.recipients)

    def write(self, message):
        """The message in a file that is either there whole, and on disk, or not there."""
        name = f"{secrets.token_hex(8)}.eml"
        path = os.path.join(self.directory, name)
        with open(f"{path}.part", "xb") as file:
            file.writelines(message.chunks())
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{path}.part", path)
        sync(self.directory)
        return name

    def abort(self):
        """Nothing was begun."""


def sync(directory):
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@implementer(IRoute)
class SpecimenRoute:
    def __init__(self, directory):
        self.directory = directory

    def destination(self, domain):
        return f"specimen:{self.directory}"  # deliveries are counted, and rest, by this

    def begin(self, envelope):
        return SpecimenDelivery(self.directory)


@implementer(IRoutePlugin)
class SpecimenPlugin:
    """Messages become files in a directory."""

    prefix = "specimen"

    def openRoute(self, argument, context):
        directory = os.path.join(context.data, argument)
        os.makedirs(directory, exist_ok=True)
        return SpecimenRoute(directory)


plugin = SpecimenPlugin()
