"""`certificate:` – client certificates in place of passwords (EXTERNAL), as TLS verified them by `[tls] client_ca`.

A certificate is for the accounts that its subject alternative names give as addresses (rfc822Name) in our domains; where it
names none, for the account that `[plugin.certificate] accounts` gives for its subject (RFC 4514, as `openssl x509 -subject
-nameopt RFC2253` shows it) or for its SHA-256 fingerprint:

    [plugin.certificate]
    accounts = { "CN=scanner,O=Example" = "scanner@example.org", "4f:1e:…" = "jsmith@example.org" }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import BaseModel, ConfigDict
from zope.interface import implementer

from mailfw.errors import AuthenticationFailed
from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, ICredentialKinds, IOptions
from mailfw.values import CertificateCredentials, Credentials, Identity, accountName


class CertificateOptions(BaseModel):
    """`[plugin.certificate]`. :ivar accounts: subject or fingerprint → account."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    accounts: dict[str, str] = {}


@implementer(IAuthenticator, ICredentialKinds)
class Certificates:
    """Whose certificate that is.

    :param domains: ours, the first one first.
    :param accounts: subject or fingerprint → account.
    :raises ValueError: one of those can be no account.
    """

    kinds = frozenset({CertificateCredentials})

    def __init__(self, domains: Sequence[str], accounts: Mapping[str, str]) -> None:
        self._domains = tuple(domain.lower() for domain in domains)
        self._accounts = {_spell(key): accountName(account, self._domains[0]) for key, account in accounts.items()}

    async def authenticate(self, credentials: Credentials) -> Identity:
        """The account that is asked for, if the certificate is for it, or else the first that it is for.

        :raises AuthenticationFailed: it is for none.
        """
        if not isinstance(credentials, CertificateCredentials):
            raise AuthenticationFailed
        try:
            certificate = x509.load_der_x509_certificate(credentials.certificate)
            accounts = list(self._addressesIn(certificate)) or list(self._configuredFor(certificate))
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            raise AuthenticationFailed from None
        if not accounts:
            raise AuthenticationFailed
        asked = self._canonical(credentials.user)
        return Identity(asked if asked in accounts else accounts[0])

    def _addressesIn(self, certificate: x509.Certificate) -> Iterator[str]:
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return
        for address in names.get_values_for_type(x509.RFC822Name):
            account = self._canonical(address)
            if "@" in address and account.rpartition("@")[2] in self._domains:
                yield account

    def _configuredFor(self, certificate: x509.Certificate) -> Iterator[str]:
        for key in (certificate.subject.rfc4514_string(), certificate.fingerprint(SHA256()).hex()):
            if account := self._accounts.get(_spell(key)):
                yield account

    def _canonical(self, user: str) -> str:
        try:
            return accountName(user, self._domains[0])
        except ValueError:
            return ""


def _spell(key: str) -> str:
    """One spelling for a fingerprint with and without colons; a subject stays as it is."""
    digits = key.replace(":", "").lower()
    return digits if len(digits) == 64 and all(digit in "0123456789abcdef" for digit in digits) else key


@implementer(IAuthenticatorPlugin, IOptions)
class CertificatePlugin:
    """`certificate:`"""

    prefix = "certificate"
    model = CertificateOptions

    def openAuthenticator(self, argument: str, context: Any) -> Certificates:
        """:param context: IAuthContext and IOptionsContext.

        :raises ValueError: the options name what can be no account.
        """
        if argument:
            raise ValueError("certificate: takes no argument")
        return Certificates(context.domains, context.options.accounts)


plugin = CertificatePlugin()
