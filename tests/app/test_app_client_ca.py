"""`[tls] client_ca` with several certificates: whichever a client is shown by SNI, its own is judged alike."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from mailfw.app.selfsigned import ensureCertificate
from mailfw.app.tls import Certificates
from mailfw.net.tls import verifiedCertificate

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
KEY = ec.generate_private_key(ec.SECP256R1())


def issue(subject: x509.Name, isAuthority: bool) -> x509.Certificate:
    builder = x509.CertificateBuilder(AUTHORITY, subject, KEY.public_key(), x509.random_serial_number(), NOW - DAY, NOW + DAY)
    builder = builder.add_extension(x509.BasicConstraints(isAuthority, None), critical=True)
    if not isAuthority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(KEY, hashes.SHA256())


CLIENT = issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scanner")]), False)


def handshake(certificates: Certificates, name: bytes) -> Any:
    """The server's end after a handshake with a client that asks for a host and shows CLIENT."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate(CLIENT)
    context.use_privatekey(KEY)
    server, client = certificates.serverConnectionForTLS(None), SSL.Connection(context, None)
    server.set_accept_state()
    client.set_connect_state()
    client.set_tlsext_host_name(name)
    for _ in range(4):
        for here, there in ((client, server), (server, client)):
            try:
                here.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                there.bio_write(here.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return server


@pytest.mark.parametrize("name", ["mail.example.org", "mail.example.net", "elsewhere.example"])
def test_clientsAreAskedWhateverHostTheyName(tmp_path: Path, name: str) -> None:
    for host in ("mail.example.org", "mail.example.net"):
        ensureCertificate(str(tmp_path / f"{host}.pem"), str(tmp_path / f"{host}.key"), host)
    authorities = tmp_path / "clients.crt"
    authorities.write_bytes(issue(AUTHORITY, True).public_bytes(Encoding.PEM))
    server = handshake(Certificates.load(str(tmp_path), "", "mail.example.org", str(authorities)), name.encode())
    assert verifiedCertificate(server) == CLIENT.public_bytes(Encoding.DER)
    assert verifiedCertificate(handshake(Certificates.load(str(tmp_path), "", "mail.example.org"), name.encode())) is None
