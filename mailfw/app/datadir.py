"""The data directory and its one owner.

Whoever holds the lock (`flock` on `data/lock`) may write below the directory: a server for as long as it runs, or the `mailfw`
command when no server does. The kernel drops the lock with the process, so a crash leaves nothing to clean up; the pid in
the file is only for people.
"""

from __future__ import annotations

import fcntl
import os
import stat

from mailfw.app.problem import Problem


class DataInUse(Problem):
    """:ivar pid: of the process that holds the lock; 0 when the file does not tell."""

    def __init__(self, path: str, pid: int) -> None:
        holder = f"another mailfw (pid {pid})" if pid else "another mailfw"
        super().__init__(f"data directory {path} is in use by {holder}: stop it first, or choose another with --data DIR")
        self.pid = pid


def isDataDirectory(path: str) -> bool:
    """Whether a directory is one: its lock, which others may have too, holds a process id."""
    try:
        handle = os.open(os.path.join(path, "lock"), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(handle).st_mode) and os.read(handle, 20).strip().isdigit()
    finally:
        os.close(handle)


class DataDirectory:
    """One data directory, absolute.

    :param owner: uid and gid that the process will have later (`twistd --uid --gid`); files made before belong to them.
    """

    def __init__(self, path: str, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self._owner = owner
        self._lock: int | None = None

    def file(self, name: str) -> str:
        """A path in the directory."""
        return os.path.join(self.path, name)

    def claim(self) -> None:
        """Make the directory where it is missing, see that it can be written, and take the lock.

        :raises Problem: it cannot be made or written, or (DataInUse) somebody else holds it.
        """
        try:
            if not os.path.isdir(self.path):
                os.makedirs(self.path, mode=0o700)
                self.give(self.path)
        except OSError as error:
            raise self._unusable("cannot be made", error) from None
        if not self._isWritable():
            raise self._unusable("is not writable", None)
        path = self.file("lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable("is not writable", error) from None
        self.give(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            content = os.read(handle, 20).strip()
            os.close(handle)
            raise DataInUse(self.path, int(content) if content.isdigit() else 0) from None
        self._lock = handle
        self.notePid()

    def notePid(self) -> None:
        """Write down who holds the lock; once more after a daemon has forked."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def give(self, path: str) -> None:
        """Hand a file that was just made to the user that the process will run as."""
        if self._owner is not None and os.geteuid() == 0:
            os.chown(path, *self._owner)

    def _isWritable(self) -> bool:
        """Whether the user that the process will run as can write: root's own rights say nothing about that."""
        if self._owner is None or os.geteuid() != 0:
            return os.access(self.path, os.W_OK | os.X_OK)
        uid, gid = self._owner
        status = os.stat(self.path)
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        return uid == 0 or (status.st_mode >> shift) & 0o3 == stat.S_IWOTH | stat.S_IXOTH

    def _unusable(self, what: str, error: OSError | None) -> Problem:
        reason = f" ({error.strerror})" if error else ""
        return Problem(f"data directory {self.path} {what}{reason}: change its rights, or choose another with --data DIR")
