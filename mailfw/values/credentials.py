"""What somebody shows who wants to come in."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class PasswordCredentials:
    """A name and a password in clear, as PLAIN, LOGIN and USER/PASS bring them.

    :ivar user: as the client wrote it: an address, or a local part alone (the first configured domain is then meant).
    :ivar service: `smtp`, `submission`, `imap`, `pop3` …: what the login is for (app passwords can be bound to one).
    :ivar isForAnother: the user wants into another's account (a master login), for which app passwords are no good.
    """

    user: str
    password: str = field(repr=False)
    service: str = ""
    peer: str = ""
    isForAnother: bool = False


@frozen
class TokenCredentials:
    """A bearer token (RFC 6750), as OAUTHBEARER and XOAUTH2 bring it.

    :ivar user: the account that the client asks for, perhaps empty. A source need not look at it: whether the token's owner may
        have that account is asked after it was judged.
    :ivar token: printable ASCII; empty where the client only wants to hear which tokens are taken.
    """

    user: str
    token: str = field(repr=False)
    service: str = ""
    peer: str = ""


@frozen
class CertificateCredentials:
    """A certificate that the client proved in TLS to have the key of, and that one of our authorities issued (EXTERNAL).

    :ivar user: the account that the client asks for, perhaps empty; it only chooses among those that the certificate names.
    :ivar certificate: DER.
    """

    user: str
    certificate: bytes = field(repr=False)
    service: str = ""
    peer: str = ""


Credentials = PasswordCredentials | TokenCredentials | CertificateCredentials
