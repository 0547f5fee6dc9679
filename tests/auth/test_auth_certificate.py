"""`certificate:` – for whom a client certificate is good."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import ValidationError
from zope.interface.verify import verifyObject

from mailfw.auth import certificate
from mailfw.auth.certificate import CertificateOptions
from mailfw.errors import AuthenticationFailed
from mailfw.interfaces import IAuthenticator, ICredentialKinds
from mailfw.testing.authenticator import resultOf
from mailfw.values import CertificateCredentials, Identity, PasswordCredentials, TokenCredentials

KEY = ed25519.Ed25519PrivateKey.generate()


def issue(*addresses, name="scanner"):
    """A certificate for these addresses."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(subject, subject, KEY.public_key(), 17, now, now + datetime.timedelta(days=1))
    if addresses:
        names = [each if isinstance(each, x509.GeneralName) else x509.RFC822Name(each) for each in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, None)


def openSource(**accounts):
    context = SimpleNamespace(domains=["example.org", "example.net"], options=CertificateOptions(accounts=accounts))
    return certificate.plugin.openAuthenticator("", context)


def logIn(source, shown, user=""):
    der = shown if isinstance(shown, bytes) else shown.public_bytes(Encoding.DER)
    return resultOf(source.authenticate(CertificateCredentials(user, der, "imap", "192.0.2.1"))).account


@pytest.mark.parametrize(
    ("addresses", "user", "account"),
    [
        (["mbrain@example.org"], "", "mbrain@example.org"),
        (["MBrain@Example.ORG"], "", "mbrain@example.org"),
        (["mbrain@example.org", "anna@example.net"], "", "mbrain@example.org"),
        (["mbrain@example.org", "anna@example.net"], "anna@example.net", "anna@example.net"),
        (["mbrain@example.org", "jsmith@example.org"], "JSmith", "jsmith@example.org"),
        (["mbrain@example.org"], "jsmith", "mbrain@example.org"),
        (["mbrain@private.example", "mbrain@example.org"], "", "mbrain@example.org"),
        ([x509.DNSName("mail.example.org"), "mbrain@example.org"], "", "mbrain@example.org"),
    ],
)
def test_itsAddresses(addresses, user, account):
    assert logIn(openSource(), issue(*addresses), user) == account


@pytest.mark.parametrize(
    "addresses",
    [
        [],
        ["mbrain@example.com"],
        ["mbrain@private.example"],
        ["mbrain"],
        ["@example.org"],
        ["a b@example.org"],
        [x509.DNSName("example.org")],
        [x509.DNSName("mbrain@example.org")],
    ],
)
def test_noAddressOfOurs(addresses):
    with pytest.raises(AuthenticationFailed):
        logIn(openSource(), issue(*addresses))


def test_whatIsConfigured():
    plain, foreign, named = issue(), issue("x@private.example"), issue("mbrain@example.org")
    fingerprint = ":".join(f"{octet:02X}" for octet in plain.fingerprint(SHA256()))
    bySubject = openSource(**{"CN=scanner,O=Example": "jsmith"})
    assert logIn(bySubject, plain) == logIn(bySubject, foreign) == "jsmith@example.org"
    assert logIn(bySubject, named) == "mbrain@example.org"
    byDigest = openSource(**{fingerprint: "anna@example.net"})
    assert logIn(byDigest, plain) == "anna@example.net"
    for source, stranger in ((byDigest, foreign), (bySubject, issue(name="printer"))):
        with pytest.raises(AuthenticationFailed):
            logIn(source, stranger)


@pytest.mark.parametrize("der", [b"", b"0", b"\x30\x82", b"x" * 10_000])
def test_whatIsNoCertificate(der):
    with pytest.raises(AuthenticationFailed):
        logIn(openSource(), der)


def test_itJudgesNothingElse():
    source = openSource()
    assert verifyObject(IAuthenticator, source)
    assert verifyObject(ICredentialKinds, source)
    for credentials in (PasswordCredentials("mbrain", "mailfw"), TokenCredentials("mbrain", "x")):
        with pytest.raises(AuthenticationFailed):
            resultOf(source.authenticate(credentials))
    assert resultOf(source.authenticate(CertificateCredentials("", issue("mbrain@example.org").public_bytes(Encoding.DER)))) == (
        Identity("mbrain@example.org")
    )


def test_whatCannotBeOpened():
    with pytest.raises(ValueError, match="cannot be the name"):
        openSource(**{"CN=scanner": "a b"})
    with pytest.raises(ValueError, match="no argument"):
        certificate.plugin.openAuthenticator("x", SimpleNamespace(domains=["example.org"], options=CertificateOptions()))
    with pytest.raises(ValidationError):
        CertificateOptions.model_validate({"accounts": ["x"]})
