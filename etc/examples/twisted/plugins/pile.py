"""A mail store in one screen: `pile:DIR` keeps one file a message. The engine beside it supplies all that mail protocols ask for.

PYTHONPATH=etc/examples twistd -n mailfw --store pile:mail
"""

import os
import secrets
import time
from pathlib import Path
from urllib.parse import quote, unquote

from zope.interface import implementer

from mailfw.errors import Vanished
from mailfw.interfaces import ISimpleStore, ISimpleStorePlugin
from mailfw.values import Entry


@implementer(ISimpleStore)
class Pile:
    def __init__(self, root, now):
        self.root = Path(root)
        self.now = now

    def path(self, account, folder):
        path = self.root / safe(account) / safe(folder)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def folders(self, account):
        return [unquote(each.name) for each in (self.root / safe(account)).glob("*")]

    def token(self, account, folder):
        return ""  # not known without looking

    def scan(self, account, folder):
        for file in sorted(self.path(account, folder).glob("*.eml")):
            status = file.stat()
            yield Entry(file.name, file.name, internalDate=status.st_mtime, size=status.st_size)

    def read(self, account, folder, entry):
        try:
            return (self.path(account, folder) / entry.key).read_bytes()
        except FileNotFoundError:
            raise Vanished from None

    def newKey(self, account, folder, message):
        return f"{time.time_ns()}-{secrets.token_hex(4)}.eml"

    def append(self, account, folder, messages):
        path, made = self.path(account, folder), []
        try:
            for key, message in messages:
                new = path / f"{key}.new"
                made.append(new)
                with open(new, "wb") as file:
                    file.writelines(message.source.chunks())
                    file.flush()
                    os.fsync(file.fileno())
                date = self.now() if message.internalDate is None else message.internalDate
                os.utime(new, (date, date))
            for new in made:
                new.rename(new.with_suffix(""))
            sync(path)
        except BaseException:
            for new in made:
                new.unlink(missing_ok=True)
                new.with_suffix("").unlink(missing_ok=True)
            raise
        keys = {key for key, _ in messages}
        return [entry for entry in self.scan(account, folder) if entry.key in keys]

    def remove(self, account, folder, entries):
        for entry in entries:
            (self.path(account, folder) / entry.key).unlink(missing_ok=True)
        sync(self.path(account, folder))


def safe(name):
    """A file name that leaves its place by neither / nor .., and is nobody else's."""
    return quote(name, safe="@ ").replace(".", "%2E")


def sync(directory):
    handle = os.open(directory, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


@implementer(ISimpleStorePlugin)
class PilePlugin:
    """One file a message."""

    prefix = "pile"

    def openSimpleStore(self, argument, context):
        return Pile(os.path.join(context.data, argument), context.now)


pile = PilePlugin()
