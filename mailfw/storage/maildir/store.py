"""Mail in Maildir++ directories, beside Dovecot, mutt, mbsync and whoever else.

    ROOT/[DOMAIN/]USER/{cur,new,tmp}            INBOX
    ROOT/[DOMAIN/]USER/.Work.Plans/{cur,new,tmp}   the folder Work/Plans

Invariants:

- A message is in `new` or `cur` only when all of its octets are on disk; it is there for good when its directory is synced too.
- A message keeps its key (see `names`), whoever renames it. Where its file is, is looked up again when a locator has grown stale.
- Nothing but `tmp` is ever cleaned up, and there only what is older than 36 hours, as the Maildir page has it.
- Flags stand in file names, keywords too (see `keywords`): what other programs change there is seen at the next scan.

Messages stay in `new` until they get a flag: so mutt, and a person, see which are new.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import BinaryIO

from attrs import evolve, frozen
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.errors import InvalidName, MailboxExists, NoSuchMailbox, Vanished
from mailfw.interfaces import (
    ISimpleAccounts,
    ISimpleFlags,
    ISimpleFolders,
    ISimplePlaces,
    ISimpleStore,
    ISimpleStream,
    ISimpleUIDs,
    IStoreContext,
)
from mailfw.storage import paths
from mailfw.storage.files import (
    FILE_MODE,
    Remembered,
    dotLock,
    makeDirectories,
    openRegular,
    openRoot,
    readFile,
    spooled,
    syncDirectory,
    writeAll,
)
from mailfw.storage.maildir import uidlist
from mailfw.storage.maildir.keywords import Keywords
from mailfw.storage.maildir.names import Description, baseName, describe, join, newKey, split
from mailfw.storage.newlines import bareLFs, toCRLF
from mailfw.values import Entry, NewMessage

_SUBDIRECTORIES = ("tmp", "new", "cur")
_FOLDER_MARK = "maildirfolder"
_UID_LIST = "dovecot-uidlist"
_REMOVED = "..mailfw-removed"

_SETTLED_AFTER = 2.0  # seconds: a directory's time may stand still during a burst of changes
_LEFT_BEHIND_AFTER = 36 * 3600.0
_PASSES = 8
_LOCK_TIMEOUT = 10.0
_REMEMBERED = 250_000  # messages of which the last scan is remembered, about 300 octets each
_CHUNK = 1 << 18
_NOT_OURS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)

_KEY = re.compile(r"[^.:,][^:,]*")
_LOCATOR = re.compile(r"(?:new|cur)/[^/\0]+")

Mark = tuple[int, int, int]


@frozen
class _Scan:
    """What the last scan of a folder found, by locator."""

    mark: tuple[bytes, bytes]
    entries: dict[str, Entry]


@frozen
class _Spooled:
    """A message that waits in `tmp` for its place."""

    temporary: str
    entry: Entry


@implementer(ISimpleStore, ISimpleAccounts, ISimpleFlags, ISimpleFolders, ISimplePlaces, ISimpleStream, ISimpleUIDs)
class MaildirStore:
    """Maildirs under one root."""

    log = Logger()
    permanentFlags: frozenset[str] | None = None

    def __init__(self, argument: str, context: IStoreContext) -> None:
        """:raises ValueError: the root cannot be used so; the text says why."""
        self._root = openRoot(argument, context, {"format": "maildir"})
        self._firstDomain = context.domains[0]
        self._now = context.now
        self._scans: Remembered[_Scan] = Remembered(_REMEMBERED)

    # --- Folders ---

    def folders(self, account: str) -> Iterable[str]:
        """INBOX, and what Maildirs beginning with a dot are in the account's directory."""
        directory = self._account(account)
        found = {paths.INBOX}
        for name in _list(directory):
            folder = paths.maildirFolderName(name)
            if folder is not None and _hasMail(os.path.join(directory, name)):
                found.add(folder)
        return sorted(found)

    def accounts(self) -> Iterable[str]:
        """Whoever has a Maildir under the root, or in a domain's directory there: that may be somebody's Maildir, too."""
        for name in _list(self._root.path):
            people = _readable(os.path.join(self._root.path, name)) if "." in name or not self._isMaildir(name) else ()
            for path in (name, *(f"{name}/{user}" for user in people)):
                account = paths.maildirAccountName(path, self._firstDomain)
                if self._isMaildir(path) and self._isAccount(account, path):
                    yield account

    def _isAccount(self, account: str, path: str) -> bool:
        try:
            return paths.maildirAccount(account, self._firstDomain) == path
        except InvalidName:
            return False

    def places(self, account: str) -> Sequence[str]:
        """The account's directory."""
        return [self._account(account)]

    def _isMaildir(self, path: str) -> bool:
        return _hasMail(os.path.join(self._root.path, path))

    def createFolder(self, account: str, folder: str) -> None:
        """Make a Maildir; no error when it is there."""
        directory = self._folder(account, folder)
        makeDirectories(directory)
        for name in _SUBDIRECTORIES:
            makeDirectories(os.path.join(directory, name))
        if folder != paths.INBOX:
            os.close(os.open(os.path.join(directory, _FOLDER_MARK), os.O_WRONLY | os.O_CREAT, FILE_MODE))
        syncDirectory(directory)

    def renameFolder(self, account: str, folder: str, newName: str) -> None:
        """Rename a folder's directory. INBOX holds the others and cannot be renamed.

        :raises NoSuchMailbox: :raises MailboxExists: :raises InvalidName:
        """
        if paths.INBOX in (folder, newName):
            raise InvalidName("INBOX cannot be renamed")
        old, new = self._folder(account, folder), self._folder(account, newName)
        if os.path.exists(new):
            raise MailboxExists()
        try:
            os.rename(old, new)
        except FileNotFoundError:
            raise NoSuchMailbox() from None
        syncDirectory(os.path.dirname(new))
        self._scans.forget(old)

    def deleteFolder(self, account: str, folder: str) -> None:
        """Remove a folder with its messages; one that is not there is no error. From its first step on nobody sees it."""
        if folder == paths.INBOX:
            raise InvalidName("INBOX cannot be deleted")
        directory = self._folder(account, folder)
        parent = os.path.dirname(directory)
        for name in _list(parent):
            if name.startswith(_REMOVED):
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
        removed = os.path.join(parent, f"{_REMOVED}-{newKey(self._now())}")
        with suppress(FileNotFoundError):
            os.rename(directory, removed)
            syncDirectory(parent)
            shutil.rmtree(removed, ignore_errors=True)
        self._scans.forget(directory)

    # --- What is there ---

    def token(self, account: str, folder: str) -> str:
        """The times of `new` and `cur`, once they are two seconds old: before, a further change might not show in them."""
        mark = self._mark(self._folder(account, folder))
        if mark is None:
            return "none"
        if self._now() - max(mark[1:]) / 1e9 < _SETTLED_AFTER:
            return ""
        return "{:x}.{:x}.{:x}".format(*mark)

    def scan(self, account: str, folder: str) -> Iterable[Entry]:
        """Every message in the order of the names, which begin with the time of arrival."""
        directory = self._folder(account, folder)
        self._sweep(directory)
        keywords = Keywords(directory)
        locators = self._locators(directory)
        last = self._scans.get(directory)
        known = last.entries if last and last.mark == keywords.mark else {}
        entries: dict[str, Entry] = {}
        for key, locator in locators.items():
            entry = known.get(locator) or self._entry(directory, key, locator, keywords)
            if entry is not None:
                entries[locator] = entry
        self._scans.put(directory, _Scan(keywords.mark, entries), len(entries))
        return list(entries.values())

    def _entry(self, directory: str, key: str, locator: str, keywords: Keywords) -> Entry | None:
        """What a file's name tells of it, and its mtime where that is needed; None: it is no message, or gone again."""
        base, letters, _ = split(locator[4:])
        description = describe(base)
        date = description.date
        if date is None:
            try:
                status = os.stat(os.path.join(directory, locator), follow_symlinks=False)
            except FileNotFoundError:
                return None
            if status.st_mode & 0o170000 != 0o100000:
                return None
            date = status.st_mtime
        return Entry(key, locator, keywords.flags(key, letters), date, description.servedSize)

    def _locators(self, directory: str) -> dict[str, str]:
        """Where each key's file is, in the order of the file names; read again while other programs change the directories.

        A file that is renamed while a directory is being read may be missed, so only a reading counts during which neither
        directory changed; after some tries, whatever was seen in the last two and still exists.
        """
        seen: list[str] = []
        for attempt in range(_PASSES):
            before = self._mark(directory)
            earlier, seen = seen, [f"{sub}/{name}" for sub in ("new", "cur") for name in self._names(directory, sub)]
            if before == self._mark(directory):
                break
            if attempt == _PASSES - 1:
                missed = set(earlier) - set(seen)
                seen += [locator for locator in missed if os.path.lexists(os.path.join(directory, locator))]
        return _byKey(seen)

    def _names(self, directory: str, sub: str) -> list[str]:
        """The names in a part of a Maildir, but for those that are no text: nobody could note them."""
        names = _list(os.path.join(directory, sub))
        if not "".join(names).isascii():
            odd = [name for name in names if not _isText(name)]
            names = [name for name in names if name not in odd]
            for name in odd:
                self.log.warn("{path} is not shown: its name is not UTF-8", path=repr(os.path.join(directory, sub, name)))
        return names

    def _mark(self, directory: str) -> Mark | None:
        """Which directory it is, and when something last came to `new` and `cur`, or went; None: no Maildir is there. One of them
        may be missing: some programs keep no empty directories.
        """
        found = [_statusOf(os.path.join(directory, sub)) for sub in ("new", "cur")]
        new, cur = (0 if status is None else status.st_mtime_ns for status in found)
        return next(((status.st_ino, new, cur) for status in reversed(found) if status is not None), None)

    def uids(self, account: str, folder: str) -> tuple[int, int, dict[str, int]] | None:
        """The UIDs that `dovecot-uidlist` has for the messages that are there."""
        directory = self._folder(account, folder)
        content = readFile(os.path.join(directory, _UID_LIST))
        found = uidlist.parse(content) if content else None
        if found is None:
            return None
        validity, following, uids = found
        listed = {base.partition(",")[0]: uid for base, uid in uids.items()} | dict(uids)
        present = self._locators(directory)
        return validity, following, {key: listed[key] for key in present if key in listed}

    # --- Contents ---

    def read(self, account: str, folder: str, entry: Entry) -> bytes:
        """The whole message. :raises Vanished:"""
        with self.open(account, folder, entry) as file:
            return file.read()

    def open(self, account: str, folder: str, entry: Entry) -> BinaryIO:
        """The message as a file. One of another program's that may hold bare LFs is converted into a temporary file.

        :raises Vanished: also where somebody has changed it in its place, so that it has another size.
        """
        directory = self._folder(account, folder)
        descriptor, locator = self._openFile(directory, entry)
        file: BinaryIO = os.fdopen(descriptor, "rb")
        description = describe(split(locator[4:])[0])
        octets = size = os.fstat(descriptor).st_size
        if description.date is None and not description.size == description.sentSize == octets:
            with file:
                converted = spooled(toCRLF(_chunks(file)))
            file, size = converted, converted.seek(0, os.SEEK_END)
            file.seek(0)
        if entry.size not in (-1, size):
            with file:
                self._correct(directory, locator, octets, size + bareLFs(_chunks(file)))
            if description.size not in (-1, octets):
                self._correctAll(directory)
            raise Vanished()
        return file

    def _correct(self, directory: str, locator: str, size: int, sentSize: int) -> None:
        """Let a file's name tell its sizes: so the next scan finds another message, for what has a UID never changes."""
        base = split(locator[4:])[0]
        key, *fields = base.split(",")
        others = [field for field in fields if field[:2] not in ("S=", "W=")]
        target = locator[:4] + ",".join([key, f"S={size}", f"W={sentSize}", *others]) + locator[4 + len(base) :]
        with suppress(OSError):
            os.rename(os.path.join(directory, locator), os.path.join(directory, target))

    def _correctAll(self, directory: str) -> None:
        """Where one was changed in its place, others mostly were, too: so that they are not found out one by one."""
        for locator in self._locators(directory).values():
            claimed, path = describe(split(locator[4:])[0]).size, os.path.join(directory, locator)
            with suppress(OSError):
                if claimed not in (-1, os.stat(path, follow_symlinks=False).st_size):
                    with os.fdopen(openRegular(path), "rb") as file:
                        size = os.fstat(file.fileno()).st_size
                        self._correct(directory, locator, size, size + bareLFs(_chunks(file)))

    def _openFile(self, directory: str, entry: Entry) -> tuple[int, str]:
        """Open a message's file wherever it is now."""
        for locator in self._places(directory, entry, {}):
            with suppress(FileNotFoundError):
                return openRegular(os.path.join(directory, locator)), locator
        raise Vanished()

    def _places(self, directory: str, entry: Entry, listed: dict[str, str]) -> Iterator[str]:
        """Where a message's file may be: one after another, while the asker finds it not there.

        `listed` keeps one reading of the directory for all messages of a call, made when the first locator proves stale.
        """
        base = split(entry.locator[4:])[0]
        if _LOCATOR.fullmatch(entry.locator) and entry.key in (base, base.partition(",")[0]):
            yield entry.locator
        if listed and entry.key not in listed:
            return
        if listed:
            yield listed[entry.key]
        for _ in range(_PASSES):
            listed.clear()
            listed.update(self._locators(directory))
            if entry.key not in listed:
                return
            yield listed[entry.key]

    # --- Changes ---

    def newKey(self, account: str, folder: str, message: NewMessage) -> str:
        """A new unique name."""
        return newKey(self._now())

    def append(self, account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        """Write every message into `tmp`, then give each its place; when anything fails, none has one.

        :raises NoSuchMailbox: there is no such folder. INBOX is made.
        """
        directory = self._folder(account, folder)
        isThere = self._mark(directory) is not None
        if not isThere and folder != paths.INBOX:
            raise NoSuchMailbox()
        if not all(_isDirectory(os.path.join(directory, sub)) for sub in _SUBDIRECTORIES):
            self.createFolder(account, folder)
        written: list[str] = []
        flags = [message.flags for _, message in messages if message.flags]
        with self._numbered(directory, flags) if flags else nullcontext(Keywords(directory)) as keywords:
            try:
                placed = [self._spool(directory, key, message, keywords, written) for key, message in messages]
                keywords.save()
                for item in placed:
                    target = os.path.join(directory, item.entry.locator)
                    os.rename(item.temporary, target)
                    written.append(target)
                _sync(directory, {item.entry.locator[:3] for item in placed})
            except BaseException:
                for path in written:
                    with suppress(OSError):
                        os.unlink(path)
                raise
        return [item.entry for item in placed]

    def _spool(self, directory: str, key: str, message: NewMessage, keywords: Keywords, written: list[str]) -> _Spooled:
        """Write one message into `tmp`, durably; its path is added to `written` before anything can fail."""
        source = message.source
        date = self._now() if message.internalDate is None else message.internalDate
        description = Description(source.size, source.size + bareLFs(source.chunks()), date)
        base = baseName(key, description)
        letters = keywords.letters(key, message.flags)
        locator = f"cur/{join(base, letters)}" if letters else f"new/{base}"
        temporary = os.path.join(directory, "tmp", base)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
        written.append(temporary)
        try:
            for chunk in source.chunks():
                writeAll(descriptor, chunk)
            os.utime(descriptor, ns=(int(date * 1e9), int(date * 1e9)))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return _Spooled(temporary, Entry(key, locator, keywords.flags(key, letters), date, source.size))

    def setFlags(self, account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        """Rename each file. For a message that is gone its entry comes back as it was given."""
        directory = self._folder(account, folder)
        renamed: list[Entry] = []
        listed: dict[str, str] = {}
        touched: set[str] = set()
        with self._numbered(directory, [flags for _, flags in entries]) as keywords:
            for entry, flags in entries:
                found = self._rename(directory, entry, flags, keywords, listed)
                if found is None:
                    keywords.forget([entry.key])
                    renamed.append(entry)
                    continue
                touched |= {locator[:3] for locator in found}
                now = keywords.flags(entry.key, split(found[1][4:])[1])
                renamed.append(evolve(entry, locator=found[1], flags=now))
            keywords.save()
            _sync(directory, touched)
        return renamed

    def _rename(
        self, directory: str, entry: Entry, flags: frozenset[str], keywords: Keywords, listed: dict[str, str]
    ) -> tuple[str, str] | None:
        """Give a file, wherever it is now, the name that says `flags`. Returns its locators, old and new; None: it is gone."""
        for locator in self._places(directory, entry, listed):
            base, letters, rest = split(locator[4:])
            target = f"cur/{join(base, keywords.letters(entry.key, flags, letters), rest)}"
            if not flags and not letters and locator.startswith("new/"):
                target = locator
            with suppress(FileNotFoundError):
                os.rename(os.path.join(directory, locator), os.path.join(directory, target))
                return locator, target
        return None

    def remove(self, account: str, folder: str, entries: Sequence[Entry]) -> None:
        """Unlink each file; one that is gone is no error."""
        directory = self._folder(account, folder)
        listed: dict[str, str] = {}
        touched: set[str] = set()
        for entry in entries:
            for locator in self._places(directory, entry, listed):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, locator))
                    touched.add(locator[:3])
                    break
        keywords = Keywords(directory)
        keywords.forget(entry.key for entry in entries)
        keywords.save()
        _sync(directory, touched)

    @contextmanager
    def _numbered(self, directory: str, flags: Iterable[frozenset[str]]) -> Iterator[Keywords]:
        """The folder's keywords, those in `flags` numbered.

        Where Dovecot is at work its lock is held meanwhile: so it reads no directory in which we rename, and its list of keywords
        is ours to extend.
        """
        isShared = os.path.exists(os.path.join(directory, _UID_LIST))
        with dotLock(os.path.join(directory, _UID_LIST + ".lock"), _LOCK_TIMEOUT) if isShared else nullcontext():
            keywords = Keywords(directory)
            keywords.number(frozenset[str]().union(*flags))
            yield keywords

    # --- Places ---

    def _account(self, account: str) -> str:
        return os.path.join(self._root.path, paths.maildirAccount(account, self._firstDomain))

    def _folder(self, account: str, folder: str) -> str:
        """A folder's directory: the one that we would make, or one that another program spelled in its own way.

        :raises InvalidName: no folder can have that name.
        """
        parent = self._account(account)
        component = paths.maildirFolder(folder)
        directory = os.path.join(parent, component) if component else parent
        if component and not os.path.isdir(directory):
            for name in _list(parent):
                if paths.maildirFolderName(name) == folder:
                    return os.path.join(parent, name)
        return directory

    def _sweep(self, directory: str) -> None:
        """Take away what nobody has touched in `tmp` for 36 hours: deliveries that were broken off."""
        limit = self._now() - _LEFT_BEHIND_AFTER
        with suppress(FileNotFoundError), os.scandir(os.path.join(directory, "tmp")) as names:
            for name in names:
                with suppress(OSError):
                    status = name.stat(follow_symlinks=False)
                    if max(status.st_mtime, status.st_atime, status.st_ctime) < limit:
                        os.unlink(name.path)


def _sync(directory: str, subdirectories: Iterable[str]) -> None:
    """Make what came to these, and left them, durable."""
    for name in sorted(subdirectories):
        syncDirectory(os.path.join(directory, name))


def _isText(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(directory: str) -> list[str]:
    """The names in a directory; none where it is not ours to read, as `lost+found` is."""
    try:
        return _list(directory)
    except PermissionError:
        return []


def _statusOf(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _isDirectory(path: str) -> bool:
    """Whether there is one that we may see. :raises OSError: the disk does not tell; what was there has not gone for that."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        return False


def _hasMail(directory: str) -> bool:
    """Whether it is a Maildir."""
    return any(_isDirectory(os.path.join(directory, sub)) for sub in ("cur", "new"))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


def _list(directory: str) -> list[str]:
    """The names in a directory; none when it is not there."""
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _byKey(locators: list[str]) -> dict[str, str]:
    """Each message's key and the locator it has, in the order of the file names.

    One file seen under two names, while another program renames it, counts once; different files with one key, which only a
    copy made by hand can bring about, are told apart by their whole base names.
    """
    locators.sort(key=lambda locator: locator[4:])
    found: dict[str, str] = {}
    for locator in locators:
        match = _KEY.match(locator, 4)
        if match is None:
            continue
        key = match[0]
        if key in found:
            base = split(locator[4:])[0]
            if split(found[key][4:])[0] != base:
                key = base
        found[key] = locator
    return found
