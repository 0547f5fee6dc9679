"""Commands of any state, and how a session is entered and left (RFC 3501 §6.1, §6.2; RFC 2971, RFC 4959, RFC 8437)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.errors import AuthenticationFailed, NotSupported, Refusal
from mailfw.imap.grammar import response
from mailfw.imap.grammar.commands import Authenticate, Capability, Id, Login, Logout, Noop, StartTLS, Unauthenticate
from mailfw.imap.grammar.response import Reply, bad, bye, no, ok, refused
from mailfw.imap.states import State
from mailfw.sasl.exchange import PLAINTEXT, Exchange
from mailfw.sasl.steps import MalformedResponse
from mailfw.sasl.wire import decodeInitialResponse, decodeResponse, encode
from mailfw.values import Identity

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

SERVICE = "imap"
"""What logins are for, whichever listener they come in by: app passwords can be bound to it."""


# --- Any state -------------------------------------------------------------------------------------------------------


async def capability(session: Session, command: Capability) -> Reply:
    """RFC 3501 §6.1.1"""
    session.untagged(session.capabilityCode())
    return ok("those are the capabilities")


async def noop(session: Session, command: Noop) -> Reply:
    """RFC 3501 §6.1.2. The news are told after every command."""
    return ok("nothing done")


async def logout(session: Session, command: Logout) -> None:
    """RFC 3501 §6.1.3"""
    session.channel.write(bye("goodbye"))
    session.answer(session.tag, ok("logged out"))
    session.state = State.LOGOUT
    session.channel.hangUp()


async def identify(session: Session, command: Id) -> Reply:
    """RFC 2971 §3.1. What the client says of itself goes to the log, and changes nothing."""
    if command.parameters:
        said = b" ".join(name + b"=" + (value or b"") for name, value in command.parameters)
        session.channel.log.debug("the client says what it is: {client!r}", client=said.decode("utf-8", "replace"))
    pairs = [text for pair in session.settings.identification for text in pair]
    words = b" ".join(response.string(text.encode("utf-8")) for text in pairs)
    session.untagged(b"ID", b"(%b)" % words if words else b"NIL")
    return ok("glad to know you")


# --- Before login ----------------------------------------------------------------------------------------------------


async def startTLS(session: Session, command: StartTLS) -> Reply | None:
    """RFC 3501 §6.2.1. What the client said in the clear is forgotten: a session keeps nothing of it."""
    if not session.channel.mayStartTLS():
        return bad("TLS is not available") if not session.channel.isTLS else bad("TLS is active already")
    session.answer(session.tag, ok("begin TLS now"))
    session.channel.startTLS()
    return None


async def login(session: Session, command: Login) -> Reply:
    """RFC 3501 §6.2.3"""
    if not session.channel.mayUsePlaintext():
        return no("passwords may only come under TLS", b"PRIVACYREQUIRED")
    try:
        user, password = command.user.decode("utf-8"), command.password.decode("utf-8")
    except UnicodeDecodeError:
        user, password = "", ""  # nobody's; it is looked at like any other, and takes as long
    await _holdBack(session, user)
    try:
        identity = await session.logins.password(user, password, service=SERVICE, peer=session.channel.peerHost)
    except AuthenticationFailed as refusal:
        return _failure(session, refusal)
    return await _enter(session, identity)


async def authenticate(session: Session, command: Authenticate) -> Reply | None:
    """RFC 3501 §6.2.2, with the initial response of RFC 4959"""
    channel = session.channel
    if command.mechanism in PLAINTEXT and not channel.mayUsePlaintext():
        return no("passwords may only come under TLS", b"PRIVACYREQUIRED")
    if f"AUTH={command.mechanism}" in session.missing:
        return no("there is no such mechanism here", b"CANNOT")
    try:
        exchange = session.logins.begin(
            command.mechanism,
            service=SERVICE,
            peer=channel.peerHost,
            mayUsePlaintext=channel.mayUsePlaintext(),
            binding=channel.channelBinding,
            certificate=channel.peerCertificate,
        )
    except NotSupported as refusal:
        return no(refusal.text, b"CANNOT")
    dialogue = Authenticating(session, exchange)
    session.dialogue = dialogue
    return await dialogue.step(command.initialResponse)


class Authenticating:
    """A SASL exchange: every line is the client's answer to a challenge."""

    def __init__(self, session: Session, exchange: Exchange) -> None:
        self._session = session
        self._exchange = exchange

    async def line(self, line: bytes) -> None:
        """An answer, or `*`, which ends the exchange (RFC 3501 §6.2.2)."""
        if line == b"*":
            await self._session.finish(bad("authentication cancelled"))
            return
        await _holdBack(self._session, self._exchange.user)
        try:
            reply = await self._go(decodeResponse(line))
        except Refusal as refusal:
            reply = _failure(self._session, refusal)
        if reply is not None:
            await self._session.finish(reply)

    async def step(self, initialResponse: bytes | None) -> Reply | None:
        """Begin."""
        try:
            return await self._go(None if initialResponse is None else decodeInitialResponse(initialResponse))
        except Refusal as refusal:
            return _failure(self._session, refusal)

    async def _go(self, data: bytes | None) -> Reply | None:
        answer = await self._exchange.step(data)
        if isinstance(answer, Identity):
            return await _enter(self._session, answer)
        self._session.channel.write(b"+ %b\r\n" % encode(answer))
        return None

    def ended(self) -> None:
        """Nothing is held."""


async def _holdBack(session: Session, user: str) -> None:
    """Those who have failed before wait longer, answered nothing."""
    await session.channel.pause(session.logins.delayFor(session.channel.peerHost, user))


async def _enter(session: Session, identity: Identity) -> Reply:
    await session.enter(identity)
    return ok(f"logged in as {identity.account}", session.capabilityCode())


def _failure(session: Session, refusal: Refusal) -> Reply:
    """What a login that failed is told; who guesses is cut off."""
    if not isinstance(refusal, AuthenticationFailed):
        return refused(refusal)
    session.authFailures += 1
    if session.authFailures >= session.limits.authFailures:
        session.end("too many failed logins")
    if isinstance(refusal, MalformedResponse):
        return bad(refusal.text)
    return refused(refusal)


# --- After it --------------------------------------------------------------------------------------------------------


async def unauthenticate(session: Session, command: Unauthenticate) -> None:
    """RFC 8437 §3. Nothing is left of who the client was, but how often it has failed to log in, and TLS."""
    await session.leave()
    session.answer(session.tag, ok("you are nobody again"))
    session.channel.stopCompression()


HANDLERS: Mapping[type, Handler] = {
    Capability: capability,
    Noop: noop,
    Logout: logout,
    Id: identify,
    StartTLS: startTLS,
    Login: login,
    Authenticate: authenticate,
    Unauthenticate: unauthenticate,
}
