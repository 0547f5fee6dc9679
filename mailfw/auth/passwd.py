"""`passwd:FILE` – accounts in a text file that somebody else keeps: Dovecot's passwd-file, or htpasswd's. It is never
written.

    user:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
    user:hash

The file is read again when it has changed; while it cannot be read, what was read last holds. Users without a domain
are of the first configured one. Where a name is there twice, its first line counts. Of the extra fields `nologin`
(the account is suspended) and `allow_nets=NETWORK,…` (from where it may log in) are obeyed; the others concern
Dovecot's storage and are passed over.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.auth import hashes
from mailfw.auth.hashing import Hasher
from mailfw.errors import AccountSuspended, AuthenticationFailed
from mailfw.interfaces import IAuthContext, IAuthenticator, IAuthenticatorPlugin, IIdentitySource, IUserList
from mailfw.values import Credentials, Identity, PasswordCredentials, accountName

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SETTLED = 2.0  # seconds after which a file's time stamp is trusted to have changed with its content


@frozen
class Entry:
    """One user of the file. :ivar networks: from where alone the user may log in; None: from anywhere."""

    password: str = field(repr=False)
    isSuspended: bool = False
    networks: tuple[Network, ...] | None = None

    def isAllowedFrom(self, peer: str) -> bool:
        """Whether `allow_nets` lets that peer in. A Unix socket, which has no address, is let in only where nothing is said."""
        if self.networks is None:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@frozen
class Table:
    """What a file says. :ivar mistakes: number of the line, and what is wrong with it; its user is not there."""

    entries: Mapping[str, Entry] = field(factory=dict)
    passwords: tuple[str, ...] = field(default=(), repr=False)
    mistakes: tuple[tuple[int, str], ...] = ()


def parseLine(line: str) -> tuple[str, Entry] | None:
    """One line's user and entry; None where it is empty or a comment.

    :raises ValueError: it makes no sense; the text says why, and shows no password.
    """
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    user, colon, rest = line.partition(":")
    if not colon or not user.strip():
        raise ValueError("not user:password")
    password, *fields = rest.split(":", 6)
    extra = fields[5] if len(fields) == 6 else ""
    hashes.check(password)
    isSuspended, networks = _parseExtra(extra)
    return user.strip(), Entry(password, isSuspended, networks)


def _parseExtra(extra: str) -> tuple[bool, tuple[Network, ...] | None]:
    isSuspended, networks = False, None
    for word in extra.split():
        key, _, value = word.partition("=")
        if key == "nologin" and value.lower() not in ("n", "no"):
            isSuspended = True
        elif key == "allow_nets":
            networks = tuple(ipaddress.ip_network(network.strip(), strict=False) for network in value.split(",") if network)
    return isSuspended, networks


def parseFile(content: bytes, domain: str) -> Table:
    """A whole file, in UTF-8; bad lines are named and cost nobody else anything."""
    entries: dict[str, Entry] = {}
    mistakes = []
    for number, line in enumerate(content.replace(b"\r\n", b"\n").split(b"\n"), 1):
        try:
            parsed = parseLine(line.decode("utf-8"))
            if parsed is None:
                continue
            user, entry = parsed
            if entries.setdefault(accountName(user, domain), entry) is not entry:
                raise ValueError("the user has a line above already")
        except UnicodeDecodeError:
            mistakes.append((number, "not UTF-8"))
        except ValueError as error:
            mistakes.append((number, str(error)))
    return Table(entries, tuple(entry.password for entry in entries.values()), tuple(mistakes))


@implementer(IAuthenticator, IIdentitySource, IUserList)
class PasswdFile:
    """The accounts of one file.

    :param path: of the file.
    :param reactor: IReactorThreads and IReactorFromThreads.
    :param now: seconds since the epoch, UTC: what the file's time stamp is compared with.
    """

    log = Logger()

    def __init__(
        self,
        path: str,
        domain: str,
        hasher: Hasher,
        reactor: Any,
        now: Callable[[], float] = time.time,
        isInline: bool = False,
    ) -> None:
        """:raises ValueError: the file cannot be read."""
        self._path = path
        self._domain = domain
        self._hasher = hasher
        self._reactor = reactor
        self._now = now
        self._isInline = isInline
        try:
            self._stamp = self._stampNow()
            self._table = self._load()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        self._report(self._table)

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises AuthenticationFailed: :raises AccountSuspended: :raises AuthenticationUnavailable:"""
        if not isinstance(credentials, PasswordCredentials) or not hashes.isPossible(credentials.password):
            raise AuthenticationFailed
        table = await self._current()
        name = self._canonical(credentials.user)
        entry = table.entries.get(name)
        if entry is None:
            decoy = table.passwords[self._hasher.decoy(name, len(table.passwords))] if table.passwords else ""
            await self._hasher.pretend(name, decoy, credentials.password)
            raise AuthenticationFailed
        if not await self._hasher.verify(entry.password, credentials.password) or not entry.isAllowedFrom(credentials.peer):
            raise AuthenticationFailed
        if entry.isSuspended:
            raise AccountSuspended
        return Identity(name)

    async def identityOf(self, user: str) -> Identity:
        """`allow_nets` is not asked: it is about passwords. :raises AuthenticationFailed: :raises AccountSuspended:"""
        name = self._canonical(user)
        entry = (await self._current()).entries.get(name)
        if entry is None:
            raise AuthenticationFailed
        if entry.isSuspended:
            raise AccountSuspended
        return Identity(name)

    async def hasAccount(self, account: str) -> bool:
        """Whether the file has that user."""
        return account in (await self._current()).entries

    async def admins(self) -> list[str]:
        """The file names none."""
        return []

    def _canonical(self, user: str) -> str:
        """The name of the account that is meant; empty, as nobody is called, where none can have that name."""
        try:
            return accountName(user, self._domain)
        except ValueError:
            return ""

    # --- Reading it again

    async def _current(self) -> Table:
        """What the file says now, or said when it could last be read."""
        try:
            stamp = self._stampNow()
            if stamp != self._stamp:
                self._stamp = stamp
                self._table = await self._reload()
                self._report(self._table)
        except OSError as error:
            if self._stamp is not None:
                self._stamp = None
                self.log.error("{path} cannot be read, its last content holds: {error}", path=self._path, error=error.strerror)
        return self._table

    async def _reload(self) -> Table:
        if self._isInline:
            return self._load()
        return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._load)

    def _stampNow(self) -> tuple[float, ...] | None:
        """What changes with the file. While it is so fresh that a further change might leave the same stamp, no two are equal."""
        found = os.stat(self._path)
        now = self._now()
        fresh = now if abs(now - found.st_mtime) < _SETTLED else 0.0
        return (found.st_mtime_ns, found.st_size, found.st_ino, fresh)

    def _load(self) -> Table:
        with open(self._path, "rb") as file:
            return parseFile(file.read(), self._domain)

    def _report(self, table: Table) -> None:
        for number, mistake in table.mistakes:
            self.log.error("{path} line {number}: {mistake}", path=self._path, number=number, mistake=mistake)


@implementer(IAuthenticatorPlugin)
class PasswdPlugin:
    """`passwd:FILE`; a relative path starts at the data directory."""

    prefix = "passwd"

    def openAuthenticator(self, argument: str, context: IAuthContext) -> PasswdFile:
        """:raises ValueError: no file is named, or it cannot be read."""
        if not argument:
            raise ValueError("passwd: needs the path of a file")
        hasher = Hasher(context.reactor, context.reactor.seconds, context.isInline)
        path = os.path.join(context.data, argument)
        return PasswdFile(path, context.domains[0], hasher, context.reactor, context.now, context.isInline)


plugin = PasswdPlugin()
