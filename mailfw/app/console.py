"""The client of `mailfw console`: this terminal, or this pipe, on the manhole of the running server.

It speaks SSH as any client does, but brings a key that was made a moment ago and told to the server over the control socket, and
knows the server's key from there too: so nobody is asked for anything, and nobody else can be in between.
"""

from __future__ import annotations

import os
import signal
import struct
import termios
import tty
from collections.abc import Callable
from typing import Any

from twisted.conch.error import ConchError
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import packRequest_pty_req, packRequest_window_change
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.app.problem import Problem
from mailfw.app.remote import Reachable

GONE = "the server went away; its log may say why"
PICTURE = b"\x1b[?1049"
"""What begins (`h`) and ends (`l`) a picture in place of the screen."""

LEAVES = b"\r~."
"""What leaves though the server answers nothing, as in OpenSSH: Enter, then `~.`."""


class Console:
    """One visit.

    :param path: of the socket that leads to the manhole.
    :param hostKey: the server's public key, as SSH sends it. :param key: ours.
    """

    def __init__(self, reactor: Any, path: str, hostKey: bytes, key: Key, user: str) -> None:
        self.reactor = reactor
        self.hostKey = hostKey
        self.key = key
        self.user = user
        self.isTerminal = os.isatty(0) and os.isatty(1)
        self.status = 1
        self.trouble = ""
        self._reachable = Reachable(path)
        self._isOver = False
        self._settings: Any = None

    def begin(self) -> None:
        """Connect."""
        factory = Factory.forProtocol(lambda: _Transport(self))
        factory.noisy = False
        connected: Deferred[Any] = UNIXClientEndpoint(self.reactor, self._reachable.__enter__()).connect(factory)
        connected.addErrback(lambda failure: self.end(1, f"the console cannot be reached: {failure.value}"))
        connected.addBoth(lambda _: self._reachable.__exit__())

    def raw(self) -> None:
        """Give every key to the server."""
        if self.isTerminal and self._settings is None:
            self._settings = termios.tcgetattr(0)
            tty.setraw(0)

    def end(self, status: int, trouble: str = "") -> None:
        """Leave. :param trouble: what to say to whoever is there."""
        if not self._isOver:
            self._isOver = True
            self.status, self.trouble = status, trouble
            self.reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        self.restore()
        if self.reactor.running:
            self.reactor.stop()

    def restore(self) -> None:
        """Give the terminal back as it was."""
        settings, self._settings = self._settings, None
        if settings is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, settings)

    def size(self) -> tuple[int, int, int, int]:
        """Rows and columns of the terminal; points, which nobody asks for."""
        columns, rows = os.get_terminal_size(1)
        return rows, columns, 0, 0


class _Transport(SSHClientTransport):
    def __init__(self, console: Console) -> None:
        self._console = console

    def verifyHostKey(self, hostKey: bytes, fingerprint: str) -> Deferred[Any]:
        if hostKey == self._console.hostKey:
            return succeed(True)
        self._console.end(1, "somebody else answers in the manhole's place: its key is another")
        return fail(ConchError("another key"))

    def connectionSecure(self) -> None:
        self.requestService(_Entry(self._console, _Connection(self._console)))

    def connectionLost(self, reason: Failure | None = connectionDone) -> None:
        super().connectionLost(reason)
        self._console.end(1, GONE)

    def receiveError(self, reasonCode: int, description: Any) -> None:
        self._console.end(1, "the manhole does not let this console in: was it stopped for too long?")


class _Entry(SSHUserAuthClient):
    preferredOrder = [b"publickey"]

    def __init__(self, console: Console, connection: SSHConnection) -> None:
        super().__init__(console.user.encode(), connection)
        self._key = console.key
        self._isTold = False

    def getPublicKey(self) -> Any:
        isTold, self._isTold = self._isTold, True
        return None if isTold else self._key.public()

    def getPrivateKey(self) -> Deferred[Key]:
        return succeed(self._key)


class _Connection(SSHConnection):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.openChannel(_Channel(self._console, conn=self))


class _Channel(SSHChannel):
    name = b"session"
    conn: Any

    def __init__(self, console: Console, conn: SSHConnection) -> None:
        super().__init__(conn=conn)
        self._console = console
        self._status = 1
        self._recent = b"\r"
        self._isEnded = False  # the server has said so
        self._isPicture = False
        self._input: _Input | None = None

    def channelOpen(self, specificData: bytes) -> None:
        console = self._console
        if console.isTerminal:
            term = os.environ.get("TERM", "dumb").encode()
            self.conn.sendRequest(self, b"pty-req", packRequest_pty_req(term, console.size(), b"\0"))
            signal.signal(signal.SIGWINCH, lambda *_: console.reactor.callFromThread(self._resized))
            console.raw()
        opened = self.conn.sendRequest(self, b"shell", b"", wantReply=1)
        opened.addCallbacks(lambda _: self._listen(), lambda _: console.end(1, "the manhole opens no prompt"))

    def openFailed(self, reason: Any) -> None:
        self._console.end(1, "the manhole opens no session")

    def dataReceived(self, data: bytes) -> None:
        if (at := data.rfind(PICTURE)) >= 0:
            self._isPicture = data[at + len(PICTURE) :].startswith(b"h")
        _writeAll(1, data)

    def extReceived(self, dataType: int, data: bytes) -> None:
        _writeAll(2, data)

    def request_exit_status(self, data: bytes) -> bool:
        (self._status,) = struct.unpack(">L", data)
        self._isEnded = True
        return True

    def closed(self) -> None:
        if self._input is not None:
            self._console.reactor.removeReader(self._input)
        if self._isEnded:
            self._console.end(self._status)
        else:
            self._cleanUp()
            self._console.end(1, GONE)

    def _cleanUp(self) -> None:
        """The server has not: show the screen as it was, with a cursor on a line of its own, and paste as ever."""
        if self._console.isTerminal:
            _writeAll(1, (PICTURE + b"l") * self._isPicture + b"\x1b[?25h\x1b[?2004l\r\n")

    def _listen(self) -> None:
        self._input = _Input(self._typed, self._ended)
        self._console.reactor.addReader(self._input)

    def _typed(self, data: bytes) -> None:
        self._recent = (self._recent + data)[-len(LEAVES) :]
        if self._console.isTerminal and self._recent == LEAVES:
            self._cleanUp()
            self._console.end(1, "left without a word")
        else:
            self.write(data)

    def _ended(self) -> None:
        given, self._input = self._input, None
        if given is not None:
            self._console.reactor.removeReader(given)
            if not self.localClosed:
                self.conn.sendEOF(self)

    def _resized(self) -> None:
        if not self.localClosed:
            self.conn.sendRequest(self, b"window-change", packRequest_window_change(self._console.size()))


@implementer(IReadDescriptor)
class _Input:
    """Standard input as the reactor reads it. It stays blocking, because the terminal is the same file for standard output, and
    for whoever has it after us."""

    def __init__(self, take: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self._take = take
        self._end = end

    def fileno(self) -> int:
        return 0

    def logPrefix(self) -> str:
        return "standard input"

    def doRead(self) -> None:
        try:
            data = os.read(0, 65536)
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._end()

    def connectionLost(self, reason: Failure) -> None:
        """A pipe whose other end is closed is lost to the reactor."""
        self._end()


def _writeAll(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def visit(make: Callable[[Any], Console]) -> int:
    """Run a console until it ends; the exit status. :raises Problem: it could not be had."""
    from twisted.internet import reactor as globalReactor
    from twisted.logger import globalLogBeginner

    reactor: Any = globalReactor
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    console = make(reactor)
    reactor.callWhenRunning(console.begin)
    try:
        reactor.run()
    finally:
        console.restore()
    if console.trouble:
        raise Problem(console.trouble)
    return console.status
