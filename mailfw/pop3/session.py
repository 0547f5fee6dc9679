"""What each command of POP3 means: the session's states and rules (RFC 1939 §3), without a transport.

Invariants:

- Which command may come in which state is written in `_RULES`, and nowhere else.
- A session holds at most one maildrop lease, and `close` gives it back, whatever else went wrong.
- Deletions happen at QUIT in TRANSACTION state and at no other time; a session that ends otherwise changes nothing.
- A name or a password that came in the clear where it must not is never looked at.
- After STLS nothing is remembered but how often the client has failed.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from attrs import frozen

from mailfw.errors import AuthenticationFailed, Refusal
from mailfw.interfaces import IMailStore
from mailfw.net.limits import Limits
from mailfw.pop3 import grammar
from mailfw.pop3.grammar import BadCommand, Reply, err, ok, refusalReply
from mailfw.pop3.maildrop import Maildrop, MaildropLeases
from mailfw.sasl.exchange import Exchange, Logins
from mailfw.values import Identity

SERVICE = "pop3"
"""What logins are for, whichever listener they come in by: app passwords can be bound to it."""

LANGUAGES = {"en": "English", "i-default": "Default language"}
"""Languages of replies (RFC 6856 §3), each with its name in itself; the first is the server's own choice."""

PATIENCE = 5
"""Bad commands that a person may type before each further one takes longer to be answered."""


class Gone(Refusal):
    """There is nobody left to do it for."""

    summary = "the client has left"


class Channel(Protocol):
    """What a session asks of the connection that it runs on."""

    @property
    def peerHost(self) -> str:
        """The client's address."""

    def mayUsePlaintext(self) -> bool:
        """Whether a password may come now."""

    @property
    def peerCertificate(self) -> bytes | None:
        """The client's verified certificate."""

    def channelBinding(self, kind: str, /) -> bytes | None:
        """What a login can be bound to."""

    def mayStartTLS(self) -> bool:
        """Whether STLS would do."""

    async def pause(self, seconds: float) -> None:
        """Wait. :raises Gone: the client has not waited."""


class State(enum.Enum):
    """RFC 1939 §3."""

    AUTHORIZATION = "authorization"
    TRANSACTION = "transaction"
    UPDATE = "update"


class Then(enum.Enum):
    """What the connection does after an answer."""

    GO_ON = "go on"
    START_TLS = "start TLS"
    CLOSE = "close"


@frozen
class Answer:
    """What a command is answered with.

    :ivar body: of a multi-line response, before dots are doubled; None when the reply is one line. While it has given nothing,
        a refusal that it raises takes the place of the reply.
    """

    reply: Reply
    body: AsyncGenerator[bytes, None] | None = None
    then: Then = Then.GO_ON


@frozen
class Challenge:
    """What a SASL mechanism asks; the client's next line answers it."""

    data: bytes


class POP3Session:
    """One session.

    :ivar state: RFC 1939 §3. :ivar identity: who logged in.
    """

    def __init__(
        self, channel: Channel, store: IMailStore, logins: Logins, leases: MaildropLeases, limits: Limits, hostname: str
    ) -> None:
        self.state = State.AUTHORIZATION
        self.identity: Identity | None = None
        self._channel = channel
        self._store = store
        self._logins = logins
        self._leases = leases
        self._limits = limits
        self._hostname = hostname
        self._userName = ""
        self._exchange: Exchange | None = None
        self._maildrop: Maildrop | None = None
        self._release: Callable[[], None] | None = None
        self._badCommands = 0
        self._failures = 0

    # --- What the server calls -------------------------------------------------------------------------------------

    def greeting(self) -> Reply:
        """The first thing a client reads. There is no timestamp in it, for APOP is not offered."""
        return ok(f"{self._hostname} POP3 server ready")

    @property
    def isChallenging(self) -> bool:
        """Whether the client's next line answers a challenge."""
        return self._exchange is not None

    async def handle(self, command: grammar.Command) -> Answer | Challenge:
        """Do what a command says."""
        states, method = _RULES[type(command)]
        if self.state not in states:
            return await self.complain(BadCommand(f"{command.keyword.decode()} is not for {self.state.value} state"))
        return await self._refusable(method(self, command))

    async def respond(self, response: bytes | None) -> Answer | Challenge:
        """Go on with the SASL exchange under way; None: the client cancels it."""
        exchange, self._exchange = self._exchange, None
        if exchange is None or response is None:
            return Answer(err("authentication cancelled"))
        return await self._refusable(self._proceed(exchange, response))

    async def complain(self, refusal: BadCommand) -> Answer:
        """Answer what is no command, or not one for now: ever more slowly, and in the end not at all."""
        self._exchange = None
        self._badCommands += 1
        if self._badCommands >= self._limits.badCommands:
            return Answer(err("too many bad commands"), then=Then.CLOSE)
        with suppress(Gone):
            await self._channel.pause(max(0, self._badCommands - PATIENCE) * 0.05)
        return Answer(refusalReply(refusal))

    async def _refusable(self, doing: Awaitable[Answer | Challenge]) -> Answer | Challenge:
        try:
            return await doing
        except BadCommand as refusal:
            return await self.complain(refusal)
        except Refusal as refusal:
            return Answer(refusalReply(refusal))

    def secured(self) -> None:
        """TLS has begun: all that was said before it is forgotten (RFC 2595 §4)."""
        self._userName = ""

    def close(self) -> None:
        """The connection is over; nothing is removed. May be called more than once."""
        self.state = State.UPDATE
        if self._release is not None:
            self._release()

    # --- AUTHORIZATION ---------------------------------------------------------------------------------------------

    async def _user(self, command: grammar.User) -> Answer:
        self._requirePrivacy()
        self._userName = command.text
        return Answer(ok("now the password"))

    async def _pass(self, command: grammar.Pass) -> Answer:
        self._requirePrivacy()
        user, self._userName = self._userName, ""
        if not user:
            raise BadCommand("USER comes first")
        peer = self._channel.peerHost
        await self._channel.pause(self._logins.delayFor(peer, user))
        try:
            identity = await self._logins.password(user, command.password, service=SERVICE, peer=peer)
        except AuthenticationFailed as refusal:
            return self._fail(refusal)
        return await self._enter(identity)

    async def _apop(self, command: grammar.APOP) -> Answer:
        raise BadCommand("APOP is not offered here")

    async def _auth(self, command: grammar.Auth) -> Answer | Challenge:
        if not command.mechanism:
            return Answer(ok("mechanisms follow"), _lines(self._mechanisms()))
        if command.mechanism not in self._mechanisms():
            raise BadCommand("that mechanism is not offered here")
        exchange = self._logins.begin(
            command.mechanism,
            service=SERVICE,
            peer=self._channel.peerHost,
            mayUsePlaintext=self._channel.mayUsePlaintext(),
            binding=self._channel.channelBinding,
            certificate=self._channel.peerCertificate,
        )
        return await self._proceed(exchange, command.initialResponse)

    async def _proceed(self, exchange: Exchange, data: bytes | None) -> Answer | Challenge:
        """Take one step of a SASL exchange."""
        if data is not None:
            await self._channel.pause(self._logins.delayFor(self._channel.peerHost, exchange.user))
        try:
            step = await exchange.step(data)
        except AuthenticationFailed as refusal:
            return self._fail(refusal)
        if isinstance(step, bytes):
            self._exchange = exchange
            return Challenge(step)
        return await self._enter(step)

    async def _enter(self, identity: Identity) -> Answer:
        """Take the maildrop and number it; TRANSACTION state begins, or nothing has happened (RFC 1939 §4)."""
        release = self._leases.acquire(self._store, identity.account)
        try:
            maildrop = await Maildrop.open(await self._store.openAccount(identity, identity.account))
        except BaseException:
            release()
            raise
        self.identity, self.state = identity, State.TRANSACTION
        self._maildrop, self._release = maildrop, release
        return Answer(ok(_count(maildrop)))

    def _fail(self, refusal: AuthenticationFailed) -> Answer:
        self._failures += 1
        isEnough = self._failures >= self._limits.authFailures
        return Answer(refusalReply(refusal), then=Then.CLOSE if isEnough else Then.GO_ON)

    def _requirePrivacy(self) -> None:
        if not self._channel.mayUsePlaintext():
            raise BadCommand("not without TLS")

    def _mechanisms(self) -> tuple[str, ...]:
        channel = self._channel
        return self._logins.mechanisms(channel.mayUsePlaintext(), channel.channelBinding, channel.peerCertificate)

    async def _stls(self, command: grammar.STLS) -> Answer:
        if not self._channel.mayStartTLS():
            raise BadCommand("STLS is not offered here")
        return Answer(ok("begin TLS"), then=Then.START_TLS)

    async def _utf8(self, command: grammar.UTF8) -> Answer:
        # Replies are ASCII, arguments are read as UTF-8 and messages are sent as they are stored, before and after.
        return Answer(ok("UTF8 enabled"))

    # --- Any state -------------------------------------------------------------------------------------------------

    async def _capa(self, command: grammar.CAPA) -> Answer:
        names = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER", "LOGIN-DELAY 0"]
        names += ["UTF8 USER", "LANG", "IMPLEMENTATION mailfw"]
        if self._channel.mayUsePlaintext():
            names.append("USER")
        if mechanisms := self._mechanisms():
            names.append(" ".join(("SASL", *mechanisms)))
        if self.state is State.AUTHORIZATION and self._channel.mayStartTLS():
            names.append("STLS")
        return Answer(ok("what there is"), _lines(names))

    async def _lang(self, command: grammar.Lang) -> Answer:
        if not command.tag:
            return Answer(ok("languages follow"), _lines([f"{tag} {name}" for tag, name in LANGUAGES.items()]))
        tag = next(iter(LANGUAGES)) if command.tag == "*" else command.tag.lower()
        while tag not in LANGUAGES:
            # RFC 4647 §3.4: the tag without its last subtag, until one is found.
            tag, hyphen, _ = tag.rpartition("-")
            if not hyphen:
                return Answer(err("no such language here"))
        return Answer(ok(f"{tag} {LANGUAGES[tag]}"))

    async def _quit(self, command: grammar.Quit) -> Answer:
        try:
            if self._maildrop is not None:
                await self._maildrop.update()
        except Refusal as refusal:
            reply = refusalReply(refusal)
            return Answer(Reply(False, f"nothing was deleted: {reply.text}", reply.code), then=Then.CLOSE)
        finally:
            self.close()
        return Answer(ok("goodbye"), then=Then.CLOSE)

    # --- TRANSACTION -----------------------------------------------------------------------------------------------

    async def _stat(self, command: grammar.Stat) -> Answer:
        return Answer(ok(f"{self._drop.messages} {self._drop.octets}"))

    async def _list(self, command: grammar.List) -> Answer:
        if command.number is None:
            return Answer(ok(_count(self._drop)), self._drop.sizeLines())
        return Answer(ok(f"{command.number} {self._drop.size(command.number)}"))

    async def _uidl(self, command: grammar.UIDL) -> Answer:
        if command.number is None:
            return Answer(ok("unique ids follow"), self._drop.uniqueIdLines())
        return Answer(ok(f"{command.number} {await self._drop.uniqueId(command.number)}"))

    async def _retr(self, command: grammar.Retr) -> Answer:
        return Answer(ok(f"{self._drop.size(command.number)} octets"), self._drop.content(command.number))

    async def _top(self, command: grammar.Top) -> Answer:
        return Answer(ok("top of the message follows"), self._drop.top(command.number, command.lines))

    async def _dele(self, command: grammar.Dele) -> Answer:
        self._drop.delete(command.number)
        return Answer(ok("marked deleted"))

    async def _noop(self, command: grammar.Noop) -> Answer:
        return Answer(ok())

    async def _rset(self, command: grammar.Rset) -> Answer:
        self._drop.undelete()
        return Answer(ok(_count(self._drop)))

    @property
    def _drop(self) -> Maildrop:
        assert self._maildrop is not None, "the state is TRANSACTION"
        return self._maildrop


def _count(maildrop: Maildrop) -> str:
    return f"{maildrop.messages} message{'' if maildrop.messages == 1 else 's'} ({maildrop.octets} octets)"


async def _lines(lines: Iterable[str]) -> AsyncGenerator[bytes, None]:
    yield "".join(f"{line}\r\n" for line in lines).encode()


_BEFORE = frozenset({State.AUTHORIZATION})
_AFTER = frozenset({State.TRANSACTION})

# Each method takes the command that it stands beside, which is narrower than the table's type can say.
_RULES: dict[type[grammar.Command], tuple[frozenset[State], Callable[[POP3Session, Any], Awaitable[Answer | Challenge]]]] = {
    grammar.User: (_BEFORE, POP3Session._user),
    grammar.Pass: (_BEFORE, POP3Session._pass),
    grammar.APOP: (_BEFORE, POP3Session._apop),
    grammar.Auth: (_BEFORE, POP3Session._auth),
    grammar.STLS: (_BEFORE, POP3Session._stls),
    grammar.UTF8: (_BEFORE, POP3Session._utf8),
    grammar.CAPA: (_BEFORE | _AFTER, POP3Session._capa),
    grammar.Lang: (_BEFORE | _AFTER, POP3Session._lang),
    grammar.Quit: (_BEFORE | _AFTER, POP3Session._quit),
    grammar.Stat: (_AFTER, POP3Session._stat),
    grammar.List: (_AFTER, POP3Session._list),
    grammar.UIDL: (_AFTER, POP3Session._uidl),
    grammar.Retr: (_AFTER, POP3Session._retr),
    grammar.Top: (_AFTER, POP3Session._top),
    grammar.Dele: (_AFTER, POP3Session._dele),
    grammar.Noop: (_AFTER, POP3Session._noop),
    grammar.Rset: (_AFTER, POP3Session._rset),
}
