"""Programs behind HTTP as hooks, in the JSON shape of Stalwart's MTA hooks: `http://HOST/PATH`, `https://HOST/PATH`.

What happens is POSTed; the answer has an `action` (accept, discard, reject, quarantine), perhaps a `response` of the program's
own words, and `modifications`. Messages are made JSON in a thread, and those over `max_size` are shown without their contents.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from attrs import frozen
from pydantic import BaseModel, ConfigDict, Field
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from mailfw.hooks.failure import Unanswered
from mailfw.hooks.runner import Hook
from mailfw.interfaces import IClosable, IHookContext, IHookPlugin, IOptions, IOptionsContext
from mailfw.message.header import scan
from mailfw.message.source import headerOf, without
from mailfw.net.web import Web, WebTrouble
from mailfw.stages import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Continue,
    DeleteHeader,
    Discard,
    Disconnect,
    Edit,
    Event,
    Quarantine,
    Reject,
    RemoveRecipient,
    ReplaceBody,
    Result,
    Stage,
    TempFail,
)
from mailfw.values import Address, MessageSource, Recipient

LIMIT = 64 << 20
"""Octets of an answer."""

_STAGES = {
    Stage.CONNECT: "connect",
    Stage.EHLO: "ehlo",
    Stage.AUTH: "auth",
    Stage.MAIL_FROM: "mail",
    Stage.RCPT_TO: "rcpt",
    Stage.END_OF_MESSAGE: "data",
}


class HTTPError(Unanswered):
    """The program behind HTTP is not there, or answers what cannot be understood."""


class HTTPOptions(BaseModel):
    """`[plugin.http]`, `[plugin.https]`.

    :ivar authorization: what the header of that name says, `Bearer …` or `Basic …`.
    :ivar max_size: octets of a message that is shown with its contents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    authorization: str = ""
    max_size: int = Field(10 << 20, ge=0)


# --- What is asked ---------------------------------------------------------------------------------------------------


def request(event: Event, maxSize: int) -> bytes:
    """The JSON of an event; reads the message, so not for the reactor's thread where that is large.

    :raises HTTPError: the shape has no word for that stage.
    """
    client, envelope = event.client, event.envelope
    if client is None or event.stage not in _STAGES:
        raise HTTPError(f"no program behind HTTP knows {event.stage.value}")
    context: dict[str, Any] = {
        "stage": _STAGES[event.stage],
        "client": {
            "ip": client.peer.host,
            "port": client.peer.port,
            "ptr": None,
            "helo": client.hello or None,
            "activeConnections": 1,
        },
        "server": {"name": client.hostname, "port": 0, "ip": None},
        "protocol": {"version": 1},
    }
    if client.identity is not None:
        context["sasl"] = {"login": client.identity.account, "method": event.argument or None}
    if client.tls:
        version, _, cipher = client.tls.partition(" ")
        context["tls"] = {"version": version, "cipher": cipher}
    body: dict[str, Any] = {"context": context}
    if envelope is not None:
        recipients = [*envelope.recipients, *([event.recipient] if event.recipient else [])]
        body["envelope"] = {
            "from": {"address": str(envelope.sender or "")},
            "to": [{"address": str(recipient.address)} for recipient in recipients],
        }
    if event.message is not None:
        body["message"] = _message(event.message, maxSize)
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _message(message: MessageSource, maxSize: int) -> dict[str, Any]:
    header = headerOf(message)
    fields = [
        [field.name.decode("utf-8", "replace"), header[field.start : field.end].partition(b":")[2].decode("utf-8", "replace")]
        for field in scan(header)
    ]
    contents = without(message, len(header)).read() if message.size <= maxSize else b""
    return {
        "headers": fields,
        "serverHeaders": [],
        "contents": contents.decode("utf-8", "replace"),
        "size": message.size,
    }


# --- What is answered ------------------------------------------------------------------------------------------------


class _Words(BaseModel):
    status: int | None = None
    enhancedStatus: str | None = None
    enhanced_status: str | None = None
    message: str | None = None
    disconnect: bool = False


class _Modification(BaseModel):
    type: str
    name: str = ""
    value: str = ""
    index: int = 0


class _Response(BaseModel):
    action: str
    response: _Words | None = None
    modifications: list[_Modification] = []


def meaning(octets: bytes) -> Result:
    """The result that an answer is. :raises ValueError: it is none."""
    answer = _Response.model_validate_json(octets)
    edits = tuple(_edit(each) for each in answer.modifications)
    words = answer.response or _Words()
    if words.disconnect and answer.action == "reject":
        return Disconnect(words.status or 421, _enhanced(words, "4.7.0"), words.message or "good bye")
    if answer.action == "accept":
        return Continue(edits)
    if answer.action == "quarantine":
        return Quarantine("the hook behind HTTP says so", edits)
    if answer.action == "discard":
        return Discard()
    if answer.action != "reject":
        raise HTTPError(f"unknown action {answer.action[:80]!r}")
    status, text = words.status or 550, words.message or "refused by policy"
    if status < 500:
        return TempFail(status, _enhanced(words, "4.7.1"), text)
    return Reject(status, _enhanced(words, "5.7.1"), text)


def _enhanced(words: _Words, otherwise: str) -> str:
    return words.enhancedStatus or words.enhanced_status or otherwise


def _edit(said: _Modification) -> Edit:
    """:raises ValueError: there is no such modification, or an address in it is none."""
    if said.type == "addHeader":
        return AddHeader(said.name, said.value)
    if said.type == "insertHeader":
        return AddHeader(said.name, said.value, max(0, said.index))
    if said.type == "changeHeader":
        return ChangeHeader(said.name, said.value, max(1, said.index))
    if said.type == "deleteHeader":
        return DeleteHeader(said.name, max(1, said.index))
    if said.type == "replaceContents":
        return ReplaceBody(said.value.encode("utf-8", "replace"))
    address = said.value.strip().removeprefix("<").removesuffix(">")
    if said.type == "changeFrom":
        return ChangeSender(Address.parse(address) if address else None)
    if said.type == "addRecipient":
        return AddRecipient(Recipient(Address.parse(address)))
    if said.type == "deleteRecipient":
        return RemoveRecipient(Address.parse(address))
    raise HTTPError(f"unknown modification {said.type[:80]!r}")


# --- HTTP ------------------------------------------------------------------------------------------------------------


@implementer(IClosable)
class HTTPHook:
    """:param url: what is POSTed to."""

    def __init__(self, url: str, options: HTTPOptions, reactor: Any) -> None:
        self._url = url
        self._options = options
        self._reactor = reactor
        self._web = Web(reactor, None, limit=LIMIT, isKept=True)  # the runner knows the deadline
        self._headers = {b"Content-Type": b"application/json"}
        if options.authorization:
            self._headers[b"Authorization"] = options.authorization.encode("utf-8")

    async def __call__(self, event: Event) -> Result:
        """What the program says."""
        octets = await self._inThread(lambda: request(event, self._options.max_size))
        try:
            said = await self._web.send(self._url, octets, self._headers)
        except WebTrouble as error:
            raise HTTPError(str(error)) from None
        result: Result = await self._inThread(lambda: meaning(said))
        return result

    async def _inThread(self, work: Any) -> Any:
        return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    async def close(self) -> None:
        """Let go of connections."""
        await self._web.close()


@implementer(IHookPlugin, IOptions)
@frozen
class HTTPPlugin:
    """Opens programs behind HTTP by their URL, of which the prefix is the scheme."""

    prefix: str
    stages: Collection[Stage] = (Stage.END_OF_MESSAGE,)
    model: Any = HTTPOptions

    def openHook(self, argument: str, context: IHookContext) -> Hook:
        """:raises ValueError: that is no URL."""
        if not argument.startswith("//") or not argument.isascii() or not argument.isprintable() or " " in argument:
            raise ValueError(f"write {self.prefix}://HOST/PATH")
        return HTTPHook(f"{self.prefix}:{argument}", IOptionsContext(context).options, context.reactor)


http = HTTPPlugin("http")
https = HTTPPlugin("https")
