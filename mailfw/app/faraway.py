"""How a command comes to another server's IMAP account: by a URL, with TLS that is verified unless somebody says otherwise."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import frozen
from OpenSSL import SSL
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError

from mailfw.app.problem import Problem
from mailfw.errors import AuthenticationFailed, Refusal
from mailfw.imap.client import IMAPClient, Security, TLSFailed, connect, startTLS
from mailfw.smtp.client.tls import clientTLS


@frozen
class RemotePlace:
    """Where an account is. :ivar isTLS: from the start; otherwise by STARTTLS."""

    user: str
    host: str
    port: int
    isTLS: bool

    @classmethod
    def parse(cls, url: str) -> RemotePlace:
        """`imap://user@host[:port]/`, `imaps://…`; what is not a letter or digit in the user's name may be %-encoded.

        :raises Problem:
        """
        example = "write imaps://user@imap.example.org/"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise Problem(f"{url} is no address of an IMAP account: {example}") from None
        user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
        if colon:
            raise Problem("a password does not belong into a URL, which everybody on the machine can see: it is asked for")
        if not user or not re.fullmatch(r"[\w.:-]+", host) or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise Problem(f"{url} is no address of an IMAP account: {example}")
        isTLS = parts.scheme == "imaps"
        return cls(unquote(user), host, port or (993 if isTLS else 143), isTLS)

    def __str__(self) -> str:
        return f"{'imaps' if self.isTLS else 'imap'}://{self.user}@{self.host}:{self.port}/"

    @property
    def isLoopback(self) -> bool:
        """Whether octets to it cannot leave this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


async def logIn(reactor: Any, place: RemotePlace, password: str, isInsecure: bool) -> IMAPClient:
    """A session, logged in. :param isInsecure: believe any certificate, and show the password in the clear if there is no TLS.

    :raises Problem:
    """
    options = clientTLS(place.host, isVerified=not isInsecure)
    way: Any = HostnameEndpoint(reactor, place.host, place.port)
    hint = " (--insecure would believe it all the same)"
    try:
        client = await connect(
            reactor, place.host, security=Security.NONE, endpoint=wrapClientTLS(options, way) if place.isTLS else way
        )
        client.connection.isTLS = place.isTLS
        if not place.isTLS and "STARTTLS" in (client.capabilities or await client.capability()):
            await startTLS(client, options)
    except (TLSFailed, SSL.Error) as error:
        raise Problem(f"{place.host} cannot prove who it is, or has no TLS: {_reason(error)}{hint}") from None
    except (ConnectionError, ConnectError, DNSLookupError, OSError) as error:
        raise Problem(f"{place.host} port {place.port} cannot be reached: {_reason(error)}") from None
    if not (client.connection.isTLS or place.isLoopback or isInsecure):
        await client.connection.close(ConnectionError("there is no TLS"))
        raise Problem(f"{place.host} has no TLS: your password would cross the network for all to read; --insecure allows it")
    try:
        await client.logIn(place.user, password, mayUsePlaintext=True)
    except AuthenticationFailed as refusal:
        raise Problem(f"{place.host} does not let {place.user} in: {refusal.text}") from None
    except (ConnectionError, Refusal) as error:
        raise Problem(f"{place.user} cannot log in at {place.host}: {_reason(error)}") from None
    return client


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, SSL.Error) or "certificate verify failed" in text:
        return "its certificate is not one for that name from an authority that this system trusts"
    return text
