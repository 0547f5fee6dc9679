"""Locks on a mailbox file, as mutt, procmail and Dovecot take them: a POSIX lock on the file, and a dot-lock beside it to write.

POSIX locks belong to a process and go when it closes any descriptor of the file; an open-file-description lock, where the system
has them, excludes the same programs and stays until its own descriptor is closed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mailfw.errors import Unavailable
from mailfw.storage.files import dotLock, openRegular, syncDirectory

TIMEOUT = 20.0
"""How long other programs are waited for, in seconds."""

_POLL = 0.05
_SETLK: int | None = getattr(fcntl, "F_OFD_SETLK", None)


@contextmanager
def reading(path: str) -> Iterator[int | None]:
    """A descriptor of the file, which no program that locks changes meanwhile; None: there is no file.

    :raises Unavailable: another program held it for TIMEOUT seconds.
    """
    try:
        descriptor = openRegular(path)
    except FileNotFoundError:
        yield None
        return
    try:
        _lock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: str, isMade: bool = False) -> Iterator[int | None]:
    """A descriptor to read and write the file, which no other program that locks uses meanwhile.

    None: there is no file, and `isMade` does not ask to make one.

    :raises Unavailable: another program held it for TIMEOUT seconds.
    """
    if not isMade and not os.path.lexists(path):
        yield None
        return
    with dotLock(f"{path}.lock", TIMEOUT):
        descriptor = _openLocked(path, isMade)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _openLocked(path: str, isMade: bool) -> int | None:
    while True:
        isNew = not os.path.lexists(path)
        try:
            descriptor = openRegular(path, os.O_RDWR | (os.O_CREAT if isMade else 0))
        except FileNotFoundError:
            return None
        try:
            if isNew:
                syncDirectory(os.path.dirname(path))
            _lock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        if _isStill(path, descriptor):
            return descriptor
        os.close(descriptor)


def _isStill(path: str, descriptor: int) -> bool:
    """Whether `path` still leads to the file that we have locked, and not to one that has replaced it."""
    mine = os.fstat(descriptor)
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _lock(descriptor: int, kind: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            if _SETLK is None:
                fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
            else:
                mode = fcntl.F_RDLCK if kind == fcntl.LOCK_SH else fcntl.F_WRLCK
                fcntl.fcntl(descriptor, _SETLK, struct.pack("hhqqi4x", mode, os.SEEK_SET, 0, 0, 0))
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            if time.monotonic() >= deadline:
                raise Unavailable("the mailbox is locked by another program") from None
        time.sleep(_POLL)
