"""Which mail lies in files and directories that somebody names: mbox files, Maildirs, single messages.

A directory is walked. Each Maildir in it is a folder, with those of Maildir++ beside it; each mbox file is one; messages in files
`*.eml` of one directory are one. Names of folders come from paths below what was named.

Nothing is changed, no symbolic link is followed, and no file but a regular one is read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any

from attrs import field, frozen

from mailfw.moving.folder import Folder, Found, ours
from mailfw.moving.mbox import Mbox, Variant, isMbox
from mailfw.storage.files import openRegular, readAt
from mailfw.storage.maildir.keywords import Keywords
from mailfw.storage.maildir.names import describe, split
from mailfw.storage.newlines import toCRLF
from mailfw.storage.paths import INBOX, maildirFolderName

INDEX = "mailfw-export.json"
"""Beside exported `*.eml` files: their flags and dates, and what the mailbox is called."""

_DEPTH = 32  # levels of directories
_CHUNK = 1 << 18
_INDEX_OCTETS = 256 << 20
_SPOOLS = ("/var/mail", "/var/spool/mail")
_ENCODED = re.compile(r"%([01][0-9A-F]|7F|2[2AEF5]|3[ACEF]|5C|7C|20|[46]3(?=[uU][rR]\Z)|[46]E(?=[eE][wW]\Z))")
_ENDINGS = re.compile(r"\.(?:mbox|mbx|mbxrd|mboxrd)\Z", re.IGNORECASE)


@frozen
class Files:
    """What somebody named, looked through. :raises OSError: it cannot be read. Everything here blocks.

    :ivar mailbox: where all of it goes; empty: where names say.
    :ivar variant: of mbox files; None: as their contents say.
    :ivar passed: files that are no mail.
    """

    path: str
    mailbox: str = ""
    variant: Variant | None = None
    passed: list[str] = field(factory=list)

    def folders(self) -> list[Folder]:
        """All folders, those with mail or without."""
        path = os.path.realpath(self.path)  # what was named may be a link: its namer has said so
        if not os.path.isdir(path):
            return [self._file(path)]
        return list(self._directory(path, ()))

    def _file(self, path: str) -> Folder:
        beginning = _beginning(path)
        if not isMbox(beginning):
            return self._singles(os.path.dirname(path), [os.path.basename(path)], INBOX)
        name = os.path.basename(path)
        isInbox = os.path.dirname(path) in _SPOOLS or _ENDINGS.sub("", name).lower() in ("mbox", "inbox")
        return self._mbox(path, INBOX if isInbox else _ENDINGS.sub("", name))

    def _directory(self, path: str, levels: tuple[str, ...]) -> Iterator[Folder]:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        names = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        isMaildir = len(names & {"cur", "new", "tmp"}) > 1  # some programs keep no empty directories
        if isMaildir:
            yield from self._maildirs(path, levels, names)
        singles = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                isInside = isMaildir and (entry.name in ("cur", "new", "tmp") or entry.name.startswith("."))
                if not isInside and len(levels) < _DEPTH:
                    yield from self._directory(entry.path, (*levels, entry.name))
            elif not entry.is_file(follow_symlinks=False):
                self.passed.append(entry.path)
            elif entry.name.lower().endswith(".eml"):
                singles.append(entry.name)
            elif not isMaildir and entry.name != INDEX:
                yield from self._perhaps(entry.path, levels, entry.name)
        if singles or INDEX in {entry.name for entry in entries}:
            yield self._singles(path, singles, _named(levels))

    def _perhaps(self, path: str, levels: tuple[str, ...], name: str) -> Iterator[Folder]:
        beginning = _beginning(path)
        if isMbox(beginning) or (not beginning and _ENDINGS.search(name)):
            yield self._mbox(path, _named((*levels, _ENDINGS.sub("", name))))
        elif not name.startswith("."):
            self.passed.append(path)

    # --- mbox

    def _mbox(self, path: str, name: str) -> Folder:
        losses: list[str] = []
        return Folder(self.mailbox or name, partial(self._entries, path), partial(_countEntries, path), losses=losses)

    def _entries(self, path: str) -> Iterator[Found]:
        descriptor = openRegular(path)
        try:
            box = Mbox(descriptor, self.variant)
            box.variant = box.variant or box.tell()
            for entry in box.entries():
                if entry.isMessage:
                    yield Found(box.content(entry), entry.flags, entry.stamp.date, f"{path}: octet {entry.start}")
        finally:
            os.close(descriptor)

    # --- Maildir

    def _maildirs(self, path: str, levels: tuple[str, ...], names: set[str]) -> Iterator[Folder]:
        subscribed = _subscribed(path)
        yield self._maildir(path, _named(levels), True)
        for name in sorted(names):
            folder = maildirFolderName(name)
            if folder is not None and any(os.path.isdir(os.path.join(path, name, part)) for part in ("cur", "new")):
                below = folder if not levels else f"{_named(levels)}/{folder}"
                yield self._maildir(os.path.join(path, name), below, subscribed is None or folder in subscribed)

    def _maildir(self, path: str, name: str, isSubscribed: bool) -> Folder:
        losses: list[str] = []
        read, count = partial(_maildirMessages, path, losses), partial(_countFiles, path)
        return Folder(self.mailbox or name, read, count, isSubscribed, losses)

    # --- Single messages

    def _singles(self, path: str, names: list[str], name: str) -> Folder:
        index = _index(path)
        said = index.get("mailbox")
        losses: list[str] = []
        read = partial(_singleMessages, path, names, index.get("messages"), losses)
        return Folder(self.mailbox or (said if isinstance(said, str) and said else name), read, lambda: len(names), losses=losses)


def _named(levels: tuple[str, ...]) -> str:
    """A folder's name; INBOX for what lies at the top, or is called so. What an export had to encode is decoded."""
    isInbox = not levels or (len(levels) == 1 and levels[0].lower() == "inbox")
    return INBOX if isInbox else "/".join(_ENCODED.sub(lambda match: chr(int(match[1], 16)), level) for level in levels)


def _beginning(path: str) -> bytes:
    descriptor = openRegular(path)
    try:
        return readAt(descriptor, 0, 4096)
    finally:
        os.close(descriptor)


def _countEntries(path: str) -> int:
    """How many entries a file may have."""
    descriptor = openRegular(path)
    try:
        return sum(1 for _ in Mbox(descriptor).entries())
    finally:
        os.close(descriptor)


def _countFiles(path: str) -> int:
    return sum(1 for _ in _maildirFiles(path))


def _maildirFiles(path: str) -> Iterator[tuple[str, str]]:
    """Names in `new` and `cur`, in the order of arrival, each with its directory."""
    found: list[tuple[str, str]] = []
    for directory in ("new", "cur"):
        with suppress(FileNotFoundError):
            found += [(name, directory) for name in os.listdir(os.path.join(path, directory)) if not name.startswith(".")]
    return iter(sorted(found))


def _maildirMessages(path: str, losses: list[str]) -> Iterator[Found]:
    keywords = Keywords(path)
    for name, directory in _maildirFiles(path):
        file = os.path.join(path, directory, name)
        base, letters, _ = split(name)
        described = describe(base)
        try:
            descriptor = openRegular(file)
        except OSError as error:
            losses.append(f"{file} was passed over: {_reason(error)}")
            continue
        try:
            date = os.fstat(descriptor).st_mtime if described.date is None else described.date
            content = _pieces(descriptor)
            octets = content if described.date is not None else toCRLF(content)
            key = base.partition(",")[0]
            yield Found(octets, ours(keywords.flags(key, letters)), date, file)
        finally:
            os.close(descriptor)


def _singleMessages(path: str, names: list[str], index: Any, losses: list[str]) -> Iterator[Found]:
    noted = index if isinstance(index, dict) else {}
    for name in names:
        file = os.path.join(path, name)
        try:
            descriptor = openRegular(file)
        except OSError as error:
            losses.append(f"{file} was passed over: {_reason(error)}")
            continue
        with closing(os.fdopen(descriptor, "rb")):
            note = noted.get(name)
            flags, date = _noted(note if isinstance(note, dict) else {}, os.fstat(descriptor).st_mtime)
            content = _pieces(descriptor)
            yield Found(content if isinstance(note, dict) else toCRLF(content), flags, date, file)


def _noted(note: dict[str, Any], date: float) -> tuple[frozenset[str], float]:
    """What our index says of a message, as far as it makes sense."""
    flags, at = note.get("flags"), note.get("date")
    if isinstance(at, (int, float)) and 0 <= at < 1 << 40:
        date = float(at)
    return ours(flags if isinstance(flags, list) else ()), date


def _pieces(descriptor: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(descriptor, _CHUNK, at):
        at += len(piece)
        yield piece


def _index(path: str) -> dict[str, Any]:
    """What an export of ours noted beside its files; nothing where there is no such thing."""
    try:
        descriptor = openRegular(os.path.join(path, INDEX))
    except OSError:
        return {}
    try:
        if os.fstat(descriptor).st_size > _INDEX_OCTETS:
            return {}
        found = json.loads(b"".join(_pieces(descriptor)))
    except (ValueError, RecursionError):
        return {}
    finally:
        os.close(descriptor)
    return found if isinstance(found, dict) else {}


def _subscribed(path: str) -> set[str] | None:
    """Folders that Dovecot's or Courier's file says are subscribed to; None: there is no file."""
    for name in ("subscriptions", "courierimapsubscribed"):
        try:
            descriptor = openRegular(os.path.join(path, name))
        except OSError:
            continue
        try:
            lines = readAt(descriptor, 0, 1 << 20).decode("utf-8", "replace").splitlines()
        finally:
            os.close(descriptor)
        isNew = lines[:1] == ["V\t2"]
        folders = (maildirFolderName("." + line.removeprefix("INBOX.")) for line in lines if not isNew)
        plain = (line.replace("\t", "/") for line in lines[1:]) if isNew else (line for line in folders if line)
        return {line for line in plain if line}
    return None


def _reason(error: OSError) -> str:
    return "it is a symbolic link" if error.errno == 40 else os.strerror(error.errno) if error.errno else str(error)
