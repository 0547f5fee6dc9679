"""PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login-00): the password itself, so only to be offered under TLS."""

from __future__ import annotations

from mailfw.errors import AuthenticationFailed
from mailfw.sasl.steps import PASSWORD_LIMIT, USER_LIMIT, Challenge, Failed, NeedPassword, Step, decodeText

_MALFORMED = Failed("malformed response", isMalformed=True)


class PlainServer:
    """RFC 4616 §2: `message = [authzid] UTF8NUL authcid UTF8NUL passwd`."""

    def __init__(self) -> None:
        self.user = ""

    def start(self, initial: bytes | None) -> Step:
        """One message is all there is; it may come as the initial response."""
        return Challenge() if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take the message apart."""
        fields = data.split(b"\0")
        if len(fields) != 3:
            return _MALFORMED
        authorizeAs, user = (decodeText(part, USER_LIMIT) for part in fields[:2])
        password = decodeText(fields[2], PASSWORD_LIMIT)
        if authorizeAs is None or not user or not password:
            return _MALFORMED
        self.user = user
        return NeedPassword(user, password, authorizeAs)


class LoginServer:
    """Two questions and two answers; the user name may come as the initial response."""

    def __init__(self) -> None:
        self.user = ""

    def start(self, initial: bytes | None) -> Step:
        """Ask for the user name, or, when it is there, for the password."""
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """The user name first, then the password."""
        if self.user:
            password = decodeText(data, PASSWORD_LIMIT)
            return NeedPassword(self.user, password) if password else _MALFORMED
        user = decodeText(data, USER_LIMIT)
        if not user:
            return _MALFORMED
        self.user = user
        return Challenge(b"Password:")


class PlainClient:
    """The client's half of PLAIN."""

    name = "PLAIN"

    def __init__(self, user: str, password: str, authorizeAs: str = "") -> None:
        """:raises ValueError: one of them holds a NUL, which PLAIN cannot carry."""
        if "\0" in user + password + authorizeAs:
            raise ValueError("PLAIN carries no NUL")
        self.isDone = False
        self._message = "\0".join((authorizeAs, user, password)).encode("utf-8")

    def start(self) -> bytes | None:
        """All of it at once."""
        self.isDone = True
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        """There is nothing more to say."""
        raise AuthenticationFailed("the server asked PLAIN for more than there is")


class LoginClient:
    """The client's half of LOGIN. Servers word their two questions differently, so only their order counts."""

    name = "LOGIN"

    def __init__(self, user: str, password: str) -> None:
        self._answers = [password.encode("utf-8"), user.encode("utf-8")]

    @property
    def isDone(self) -> bool:
        """Once both were asked for."""
        return not self._answers

    def start(self) -> bytes | None:
        """The server asks first."""
        return None

    def respond(self, challenge: bytes) -> bytes:
        """The user name, then the password."""
        if not self._answers:
            raise AuthenticationFailed("the server asked LOGIN for more than there is")
        return self._answers.pop()
