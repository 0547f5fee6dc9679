"""Where programs listen that are asked as hooks."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint

_ADDRESS = re.compile(r"(?:\[([^]]+)\]|([^:\s]+)):(\d{1,5})")


def endpointOf(argument: str, reactor: Any) -> Any:
    """`unix:/PATH` or `HOST:PORT`, IPv6 addresses in brackets. :raises ValueError: it is neither."""
    if argument.startswith("unix:/"):
        return UNIXClientEndpoint(reactor, argument.removeprefix("unix:"))  # type: ignore[no-untyped-call]
    match = _ADDRESS.fullmatch(argument)
    if match is None or not 0 < int(match[3]) < 65536:
        raise ValueError("write HOST:PORT, [IPV6]:PORT or unix:/PATH")
    return HostnameEndpoint(reactor, match[1] or match[2], int(match[3]))
