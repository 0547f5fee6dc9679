"""A full store in two screens: `ledger:PREFIX:REST` keeps mail in any other full store, and a ledger of what was done to it.

PYTHONPATH=etc/examples twistd -n mailfw --store ledger:sqlite:mail

All three interfaces are here, with every method that a store has. What writes goes through two doors, `deliver` and `apply`: each
notes what it is about to do before it does it, on disk, so that nothing happens to mail that the ledger does not know of.
"""

import json
import os

from twisted.internet.threads import deferToThread
from zope.interface import implementer

from mailfw.errors import Unavailable
from mailfw.interfaces import IAccount, IMailbox, IMailStore, IMailStorePlugin
from mailfw.storage.sqlite import sqlite
from mailfw.values import Fate, Outcome

INNER = {"sqlite": sqlite}


class Ledger:
    """Lines of JSON in a file, each on disk when `note` is done."""

    def __init__(self, path, context):
        self.path = path
        self.context = context
        self.isClosed = False

    async def note(self, account, doing):
        """:raises Unavailable: the store is closed, or the disk is full: what cannot be noted is not done."""
        line = json.dumps({"at": self.context.now(), "account": account, "doing": doing}).encode() + b"\n"
        if self.isClosed:
            raise Unavailable
        try:
            if self.context.isInline:
                self.write(line)
            else:
                await deferToThread(self.write, line)
        except OSError:
            raise Unavailable from None

    def write(self, line):
        """One write appends the whole line, whichever thread is first."""
        with open(self.path, "ab", buffering=0) as file:
            if file.write(line) != len(line):
                raise OSError("the disk is full")
            os.fsync(file.fileno())


@implementer(IMailStore)
class LedgerStore:
    def __init__(self, inner, ledger):
        self.inner = inner
        self.ledger = ledger

    async def openAccount(self, identity, owner):
        return LedgerAccount(await self.inner.openAccount(identity, owner), identity, self.ledger)

    async def sharedWith(self, identity):
        return await self.inner.sharedWith(identity)

    async def deliver(self, message, targets):
        """Never raises for a target: each has an outcome."""
        try:
            for target in targets:
                await self.ledger.note(target.account, ["Deliver"])
        except Unavailable as error:
            return [Outcome(Fate.DEFERRED, error)] * len(targets)
        return await self.inner.deliver(message, targets)

    async def removeAccount(self, account):
        await self.ledger.note(account, ["Remove"])
        return await self.inner.removeAccount(account)

    async def mustHaveRoom(self, account, octets):
        await self.inner.mustHaveRoom(account, octets)

    async def close(self):
        await self.inner.close()
        self.ledger.isClosed = True


@implementer(IAccount)
class LedgerAccount:
    """An account as one identity sees it. What is noted is who wanted what, not whether it was granted."""

    def __init__(self, inner, identity, ledger):
        self.inner = inner
        self.owner = inner.owner
        self.identity = identity
        self.ledger = ledger

    async def mailboxes(self):
        return await self.inner.mailboxes()

    async def open(self, name):
        return LedgerMailbox(await self.inner.open(name))

    async def apply(self, operations):
        """All of it or nothing: so one line."""
        await self.ledger.note(self.owner, [type(operation).__name__ for operation in operations])
        return await self.inner.apply(operations)

    async def usage(self):
        return await self.inner.usage()

    async def rights(self, mailbox):
        return await self.inner.rights(mailbox)

    async def myRights(self, mailbox):
        return await self.inner.myRights(mailbox)

    async def metadata(self, mailbox, names, depth=0):
        return await self.inner.metadata(mailbox, names, depth)

    async def metadataSince(self, modSeq):
        return await self.inner.metadataSince(modSeq)

    async def changedSince(self, modSeq):
        return await self.inner.changedSince(modSeq)

    def watch(self, bell):
        return self.inner.watch(bell)


@implementer(IMailbox)
class LedgerMailbox:
    """Reading is not noted. A store that wants to know of it does so in `rows` and `read`."""

    def __init__(self, inner):
        self.inner = inner
        self.info = inner.info

    async def status(self):
        return await self.inner.status()

    async def snapshot(self, claimRecent=False):
        return await self.inner.snapshot(claimRecent)

    def rows(self, uids, columns, render):
        return self.inner.rows(uids, columns, render)  # a plain def: it returns an async iterator

    async def read(self, uid, start=0, length=-1):
        return await self.inner.read(uid, start, length)

    async def changesSince(self, modSeq):
        return await self.inner.changesSince(modSeq)

    async def candidates(self, criterion):
        return await self.inner.candidates(criterion)


@implementer(IMailStorePlugin)
class LedgerPlugin:
    """Another store, with a ledger of what was done to it."""

    prefix = "ledger"

    def openStore(self, argument, context):
        prefix, _, rest = argument.partition(":")
        if prefix not in INNER:
            raise ValueError(f"ledger: needs a store to stand before, as in ledger:sqlite:mail, not {prefix!r}")
        return LedgerStore(INNER[prefix].openStore(rest, context), Ledger(os.path.join(context.data, "ledger"), context))


ledger = LedgerPlugin()
