"""What the house asks others over HTTP: one request, one answer of bounded size, within a deadline.

Redirects are not followed and no proxy is used: an answer that decides who somebody is comes from where the configuration
says, or not at all. `https` is verified as browsers do it; `http` is for this machine only (`checkURL`).
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from mailfw import __version__

ANSWER_LIMIT = 256 * 1024
"""Octets in an answer, where nothing else is said."""


class WebTrouble(Exception):
    """There was no usable answer, or one that says no (RFC 9110 §15: all but 2xx); the text is for the log."""


def checkURL(url: str) -> str:
    """The URL itself. :raises ValueError: it is none, or what goes there could be read on the way."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or parts.port == 0:
        raise ValueError(f'"{url}" is no URL: write https://HOST/PATH')
    if parts.username is not None or parts.fragment:
        raise ValueError(f'"{url}" must have neither a user nor a fragment')
    if parts.scheme == "http" and not _isLoopback(parts.hostname):
        raise ValueError(f'"{url}" must begin with https, for it leads to another machine')
    return url


def _isLoopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Web:
    """Asks.

    :param reactor: IReactorTime, IReactorTCP, IReactorSSL.
    :param timeout: seconds for each question, its answer included; None: whoever asks sees to it, by cancelling.
    :param authorities: PEM certificates to trust in place of the system's; empty: the system's.
    :param limit: octets in an answer.
    :param isKept: connections are used again.
    """

    def __init__(
        self,
        reactor: Any,
        timeout: float | None,
        authorities: Sequence[bytes] = (),
        *,
        limit: int = ANSWER_LIMIT,
        isKept: bool = False,
    ) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._limit = limit
        # twisted.web is annotated only in part.
        makeAgent: Any = Agent
        makePolicy: Any = BrowserLikePolicyForHTTPS
        makeTrust: Any = trustRootFromCertificates
        makePool: Any = HTTPConnectionPool
        trusted = [Certificate.loadPEM(each) for each in authorities]
        policy = makePolicy(makeTrust(trusted)) if trusted else makePolicy()
        self._pool: Any = makePool(reactor, persistent=isKept)
        self._agent = makeAgent(reactor, policy, connectTimeout=timeout, pool=self._pool)

    async def close(self) -> None:
        """Let go of connections."""
        await self._pool.closeCachedConnections()

    async def get(self, url: str) -> bytes:
        """What is there. :raises WebTrouble:"""
        return await self._ask(b"GET", url, {}, None)

    async def post(self, url: str, fields: Mapping[str, str], user: str = "", password: str = "") -> bytes:
        """The answer to a form, sent with HTTP's Basic authentication where a user is given. :raises WebTrouble:

        Both are form-encoded first, as RFC 6749 §2.3.1 has it for clients of an authorization server.
        """
        headers = {b"content-type": b"application/x-www-form-urlencoded"}
        if user:
            pair = f"{quote(user, safe='')}:{quote(password, safe='')}"
            headers[b"authorization"] = b"Basic " + base64.b64encode(pair.encode("ascii"))
        return await self._ask(b"POST", url, headers, urlencode(fields).encode("ascii"))

    async def send(self, url: str, body: bytes, headers: Mapping[bytes, bytes]) -> bytes:
        """The answer to those octets. :raises WebTrouble:"""
        return await self._ask(b"POST", url, headers, body)

    async def _ask(self, method: bytes, url: str, headers: Mapping[bytes, bytes], body: bytes | None) -> bytes:
        asking: Deferred[bytes] = Deferred.fromCoroutine(self._converse(method, url, headers, body))
        if self._timeout is not None:
            asking.addTimeout(self._timeout, self._reactor)
        try:
            return await asking
        except WebTrouble:
            raise
        except Exception as error:
            raise WebTrouble(f"{url}: {type(error).__name__}: {error}") from error

    async def _converse(self, method: bytes, url: str, headers: Mapping[bytes, bytes], body: bytes | None) -> bytes:
        sent = Headers({b"accept": [b"application/json"], b"user-agent": [f"mailfw/{__version__}".encode("ascii")]})
        for name, value in headers.items():
            sent.setRawHeaders(name, [value])
        producer = _Octets(body) if body is not None else None
        response: Any = await self._agent.request(method, url.encode("ascii"), sent, producer)
        answer = _Answer(self._limit)
        response.deliverBody(answer)
        content = await answer.done
        if not 200 <= response.code < 300:
            raise WebTrouble(f"{url}: answered {response.code}")
        return content


@implementer(IBodyProducer)
class _Octets:
    """A request's body that is there already."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All has been written."""

    def resumeProducing(self) -> None:
        """All has been written."""

    def stopProducing(self) -> None:
        """All has been written."""


class _Answer(Protocol):
    """Gathers an answer's body. :ivar done: the whole of it; cancelling gives up."""

    def __init__(self, limit: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._hangUp())
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._limit and not self.done.called:
            self._hangUp()
            self.done.errback(WebTrouble("the answer is too long"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # The second is an answer without a length, which its connection ends.
        if isinstance(reason.value, ResponseDone | PotentialDataLoss):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(reason)

    def _hangUp(self) -> None:
        self._pieces.clear()
        transport: Any = self.transport  # twisted.web's stand-in for the connection, which has no interface
        if transport is not None:
            transport.loseConnection()
