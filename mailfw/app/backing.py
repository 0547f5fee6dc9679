"""Wires the `backup` room to a system: what is in a set of it, and what the databases of one need when they are used again."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import asdict
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread

from mailfw import __version__
from mailfw.app.problem import Problem
from mailfw.auth.rows import SCHEMA as ACCOUNTS
from mailfw.backup import BackupError, Maker, Manifest, Place, Restorer, Shelf, Tell, verify
from mailfw.delivery.queue.queue import blobsOf as blobsOfQueue
from mailfw.delivery.queue.restored import resume
from mailfw.delivery.queue.schema import SCHEMA as QUEUE
from mailfw.hooks.greylist import SCHEMA as GREYLIST
from mailfw.interfaces import IFiledStore, IMailStore
from mailfw.moving import Progress, Stopped
from mailfw.moving.journal import SCHEMA as MOVING
from mailfw.sql import Connection, Database, Schema
from mailfw.storage.content import BLOB
from mailfw.storage.files import isDotLock
from mailfw.storage.restored import renumber
from mailfw.storage.schema import SCHEMA as STORE
from mailfw.storage.sqlite import blobsOf

if TYPE_CHECKING:
    from mailfw.app.context import System

SHELVES = {
    STORE.name: Shelf(f"SELECT CAST(body AS TEXT) FROM content WHERE encoding = {BLOB}", blobsOf),
    QUEUE.name: Shelf("SELECT blob FROM content WHERE blob <> ''", blobsOfQueue),
}
VERSIONS = {schema.name: schema.version for schema in (STORE, QUEUE, ACCOUNTS, GREYLIST, MOVING)}

_OURS = frozenset(("lock", "control", "console", "spool", "manhole_history"))
"""What in a data directory is a process's own."""

_CACHE = re.compile(r"(?:\A|/)(?:search[0-9]+|state/[0-9a-f]{16})\.index(?:-wal|-shm|-journal)?\Z")
"""Indexes of a store's, which are made anew."""

_ON_DISK = ("sqlite", "maildir", "textfile")
_LOCKED = ("maildir", "textfile")
_SHARE = 1.0
_LEAST_PAUSE = 0.002


class Pace:
    """Rests for as long as it works, so that others find processor and disk free; and sees whether it is to stop."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._since = time.monotonic()
        self._stop = threading.Event()

    def __call__(self, path: str, octets: int) -> None:
        """:raises Stopped: somebody wants no more of it."""
        self._progress.mailbox = path
        self._progress.octets += octets
        self._progress.check()
        worked = time.monotonic() - self._since
        if worked > _LEAST_PAUSE:
            self._stop.wait(worked * _SHARE)
            self._since = time.monotonic()


async def backUp(system: System, progress: Progress, directory: str, previous: str = "") -> dict[str, Any]:
    """Make a set of the system; what is in it. :raises Problem: it cannot be made, or was stopped."""
    turns = _Turns(system.store, system.reactor)
    maker = Maker(_places(system), directory, previous, SHELVES, f"mailfw {__version__}", Pace(progress), turns)
    progress.account = directory
    begun = time.monotonic()
    made: Deferred[Manifest] = deferToThread(maker.make)
    ended: Deferred[None] = Deferred()

    def end() -> Deferred[None]:
        progress.isStopped = True
        return ended

    trigger = system.reactor.addSystemEventTrigger("before", "shutdown", end)
    try:
        manifest = await made
    except BackupError as error:
        raise Problem(str(error)) from None
    except Stopped:
        raise Problem("the backup was stopped, and nothing is left of it") from None
    finally:
        system.reactor.removeSystemEventTrigger(trigger)
        ended.callback(None)
    return {**summary(directory, manifest), "seconds": time.monotonic() - begun}


class _Turns:
    """Gives a thread one account's files after another, by way of the store. What goes wrong there is raised as it is."""

    def __init__(self, store: IMailStore, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor
        self._failures: list[BaseException] = []

    def __call__(self, take: Callable[[Sequence[str]], None]) -> None:
        def careful(paths: Sequence[str]) -> None:
            if not self._failures:
                try:
                    take(paths)
                except BaseException as error:  # the store would make its own of it
                    self._failures.append(error)

        def run() -> Deferred[None]:
            return Deferred.fromCoroutine(self._run(careful))

        wait: Callable[..., None] = blockingCallFromThread  # whose types know no Deferred of None
        wait(self._reactor, run)
        if self._failures:
            raise self._failures[0]

    async def _run(self, take: Callable[[Sequence[str]], None]) -> None:
        if IFiledStore.providedBy(self._store):
            await IFiledStore(self._store).takeFiles(take)


def summary(directory: str, manifest: Manifest) -> dict[str, Any]:
    """What is in a set, for people and programs."""
    return {
        "directory": directory,
        "moment": manifest.moment,
        "program": manifest.program,
        "files": len(manifest.files),
        "databases": len(manifest.databases),
        "octets": manifest.octets,
    }


def _places(system: System) -> list[Place]:
    """The data directory, and the store where that is elsewhere."""
    data = os.path.abspath(system.data.path)
    prefix, _, argument = system.configuration.store.partition(":")
    store = os.path.normpath(os.path.join(data, argument.partition("?")[0])) if prefix in _ON_DISK else data
    file = system.configuration.log.file
    isOurs = partial(_isOurs, "" if file == "-" else os.path.relpath(system.configuration.path(file), data))
    if store != data and not store.startswith(data + os.sep):
        return [_place("data", data, None, prefix, isOurs), _place("store", store, "", prefix, lambda path: False)]
    root = "" if store == data else os.path.relpath(store, data) + os.sep
    return [_place("data", data, root, prefix, isOurs)]


def _place(name: str, path: str, root: str | None, prefix: str, isOurs: Callable[[str], bool]) -> Place:
    """:param root: where in it the store is, with a slash behind; empty: all of it is; None: it is elsewhere.
    :param prefix: of the store.
    :param isOurs: what is a process's own, but where the store is: that may be called as one likes.
    """

    def isMail(each: str) -> bool:
        return root is not None and each.startswith(root)

    def part(each: str) -> str:
        return _part(each[len(root or "") :]) if prefix == "maildir" and isMail(each) else ""

    def isMessage(each: str) -> bool:
        return part(each) in ("cur", "new")

    def isLeft(each: str) -> bool:
        if part(each):
            return part(each) == "tmp"  # nobody was told that these have come
        if prefix in _LOCKED and isMail(each) and isDotLock(each):
            return True  # restored, one would lock people out of their mail
        return _CACHE.search(each) is not None or (isOurs(each) and not (root and isMail(each)))

    def identityOf(each: str) -> str:
        folder, file = os.path.split(each)
        return os.path.join(os.path.dirname(folder), file.partition(":")[0]) if isMessage(each) else each

    return Place(name, path, isLeft, isMessage, identityOf)


def _part(path: str) -> str:
    """In which part of a Maildir a file is, by its path below the root: `cur`, `new`, `tmp`; empty: it is no message.

    An account may be called so, too, whose own directory has other files in it.
    """
    *above, part, name = ["", *path.split(os.sep)]
    return part if name and any(above) and part in ("cur", "new", "tmp") else ""


def _isOurs(log: str, path: str) -> bool:
    """Whether a path is a process's own, or a log, or one that was rotated."""
    rest = path[len(log) :]
    isLog = bool(log) and path.startswith(log) and (not rest or rest[0] in ".-") and os.sep not in rest
    return isLog or path.partition(os.sep)[0] in _OURS


def check(directory: str, tell: Tell) -> list[dict[str, Any]]:
    """What of a set is not as its manifest says. Blocks. :raises Problem:"""
    try:
        return [asdict(flaw) for flaw in verify(directory, tell)]
    except BackupError as error:
        raise Problem(str(error)) from None


def restore(directory: str, data: str, isHeld: bool, tell: Tell) -> dict[str, Any]:
    """Make a data directory of a set; what was in it. Blocks.

    :param isHeld: what is in the queue is held there.
    :raises Problem:
    """
    prepares = {
        STORE.name: partial(_prepare, STORE, renumber),
        QUEUE.name: partial(_prepare, QUEUE, partial(resume, isHeld=isHeld)),
    }
    restorer = Restorer(directory, data, prepares, VERSIONS, tell, _ownerOf(data))
    try:
        manifest = restorer.restore()
    except BackupError as error:
        raise Problem(str(error)) from None
    return {**summary(directory, manifest), "data": data}


def _prepare(schema: Schema, change: Callable[[Connection, float, float], None], path: str, moment: float) -> None:
    database = Database.open(path, schema, reactor=None, isInline=True)
    try:
        database.call(lambda connection: change(connection, moment, time.time()))
    finally:
        database.close()


def _ownerOf(data: str) -> tuple[int, int] | None:
    """To whom root gives what it restores: the owner of the empty directory, where there is one."""
    if os.geteuid() != 0 or not os.path.isdir(data):
        return None
    status = os.stat(data)
    return status.st_uid, status.st_gid
