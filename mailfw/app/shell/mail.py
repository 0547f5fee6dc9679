"""`store`: accounts, mailboxes and messages to look into.

An administrator may look up every mailbox (rights `l` and `a`, RFC 4314 §4), and could give himself the right to read it. The
prompt does not make him: it reads in the owner's name, and logs each mailbox that is opened so. Nothing here changes anything: no
message becomes \\Seen, none stops being \\Recent, no account is made by being asked for.

Numbers and ranges are IMAP's: `[5]` is message number 5, `[2:4]` are three messages, `[-3:]` the last three.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import frozen
from twisted.logger import Logger

from mailfw.app.problem import Problem
from mailfw.app.quantities import sizeText
from mailfw.app.shell.page import Line, Page, Shown, Style, Text, oneLine, table
from mailfw.errors import NoPermission
from mailfw.interfaces import IAccount, IMailbox
from mailfw.message import charset, decoding, mime, structure, words
from mailfw.message.header import firstFields, unfold
from mailfw.message.header import scan as scanHeader
from mailfw.message.preview import withoutMarkup
from mailfw.values import Column, Identity, UIDSet, accountName

if TYPE_CHECKING:
    from mailfw.app.context import System

LISTED = 20
"""Messages that a mailbox shows when it is not said which."""

T = TypeVar("T")

_log = Logger("mailfw.manhole")


class Later(Generic[T]):
    """A value that is waited for: by the prompt, that shows it then, or by `await`."""

    def __init__(self, find: Callable[[], Awaitable[T]]) -> None:
        self._find = find

    def __await__(self) -> Generator[Any, None, T]:
        return self._find().__await__()

    def __repr__(self) -> str:
        return "<a value to be awaited>"


class Store(Shown):
    """The mail store. What it has beside `account` is `interfaces.IMailStore`'s."""

    def __init__(self, system: System, who: str) -> None:
        self._system = system
        self._who = who
        self._told: set[tuple[str, str]] = set()

    def account(self, name: str) -> Account:
        """One account, by its address, or by the part before the @ in the first domain."""
        try:
            return Account(self._system, accountName(name, self._system.configuration.domains[0]), self.tell)
        except ValueError as error:
            raise Problem(str(error)) from None

    def tell(self, account: str, what: str) -> None:
        """Log what is looked into, once."""
        if (account, what) not in self._told:
            self._told.add((account, what))
            _log.info("{who} looks into {what} of {account}", who=self._who, what=what, account=account)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system.store, name)

    def __repr__(self) -> str:
        return f"<store {self._system.configuration.store}>"

    async def page(self) -> Page:
        try:
            users = await self._system.accounts.listUsers()
        except Problem:  # accounts are kept elsewhere, where they cannot be listed
            return Page([repr(self), Line('store.account("ADDRESS") looks into one', Style.ASIDE)])
        rows = [(user.name, "admin" if user.isAdmin else "", "suspended" if user.isSuspended else "") for user in users]
        return Page([repr(self), *table(("ACCOUNT", "", ""), rows, "there are no accounts")])


class Account(Shown):
    """One account: its mailboxes, by name."""

    def __init__(self, system: System, name: str, tell: Callable[[str, str], None]) -> None:
        self._system = system
        self.name = name
        self._tell = tell

    def __getitem__(self, mailbox: str) -> Mailbox:
        return Mailbox(self, mailbox)

    def __repr__(self) -> str:
        return f"<account {oneLine(self.name)}>"

    @property
    def usage(self) -> Later[Page]:
        """What it holds, and may hold."""
        return Later(self._usage)

    async def page(self) -> Page:
        rows = []
        opened = await self.opened("the mailboxes")
        for info in await opened.mailboxes():
            if not info.isSelectable:
                rows.append((info.name, "", "", "", ""))
                continue
            status = await (await opened.open(info.name)).status()
            rows.append((info.name, str(status.messages), str(status.unseen), sizeText(status.size), str(status.uidNext)))
        heads = ("MAILBOX", "MESSAGES#", "UNSEEN#", "SIZE#", "UIDNEXT#")
        return Page([Line(f"account {self.name}", Style.ASIDE), *table(heads, rows, "no mailboxes")])

    async def opened(self, what: str) -> IAccount:
        """The account itself, in its owner's name. :raises Problem: there is none; nothing is made."""
        store = self._system.store
        try:
            await store.openAccount(Identity("", isAdmin=True), self.name)
        except NoPermission:
            if not await self._system.hasAccount(self.name):
                raise Problem(f"there is no account {self.name}") from None
            raise Problem(f"{self.name} has no mail yet") from None
        self._tell(self.name, what)
        return await store.openAccount(Identity(self.name), self.name)

    async def _usage(self) -> Page:
        usage = await (await self.opened("the usage")).usage()
        limits = usage.limits
        rows = (
            ("octets", sizeText(usage.octets), sizeText(limits.octets) if limits.octets is not None else "any"),
            ("messages", usage.messages, limits.messages if limits.messages is not None else "any"),
            ("mailboxes", usage.mailboxes, limits.mailboxes if limits.mailboxes is not None else "any"),
        )
        return Page(table(("", "HOLDS#", "MAY HOLD#"), rows, ""))


@frozen
class Listed:
    """What a list says of one message. :ivar number: IMAP's, as it was when it was listed."""

    number: int
    uid: int
    size: int
    date: float
    flags: frozenset[str]
    sender: str
    subject: str


class Mailbox(Shown):
    """One mailbox: messages by number, by range, or by UID."""

    def __init__(self, account: Account, name: str) -> None:
        self.account = account
        self.name = name

    def __getitem__(self, key: int | slice) -> Message | Messages:
        if isinstance(key, slice):
            if key.step is not None:
                raise Problem("a range has no step here: [2:4] are messages 2, 3 and 4")
            return Messages(self, key.start, key.stop)
        if key == 0:
            raise Problem("messages are numbered from 1, as in IMAP; [-1] is the last")
        return Message(self, number=key)

    def uid(self, uid: int) -> Message:
        """The message that has this UID."""
        return Message(self, uid=uid)

    @property
    def status(self) -> Later[Any]:
        """Its counters (`values.MailboxStatus`)."""

        async def find() -> Any:
            return await (await self.opened()).status()

        return Later(find)

    def __repr__(self) -> str:
        return f"<mailbox {oneLine(self.name)} of {oneLine(self.account.name)}>"

    async def page(self) -> Page:
        opened = await self.opened()
        status = await opened.status()
        count = f"{status.messages} {'message' if status.messages == 1 else 'messages'}"
        head = f"{self.name} of {self.account.name}: {count}, {status.unseen} unseen, {sizeText(status.size)}"
        return Page([Line(head, Style.ASIDE), *listed(await self.rows(opened, -LISTED, None))])

    async def opened(self) -> IMailbox:
        """The mailbox itself. :raises NoSuchMailbox: there is none of that name."""
        return await (await self.account.opened(self.name)).open(self.name)

    async def rows(self, opened: IMailbox, first: int | None, last: int | None) -> list[Listed]:
        """What is to be said of the messages with these numbers, both included; negative ones count from the end."""
        uids = (await opened.snapshot()).uids
        start, end = numbers(first, last, len(uids))
        chosen = list(uids[start - 1 : end])
        asked = (Column.UID, Column.SIZE, Column.INTERNAL_DATE, Column.FLAGS, Column.HEADER)
        found: dict[int, Any] = {}
        async for some in opened.rows(UIDSet.fromUIDs(chosen), asked, _summarised):
            found.update((row[0], row) for row in some)
        places = {uid: number for number, uid in enumerate(chosen, start)}
        return [Listed(places[uid], *found[uid]) for uid in chosen if uid in found]


def numbers(first: int | None, last: int | None, count: int) -> tuple[int, int]:
    """The first and the last number of a range in a mailbox of so many messages; the first is greater where there is none."""
    start = 1 if first is None else first if first >= 0 else count + 1 + first
    end = count if last is None else last if last >= 0 else count + 1 + last
    return max(1, start), min(count, end)


class Messages(Shown):
    """A range of messages, both ends included."""

    def __init__(self, mailbox: Mailbox, first: int | None, last: int | None) -> None:
        self._mailbox = mailbox
        self._first, self._last = first, last

    def __await__(self) -> Generator[Any, None, list[Listed]]:
        return self._rows().__await__()

    async def page(self) -> Page:
        return Page(listed(await self._rows()))

    async def _rows(self) -> list[Listed]:
        return await self._mailbox.rows(await self._mailbox.opened(), self._first, self._last)


def listed(rows: Sequence[Listed]) -> list[Line]:
    """A table of messages."""
    shown = [
        (each.number, each.uid, _moment(each.date), each.sender, each.subject, sizeText(each.size), " ".join(sorted(each.flags)))
        for each in rows
    ]
    return table(("NO#", "UID#", "DATE", "FROM", "SUBJECT", "SIZE#", "FLAGS"), shown, "no messages")


class Message(Shown):
    """One message. `headers`, `text`, `structure`, `raw` and `flags` are waited for."""

    def __init__(self, mailbox: Mailbox, number: int = 0, uid: int = 0) -> None:
        self._mailbox = mailbox
        self._number, self._uid = number, uid

    @property
    def headers(self) -> Later[Text]:
        """The header, decoded: one line a field."""
        return Later(lambda: self._read(_headerText))

    @property
    def text(self) -> Later[Text]:
        """The texts in its body, decoded."""
        return Later(lambda: self._read(_bodyText))

    @property
    def structure(self) -> Later[Text]:
        """The tree of its parts."""
        return Later(lambda: self._read(_tree))

    @property
    def raw(self) -> Later[bytes]:
        """Its octets."""
        return Later(lambda: self._read(bytes))

    @property
    def flags(self) -> Later[frozenset[str]]:
        """Its flags now."""

        async def find() -> frozenset[str]:
            return (await self._row()).flags

        return Later(find)

    async def page(self) -> Page:
        row, text = await self._row(), await self._read(_bodyText)
        flags = " ".join(sorted(row.flags)) or "no flags"
        head = f"message {row.number}, UID {row.uid}, {sizeText(row.size)}, {_moment(row.date)}, {flags}"
        lines = text.split("\n")
        more = [Line(f"… {len(lines) - LISTED} lines more: .text", Style.ASIDE)] if len(lines) > LISTED else []
        fields = [f"From: {row.sender}", f"Subject: {row.subject}", ""]
        return Page([Line(head, Style.ASIDE), *map(Line, fields + lines[:LISTED]), *more])

    def __repr__(self) -> str:
        which = f"with UID {self._uid}" if self._uid else f"{self._number}"
        return f"<message {which} in {self._mailbox!r}>"

    async def _row(self) -> Listed:
        opened = await self._mailbox.opened()
        number = self._number or await self._numberOf(opened)
        rows = await self._mailbox.rows(opened, number, number)
        if not rows:
            raise Problem(f"there is no message {number} in {self._mailbox.name}")
        return rows[0]

    async def _numberOf(self, opened: IMailbox) -> int:
        uids = (await opened.snapshot()).uids.tolist()
        if self._uid not in uids:
            raise Problem(f"there is no message with UID {self._uid} in {self._mailbox.name}")
        return int(uids.index(self._uid)) + 1

    async def _read(self, make: Callable[[bytes], T]) -> T:
        """What a function makes of the octets, in a reader's thread."""
        row = await self._row()
        opened = await self._mailbox.opened()
        content = (Column.CONTENT,)
        async for some in opened.rows(UIDSet.of(row.uid), content, lambda rows: [make(each[0].read()) for each in rows]):
            return some[0]
        raise Problem("the message has just gone")


# --- In reader threads -----------------------------------------------------------------------------------------------


def _summarised(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    found = []
    for uid, size, date, flags, header in rows:
        fields = firstFields(header, 0, len(header))
        sender = _field(fields, b"from")
        name, address = email.utils.parseaddr(sender)
        found.append((uid, size, date, flags, name or address or sender, _field(fields, b"subject")))
    return found


def _field(fields: dict[bytes, bytes], name: bytes) -> str:
    return oneLine(words.decode(unfold(fields.get(name, b""))).strip())


def _headerText(content: bytes) -> Text:
    fields = [(each.name.decode("ascii", "replace"), words.decode(each.value).replace("\t", " ")) for each in scanHeader(content)]
    return Text("\n".join(f"{name}: {oneLine(value)}" for name, value in fields))


def _bodyText(content: bytes) -> Text:
    """Its plain texts; where it has none, what its other texts say."""
    leaves = [part for part in mime.scan(content).walk() if not part.children and part.contentType.isText]
    plain = [part for part in leaves if part.contentType.mediaType == b"text/plain"]
    return Text("\n".join(_decoded(part, content) for part in plain or leaves))


def _decoded(part: mime.Part, content: bytes) -> str:
    octets = content[part.bodyStart : part.end]
    with suppress(decoding.UnknownEncoding):
        octets = decoding.decode(octets, structure.encoding(part))
    text = charset.decode(octets, part.contentType.charset)
    if part.contentType.mediaType == b"text/html":
        text = "\n".join(" ".join(line.split()) for line in withoutMarkup(text).splitlines())
    return text.replace("\r\n", "\n").strip("\n")


def _tree(content: bytes) -> Text:
    lines: list[str] = []

    def describe(part: mime.Part, name: str, depth: int) -> None:
        placed = part.value(b"content-disposition")
        kind = part.contentType.mediaType.decode("ascii", "replace")
        said = [name.ljust(6), "  " * depth + kind, f"{part.octets} octets"]
        if placed is not None:
            said.append(oneLine(words.decode(placed)))
        lines.append("  ".join(said))
        for number, child in enumerate(part.children, 1):
            describe(child, f"{name}.{number}" if name != "all" else str(number), depth + 1)

    describe(mime.scan(content), "all", 0)
    return Text("\n".join(lines))


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
