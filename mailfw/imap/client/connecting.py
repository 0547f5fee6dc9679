"""How a client comes to a server: with TLS from the start, with STARTTLS, or in the clear; and whom it believes to be there.

Under TLS the server must show a certificate for the host that was asked for, or there is no connection: passwords follow. With
STARTTLS nothing that was said before it counts, and a server that says the client is logged in already, or that has no
STARTTLS, gets nothing: that is how somebody between would keep the rest in the clear.
"""

from __future__ import annotations

import enum
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import TLSVersion, optionsForClientTLS

from mailfw.errors import Refusal
from mailfw.imap.client.connection import Connection
from mailfw.imap.client.failure import TLSFailed
from mailfw.imap.client.session import IMAPClient
from mailfw.imap.grammar.commands import StartTLS
from mailfw.imap.grammar.framing import ResponseLimits


class Security(enum.Enum):
    """What protects a connection; the value is the port where a server is looked for."""

    TLS = 993
    STARTTLS = 143
    NONE = -143  # for a server on the same machine


def clientTLS(host: str, trustRoot: Any = None) -> IOpenSSLClientConnectionCreator:
    """TLS with a host that must show a certificate for its name.

    :param trustRoot: `IOpenSSLTrustRoot`, whom to believe; None: those whom the system believes.
    """
    made: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        host, trustRoot=trustRoot, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2}
    )
    return made


async def connect(
    reactor: Any,
    host: str,
    port: int = 0,
    security: Security = Security.TLS,
    *,
    trustRoot: Any = None,
    timeout: float = 300.0,
    limits: ResponseLimits | None = None,
    endpoint: IStreamClientEndpoint | None = None,
) -> IMAPClient:
    """A session with a server, which has greeted; log in next.

    :param reactor: Twisted's, with all that its interfaces have (`Any`, for no single interface has them).
    :param port: 0: where such servers usually are.
    :param timeout: seconds that the server may be silent while something is expected of it.
    :param limits: what it can make us remember.
    :param endpoint: the way to the server, without TLS; None: TCP to the host.
    :raises TLSFailed: :raises ConnectionError: and what endpoints raise.
    """
    way = endpoint or HostnameEndpoint(reactor, host, port or abs(security.value))
    if security is Security.TLS:
        way = wrapClientTLS(clientTLS(host, trustRoot), way)
    connection = await way.connect(Factory.forProtocol(lambda: Connection(reactor, timeout, limits)))
    assert isinstance(connection, Connection)
    connection.isTLS = security is Security.TLS
    client = IMAPClient(connection)
    try:
        await client.greeted()
        if security is Security.STARTTLS:
            await startTLS(client, clientTLS(host, trustRoot))
    except BaseException as error:
        await connection.close(ConnectionError("there was no use for it"))
        if isinstance(error, SSL.Error):
            raise TLSFailed(f"no TLS with {host}: {error}") from error
        raise
    return client


async def startTLS(client: IMAPClient, options: IOpenSSLClientConnectionCreator) -> None:
    """STARTTLS (RFC 3501 §6.2.1, RFC 8314). When it fails there is no connection any more. :raises TLSFailed:"""
    connection = client.connection
    try:
        if client.isAuthenticated:
            raise TLSFailed("the server claims that no login is needed, in the clear")
        await client.perform(StartTLS())
        client.forget()
        handshake: Deferred[None] = connection.startTLS(options)
        await handshake
    except Refusal as refusal:
        raise connection.end(TLSFailed(f"the server does not begin TLS: {refusal}")) from refusal
    except ConnectionError as error:
        raise connection.end(error if isinstance(error, TLSFailed) else TLSFailed(str(error))) from error
