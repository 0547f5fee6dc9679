"""SCRAM (RFC 5802, RFC 7677): both sides prove to know the password, and neither sends it.

The -PLUS forms also bind the login to the TLS channel beneath (RFC 5929 tls-server-end-point, RFC 9266 tls-exporter),
so that nobody in the middle can pass it on. What the channel's data are is the caller's to say: a `ChannelBinding`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable

from attrs import field, frozen

from mailfw.errors import AuthenticationFailed
from mailfw.sasl.steps import USER_LIMIT, Challenge, Failed, NeedVerifier, Step, Succeeded, decodeText
from mailfw.sasl.verifier import HASHES, Verifier, saltPassword
from mailfw.sasl.wire import decodeBase64

ChannelBinding = Callable[[str], bytes | None]
"""Name of a channel binding type, as registered (`tls-exporter`), to its data on this connection; None: not to be had."""

Nonce = Callable[[], bytes]

_NONCE = rb"[\x21-\x2b\x2d-\x7e]{1,256}"  # printable = %x21-2B / %x2D-7E
_EXTENSIONS = rb"(?:,[A-Za-z]=[^,\x00]+)*"  # extensions = attr-val *("," attr-val)
_BASE64 = rb"[A-Za-z0-9+/]+={0,2}"

# client-first-message = gs2-header client-first-message-bare, RFC 5802 §7. The reserved `m=` has no place in it: an
# extension that a server does not know must end the exchange.
_CLIENT_FIRST = re.compile(
    rb"(?P<gs2>(?:(?P<flag>[ny])|p=(?P<binding>[A-Za-z0-9.-]{1,64})),(?:a=(?P<authorizeAs>[^,\x00]+))?,)"
    rb"(?P<bare>n=(?P<user>[^,\x00]+),r=(?P<nonce>" + _NONCE + rb")" + _EXTENSIONS + rb")"
)
# client-final-message = channel-binding "," nonce ["," extensions] "," proof, RFC 5802 §7.
_CLIENT_FINAL = re.compile(
    rb"(?P<withoutProof>c=(?P<binding>" + _BASE64 + rb"),r=(?P<nonce>" + _NONCE + rb")" + _EXTENSIONS + rb")"
    rb",p=(?P<proof>" + _BASE64 + rb")"
)
# server-first-message = nonce "," salt "," iteration-count ["," extensions], RFC 5802 §7.
_SERVER_FIRST = re.compile(
    rb"r=(?P<nonce>" + _NONCE + rb"),s=(?P<salt>" + _BASE64 + rb"),i=(?P<iterations>[1-9][0-9]{0,9})" + _EXTENSIONS
)
_SERVER_FINAL = re.compile(rb"v=(?P<signature>" + _BASE64 + rb")" + _EXTENSIONS)
_SERVER_ERROR = re.compile(rb"e=[^,\x00]+" + _EXTENSIONS)

# A client that let the server choose freely would compute for as long as the server likes.
_ITERATIONS_LIMIT = 1_000_000


def randomNonce() -> bytes:
    """144 random bits, printable."""
    return base64.b64encode(os.urandom(18))


def encodeName(name: str) -> bytes:
    """`saslname`, RFC 5802 §5.1: `,` and `=` are written `=2C` and `=3D`."""
    return name.replace("=", "=3D").replace(",", "=2C").encode("utf-8")


def decodeName(name: bytes) -> str | None:
    """Read what `encodeName` wrote; None where an `=` stands for nothing, or the text is no UTF-8 or too long."""
    if re.search(rb"=(?!2C|3D)", name):
        return None
    return decodeText(name.replace(b"=2C", b",").replace(b"=3D", b"="), USER_LIMIT)


@frozen
class _ClientFirst:
    """The client's first message, taken apart; `binding` is empty without `p=`."""

    header: bytes
    bare: bytes
    flag: bytes
    binding: str
    user: str
    authorizeAs: str
    nonce: bytes

    @classmethod
    def parse(cls, data: bytes) -> _ClientFirst | None:
        """None: it breaks the grammar."""
        found = _CLIENT_FIRST.fullmatch(data)
        if not found:
            return None
        user, authorizeAs = decodeName(found["user"]), decodeName(found["authorizeAs"] or b"")
        if not user or authorizeAs is None:
            return None
        binding = (found["binding"] or b"").decode("ascii")
        return cls(found["gs2"], found["bare"], found["flag"] or b"p", binding, user, authorizeAs, found["nonce"])


class ScramServer:
    """The server's half.

    :param name: as the client chose it, with or without -PLUS.
    :param binding: the channel's data where -PLUS was offered on this connection, else None.
    """

    def __init__(self, name: str, binding: ChannelBinding | None = None, nonce: Nonce = randomNonce) -> None:
        self.user = ""
        self._mechanism = name.removesuffix("-PLUS")
        self._hash = HASHES[self._mechanism]
        self._isBound = name.endswith("-PLUS")
        self._binding = binding
        self._newNonce = nonce
        self._conversation: _Conversation | None = None

    def start(self, initial: bytes | None) -> Step:
        """The client speaks first; without an initial response it is asked to."""
        return Challenge() if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """The client's first message, then its final one."""
        return self._first(data) if self._conversation is None else self._final(self._conversation, data)

    def _first(self, data: bytes) -> Step:
        first = _ClientFirst.parse(data)
        if first is None:
            return Failed("malformed first message", isMalformed=True)
        self.user = first.user
        if first.flag == b"y" and self._binding is not None:
            return Failed("somebody hid the -PLUS mechanisms from the client")  # RFC 5802 §6
        if self._isBound != bool(first.binding):
            return Failed("channel binding and mechanism do not fit", isMalformed=True)
        bound = self._binding(first.binding) if self._binding is not None and first.binding else b""
        if bound is None:
            return Failed(f"no channel binding {first.binding} here")

        def resume(verifier: Verifier) -> Step:
            nonce = first.nonce + self._newNonce()
            salt = base64.b64encode(verifier.salt)
            serverFirst = b"r=%b,s=%b,i=%d" % (nonce, salt, verifier.iterations)
            self._conversation = _Conversation(first, first.header + bound, nonce, serverFirst, verifier)
            return Challenge(serverFirst)

        return NeedVerifier(first.user, self._mechanism, resume)

    def _final(self, conversation: _Conversation, data: bytes) -> Step:
        found = _CLIENT_FINAL.fullmatch(data)
        if not found:
            return Failed("malformed final message", isMalformed=True)
        try:
            binding, proof = decodeBase64(found["binding"]), decodeBase64(found["proof"])
        except ValueError:
            return Failed("malformed final message", isMalformed=True)
        message = b",".join((conversation.first.bare, conversation.serverFirst, found["withoutProof"]))
        verifier = conversation.verifier
        signature = hmac.digest(verifier.storedKey, message, self._hash)
        if not hmac.compare_digest(found["nonce"], conversation.nonce):
            return Failed("another nonce")
        if not hmac.compare_digest(binding, conversation.binding):
            return Failed("another channel binding")
        if len(proof) != len(signature):
            return Failed("malformed final message", isMalformed=True)
        clientKey = _xor(proof, signature)
        if not hmac.compare_digest(hashlib.new(self._hash, clientKey).digest(), verifier.storedKey):
            return Failed("wrong password or unknown user")
        proved = base64.b64encode(hmac.digest(verifier.serverKey, message, self._hash))
        return Succeeded(conversation.first.user, conversation.first.authorizeAs, b"v=" + proved)


@frozen
class _Conversation:
    """What the server said and must see again. :ivar binding: cbind-input, RFC 5802 §7."""

    first: _ClientFirst
    binding: bytes
    nonce: bytes
    serverFirst: bytes
    verifier: Verifier = field(repr=False)


class ScramClient:
    """The client's half.

    :param binding: type and data of the channel binding. With one, but without a -PLUS name, the client says `y`: it
        saw no -PLUS on offer. A server that did offer one then knows that somebody is in the middle (RFC 5802 §6).
    """

    def __init__(
        self,
        name: str,
        user: str,
        password: str,
        authorizeAs: str = "",
        binding: tuple[str, bytes] | None = None,
        nonce: Nonce = randomNonce,
    ) -> None:
        self.name = name
        self.isDone = False
        self._hash = HASHES[name.removesuffix("-PLUS")]
        self._password = password
        isBound = name.endswith("-PLUS")
        if isBound and binding is None:
            raise ValueError(f"{name} needs a channel binding")
        flag = b"n" if binding is None else (b"p=" + binding[0].encode("ascii") if isBound else b"y")
        asked = b"a=" + encodeName(authorizeAs) if authorizeAs else b""
        self._header = flag + b"," + asked + b","
        self._bound = self._header + (binding[1] if isBound and binding else b"")
        self._nonce = nonce()
        self._bare = b"n=" + encodeName(user) + b",r=" + self._nonce
        self._signature = b""

    def start(self) -> bytes | None:
        """The client's first message."""
        return self._header + self._bare

    def respond(self, challenge: bytes) -> bytes:
        """The proof; then nothing more, once the server has proved itself too."""
        return self._prove(challenge) if not self._signature else self._believe(challenge)

    def _prove(self, challenge: bytes) -> bytes:
        found = _SERVER_FIRST.fullmatch(challenge)
        if not found or not found["nonce"].startswith(self._nonce) or found["nonce"] == self._nonce:
            raise AuthenticationFailed("the server broke the rules of SCRAM")
        iterations = int(found["iterations"])
        if iterations > _ITERATIONS_LIMIT:
            raise AuthenticationFailed("the server asks for too many iterations")
        try:
            salted = saltPassword(self._hash, self._password, decodeBase64(found["salt"]), iterations)
        except ValueError as error:
            raise AuthenticationFailed(str(error)) from None
        withoutProof = b"c=" + base64.b64encode(self._bound) + b",r=" + found["nonce"]
        message = b",".join((self._bare, challenge, withoutProof))
        clientKey = hmac.digest(salted, b"Client Key", self._hash)
        signature = hmac.digest(hashlib.new(self._hash, clientKey).digest(), message, self._hash)
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", self._hash), message, self._hash)
        return withoutProof + b",p=" + base64.b64encode(_xor(clientKey, signature))

    def _believe(self, challenge: bytes) -> bytes:
        if self.isDone or not (found := _SERVER_FINAL.fullmatch(challenge)):
            hasRefused = _SERVER_ERROR.fullmatch(challenge)
            raise AuthenticationFailed("" if hasRefused else "the server broke the rules of SCRAM")
        if not hmac.compare_digest(found["signature"], base64.b64encode(self._signature)):
            raise AuthenticationFailed("the server does not know the password: somebody may be in the middle")
        self.isDone = True
        return b""


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
