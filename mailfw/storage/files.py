"""What the stores that keep mail in files have in common: durable changes, dot-locks, the root's own record.

Everything goes through `os`, so that a test can see each write, fsync and rename, and stop the world after any of them
(`mailfw.testing.faults`). A function that says "durable" has synced the file and the directory that names it when it returns.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO, Generic, TypeVar, cast

from twisted.logger import Logger

from mailfw.errors import Unavailable
from mailfw.interfaces import IStoreContext

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

_RECORD = ".mailfw"
_ROOTS = "roots"
_STALE_AFTER = 600.0  # seconds; other programs take away dot-locks after two to ten minutes
_POLL = 0.05
_IN_MEMORY = 1 << 20


# --- Durable changes -------------------------------------------------------------------------------------------------


def syncDirectory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def makeDirectories(path: str) -> None:
    """Make a directory and those above it that are missing, durably; no error when it is there."""
    try:
        os.mkdir(path, DIRECTORY_MODE)
    except FileExistsError:
        return
    except FileNotFoundError:
        makeDirectories(os.path.dirname(path))
        with suppress(FileExistsError):
            os.mkdir(path, DIRECTORY_MODE)
    syncDirectory(os.path.dirname(path))


def writeAll(descriptor: int, data: bytes) -> None:
    """Write all of it, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def writeAllAt(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def readAt(descriptor: int, offset: int, length: int) -> bytes:
    """Exactly so many octets, fewer only where the file ends."""
    pieces = []
    while length and (piece := os.pread(descriptor, length, offset)):
        pieces.append(piece)
        length, offset = length - len(piece), offset + len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def readFile(path: str) -> bytes | None:
    """What a small file holds; None: there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def replaceFile(path: str, content: bytes) -> None:
    """Give a file new content, durably: after a crash it has either the old or the new."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    try:
        writeAll(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    syncDirectory(os.path.dirname(path))


def openRegular(path: str, flags: int = os.O_RDONLY) -> int:
    """Open a regular file; a symbolic link cannot lead elsewhere, nor a FIFO stop us.

    :raises OSError: it cannot be opened, or is no regular file (EINVAL).
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, FILE_MODE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def spooled(chunks: Iterable[bytes]) -> BinaryIO:
    """What the chunks make up, as a seekable file: in memory while it is small, in a nameless temporary file otherwise."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast("BinaryIO", file)


# --- Dot-locks -------------------------------------------------------------------------------------------------------

_DOT_LOCK = re.compile(r"\.lock(?:\.[0-9]+)?\Z")


def isDotLock(path: str) -> bool:
    """Whether a file's name is that of a lock file, or of one that a process is about to link as such."""
    return _DOT_LOCK.search(path) is not None


@contextmanager
def dotLock(path: str, timeout: float) -> Iterator[bool]:
    """Hold `path`, a lock file as Dovecot, mutt and procmail make them. Yields whether it is held.

    False: locks cannot be made in that directory. A lock that nobody can hold any more is taken away.

    :raises Unavailable: somebody else held it for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    mine = f"{path}.{os.getpid()}"
    try:
        isHeld = _claim(path, mine, deadline)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        isHeld = False
    try:
        yield isHeld
    finally:
        if isHeld:
            with suppress(OSError):  # what was done under the lock is done; a lock left behind is stale
                os.unlink(path)


def _claim(path: str, mine: str, deadline: float) -> bool:
    """Make the lock file, as a link to one that already says whose it is: no crash leaves a lock of an unknown owner."""
    with suppress(FileNotFoundError):
        os.unlink(mine)
    descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        try:
            writeAll(descriptor, f"{os.getpid()}:{socket.gethostname()}\n".encode())
        finally:
            os.close(descriptor)
        while True:
            try:
                os.link(mine, path)
                return True
            except FileExistsError:
                if _isStale(path):
                    with suppress(FileNotFoundError):
                        os.unlink(path)
                elif time.monotonic() >= deadline:
                    raise Unavailable("the mailbox is locked by another program") from None
                else:
                    time.sleep(_POLL)
    finally:
        with suppress(OSError):
            os.unlink(mine)


def _isStale(path: str) -> bool:
    """Whether nobody holds a lock file any more: it is old, or from before the machine was started, or its owner is dead.

    One with our own process id is of a former process: we hold each only once.
    """
    try:
        made = os.stat(path).st_mtime
        owner, _, host = (readFile(path) or b"").decode("ascii", "replace").strip().partition(":")
    except OSError:
        return False
    if made < max(time.time() - _STALE_AFTER, bootTime()):
        return True
    if not owner.isdecimal() or host.partition(":")[0] != socket.gethostname():
        return False
    if int(owner) == os.getpid():
        return True
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def bootTime() -> float:
    """When this machine was started, seconds since the epoch; 0 where the system does not tell."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.time() - time.clock_gettime(clock)


# --- The root of a store ---------------------------------------------------------------------------------------------


class Root:
    """A store's root, as long as it is there: its own record says so.

    The root of a disk that is not mounted, or was taken away, is an empty directory or none. Taken for an empty store it
    would have clients delete what they keep of it, and would take mail that nobody sees again once the disk is back.
    """

    log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._record = os.path.join(path, _RECORD)
        self._isGone = False

    @property
    def path(self) -> str:
        """Absolute. :raises Unavailable: it is gone."""
        isGone = not os.path.exists(self._record)
        if isGone is not self._isGone:
            self._isGone = isGone
            if isGone:
                self.log.error("{path} is gone: is its disk mounted?", path=self._path)
            else:
                self.log.info("{path} is there again", path=self._path)
        if isGone:
            raise Unavailable()
        return self._path


def openRoot(path: str, context: IStoreContext, settings: Mapping[str, str]) -> Root:
    """A store's root, made where it is missing; one that was made before must be there.

    The root remembers, in `.mailfw`, which domain was the first and how else names and contents are laid out, because everything
    in it would be found elsewhere, or misread, under other settings. The data directory remembers, in `roots`, which roots it has
    made.

    :raises ValueError: no path, no domain, the root was made with other settings, or was made and is gone; the text says which.
    """
    if not path:
        raise ValueError("a path is missing after the colon")
    if not context.domains:
        raise ValueError("no domain is configured")
    root = os.path.join(os.path.abspath(context.data), path)
    wanted = {"domain": context.domains[0].lower(), **settings}
    record = os.path.join(root, _RECORD)
    listed = os.path.join(os.path.abspath(context.data), _ROOTS)
    known = (readFile(listed) or b"").decode("utf-8", "surrogateescape").split("\0")
    content = readFile(record)
    if content is None and root in known:
        raise ValueError(f"{root} is gone: is its disk mounted? (To begin anew, remove {listed})")
    if content is None:
        makeDirectories(root)
        replaceFile(record, "".join(f"{name} {value}\n" for name, value in wanted.items()).encode())
    else:
        _check(root, wanted, content)
    if root not in known:
        replaceFile(listed, "\0".join([*filter(None, known), root]).encode("utf-8", "surrogateescape"))
    return Root(root)


def _check(root: str, wanted: Mapping[str, str], content: bytes) -> None:
    kept = dict(line.partition(" ")[::2] for line in content.decode("utf-8", "replace").splitlines())
    for name, value in wanted.items():
        if kept.get(name, value) != value:
            what = "first domain" if name == "domain" else name
            raise ValueError(f"{root} was made with {kept[name]!r} as its {what}: it cannot be opened with {value!r}")


# --- What was read before --------------------------------------------------------------------------------------------

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """What was read of folders lately, the least recently used forgotten first; for any thread.

    :param limit: how much is kept in all, in the units of `put`'s weights (messages).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._kept: OrderedDict[str, tuple[int, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Value | None:
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                return None
            self._kept.move_to_end(name)
            return kept[1]

    def put(self, name: str, value: Value, weight: int) -> None:
        with self._lock:
            self._drop(name)
            self._kept[name] = (weight + 1, value)
            self._weight += weight + 1
            while self._weight > self._limit and self._kept:
                self._drop(next(iter(self._kept)))

    def forget(self, name: str) -> None:
        with self._lock:
            self._drop(name)

    def _drop(self, name: str) -> None:
        weight, _ = self._kept.pop(name, (0, None))
        self._weight -= weight
