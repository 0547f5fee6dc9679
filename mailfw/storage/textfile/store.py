"""Mail in text files, one for each mailbox, that people and mail programs can read.

    ROOT/MBRAIN.TXT              INBOX of mbrain in the first domain
    ROOT/MBRAIN/WORK/PLANS.TXT   the folder Work/Plans
    ROOT/EXAMPLE.NET/MBRAIN.TXT  an account of another domain
    ROOT/.MBRAIN.journal         what is under way in mbrain's files

Invariants:

- Every change is made in place, under the locks that mutt and procmail take, and noted in the journal first (see `changes`):
  after a crash it is done or undone before anything else reads the account's files.
- What is returned for a key has that key's digest: a file that another program has changed is never misread.
- Flags are the engine's: nothing of them is written here, and Status headers of other programs are not served.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from attrs import frozen
from zope.interface import implementer

from mailfw.errors import InvalidName, MailboxExists, NoSuchMailbox, Vanished
from mailfw.interfaces import ISimpleAccounts, ISimpleFolders, ISimplePlaces, ISimpleStore, ISimpleStream, IStoreContext
from mailfw.storage import paths
from mailfw.storage.files import FILE_MODE, Remembered, makeDirectories, openRoot, spooled, syncDirectory
from mailfw.storage.textfile import locks
from mailfw.storage.textfile.addition import Addition
from mailfw.storage.textfile.changes import Changes
from mailfw.storage.textfile.formats import Format
from mailfw.storage.textfile.journal import Journal
from mailfw.storage.textfile.reader import Index, Reader, Span, digestOf, markOf, newDigest, splitKey
from mailfw.values import Entry, NewMessage

_SETTLED_AFTER = 2.0  # seconds: a file's time may stand still during a burst of changes
_AHEAD = 8192
_REMEMBERED = 250_000  # messages whose places in their files are remembered, about 400 octets each


@frozen
class _File:
    """One mailbox's file.

    :ivar name: its path under the root.
    """

    path: str
    name: str
    journal: Journal


@implementer(ISimpleStore, ISimpleAccounts, ISimpleFolders, ISimplePlaces, ISimpleStream)
class TextfileStore:
    """Text files under one root."""

    def __init__(self, argument: str, format: Format, context: IStoreContext) -> None:
        """:raises ValueError: the root cannot be used so; the text says why."""
        self._root = openRoot(argument, context, {"format": format.name})
        self._format = format
        self._firstDomain = context.domains[0].lower()
        self._now = context.now
        self._indexes: Remembered[Index] = Remembered(_REMEMBERED)

    # --- Folders ---

    def folders(self, account: str) -> Iterable[str]:
        """INBOX, and what files in capitals there are in the account's directory."""
        top = os.path.join(self._root.path, paths.textAccount(account, self._firstDomain)[1])
        found = {paths.INBOX}
        for directory, _, names in os.walk(top, onerror=_unlessGone):
            for name in names:
                stem = os.path.relpath(os.path.join(directory, name.removesuffix(paths.TEXT_SUFFIX)), top)
                folder = paths.textFolderName(stem) if name.endswith(paths.TEXT_SUFFIX) else None
                if folder is not None and folder != paths.INBOX:
                    found.add(folder)
        return sorted(found)

    def accounts(self) -> Iterable[str]:
        """Whoever has an INBOX under the root, or in a domain's directory there."""
        root = self._root.path
        for directory in ("", *(name for name in os.listdir(root) if "." in name)):
            for name in _names(os.path.join(root, directory)):
                path = os.path.join(directory, name.removesuffix(paths.TEXT_SUFFIX))
                account = paths.textAccountName(path, self._firstDomain)
                isFile = name.endswith(paths.TEXT_SUFFIX) and os.path.isfile(os.path.join(root, directory, name))
                if isFile and self._isAccount(account, path):
                    yield account

    def places(self, account: str) -> Sequence[str]:
        """The file of INBOX, the directory of the other folders, and what says what is under way in them: nothing, once what a
        crash left undone is done, which could not be done in copies of the files."""
        self._file(account, paths.INBOX)
        file, folders = (os.path.join(self._root.path, path) for path in paths.textAccount(account, self._firstDomain))
        parent, name = os.path.split(file)
        return [file + paths.TEXT_SUFFIX, folders, os.path.join(parent, f".{name}.journal")]

    def _isAccount(self, account: str, path: str) -> bool:
        try:
            return paths.textAccount(account, self._firstDomain)[0] == path
        except InvalidName:
            return False

    def createFolder(self, account: str, folder: str) -> None:
        """Make an empty file; no error when it is there."""
        path = self._file(account, folder).path
        makeDirectories(os.path.dirname(path))
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
        syncDirectory(os.path.dirname(path))

    def renameFolder(self, account: str, folder: str, newName: str) -> None:
        """Rename a folder's file. INBOX cannot be renamed, as in a Maildir.

        :raises NoSuchMailbox: :raises MailboxExists: :raises InvalidName:
        """
        if paths.INBOX in (folder, newName):
            raise InvalidName("INBOX cannot be renamed")
        old, new = self._file(account, folder).path, self._file(account, newName).path
        if os.path.lexists(new):
            raise MailboxExists()
        with locks.writing(old) as descriptor:
            if descriptor is None:
                raise NoSuchMailbox()
            makeDirectories(os.path.dirname(new))
            os.rename(old, new)
            syncDirectory(os.path.dirname(new))
            syncDirectory(os.path.dirname(old))
        self._indexes.forget(old)
        self._prune(account, old)

    def deleteFolder(self, account: str, folder: str) -> None:
        """Remove a folder's file; one that is not there is no error."""
        if folder == paths.INBOX:
            raise InvalidName("INBOX cannot be deleted")
        path = self._file(account, folder).path
        with locks.writing(path) as descriptor:
            if descriptor is not None:
                os.unlink(path)
                syncDirectory(os.path.dirname(path))
        self._indexes.forget(path)
        self._prune(account, path)

    def _prune(self, account: str, path: str) -> None:
        """Remove the directories above a path, up to the account's, that have become empty."""
        top = os.path.join(self._root.path, paths.textAccount(account, self._firstDomain)[1])
        directory = os.path.dirname(path)
        with suppress(OSError):
            while directory != top:
                os.rmdir(directory)
                directory = os.path.dirname(directory)

    # --- What is there ---

    def token(self, account: str, folder: str) -> str:
        """Inode, size and time of last change, once a further change is sure to show in them."""
        path = self._file(account, folder).path
        try:
            mark = markOf(os.stat(path))
        except FileNotFoundError:
            return "none"
        index = self._indexes.get(path)
        isKnown = index is not None and index.isSettled and index.mark == mark
        return "{:x}.{:x}.{:x}".format(*mark) if isKnown or self._isOld(mark[2]) else ""

    def scan(self, account: str, folder: str) -> Iterable[Entry]:
        """Every message, in the file's order."""
        file = self._file(account, folder)
        with locks.reading(file.path) as descriptor:
            return [] if descriptor is None else list(self._index(file, descriptor).entries)

    def _isOld(self, time_ns: int) -> bool:
        return self._now() - time_ns / 1e9 >= _SETTLED_AFTER

    def _index(self, file: _File, descriptor: int) -> Index:
        """The entries of a locked file, from memory as far as they cannot have changed."""
        former = self._indexes.get(file.path)
        status = os.fstat(descriptor)
        if former is not None and former.isSettled and former.mark == markOf(status):
            return former
        self._indexes.forget(file.path)
        index = Reader(descriptor, self._format).index(self._isOld(status.st_mtime_ns), former)
        self._indexes.put(file.path, index, len(index.entries))
        return index

    # --- Contents ---

    def read(self, account: str, folder: str, entry: Entry) -> bytes:
        """The whole message. :raises Vanished:"""
        with self.open(account, folder, entry) as message:
            return message.read()

    def open(self, account: str, folder: str, entry: Entry) -> BinaryIO:
        """A copy of the message, as a file. :raises Vanished:"""
        file = self._file(account, folder)
        with locks.reading(file.path) as descriptor:
            if descriptor is None:
                raise Vanished()
            reader = Reader(descriptor, self._format, _AHEAD)
            hint = Span.parse(entry.locator)
            message = _verified(reader.content(hint), entry.key) if hint else None
            if message is None:
                present = (found for found in self._index(file, descriptor).entries if found.key == entry.key)
                message = next((_verified(reader.content(Span.parse(found.locator)), entry.key) for found in present), None)
        if message is None:
            raise Vanished()
        return message

    # --- Changes ---

    def newKey(self, account: str, folder: str, message: NewMessage) -> str:
        """The digest of the message, and how many of its kind there will then be."""
        file = self._file(account, folder)
        digest = digestOf(message.source.chunks())
        with locks.reading(file.path) as descriptor:
            present = 0 if descriptor is None else self._index(file, descriptor).numbers.get(digest, 0)
        return f"{digest}.{present + 1}"

    def append(self, account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        """Write the messages to the end of the file, all or none. One whose key is in use gets the next of its digest.

        :raises NoSuchMailbox: there is no such folder. INBOX is made.
        """
        file = self._file(account, folder)
        isInbox = folder == paths.INBOX
        if isInbox:
            makeDirectories(os.path.dirname(file.path))
        with locks.writing(file.path, isMade=isInbox) as descriptor:
            if descriptor is None:
                raise NoSuchMailbox()
            index = self._index(file, descriptor)
            self._indexes.forget(file.path)
            end = os.fstat(descriptor).st_size
            addition = Addition(self._format, account, self._firstDomain, end, Reader(descriptor, self._format).tail(end))
            for key, message in messages:
                digest, wanted = splitKey(key)
                isNext = wanted == index.numbers.get(digest, 0) + 1
                number = index.number(digest, wanted)
                date = self._now() if message.internalDate is None else message.internalDate
                addition.add(message, date, f"{digest}.{number}", 0 if isNext else number)
            Changes(descriptor, file.name, file.journal).append(addition.parts, addition.starts)
            index.extendLast(len(addition.bridge))
            index.entries += addition.entries
            self._remember(file, descriptor, index)
        return addition.entries

    def remove(self, account: str, folder: str, entries: Sequence[Entry]) -> None:
        """Move what stands behind the messages into their places; one that is gone is no error."""
        file = self._file(account, folder)
        unwanted = {entry.key for entry in entries}
        with locks.writing(file.path) as descriptor:
            if descriptor is None:
                return
            index = self._index(file, descriptor)
            first = next((at for at, entry in enumerate(index.entries) if entry.key in unwanted), None)
            if first is None:
                return
            self._indexes.forget(file.path)
            to = Span.parse(index.entries[first].locator).start
            kept = Index(index.mark, True)
            for entry in index.entries[:first]:
                kept.add(entry)
            behind = (entry for entry in index.entries[first:] if entry.key not in unwanted)
            pieces = Reader(descriptor, self._format).moved(behind, to, kept)
            Changes(descriptor, file.name, file.journal).rearrange(pieces, to)
            self._remember(file, descriptor, kept)

    def _remember(self, file: _File, descriptor: int, index: Index) -> None:
        """Keep the index of a file that we have changed, with a time of change that no other program's change can have."""
        with suppress(OSError):  # the change is done: nothing may fail any more
            os.utime(descriptor, ns=(os.fstat(descriptor).st_atime_ns, int(self._now() * 1e9)))
            index.mark, index.isSettled = markOf(os.fstat(descriptor)), True
            self._indexes.put(file.path, index, len(index.entries))

    # --- Places ---

    def _file(self, account: str, folder: str) -> _File:
        """The file of a folder, what a crash left undone in the account's files being done.

        :raises InvalidName: no folder can have that name.
        """
        inbox, directory = paths.textAccount(account, self._firstDomain)
        name = (inbox if folder == paths.INBOX else f"{directory}/{paths.textFolder(folder)}") + paths.TEXT_SUFFIX
        parent, stem = os.path.split(inbox)
        journal = Journal(os.path.join(self._root.path, parent, f".{stem}.journal"))
        if not journal.isEmpty:
            self._repair(journal)
        return _File(os.path.join(self._root.path, name), name, journal)

    def _repair(self, journal: Journal) -> None:
        found = journal.read()
        if found is None:
            journal.clear()
            return
        record, octets = found
        path = os.path.join(self._root.path, record["file"])
        self._indexes.forget(path)
        with locks.writing(path) as descriptor:
            if descriptor is None:
                journal.clear()
            else:
                candidates = Reader(descriptor, self._format).candidates
                Changes(descriptor, record["file"], journal).repair(record, octets, candidates)


def _names(directory: str) -> list[str]:
    """The names in a directory; none where it is none, or not ours to read."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _unlessGone(error: OSError) -> None:
    """:raises OSError: what there is cannot be told: it has not gone for that."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _verified(content: Iterable[bytes], key: str) -> BinaryIO | None:
    """The content as a file, if it is what the key says."""
    digest = newDigest()

    def hashed() -> Iterator[bytes]:
        for piece in content:
            digest.update(piece)
            yield piece

    file = spooled(hashed())
    if digest.hexdigest() == key.partition(".")[0]:
        return file
    file.close()
    return None
