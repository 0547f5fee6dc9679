"""Which certificate a client is shown."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from mailfw.app.problem import Problem
from mailfw.app.selfsigned import ensureCertificate
from mailfw.app.tls import Certificates


def made(directory: Path, name: str, hostname: str, isOneFile: bool = False) -> None:
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    ensureCertificate(str(certificate), str(key), hostname)
    if isOneFile:
        certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
        key.unlink()


def shown(certificates: Certificates, name: str | None = None, least: int | None = None) -> str:
    """Shake hands in memory; the subject of the certificate that the client sees."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if least is not None:
        context.set_max_proto_version(least)
    client = SSL.Connection(context, None)
    if name is not None:
        client.set_tlsext_host_name(name.encode())
    client.set_connect_state()
    server = certificates.serverConnectionForTLS(None)
    server.set_accept_state()
    shake(client, server)
    subject = client.get_peer_certificate(as_cryptography=True).subject
    return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def shake(client: Any, server: Any) -> None:
    for _ in range(10):
        waiting = 0
        for here, there in ((client, server), (server, client)):
            try:
                here.do_handshake()
            except SSL.WantReadError:
                waiting += 1
            try:
                while True:
                    there.bio_write(here.bio_read(65536))
            except SSL.WantReadError:
                pass
        if not waiting:
            return
    raise AssertionError("no end to the handshake")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made(tmp_path, "b-other", "mail.example.net")
    made(tmp_path, "a-first", "mail.example.com", isOneFile=True)
    made(tmp_path, "c-wild", "*.example.org")
    return tmp_path


def test_aCertificateIsChosenByTheNameThatIsAskedFor(directory: Path) -> None:
    certificates = Certificates.load(str(directory), "", "mail.example.net")
    for name in ("mail.example.com", "mail.example.net"):
        assert shown(certificates, name) == name
    assert shown(certificates, "imap.example.org") == "*.example.org"


def test_withoutANameItIsTheHostnamesOwnOrTheFirst(directory: Path) -> None:
    assert shown(Certificates.load(str(directory), "", "mail.example.net")) == "mail.example.net"
    assert shown(Certificates.load(str(directory), "", "nowhere.example")) == "mail.example.com"
    assert shown(Certificates.load(str(directory), "", "mail.example.net"), "nowhere.example") == "mail.example.net"


def test_replacedCertificatesAreShownToNewConnectionsAndOldOnesGoOn(tmp_path: Path) -> None:
    made(tmp_path, "old", "old.example.org")
    made(tmp_path, "new", "new.example.org")
    certificates = Certificates.load(str(tmp_path / "old.pem"), str(tmp_path / "old.key"), "x")
    client, server = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None), certificates.serverConnectionForTLS(None)
    client.set_connect_state()
    server.set_accept_state()
    shake(client, server)
    certificates.replace(Certificates.load(str(tmp_path / "new.pem"), str(tmp_path / "new.key"), "x"))
    assert shown(certificates) == "new.example.org"
    client.send(b"still here")
    server.bio_write(client.bio_read(4096))
    assert server.recv(100) == b"still here"


def test_nothingOlderThanTLS12IsSpoken(tmp_path: Path) -> None:
    made(tmp_path, "a", "mail.example.org")
    certificates = Certificates.load(str(tmp_path / "a.pem"), str(tmp_path / "a.key"), "x")
    assert shown(certificates, least=SSL.TLS1_2_VERSION) == "mail.example.org"
    with pytest.raises(SSL.Error):
        shown(certificates, least=SSL.TLS1_1_VERSION)


def test_renegotiationIsRefused(tmp_path: Path) -> None:
    """Else one connection could have the server shake hands again and again, which costs it more than the client."""
    made(tmp_path, "a", "mail.example.org")
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    server = Certificates.load(str(tmp_path / "a.pem"), str(tmp_path / "a.key"), "x").serverConnectionForTLS(None)
    server.set_accept_state()
    shake(client, server)
    before = server.get_peer_finished()
    assert client.renegotiate()
    for _ in range(10):
        with suppress(SSL.Error):
            client.do_handshake()
        for here, there in ((client, server), (server, client)):
            with suppress(SSL.Error):
                there.bio_write(here.bio_read(65536))
            with suppress(SSL.Error):
                there.recv(1)
    assert server.get_peer_finished() == before


def test_whatIsWrongIsOneLineWithTheFilesName(tmp_path: Path) -> None:
    made(tmp_path, "a", "a.example")
    made(tmp_path, "b", "b.example")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pem").write_text("hello\n")
    a, b, text = (str(tmp_path / name) for name in ("a.pem", "b.key", "text.pem"))
    for certificate, key, said in (
        (a, b, f"the key in {b} does not belong to the certificate in {a}"),
        (text, b, f"{text} holds no PEM certificate"),
        (a, text, f"{text} holds no PEM private key"),
        (a, "/nowhere", "/nowhere cannot be read: No such file or directory"),
        (str(tmp_path / "empty"), "", f"there is no *.pem file in {tmp_path}/empty"),
    ):
        with pytest.raises(Problem) as caught:
            Certificates.load(certificate, key, "x")
        assert str(caught.value) == said


def test_aSelfSignedCertificateIsMadeOnceAndIsForLoopback(tmp_path: Path) -> None:
    made(tmp_path, "a", "localhost")
    first = (tmp_path / "a.pem").read_bytes()
    made(tmp_path, "a", "localhost")
    assert (tmp_path / "a.pem").read_bytes() == first
    names = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    (tmp_path / "a.key").unlink()
    made(tmp_path, "a", "localhost")
    assert (tmp_path / "a.pem").read_bytes() != first
