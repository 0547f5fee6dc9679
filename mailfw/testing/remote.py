"""Another system's mail server, as good or as bad as a test wants it; in memory (`Link`) or on a real port.

    remote = Remote(answer=lambda line: "550 5.1.1 nobody" if "nobody@" in line else None)
    reactor.listenTCP(0, Factory.forProtocol(remote.connection), interface="127.0.0.1")

It is told what to answer by the command line; a few moments that are no commands are `CONNECT` (the greeting), `.` (the end of a
message; over LMTP `. address` for each recipient).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.protocol import Protocol

from mailfw.smtp.data import ChunkCounter, DataDecoder

HANG = "hang"
"""Answer nothing, from now on."""

CLOSE = "close"
"""Close the connection without a word."""

FEATURES = ("PIPELINING", "SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING", "DSN")

_PATH = re.compile(r"<(.*?)>(?= |$)")


@define
class Received:
    """A message that the server took. :ivar mail: the command, and :ivar rcpt: those that were accepted."""

    mail: str
    rcpt: list[str]
    content: bytes
    isTLS: bool = False

    @property
    def recipients(self) -> list[str]:
        """Addresses as they were written."""
        return [match[1] for line in self.rcpt if (match := _PATH.search(line))]


@define(eq=False)
class Remote:
    """How the server behaves on all its connections.

    :ivar features: lines of the reply to EHLO after the first; empty: it knows only HELO.
    :ivar answer: what to say to a command line; None: what a server without objections says; HANG; CLOSE. Lines of a reply are
        divided by `\\n`; what does not begin with three digits is sent as it is.
    :ivar tls: for the transport's startTLS.
    :ivar messages: what it took. :ivar said: every command line, one list a connection.
    """

    features: Sequence[str] = FEATURES
    answer: Callable[[str], str | None] = lambda line: None
    isLMTP: bool = False
    tls: Any = None
    messages: list[Received] = field(factory=list)
    said: list[list[str]] = field(factory=list)

    def connection(self) -> RemoteConnection:
        """A protocol for one more connection."""
        return RemoteConnection(self)

    @property
    def lines(self) -> list[str]:
        """All command lines, in the order of the connections."""
        return [line for said in self.said for line in said]


class RemoteConnection(Protocol):
    """One client's connection."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._said: list[str] = []
        self._buffer = b""
        self._sink: DataDecoder | ChunkCounter | None = None
        self._isLast = True
        self._isTLS = False
        self._isHanging = False
        self._isRefused = False
        self._isAuthenticating = False
        self._transport: Any = None
        self._mail = ""
        self._rcpt: list[str] = []
        self._content: list[bytes] = []

    def connectionMade(self) -> None:
        """Twisted's."""
        self._transport = self.transport
        self._remote.said.append(self._said)
        self._reply("CONNECT", "220 far.example ESMTP")

    def dataReceived(self, data: bytes) -> None:
        """Twisted's."""
        self._buffer += data
        while self._buffer and not self._isHanging:
            if self._sink is not None:
                data, self._buffer = self._buffer, b""
                rest = self._sink.feed(data)
                if rest is None:
                    return
                self._sink, self._buffer = None, rest
                self._messageEnded()
            elif b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                self._command(line.rstrip(b"\r").decode("utf-8", "replace"))
            else:
                return

    def _command(self, line: str) -> None:
        self._said.append(line)
        verb = "AUTH" if self._isAuthenticating else line.partition(" ")[0].upper()
        self._isAuthenticating = False
        answer = getattr(self, f"_do{verb.capitalize()}", self._doOther)(line)
        if answer:
            self._reply(line, answer)

    def _reply(self, line: str, usual: str) -> bool:
        """Answer; whether the answer was positive."""
        said = self._remote.answer(line)
        said = usual if said is None else said
        if said == CLOSE:
            self._transport.loseConnection()
        elif said == HANG:
            self._isHanging = True
        else:
            if re.match("[0-9]{3}[ -]", said):
                *lines, last = said.split("\n")
                said = "".join(f"{each[:3]}-{each[4:]}\r\n" for each in lines) + f"{last}\r\n"
            self._transport.write(said.encode())
        return said[:1] in "23"

    def _doEhlo(self, line: str) -> str:
        if not self._remote.features or self._remote.isLMTP:
            return "502 5.5.1 not known"
        return "\n".join(["250 far.example", *(f"250 {feature}" for feature in self._announced())])

    def _announced(self) -> list[str]:
        return [feature for feature in self._remote.features if not (self._isTLS and feature == "STARTTLS")]

    def _doLhlo(self, line: str) -> str:
        return "\n".join(["250 far.example", *(f"250 {feature}" for feature in self._announced())])

    def _doHelo(self, line: str) -> str:
        return "250 far.example"

    def _doMail(self, line: str) -> str:
        if self._mail:
            return "503 5.5.1 nested MAIL"
        if self._reply(line, "250 2.1.0 ok"):
            self._mail, self._rcpt, self._content = line, [], []
        return ""

    def _doRcpt(self, line: str) -> str:
        if not self._mail:
            return "503 5.5.1 MAIL first"
        if self._reply(line, "250 2.1.5 ok"):
            self._rcpt.append(line)
        return ""

    def _doData(self, line: str) -> str:
        if self._reply(line, "354 go on" if self._rcpt else "554 5.5.1 no valid recipients"):
            self._sink = DataDecoder(self._content.append)
        return ""

    def _doBdat(self, line: str) -> str:
        size = int(line.split()[1])
        if self._remote.answer(line) is not None:
            self._reply(line, "")
            self._sink, self._isRefused = ChunkCounter(lambda piece: None, size), True
            return ""
        self._isLast = "LAST" in line.upper()
        self._sink = ChunkCounter(self._content.append, size)
        if not size:
            self._sink = None
            self._messageEnded()
        return ""

    def _messageEnded(self) -> None:
        if self._isRefused:
            self._isRefused = False
            return
        if not self._isLast:
            self._reply(".", "250 2.0.0 go on")
            return
        received = Received(self._mail, list(self._rcpt), b"".join(self._content), self._isTLS)
        self._mail, self._isLast = "", True
        recipients = [f". {address}" for address in received.recipients] if self._remote.isLMTP else ["."]
        answers = [self._reply(each, "250 2.0.0 taken") for each in recipients]
        if self._remote.isLMTP:
            received.rcpt = [rcpt for rcpt, isTaken in zip(received.rcpt, answers, strict=True) if isTaken]
        if any(answers):
            self._remote.messages.append(received)

    def _doRset(self, line: str) -> str:
        self._mail = ""
        return "250 2.0.0 ok"

    def _doStarttls(self, line: str) -> str:
        if self._reply(line, "220 2.0.0 go on"):
            self._isTLS, self._mail = True, ""
            self._transport.startTLS(self._remote.tls)
        return ""

    def _doAuth(self, line: str) -> str:
        self._isAuthenticating = line.upper() in ("AUTH PLAIN", "AUTH LOGIN")
        return "334 " if self._isAuthenticating else "235 2.7.0 welcome"

    def _doQuit(self, line: str) -> str:
        self._reply(line, "221 2.0.0 bye")
        self._transport.loseConnection()
        return ""

    def _doOther(self, line: str) -> str:
        return "250 2.0.0 ok" if line.upper() == "NOOP" else "500 5.5.2 what?"
