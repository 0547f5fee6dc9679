"""A Python prompt inside the running server, over SSH: for whoever may do everything anyway.

Entry is by a key in the authorised keys file, or by the password of an account with the admin flag. Every entry is logged.
Guesses are counted by where they come from, as everywhere; those who are outside still are few and have little time.
The host key is made once and kept in the data directory. The prompt runs in the reactor's thread: a statement that
blocks blocks the server.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker, readAuthorizedKeyFile
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.interfaces import IConchUser
from twisted.conch.manhole import ColoredManhole
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.app.commands.queue import describe
from mailfw.app.desk import Desk
from mailfw.errors import AuthenticationFailed
from mailfw.net.peer import peerOf

if TYPE_CHECKING:
    from mailfw.app.server import Server

_log = Logger("mailfw.manhole")

GREETING = b"mailfw: help() says what is here; Ctrl-D leaves.\r\n"
HELP = """\
store           the mail store (interfaces.IMailStore)
sessions()      who is connected
queue           mail that waits: queue.list(domain="…"), queue.show(ID), queue.retry(ID, …), queue.hold, queue.release,
                queue.cancel, queue.bounce, queue.flush("example.com"); the words that choose are those of `mailfw queue`
config          the configuration in use
services        the listeners, and the control socket
server          the whole server (mailfw.app.server.Server)
run(coroutine)  wait for an `async def`, as in run(store.openAccount(identity, "mbrain@example.org"))
help()          this

The prompt runs in the server's own thread: what blocks here blocks everybody."""


OUTSIDE = 20
"""Clients that may be there at once without having come in; further ones are hung up on."""

PATIENCE = 60.0
"""Seconds that each of them has."""


class Text(str):
    """A string that a prompt shows as it is."""

    def __repr__(self) -> str:
        return str(self)


def namespace(server: Server) -> dict[str, Any]:
    """The names that a prompt starts with."""
    assert server.system is not None
    system = server.system

    def sessions() -> Text:
        """Who is connected."""
        now = time.time()
        rows: list[tuple[str, ...]] = [("SESSION", "PEER", "ACCOUNT", "STATE", "TLS", "SECONDS", "IN", "OUT")]
        for each in system.context.sessions.infos():
            isTLS = "yes" if each.isTLS else ""
            counters = (f"{now - each.since:.0f}", str(each.octetsIn), str(each.octetsOut))
            rows.append((each.id, each.peer, each.account, each.state, isTLS, *counters))
        return Text(_aligned(rows))

    return {
        "store": system.store,
        "sessions": sessions,
        "queue": QueueVerbs(Desk(system, isRunning=True)),
        "config": server.configuration,
        "services": list(server),
        "server": server,
        "run": Deferred.fromCoroutine,
        "help": lambda: Text(HELP),
    }


class QueueVerbs:
    """The administrator's hand on the queue, at the prompt: the verbs of `mailfw queue`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def list(self, *ids: int, **words: Any) -> Deferred[Text]:
        """Recipients; the words are `recipient`, `domain`, `sender`, `reason`, `state`, `olderThan`, `newerThan`, `limit`."""
        return Deferred.fromCoroutine(self._list(ids, words))

    def show(self, id: int) -> Deferred[Any]:
        """One message."""
        return Deferred.fromCoroutine(self._desk.show(id))

    def flush(self, domain: str) -> Deferred[Text]:
        """Try everything at once that waits for a domain."""
        return self._do("retry", (), {"domain": domain})

    def __getattr__(self, verb: str) -> Callable[..., Deferred[Text]]:
        """`retry`, `hold`, `release`, `cancel`, `bounce`: of messages, or of what words choose; not of everything by mistake."""
        if verb not in ("retry", "hold", "release", "cancel", "bounce"):
            raise AttributeError(verb)
        return lambda *ids, **words: self._do(verb, ids, words)

    def _do(self, verb: str, ids: Sequence[int], words: dict[str, Any]) -> Deferred[Text]:
        if not (ids or set(words) - {"text"}):
            raise TypeError(f"say which: queue.{verb}(ID, …), or words that choose, as in domain='example.com'")
        return Deferred.fromCoroutine(self._count(verb, ids, words))

    async def _count(self, verb: str, ids: Sequence[int], words: dict[str, Any]) -> Text:
        return Text(f"{await self._desk.perform(f'queue {verb}', {'ids': ids, **words})} recipients")

    async def _list(self, ids: Sequence[int], words: dict[str, Any]) -> Text:
        found = await self._desk.entries(ids=ids, **words)
        now = time.time()
        lines = [describe(entry, now) for entry in found["recipients"]]
        return Text("\n".join([*lines, f"{found['total']} recipients"]))


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


class Prompt(ColoredManhole):
    """One prompt."""

    isGreeted = False

    def terminalSize(self, width: int, height: int) -> None:
        """Draw the screen for its size; the first time, greet."""
        super().terminalSize(width, height)
        if not self.isGreeted:
            self.isGreeted = True
            self.terminal.eraseDisplay()
            self.terminal.cursorHome()
            self.terminal.write(GREETING)
            self.drawInputLine()


@implementer(IAuthorizedKeysDB)
class AuthorizedKeys:
    """The keys of a file, read anew at each entry, and good for every user name."""

    def __init__(self, path: Callable[[], str]) -> None:
        self._path = path

    def getAuthorizedKeys(self, username: bytes) -> Iterable[Key]:
        """None where there is no such file; conch logs a line that is no key, and passes it over."""
        try:
            with open(self._path(), "rb") as file:
                return list(readAuthorizedKeyFile(file))
        except FileNotFoundError:
            return []
        except OSError as error:
            _log.error("{path} cannot be read: {error}", path=self._path(), error=error.strerror)
            return []


@implementer(ICredentialsChecker)
class Administrators:
    """Accounts with the admin flag, by their passwords."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, server: Server, peer: str) -> None:
        self._server = server
        self._peer = peer

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Who that is (ICredentialsChecker). :raises UnauthorizedLogin:"""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> bytes | tuple[()]:
        assert self._server.system is not None
        logins = self._server.system.context.logins
        user, password = credentials.username.decode("utf-8", "replace"), credentials.password.decode("utf-8", "replace")
        try:
            identity = await logins.password(user, password, service="manhole", peer=self._peer)
        except AuthenticationFailed:
            raise UnauthorizedLogin from None
        if not identity.isAdmin:
            _log.warn("manhole: {account} is no administrator", account=identity.account)
            raise UnauthorizedLogin
        return identity.account.encode()


class _Session(TerminalSession):
    """A session that outlives a resized window and ends with its input, which conch's own does not."""

    width, height = 80, 24

    def openShell(self, proto: Any) -> None:
        self._screen: Any = self.chainedProtocolFactory()
        self.transportFactory(proto, self._screen, IConchUser(self.original), self.width, self.height)

    def windowChanged(self, newWindowSize: tuple[int, ...]) -> None:
        self.height, self.width = newWindowSize[:2]
        self._screen.terminalProtocol.terminalSize(self.width, self.height)

    def eofReceived(self) -> None:
        self._screen.dataReceived(b"\x04")


class _Realm(TerminalRealm):
    sessionFactory = _Session

    def requestAvatar(self, avatarId: bytes, mind: object, *interfaces: Any) -> Any:
        _log.warn("manhole: {user} came in", user=avatarId.decode("utf-8", "replace"))
        return super().requestAvatar(avatarId, mind, *interfaces)


class _Transport(SSHServerTransport):
    """One connection."""

    factory: Any  # _Factory, which the class above has no way to name
    _cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.factory.outside.add(self)
        self._cut = self.factory.clock.callLater(PATIENCE, transport.abortConnection)
        super().connectionMade()

    def setService(self, service: Any) -> None:
        super().setService(service)
        if hasattr(self, "avatar"):
            self._isInOrGone()

    def connectionLost(self, reason: Failure | None = connectionDone) -> None:
        self._isInOrGone()
        super().connectionLost(reason)

    def _isInOrGone(self) -> None:
        self.factory.outside.discard(self)
        if self._cut is not None and self._cut.active():
            self._cut.cancel()


class _Entrance(SSHUserAuthServer):
    """Lets in whom the portal for the client's address lets in."""

    def serviceStarted(self) -> None:
        super().serviceStarted()
        transport: Any = self.transport
        self.portal = transport.factory.portalFor(peerOf(transport.transport.getPeer()).host)


class _Factory(ConchFactory):
    """Makes connections for one server. :ivar outside: those who have not come in."""

    protocol = _Transport
    services = {**ConchFactory.services, b"ssh-userauth": _Entrance}

    def __init__(self, portalFor: Callable[[str], Portal], clock: Any) -> None:
        super().__init__(portalFor(""))
        self.portalFor = portalFor
        self.clock = clock
        self.outside: set[_Transport] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return super().buildProtocol(addr) if len(self.outside) < OUTSIDE else None


def makeFactory(server: Server, reactor: Any) -> Any:
    """What listens: an SSH factory for one server."""
    realm: Any = _Realm()
    realm.chainedProtocolFactory = lambda: ServerProtocol(Prompt, namespace(server))
    keys = AuthorizedKeys(lambda: server.configuration.path(server.configuration.manhole.authorizedKeys))

    def portalFor(peer: str) -> Portal:
        return Portal(realm, [SSHPublicKeyChecker(keys), Administrators(server, peer)])

    factory: Any = _Factory(portalFor, reactor)
    key = _hostKey(server.data.file("manhole_host_key"))
    factory.publicKeys = {b"ssh-ed25519": key.public()}
    factory.privateKeys = {b"ssh-ed25519": key}
    return factory


def _hostKey(path: str) -> Key:
    """The server's own key, made once."""
    try:
        key: Key = Key.fromFile(path)
    except FileNotFoundError:
        key = Key(Ed25519PrivateKey.generate())
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key.toString("openssh"))
    return key
