"""Postfix policy services as hooks (SMTPD_POLICY_README): attributes, a line each, and an action in answer.

`policy:HOST:PORT` or `policy:unix:/PATH`. A header that the service wants to prepend (greylisting services do) waits in the
connection's notes until the message is there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailfw.hooks.address import connected, endpointOf
from mailfw.hooks.failure import Unanswered
from mailfw.hooks.runner import Hook
from mailfw.interfaces import IClosable, IHookContext, IHookPlugin
from mailfw.stages import (
    Accept,
    AddHeader,
    Continue,
    Discard,
    Disconnect,
    Event,
    Quarantine,
    Reject,
    Result,
    Stage,
    TempFail,
)

IDLE = 8
"""Connections that wait for the next question."""

LIMIT = 65536
"""Octets of an answer."""

_STATES = {
    Stage.CONNECT: "CONNECT",
    Stage.EHLO: "EHLO",
    Stage.MAIL_FROM: "MAIL",
    Stage.RCPT_TO: "RCPT",
    Stage.DATA: "DATA",
    Stage.END_OF_MESSAGE: "END-OF-MESSAGE",
}
_CODE = re.compile(r"([45]\d\d)(?: +([245]\.\d{1,3}\.\d{1,3}))?(?: +(.*))?")
_LINE_ENDS = re.compile(r"[\r\n\0]")


class PolicyError(Unanswered):
    """A policy service says what cannot be understood, or is not there."""


def request(event: Event) -> bytes:
    """`name=value` lines and an empty one; what is not known is empty.

    :raises PolicyError: the protocol has no word for that stage.
    """
    client, envelope = event.client, event.envelope
    if client is None or event.stage not in _STATES:
        raise PolicyError(f"a policy service knows no {event.stage.value}")
    version, _, cipher = client.tls.partition(" ")
    pairs = [
        ("request", "smtpd_access_policy"),
        ("protocol_state", _STATES[event.stage]),
        ("protocol_name", "LMTP" if client.service == "lmtp" else "ESMTP"),
        ("client_address", client.peer.host),
        ("client_name", "unknown"),
        ("client_port", str(client.peer.port or "")),
        ("reverse_client_name", "unknown"),
        ("helo_name", client.hello),
        ("sender", str(envelope.sender or "") if envelope else ""),
        ("recipient", str(event.recipient.address) if event.recipient else ""),
        ("recipient_count", str(len(envelope.recipients)) if envelope and event.stage is not Stage.RCPT_TO else "0"),
        ("queue_id", ""),
        ("instance", client.id),
        ("size", str(event.message.size) if event.message else "0"),
        ("etrn_domain", ""),
        ("stress", ""),
        ("sasl_method", "SASL" if client.identity else ""),
        ("sasl_username", client.identity.account if client.identity else ""),
        ("sasl_sender", ""),
        ("encryption_protocol", version),
        ("encryption_cipher", cipher),
        ("policy_context", ""),
    ]
    return "".join(f"{name}={_LINE_ENDS.sub('?', value)}\n" for name, value in pairs).encode("utf-8", "replace") + b"\n"


def action(answer: bytes) -> str:
    """What stands behind `action=`. :raises PolicyError: nothing does."""
    for line in answer.decode("utf-8", "replace").splitlines():
        name, equals, value = line.partition("=")
        if name.strip().lower() == "action" and equals:
            return value.strip()
    raise PolicyError("an answer without an action")


def meaning(action: str) -> Result | AddHeader:
    """The result that an action is (access(5)), or the header that it wants. What we have no way for is Continue, as `DUNNO` is.

    :raises PolicyError: there is no such action.
    """
    if match := _CODE.fullmatch(action):
        code, enhanced, text = int(match[1]), match[2] or f"{action[0]}.7.1", match[3] or "refused by policy"
        if code == 421:
            return Disconnect(code, enhanced, text)
        return Reject(code, enhanced, text) if code >= 500 else TempFail(code, enhanced, text)
    word, _, text = action.partition(" ")
    word, text = word.upper(), text.strip()
    if word == "REJECT":
        return Reject(text=text) if text else Reject()
    if word in ("DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT"):
        return TempFail(450, "4.7.1", text) if text else TempFail()
    if word == "PREPEND":
        name, colon, value = text.partition(":")
        if not colon:
            raise PolicyError("PREPEND without a header")
        return AddHeader(name.strip(), value.strip(), 0)
    others: dict[str, Result] = {"OK": Accept(), "DISCARD": Discard(), "HOLD": Quarantine(text or "the policy service says HOLD")}
    if word in others:
        return others[word]
    if word in ("DUNNO", "WARN", "INFO", "FILTER", "REDIRECT", "BCC"):
        return Continue()
    raise PolicyError(f"unknown action {action[:80]!r}")


class PolicyConnection(Protocol):
    """One connection, one question at a time."""

    def __init__(self) -> None:
        self.isOpen = True
        self._data = b""
        self._waiting: Deferred[bytes] | None = None

    def ask(self, request: bytes) -> Deferred[bytes]:
        """The answer. Whoever gives up waiting has closed the connection."""
        transport: Any = self.transport
        waiting: Deferred[bytes] = Deferred(lambda _: transport.abortConnection())
        self._waiting, self._data = waiting, b""
        transport.write(request)
        return waiting

    def dataReceived(self, data: bytes) -> None:
        """Some of it. A service that speaks unasked would be taken at its word by whoever asks next."""
        transport: Any = self.transport
        if self._waiting is None:
            transport.abortConnection()
            return
        self._data += data
        end = min((at for at in (self._data.find(b"\n\n"), self._data.find(b"\n\r\n")) if at >= 0), default=-1)
        if end < 0 and len(self._data) <= LIMIT:
            return
        waiting, self._waiting = self._waiting, None
        if end < 0 or self._data[end:].strip():  # endless, or more than one answer: nothing that follows can be relied on
            self.isOpen = False
            transport.abortConnection()
        if end < 0 and not waiting.called:
            waiting.errback(PolicyError("an endless answer"))
        elif not waiting.called:
            waiting.callback(self._data[:end])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The service is gone."""
        self.isOpen = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(PolicyError("the policy service has closed the connection"))


@define
class _Noted:
    """What waits for the message. :ivar isAsked: the service was asked about its recipients."""

    headers: list[AddHeader] = field(factory=list)
    isAsked: bool = False


@implementer(IClosable)
class PolicyHook:
    """:param endpoint: where the service listens."""

    log = Logger("mailfw.hooks")

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint
        self._idle: list[PolicyConnection] = []

    async def __call__(self, event: Event) -> Result | None:
        """What the service says."""
        client = event.client
        if client is None:
            raise PolicyError(f"a policy service knows no {event.stage.value}")
        if event.stage is Stage.RCPT_TO and event.envelope is not None and not event.envelope.recipients:
            client.notes.pop(self, None)  # another message begins
        noted: _Noted = client.notes.setdefault(self, _Noted())
        if event.stage is Stage.END_OF_MESSAGE and noted.isAsked:
            del client.notes[self]
            return Continue(tuple(noted.headers))
        said = meaning(action(await self._ask(request(event))))
        isRecipient = event.stage is Stage.RCPT_TO
        noted.isAsked = noted.isAsked or isRecipient
        if not isinstance(said, AddHeader):
            return said
        if event.stage is Stage.END_OF_MESSAGE:
            return Continue((said,))
        if said not in noted.headers:
            noted.headers.append(said)
        return None

    async def _ask(self, request: bytes) -> bytes:
        """On a connection that waits, or a new one; a service may have closed the one that waited."""
        while self._idle:
            connection = self._idle.pop()
            if connection.isOpen:
                try:
                    return await self._asked(connection, request)
                except PolicyError:
                    continue
        return await self._asked(await connected(self._endpoint, PolicyConnection), request)

    async def _asked(self, connection: PolicyConnection, request: bytes) -> bytes:
        answer = await connection.ask(request)
        transport: Any = connection.transport
        if connection.isOpen and len(self._idle) < IDLE:
            self._idle.append(connection)
        else:
            transport.loseConnection()
        return answer

    async def close(self) -> None:
        """Let go of connections."""
        idle, self._idle = self._idle, []
        _closeAll(idle)


def _closeAll(connections: Iterable[PolicyConnection]) -> None:
    for connection in connections:
        transport: Any = connection.transport
        transport.loseConnection()


@implementer(IHookPlugin)
@frozen
class PolicyPlugin:
    """Opens policy services by where they listen. Asked at RCPT; what they prepend stands in the message."""

    prefix: str = "policy"
    stages: Collection[Stage] = (Stage.RCPT_TO, Stage.END_OF_MESSAGE)

    def openHook(self, argument: str, context: IHookContext) -> Hook:
        """:raises ValueError: that is no place where something can listen."""
        return PolicyHook(endpointOf(argument, context.reactor))


policy = PolicyPlugin()
