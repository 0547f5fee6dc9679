"""Makes a set.

Blobs first, for they are many: those that the databases name now. Then the instant, and the blobs that came since; one that went
meanwhile, named and yet not to be had, makes another instant necessary, and blobs in the set that nobody names any more are taken
out again. Then the databases; and after them the other files, as they are when their turn comes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from attrs import define, evolve, field, frozen

from mailfw.backup.files import MARK, begin, copy, link, sync
from mailfw.backup.manifest import MANIFEST, BackupError, Held, Item, Manifest, Tell, digestOf
from mailfw.backup.moment import Pinned, isDatabase, pin

PARTIAL = ".partial"
"""What the name of a set ends in for as long as it is not whole."""

_INSTANTS = 20
_TRIES = 5  # at a file that others change at the time
_PASSES = 20  # over a directory in which others rename
_FILE_SYSTEMS = "lost+found"  # root's alone, at the top of a disk
_BESIDE = ("-wal", "-shm", "-journal")


@frozen
class Shelf:
    """Where a kind of database keeps its blobs.

    :ivar select: gives their names.
    :ivar folder: their directory, for the path of the database; blobs are in it as `ab/abcdef…`.
    """

    select: str
    folder: Callable[[str], str]


@frozen
class Place:
    """A directory that is to be in the set.

    :ivar name: under which it is in the set.
    :ivar isLeft: whether a path in it, relative, is left out; that of a directory ends in a slash.
    :ivar isSettled: whether a file there never changes for as long as it has its name, so that a link is as good as a copy.
    :ivar identityOf: what a file is, whatever name others give it meanwhile: of two names for one the later counts.
    """

    name: str
    path: str
    isLeft: Callable[[str], bool] = lambda path: False
    isSettled: Callable[[str], bool] = lambda path: False
    identityOf: Callable[[str], str] = lambda path: path


Take = Callable[[Sequence[str]], None]
"""Puts files, and all that is below directories, into the set: paths of the machine, which need not be there."""


@define
class Maker:
    """Of one set.

    :ivar target: the directory that the set will be; it must not be there.
    :ivar previous: an earlier set, with which files that are the same are shared; empty: none.
    :ivar shelves: by the kind of database.
    :ivar tell: after each piece of work.
    :ivar turns: calls what it is given with the paths of one account after another, when nobody of ours changes anything there:
        so that what is moved from one of its folders to another is not missed in both.
    """

    places: Sequence[Place]
    target: str
    previous: str
    shelves: Mapping[str, Shelf]
    program: str
    tell: Tell
    turns: Callable[[Take], None] = lambda take: None
    _folder: str = field(init=False, default="")
    _earlier: dict[str, Item] = field(init=False, factory=dict)
    _manifest: Manifest = field(init=False)
    _blobs: dict[str, Item] = field(init=False, factory=dict)
    _taken: dict[tuple[str, str], Item] = field(init=False, factory=dict)
    _done: set[str] = field(init=False, factory=set)

    def make(self) -> Manifest:
        """:raises BackupError: it cannot be made, and nothing of it is left. :raises BaseException: what `tell` did, likewise."""
        self._check()
        self._folder = self.target + PARTIAL
        try:
            with self._space():
                self._fill()
        except OSError as error:
            raise BackupError(f"{error.filename or self.target}: {error.strerror}; the backup was not made") from error
        except sqlite3.Error as error:
            raise BackupError(f"{self.target}: {error}; the backup was not made") from error
        return self._manifest

    def _check(self) -> None:
        parent = os.path.dirname(self.target)
        if os.path.lexists(self.target):
            raise BackupError(f"{self.target} is there already: name a directory that is not")
        if not os.path.isdir(parent):
            raise BackupError(f"there is no directory {parent}")
        for place in self.places:
            if os.path.realpath(self.target).startswith(os.path.realpath(place.path) + os.sep):
                raise BackupError(f"{self.target} lies in {place.path}, of which it would be the backup: name one outside")
        if self.previous:
            self._earlier = {item.path: item for item in Manifest.load(self.previous).files}

    @contextmanager
    def _space(self) -> Iterator[None]:
        """The directory that becomes the set; what an earlier try has left is cleared away."""
        begin(self._folder)
        try:
            yield
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _fill(self) -> None:
        databases: list[tuple[Place, str, Pinned]] = []
        try:
            for place in self.places:
                for path in _databases(place):
                    pinned = Pinned.open(os.path.join(place.path, path))
                    databases.append((place, path, pinned))
            self._manifest = Manifest(self.program, 0.0, {place.name: place.path for place in self.places})
            moment = self._instant(databases)
            self._manifest = Manifest(self.program, moment, self._manifest.places)
            for place, path, pinned in sorted(databases, key=lambda each: each[2].isWAL):
                self._database(f"{place.name}/{path}", pinned)
        finally:
            for _, _, pinned in databases:
                pinned.close()
        self._manifest.files.extend(self._blobs.values())
        for place, path, _ in databases:
            full = os.path.join(place.path, path)
            self._done.update((full, *(full + end for end in _BESIDE), *self._foldersOf(place, path)))
        self.turns(self._take)
        for place in self.places:
            self._below(place, place.path)
        self._manifest.files.extend(self._taken.values())
        self._digest()
        self._end()

    def _foldersOf(self, place: Place, path: str) -> list[str]:
        """Where blobs of a database may be, whatever its kind."""
        return [shelf.folder(os.path.join(place.path, path)) for shelf in self.shelves.values()]

    # --- Blobs and databases

    def _instant(self, databases: Sequence[tuple[Place, str, Pinned]]) -> float:
        self._shelve(databases)
        for _ in range(_INSTANTS):
            moment = pin([pinned for _, _, pinned in databases])
            named, missing = self._shelve(databases)
            if not missing:
                for path in set(self._blobs) - named:
                    os.unlink(os.path.join(self._folder, path))
                    del self._blobs[path]
                return moment
            for _, _, pinned in databases:
                pinned.release()
        raise BackupError(f"the file of a large message is missing ({missing}): mailfw store check says more")

    def _shelve(self, databases: Sequence[tuple[Place, str, Pinned]]) -> tuple[set[str], str]:
        """Put all blobs that are named now into the set. → their paths there, and one that is missing."""
        named: set[str] = set()
        missing = ""
        for place, _, pinned in databases:
            shelf = self.shelves.get(pinned.identity()[0])
            if shelf is None:
                continue
            folder = shelf.folder(pinned.path)
            for (name,) in pinned.connection.execute(shelf.select).fetchall():
                path = f"{place.name}/{os.path.relpath(folder, place.path)}/{name[:2]}/{name}"
                named.add(path)
                if path in self._blobs:
                    continue
                try:
                    self._blobs[path] = self._item(path, os.path.join(folder, name[:2], name), isSettled=True)
                except FileNotFoundError:
                    missing = os.path.join(folder, name[:2], name)
        return named, missing

    def _database(self, path: str, pinned: Pinned) -> None:
        target = self._make(path)
        pinned.copy(target, self.tell)
        self._manifest.databases.append(Held(path, *pinned.identity()))
        self._manifest.files.append(self._described(path, digestOf(target, self.tell)))

    # --- Files

    def _take(self, paths: Sequence[str]) -> None:
        for path in map(os.path.normpath, paths):
            for place in self.places:
                if path.startswith(place.path + os.sep):
                    if os.path.isdir(path):
                        self._below(place, path)
                    else:
                        self._files(place, partial(list, [path]))

    def _below(self, place: Place, path: str) -> None:
        """Everything below a directory that is not in the set yet."""
        with suppress(FileNotFoundError):
            for folder, status in _folders(place, path, self._done):
                inSet = _inSet(place, folder)
                os.makedirs(os.path.join(self._folder, inSet), 0o700, exist_ok=True)
                self._manifest.directories.append((inSet, status.st_mode & 0o777))
                self._files(place, partial(_within, folder))
        self._done |= {path} - {place.path}

    def _files(self, place: Place, find: Callable[[], list[str]]) -> None:
        """Those that are found. One that is gone has perhaps another name now: then all is looked at once more."""
        for _ in range(_PASSES):
            isGone = False
            try:
                paths = find()
            except FileNotFoundError:
                return
            for path in paths:
                try:
                    if path not in self._done and _isFile(path):
                        self._file(place, path)
                except FileNotFoundError:
                    isGone = True
            if not isGone:
                return

    def _file(self, place: Place, path: str) -> None:
        inPlace = os.path.relpath(path, place.path)
        isSettled = place.isSettled(inPlace)
        if not place.isLeft(inPlace) and (isSettled or not _isOfDatabase(path)):
            item, identity = self._item(_inSet(place, path), path, isSettled), (place.name, place.identityOf(inPlace))
            former = self._taken.get(identity)
            if former is not None:
                os.unlink(os.path.join(self._folder, former.path))
            self._taken[identity] = item
        self._done.add(path)

    def _item(self, path: str, source: str, isSettled: bool) -> Item:
        """Put a file into the set, by a link or by copying it. :raises FileNotFoundError: it is gone."""
        target, status = self._make(path), os.stat(source)
        earlier = self._earlier.get(path)
        if earlier is not None and earlier.size == status.st_size and (isSettled or earlier.mtime == status.st_mtime_ns):
            try:
                if link(os.path.join(self.previous, path), target):
                    self.tell(source, earlier.size)
                    return evolve(earlier, mode=status.st_mode & 0o777)
            except FileNotFoundError:
                pass  # the earlier set is damaged: this one need not be
        if isSettled and link(source, target):
            return self._described(path, "", status.st_mode & 0o777)
        try:
            for _ in range(_TRIES):
                digest = copy(source, target, self.tell)
                before, status = status, os.stat(source)
                if (before.st_size, before.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
                    break
        except FileNotFoundError:
            with suppress(FileNotFoundError):
                os.unlink(target)  # what went meanwhile is not in the manifest
            raise
        return self._described(path, digest, status.st_mode & 0o777)

    def _described(self, path: str, digest: str, mode: int = 0o600) -> Item:
        status = os.stat(os.path.join(self._folder, path))
        return Item(path, status.st_size, digest, mode, status.st_mtime_ns)

    def _make(self, path: str) -> str:
        target = os.path.join(self._folder, path)
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        return target

    def _digest(self) -> None:
        """Read what was only linked, which there was no time for while others waited."""
        for at, item in enumerate(self._manifest.files):
            if not item.sha256:
                target = os.path.join(self._folder, item.path)
                sync(target)
                self._manifest.files[at] = evolve(item, sha256=digestOf(target, self.tell))

    def _end(self) -> None:
        """Everything is there: bring all names to disk, and then the set's own."""
        path = os.path.join(self._folder, MANIFEST)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self._manifest.dump())
            file.flush()
            os.fsync(file.fileno())
        for folder, _, _ in os.walk(self._folder):
            sync(folder)
        os.unlink(os.path.join(self._folder, MARK))  # as late as can be: without it, what is interrupted is in the way
        sync(self._folder)
        os.rename(self._folder, self.target)
        sync(os.path.dirname(self.target))


def _databases(place: Place) -> Iterator[str]:
    for folder, _ in _folders(place, place.path):
        with suppress(FileNotFoundError):
            for full in _within(folder):
                path = os.path.relpath(full, place.path)
                try:
                    isFile = not place.isLeft(path) and not place.isSettled(path) and os.path.isfile(full)
                    if isFile and not _isBeside(full) and isDatabase(full):
                        yield path
                except (FileNotFoundError, PermissionError):
                    continue


def _folders(
    place: Place, path: str, done: Container[str] = (), seen: set[tuple[int, int]] | None = None
) -> Iterator[tuple[str, os.stat_result]]:
    """A directory and those below it, each once, whatever symbolic links lead to it. The last name comes first: in a Maildir
    `new` before `cur`, where others move messages to. One that goes is passed over; one that cannot be read is an error.

    :raises FileNotFoundError: the first is not there.
    """
    status, seen = os.stat(path), set() if seen is None else seen
    identity = status.st_dev, status.st_ino
    if identity in seen or path in done or place.isLeft(os.path.relpath(path, place.path) + os.sep):
        return
    if os.path.basename(path) == _FILE_SYSTEMS and not os.access(path, os.R_OK, effective_ids=True):
        return
    seen.add(identity)
    try:
        yield path, status
        yield from _foldersIn(place, path, done, seen)
    except FileNotFoundError:
        seen.discard(identity)  # under its new name it is looked at from the beginning
        raise


def _foldersIn(
    place: Place, path: str, done: Container[str], seen: set[tuple[int, int]]
) -> Iterator[tuple[str, os.stat_result]]:
    for _ in range(_PASSES):
        isGone = False
        with os.scandir(path) as found:
            names = sorted((entry.name for entry in found if entry.is_dir()), reverse=True)
        for name in names:
            try:
                yield from _folders(place, os.path.join(path, name), done, seen)
            except FileNotFoundError:
                isGone = True  # it has perhaps another name now
        if not isGone:
            return


def _within(folder: str) -> list[str]:
    """Paths of what is in a directory. :raises FileNotFoundError: it is gone."""
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def _isFile(path: str) -> bool:
    """Whether it is a file, or a link to one. :raises FileNotFoundError: it is gone."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        if os.path.islink(path):
            return False  # it leads nowhere
        raise


def _inSet(place: Place, path: str) -> str:
    return os.path.normpath(os.path.join(place.name, os.path.relpath(path, place.path)))


def _isOfDatabase(path: str) -> bool:
    """Whether a file is a database, or what SQLite keeps beside one: one that is not taken yet was made after the instant."""
    return _isBeside(path) or isDatabase(path)


def _isBeside(path: str) -> bool:
    owners = [path.removesuffix(end) for end in _BESIDE if path.endswith(end)]
    return any(os.path.isfile(owner) and isDatabase(owner) for owner in owners)
