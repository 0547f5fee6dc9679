"""Endpoint strings: what `[[listen]] endpoint` and `--listen` say, and the sockets it comes to.

Any of Twisted's server endpoint strings is accepted as it is. Two short forms are ours: `25` (a port alone: IPv4 and IPv6 on
every interface) and `localhost:25` (IPv4 and IPv6 loopback); each may come to two sockets, and leaves out an address
family that the machine lacks.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from ipaddress import ip_address

from attrs import frozen

from mailfw.plugins import didYouMean

_BACKLOG = 1024
_ARGUMENTS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "systemd": ("domain", "index", "name"),
}
_REQUIRED = {"tcp": "port", "tcp6": "port", "unix": "address", "systemd": "domain"}
_NUMBERS = ("port", "backlog", "index")


@frozen
class Binding:
    """One socket to listen on.

    :ivar description: a Twisted server endpoint string.
    :ivar kind: `tcp`, `unix`, or another endpoint type's word.
    :ivar host: the IP address of a `tcp` socket (`0.0.0.0`, `::` for all), the path of a `unix` one; empty for others.
    :ivar isOptional: left out where the machine lacks the address.
    """

    description: str
    kind: str = "tcp"
    host: str = ""
    port: int = 0
    isOptional: bool = False

    @property
    def isLoopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.kind == "tcp":
            try:
                return ip_address(self.host).is_loopback
            except ValueError:
                return self.host == "localhost"
        return self.kind == "unix"

    def __str__(self) -> str:
        if self.kind != "tcp":
            return self.host or self.description
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bindings(endpoint: str) -> list[Binding]:
    """The sockets that an endpoint string comes to.

    :raises ValueError: it is none; the text says what is wrong with it.
    """
    if match := re.fullmatch(r"(?:(localhost):)?(\d+)", endpoint):
        port = _port(match[2])
        if match[1]:
            return [tcp("127.0.0.1", port), tcp("::1", port, isOptional=True)]
        return _everywhere(port)
    kind, arguments = _parse(endpoint)
    if kind in ("tcp", "tcp6"):
        anywhere = "::" if kind == "tcp6" else "0.0.0.0"
        return [Binding(endpoint, "tcp", arguments.get("interface") or anywhere, _port(arguments["port"]))]
    if kind == "unix":
        return [Binding(endpoint, "unix", arguments["address"])]
    if kind == "systemd":
        if ("name" in arguments) == ("index" in arguments):
            raise ValueError("systemd: wants name=… or index=…, one of them")
        return [Binding(endpoint, kind)]
    _askTwisted(kind, endpoint)
    return [Binding(endpoint, kind)]


def tcp(host: str, port: int, isOptional: bool = False) -> Binding:
    """A TCP socket on one address."""
    interface = host.replace(":", "\\:")
    return Binding(f"tcp:{port}:interface={interface}:backlog={_BACKLOG}", "tcp", host, port, isOptional)


def obstacle(binding: Binding) -> OSError | None:
    """Why a socket cannot be bound at this moment; None when it can, or when only trying would tell."""
    if binding.kind == "unix":
        directory = os.path.dirname(os.path.abspath(binding.host))
        if not os.path.isdir(directory):
            return OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return None if os.access(directory, os.W_OK) else OSError(errno.EACCES, os.strerror(errno.EACCES))
    if binding.kind != "tcp" or binding.port == 0:
        return None
    family = socket.AF_INET6 if ":" in binding.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((binding.host, binding.port))
            probe.listen(1)
    except OSError as error:
        return error
    return None


def isFamilyMissing(error: OSError) -> bool:
    """Whether the machine has no such address at all, as one without IPv6 has no `::1`."""
    return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def _everywhere(port: int) -> list[Binding]:
    """One IPv6 socket takes IPv4 as well, where the system's default has it so; otherwise there are two."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
            isOnlyIPv6 = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [tcp("0.0.0.0", port)]
    return [tcp("0.0.0.0", port), tcp("::", port)] if isOnlyIPv6 else [tcp("::", port)]


def _port(text: str) -> int:
    port = int(text)
    if port > 65535:
        raise ValueError(f"there is no port {port}")
    return port


def _parse(endpoint: str) -> tuple[str, dict[str, str]]:
    """Type and named arguments; those of endpoint types that we do not know stay unread."""
    kind, *rest = (re.sub(r"\\(.)", r"\1", field) for field in re.split(r"(?<!\\):", endpoint))
    if kind not in _ARGUMENTS:
        return kind, {}
    arguments: dict[str, str] = {}
    names = iter(_ARGUMENTS[kind])
    for field in rest:
        name, equals, value = field.partition("=")
        if not equals:
            name, value = next(names, ""), field
        if name not in _ARGUMENTS[kind]:
            raise ValueError(f'{kind}: has no argument "{name or value}"{didYouMean(name, _ARGUMENTS[kind])}')
        if name in _NUMBERS and not re.fullmatch(r"\d+", value):
            raise ValueError(f'{name} "{value}" is not a number')
        arguments[name] = value
    if not arguments.get(_REQUIRED[kind]):
        raise ValueError(f"{kind}: lacks its {_REQUIRED[kind]}")
    return kind, arguments


def _askTwisted(kind: str, endpoint: str) -> None:
    """Let the endpoint type itself say what is wrong: it may come from a plugin."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import serverFromString
    from twisted.internet.interfaces import IStreamServerEndpointStringParser
    from twisted.plugin import getPlugins

    known = {*_ARGUMENTS, "ssl", *(str(plugin.prefix) for plugin in getPlugins(IStreamServerEndpointStringParser))}
    if kind not in known:
        raise ValueError(f'there is no endpoint type "{kind}"{didYouMean(kind, known)}')
    try:
        serverFromString(reactor, endpoint)
    except Exception as error:
        raise ValueError(f"{kind}: {' '.join(str(error).split())}") from None
