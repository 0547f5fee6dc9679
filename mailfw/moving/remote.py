"""Another server's IMAP account, as one that mail comes from.

The server is somebody else's: what it says is checked, and what does not fit is passed over. It sees no more than a client that
reads: mailboxes are opened by EXAMINE, and no message becomes seen. While a batch is written the next is on its way.
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from twisted.internet.defer import Deferred

from mailfw.errors import LimitExceeded, NotSupported, Refusal, Vanished
from mailfw.imap.client import GarbledAnswer, IMAPClient, Mailbox, select
from mailfw.imap.grammar.answers import ListedMailbox
from mailfw.imap.grammar.fetch import Attribute, BodySection
from mailfw.imap.grammar.fetched import Fetched
from mailfw.imap.grammar.listing import Returned
from mailfw.imap.grammar.mailboxes import StatusItem
from mailfw.message.section import Section
from mailfw.moving.batches import BATCH, BATCH_OCTETS, Batch, Carried
from mailfw.moving.folder import MAX_MESSAGE, Spool, ours
from mailfw.values import MailboxInfo, MailboxStatus, NewMessage, SpecialUse, UIDSet

INBOX = "INBOX"
LARGE = 4 << 20
"""Octets of a message that is fetched alone, piece by piece."""

_MOST = 10_000_000  # messages of a mailbox
_CONTENT = BodySection(Section(), b"BODY[]", isPeek=True)
_VIEWS = (SpecialUse.ALL, SpecialUse.FLAGGED, SpecialUse.IMPORTANT)  # they show what other mailboxes hold


class RemoteAccount:
    """:param client: logged in.
    :param owner: names the account, for people.
    :param there: mailboxes where the mail goes: what is for something comes into what is for the same there.
    :param folders: only these, by their names on the server; none: all but those that only show what others hold.
    :param mailbox: where all of it goes; empty: to each its own.
    :ivar losses: what was not brought, a sentence each.
    """

    def __init__(
        self, client: IMAPClient, owner: str, there: Iterable[MailboxInfo], folders: Sequence[str] = (), mailbox: str = ""
    ) -> None:
        self.owner = owner
        self.losses: list[str] = []
        self._client = client
        self._found: list[MailboxInfo] | None = None
        self._uses = {use: info.name for info in there for use in info.specialUse}
        self._folders = folders
        self._mailbox = mailbox

    async def mailboxes(self) -> list[MailboxInfo]:
        """Those that can be selected, in the order of their names here. `mailboxId` is the name on the server.

        :raises Refusal: a folder that was asked for is not there.
        """
        if self._found is None:
            self._found = await self._look()
        return self._found

    async def _look(self) -> list[MailboxInfo]:
        listed = await self._listed()
        prefix = await self._prefix()
        held = [one for one in listed if not one.has("\\Noselect")]
        found = {one.name: self._info(one, prefix) for one in held}
        missing = [name for name in self._folders if name not in found]
        if missing:
            raise Refusal(f"the server has no mailbox {missing[0]!r}; it has {', '.join(sorted(found))}"[:500])
        views = [one.name for one in held if any(one.has(use.value) for use in _VIEWS)]
        if not self._folders:
            self.losses += [f"{name} shows what other mailboxes hold: --folder {name!r} would bring it" for name in views]
        chosen = self._folders or [name for name in found if name not in views]
        return sorted((found[name] for name in chosen), key=lambda info: (info.name != INBOX, info.name))

    async def size(self, info: MailboxInfo) -> int:
        """How many messages the server claims there are."""
        counters = await self._client.status(info.mailboxId, StatusItem.MESSAGES)
        found = counters.items.get("MESSAGES")
        return found if isinstance(found, int) else 0

    async def _listed(self) -> list[ListedMailbox]:
        returns = []
        if self._client.has("LIST-EXTENDED", "IMAP4REV2"):
            returns = [Returned.SUBSCRIBED] + [Returned.SPECIAL_USE] * self._client.has("SPECIAL-USE", "IMAP4REV2")
        listed, _ = await self._client.listMailboxes("*", returns=returns)
        return listed

    async def _prefix(self) -> str:
        """What stands before every name but INBOX."""
        if not self._client.has("NAMESPACE", "IMAP4REV2"):
            return ""
        personal = (await self._client.namespaces()).personal
        return personal[0][0] if personal else ""

    def _info(self, listed: ListedMailbox, prefix: str) -> MailboxInfo:
        uses = frozenset(use for use in SpecialUse if listed.has(use.value))
        isTold = self._client.has("LIST-EXTENDED", "IMAP4REV2")
        isSubscribed = not isTold or listed.has("\\Subscribed")
        name = self._mailbox or self._name(listed, prefix, uses)
        uses = uses - self._uses.keys() - set(_VIEWS) if not self._mailbox else frozenset()
        return MailboxInfo(name, listed.name, isSubscribed=isSubscribed, specialUse=uses)

    def _name(self, listed: ListedMailbox, prefix: str, uses: frozenset[SpecialUse]) -> str:
        if listed.name.upper() == INBOX:
            return INBOX
        for use in sorted(uses & self._uses.keys(), key=lambda use: use.value):
            return self._uses[use]
        name, delimiter = listed.name.removeprefix(prefix), listed.delimiter
        if delimiter and delimiter != "/":
            name = name.replace("/", "_").replace(delimiter, "/")
        return unicodedata.normalize("NFC", name or listed.name)  # as mailboxes here are called

    async def open(self, info: MailboxInfo) -> RemoteMailbox:
        """:raises NoSuchMailbox: :raises NotSupported: it numbers nothing."""
        mailbox = await select(self._client, info.mailboxId, isReadOnly=True)
        if not mailbox.view.uidValidity:
            raise NotSupported(f"{info.mailboxId}: the server has no UIDVALIDITY for it")
        return RemoteMailbox(info.mailboxId, mailbox, await _sizes(mailbox), self.losses)

    def label(self, info: MailboxInfo) -> str:
        """What tells it from others that go to the same place."""
        return f" {info.mailboxId}"

    async def metadata(self, mailbox: str, names: Sequence[str], depth: int | None) -> dict[str, bytes]:
        """They are not asked for. :raises NotSupported:"""
        raise NotSupported

    async def rights(self, mailbox: str) -> dict[str, str]:
        """They are not asked for. :raises NotSupported:"""
        raise NotSupported


class RemoteMailbox:
    """It is of use until another is opened."""

    def __init__(self, name: str, mailbox: Mailbox, sizes: dict[int, int], losses: list[str]) -> None:
        self._name = name
        self._mailbox = mailbox
        self._sizes = sizes
        self._losses = losses

    async def status(self) -> MailboxStatus:
        """As far as it matters where mail goes: UIDNEXT is above every UID, whatever the server claims."""
        following = max(self._sizes, default=0) + 1
        return MailboxStatus("", self._mailbox.view.uidValidity, following, 0, len(self._sizes), 0, 0, 0, 0)

    async def count(self, uids: UIDSet) -> int:
        """How many messages there are of these."""
        return sum(1 for uid in self._sizes if uid in uids)

    async def batches(self, uids: UIDSet, wantsDigests: bool) -> AsyncIterator[Batch]:
        """Its messages."""
        groups = self._groups(sorted(uid for uid in self._sizes if uid in uids))
        reading = self._begin(next(groups, []))
        try:
            while (batch := await reading) is not None:
                reading = self._begin(next(groups, []))
                if batch.messages:
                    yield batch
        finally:
            reading.addCallbacks(lambda batch: batch.close() if batch is not None else None, lambda failure: None)

    def _groups(self, uids: Sequence[int]) -> Iterator[list[int]]:
        """UIDs that are asked for together."""
        group: list[int] = []
        size = 0
        for uid in uids:
            if group and (len(group) == BATCH or size + self._sizes[uid] > BATCH_OCTETS):
                yield group
                group, size = [], 0
            group.append(uid)
            size += self._sizes[uid]
        if group:
            yield group

    def _begin(self, group: list[int]) -> Deferred[Batch | None]:
        return Deferred.fromCoroutine(self._fetch(group))

    async def _fetch(self, group: list[int]) -> Batch | None:
        if not group:
            return None
        batch = Batch()
        try:
            await self._together(group, batch)
        except BaseException:
            batch.close()
            raise
        batch.messages.sort(key=lambda carried: carried.uid)
        return batch

    async def _together(self, group: list[int], batch: Batch) -> None:
        small = [uid for uid in group if self._sizes[uid] <= LARGE]
        missing = set(group)
        items = (Attribute.UID, Attribute.FLAGS, Attribute.INTERNAL_DATE)
        try:
            async with self._mailbox.fetch(small, *items, _CONTENT) as stream:
                async for fetched in stream:
                    self._take(fetched, missing, batch)
        except GarbledAnswer:
            pass  # of which message it was is seen below
        except Refusal as refusal:
            if refusal.isTemporary:
                raise
        for uid in sorted(missing):
            await self._alone(uid, batch)

    def _take(self, fetched: Fetched, missing: set[int], batch: Batch) -> None:
        uid, octets = fetched.uid, fetched.sections.get(_CONTENT.label)
        if uid is None or uid not in missing or octets is None:
            return  # it was not asked for, or came before
        missing.discard(uid)
        spool = Spool()
        spool.feed(octets)
        self._add(fetched, uid, spool, batch)

    def _add(self, fetched: Fetched, uid: int, spool: Spool, batch: Batch) -> None:
        source, file = spool.finish()
        flags = ours(fetched.flags or ())
        batch.messages.append(Carried(uid, NewMessage(source, flags, fetched.internalDate), spool.digest.finish()))
        batch.octets += source.size
        batch.files += [file] if file is not None else []

    async def _alone(self, uid: int, batch: Batch) -> None:
        """A message that is large, or did not come with the others."""
        spool = Spool()
        try:
            found = [one async for one in self._mailbox.fetch((uid,), Attribute.UID, Attribute.FLAGS, Attribute.INTERNAL_DATE)]
            about = [one for one in found if one.uid == uid]
            if not about:
                raise Vanished
            async for piece in self._mailbox.download(uid):
                spool.feed(piece)
        except Vanished:
            spool.close()  # somebody has removed it meanwhile
        except (GarbledAnswer, Refusal, ValueError) as error:
            spool.close()
            if isinstance(error, Refusal) and error.isTemporary:
                raise
            self._losses.append(f"{self._name}: UID {uid}: {error}")
        except BaseException:
            spool.close()
            raise
        else:
            self._add(about[0], uid, spool, batch)


async def _sizes(mailbox: Mailbox) -> dict[int, int]:
    """What is in a mailbox, by UID. :raises LimitExceeded: it claims more than there can be."""
    sizes: dict[int, int] = {}
    if mailbox.view.exists > _MOST:
        raise LimitExceeded(f"the server claims {mailbox.view.exists} messages in {mailbox.view.name}")
    async with mailbox.fetch(UIDSet(((1, 0xFFFFFFFF),)), Attribute.UID, Attribute.SIZE) as stream:
        async for fetched in stream:
            if fetched.uid is not None and 0 < fetched.uid < 0xFFFFFFFF and len(sizes) <= _MOST:
                sizes[fetched.uid] = min(fetched.size or 0, MAX_MESSAGE)
    return sizes
