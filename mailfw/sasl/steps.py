"""What a mechanism can answer, and what a mechanism is: the words that mechanisms and the exchange share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import field, frozen

from mailfw.errors import AuthenticationFailed, TokenRefused
from mailfw.sasl.verifier import Verifier

SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-1")
"""The hashes that we speak SCRAM with, the better one first; each has a -PLUS form."""

MESSAGE_LIMIT = 9216
"""Octets in one message of any mechanism, before base64: what a line of 12,288 holds (RFC 4954 §4). Some tokens need it."""
USER_LIMIT = 512
"""Octets in a user name or an authorization identity."""
PASSWORD_LIMIT = 1024
"""Octets in a password. A bound, because some hash schemes take time that grows with its square."""


class MalformedResponse(AuthenticationFailed):
    """The client's message breaks the mechanism's grammar: a protocol may say so (SMTP 501, IMAP BAD)."""

    summary = "malformed authentication response"


@frozen
class Challenge:
    """Send this to the client (it may be empty) and bring what it answers."""

    data: bytes = b""


@frozen
class NeedPassword:
    """Everything depends on whether this password is right; the mechanism itself has nothing more to say.

    :ivar authorizeAs: the authorization identity asked for, empty for the user's own.
    """

    user: str
    password: str = field(repr=False)
    authorizeAs: str = ""


@frozen
class NeedToken:
    """Everything depends on whether this bearer token is right.

    :ivar user: the account that the client asks for, empty for the one that the token is for.
    :ivar explain: the challenge that tells a client why its token was refused; its answer says nothing more.
    """

    user: str
    token: str = field(repr=False)
    explain: Callable[[TokenRefused], bytes] = field(eq=False, repr=False)


@frozen
class NeedCertificate:
    """The client's certificate is to say who that is. :ivar authorizeAs: the account asked for, empty for the certificate's."""

    authorizeAs: str = ""


@frozen
class NeedVerifier:
    """Give `resume` what is stored for the user, made up where there is none, and go on with the step it returns.

    :ivar mechanism: `SCRAM-SHA-256` or `SCRAM-SHA-1`, without -PLUS.
    """

    user: str
    mechanism: str
    resume: Callable[[Verifier], Step] = field(eq=False, repr=False)


@frozen
class Succeeded:
    """The client has proved to know the user's password.

    :ivar data: the mechanism's final message, which the client must see before it is told of success.
    """

    user: str
    authorizeAs: str = ""
    data: bytes = b""


@frozen
class Failed:
    """It is over. The reason is for the log, never for the client.

    :ivar isMalformed: the message broke the mechanism's grammar.
    """

    reason: str
    isMalformed: bool = False


Claim = NeedPassword | NeedToken | NeedCertificate | Succeeded
"""All has been said, and somebody must decide whether to believe it."""
Step = Challenge | NeedVerifier | Claim | Failed


class ServerMechanism(Protocol):
    """The server's half of one exchange of one mechanism. It is used once."""

    @property
    def user(self) -> str:
        """The user name the client claims, as far as it is known: for the log."""

    def start(self, initial: bytes | None) -> Step:
        """Begin; `initial` is the initial response, None where the client sent none (RFC 4422 §5 1.d)."""

    def respond(self, data: bytes) -> Step:
        """Go on with the client's answer to the last challenge."""


class ClientMechanism(Protocol):
    """The client's half of one exchange of one mechanism. It is used once."""

    name: str

    @property
    def isDone(self) -> bool:
        """Whether the server may now claim success; a client that hears of it earlier must not believe it."""

    def start(self) -> bytes | None:
        """The initial response; None: the server speaks first.

        Where a protocol cannot carry it in its command, it is the answer to the server's first challenge, which is
        empty.
        """

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge. :raises AuthenticationFailed: the server broke the rules, or is not who it should be."""


def decodeText(data: bytes, limit: int) -> str | None:
    """A user name or a password from the wire: UTF-8, no NUL, within its limit; None otherwise."""
    if len(data) > limit or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
