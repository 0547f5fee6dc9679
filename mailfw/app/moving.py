"""Wires the `moving` room to the stores of a system: what `mailfw store` does, in the process that owns the data directory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import asdict
from twisted.internet.threads import deferToThreadPool

from mailfw.app.backing import backUp
from mailfw.app.datadir import DataDirectory, isDataDirectory
from mailfw.app.faraway import RemotePlace, logIn
from mailfw.app.problem import Problem
from mailfw.errors import Refusal
from mailfw.interfaces import ICheckedStore, IMailStore, IRepairedStore, IStoreAccounts
from mailfw.moving import Carrier, Exporter, Files, Folder, Importer, Journal, Progress, RemoteAccount, Summary, Variant
from mailfw.values import Identity, accountName

if TYPE_CHECKING:
    from mailfw.app.context import System

_ON_DISK = ("sqlite", "maildir", "textfile")


async def copyStore(system: System, progress: Progress, origin: str, target: str, accounts: Sequence[str] = ()) -> dict[str, Any]:
    """Copy mail from one store to another; a summary.

    :param accounts: whose: `ADDRESS`, or `ADDRESS=ADDRESS` where they have another name in the target; none: everybody's.
    :raises Problem:
    """
    if _isSame(system, origin, target):
        raise Problem("a store cannot be copied to itself")
    _mustExist(system, origin)
    with _owned(system, origin), _owned(system, target):
        async with _Opened(system, origin) as source, _Opened(system, target) as store:
            names = await _names(system, source, origin, accounts)
            journal = Journal(system.data.file("moving.sqlite"), system.reactor)
            try:
                return asdict(await _copy(source, store, names, journal, progress, (origin, target)))
            finally:
                await journal.close()


async def _copy(
    source: IMailStore,
    store: IMailStore,
    names: Sequence[tuple[str, str]],
    journal: Journal,
    progress: Progress,
    specifications: tuple[str, str],
) -> Summary:
    origin, target = specifications
    begun, summary = time.monotonic(), Summary()
    opened = [(await source.openAccount(Identity(one, isAdmin=True), one), other) for one, other in names]
    for account, _ in opened:
        for info in await account.mailboxes():
            if info.isSelectable:
                progress.total += (await (await account.open(info.name)).status()).messages
    for account, name in opened:
        progress.account = account.owner
        theirs = await store.openAccount(Identity(name, isAdmin=True), name)
        carrier = Carrier(account, theirs, f"{origin} {account.owner}", f"{target} {name}", journal, progress)
        summary.accounts.append(await carrier.carry())
    summary.seconds = time.monotonic() - begun
    return summary


async def _names(system: System, source: IMailStore, origin: str, accounts: Sequence[str]) -> list[tuple[str, str]]:
    """Names in one store and in the other. :raises Problem: there is no such account."""
    known = await IStoreAccounts(source).accounts() if IStoreAccounts.providedBy(source) else None
    if not accounts:
        if known is None:
            raise Problem(f"{origin} cannot say whose mail it has: name accounts with --account ADDRESS")
        return [(name, name) for name in known]
    names = []
    for text in accounts:
        one, _, other = text.partition("=")
        pair = _canonical(system, one), _canonical(system, other or one)
        if known is not None and pair[0] not in known:
            raise Problem(f"{origin} has no account {pair[0]}")
        names.append(pair)
    return names


def _canonical(system: System, address: str) -> str:
    try:
        return accountName(address, system.configuration.domains[0])
    except ValueError as error:
        raise Problem(str(error)) from None


class _Opened:
    """A store that is open for a while; the system's own one stays open."""

    def __init__(self, system: System, specification: str) -> None:
        self._isOwn = _isSame(system, specification, system.configuration.store)
        self._open: Callable[[], IMailStore] = (
            (lambda: system.store) if self._isOwn else lambda: system.openAnother(specification)
        )
        self._store: IMailStore | None = None

    async def __aenter__(self) -> IMailStore:
        self._store = self._open()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        if not self._isOwn and self._store is not None:
            await self._store.close()


def _path(system: System, specification: str) -> str:
    """Where a store of ours lies; empty for others."""
    prefix, _, argument = specification.partition(":")
    return os.path.join(system.configuration.data, argument.partition("?")[0]) if prefix in _ON_DISK else ""


def _isSame(system: System, one: str, other: str) -> bool:
    """Whether two specifications mean one store, however its path is spelled: nobody else may open one that is open."""
    paths = {os.path.realpath(path) if (path := _path(system, each)) else each for each in (one, other)}
    return one == other or (len(paths) == 1 and one.partition(":")[0] == other.partition(":")[0])


def _mustExist(system: System, specification: str) -> None:
    path = _path(system, specification)
    if path and not os.path.isdir(path):
        raise Problem(f"there is no store {specification}: {path} is no directory that this user can see")


@contextmanager
def _owned(system: System, specification: str) -> Iterator[None]:
    """While a store of another data directory is used, no server can run there. :raises DataInUse: one does."""
    path = os.path.abspath(_path(system, specification) or "/")
    data = path
    while data != "/" and not isDataDirectory(data):
        data = os.path.dirname(data)
    if data == "/" or os.path.realpath(data) == os.path.realpath(system.data.path):
        yield
        return
    directory = DataDirectory(data)
    directory.claim()
    try:
        yield
    finally:
        directory.release()


async def importMail(
    system: System, progress: Progress, account: str, sources: Sequence[str], mailbox: str = "", variant: str = ""
) -> dict[str, Any]:
    """Bring mail from files and directories into an account; a summary.

    :param sources: absolute paths.
    :param mailbox: where all of it goes; empty: where names of files and directories say.
    :param variant: of mbox files; empty: as their contents say.
    :raises Problem:
    """
    name = await _existing(system, account)
    progress.account = name

    def inThread(work: Callable[[], Any]) -> Any:
        return deferToThreadPool(system.reactor, system.reactor.getThreadPool(), work)

    begun, summary = time.monotonic(), Summary()
    found = [Files(source, mailbox, Variant(variant) if variant else None) for source in sources]
    folders = [await _looked(files, inThread) for files in found]
    for some in folders:
        for folder in some:
            progress.check()
            progress.total += await inThread(folder.count)
    journal = Journal(system.data.file("moving.sqlite"), system.reactor)
    try:
        theirs = await system.store.openAccount(Identity(name, isAdmin=True), name)
        importer = Importer(theirs, f"{system.configuration.store} {name}", journal, progress, inThread)
        for files, some in zip(found, folders, strict=True):
            one = await importer.bring(files.path, some)
            one.losses += [f"{path} is no mail" for path in files.passed]
            summary.accounts.append(one)
    finally:
        await journal.close()
    summary.seconds = time.monotonic() - begun
    return asdict(summary)


async def importRemote(
    system: System,
    progress: Progress,
    account: str,
    url: str,
    password: str,
    folders: Sequence[str] = (),
    mailbox: str = "",
    isInsecure: bool = False,
) -> dict[str, Any]:
    """Bring mail from another server's IMAP account; a summary.

    :param folders: only these, by their names there.
    :param mailbox: where all of it goes; empty: to each its own.
    :raises Problem:
    """
    name = await _existing(system, account)
    place = RemotePlace.parse(url)
    progress.account = name
    begun, summary = time.monotonic(), Summary()
    client = await logIn(system.reactor, place, password, isInsecure)
    journal = Journal(system.data.file("moving.sqlite"), system.reactor)
    try:
        theirs = await system.store.openAccount(Identity(name, isAdmin=True), name)
        origin = RemoteAccount(client, str(place), await theirs.mailboxes(), folders, mailbox)
        await _measure(origin, progress)
        carrier = Carrier(origin, theirs, str(place), f"{system.configuration.store} {name}", journal, progress)
        one = await carrier.carry()
        one.losses += origin.losses
        summary.accounts.append(one)
        await client.logOut()
    except ConnectionError as error:
        raise Problem(f"{place.host}: {error}; give the command again to go on from there") from None
    finally:
        await client.connection.close(ConnectionError("all is done"))
        await journal.close()
    summary.seconds = time.monotonic() - begun
    return asdict(summary)


async def _measure(origin: RemoteAccount, progress: Progress) -> None:
    """Count what there is to bring. :raises Problem: a folder that was asked for is not there."""
    try:
        for info in await origin.mailboxes():
            progress.total += await origin.size(info)
    except Refusal as refusal:
        raise Problem(f"{origin.owner}: {refusal.text}") from None


async def _existing(system: System, account: str) -> str:
    """The canonical name of an account. :raises Problem: nobody is called so."""
    name = _canonical(system, account)
    if not await system.hasAccount(name):
        raise Problem(f"there is no account {name}: add it with mailfw user add {name}")
    return name


async def _looked(files: Files, inThread: Callable[[Callable[[], Any]], Any]) -> list[Folder]:
    try:
        folders: list[Folder] = await inThread(files.folders)
    except OSError as error:
        raise Problem(f"{files.path} cannot be read: {os.strerror(error.errno or 0)}") from None
    if not folders:
        raise Problem(f"{files.path} has no mail in it: name an mbox file, a Maildir, .eml files, or a directory of these")
    return folders


async def exportMail(
    system: System, progress: Progress, account: str, target: str, kind: str, mailboxes: Sequence[str] = ()
) -> dict[str, Any]:
    """Write an account's mail into files; a summary.

    :param target: an absolute path, where nothing is.
    :param kind: of `WRITERS`.
    :param mailboxes: only these; none: all.
    :raises Problem:
    """
    name = await _existing(system, account)
    progress.account = name
    begun, summary = time.monotonic(), Summary()
    theirs = await system.store.openAccount(Identity(name, isAdmin=True), name)
    for info in await theirs.mailboxes():
        if info.isSelectable and (not mailboxes or info.name in mailboxes):
            progress.total += (await (await theirs.open(info.name)).status()).messages

    def inThread(work: Callable[[], Any]) -> Any:
        return deferToThreadPool(system.reactor, system.reactor.getThreadPool(), work)

    try:
        summary.accounts.append(await Exporter(theirs, kind, target, progress, inThread).write(mailboxes))
    except OSError as error:
        raise Problem(f"{target} cannot be written: {error.strerror or error}") from None
    except Refusal as refusal:
        raise Problem(refusal.text) from None
    summary.seconds = time.monotonic() - begun
    return asdict(summary)


async def checkStore(system: System, progress: Progress) -> list[dict[str, Any]]:
    """What is wrong in the system's store. :raises Problem: the store cannot tell."""
    store = system.store
    if not ICheckedStore.providedBy(store):
        raise Problem(f"{system.configuration.store} has no check of its own")
    return [asdict(damage) for damage in await ICheckedStore(store).check()]


async def repairStore(system: System, progress: Progress, isRehearsal: bool = True) -> list[dict[str, Any]]:
    """Mend the system's store, in which nobody else may work; what was done, or would be.

    :raises Problem: the store cannot, or a server is at work in it.
    """
    if system.isServing:
        raise Problem("store repair needs the store for itself: stop the server first")
    store = system.store
    if not IRepairedStore.providedBy(store):
        raise Problem(f"{system.configuration.store} cannot mend itself")
    return [asdict(damage) for damage in await IRepairedStore(store).repair(isRehearsal)]


OPERATIONS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "backup": backUp,
    "store check": checkStore,
    "store copy": copyStore,
    "store export": exportMail,
    "store import": importMail,
    "store import remote": importRemote,
    "store repair": repairStore,
}
