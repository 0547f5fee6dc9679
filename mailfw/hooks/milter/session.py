"""What one milter is told of one client's connection, and what its answers mean.

Pure but for the channel. A milter that accepts a connection is asked no more about it, one that accepts a message no more about
that message; whoever does not want to hear of a step does not. The message is shown as the hooks before have left it, header and
body at once, when all of it is there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Awaitable, Iterable, Iterator
from ipaddress import ip_address
from typing import Protocol

from mailfw.hooks.milter.grammar import (
    CHUNK,
    SILENT,
    UNWANTED,
    Action,
    Command,
    MilterError,
    Packet,
    Response,
    Step,
    macros,
    negotiated,
    negotiation,
    numbered,
    packet,
    pair,
    split,
    texts,
)
from mailfw.message.header import scan
from mailfw.message.source import headerOf, without
from mailfw.net.spool import Spool
from mailfw.stages import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Client,
    Continue,
    DeleteHeader,
    Discard,
    Disconnect,
    Edit,
    Quarantine,
    Reject,
    RemoveRecipient,
    ReplaceBody,
    Result,
    TempFail,
)
from mailfw.values import Address, Envelope, MessageSource, Recipient

_REPLY = re.compile(r"([45]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3}))?[ -]?(.*)", re.DOTALL)


class Channel(Protocol):
    """A connection to a milter."""

    def write(self, data: bytes) -> None:
        """Send octets."""

    def packet(self) -> Awaitable[Packet]:
        """The next packet. :raises MilterError: there will be none."""

    def spool(self) -> Spool:
        """For a body that takes the place of another."""


class MilterSession:
    """:ivar isInMessage: MAIL was said, and the message has not come to its end."""

    def __init__(self, channel: Channel) -> None:
        self.isInMessage = False
        self._channel = channel
        self._steps = Step(0)
        self._actions = Action(0)
        self._isAccepted = False  # the whole connection
        self._isMessageAccepted = False
        self._isBodySkipped = False
        self._spool: Spool | None = None

    async def negotiate(self) -> None:
        """Begin. :raises MilterError:"""
        self._channel.write(negotiation())
        answer = await self._channel.packet()
        if answer.response is not Response.NEGOTIATE:
            raise MilterError(f"{answer.response.name} where it should negotiate")
        _, self._actions, self._steps = negotiated(answer.data)

    # --- The steps ---------------------------------------------------------------------------------------------------

    async def connect(self, client: Client) -> Result | None:
        """A client came."""
        host, port, family = client.peer.host, client.peer.port, b"U"
        if client.peer.isUnix:
            family = b"L"
        elif host:
            family = b"6" if ip_address(host).version == 6 else b"4"
        data = texts(f"[{host}]" if host else "unknown") + family
        if family != b"U":
            data += struct.pack("!H", port) + texts(f"IPv6:{host}" if family == b"6" else host)
        names = [("j", client.hostname), ("{daemon_name}", client.service), ("v", "mailfw")]
        return await self._say(Command.CONNECT, data, names)

    async def helo(self, client: Client) -> Result | None:
        """It has said who it is, perhaps again."""
        version, _, cipher = client.tls.partition(" ")
        names = [("{tls_version}", version), ("{cipher}", cipher)] if version else []
        return await self._say(Command.HELO, texts(client.hello), names)

    async def mail(self, client: Client, envelope: Envelope) -> Result | None:
        """A message begins."""
        self.forget()
        self.isInMessage, self._isMessageAccepted = True, False
        sender = str(envelope.sender or "")
        words = [f"<{sender}>"]
        words += ["BODY=8BITMIME"] * envelope.is8Bit + ["SMTPUTF8"] * envelope.isSMTPUTF8
        names = [("i", client.id), ("{mail_addr}", sender)]
        if client.identity is not None:
            names += [("{auth_authen}", client.identity.account), ("{auth_type}", "SASL")]
        return await self._say(Command.MAIL, texts(*words), names)

    async def rcpt(self, recipient: Recipient) -> Result | None:
        """One more recipient."""
        address = str(recipient.address)
        return await self._say(Command.RCPT, texts(f"<{address}>"), [("{rcpt_addr}", address)])

    async def data(self, client: Client) -> Result | None:
        """The message comes."""
        return await self._say(Command.DATA, b"", [("i", client.id)])

    async def unknown(self, line: str) -> Result | None:
        """A command that nobody knows."""
        return await self._say(Command.UNKNOWN, texts(line))

    async def message(self, client: Client, message: MessageSource) -> Result | None:
        """All of the message: what the milter wants to become of it, with its edits."""
        header = headerOf(message)
        said = await self._header(header)
        said = said or await self._say(Command.END_OF_HEADER, b"", [("i", client.id)])
        said = said or await self._body(message, len(header))
        if said is None and not self._isDone:
            self._channel.write(macros(Command.END_OF_BODY, [("i", client.id)]) + packet(Command.END_OF_BODY))
            said = await self._verdict()
        self.isInMessage = self._isMessageAccepted = False
        return said

    def forget(self) -> None:
        """The message under way is given up."""
        if self.isInMessage:
            self._channel.write(packet(Command.ABORT))
            self.isInMessage = self._isMessageAccepted = False
        if self._spool is not None:
            self._spool.discard()
            self._spool = None

    def quit(self) -> None:
        """The client is gone."""
        self.forget()
        self._channel.write(packet(Command.QUIT))

    # --- The message -------------------------------------------------------------------------------------------------

    @property
    def _isDone(self) -> bool:
        return self._isAccepted or self._isMessageAccepted

    async def _header(self, header: bytes) -> Result | None:
        hasSpace = bool(self._steps & Step.LEADING_SPACE)
        for field in scan(header):
            raw = header[field.start : field.end].partition(b":")[2].rstrip(b"\r\n").replace(b"\r\n", b"\n")
            said = await self._say(Command.HEADER, texts(field.name, raw if hasSpace else raw.removeprefix(b" ")))
            if said is not None or self._isDone:
                return said
        return None

    async def _body(self, message: MessageSource, start: int) -> Result | None:
        if self._isDone or self._steps & Step.NO_BODY:
            return None
        self._isBodySkipped = False
        for chunk in without(message, start).chunks(CHUNK):
            for piece in _pieces(chunk):
                said = await self._say(Command.BODY, piece)
                if said is not None or self._isDone or self._isBodySkipped:
                    return said
        return None

    async def _verdict(self) -> Result | None:
        """Edits, and what ends them."""
        edits: list[Edit] = []
        reason: str | None = None
        body: Spool | None = None
        while True:
            answer = await self._channel.packet()
            if answer.response is Response.REPLACE_BODY:
                body = body or self._newSpool()
                body.write(answer.data)
            elif answer.response is Response.QUARANTINE:
                reason = split(answer.data)[0]
            elif answer.response in _EDITS:
                edits.append(_edit(answer))
            elif answer.response is not Response.PROGRESS:
                break
        if body is not None:
            edits.append(ReplaceBody(body.finish()))
        said = self._meaning(Command.END_OF_BODY, answer)
        if said is not None:
            return said
        return Continue(tuple(edits)) if reason is None else Quarantine(reason, tuple(edits))

    def _newSpool(self) -> Spool:
        self._spool = self._channel.spool()
        return self._spool

    # --- Asking ------------------------------------------------------------------------------------------------------

    async def _say(self, command: Command, data: bytes, names: Iterable[tuple[str, str]] = ()) -> Result | None:
        """Tell it of a step, if it wants to hear of it; what it has against it."""
        if self._isDone or UNWANTED[command] & self._steps:
            return None
        said = packet(command, data)
        given = [(name, value) for name, value in names if value]
        self._channel.write(macros(command, given) + said if given else said)
        if SILENT[command] & self._steps:
            return None
        answer = await self._channel.packet()
        while answer.response is Response.PROGRESS:
            answer = await self._channel.packet()
        return self._meaning(command, answer)

    def _meaning(self, command: Command, answer: Packet) -> Result | None:
        """:raises MilterError: that is no answer to it."""
        response = answer.response
        if response is Response.ACCEPT:
            if command in (Command.CONNECT, Command.HELO):
                self._isAccepted = True
            elif command is not Command.RCPT:
                self._isMessageAccepted = True
            return None
        if response is Response.SKIP and command is Command.BODY:
            self._isBodySkipped = True
            return None
        if response is Response.CONTINUE:
            return None
        if response in _REFUSALS:
            return _REFUSALS[response]
        if response is Response.REPLY:
            return _replied(split(answer.data)[0])
        raise MilterError(f"{response.name} in answer to {command.name}")


_REFUSALS: dict[Response, Result] = {
    Response.REJECT: Reject(550, "5.7.1", "refused by policy"),
    Response.TEMPFAIL: TempFail(451, "4.7.1", "not now, try again later"),
    Response.DISCARD: Discard(),
    Response.CONNECTION_FAILED: TempFail(421, "4.3.0", "not now, try again later"),
    Response.SHUTDOWN: Disconnect(421, "4.3.2", "not now, try again later"),
}


def _replied(text: str) -> Result:
    """A reply in the milter's own words, `550 5.7.1 text`, `550-5.7.1 …` over several lines."""
    lines = []
    match = None
    for each in text.splitlines():
        match = _REPLY.match(each)
        if match is None:
            raise MilterError(f"no reply: {each!r}")
        lines.append(match[3])
    if match is None:
        raise MilterError("an empty reply")
    code = int(match[1])
    enhanced, said = match[2] or f"{code // 100}.7.1", "\n".join(lines).replace("%%", "%")
    if code == 421:
        return Disconnect(code, enhanced, said)
    return Reject(code, enhanced, said) if code >= 500 else TempFail(code, enhanced, said)


def _recipient(data: bytes) -> Address:
    try:
        return Address.parse(split(data)[0].strip().removeprefix("<").removesuffix(">"))
    except ValueError as error:
        raise MilterError(str(error)) from None


def _edit(answer: Packet) -> Edit:
    """:raises MilterError: it is malformed."""
    response, data = answer.response, answer.data
    if response in (Response.ADD_RECIPIENT, Response.ADD_RECIPIENT_PARAMETERS):
        return AddRecipient(Recipient(_recipient(data)))
    if response is Response.REMOVE_RECIPIENT:
        return RemoveRecipient(_recipient(data))
    if response is Response.CHANGE_SENDER:
        return ChangeSender(None if split(data)[0].strip() in ("", "<>") else _recipient(data))
    if response is Response.ADD_HEADER:
        return AddHeader(*pair(data))
    index, name, value = numbered(data)
    if response is Response.INSERT_HEADER:  # a milter counts the Received field that is not there yet
        return AddHeader(name, value, max(0, index - 1))
    return ChangeHeader(name, value, max(1, index)) if value else DeleteHeader(name, max(1, index))


_EDITS = frozenset(
    {
        Response.ADD_RECIPIENT,
        Response.ADD_RECIPIENT_PARAMETERS,
        Response.REMOVE_RECIPIENT,
        Response.CHANGE_SENDER,
        Response.ADD_HEADER,
        Response.INSERT_HEADER,
        Response.CHANGE_HEADER,
    }
)


def _pieces(chunk: bytes) -> Iterator[bytes]:
    """What stands in the prefix of a source may be longer than a packet."""
    for at in range(0, len(chunk), CHUNK):
        yield chunk[at : at + CHUNK]
