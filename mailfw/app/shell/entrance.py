"""Who comes in to the manhole, over SSH, and what he finds: a prompt on a terminal, or on a pipe.

Entry is by a key in the authorised keys file, by the password of an account with the admin flag, or by a key that was named over
the control socket a moment ago and is good once (`mailfw console`). Every entry is logged. Guesses are counted by where they
come from, as everywhere; those who are outside still are few and have little time. The host key is made once and kept in the
data directory.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.avatar import ConchUser
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker, readAuthorizedKeyFile
from twisted.conch.interfaces import IConchUser, ISession
from twisted.conch.manhole_ssh import ConchFactory
from twisted.conch.ssh.keys import FingerprintFormats, Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import DISCONNECT_BY_APPLICATION, SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.app.shell.history import History
from mailfw.app.shell.names import Names, namespace
from mailfw.app.shell.prompt import Prompt
from mailfw.errors import AuthenticationFailed
from mailfw.net.peer import peerOf

if TYPE_CHECKING:
    from mailfw.app.manhole import Invitations
    from mailfw.app.server import Server

OUTSIDE = 20
"""Clients that may be there at once without having come in; further ones are hung up on."""

PATIENCE = 60.0
"""Seconds that each of them has."""

UNREAD = 65536
"""Octets that a client has not taken, above which it is not told what can be left out."""

_log = Logger("mailfw.manhole")
_counter = itertools.count(1)


@frozen
class Visitor:
    """Who came in. :ivar name: what he is called in the log. :ivar how: by what he was let in."""

    name: str
    how: str


# --- Who is let in ---------------------------------------------------------------------------------------------------


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


class KeyHolders(SSHPublicKeyChecker):
    """Who holds an authorised key, or was announced over the control socket."""

    def __init__(self, keys: AuthorizedKeys, invitations: Invitations) -> None:
        super().__init__(keys)
        self._invitations = invitations

    def requestAvatarId(self, credentials: Any) -> Deferred[Visitor]:
        """Who that is (ICredentialsChecker). :raises UnauthorizedLogin:"""
        checked: Deferred[Any] = super().requestAvatarId(credentials)
        return checked.addCallback(lambda _: self._visitor(credentials))

    def _checkKey(self, pubKey: Key, credentials: Any) -> Key:
        if self._invitations.holds(credentials.blob):
            return pubKey
        found: Key = super()._checkKey(pubKey, credentials)
        return found

    def _visitor(self, credentials: Any) -> Visitor:
        invited = self._invitations.take(credentials.blob)
        if invited is not None:
            return Visitor(invited, "mailfw console")
        fingerprint = Key.fromString(credentials.blob).fingerprint(FingerprintFormats.SHA256_BASE64)
        return Visitor(credentials.username.decode("utf-8", "replace"), f"key SHA256:{fingerprint}")


@implementer(ICredentialsChecker)
class Administrators:
    """Accounts with the admin flag, by their passwords."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, server: Server, peer: str) -> None:
        self._server = server
        self._peer = peer

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Who that is, a `Visitor` (ICredentialsChecker). :raises UnauthorizedLogin:"""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> Visitor:
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
        return Visitor(identity.account, "password")


# --- What he finds ---------------------------------------------------------------------------------------------------


@frozen
class House:
    """What prompts are made of. :ivar names: makes the names for somebody. :ivar histories: where those are kept."""

    names: Names
    histories: str
    reactor: Any


class _User(ConchUser):
    """Somebody who is in, and can do one thing: open sessions."""

    def __init__(self, visitor: Visitor, house: House) -> None:
        super().__init__()
        self.visitor = visitor
        self.house = house
        self.channelLookup[b"session"] = SSHSession

    def __conform__(self, interface: object) -> object:
        return _Session(self) if interface is ISession else None


@implementer(IRealm)
class _Realm:
    def __init__(self, house: House) -> None:
        self._house = house

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        _log.warn("manhole: {user} came in by {how}", user=avatarId.name, how=avatarId.how)
        return IConchUser, _User(avatarId, self._house), lambda: None


class _Channel:
    """An SSH channel as a prompt writes to it."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._isClosed = False

    @property
    def isBlocked(self) -> bool:
        return len(self._channel.buf or b"") > UNREAD

    def write(self, data: bytes) -> None:
        if not self._isClosed:
            self._channel.write(data)

    def leave(self, status: int) -> None:
        """The client is told the status behind all that was written, as far as it reads."""
        if not self._isClosed:
            self._isClosed = True
            self._channel.conn.sendRequest(self._channel, b"exit-status", struct.pack(">L", status))
            self._channel.loseConnection()

    def closed(self) -> None:
        """The channel is gone."""
        self._isClosed = True


class _Pipe:
    """What conch gives a client's octets to."""

    def __init__(self, prompt: Prompt) -> None:
        self.write = prompt.dataReceived

    def loseConnection(self) -> None:
        """The session's own `closed` says it."""


@implementer(ISession)
class _Session:
    """One session: a prompt, on a terminal where the client has asked for one."""

    def __init__(self, user: _User) -> None:
        self._user = user
        self._isTerminal = False
        self._isColoured = True
        self._size = (80, 24)
        self._prompt: Prompt | None = None
        self._channel: _Channel | None = None

    def getPty(self, term: bytes, windowSize: tuple[int, ...], modes: object) -> None:
        """The client has a terminal."""
        self._isTerminal = True
        self._isColoured = term not in (b"dumb", b"")
        self._size = self._sized(windowSize)

    def windowChanged(self, newWindowSize: tuple[int, ...]) -> None:
        """It has another size now."""
        self._size = self._sized(newWindowSize)
        if self._prompt is not None:
            self._prompt.resized(*self._size)

    def openShell(self, proto: Any) -> None:
        """Open the prompt."""
        self._open(proto, self._isTerminal)

    def execCommand(self, proto: Any, command: bytes) -> None:
        """Run what the client's command line says, and no more."""
        prompt = self._open(proto, False)
        prompt.dataReceived(command + b"\n")
        prompt.inputEnded()

    def eofReceived(self) -> None:
        """The client sends no more."""
        if self._prompt is not None:
            if self._isTerminal:
                self._prompt.dataReceived(b"\x04")
            self._prompt.inputEnded()

    def closed(self) -> None:
        """The client is gone."""
        if self._channel is not None:
            self._channel.closed()
        if self._prompt is not None:
            self._prompt.lost()

    def _open(self, proto: Any, isTerminal: bool) -> Prompt:
        house, visitor = self._user.house, self._user.visitor
        self._channel = _Channel(proto.session)
        session = f"manhole-{next(_counter):x}"
        history = History(house.histories, visitor.name)
        names = house.names(visitor.name)
        self._prompt = Prompt(
            self._channel, names, visitor.name, session, history, house.reactor, isTerminal, self._size, self._isColoured
        )
        proto.makeConnection(_Pipe(self._prompt))
        house.reactor.callLater(0, self._prompt.begin)  # the client is told first that it has its session
        return self._prompt

    @staticmethod
    def _sized(windowSize: tuple[int, ...]) -> tuple[int, int]:
        height, width = windowSize[:2]
        return min(width or 80, 1000), min(height or 24, 1000)


# --- Connections -----------------------------------------------------------------------------------------------------


class _Transport(SSHServerTransport):
    """One connection."""

    factory: Any  # _Factory, which the class above has no way to name
    _cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        self.factory.outside.add(self)
        self._cut = self.factory.clock.callLater(PATIENCE, transport.abortConnection)
        super().connectionMade()

    def setService(self, service: Any) -> None:
        super().setService(service)
        if hasattr(self, "avatar"):
            self._isInOrGone()

    def receiveError(self, reasonCode: int, description: Any) -> None:
        """A client that says goodbye is no error."""
        if reasonCode != DISCONNECT_BY_APPLICATION:
            super().receiveError(reasonCode, description)

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
    realm = _Realm(House(lambda who: namespace(server, who), server.data.file("manhole_history"), reactor))
    keys = AuthorizedKeys(lambda: server.configuration.path(server.configuration.manhole.authorizedKeys))

    def portalFor(peer: str) -> Portal:
        return Portal(realm, [KeyHolders(keys, server.door.invitations), Administrators(server, peer)])

    factory: Any = _Factory(portalFor, reactor)
    key = hostKey(server.data.file("manhole_host_key"))
    factory.publicKeys = {b"ssh-ed25519": key.public()}
    factory.privateKeys = {b"ssh-ed25519": key}
    return factory


def hostKey(path: str) -> Key:
    """The server's own key, made once."""
    try:
        key: Key = Key.fromFile(path)
    except FileNotFoundError:
        key = Key(Ed25519PrivateKey.generate())
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key.toString("openssh"))
    return key
