"""Conversations: the wire as a document that people read and tests run.

A `.talk` file starts with a header, `name: value` lines up to an empty one:

    service: imap                       which service is talked to
    mail: jsmith INBOX 3                before it starts, jsmith's INBOX gets messages 1 to 3 (see `sampleMessage`)
    limits: recipients=3 badCommands=5  fields of `mailfw.net.limits.Limits`
    quota: jsmith octets=2000           jsmith's account may hold no more (see `mailfw.values.Quota`)
    admin: mbrain                       mbrain is an administrator
    peer: 192.0.2.7                     where the client is; loopback unless said
    tls: yes                            the connections are under TLS
    plaintext: never                    the server's rule for passwords without TLS
    xclient: 127.0.0.1                  peers that may say whom they speak for

mbrain@localhost and jsmith@localhost exist, with the password `mailfw`. Then lines, each a step:

    C: EHLO client.example              the client sends this line (CRLF is added)
    S: 250-mail.localhost               the server sends this line, and nothing before it
    C[b]: NOOP      S[b]: 250 2.0.0 OK  the same on another connection, opened where it is first named (`C`, `S` alone: the first)
    ! advance 300                       time passes: seconds
    ! closed      ! closed b            the server has closed the connection
    ! open b                            a connection is made without saying anything
    ! quiet       ! quiet b             the server has said nothing more
    ! tls         ! tls b               (after STARTTLS) the handshake was asked for and happens
    ! deflate     ! deflate b           (after COMPRESS) from here on both sides are compressed
    ! plain       ! plain b             the client ends its compression; the server has ended its own
    # anything                          a remark; empty lines are for the eye

In what either side says, `{{name}}` takes the place of a word that is not known beforehand: the first `S:` line that has it
decides, later lines must agree; `{{name:REGEX}}` says how it looks (otherwise it has no space, bracket or quote). `{{...}}` is
anything at all. In `C:` lines `{{name}}` sends what was learnt, and `{{octets:1000}}` as many octets `x`. There are no
escapes: a line is what it looks like, in UTF-8. `C- text` sends without CRLF (half a line), `C64: …` the octets of a base64 text.

Consecutive `C` lines of a connection are sent at once when run whole, and octet by octet when run split: the server must not
care.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred

from mailfw.interfaces import IMailService, IMailStore
from mailfw.net.limits import Limits
from mailfw.net.peer import Networks
from mailfw.testing.transport import MemoryTransport
from mailfw.testing.world import World
from mailfw.values import Append, Identity, MessageSource, NewMessage, Quota, SetQuota, accountName

FIRST = "1"
"""The connection that steps without a name belong to."""

HEADER = frozenset({"service", "mail", "quota", "admin", "limits", "peer", "tls", "plaintext", "xclient", "only"})
"""What a header may say. `only: sqlite maildir` names the stores it is for, with the reason in a remark."""


class ConversationError(AssertionError):
    """The conversation went another way than its document says."""


@frozen
class Step:
    """One line of the document.

    :ivar kind: `send`, `expect` or a directive's word.
    :ivar line: its number, for error messages.
    """

    kind: str
    connection: str
    text: str
    line: int


@define
class Talk:
    """A parsed document."""

    name: str
    header: dict[str, list[str]] = field(factory=dict)
    steps: list[Step] = field(factory=list)

    def option(self, name: str, default: str = "") -> str:
        """A header field's value; the last one counts."""
        return self.header.get(name, [default])[-1]


_STEP = re.compile(r"([CS])(64)?(?:\[(\w+)\])?([:-])(?: (.*))?$", re.DOTALL)
_WORD = r"""[^][(){} <>"]+"""
_HOLE = re.compile(r"\{\{(\.\.\.|\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}\}")


def parse(text: str, name: str = "conversation") -> Talk:
    """Read a document. :raises ValueError: a line is none of the things above; says which."""
    talk = Talk(name)
    lines = text.split("\n")
    number = 0
    while number < len(lines) and lines[number].strip():
        if not lines[number].startswith("#"):
            key, colon, value = lines[number].partition(":")
            if not colon or key.strip() not in HEADER:
                raise ValueError(f"{name}:{number + 1}: the header has `name: value` lines up to an empty one")
            talk.header.setdefault(key.strip(), []).append(value.strip())
        number += 1
    for at in range(number, len(lines)):
        line = lines[at].rstrip("\r")
        if not line.strip() or line.startswith("#"):
            continue
        talk.steps.append(_parseStep(line, at + 1, name))
    return talk


def _parseStep(line: str, number: int, name: str) -> Step:
    if line.startswith("!"):
        word, _, rest = line[1:].strip().partition(" ")
        connection = rest.strip() or FIRST
        return Step(word, FIRST if word == "advance" else connection, rest.strip(), number)
    match = _STEP.match(line)
    if match is None:
        raise ValueError(f"{name}:{number}: neither a step nor a remark: {line!r}")
    who, is64, connection, end, text = match.groups()
    kind = {"S": "expect", "C": "send64" if is64 else "send" if end == ":" else "sendPart"}[who]
    return Step(kind, connection or FIRST, text or "", number)


def sampleMessage(number: int, account: str = "jsmith@localhost") -> bytes:
    """Message `number` of those that `mail:` in a header puts into mailboxes: small, the same in every run."""
    return (
        f"From: Sender {number} <sender{number}@example.org>\r\n"
        f"To: <{account}>\r\n"
        f"Subject: Message {number}\r\n"
        f"Date: Mon, 21 Sep 2026 10:{number % 60:02}:00 +0000\r\n"
        f"Message-ID: <sample{number}@example.org>\r\n"
        "\r\n"
        f"This is message {number}.\r\n"
        ".It has a line that starts with a dot.\r\n"
    ).encode()


async def fill(store: IMailStore, spec: str) -> None:
    """Carry out a `mail:` header: `ACCOUNT MAILBOX COUNT [FLAG…]`."""
    account, mailbox, count, *flags = spec.split()
    owner = accountName(account, "localhost")
    opened = await store.openAccount(Identity(owner), owner)
    messages = tuple(
        NewMessage(MessageSource(sampleMessage(n, owner)), frozenset(flags), 1_790_000_000.0 + n)
        for n in range(1, int(count) + 1)
    )
    await opened.apply([Append(mailbox, messages)])


async def limit(store: IMailStore, spec: str) -> None:
    """Carry out a `quota:` header: `ACCOUNT LIMIT=NUMBER…`."""
    account, *limits = spec.split()
    owner = accountName(account, "localhost")
    opened = await store.openAccount(Identity(owner, isAdmin=True), owner)
    await opened.apply([SetQuota(Quota(**{name: int(number) for name, number in (each.split("=") for each in limits)}))])


class _Compressed:
    """A client's end of a connection under DEFLATE. :ivar isOver: the server compresses no more."""

    def __init__(self) -> None:
        self._deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        self._inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)

    @property
    def isOver(self) -> bool:
        return self._inflater.eof

    def said(self, data: bytes) -> bytes:
        """What the client says, as it is sent."""
        return self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The end of what the client compresses."""
        return self._deflater.flush(zlib.Z_FINISH)

    def heard(self, data: bytes) -> bytes:
        """What the server said."""
        behind = len(self._inflater.unused_data)
        heard = self._inflater.decompress(data)
        return heard + self._inflater.unused_data[behind:]


class Player:
    """Runs one document against services in a world.

    :param services: the services by name.
    :param isSplit: send octet by octet.
    """

    def __init__(self, talk: Talk, world: World, services: Mapping[str, IMailService], isSplit: bool = False) -> None:
        self.talk = talk
        self.world = world
        self.services = services
        self.isSplit = isSplit
        self.transports: dict[str, MemoryTransport] = {}
        self.received: dict[str, bytes] = {}
        self.learnt: dict[str, str] = {}
        self.sending: dict[str, bytes] = {}
        self.compressed: dict[str, _Compressed] = {}

    def play(self) -> None:
        """Run it all. :raises ConversationError: the server said something else; tells where and what."""
        self._prepare()
        for step in self.talk.steps:
            if self.sending and (not step.kind.startswith("send") or step.connection not in self.sending):
                self._flush(step)
            getattr(self, f"_{step.kind}", self._unknown)(step)
        self._flush(self.talk.steps[-1])
        for name in self.transports:
            self._quiet(Step("quiet", name, "", self.talk.steps[-1].line))
        for transport in self.transports.values():
            transport.hangUp()

    def _prepare(self) -> None:
        talk, context = self.talk, self.world.context
        if limits := talk.option("limits"):
            pairs = (word.split("=") for word in limits.split())
            context.limits = Limits(**{name: type(getattr(Limits(), name))(value) for name, value in pairs})
        context.plaintext = talk.option("plaintext", "loopback")
        context.xclient = Networks.parse(talk.option("xclient").split())
        self.world.users.administrators += [accountName(name, "localhost") for name in talk.header.get("admin", [])]
        for name, carryOut in ("mail", fill), ("quota", limit):
            for spec in talk.header.get(name, []):
                outcome: list[Any] = []
                Deferred.fromCoroutine(carryOut(context.store, spec)).addBoth(outcome.append)
                self.world.advance()
                if not outcome or outcome[0] is not None:
                    raise ConversationError(f"{talk.name}: {name}: {spec}: {outcome}")

    # --- Steps -----------------------------------------------------------------------------------------------------

    def _unknown(self, step: Step) -> None:
        raise ValueError(f"{self.talk.name}:{step.line}: no such step: {step.kind}")

    def _transport(self, name: str) -> MemoryTransport:
        if name not in self.transports:
            service = self.services[self.talk.option("service")]
            host = self.talk.option("peer", "127.0.0.1")
            kind = IPv6Address if ":" in host else IPv4Address
            transport = self.world.connect(service, kind("TCP", host, 40000 + len(self.transports)))
            if self.talk.option("tls") == "yes":
                transport.connection.isTLS = True
            self.transports[name], self.received[name] = transport, b""
        return self.transports[name]

    def _open(self, step: Step) -> None:
        self._transport(step.connection)

    def _send(self, step: Step) -> None:
        self._queue(step, self._fill(step) + b"\r\n")

    def _sendPart(self, step: Step) -> None:
        self._queue(step, self._fill(step))

    def _send64(self, step: Step) -> None:
        self._queue(step, base64.b64decode(step.text))

    def _queue(self, step: Step, data: bytes) -> None:
        self._transport(step.connection)
        if step.connection not in self.sending:
            self._quiet(step)
        self.sending[step.connection] = self.sending.get(step.connection, b"") + data

    def _flush(self, step: Step) -> None:
        sending, self.sending = self.sending, {}
        for name, data in sending.items():
            transport = self.transports[name]
            if name in self.compressed:
                data = self.compressed[name].said(data)
            pieces: Iterable[bytes] = [data] if not self.isSplit else (data[i : i + 1] for i in range(len(data)))
            for piece in pieces:
                if transport.isClosed:
                    break
                transport.send(piece)
                self.world.advance()

    def _expect(self, step: Step) -> None:
        self._transport(step.connection)
        self._read(step.connection)
        line, crlf, rest = self.received[step.connection].partition(b"\r\n")
        if not crlf:
            what = f"only {line!r} without an end" if line else "nothing"
            raise self._error(step, f"expected {step.text!r}, the server said {what}")
        self.received[step.connection] = rest
        said = line.decode("utf-8", "surrogateescape")
        match = re.fullmatch(self._pattern(step.text), said, re.DOTALL)
        if match is None:
            raise self._error(step, f"expected {step.text!r}\n  the server said {said!r}")
        self.learnt.update({name: value for name, value in match.groupdict().items() if value is not None})

    def _advance(self, step: Step) -> None:
        self.world.advance(float(step.text))
        self.world.advance()

    def _closed(self, step: Step) -> None:
        self._quiet(step)
        if not self.transports[step.connection].isClosed:
            raise self._error(step, "the connection is still open")

    def _quiet(self, step: Step) -> None:
        self._read(step.connection)
        if self.received[step.connection]:
            raise self._error(step, f"the server said more: {self.received[step.connection]!r}")

    def _tls(self, step: Step) -> None:
        if not self.transports[step.connection].isTLS:
            raise self._error(step, "the server did not begin TLS")

    def _deflate(self, step: Step) -> None:
        self._quiet(step)
        self.compressed[step.connection] = _Compressed()

    def _plain(self, step: Step) -> None:
        self._quiet(step)
        if not self.compressed[step.connection].isOver:
            raise self._error(step, "the server goes on compressing")
        self.transports[step.connection].send(self.compressed.pop(step.connection).end())

    # --- What stands in braces ---------------------------------------------------------------------------------------

    def _fill(self, step: Step) -> bytes:
        def put(match: re.Match[str]) -> str:
            name, argument = match.groups()
            if name == "octets":
                return "x" * int(argument)
            if name not in self.learnt:
                raise self._error(step, f"nothing has been learnt about {name}")
            return self.learnt[name]

        return _HOLE.sub(put, step.text).encode("utf-8", "surrogateescape")

    def _pattern(self, text: str) -> str:
        pattern, at, own = "", 0, set()
        for match in _HOLE.finditer(text):
            name, shape = match.groups()
            pattern += re.escape(text[at : match.start()])
            at = match.end()
            if name == "...":
                pattern += ".*"
            elif name in self.learnt:
                pattern += re.escape(self.learnt[name])
            elif name in own:
                pattern += f"(?P={name})"
            else:
                own.add(name)
                pattern += f"(?P<{name}>{shape or _WORD})"
        return pattern + re.escape(text[at:])

    def _read(self, name: str) -> None:
        data = self.transports[name].take()
        self.received[name] += self.compressed[name].heard(data) if name in self.compressed else data

    def _error(self, step: Step, text: str) -> ConversationError:
        return ConversationError(f"{self.talk.name}:{step.line}: {text}")


def play(
    text: str, name: str, makeWorld: Callable[[], World], services: Mapping[str, IMailService], isSplit: bool = False
) -> None:
    """Parse and run one document in a new world."""
    Player(parse(text, name), makeWorld(), services, isSplit).play()
