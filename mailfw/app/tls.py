"""Certificates: read from files, chosen by the name that a client asks for (SNI), replaced while connections go on.

`certificate` is a file (the chain, the server's own certificate first) with its key in `key` or in the same file; or a
directory of `*.pem` files, each a chain with its key in the same file, or in `NAME.key` beside it. A client that names no
host, or one that no certificate is for, gets the certificate for our hostname, or else the first one by file name.

With authorities for clients, every client is asked for a certificate; what comes of it is in `net.tls`.

An OpenSSL context lives as long as a connection uses it, so replacing certificates disturbs nobody. TLS 1.2 is the least.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from zope.interface import implementer

from mailfw.app.problem import Problem
from mailfw.net.tls import askForCertificates


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """All certificates of the server; what `net` and Twisted's TLS need of them."""

    def __init__(self, contexts: dict[str, SSL.Context], default: SSL.Context) -> None:
        self._contexts = contexts
        self._default = default

    @classmethod
    def load(cls, certificate: str, key: str, hostname: str, clientCA: str = "") -> Certificates:
        """Read certificates from a file, or from all PEM files of a directory.

        :param clientCA: file of the authorities that may issue certificates to clients; empty: clients are not asked.
        :raises Problem: one of them cannot be read, is none, or does not fit its key.
        """
        contexts: dict[str, SSL.Context] = {}
        first: SSL.Context | None = None
        authorities = _chain(clientCA) if clientCA else []
        for chainPath, keyPath in _files(certificate, key):
            chain = _chain(chainPath)
            context = _context(chain, chainPath, keyPath)
            if authorities:
                askForCertificates(context, authorities)
            first = first or context
            for name in _names(chain[0]):
                contexts.setdefault(name, context)
        if first is None:
            raise Problem(f"there is no *.pem file in {certificate}")
        certificates = cls(contexts, first)
        certificates._default = certificates._for(hostname) or first
        for each in {id(context): context for context in (*contexts.values(), first)}.values():
            each.set_tlsext_servername_callback(certificates._choose)
        return certificates

    @property
    def names(self) -> list[str]:
        """The host names that there are certificates for."""
        return sorted(self._contexts)

    def replace(self, other: Certificates) -> None:
        """Use another set for every connection from now on."""
        self._contexts, self._default = other._contexts, other._default

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """The server's half of a connection (IOpenSSLServerConnectionCreator)."""
        return SSL.Connection(self._default, None)

    def _choose(self, connection: SSL.Connection) -> None:
        name = (connection.get_servername() or b"").decode("ascii", "replace")
        context = self._for(name)
        if context is not None:
            connection.set_context(context)

    def _for(self, name: str) -> SSL.Context | None:
        name = name.lower().rstrip(".")
        return self._contexts.get(name) or self._contexts.get("*." + name.partition(".")[2])


def _files(certificate: str, key: str) -> Iterator[tuple[str, str]]:
    """Each chain with where its key is."""
    if not os.path.isdir(certificate):
        yield certificate, key or certificate
        return
    try:
        names = sorted(os.listdir(certificate))
    except OSError as error:
        raise Problem(f"{certificate} cannot be read: {error.strerror}") from None
    for name in names:
        path = os.path.join(certificate, name)
        if name.endswith(".pem"):
            beside = path.removesuffix(".pem") + ".key"
            yield path, beside if os.path.exists(beside) else path


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None


def _chain(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise Problem(f"{path} holds no PEM certificate") from None


def _context(chain: list[x509.Certificate], chainPath: str, keyPath: str) -> SSL.Context:
    try:
        key = serialization.load_pem_private_key(_read(keyPath), None)
    except TypeError:
        raise Problem(f"the key in {keyPath} has a passphrase: store it without one, readable by the server alone") from None
    except ValueError:
        raise Problem(f"{keyPath} holds no PEM private key") from None
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(encoding, form) != chain[0].public_key().public_bytes(encoding, form):
        raise Problem(f"the key in {keyPath} does not belong to the certificate in {chainPath}")
    # Twisted's annotations still name pyOpenSSL's own classes, which pyOpenSSL has deprecated for cryptography's.
    options: Any = CertificateOptions
    context: SSL.Context = options(
        privateKey=key, certificate=chain[0], extraCertChain=chain[1:], raiseMinimumTo=TLSVersion.TLSv1_2
    ).getContext()
    return context


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
