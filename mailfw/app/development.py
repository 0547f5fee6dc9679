"""Development mode: what is left unsaid when `twistd mailfw` is started without a configuration file.

Loopback only, standard ports + 1000, everything in `./mailfw-data`, and two accounts to try it out with, which work only
while nobody outside this machine can reach any listener. Mail for other systems is taken from them and held in the queue.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from typing import Any

from zope.interface import implementer

from mailfw.app.sections import Configuration
from mailfw.errors import AuthenticationFailed
from mailfw.interfaces import IAuthenticator, IVerifierSource
from mailfw.values import Credentials, Identity, PasswordCredentials, accountName

DATA = "mailfw-data"
ACCOUNTS = ("mbrain", "jsmith")
"""Local parts, in the first domain."""

PASSWORD = "mailfw"

PORTS = {
    "smtp": 1025,
    "submission": 1587,
    "submissions": 1465,
    "lmtp": 1024,
    "pop3": 1110,
    "pop3s": 1995,
    "imap": 1143,
    "imaps": 1993,
    "manhole": 1022,
    "metrics": 9025,
}


def configuration(domains: Sequence[str] | None = None) -> dict[str, Any]:
    """What a file would say.

    :param domains: when others are chosen.
    """
    domains = domains or ["localhost"]
    ports = {service: port for service, port in PORTS.items() if service != "manhole" or _mayListen(port)}
    return {
        "hostname": "localhost",
        "domains": [*domains],
        "data": DATA,
        "addresses": {"postmaster": f"{ACCOUNTS[0]}@{domains[0]}"},
        "relay": {"hold": True},
        "listen": [{"service": service, "endpoint": f"localhost:{port}"} for service, port in ports.items()],
    }


def _mayListen(port: int) -> bool:
    """Whether a port is for anybody, or we are root. (The manhole's own is not, and `mailfw console` needs none.)"""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return False
        except OSError:
            return True  # taken, which is said to whoever starts the server
    return True


@implementer(IAuthenticator, IVerifierSource)
class Undemonstrated:
    """Accounts, but for those whose password everybody can read in the documentation.

    Stands before a chain of sources while somebody outside this machine can reach a listener.
    """

    def __init__(self, sources: Any, domain: str) -> None:
        # A chain: IAuthenticator, and IVerifierSource where it can be one.
        self._sources = sources
        self._domain = domain

    async def authenticate(self, credentials: Credentials) -> Identity:
        """:raises AuthenticationFailed: wrong, or the password of the documentation."""
        identity: Identity = await self._sources.authenticate(credentials)
        isPublic = isinstance(credentials, PasswordCredentials) and credentials.password == PASSWORD
        if isPublic and self._isOurs(identity.account):
            raise AuthenticationFailed
        return identity

    def mechanisms(self) -> Collection[str]:
        """Those of the sources."""
        return list(self._sources.mechanisms())

    async def verifier(self, user: str, mechanism: str) -> Any:
        """What the sources have, unless it fits the password of the documentation."""
        found = await self._sources.verifier(user, mechanism)
        if found is not None and self._isOurs(user) and found.matches(mechanism, PASSWORD):
            return None
        return found

    async def identify(self, user: str) -> Identity:
        """Who that is."""
        identity: Identity = await self._sources.identify(user)
        return identity

    def _isOurs(self, user: str) -> bool:
        try:
            return accountName(user, self._domain).partition("@")[0] in ACCOUNTS
        except ValueError:
            return False


def banner(listeners: Sequence[tuple[str, str]], configuration: Configuration, hasAccounts: bool) -> str:
    """What a person sees who starts it for the first time.

    :param listeners: services with where they listen.
    """
    places: dict[str, list[str]] = {}
    for service, address in listeners:
        places.setdefault(service, []).append(address)
    width = max(len(service) for service in places)
    lines = ["", "mailfw is up, in development mode. It listens on:", ""]
    lines += [f"    {service:{width}}  {'  '.join(addresses)}" for service, addresses in places.items()]
    lines += ["", f"Mail and accounts are in {configuration.data}; the certificate is self-signed."]
    lines += ["Mail for other systems is held in the queue: `mailfw queue list` shows it, `mailfw queue release ID` sends it."]
    if hasAccounts:
        names = [f"{local}@{configuration.domains[0]}" for local in ACCOUNTS]
        lines += [f'Log in as {names[0]} or {names[1]}, password "{PASSWORD}".']
        lines += _trial(places, names)
    else:
        lines += ["Make an account: mailfw --data DIR user add ADDRESS"]
    return "\n".join([*lines, "", "Ctrl-C stops it.", ""])


def _trial(places: dict[str, list[str]], names: Sequence[str]) -> list[str]:
    """One line to send and one to read, for the services that are there."""
    lines: list[str] = []
    if "smtp" in places:
        lines += ["", "Send a message:"]
        lines += [
            f"    printf 'From: {names[0]}\\r\\nTo: {names[1]}\\r\\nSubject: Hello\\r\\n\\r\\nHello!\\r\\n' | "
            f"curl smtp://{places['smtp'][0]} --mail-from {names[0]} --mail-rcpt {names[1]} -T -"
        ]
    if "imap" in places:
        lines += ["", "Read it:", f"    curl -u {names[1]}:{PASSWORD} 'imap://{places['imap'][0]}/INBOX;MAILINDEX=1'"]
    elif "pop3" in places:
        lines += ["", "Read it:", f"    curl -u {names[1]}:{PASSWORD} pop3://{places['pop3'][0]}/1"]
    return lines
