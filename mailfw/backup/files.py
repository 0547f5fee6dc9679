"""Files into a set and out of it: linked where that is the same, copied and synced where it is not."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil

from mailfw.backup.manifest import CHUNK, BackupError, Tell

SYNC_EVERY = 8 << 20
"""Octets after which what was written is brought to disk, so that others' syncs never wait for much of ours."""

MARK = ".not-whole"
"""A file that says of the directory in which it is that it may be thrown away. No account's directory begins with a dot."""

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


def link(source: str, target: str) -> bool:
    """Give a file a second name; whether that can be. :raises FileNotFoundError: it is gone."""
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def copy(source: str, target: str, tell: Tell) -> str:
    """Copy octets and times; on disk on return, but for the name. → SHA-256. :raises FileNotFoundError: it is gone."""
    digest, since = hashlib.sha256(), 0
    with open(source, "rb", buffering=0) as reading:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb", buffering=0) as writing:
            while chunk := reading.read(CHUNK):
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[writing.write(view) :]
                since += len(chunk)
                if since >= SYNC_EVERY:
                    os.fdatasync(descriptor)
                    since = 0
                tell(source, len(chunk))
            status = os.fstat(reading.fileno())
            os.utime(descriptor, ns=(status.st_mtime_ns, status.st_mtime_ns))
            os.fsync(descriptor)
    return digest.hexdigest()


def begin(folder: str) -> None:
    """Make a directory that is not whole yet; what an earlier try has left of it is cleared away.

    :raises BackupError: something else is there.
    """
    if os.path.lexists(folder) and not os.path.exists(os.path.join(folder, MARK)):
        raise BackupError(f"{folder} is in the way, and is nothing that was interrupted: remove it")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, 0o700)
    with open(os.path.join(folder, MARK), "wb"):
        pass


def sync(path: str) -> None:
    """Bring a file, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
