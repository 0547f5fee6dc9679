"""Puts a command together from the lines and literals that it comes in (RFC 3501 §2.2.1, §4.3; RFC 7888).

A literal is judged when it is announced, before its first octet is read: whether the command may come now at all,
whether the literal is too large, whether it is a message, which goes to a spool and not into memory. A synchronising
literal that is refused is never sent. A non-synchronising one comes anyway, and is read and thrown away so that the
next command is found, up to a bound; beyond it the only way to get back in step is to end the connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from mailfw.errors import MessageTooLarge, Refusal, Unavailable
from mailfw.imap.grammar.append import MAX_MESSAGES, SHAPES, Shape
from mailfw.imap.grammar.commands import commandName
from mailfw.imap.grammar.response import Reply, bad, no, refused
from mailfw.imap.grammar.tokens import BadSyntax, CommandText, Literal, Scanner
from mailfw.values import MessageSource

LINE_LIMIT = 512 * 1024
"""Octets of one line."""

MAX_COMMAND = 2 * 1024 * 1024
"""Octets of a command in memory: its lines and its literals, messages apart."""

LOGIN_LINE_LIMIT = 36 * 1024
"""Octets of one line of somebody who has not logged in; an ID of 30 long values is the longest (RFC 2971 §3.3)."""

MAX_LOGIN = 64 * 1024
"""Octets of such a command: what strangers can make a server remember is this times its connections."""

MAX_LITERALS = 1000

MAX_APPENDED = 4
"""Times the largest message: octets of messages that one command may bring."""

CONTINUE = b"+ Ready for the literal\r\n"

_ANNOUNCEMENT = re.compile(rb"(~?)\{([0-9]+)(\+?)\}\Z")
_ANNOUNCEMENT_LENGTH = 40


class Spool(Protocol):
    """Where a message goes while it comes in; `mailfw.net.spool` has one."""

    def write(self, data: bytes, /) -> None:
        """:raises OSError: no room."""

    def finish(self) -> MessageSource:
        """What was written since the last time. :raises OSError: no room for the end of it."""

    def discard(self) -> None:
        """Forget it."""


@frozen
class Announcement:
    """What the end of a line says of the literal behind it. :ivar isWaiting: the client waits to be told to go on."""

    size: int
    isWaiting: bool
    isBinary: bool


def announcement(line: bytes) -> Announcement | None:
    """`"{" number ["+"] "}"`, with `~` before it in a literal8; None: the line is the command's last."""
    found = _ANNOUNCEMENT.search(line, max(0, len(line) - _ANNOUNCEMENT_LENGTH))
    if found is None:
        return None
    return Announcement(int(found[2]), not found[3], bool(found[1]))


class LiteralSink:
    """Takes the octets of one literal, no more and no fewer.

    :ivar failure: what kept the octets from being stored; the literal is read to its end all the same.
    :ivar progress: called whenever something came.
    """

    def __init__(self, announced: Announcement, store: Callable[[bytes], object]) -> None:
        self.announced = announced
        self.failure: Exception | None = None
        self.hasNUL = False
        self.progress: Callable[[], object] = lambda: None
        self._store = store
        self._left = announced.size

    def feed(self, data: bytes) -> bytes | None:
        """Take octets. None: more are wanted; otherwise what comes after the literal."""
        self.progress()
        piece = data if len(data) <= self._left else data[: self._left]
        self._left -= len(piece)
        self.hasNUL = self.hasNUL or b"\0" in piece
        if self.failure is None and piece:
            try:
                self._store(piece)
            except OSError as error:
                self.failure = error
        return None if self._left else data[len(piece) :]


@frozen
class Ready:
    """The command is whole."""

    text: CommandText


@frozen(eq=False)
class WantsLiteral:
    """Write the prompt, give the input to the sink, and call `literalDone` when it has had enough; then lines come
    again.
    """

    prompt: bytes
    sink: LiteralSink


@frozen
class Declined:
    """The command was not taken, and all that the client sends of it has come."""

    tag: bytes
    reply: Reply


@frozen
class OutOfStep:
    """The client is about to send more than will be read; the connection must end."""

    text: str


Event = Ready | WantsLiteral | Declined | OutOfStep


class CommandReader:
    """Reads one command after another.

    :ivar messageSize: octets that a message may have; 0 before login.
    :ivar commandSize: octets that the rest of a command may have.
    :ivar isUTF8: mailbox names are UTF-8.
    """

    def __init__(self, openSpool: Callable[[], Spool], objection: Callable[[bytes], Reply | None]) -> None:
        """:param objection: why the command of that name may not come now, if it may not."""
        self.messageSize = 0
        self.commandSize = MAX_COMMAND
        self.isUTF8 = False
        self._openSpool = openSpool
        self._objection = objection
        self._spool: Spool | None = None
        self._reset()

    def _reset(self) -> None:
        self._pieces: list[bytes] = []
        self._literals: list[Literal] = []
        self._size = 0
        self._discarded = 0
        self._refusal: Reply | None = None
        self._name = b""
        self._shape: Shape | None = None
        self._unjudged: list[bytes] = []  # what came since the literal that was judged last, with its announcement
        self._judgedLiterals = 0
        self._isMessage = False
        self._messages = self._spooled = 0
        self._target: Spool | bytearray | None = None

    def release(self) -> None:
        """Forget what the command brought: it is done with, or the connection is gone."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.discard()
        self._reset()

    @property
    def isBetweenCommands(self) -> bool:
        """Whether the next line begins a command."""
        return not self._pieces

    def line(self, line: bytes) -> Event:
        """The next line of a command, without its end."""
        announced = announcement(line)
        if self._refusal is None:
            self._take(line if announced is None else line + b"\r\n")
        if self._refusal is None and announced is not None:
            self._refusal = self._judge(announced)
        if self._refusal is not None:
            return self._decline(self._refusal, announced)
        if announced is None:
            text = CommandText(b"".join(self._pieces), tuple(self._literals), self.isUTF8)
            self._reset()
            return Ready(text)
        return self._expect(announced)

    def longLine(self, start: bytes, end: bytes) -> Event:
        """A line of a command that was too long, of which only both ends are known."""
        if not self._pieces:
            self._pieces.append(start)
        self._refusal = self._refusal or bad("the line is too long", b"TOOBIG")
        return self._decline(self._refusal, announcement(end))

    def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._unjudged.append(piece)
        self._size += len(piece)
        if self._size > self.commandSize:
            self._refusal = bad("the command is too long", b"TOOBIG")

    # --- Literals --------------------------------------------------------------------------------------------------

    def _judge(self, announced: Announcement) -> Reply | None:
        """Why the literal, or the command with it, is refused; what is known of the command is read for that."""
        try:
            if not self._literals and (objection := self._judgeName()) is not None:
                return objection
            self._isMessage = self._name in SHAPES and self._expectsMessage()
        except BadSyntax as error:
            return bad(str(error))
        except Refusal as refusal:
            return refused(refusal)
        if self._isMessage:
            return self._judgeMessage(announced.size)
        if len(self._literals) >= MAX_LITERALS:
            return bad("too many literals")
        if self._size + announced.size > self.commandSize:
            return bad("the literal is too large", b"TOOBIG")
        return None

    def _judgeMessage(self, size: int) -> Reply | None:
        if self._messages >= MAX_MESSAGES:
            return bad("too many messages")
        if size > self.messageSize or self._spooled + size > MAX_APPENDED * self.messageSize:
            return refused(MessageTooLarge())
        return None

    def _judgeName(self) -> Reply | None:
        scanner = self._scanner()
        scanner.tag()
        self._name = commandName(scanner)
        return self._objection(self._name)

    def _expectsMessage(self) -> bool:
        """Follow the command from where it was judged last: however many literals it has, each octet is looked at once."""
        scanner = self._scanner()
        try:
            if self._shape is None:
                scanner.tag()
                self._shape = SHAPES[commandName(scanner)](scanner)
                isMessage = next(self._shape)
            else:
                isMessage = self._shape.send(scanner)
        except StopIteration:
            raise BadSyntax("too many arguments") from None
        self._unjudged = [b"".join(self._unjudged)[len(scanner.octets) :]]
        self._judgedLiterals = len(self._literals)
        return isMessage

    def _scanner(self) -> Scanner:
        """Over what was not judged, up to the literal announced last."""
        octets = b"".join(self._unjudged)
        end = octets.rindex(b"{")
        if octets.endswith(b"~", 0, end):
            end -= 1
        return Scanner(CommandText(octets[:end], tuple(self._literals[self._judgedLiterals :]), self.isUTF8))

    def _expect(self, announced: Announcement) -> Event:
        if self._isMessage:
            self._spool = self._target = self._spool or self._openSpool()
            self._messages += 1
            self._spooled += announced.size
            sink = LiteralSink(announced, self._spool.write)
        else:
            octets = bytearray()
            self._target = octets
            sink = LiteralSink(announced, octets.extend)
        return WantsLiteral(CONTINUE if announced.isWaiting else b"", sink)

    def literalDone(self, sink: LiteralSink) -> None:
        """The literal has come; the next line goes on with the command."""
        target = self._target
        if sink.failure is not None:
            self._refusal = refused(Unavailable())
        elif isinstance(target, bytearray):
            self._literals.append(Literal(bytes(target), isBinary=sink.announced.isBinary))
            self._size += len(target)
        elif target is not None and sink.hasNUL and not sink.announced.isBinary:
            self._refusal = no("a message cannot hold NUL octets", b"CANNOT")
        elif target is not None:
            try:
                source = target.finish()
            except OSError as error:
                sink.failure, self._refusal = error, refused(Unavailable())
            else:
                self._literals.append(Literal(source=source, isBinary=sink.announced.isBinary, hasNUL=sink.hasNUL))
        self._target = None

    # --- Refusing --------------------------------------------------------------------------------------------------

    def _decline(self, reply: Reply, announced: Announcement | None) -> Event:
        """Go on reading the refused command as far as the client will send it."""
        if announced is None or announced.isWaiting:
            tag = self._tag()
            self.release()
            return Declined(tag, reply)
        self._discarded += announced.size
        if self._discarded > max(MAX_COMMAND, 2 * self.messageSize):
            return OutOfStep("the literal is too large to be read past")
        self._target = None
        return WantsLiteral(b"", LiteralSink(announced, lambda _: None))

    def _tag(self) -> bytes:
        try:
            return Scanner(CommandText(self._pieces[0])).tag()
        except BadSyntax:
            return b"*"
