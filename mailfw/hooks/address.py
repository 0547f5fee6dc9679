"""Where programs listen that are asked as hooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol

from mailfw.hooks.failure import Unanswered

P = TypeVar("P", bound=Protocol)

_ADDRESS = re.compile(r"(?:\[([^]]+)\]|([^:\s]+)):(\d{1,5})")


def endpointOf(argument: str, reactor: Any) -> Any:
    """`unix:/PATH` or `HOST:PORT`, IPv6 addresses in brackets. :raises ValueError: it is neither."""
    if argument.startswith("unix:/"):
        return UNIXClientEndpoint(reactor, argument.removeprefix("unix:"))  # type: ignore[no-untyped-call]
    match = _ADDRESS.fullmatch(argument)
    if match is None or not 0 < int(match[3]) < 65536:
        raise ValueError("write HOST:PORT, [IPV6]:PORT or unix:/PATH")
    return HostnameEndpoint(reactor, match[1] or match[2], int(match[3]))


async def connected(endpoint: Any, make: Callable[[], P]) -> P:
    """A connection to what listens there. :raises Unanswered: nothing does."""
    factory: Any = Factory.forProtocol(make)
    factory.noisy = False
    try:
        connection: P = await endpoint.connect(factory)
    except (ConnectError, DNSLookupError, OSError) as error:
        raise Unanswered(f"nobody listens: {error}") from None
    return connection
