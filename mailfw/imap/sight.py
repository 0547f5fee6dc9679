"""What one client can see: its own mailboxes, and those that others share with it, below `Other Users/OWNER/` (RFC 2342 §5, RFC
4314).

A name is the client's; behind it stands an account and what the mailbox is called there. Accounts of others are opened as the
client's identity, so that the store decides what may be done in them. Who shares nothing is not there.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from mailfw.errors import NoPermission, NoSuchMailbox
from mailfw.interfaces import IAccount, IMailbox, IMailStore
from mailfw.values import Identity, MailboxInfo

OTHERS = "Other Users"
PREFIX = f"{OTHERS}/"
MAX_OTHERS = 1000
"""Accounts of others that one session looks into."""


def isOthers(name: str) -> bool:
    """Whether a name is another's mailbox, or above such."""
    return name == OTHERS or name.startswith(PREFIX)


class Sight:
    """:ivar own: the client's account. :ivar known: others' that were looked into, by owner."""

    def __init__(self, store: IMailStore, identity: Identity, own: IAccount) -> None:
        self.own = own
        self.known: dict[str, IAccount] = {}
        self._store = store
        self._identity = identity

    async def at(self, name: str) -> tuple[IAccount, str]:
        """Whose mailbox a name means, and what it is called there.

        :raises NoSuchMailbox: it could only be another's, who shares nothing or does not exist.
        """
        if not isOthers(name):
            return self.own, name
        owner, _, local = name.removeprefix(PREFIX).partition("/")
        if name == OTHERS or not local:
            raise NoSuchMailbox()
        return await self._other(owner.lower()), local

    async def _other(self, owner: str) -> IAccount:
        found = self.known.get(owner)
        if found is None:
            if owner == self.own.owner or len(self.known) >= MAX_OTHERS:
                raise NoSuchMailbox()
            try:
                found = self.known[owner] = await self._store.openAccount(self._identity, owner)
            except NoPermission:
                raise NoSuchMailbox() from None
        return found

    async def accounts(self) -> dict[str, IAccount]:
        """The client's own account and those of others who share something, by what comes before names in them."""
        found = {"": self.own}
        owners = (await self._store.sharedWith(self._identity))[:MAX_OTHERS]
        self.known = {owner: account for owner, account in self.known.items() if owner in owners}
        for owner in owners:
            try:
                found[f"{PREFIX}{owner}/"] = await self._other(owner)
            except NoSuchMailbox:
                continue
        return found

    def name(self, account: IAccount, local: str) -> str:
        """What the client calls a mailbox."""
        return local if account is self.own else f"{PREFIX}{account.owner}/{local}"

    async def listing(self) -> list[MailboxInfo]:
        """Every name, parents before children: its own first, then others'."""
        infos = await self.own.mailboxes()
        accounts = await self.accounts()
        if len(accounts) == 1:
            return infos
        subscribed = {info.name for info in infos if info.isSubscribed}
        found = {info.name: info for info in infos}
        for prefix, account in accounts.items():
            for info in await account.mailboxes() if prefix else ():
                for above in (OTHERS, prefix[:-1]):
                    found.setdefault(above, MailboxInfo(above, isSelectable=False, isSubscribed=above in subscribed))
                known = self._seen(prefix, info)
                found.pop(known.name, None)
                found[known.name] = evolve(known, isSubscribed=known.name in subscribed)
        return list(found.values())

    def _seen(self, prefix: str, info: MailboxInfo) -> MailboxInfo:
        """Another's mailbox as the client sees it: what it is for concerns its owner alone."""
        return evolve(info, name=f"{prefix}{info.name}", specialUse=frozenset())

    async def open(self, name: str) -> tuple[IMailbox, MailboxInfo]:
        """A mailbox, and what the client knows of it, but whether another's is subscribed to.

        :raises NoSuchMailbox: :raises NoPermission:
        """
        account, local = await self.at(name)
        mailbox = await account.open(local)
        return mailbox, mailbox.info if account is self.own else self._seen(name.removesuffix(local), mailbox.info)

    async def metadataSince(self, known: Mapping[str, int]) -> list[tuple[str, str]]:
        """Names of mailboxes, each with a metadata entry that was set or removed after the MODSEQ that is known of its account;
        the empty name is the server."""
        return [
            (self.name(account, name) if name else "", entry)
            for account in (self.own, *self.known.values())
            if account.owner in known
            for name, entry in await account.metadataSince(known[account.owner])
        ]

    async def changedSince(self, known: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
        """The MODSEQ of each account, by owner, and the names that anything happened to after the one that is known of it; of an
        account that is new, its MODSEQ alone. `OTHERS` is among them when a subscription to another's mailbox changed."""
        modSeqs: dict[str, int] = {}
        names: list[str] = []
        for account in (self.own, *self.known.values()):
            before = known.get(account.owner, (1 << 63) - 1)
            modSeqs[account.owner], changed = await account.changedSince(before)
            isOwn = account is self.own
            names += [OTHERS if isOwn and isOthers(local) else self.name(account, local) for local in changed]
        return modSeqs, names
