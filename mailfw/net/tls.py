"""What the TLS beneath a connection knows: data that a login can be bound to, and the client's certificate.

A server that asks for certificates must not turn away who has another: mail servers show theirs to whoever asks. So any
certificate is let through the handshake, and one counts only when OpenSSL has found every link of its chain good during the
handshake of this very connection. What is not marked so, a resumed session for example, has no certificate for us.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

# What became of the chains that clients have shown. (Twisted keeps its own things in a connection's app data.)
_judged: WeakKeyDictionary[SSL.Connection, bool] = WeakKeyDictionary()

_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
_EXPORTER_LENGTH = 32


def tlsOf(transport: Any) -> SSL.Connection | None:
    """The TLS of a Twisted transport; None in the clear. (Transports that can begin TLS have no interface for that.)"""
    getHandle = getattr(transport, "getHandle", None)
    handle = getHandle() if getHandle is not None else None
    return handle if isinstance(handle, SSL.Connection) else None


def channelBinding(tls: SSL.Connection, kind: str) -> bytes | None:
    """The data of a channel binding type, as SCRAM's -PLUS forms want them; None: this channel has none of that type."""
    if kind == "tls-exporter":
        return _exported(tls)
    if kind == "tls-server-end-point":
        return _endPoint(tls)
    return None


def _exported(tls: SSL.Connection) -> bytes | None:
    """RFC 9266 §2. Before TLS 1.3 it is unique only with an extension that we cannot see (§4.2), so it is not used there."""
    if tls.get_protocol_version_name() != "TLSv1.3":
        return None
    try:
        return tls.export_keying_material(_EXPORTER_LABEL, _EXPORTER_LENGTH, b"")
    except SSL.Error:  # the handshake is not done
        return None


def _endPoint(tls: SSL.Connection) -> bytes | None:
    """RFC 5929 §4.1: the server's certificate, hashed as its signature was, but never weaker than by SHA-256."""
    certificate = tls.get_certificate(as_cryptography=True)
    if certificate is None:
        return None
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:  # Ed25519 and its like: the type is not defined for them
        return None
    return certificate.fingerprint(hashes.SHA256() if isinstance(algorithm, hashes.MD5 | hashes.SHA1) else algorithm)


def askForCertificates(context: SSL.Context, authorities: Iterable[x509.Certificate]) -> None:
    """Have a server's context ask each client for a certificate that one of these authorities issued. None need have one."""
    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(authority)
    context.set_verify(SSL.VERIFY_PEER, _judge)


def _judge(tls: SSL.Connection, certificate: crypto.X509, error: int, depth: int, isGood: int) -> bool:
    """Called for each link of a client's chain, and for each fault: note what was found, and let the handshake go on."""
    if not isGood:
        _judged[tls] = False
    elif depth == 0:
        _judged.setdefault(tls, True)
    return True


def verifiedCertificate(tls: SSL.Connection) -> bytes | None:
    """The certificate that the client has shown and proved to have the key of, if an authority of ours issued it; DER."""
    if not _judged.get(tls, False):
        return None
    certificate = tls.get_peer_certificate(as_cryptography=True)
    return certificate.public_bytes(Encoding.DER) if certificate is not None else None
