"""EXTERNAL (RFC 4422 Appendix A): who the client is was proved elsewhere, here by its certificate in TLS."""

from __future__ import annotations

from mailfw.errors import AuthenticationFailed
from mailfw.sasl.steps import USER_LIMIT, Challenge, Failed, NeedCertificate, Step, decodeText


class ExternalServer:
    """The client only says whose account it wants; nothing at all means the one that its certificate is for."""

    def __init__(self) -> None:
        self.user = ""

    def start(self, initial: bytes | None) -> Step:
        """The client speaks first; without an initial response it is asked to."""
        return Challenge() if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """`extern-resp = *( UTF8-char-no-nul )`"""
        authorizeAs = decodeText(data, USER_LIMIT)
        if authorizeAs is None:
            return Failed("malformed response", isMalformed=True)
        self.user = authorizeAs
        return NeedCertificate(authorizeAs)


class ExternalClient:
    """The client's half."""

    name = "EXTERNAL"

    def __init__(self, authorizeAs: str = "") -> None:
        self.isDone = False
        self._message = authorizeAs.encode("utf-8")

    def start(self) -> bytes | None:
        """The one message, which may be empty."""
        self.isDone = True
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        """There is nothing more to say."""
        raise AuthenticationFailed("the server asked EXTERNAL for more than there is")
