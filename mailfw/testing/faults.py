"""A disk that stops, forgets or fills up: what stores are tested on.

`Disk` watches the calls by which a process changes what is below one directory (`os.write`, `os.rename`, `os.fsync` …) and can

- stop everything at the n-th of them (`crashAt`), as SIGKILL does: half of a write is done, and nothing has an effect afterwards;
- then take away what was not synced (`cutPower`), as a power cut may: octets without fsync of their file, names without fsync of
  their directory;
- refuse for want of room from the n-th on (`fullAt`) what needs any; files can still be shortened and removed;
- fail at the n-th alone (`errorAt`).

Code that changes files in other ways (Python's `open`, a database) is not seen: about it such tests say nothing.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

from mailfw.storage.files import bootTime

_WRITES = ("open", "write", "pwrite", "ftruncate", "fsync", "fdatasync")
_NAMES = (*_WRITES, "rename", "replace", "link", "unlink", "remove", "mkdir", "rmdir")


class Crash(BaseException):
    """The process is dead: whoever catches this and goes on finds that nothing has an effect any more."""


class Disk:
    """Watches changes below `root` inside `with disk:`. A `Crash` ends that block quietly, and `isDead` says that it came.

    :ivar calls: the names of the changing calls so far, syncs too.
    :ivar crashAt: the number of calls after which all ends; -1: never.
    :ivar fullAt: the number of calls after which there is no room; -1: never.
    :ivar errorAt: the number of calls before the one that fails; -1: none.
    """

    def __init__(self, root: str, crashAt: int = -1, fullAt: int = -1, errorAt: int = -1) -> None:
        self._root = os.path.realpath(root)
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _NAMES}
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._graves = tempfile.mkdtemp(prefix="graves", dir=os.path.dirname(self._root))
        self.calls: list[str] = []
        self.crashAt = crashAt
        self.fullAt = fullAt
        self.errorAt = errorAt
        self.isDead = False
        for directory, _, names in os.walk(self._root):
            self._noteNames(directory)
            for name in names:
                self._noteContent(os.path.join(directory, name))

    @contextmanager
    def watching(self) -> Iterator[Disk]:
        """Watch what the block does."""
        patches = {name: getattr(self, f"_{name}") for name in _NAMES}
        with suppress(Crash), mock.patch.multiple(os, **patches):
            yield self

    def cutPower(self, chance: random.Random | None = None) -> None:
        """Leave below the root only what is durable, all of it older than the machine's last start.

        With `chance`, newer octets of a file stay in one case of two, and in one case of two all newer names: file systems keep
        the order of those, and a rename is there or not, in both directories that it concerns.
        """
        saved = f"{self._root}.durable"
        chooses: Callable[[], bool] = (lambda: False) if chance is None else (lambda: chance.random() < 0.5)
        self._rebuild(os.stat(self._root).st_ino, self._root, saved, chooses, chooses())
        shutil.rmtree(self._root)
        os.rename(saved, self._root)
        shutil.rmtree(self._graves)

    # --- What is durable ---

    def _noteContent(self, path: str) -> None:
        with open(path, "rb") as file:
            self._contents[os.fstat(file.fileno()).st_ino] = file.read()

    def _noteNames(self, directory: str) -> None:
        with os.scandir(directory) as entries:
            self._names[os.stat(directory).st_ino] = {entry.name: entry.inode() for entry in entries}

    def _rebuild(self, inode: int, current: str, target: str, isKept: Callable[[], bool], areNamesKept: bool) -> None:
        """Write a directory as it would be found."""
        os.mkdir(target)
        names = self._names.get(inode, {})
        if areNamesKept and os.path.isdir(current):
            with os.scandir(current) as entries:
                names = {entry.name: entry.inode() for entry in entries}
        places = self._places()
        for name, child in names.items():
            place = places.get(child)
            path = os.path.join(target, name)
            if child in self._names or (place and os.path.isdir(place)):
                self._rebuild(child, place or "", path, isKept, areNamesKept)
                continue
            if place is None:
                continue
            os.link(place, path)
            if not isKept():
                with open(path, "wb") as file:
                    file.write(self._contents.get(child, b""))
            os.utime(path, (bootTime() - 60, bootTime() - 60))

    def _places(self) -> dict[int, str]:
        """Where each inode is now, removed ones too."""
        found = {}
        for top in (self._graves, self._root):
            for directory, directories, files in os.walk(top):
                for name in directories + files:
                    found[os.lstat(os.path.join(directory, name)).st_ino] = os.path.join(directory, name)
        return found

    # --- Steps ---

    def _step(self, name: str, needsRoom: bool = False) -> None:
        """One changing call; it may be the one at which all ends."""
        if self.isDead or len(self.calls) == self.crashAt:
            self.isDead = True
            raise Crash(name)
        self.calls.append(name)
        if len(self.calls) == self.errorAt + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if needsRoom and 0 <= self.fullAt < len(self.calls):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _path(self, path: Any, directory: int | None = None) -> str | None:
        """The path, if it is below the root."""
        name = os.fsdecode(path)
        if directory is not None:
            name = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name)
        whole = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(name))), os.path.basename(name))
        return whole if whole.startswith(self._root + os.sep) else None

    def _isWatched(self, descriptor: int) -> bool:
        return (os.readlink(f"/proc/self/fd/{descriptor}") + os.sep).startswith(self._root + os.sep)

    def _keep(self, path: str | None) -> None:
        """Something is going to lose its name: keep its inode from being used again, for its old name may be durable."""
        if path is not None and os.path.isfile(path):
            self._real["link"](path, os.path.join(self._graves, str(len(os.listdir(self._graves)))))

    # --- The calls ---

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        mine = self._path(path, dir_fd) if flags & (os.O_CREAT | os.O_TRUNC) else None
        isMade = mine is not None and not os.path.lexists(mine)
        if mine is not None and (isMade or flags & os.O_TRUNC):
            self._step("open", needsRoom=isMade)
        descriptor: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if isMade:
            self._contents[os.fstat(descriptor).st_ino] = b""
        return descriptor

    def _writing(self, name: str, descriptor: int, data: Any, *rest: Any) -> int:
        if self._isWatched(descriptor):
            if len(self.calls) == self.crashAt and not self.isDead:
                self._real[name](descriptor, bytes(data)[: len(data) // 2], *rest)
            self._step(name, needsRoom=True)
        return int(self._real[name](descriptor, data, *rest))

    def _write(self, descriptor: int, data: Any) -> int:
        return self._writing("write", descriptor, data)

    def _pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        return self._writing("pwrite", descriptor, data, offset)

    def _ftruncate(self, descriptor: int, length: int) -> None:
        if self._isWatched(descriptor):
            self._step("ftruncate")
        self._real["ftruncate"](descriptor, length)

    def _fsync(self, descriptor: int) -> None:
        self._real["fsync"](descriptor)
        if self._isWatched(descriptor):
            self._step("fsync")
            path = f"/proc/self/fd/{descriptor}"
            isDirectory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            (self._noteNames if isDirectory else self._noteContent)(path)

    _fdatasync = _fsync

    def _rename(self, source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        mine = self._path(target, dst_dir_fd)
        if mine is not None:
            self._step("rename")
            self._keep(mine)
        self._real["rename"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    _replace = _rename

    def _link(self, source: Any, target: Any, **more: Any) -> None:
        if self._path(target) is not None:
            self._step("link", needsRoom=True)
        self._real["link"](source, target, **more)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        mine = self._path(path, dir_fd)
        if mine is not None:
            self._step("unlink")
            self._keep(mine)
        self._real["unlink"](path, dir_fd=dir_fd)

    _remove = _unlink

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        mine = self._path(path, dir_fd)
        if mine is not None and not os.path.lexists(mine):
            self._step("mkdir", needsRoom=True)
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        if mine is not None:
            self._names[os.stat(mine).st_ino] = {}

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        if self._path(path, dir_fd) is not None:
            self._step("rmdir")
        self._real["rmdir"](path, dir_fd=dir_fd)
