"""Writes an account's mail into files: mbox, Maildir++, or single messages.

All of it is made beside the target, in a directory that nobody knows, and gets its name when it is whole and on disk. What is
written is read back by `files` with the same octets, flags and dates (mbox: in whole seconds).
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import IO, Any, Protocol

from attrs import define, field

from mailfw.errors import NotSupported, Refusal
from mailfw.interfaces import IAccount
from mailfw.moving.batches import Carried, StoredAccount
from mailfw.moving.carrier import Progress
from mailfw.moving.files import INDEX
from mailfw.moving.folder import InThread
from mailfw.moving.mbox import entry
from mailfw.moving.summary import AccountSummary, MailboxSummary, goneFrom
from mailfw.storage.files import makeDirectories, syncDirectory
from mailfw.storage.maildir.keywords import Keywords
from mailfw.storage.maildir.names import Description, baseName, join, newKey
from mailfw.storage.newlines import bareLFs
from mailfw.storage.paths import INBOX, maildirFolder
from mailfw.values import MailboxInfo, MailboxStatus, MessageSource, UIDSet

_EVERY = UIDSet(((1, 0xFFFFFFFF),))
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f%/\\:*?\"<>|]|^\.|[. ]\Z|\.(?=(?:mbox|mbx|mbxrd|mboxrd|eml|json)\Z)|^c(?=ur\Z)|^n(?=ew\Z)", re.IGNORECASE
)
"""What a name has that would be no name of a file everywhere, or would make a Maildir, a message or our index of a mailbox."""


class Writer(Protocol):
    """Writes one mailbox; blocks."""

    def add(self, messages: Iterable[Carried]) -> None:
        """More messages."""

    def close(self) -> None:
        """There are no more."""


class MboxWriter:
    """mboxrd: a file for each mailbox, `Work/Plans.mbox`."""

    def __init__(self, root: str, info: MailboxInfo, status: MailboxStatus) -> None:
        path = os.path.join(root, *_components(info.name)) + ".mbox"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._file: IO[bytes] = open(path, "xb")  # noqa: SIM115 - `close` closes it

    def add(self, messages: Iterable[Carried]) -> None:
        """More messages."""
        for carried in messages:
            source, date = carried.message.source, carried.message.internalDate
            for piece in entry(source.chunks(), source.chunks(), carried.message.flags, date or 0.0):
                self._file.write(piece)

    def close(self) -> None:
        """There are no more."""
        self._file.close()


class MaildirWriter:
    """Maildir++, as Dovecot has it: with its lists of keywords and UIDs."""

    def __init__(self, root: str, info: MailboxInfo, status: MailboxStatus) -> None:
        folder = maildirFolder(info.name)
        self._path = os.path.join(root, folder) if folder else root
        for name in ("tmp", "new", "cur"):
            makeDirectories(os.path.join(self._path, name))
        if folder:
            with open(os.path.join(self._path, "maildirfolder"), "xb"):
                pass
        self._keywords = Keywords(self._path)
        self._lines = [f"3 V{status.uidValidity} N{status.uidNext} G{secrets.token_hex(16)}\n"]

    def add(self, messages: Iterable[Carried]) -> None:
        """More messages."""
        for carried in messages:
            source, flags, date = carried.message.source, carried.message.flags, carried.message.internalDate or 0.0
            key = newKey(time.time())
            base = baseName(key, Description(source.size, source.size + bareLFs(source.chunks()), date))
            self._keywords.number(flags)
            letters = self._keywords.letters(key, flags)
            path = os.path.join(self._path, f"cur/{join(base, letters)}" if letters else f"new/{base}")
            _write(path, source)
            os.utime(path, (date, date))
            self._lines.append(f"{carried.uid} :{base}\n")

    def close(self) -> None:
        """There are no more."""
        self._keywords.save()
        with open(os.path.join(self._path, "dovecot-uidlist"), "x", encoding="utf-8") as file:
            file.writelines(self._lines)


class SinglesWriter:
    """A directory for each mailbox, a file for each message, and what the files do not say in `INDEX`."""

    def __init__(self, root: str, info: MailboxInfo, status: MailboxStatus) -> None:
        self._path = os.path.join(root, *_components(info.name))
        os.makedirs(self._path, exist_ok=True)
        self._name = info.name
        self._messages: dict[str, dict[str, Any]] = {}

    def add(self, messages: Iterable[Carried]) -> None:
        """More messages."""
        for carried in messages:
            name, message = f"{carried.uid:010}.eml", carried.message
            _write(os.path.join(self._path, name), message.source)
            date = message.internalDate or 0.0
            os.utime(os.path.join(self._path, name), (date, date))
            self._messages[name] = {"flags": sorted(message.flags), "date": date}

    def close(self) -> None:
        """There are no more."""
        with open(os.path.join(self._path, INDEX), "x", encoding="ascii") as file:
            json.dump({"mailbox": self._name, "messages": self._messages}, file, indent=1)


WRITERS: dict[str, Callable[[str, MailboxInfo, MailboxStatus], Writer]] = {
    "mbox": MboxWriter,
    "maildir": MaildirWriter,
    "eml": SinglesWriter,
}


@define
class Exporter:
    """Of one account.

    :param account: opened by its owner, who is an administrator.
    :param kind: of `WRITERS`.
    :param target: where it goes; nothing is there, or an empty directory.
    :param inThread: does what blocks.
    """

    _account: IAccount
    _kind: str
    _target: str
    _progress: Progress
    _inThread: InThread[Any]
    _summary: AccountSummary = field(init=False)

    async def write(self, names: Sequence[str] = ()) -> AccountSummary:
        """These mailboxes; none: all. :raises Stopped: :raises Refusal: :raises OSError: there is nothing then."""
        source = StoredAccount(self._account)
        held = [info for info in await source.mailboxes() if info.isSelectable]
        missing = sorted(set(names) - {info.name for info in held})
        if missing:
            raise Refusal(f"{self._account.owner} has no mailbox {missing[0]}")
        self._summary = AccountSummary(self._account.owner, self._target)
        beside = f"{self._target.rstrip('/')}.mailfw-new"
        await self._inThread(partial(_begin, self._target, beside))
        try:
            for info in held:
                if not names or info.name in names:
                    await self._mailbox(source, info, beside)
            await self._inThread(partial(_finish, beside, self._target))
        except BaseException:
            await self._inThread(partial(shutil.rmtree, beside, ignore_errors=True))
            raise
        return self._summary

    async def _mailbox(self, source: StoredAccount, info: MailboxInfo, root: str) -> None:
        mailbox = await source.open(info)
        self._progress.mailbox = info.name
        one = MailboxSummary(info.name, keepsUIDs=self._kind == "maildir")
        status = await mailbox.status()
        try:
            writer = await self._inThread(partial(WRITERS[self._kind], root, info, status))
        except (NotSupported, Refusal) as refusal:
            self._summary.losses.append(f"{info.name}: {refusal}")
            return
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            self._summary.losses.append(f"{info.name}: no file can be called so: {error.strerror}")
            return
        gone: list[int] = []
        try:
            async for batch in mailbox.batches(_EVERY, wantsDigests=False):
                try:
                    self._progress.check()
                    await self._inThread(partial(writer.add, batch.messages))
                    one.copied += len(batch.messages)
                    one.octets += batch.octets
                    self._progress.messages += len(batch.messages)
                    self._progress.octets += batch.octets
                    gone += batch.gone
                finally:
                    batch.close()
        finally:
            await self._inThread(writer.close)
        self._summary.losses += goneFrom(info.name, gone)
        self._summary.mailboxes.append(one)


def _begin(target: str, beside: str) -> None:
    """:raises OSError: something is there."""
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise FileExistsError(17, "something is there already", target)
    shutil.rmtree(beside, ignore_errors=True)  # of an export that came to a sudden end
    os.mkdir(beside, 0o700)


def _finish(beside: str, target: str) -> None:
    """On disk, and then by its name."""
    os.sync()
    with suppress(FileNotFoundError):
        os.rmdir(target)
    os.rename(beside, target)
    syncDirectory(os.path.dirname(target) or ".")


def _components(name: str) -> list[str]:
    """A mailbox's name as a path: what a file's name cannot have, or would make it another, is %-encoded."""
    return [INBOX] if name == INBOX else [_UNSAFE.sub(lambda match: _percent(match[0]), level) for level in name.split("/")]


def _percent(character: str) -> str:
    return f"%{ord(character):02X}"


def _write(path: str, source: MessageSource) -> None:
    with open(path, "xb") as file:
        for chunk in source.chunks():
            file.write(chunk)
