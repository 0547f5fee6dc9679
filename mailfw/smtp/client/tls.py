"""What a client asks of TLS: a verified server, or any.

Between servers most certificates are for nobody in particular, and encryption without proof keeps listeners out all the same; so
opportunistic TLS takes any certificate (RFC 7435). Where TLS is required, the certificate must be for the host.
"""

from __future__ import annotations

import functools
from ipaddress import ip_address
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion, optionsForClientTLS
from zope.interface import implementer


def clientTLS(host: str, isVerified: bool, trustRoot: Any = None) -> IOpenSSLClientConnectionCreator:
    """How to begin TLS with a host.

    :param trustRoot: `IOpenSSLTrustRoot`, whom to trust; None: those whom the system trusts.
    """
    if isVerified:
        made: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            host, trustRoot=trustRoot, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2}
        )
        return made
    return _Opportunistic(host)


@functools.cache
def _context() -> SSL.Context:
    return CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2).getContext()


@implementer(IOpenSSLClientConnectionCreator)
class _Opportunistic:
    """TLS with whoever answers, told which host is meant (SNI) where that has a name."""

    def __init__(self, host: str) -> None:
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Twisted's: a connection that has not begun."""
        connection = SSL.Connection(_context(), None)
        if not _isAddress(self._host):
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


def _isAddress(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
